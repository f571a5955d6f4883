"""The English sentences for every code that the engine raises or returns; the console and the command line share them.

An error carries a code and data, never a sentence, so that one rule can be said in many voices. Here each code has
one sentence or several, the most particular first: the first for which the data is there is said. Whoever adds a code
adds its sentence; a test goes through the source and names those that are missing.
"""

from __future__ import annotations

import string
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from engine.errors import EngineError
from engine.messages_en import MESSAGES
from engine.money import format_amount
from engine.refusal import Refusal

LONGEST_VALUE = 80
MOST_VALUES = 12

__all__ = ["MESSAGES", "sentence"]


def sentence(error: EngineError | Refusal | str, **data: Any) -> str:
    """One plain English sentence for an error, a refusal or a bare code; `data` adds to what the error carries.

    A code without a sentence is said in its own words. Values are cut at 80 characters and freed of invisible ones;
    whoever puts a sentence into a page still escapes it.
    """
    code, facts = _facts(error)
    facts = {name: value for name, value in {**facts, **data}.items() if value is not None}
    templates = MESSAGES.get(code)
    if templates is None:
        return f"{code.replace('_', ' ').capitalize()}."
    if isinstance(templates, str):
        templates = (templates,)
    for template in templates:
        if _fields(template) <= facts.keys():
            return _FORMATTER.vformat(template, (), facts)
    return _FORMATTER.vformat(templates[-1], (), {**dict.fromkeys(_fields(templates[-1]), "?"), **facts})


def _facts(error: EngineError | Refusal | str) -> tuple[str, Mapping[str, Any]]:
    if isinstance(error, EngineError):
        return error.code, error.data
    if isinstance(error, Refusal):
        return error.reason, {"retry_after_s": error.retry_after_s, "serial": error.serial}
    return error, {}


def _fields(template: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(template) if name}


class _Sentences(string.Formatter):
    """Fills templates. After a colon: `label` (a field's name), `amount` (micro-units), `wait` (seconds)."""

    def format_field(self, value: Any, spec: str) -> str:
        if spec == "label":
            return _LABELS.get(value, str(value).replace("_", " "))
        if spec == "amount" and isinstance(value, int):
            return format_amount(value, 2)
        if spec == "wait" and isinstance(value, int):
            return _wait(value)
        return _shown(value)


_FORMATTER = _Sentences()
_LABELS = {
    "per_minute": "surcharge per minute",
    "per_call": "surcharge per call",
    "max_bound": "number of bound callers",
    "timezone": "time zone",
    "zone": "time zone",
}


def _shown(value: Any) -> str:
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    if isinstance(value, bool) or not isinstance(value, str | int):
        return _listed(value) if isinstance(value, Iterable) else str(value)
    if isinstance(value, int):
        return f"{value:,}"
    visible = "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in value
    )
    return visible if len(visible) <= LONGEST_VALUE else visible[: LONGEST_VALUE - 1] + "…"


def _listed(values: Iterable[Any]) -> str:
    shown = [_shown(value) for value in values]
    if len(shown) > MOST_VALUES:
        shown[MOST_VALUES:] = [f"and {len(shown) - MOST_VALUES} more"]
    return ", ".join(shown)


def _wait(seconds: int) -> str:
    if seconds < 90:
        return f"{seconds} second{'' if seconds == 1 else 's'}"
    minutes = -(-seconds // 60)
    if minutes < 90:
        return f"{minutes} minutes"
    return f"{-(-minutes // 60)} hours"
