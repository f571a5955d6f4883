"""Errors of the switch API as RFC 9457 problems: a stable code, one sentence, and never what was sent."""

from __future__ import annotations

from typing import Any

from flask import Response, json
from werkzeug.exceptions import HTTPException

from engine.errors import (
    Conflict,
    EngineError,
    EngineUnavailable,
    InvalidInput,
    NotFound,
    Unauthorized,
)
from engine.messages import sentence

RETRY_AFTER_S = 5
_STATUS: tuple[tuple[type[EngineError], int], ...] = (
    (EngineUnavailable, 503),
    (Unauthorized, 401),
    (NotFound, 404),
    (Conflict, 409),
    (InvalidInput, 422),
)
_TITLES = {
    400: "Bad request",
    401: "Not authorized",
    404: "Not found",
    405: "Method not allowed",
    409: "Conflict",
    413: "Too large",
    415: "Unsupported media type",
    422: "Invalid",
    500: "Internal error",
    503: "Unavailable",
}
_CODES = {404: "not_found", 405: "method_not_allowed", 413: "too_large", 415: "not_json"}


class Problem(Exception):
    """An error of the API's own; `errors` names fields."""

    def __init__(self, status: int, code: str, detail: str, errors: Any = None) -> None:
        super().__init__(code)
        self.status, self.code, self.detail, self.errors = status, code, detail, errors


def on_error(error: Exception) -> Response:
    """Any error below /api/ as a problem."""
    if isinstance(error, Problem):
        return answer(error.status, error.code, error.detail, error.errors)
    if isinstance(error, EngineError):
        return _engine_error(error)
    if isinstance(error, HTTPException):
        status = error.code or 500
        if 300 <= status < 400:
            status = 404  # an address of the API never leads elsewhere
        said = error.description or "" if status < 500 and status not in (400, 413) else ""
        response = answer(status, _CODES.get(status, "bad_request" if status < 500 else "crash"), said)
        for name, value in error.get_headers():
            if name == "Allow":
                response.headers[name] = value
        return response
    return answer(500, "crash", "Something went wrong on our side; it has been logged.")


def _engine_error(error: EngineError) -> Response:
    for kind, status in _STATUS:
        if isinstance(error, kind):
            field = error.data.get("field")
            errors = {field: [sentence(error)]} if status == 422 and field else None
            response = answer(status, error.code, sentence(error), errors)
            if status == 503:
                response.headers["Retry-After"] = str(RETRY_AFTER_S)
            if status == 401:
                response.headers["WWW-Authenticate"] = 'Bearer realm="cardtone"'
            return response
    return answer(500, "crash", "Something went wrong on our side; it has been logged.")


def answer(status: int, code: str, detail: str, errors: Any = None) -> Response:
    """One problem as a response."""
    title = _TITLES.get(status, "Error")
    body = {
        "type": "about:blank",
        "title": title,
        "status": status,
        "code": code,
        "detail": detail or f"{title}.",
    }
    if errors:
        body["errors"] = errors
    return Response(json.dumps(body), status, mimetype="application/problem+json")
