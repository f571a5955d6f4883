"""Custody: what happened to stock on its way to a customer, kept as times on the cards of a serial range.

Custody is beside the status. It is told in any order, since boxes are; only release decides whether a card may be
used. Each command is one set statement over a range of serials, and one audit row with its counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
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
from engine.stock.conditions import (
    ASSIGN,
    CHARGED,
    DAMAGED,
    HOLD_BACK,
    MARK_SOLD,
    RELEASE,
    SOLD,
    UNASSIGN,
    USED,
    reason_sql,
)
from engine.stock.repeats import once

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
    """What a command did to a range: cards it changed, and cards it left because they were so, or may not be.

    `why`: how many were left for what reason (`used`, `in_call`, `damaged`, `resellers_stock`, or that they were so
    already, in a word);
    `batches`: the names of the batches that the range runs over. Two results are the same where they did the same.
    """

    changed: int
    left: int
    why: Mapping[str, int] = field(default_factory=dict, compare=False)
    batches: tuple[str, ...] = field(default=(), compare=False)


@command("cards.printed")
@reruns
def mark_printed(
    db: Database,
    cards: Range,
    actor: Actor,
    now: datetime,
    reason: str | None = None,
    *,
    key: str | None = None,
) -> Moved:
    """The cards were printed. A card keeps the first time it was. Raises as `activate`."""
    return _mark(db, cards, "printed", actor, now, reason, key)


@command("cards.shipped")
@reruns
def mark_shipped(
    db: Database,
    cards: Range,
    actor: Actor,
    now: datetime,
    reason: str | None = None,
    *,
    key: str | None = None,
) -> Moved:
    """The cards left the warehouse. A card keeps the first time it did. Raises as `activate`."""
    return _mark(db, cards, "shipped", actor, now, reason, key)


@command("cards.sold")
@reruns
def mark_sold(
    db: Database,
    cards: Range,
    actor: Actor,
    now: datetime,
    reason: str | None = None,
    *,
    key: str | None = None,
) -> Moved:
    """The cards were sold. A card keeps the first time it was. Left are a reseller's that were not charged: what it
    sells, `engine.stock.resale` tells. Raises as `activate`.
    """
    return _change(db, cards, "sold", "sold_at = :now", MARK_SOLD, actor, now, reason, key)


@command("cards.activate")
@reruns
def activate(
    db: Database,
    cards: Range,
    actor: Actor,
    now: datetime,
    reason: str | None = None,
    *,
    key: str | None = None,
) -> Moved:
    """Release cards that are held back, so that they may be used from now on.

    Cards already released, damaged ones, and a reseller's that were not charged (`engine.stock.resale` activates them)
    are left. Raises `NotFound("cards_not_found")` where the range holds serials without a card, and
    `Conflict("batch_not_ready")`.
    """
    return _change(
        db,
        cards,
        "activate",
        "activated_at = :now, released_at = :now",
        RELEASE,
        actor,
        now,
        reason,
        key,
    )


@command("cards.hold_back")
@reruns
def hold_back(
    db: Database,
    cards: Range,
    actor: Actor,
    now: datetime,
    reason: str | None = None,
    *,
    key: str | None = None,
) -> Moved:
    """Take back the release of cards that nobody has used: they refuse at every door until they are activated.

    Cards in use, or held back already, are left. Raises as `activate`.
    """
    return _change(
        db,
        cards,
        "hold_back",
        "activated_at = NULL, released_at = NULL",
        HOLD_BACK,
        actor,
        now,
        reason,
        key,
    )


REASONS: dict[str, Mapping[str, str]] = {
    "printed": {"printed": "printed_at IS NOT NULL"},
    "shipped": {"shipped": "shipped_at IS NOT NULL"},
    "sold": MARK_SOLD,
    "activate": RELEASE,
    "hold_back": HOLD_BACK,
    "assign": ASSIGN,
    "unassign": UNASSIGN,
}
"""What keeps a card from each of these commands, in SQL; the last two are those of `engine.stock.resale`."""


def look(
    db: Database,
    cards: Range,
    verb: str,
    now: datetime,
    *,
    reseller_id: int | None = None,
    transfer: bool = False,
) -> Moved:
    """What a command of `REASONS` would do to a range now; nothing is changed. Raises as `activate`."""
    whose = {"reseller_id": reseller_id, "transfer": transfer}
    with db.begin() as session:
        batches = require_ready(session, cards)
        counts = _counted(session, cards, reason_sql(REASONS[verb]), now, **whose)
        changed = counts.pop(None, 0)
        return Moved(changed, sum(counts.values()), counts, batches)


def working(db: Database, cards: Range) -> int:
    """How many cards of a range anybody can use already, though nobody bought them and no reseller paid for them."""
    with db.begin() as session:
        return int(session.scalar(_WORKING, {"first": cards.first, "last": cards.last}) or 0)


def batches_of(db: Database, cards: Range) -> tuple[str, ...]:
    """The names of the batches that a range of serials runs over, in the order of their serials."""
    with db.begin() as session:
        return tuple(batch.name for batch in _batches(session, cards))


# --- steps that resale shares ---


def require_ready(session: Session, cards: Range) -> tuple[str, ...]:
    """The batches of a range, each serial of which must be a card of a ready one.

    Batches are contiguous, so they are few to ask. Raises `NotFound` ("cards_not_found") and `Conflict`
    (batch_not_ready, batch_discarded).
    """
    batches = _batches(session, cards)
    for batch in batches:
        if batch.ready_at is None:
            code = "batch_not_ready" if batch.discarded_at is None else "batch_discarded"
            raise Conflict(code, name=batch.name)
    missing = cards.last - cards.first + 1 - sum(batch.cards for batch in batches)
    if missing:
        raise NotFound("cards_not_found", count=missing)
    return tuple(batch.name for batch in batches)


def missing_of(session: Session, cards: Range, reseller_id: int) -> int:
    """How many serials of a range are no cards of the reseller's stock."""
    theirs = session.scalar(_THEIRS, {"first": cards.first, "last": cards.last, "owner": reseller_id}) or 0
    return cards.last - cards.first + 1 - theirs


def require_own(session: Session, cards: Range, reseller_id: int) -> None:
    """Each serial of a range is a card of the reseller's own stock. Raises `NotFound` ("cards_not_found")."""
    missing = missing_of(session, cards, reseller_id)
    if missing:
        raise NotFound("cards_not_found", count=missing)


_THEIRS = text(
    "SELECT count(*) FROM card JOIN batch ON batch.id = card.batch_id AND batch.ready_at IS NOT NULL"
    " WHERE card.id BETWEEN :first AND :last AND card.reseller_id = :owner"
)


def lock_range(session: Session, cards: Range) -> None:
    """Lock the cards of a range, in ascending order."""
    session.execute(
        text(
            "SELECT count(*) FROM (SELECT id FROM card WHERE id BETWEEN :first AND :last"
            " ORDER BY id FOR NO KEY UPDATE) locked"
        ),
        {"first": cards.first, "last": cards.last},
    )


def subject_of(cards: Range) -> str:
    """How the audit trail names a range."""
    first, last = serial_of(cards.first), serial_of(cards.last)
    return f"card:{first}" if first == last else f"cards:{first}-{last}"


def _mark(
    db: Database,
    cards: Range,
    fact: str,
    actor: Actor,
    now: datetime,
    reason: str | None,
    key: str | None,
) -> Moved:
    return _change(db, cards, fact, f"{fact}_at = :now", REASONS[fact], actor, now, reason, key)


def _change(
    db: Database,
    cards: Range,
    verb: str,
    change: str,
    reasons: Mapping[str, str],
    actor: Actor,
    now: datetime,
    reason: str | None,
    key: str | None,
) -> Moved:
    """Change every card of a range that none of `reasons` keeps from it, and tell how many were left, and why."""
    why_sql = reason_sql(reasons)
    asked = {"first": cards.first, "last": cards.last, "now": now}
    with db.begin() as session:
        told_once = once(session, f"cards.{verb}", actor, key, now, cards.first, cards.last, reason)
        if told_once.answer is not None:
            first = told_once.answer
            return Moved(first["changed"], first["left"], first["why"], tuple(first["batches"]))
        batches = require_ready(session, cards)
        lock_range(session, cards)
        counts = _counted(session, cards, why_sql, now)
        changed = counts.pop(None, 0)
        if changed:
            session.execute(
                text(f"UPDATE card SET {change} WHERE id BETWEEN :first AND :last AND {why_sql} IS NULL"),
                asked,
            )
        left = sum(counts.values())
        told: dict[str, Any] = {"changed": changed, "left": left}
        if counts.keys() - {verb}:  # where it can only be that they were so, that says it
            told["why"] = counts
        audit.record(session, actor, f"cards.{verb}", subject_of(cards), now, reason=reason, **told)
        told_once.keep({"changed": changed, "left": left, "why": counts, "batches": batches})
        return Moved(changed, left, counts, batches)


_WORKING = text(
    "SELECT count(*) FROM card WHERE id BETWEEN :first AND :last AND released_at IS NOT NULL"
    f" AND NOT {CHARGED} AND NOT {SOLD} AND NOT {DAMAGED} AND NOT {USED}"
)


def _counted(session: Session, cards: Range, why_sql: str, now: datetime, **more: Any) -> dict[Any, int]:
    """How many cards of a range are left for which reason; under None, how many are not."""
    counted = session.execute(
        text(
            f"SELECT {why_sql} AS why, count(*) AS cards FROM card WHERE id BETWEEN :first AND :last GROUP BY 1"
        ),
        {"first": cards.first, "last": cards.last, "now": now, **more},
    )
    return {row.why: row.cards for row in counted}


def _batches(session: Session, cards: Range) -> list[Any]:
    found = session.execute(
        text(
            "SELECT name, ready_at, discarded_at, least(last_id, :last) - greatest(first_id, :first) + 1 AS cards"
            " FROM batch WHERE first_id <= :last AND last_id >= :first ORDER BY first_id"
        ),
        {"first": cards.first, "last": cards.last},
    )
    return list(found)
