"""The OpenAPI document: made once when the app is, from the operations themselves."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from flask import Flask
from flask_smorest import Api, Blueprint

from portal.errors import RETRY_AFTER_S
from portal.switch_api import bodies
from portal.switch_api.answers import SCHEMAS
from portal.switch_api.problems import MEDIA_TYPE, words

TITLE = "Cardtone switch API"
VERSION = "1.0.0"
DESCRIPTION = """\
What a softswitch asks Cardtone about prepaid calls: prove the card, authorize the call, report its answer, ask for more
time, end it. Every request carries the switch's key. A business refusal is an answer with status 200, the outcome
"refused" and a reason; malformed requests get 4xx with a stable code. Every message is safe to repeat.\
"""
_BODIES = (
    bodies.AUTHENTICATE,
    bodies.AUTHORIZE,
    bodies.ANSWER,
    bodies.PROGRESS,
    bodies.END,
    bodies.RECHARGE,
)
_PROBLEMS = {
    400: ("The body is not strict JSON, or the Idempotency-Key is missing.", "json_malformed"),
    401: ("The key is missing, unknown or revoked.", "bad_key"),
    404: ("There is no such thing, or not for this switch.", "call_not_found"),
    409: ("The same name or key was used for something else, or the call has moved on.", "call_ref_conflict"),
    413: ("The body is larger than 64 KiB.", "body_too_large"),
    415: ("The body is not application/json.", "not_json"),
    422: ("A field or parameter is missing, unknown or out of bounds.", "out_of_range"),
    500: ("A defect on our side; it was logged.", "internal_error"),
    503: ("Cardtone cannot work at the moment; nothing was acknowledged.", "unavailable"),
}
_HEADERS: dict[int, dict[str, Any]] = {
    401: {"WWW-Authenticate": {"description": "Bearer.", "schema": {"type": "string"}}},
    503: {
        "Retry-After": {
            "description": "Seconds to wait before repeating the request.",
            "schema": {"type": "integer", "example": RETRY_AFTER_S},
        }
    },
}


class SwitchApi(Api):  # type: ignore[misc]
    """flask-smorest, for the document alone: errors are answered by `problems`."""

    DEFAULT_ERROR_RESPONSE_NAME = None

    def _register_error_handlers(self) -> None:
        """None: see `problems`."""

    def _register_responses(self) -> None:
        """None but our own problems."""

    def _register_pagination_header(self) -> None:
        """None: nothing here has pages."""


def document(app: Flask, blueprints: tuple[Blueprint, ...]) -> dict[str, Any]:
    """Register the blueprints on an app, and say in OpenAPI 3.0 what they do."""
    api = SwitchApi(
        app,
        spec_kwargs={
            "title": TITLE,
            "version": VERSION,
            "openapi_version": "3.0.3",
            "info": {"description": DESCRIPTION},
            "servers": [{"url": "/"}],
        },
    )
    components = api.spec.components
    components.security_scheme(
        "switchKey",
        {"type": "http", "scheme": "bearer", "description": "The key of `cardtone switches add NAME`."},
    )
    for body in _BODIES:
        for name, schema in body.schemas().items():
            components.schema(name, schema)
    for name, schema in SCHEMAS.items():
        components.schema(name, schema)
    for status, (description, code) in _PROBLEMS.items():
        components.response(f"Problem{status}", _problem(status, description, code))
    for blueprint in blueprints:
        api.register_blueprint(blueprint)
    made: dict[str, Any] = api.spec.to_dict()
    return made


def _problem(status: int, description: str, code: str) -> dict[str, Any]:
    example = {"title": HTTPStatus(status).phrase, "status": status, "code": code, "detail": words(code)}
    schema = {"$ref": "#/components/schemas/Problem"}
    made = {"description": description, "content": {MEDIA_TYPE: {"schema": schema, "example": example}}}
    return {**made, "headers": _HEADERS[status]} if status in _HEADERS else made
