"""What went wrong, told without quoting it: the message of an exception may hold a number, a password or a digest."""

from __future__ import annotations

import os
import traceback
from typing import Any

from engine.errors import EngineError
from engine.messages import sentence

_MOST_KINDS = 5


def described(error: BaseException, places: int = 8) -> dict[str, Any]:
    """An exception as fields of a log line: its code where it is one of ours, else its kinds and the last places."""
    if isinstance(error, EngineError) and error.__cause__ is None:
        return {"reason": error.code}
    passed = [
        f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)
    ]
    reason = error.code if isinstance(error, EngineError) else "crash"
    return {"reason": reason, "kinds": _kinds(error), "places": passed[-places:]}


def told(error: BaseException) -> str:
    """An exception as one sentence for a person: the catalogue's where it is one of ours, else its kinds and place."""
    if isinstance(error, EngineError):
        return sentence(error)
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {os.path.basename(frames[-1].filename)}:{frames[-1].lineno}" if frames else ""
    return f"Something went wrong inside Cardtone ({' from '.join(_kinds(error))}{place})."


def _kinds(error: BaseException) -> list[str]:
    kinds: list[str] = []
    cause: BaseException | None = error
    while cause is not None and len(kinds) < _MOST_KINDS:
        kinds.append(type(cause).__name__)
        cause = cause.__cause__ or cause.__context__
    return kinds
