"""Custody: what happened to stock on its way to a customer, kept as times on the cards of a serial range.

Custody is beside the status. It is told in any order, since boxes are; only release decides whether a card may be
used. Each command is one set statement over a range of serials, and one audit row with its counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from engine.actor import Actor
from engine.cards.serials import card_id_of, serial_of
from engine.db import Database, reruns
from engine.errors import Conflict, InvalidInput, NotFound
from engine.people import audit
from engine.permissions import command

MOST = 1_000_000
"""Cards in one range."""


@dataclass(frozen=True, slots=True)
class Range:
    """Cards by their ids, both ends included."""

    first: int
    last: int

    @classmethod
    def of_serials(cls, first: str, last: str | None = None) -> Range:
        """The range between two serials, or one card.

        Raises `InvalidInput` (bad_serial, range_backwards, range_too_long).
        """
        one = card_id_of(first)
        other = one if last is None else card_id_of(last)
        if other < one:
            raise InvalidInput("range_backwards", field="last")
        if other - one >= MOST:
            raise InvalidInput("range_too_long", field="last", high=MOST)
        return cls(one, other)


@dataclass(frozen=True, slots=True)
class Moved:
    """What a command did to a range: cards it changed, and cards it left because they were so, or may not be."""

    changed: int
    left: int


@command("cards.printed")
@reruns
def mark_printed(db: Database, cards: Range, actor: Actor, now: datetime, reason: str | None = None) -> Moved:
    """The cards were printed. A card keeps the first time it was. Raises as `activate`."""
    return _mark(db, cards, "printed", actor, now, reason)


@command("cards.shipped")
@reruns
def mark_shipped(db: Database, cards: Range, actor: Actor, now: datetime, reason: str | None = None) -> Moved:
    """The cards left the warehouse. A card keeps the first time it did. Raises as `activate`."""
    return _mark(db, cards, "shipped", actor, now, reason)


@command("cards.sold")
@reruns
def mark_sold(db: Database, cards: Range, actor: Actor, now: datetime, reason: str | None = None) -> Moved:
    """The cards were sold. A card keeps the first time it was. Raises as `activate`."""
    return _mark(db, cards, "sold", actor, now, reason)


@command("cards.activate")
@reruns
def activate(db: Database, cards: Range, actor: Actor, now: datetime, reason: str | None = None) -> Moved:
    """Release cards that are held back, so that they may be used from now on.

    Cards already released, and damaged ones, are left. Raises `NotFound("cards_not_found")` where the range holds
    serials without a card, and `Conflict("batch_not_ready")`.
    """
    with db.begin() as session:
        _require_ready(session, cards)
        changed = _update(
            session,
            cards,
            "activated_at = :now, released_at = :now WHERE released_at IS NULL AND damaged_at IS NULL",
            now=now,
        )
        return _told(session, cards, "activate", changed, actor, now, reason)


@command("cards.hold_back")
@reruns
def hold_back(db: Database, cards: Range, actor: Actor, now: datetime, reason: str | None = None) -> Moved:
    """Take back the release of cards that nobody has used: they refuse at every door until they are activated.

    Cards in use, or held back already, are left. Raises as `activate`.
    """
    with db.begin() as session:
        _require_ready(session, cards)
        changed = _update(
            session,
            cards,
            "activated_at = NULL, released_at = NULL"
            " WHERE released_at IS NOT NULL AND first_used_at IS NULL AND held = 0 AND live_calls = 0",
        )
        return _told(session, cards, "hold_back", changed, actor, now, reason)


def _mark(db: Database, cards: Range, fact: str, actor: Actor, now: datetime, reason: str | None) -> Moved:
    with db.begin() as session:
        _require_ready(session, cards)
        changed = _update(session, cards, f"{fact}_at = :now WHERE {fact}_at IS NULL", now=now)
        return _told(session, cards, fact, changed, actor, now, reason)


def _require_ready(session: Session, cards: Range) -> None:
    """Every serial of the range must be a card of a ready batch: batches are contiguous, so they are few to ask."""
    batches = session.execute(
        text(
            "SELECT name, ready_at, discarded_at, least(last_id, :last) - greatest(first_id, :first) + 1 AS cards"
            " FROM batch WHERE first_id <= :last AND last_id >= :first ORDER BY first_id"
        ),
        {"first": cards.first, "last": cards.last},
    ).all()
    for batch in batches:
        if batch.ready_at is None:
            code = "batch_not_ready" if batch.discarded_at is None else "batch_discarded"
            raise Conflict(code, name=batch.name)
    missing = cards.last - cards.first + 1 - sum(batch.cards for batch in batches)
    if missing:
        raise NotFound("cards_not_found", count=missing)


def _update(session: Session, cards: Range, change: str, **values: Any) -> int:
    result = session.execute(
        text(f"UPDATE card SET {change} AND id BETWEEN :first AND :last"),
        {"first": cards.first, "last": cards.last, **values},
    )
    return int(result.rowcount)  # type: ignore[attr-defined]


def _told(
    session: Session,
    cards: Range,
    verb: str,
    changed: int,
    actor: Actor,
    now: datetime,
    reason: str | None,
) -> Moved:
    left = cards.last - cards.first + 1 - changed
    first, last = serial_of(cards.first), serial_of(cards.last)
    subject = f"card:{first}" if first == last else f"cards:{first}-{last}"
    audit.record(session, actor, f"cards.{verb}", subject, now, reason=reason, changed=changed, left=left)
    return Moved(changed, left)
