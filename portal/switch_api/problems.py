"""What a switch hears when its request was wrong or we cannot work: `application/problem+json` (RFC 9457).

`code` is a stable word for programs, `detail` a sentence for people. Where fields are to blame, `errors` names each of
them and the code is the first one's. Nothing that was sent is repeated, for it may be a password or a card's number.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

import psycopg
import structlog
from flask import Response, g, request
from sqlalchemy import exc as sa
from werkzeug.exceptions import HTTPException

from engine.errors import Conflict, EngineError, EngineUnavailable, InvalidInput, NotFound, Unauthorized
from engine.messages import sentence
from portal import requestlog
from portal.errors import RETRY_AFTER_S

MEDIA_TYPE = "application/problem+json"
HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}

# Codes of this door; those of the engine have their sentences in the shared catalogue.
SENTENCES = {
    "bad_request": "The request could not be read.",
    "not_json": "Send the body as application/json in UTF-8.",
    "not_utf8": "The body is not UTF-8.",
    "json_malformed": "The body is not valid JSON.",
    "json_too_deep": "The body is nested too deeply.",
    "json_duplicate_key": "The body names a key twice.",
    "not_an_object": "The body must be one JSON object.",
    "body_too_large": "The body is too large.",
    "key_missing": "Send the switch's key as Authorization: Bearer KEY.",
    "bad_key": "The key is not known, or was revoked.",
    "not_found": "There is nothing at this address.",
    "method_not_allowed": "This address does not take that method.",
    "idempotency_key_missing": "Send an Idempotency-Key, and the same one when you repeat the request.",
    "bad_idempotency_key": "The Idempotency-Key must have 1 to 255 visible ASCII characters.",
    "missing_field": "This field is missing.",
    "unknown_field": "This field is not known here.",
    "unknown_parameter": "A parameter in the address is not known here; secrets never belong there.",
    "repeated_parameter": "This parameter may be given once.",
    "missing_parameter": "This parameter is missing from the address.",
    "wrong_type": "This value has the wrong type.",
    "too_short": "This text is too short.",
    "too_long": "This text is too long.",
    "control_character": "This text holds a control or invisible character.",
    "out_of_range": "This number is out of range.",
    "bad_call_ref": "A call_ref has 1 to 128 printable ASCII characters without a slash, and is not . or ..",
    "bad_access_number": "An access number has 3 to 15 digits.",
    "bad_card_token": "A card_token has 1 to 128 visible ASCII characters.",
    "bad_time": "This is not a time as RFC 3339 writes it, with a zone, such as 2026-11-20T12:00:00Z.",
    "credentials_missing": "Send card_token, or card_number with password, or caller alone.",
    "credentials_mixed": "Send card_token, or card_number with password, and not both.",
    "deck_required": "Name a deck, or send a card_token in the header Cardtone-Card-Token.",
    "unavailable": "Cardtone cannot work at the moment; repeat the request.",
    "busy": "Too much is going on with this card at once; repeat the request.",
    "internal_error": "Something went wrong on our side; it has been logged.",
}
ENGINE_CODES = (
    "answered_before_start",
    "call_ended",
    "call_not_found",
    "call_ref_conflict",
    "deck_not_found",
    "end_too_late",
    "key_reused",
)
"""What the engine may raise at this door besides."""
_OF_STATUS = {
    400: "bad_request",
    404: "not_found",
    405: "method_not_allowed",
    413: "body_too_large",
    415: "not_json",
}
_OF_ENGINE = (
    (EngineUnavailable, 503),
    (Unauthorized, 401),
    (NotFound, 404),
    (Conflict, 409),
    (InvalidInput, 422),
)


class Problem(Exception):
    """A request that cannot be accepted; `errors` are (field, code) pairs, None for the request as a whole."""

    def __init__(self, status: int, code: str, errors: list[tuple[str | None, str]] | None = None) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.errors = errors or []


def wrong_fields(errors: list[tuple[str | None, str]]) -> Problem:
    """422 for what fields hold."""
    return Problem(422, errors[0][1], errors)


def answer(error: Exception) -> Response:
    """The answer to anything that was raised, and its line in the log."""
    problem = _problem_of(error)
    response = _respond(problem, _headers_of(error, problem.status))
    _log(error, problem)
    return response


def _problem_of(error: Exception) -> Problem:
    if isinstance(error, Problem):
        return error
    if isinstance(error, EngineError):
        for kind, status in _OF_ENGINE:
            if isinstance(error, kind):
                field = error.data.get("field")
                return Problem(status, error.code, [(field, error.code)] if field else None)
    # What the database gave up after all its repeats: deadlocks, time-outs. Nothing was acknowledged.
    if isinstance(error, (psycopg.OperationalError, sa.OperationalError)):
        return Problem(503, "busy")
    if isinstance(error, HTTPException) and error.code is not None and error.code < 500:
        return Problem(error.code, _OF_STATUS.get(error.code, "bad_request"))
    return Problem(500, "internal_error")


def _headers_of(error: Exception, status: int) -> dict[str, str]:
    if status == 401:
        return {"WWW-Authenticate": 'Bearer realm="Cardtone switch API"'}
    if status == 503:
        return {"Retry-After": str(RETRY_AFTER_S)}
    if isinstance(error, HTTPException):
        return {name: value for name, value in error.get_headers(request.environ) if name == "Allow"}
    return {}


def _respond(problem: Problem, headers: dict[str, str]) -> Response:
    said: dict[str, Any] = {
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "code": problem.code,
        "detail": words(problem.code),
    }
    if problem.errors:
        said["errors"] = [
            {"code": code, "detail": words(code), **({"field": field} if field else {})}
            for field, code in problem.errors
        ]
    body = json.dumps(said, ensure_ascii=False)
    return Response(body, problem.status, {**HEADERS, **headers}, content_type=MEDIA_TYPE)


def words(code: str) -> str:
    """The sentence of a code."""
    return SENTENCES.get(code) or sentence(code)


def _log(error: Exception, problem: Problem) -> None:
    log = structlog.get_logger("portal")
    if problem.status == 500:
        log.error("crash", **requestlog.described(error))
    log.info(
        "request",
        method=request.method,
        path=requestlog.masked(request.path),
        status=problem.status,
        code=problem.code,
        by=g.get("actor_name"),
    )
