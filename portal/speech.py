"""In whose words an engine's error is told: the console's English, or the words of the pages that answer."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from flask import has_request_context, request

from engine import messages
from engine.errors import EngineError
from engine.refusal import Refusal
from portal.formats import moment

Said = EngineError | Refusal | str
_SPEAKERS: dict[str, Callable[[Said], str]] = {}


def speaks(blueprint: str, speaker: Callable[[Said], str]) -> None:
    """Let the pages of a blueprint tell errors in their own words."""
    _SPEAKERS[blueprint] = speaker


def sentence(error: Said, **data: Any) -> str:
    """One plain sentence for an error, a refusal or a bare code, in the words of the page and times of its reader."""
    speaker = _SPEAKERS.get(request.blueprint or "") if has_request_context() else None
    if speaker is not None:
        return speaker(error)
    facts = {**(error.data if isinstance(error, EngineError) else {}), **data}
    times = {name: moment(value) for name, value in facts.items() if isinstance(value, datetime)}
    return messages.sentence(error, **{**data, **times})
