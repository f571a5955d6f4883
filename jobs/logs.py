"""Logs of the jobs: JSON lines on standard error, or readable ones on a terminal. Never a secret, never a card number.

An exception is told by its kind and the places it passed; its message may quote values.
"""

from __future__ import annotations

import logging
import sys
import traceback
from typing import Any

import structlog

from engine.errors import EngineError


def configure(level: str) -> None:
    """Set up structlog for this process. `level`: debug, info, warning or error."""
    renderer: Any = structlog.processors.JSONRenderer()
    if sys.stderr.isatty():
        renderer = structlog.dev.ConsoleRenderer()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    # It would write whole tracebacks, messages and all; `jobs.timetable` tells the same in our way.
    logging.getLogger("apscheduler").addHandler(logging.NullHandler())
    logging.getLogger("apscheduler").propagate = False


def failures_only() -> Any:
    """A logger for a command that does its own work: on standard error, and only what went wrong."""
    return structlog.wrap_logger(
        structlog.PrintLogger(sys.stderr),
        processors=[structlog.processors.add_log_level, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
    )


def described(error: BaseException) -> dict[str, Any]:
    """An exception as fields of a log line: its code and facts where it is one of ours, else its kinds and places."""
    if isinstance(error, EngineError) and error.__cause__ is None:
        return {"reason": error.code}
    kinds: list[str] = []
    cause: BaseException | None = error
    while cause is not None and len(kinds) < 5:
        kinds.append(type(cause).__name__)
        cause = cause.__cause__ or cause.__context__
    places = [
        f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)
    ]
    reason = error.code if isinstance(error, EngineError) else "crash"
    return {"reason": reason, "kinds": kinds, "places": places[-8:]}
