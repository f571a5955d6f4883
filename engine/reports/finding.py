"""What a text that somebody typed into the one box may be: a card, a phone, a call, a batch, a reseller.

Everything is looked up by an index, but the phone among the calls of the last day, which are read by their time.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from engine import house
from engine.actor import Actor
from engine.cards.queries import find_cards
from engine.cards.serials import serial_of
from engine.db import Database
from engine.names import sought
from engine.permissions import may
from engine.phone import parse_caller
from engine.schema import Batch, Binding, Reseller, Switch

MOST = 10
"""Things of one kind that are shown; there may be more."""
LEAST_LETTERS = 2
"""A part of a name shorter than this is in too many names."""
RECENT = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class FoundCard:
    """A card by its `serial`, its `number`, or because the phone is `bound` to it."""

    serial: str
    by: str


@dataclass(frozen=True, slots=True)
class FoundCall:
    """A call by its `ref`, or by the phone as `caller` or `destination`; `at`: its end, or its begin while it lives."""

    call_ref: str
    switch: str
    serial: str
    caller: str | None
    destination: str
    at: datetime
    live: bool
    by: str


@dataclass(frozen=True, slots=True)
class FoundName:
    """A batch or a reseller with its number."""

    id: int
    name: str


@dataclass(frozen=True, slots=True)
class Findings:
    """All that a text may be. `phone`: the E.164 digits that it reads as, where it may be a phone's number."""

    cards: tuple[FoundCard, ...] = ()
    calls: tuple[FoundCall, ...] = ()
    batches: tuple[FoundName, ...] = ()
    resellers: tuple[FoundName, ...] = ()
    phone: str | None = None

    @property
    def count(self) -> int:
        """How many things fit."""
        return len(self.cards) + len(self.calls) + len(self.batches) + len(self.resellers)


def find(db: Database, wanted: str, actor: Actor, now: datetime) -> Findings:
    """What `wanted` may be, of what `actor` may see: `MOST` of each kind at most. No card number is ever told."""
    wanted = wanted.strip()
    if not wanted or not wanted.isprintable():
        return Findings()
    phone = parse_caller(wanted, house.current(db).settings.home_country or None)
    cards = {match.serial: FoundCard(match.serial, match.by) for match in find_cards(db, wanted)}
    with db.begin() as session:
        if phone is not None:
            for serial in _bound(session, phone):
                cards.setdefault(serial, FoundCard(serial, "bound"))
        calls = _by_ref(session, wanted) or (_by_phone(session, phone, now) if phone is not None else ())
        return Findings(
            cards=tuple(cards.values()),
            calls=tuple(calls),
            batches=_named(session, Batch, wanted, Batch.discarded_at.is_(None)),
            resellers=_named(session, Reseller, wanted) if may(actor, "resellers.see") else (),
            phone=phone,
        )


def _bound(session: Session, phone: str) -> list[str]:
    """Cards that a phone is bound to."""
    bound = select(Binding.card_id).where(Binding.caller == phone).order_by(Binding.card_id).limit(MOST)
    return [serial_of(card_id) for card_id in session.scalars(bound)]


_LIVE_BY_REF = text(
    """
    SELECT call_ref, switch_id, card_id, caller, destination, authorized_at AS at, TRUE AS live, 'ref' AS by
    FROM call WHERE switch_id = ANY(:switches) AND call_ref = :ref
    """
)
_ENDED_BY_REF = text(
    """
    SELECT call_ref, switch_id, card_id, caller, destination, ended_at AS at, FALSE AS live, 'ref' AS by
    FROM cdr WHERE switch_id = ANY(:switches) AND call_ref = :ref ORDER BY ended_at DESC LIMIT :most
    """
)
_LIVE_BY_PHONE = text(
    """
    SELECT call_ref, switch_id, card_id, caller, destination, authorized_at AS at, TRUE AS live,
        CASE WHEN caller = :phone THEN 'caller' ELSE 'destination' END AS by
    FROM call WHERE caller = :phone OR destination = :phone ORDER BY id DESC LIMIT :most
    """
)
_ENDED_BY_PHONE = text(
    """
    SELECT call_ref, switch_id, card_id, caller, destination, ended_at AS at, FALSE AS live,
        CASE WHEN caller = :phone THEN 'caller' ELSE 'destination' END AS by
    FROM cdr WHERE ended_at >= :since AND (caller = :phone OR destination = :phone)
    ORDER BY ended_at DESC, id DESC LIMIT :most
    """
)


def _by_ref(session: Session, ref: str) -> list[FoundCall]:
    names = _switches(session)
    asked = {"switches": list(names), "ref": ref}
    rows = [*session.execute(_LIVE_BY_REF, asked), *session.execute(_ENDED_BY_REF, {**asked, "most": MOST})]
    return [_call(row, names) for row in rows[:MOST]]


def _by_phone(session: Session, phone: str, now: datetime) -> list[FoundCall]:
    names = _switches(session)
    rows = [*session.execute(_LIVE_BY_PHONE, {"phone": phone, "most": MOST})]
    if len(rows) < MOST:
        rows += session.execute(_ENDED_BY_PHONE, {"phone": phone, "since": now - RECENT, "most": MOST})
    return [_call(row, names) for row in rows[:MOST]]


def _switches(session: Session) -> dict[int, str]:
    return {row.id: row.name for row in session.execute(select(Switch.id, Switch.name))}


def _call(row: Any, switches: dict[int, str]) -> FoundCall:
    switch = switches.get(row.switch_id, str(row.switch_id))
    return FoundCall(
        row.call_ref,
        switch,
        serial_of(row.card_id),
        row.caller,
        row.destination,
        row.at,
        row.live,
        row.by,
    )


def _named(session: Session, table: Any, wanted: str, *more: Any) -> tuple[FoundName, ...]:
    """Batches or resellers with this in their names: the very name first, then the newest."""
    part = sought(wanted)
    if len(part) < LEAST_LETTERS:
        return ()
    rows = session.execute(
        select(table.id, table.name)
        .where(table.name.icontains(part, autoescape=True), *more)
        .order_by((func.lower(table.name) == part.lower()).desc(), table.id.desc())
        .limit(MOST)
    )
    return tuple(FoundName(row.id, row.name) for row in rows)
