"""The timeline of a card, one line for everything that happened to it, and the reasons that people give."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from psycopg.types.json import Json
from sqlalchemy import text
from sqlalchemy.orm import Session

from engine.names import LONGEST_REASON, checked_reason

__all__ = ["LONGEST_REASON", "add_event", "checked_reason"]

_ADD = text(
    "INSERT INTO card_event (card_id, at, kind, actor, data) VALUES (:card_id, :at, :kind, :actor, :data)"
)


def add_event(session: Session, card_id: int, now: datetime, kind: str, actor: str, **data: Any) -> None:
    """Add a line in the caller's transaction. `data` holds plain values: never a secret or a card number."""
    session.execute(_ADD, {"card_id": card_id, "at": now, "kind": kind, "actor": actor, "data": Json(data)})
