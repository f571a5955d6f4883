"""The maintenance fee: every so many days after a card's first use, as its batch says, as far as the card can pay.

A fee falls due at the end of a day in the operator's zone, as a validity ends. `card.next_fee_at` says when the next
one does; each period is one ledger entry, and periods that passed while nothing ran are caught up one by one. A card
that had nothing to give at the time owes nothing. It stops when the card is damaged, and while it has expired.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import text
from sqlalchemy.orm import Session

from engine import settings
from engine.actor import SYSTEM
from engine.cards.status import grace_end, validity_end
from engine.db import Database, reruns
from engine.funds import ledger
from engine.funds.breakage import add_charge_run, check_posted
from engine.house import zone_of

CHUNK = 5_000
"""Cards whose fee of one period is taken in one transaction."""


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Cards looked at, and fees taken."""

    seen: int
    taken: int


def charge_due(db: Database, now: datetime) -> int:
    """Take every maintenance fee that is due, periods that were missed too; returns how many entries were written.

    What a card's calls hold is never touched. May be run by many at once, killed, and run again.
    """
    zone = _zone(db)
    schedule_missing(db, now)
    taken = 0
    while (chunk := _charge(db, zone, now)).seen:
        taken += chunk.taken
    return taken


def schedule_missing(db: Database, now: datetime) -> int:
    """Set when the next fee falls due for cards in use that have no such date; returns how many there were.

    Those are cards that were used before they came here, or that live again after they had expired: they pay from their
    next period on, and nothing for those that lie behind.
    """
    zone, scheduled = _zone(db), 0
    with db.begin() as session:
        batches = session.execute(_BATCHES).all()
    for batch in batches:
        after: int | None = batch.first_id - 1
        while after is not None:
            count, after = _schedule(db, batch, after, zone, now)
            scheduled += count
    return scheduled


def _zone(db: Database) -> ZoneInfo:
    with db.begin() as session:
        return zone_of(settings.load(session))


def next_due(first_used_at: datetime, days: int, now: datetime, zone: ZoneInfo) -> datetime:
    """The end of the first period after `now`, of periods of `days` days that count from the day of the first use."""
    passed = max(0, (now.astimezone(zone).date() - first_used_at.astimezone(zone).date()).days)
    periods = max(1, passed // days)
    while (due := validity_end(first_used_at, periods * days, zone)) <= now:
        periods += 1
    return due


_BATCHES = text(
    """
    SELECT id, first_id, last_id, maintenance_days FROM batch
    WHERE maintenance_fee > 0 AND maintenance_days > 0 AND kind = 'calling' AND ready_at IS NOT NULL ORDER BY id
    """
)
_UNSCHEDULED = text(
    """
    SELECT id, first_used_at FROM card
    WHERE id > :after AND id <= :last AND first_used_at IS NOT NULL AND next_fee_at IS NULL AND damaged_at IS NULL
        AND (expires_at IS NULL OR expires_at > :now)
    ORDER BY id LIMIT :chunk FOR NO KEY UPDATE
    """
)
_MOVE_ON = text(
    """
    UPDATE card SET next_fee_at = asked.at
    FROM unnest(CAST(:ids AS bigint[]), CAST(:times AS timestamptz[])) AS asked (id, at)
    WHERE card.id = asked.id
    """
)


@reruns
def _schedule(db: Database, batch: Any, after: int, zone: ZoneInfo, now: datetime) -> tuple[int, int | None]:
    with db.begin() as session:
        asked = {"after": after, "last": batch.last_id, "now": now, "chunk": CHUNK}
        cards = session.execute(_UNSCHEDULED, asked).all()
        if not cards:
            return 0, None
        times = [next_due(card.first_used_at, batch.maintenance_days, now, zone) for card in cards]
        session.execute(_MOVE_ON, {"ids": [card.id for card in cards], "times": times})
        return len(cards), cards[-1].id


_DUE = text(
    """
    SELECT id FROM card WHERE next_fee_at IS NOT NULL AND next_fee_at <= :now
    ORDER BY next_fee_at, id LIMIT :chunk
    """
)
# Looked at again under their locks: another run may have been faster, a call may hold more or less by now.
_LOCK = text(
    """
    SELECT c.id, c.currency, c.next_fee_at, b.maintenance_days AS days,
        greatest(0, least(b.maintenance_fee, c.balance - c.held)) AS amount,
        c.damaged_at IS NOT NULL OR (c.expires_at IS NOT NULL AND c.expires_at <= c.next_fee_at)
            OR b.maintenance_fee = 0 OR coalesce(b.maintenance_days, 0) <= 0 AS over
    FROM card c JOIN batch b ON b.id = c.batch_id
    WHERE c.id = ANY(:ids) AND c.next_fee_at <= :now
    ORDER BY c.id FOR NO KEY UPDATE OF c
    """
)


@reruns
def _charge(db: Database, zone: ZoneInfo, now: datetime) -> _Chunk:
    """The fees of one chunk of cards, for one period each."""
    with db.begin() as session:
        ids = session.scalars(_DUE, {"now": now, "chunk": CHUNK}).all()
        if not ids:
            return _Chunk(0, 0)
        cards = session.execute(_LOCK, {"ids": list(ids), "now": now}).all()
        due: dict[str, list[Any]] = defaultdict(list)
        for card in cards:
            if card.amount and not card.over:
                due[card.currency].append(card)
        for currency, some in due.items():
            _take(session, currency, some, now)
        ends = {(card.next_fee_at, card.days) for card in cards if not card.over}
        following = {(at, days): grace_end(at, days, zone) for at, days in ends}
        # None where it is over: `schedule_missing` begins anew for one that lives again.
        times = [None if card.over else following[card.next_fee_at, card.days] for card in cards]
        session.execute(_MOVE_ON, {"ids": [card.id for card in cards], "times": times})
        return _Chunk(len(ids), sum(map(len, due.values())))


def _take(session: Session, currency: str, cards: list[Any], now: datetime) -> None:
    """The document and the entries for cards of one currency, which are locked."""
    amounts = [card.amount for card in cards]
    run_id = add_charge_run(session, "maintenance", currency, amounts, now)
    posted = ledger.post_many(
        session,
        [card.id for card in cards],
        [-amount for amount in amounts],
        account=ledger.FEES,
        kind="fee",
        reference=f"charge:{run_id}",
        actor=SYSTEM,
        now=now,
        reason="maintenance",
        key=[f"maintenance:{card.next_fee_at.isoformat()}" for card in cards],
    )
    check_posted(posted, cards)
