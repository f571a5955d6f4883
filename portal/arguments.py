"""Reading what stands behind the `?` of an address. What is malformed is answered with 400, never guessed."""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import UTC, date, datetime, timedelta

from flask import abort, request

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
MOST_CHARACTERS = 200
_FIRST_YEAR, _LAST_YEAR = 1970, 2200
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_KEY = re.compile(r"[0-9]{1,18}", re.ASCII)
_PLACE = re.compile(r"([0-9]{1,18})-([0-9]{1,18})", re.ASCII)


def words(name: str) -> str | None:
    """Text that somebody typed, without spaces around it; None where there is none."""
    text = request.args.get(name, "").strip()
    if len(text) > MOST_CHARACTERS or not text.isprintable():
        abort(400)
    return text or None


def choice(name: str, allowed: Collection[str], default: str | None = None) -> str | None:
    """One of `allowed`; `default` where the argument is missing or empty."""
    text = request.args.get(name) or None
    if text is not None and text not in allowed:
        abort(400)
    return default if text is None else text


def flag(name: str) -> bool:
    """Whether a checkbox of a form is ticked."""
    return request.args.get(name, "") not in ("", "0")


def day(name: str) -> date | None:
    """A day, as `2026-05-31`; None where there is none."""
    text = words(name)
    if text is None:
        return None
    if not _DAY.fullmatch(text):
        abort(400)
    try:
        found = date.fromisoformat(text)
    except ValueError:
        abort(400)
    if not _FIRST_YEAR <= found.year <= _LAST_YEAR:
        abort(400)
    return found


def key(name: str) -> int | None:
    """A row's key, where the list goes on; None where the argument isn't given."""
    text = request.args.get(name)
    if text is None:
        return None
    if not _KEY.fullmatch(text):
        abort(400)
    return int(text)


def place(name: str) -> tuple[datetime, int] | None:
    """An instant and a row's key, as `written_place` writes them; None where the argument isn't given."""
    text = request.args.get(name)
    if text is None:
        return None
    match = _PLACE.fullmatch(text)
    if match is None:
        abort(400)
    try:
        return _EPOCH + int(match[1]) * _MICROSECOND, int(match[2])
    except OverflowError:
        abort(400)


def written_place(where: tuple[datetime, int] | None) -> str | None:
    """A place in a list as text for an address: microseconds since 1970, a dash, the row's key."""
    return None if where is None else f"{(where[0] - _EPOCH) // _MICROSECOND}-{where[1]}"
