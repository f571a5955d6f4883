"""Reading what stands behind the `?` of an address. What is malformed is answered with 400, never guessed."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from flask import abort, request

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_KEY = re.compile(r"[0-9]{1,18}", re.ASCII)
_PLACE = re.compile(r"([0-9]{1,18})-([0-9]{1,18})", re.ASCII)


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
