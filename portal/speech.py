"""In whose words an engine's error is told: the console's English, or the words of the pages that answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import has_request_context, request

from engine import messages
from engine.errors import EngineError
from engine.refusal import Refusal

Said = EngineError | Refusal | str
_SPEAKERS: dict[str, Callable[[Said], str]] = {}


def speaks(blueprint: str, speaker: Callable[[Said], str]) -> None:
    """Let the pages of a blueprint tell errors in their own words."""
    _SPEAKERS[blueprint] = speaker


def sentence(error: Said, **data: Any) -> str:
    """One plain sentence for an error, a refusal or a bare code, in the words of the page that answers."""
    speaker = _SPEAKERS.get(request.blueprint or "") if has_request_context() else None
    return messages.sentence(error, **data) if speaker is None else speaker(error)
