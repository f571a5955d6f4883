"""A card's timeline: all that ever happened to it, newest first, each line a sentence with who did it and why.

Two sources are laid side by side: the card's own events, and the rows of the audit trail that no event stands for
(moves of its range of serials, what became of its batch). A page begins where the last one ended, by the instant and
then by a number that tells the sources apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from engine.cards.names import actor_names
from engine.cards.serials import card_id_of, serial_of
from engine.cards.timelinewords import AUDITED, audit_said, event_said
from engine.db import Database
from engine.schema import Card, Reseller
from engine.telling import Said

PAGE = 25
_EVENTS_FROM = 2**50
"""Numbers of events begin here, so that of one instant the batch's own beginning comes before the card's."""
_END = (datetime(9999, 1, 1, tzinfo=UTC), 2**59)
"""After everything."""


@dataclass(frozen=True, slots=True)
class TimelineLine:
    """One line. `kind`: an event's, or an audit row's action; `actor`: by a name that people know, None for nobody."""

    at: datetime
    number: int
    kind: str
    said: Said
    actor: str | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Timeline:
    """A page of it. `older` is where the next one begins, or None."""

    lines: tuple[TimelineLine, ...]
    older: tuple[datetime, int] | None


_EVENTS = text(
    """
    SELECT at, id + :from AS number, kind, actor, data, data ->> 'reason' AS reason FROM card_event
    WHERE card_id = :card_id AND (at, id + :from) < (:at, :number)
    ORDER BY at DESC, number DESC LIMIT :limit
    """
)
# Rows of a range are found by the index over the ranges, so that it doesn't matter how many ranges there are.
_AUDIT_ROWS = text(
    """
    SELECT at, id AS number, action AS kind, actor, actor_name, data, reason FROM (
        SELECT * FROM audit WHERE subject IN (:card, :batch) AND action = ANY(:actions)
        UNION ALL
        SELECT * FROM audit
        WHERE subject ~ '^cards:[0-9]{11}-[0-9]{11}$'
            AND int8range(CAST(substr(subject, 7, 10) AS bigint), CAST(substr(subject, 19, 10) AS bigint), '[]')
                @> CAST(:card_id AS bigint)
            AND action = ANY(:actions)
    ) AS found
    WHERE (at, id) < (:at, :number)
    ORDER BY at DESC, number DESC LIMIT :limit
    """
)


def timeline(
    db: Database, serial: str, *, before: tuple[datetime, int] | None = None, limit: int = PAGE
) -> Timeline:
    """A page of a card's timeline; empty where no card has this serial. Raises `InvalidInput` ("bad_serial")."""
    card_id = card_id_of(serial)
    with db.begin() as session:
        found = session.execute(select(Card.batch_id, Card.currency).where(Card.id == card_id)).one_or_none()
        if found is None:
            return Timeline((), None)
        at, number = before or _END
        asked: dict[str, Any] = {"card_id": card_id, "at": at, "number": number, "limit": limit + 1}
        rows = list(session.execute(_EVENTS, {**asked, "from": _EVENTS_FROM}))
        rows += session.execute(
            _AUDIT_ROWS,
            {
                **asked,
                "card": f"card:{serial_of(card_id)}",
                "batch": f"batch:{found.batch_id}",
                "actions": sorted(AUDITED),
            },
        )
        rows.sort(key=lambda row: (row.at, row.number), reverse=True)
        shown = rows[:limit]
        names = actor_names(session, (row.actor for row in shown))
        resellers = _resellers(session, shown)
    lines = tuple(_line(row, names, resellers, found.currency) for row in shown)
    return Timeline(lines, (lines[-1].at, lines[-1].number) if len(rows) > limit else None)


def _resellers(session: Session, rows: Sequence[Any]) -> dict[int, str]:
    ids = {row.data["reseller"] for row in rows if isinstance(row.data.get("reseller"), int)}
    if not ids:
        return {}
    return {
        row.id: row.name
        for row in session.execute(select(Reseller.id, Reseller.name).where(Reseller.id.in_(ids)))
    }


def _line(row: Any, names: dict[str, str], resellers: dict[int, str], currency: str) -> TimelineLine:
    data = {"currency": currency, **row.data} if "price" in row.data else row.data
    if data.get("reseller") in resellers:
        data = {**data, "reseller_name": resellers[data["reseller"]]}
    told = audit_said(row.kind, data) if row.number < _EVENTS_FROM else event_said(row.kind, data)
    if told is None:
        raise LookupError(f"the audit trail has no sentence for {row.kind}")
    return TimelineLine(
        row.at, row.number, row.kind, told, names[row.actor] if row.actor else None, row.reason
    )
