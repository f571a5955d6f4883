"""The end of card tokens: with a lock or a password change at once, by being idle in time."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.orm import Session

from engine import settings
from engine.db import Database
from engine.people import sessions

_MARGIN_S = 3600
"""Dead tokens stay this much longer, so that none goes while a request that found it alive is under way."""


def log_out(session: Session, card_id: int) -> None:
    """Let no earlier proof of a card's password count any more: its tokens and its holder's web sessions end."""
    session.execute(text("DELETE FROM card_token WHERE card_id = :id"), {"id": card_id})
    sessions.close_all(session, "cardholder", card_id)


def prune(db: Database, now: datetime, limit: int = 10_000) -> int:
    """Delete up to `limit` tokens that were idle for too long and that no live call keeps alive; returns how many."""
    with db.begin() as session:
        kept_s = settings.load(session).token_idle_s + _MARGIN_S
        deleted = session.execute(
            text(
                "DELETE FROM card_token WHERE digest IN ("
                "  SELECT digest FROM card_token t WHERE used_at < :before AND NOT EXISTS ("
                "    SELECT 1 FROM call WHERE call.card_id = t.card_id AND call.token = t.digest)"
                "  ORDER BY used_at LIMIT :limit FOR UPDATE SKIP LOCKED) RETURNING 1"
            ),
            {"before": now - timedelta(seconds=kept_s), "limit": limit},
        )
        return len(deleted.all())
