"""One log line for each request: what was asked for by whom, never what was typed.

Neither query strings nor bodies are logged. A path may hold a serial; any other long run of digits in it could be a
card number that somebody typed where a serial belongs, and is masked. An exception is logged by its kind and place:
its message may quote values.
"""

from __future__ import annotations

import logging
import re
import secrets
import sys
import time
from typing import Any

import structlog
from flask import Flask, Response, g, request

from engine import faults
from engine.cards.serials import card_id_of
from engine.errors import InvalidInput

_DIGITS = re.compile(r"\d{6,}")


def configure(level: str) -> None:
    """JSON lines on standard error, unless whoever started this process has set up logging already."""
    if structlog.is_configured():
        return
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        # Where it goes now, not where it went when the app was made.
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )


def init_app(app: Flask) -> None:
    """Log each request when it is answered, and what no error page caught."""
    # Flask's own way would write the whole message.
    app.log_exception = _log_crash  # type: ignore[method-assign, assignment]

    @app.before_request
    def begin() -> None:
        g.began = time.monotonic()
        g.reference = secrets.token_hex(4)

    @app.after_request
    def end(response: Response) -> Response:
        if request.endpoint != "static":
            structlog.get_logger("portal").info(
                "request",
                id=reference(),
                method=request.method,
                path=masked(request.path),
                status=response.status_code,
                ms=round((time.monotonic() - g.get("began", time.monotonic())) * 1000),
                by=g.get("actor_name"),
            )
        return response


def _log_crash(info: Any) -> None:
    structlog.get_logger("portal").error("crash", **described(info[1]))


def reference() -> str:
    """The name of this request, for the log and for the person who met an error."""
    name: str = g.get("reference", "")
    return name


def masked(path: str) -> str:
    """A path with every long run of digits masked that is not a serial."""
    return _DIGITS.sub(lambda run: run[0] if _is_serial(run[0]) else "•••", path)


def _is_serial(digits: str) -> bool:
    try:
        card_id_of(digits)
    except InvalidInput:
        return False
    return True


def described(error: BaseException) -> dict[str, Any]:
    """The kind of an exception and of its causes, and the places it passed: no message, no value."""
    return {"id": reference(), **faults.described(error, places=12)}
