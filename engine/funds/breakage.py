"""Breakage: what is left on a released card when its grace has ended is written off, where the operator wants it so.

Cards and vouchers alike: after its grace nobody can spend what is on either. A card that makes a call waits until the
call has ended, and one whose rest is on its way to a replacement is left alone. One write-off for one expiry: what an
operator puts on the card afterwards stays, until it was extended and has expired again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from engine import settings
from engine.actor import SYSTEM
from engine.cards.expiry import grace_cutoff
from engine.db import Database, reruns
from engine.errors import Conflict
from engine.funds import ledger
from engine.house import zone_of

CHUNK = 5_000
"""Cards that are looked at in one transaction."""

_BEGINNING = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class _Place:
    """A place in the order of (expires_at, id)."""

    expires_at: datetime
    card_id: int


def write_off_due(db: Database, now: datetime) -> int:
    """Write off what is left on every card whose grace has ended, where the setting `breakage` is on; returns how many.

    One ledger entry a card (`breakage:<expires_at>`), one document (`charge_run`) for each chunk and currency. May be
    run by many at once, killed, and run again.
    """
    written = 0
    for days, cutoff in _cutoffs(db, now).items():
        after: _Place | None = _Place(_BEGINNING, 0)
        while after is not None:
            count, after = _write_off(db, days, cutoff, after, now)
            written += count
    return written


def _cutoffs(db: Database, now: datetime) -> dict[int, datetime]:
    """For each number of grace days in use: the latest expiry whose grace has ended. Empty where the setting is off."""
    with db.begin() as session:
        rules = settings.load(session)
        if not rules.breakage:
            return {}
        zone = zone_of(rules)
        used = session.scalars(text("SELECT DISTINCT grace_days FROM batch WHERE ready_at IS NOT NULL"))
        return {days: grace_cutoff(now, days, zone) for days in used}


_LOOK = text(
    """
    SELECT c.id, c.expires_at FROM card c JOIN batch b ON b.id = c.batch_id
    WHERE c.expires_at IS NOT NULL AND (c.expires_at, c.id) > (:after, :after_id) AND c.expires_at <= :cutoff
        AND c.balance > 0 AND c.live_calls = 0 AND c.released_at IS NOT NULL
        AND b.grace_days = :days AND b.ready_at IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM replacement r WHERE r.old_id = c.id AND r.settled_at IS NULL)
    ORDER BY c.expires_at, c.id LIMIT :chunk
    """
)
# Looked at again under their locks: one may have been extended, recharged or called with meanwhile.
_LOCK = text(
    """
    SELECT id, currency, balance, expires_at FROM card
    WHERE id = ANY(:ids) AND balance > 0 AND live_calls = 0 AND released_at IS NOT NULL AND expires_at <= :cutoff
    ORDER BY id FOR NO KEY UPDATE
    """
)
_WRITTEN = text(
    """
    SELECT e.card_id FROM unnest(CAST(:ids AS bigint[]), CAST(:keys AS text[])) AS asked (id, key)
    JOIN ledger_entry e ON e.card_id = asked.id AND e.idempotency_key = asked.key
    """
)
_TELL = text(
    """
    INSERT INTO card_event (card_id, at, kind, actor, data)
    SELECT id, :now, 'breakage', 'system', jsonb_build_object('amount', amount, 'currency', CAST(:currency AS text))
    FROM unnest(CAST(:ids AS bigint[]), CAST(:amounts AS bigint[])) AS asked (id, amount)
    """
)


@reruns
def _write_off(
    db: Database, days: int, cutoff: datetime, after: _Place, now: datetime
) -> tuple[int, _Place | None]:
    """One chunk: cards written off, and where to go on; None where nothing is left."""
    with db.begin() as session:
        asked = {
            "days": days,
            "cutoff": cutoff,
            "after": after.expires_at,
            "after_id": after.card_id,
            "chunk": CHUNK,
        }
        found = session.execute(_LOOK, asked).all()
        if not found:
            return 0, None
        cards = session.execute(_LOCK, {"ids": [row.id for row in found], "cutoff": cutoff}).all()
        done = set(session.scalars(_WRITTEN, {"ids": [c.id for c in cards], "keys": list(map(_key, cards))}))
        by_currency: dict[str, list[Any]] = defaultdict(list)
        for card in cards:
            if card.id not in done:
                by_currency[card.currency].append(card)
        for currency, some in by_currency.items():
            _take(session, currency, some, now)
        count = sum(map(len, by_currency.values()))
        return count, _Place(found[-1].expires_at, found[-1].id)


def _key(card: Any) -> str:
    return f"breakage:{card.expires_at.isoformat()}"


def _take(session: Session, currency: str, cards: list[Any], now: datetime) -> None:
    """The document, the entries and the lines for cards of one currency, which are locked."""
    ids, amounts = [card.id for card in cards], [card.balance for card in cards]
    run_id = add_charge_run(session, "breakage", currency, amounts, now)
    posted = ledger.post_many(
        session,
        ids,
        [-amount for amount in amounts],
        account=ledger.BREAKAGE,
        kind="breakage",
        reference=f"charge:{run_id}",
        actor=SYSTEM,
        now=now,
        key=[_key(card) for card in cards],
    )
    check_posted(posted, cards)
    session.execute(_TELL, {"ids": ids, "amounts": amounts, "currency": currency, "now": now})


def add_charge_run(session: Session, kind: str, currency: str, amounts: list[int], now: datetime) -> int:
    """The document behind fees or write-offs of some cards: what is taken from each, in micro-units. Returns its id."""
    run_id = session.scalar(
        text(
            "INSERT INTO charge_run (kind, currency, cards, amount, at)"
            " VALUES (:kind, :currency, :cards, :amount, :now) RETURNING id"
        ),
        {"kind": kind, "currency": currency, "cards": len(amounts), "amount": sum(amounts), "now": now},
    )
    return int(run_id or 0)


def check_posted(posted: Sequence[int], cards: Sequence[Any]) -> None:
    """Raise `Conflict` ("targets_changed") where not every card was posted to that the document tells of.

    Cannot be: the cards are locked and were judged so.
    """
    if len(posted) != len(cards):
        raise Conflict("targets_changed")
