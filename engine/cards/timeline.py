"""The timeline of a card, one line for everything that happened to it, and the reasons that people give."""

from __future__ import annotations

import unicodedata
from datetime import datetime
from typing import Any

from psycopg.types.json import Json
from sqlalchemy import text
from sqlalchemy.orm import Session

from engine.errors import InvalidInput

LONGEST_REASON = 500

_ADD = text(
    "INSERT INTO card_event (card_id, at, kind, actor, data) VALUES (:card_id, :at, :kind, :actor, :data)"
)


def add_event(session: Session, card_id: int, now: datetime, kind: str, actor: str, **data: Any) -> None:
    """Add a line in the caller's transaction. `data` holds plain values: never a secret or a card number."""
    session.execute(_ADD, {"card_id": card_id, "at": now, "kind": kind, "actor": actor, "data": Json(data)})


def checked_reason(reason: str | None, *, required: bool = False) -> str | None:
    """The reason on one line with single spaces, or None where none was given.

    Raises `InvalidInput` (reason_missing where it is `required`, too_long over 500 characters, control_character).
    """
    tidy = " ".join((reason or "").split())
    if not tidy:
        if required:
            raise InvalidInput("reason_missing", field="reason")
        return None
    if len(tidy) > LONGEST_REASON:
        raise InvalidInput("too_long", field="reason", high=LONGEST_REASON)
    for character in tidy:
        if unicodedata.category(character) in ("Cc", "Cs"):
            raise InvalidInput("control_character", field="reason", character=f"U+{ord(character):04X}")
    return tidy
