"""One operation of the API: who asks, what is asked, what is answered, and how the document says so.

The key is checked before anything else is looked at. The body is read once, and the answer is a plain object: on the
way of a call nothing is built that the answer does not need.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

from flask import Response, g, request
from flask_smorest import Blueprint

from engine.people.switches import SwitchIdentity, authenticate_key
from portal.installation import db
from portal.security import client_address
from portal.switch_api.bodies import CALL_REF, CALL_REF_PATTERN, Body
from portal.switch_api.body import read_json
from portal.switch_api.problems import HEADERS, Problem

View = Callable[..., dict[str, Any]]

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@dataclass(frozen=True)
class Example:
    """What is sent and what comes back, for the document; `way` names the schema of the body."""

    title: str
    answer: dict[str, Any]
    body: dict[str, Any] | None = None


def respond(said: dict[str, Any], status: int = 200) -> Response:
    """An answer as JSON."""
    return Response(_encode(said), status, HEADERS, content_type="application/json")


def switch_that_asks() -> SwitchIdentity:
    """The switch whose key this request carries. Raises `Problem` or `Unauthorized`: 401 both."""
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key:
        raise Problem(401, "key_missing")
    switch = authenticate_key(db(), key.strip(), client_address())
    g.actor_name = f"switch:{switch.id}"
    return switch


def operation(
    blueprint: Blueprint,
    rule: str,
    *,
    method: str = "POST",
    body: Body | None = None,
    query: bool = False,
    answers: tuple[str, ...],
    examples: tuple[Example, ...],
    problems: tuple[int, ...] = (),
    parameters: tuple[dict[str, Any], ...] = (),
) -> Callable[[View], View]:
    """Serve a view at `rule` and document it.

    The view gets the switch, the path's call_ref where the rule has one, and the body's values where there is a `body`;
    it returns the answer as a plain object. `answers` names the schemas of what may be answered, `examples` show them,
    and `problems` are the statuses that this operation adds to those that any may have.
    """

    def serve(view: View) -> View:
        @wraps(view)
        def run(**path: str) -> Response:
            switch = switch_that_asks()
            if not query and request.query_string:
                raise Problem(422, "unknown_parameter")
            if body is None:
                return respond(view(switch, **path))
            values = body.read(read_json(may_be_empty=body.may_be_empty))
            return respond(view(switch, **path, body=values))

        documented = blueprint.doc(
            operationId=view.__name__, **_document(body, answers, examples, problems, parameters)
        )(run)
        in_path = [_CALL_REF_IN_PATH] if "<call_ref>" in rule else []
        blueprint.route(rule, methods=[method], parameters=in_path, endpoint=view.__name__)(documented)
        return view

    return serve


_CALL_REF_IN_PATH = {
    "in": "path",
    "name": "call_ref",
    "required": True,
    "description": "Your name for the call, percent-encoded.",
    "example": CALL_REF.example,
    "schema": {"type": "string", "pattern": f"^{CALL_REF_PATTERN}$"},
}


def _document(
    body: Body | None,
    answers: tuple[str, ...],
    examples: tuple[Example, ...],
    problems: tuple[int, ...],
    parameters: tuple[dict[str, Any], ...],
) -> dict[str, Any]:
    """The operation as OpenAPI says it, besides what flask-smorest reads from rule and docstring."""
    responses: dict[str, Any] = {
        "200": {
            "description": "The answer, or a business refusal." if "Refused" in answers else "The answer.",
            "content": {
                "application/json": {
                    "schema": _one_of(answers),
                    "examples": {
                        _key(one.title): {"summary": one.title, "value": one.answer} for one in examples
                    },
                }
            },
        }
    }
    statuses = {401, 422, 503, 500, *problems, *((400, 413, 415) if body else ())}
    for status in sorted(statuses):
        responses[str(status)] = {"$ref": f"#/components/responses/Problem{status}"}
    made: dict[str, Any] = {"responses": responses, "security": [{"switchKey": []}]}
    if parameters:
        made["parameters"] = list(parameters)
    if body is not None:
        shown = {_key(one.title): {"summary": one.title, "value": one.body} for one in examples if one.body}
        made["requestBody"] = {
            "required": not body.may_be_empty,
            "content": {
                "application/json": {"schema": _one_of(tuple(body.schemas())), "examples": shown},
            },
        }
    return made


def _one_of(names: tuple[str, ...]) -> dict[str, Any]:
    references = [{"$ref": f"#/components/schemas/{name}"} for name in names]
    if len(references) == 1:
        return references[0]
    made: dict[str, Any] = {"oneOf": references}
    if "Refused" in names:
        mapping = {"refused" if name == "Refused" else "ok": f"#/components/schemas/{name}" for name in names}
        made["discriminator"] = {"propertyName": "outcome", "mapping": mapping}
    return made


def _key(title: str) -> str:
    return "".join(word.capitalize() for word in title.replace(",", "").split())
