"""Shipments: ranges of cards that left the warehouse together, to a reseller or somebody else, and their arrival.

What is shipped is *shipped* in custody from then on (a card keeps the first time). Whose stock it is does not change by
that: `engine.stock.resale` gives cards to a reseller. A shipment is a document: carrier, tracking and note may be
corrected, what was in it may not. One that came back, or was written down wrong, is taken back: its cards can be
shipped again. A card is on the way in one shipment at most.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

from sqlalchemy import Select, select, text
from sqlalchemy.orm import Session

from engine import idempotency
from engine.actor import Actor
from engine.cards.names import actor_names
from engine.cards.serials import serial_of
from engine.db import Database, reruns
from engine.errors import Conflict, InvalidInput, NotFound
from engine.names import check_control, checked_name, checked_reason
from engine.people import audit
from engine.permissions import command
from engine.schema import Reseller, Shipment, ShipmentRange
from engine.stock import conditions
from engine.stock.custody import Range, lock_range, require_ready

MOST_RANGES = 50
MOST_CARDS = 1_000_000
LONGEST_ADDRESS, LONGEST_NOTE = 500, 500
PAGE = 25


@dataclass(frozen=True, slots=True)
class Parcel:
    """The cards of one batch in one range of a shipment. `face`: what they are worth together, in micro-units."""

    batch: str
    currency: str
    denomination: int
    first_serial: str
    last_serial: str
    cards: int
    face: int


@dataclass(frozen=True, slots=True)
class ShipmentView:
    """A shipment. `reseller` None: to somebody else, whom `recipient` names."""

    id: int
    reseller_id: int | None
    reseller: str | None
    recipient: str
    address: str | None
    carrier: str | None
    tracking: str | None
    note: str | None
    cards: int
    sent_by: str
    at: datetime
    received_at: datetime | None
    received_by: str | None
    taken_back_at: datetime | None
    taken_back_by: str | None
    taken_back_reason: str | None


@dataclass(frozen=True, slots=True)
class ShipmentPage:
    """Shipments, newest first; `older` is where the next page begins, or None."""

    shipments: tuple[ShipmentView, ...]
    older: int | None


@dataclass(frozen=True, slots=True)
class Packing:
    """What would be shipped: the parcels, how many cards, and how many of them are another reseller's or nobody's,
    arrived in a shipment before, or are not marked as printed."""

    parcels: tuple[Parcel, ...]
    cards: int
    not_theirs: int
    arrived_before: int
    not_printed: int

    @property
    def sums(self) -> dict[str, int]:
        """The face value in each currency."""
        return sums_of(self.parcels)


def sums_of(parcels: Sequence[Parcel]) -> dict[str, int]:
    """The face value of parcels, in each currency."""
    sums: dict[str, int] = {}
    for parcel in parcels:
        sums[parcel.currency] = sums.get(parcel.currency, 0) + parcel.face
    return sums


@command("shipment.send")
@reruns
def send(
    db: Database,
    ranges: Sequence[Range],
    recipient: str | None,
    actor: Actor,
    now: datetime,
    *,
    reseller_id: int | None = None,
    address: str | None = None,
    carrier: str | None = None,
    tracking: str | None = None,
    note: str | None = None,
    key: str | None = None,
) -> ShipmentView:
    """Note that ranges left together, and mark their cards as shipped. `recipient`: left out where it is a reseller.

    The same `key` counts once. Raises `InvalidInput` (no_ranges, too_many_ranges, ranges_overlap, range_too_long, and
    for the texts empty, too_long, control_character), `NotFound` (cards_not_found, reseller_not_found), `Conflict`
    (batch_not_ready, batch_discarded, cards_unfit, shipped_before: they are on the way).
    """
    texts = _texts(address, carrier, tracking, note)
    ordered = _checked(ranges)
    name = None if recipient is None or not recipient.strip() else checked_name(recipient, field="recipient")
    facts = ([[one.first, one.last] for one in ordered], name, reseller_id, texts)
    scope, key = f"shipment.send:{actor}", key or idempotency.new_key()
    with db.begin() as session:
        first = idempotency.claim(session, scope, key, idempotency.fingerprint(*facts), now)
        if first is not None:
            return _view(session, _row(session, first["id"]))
        reseller = _reseller_name(session, reseller_id)
        name = name or reseller
        if name is None:
            raise InvalidInput("empty", field="recipient")
        for one in ordered:
            # Before anything is locked: what is refused keeps nobody waiting.
            require_ready(session, one)
            _refuse(session, one)
        cards = sum(_take(session, one, now) for one in ordered)
        row = Shipment(
            reseller_id=reseller_id, recipient=name, cards=cards, actor=str(actor), at=now, **texts
        )
        session.add(row)
        session.flush()
        for n, one in enumerate(ordered, 1):
            session.add(ShipmentRange(shipment_id=row.id, n=n, first_id=one.first, last_id=one.last))
        told = [f"{serial_of(one.first)}-{serial_of(one.last)}" for one in ordered]
        _tell(
            session, "send", row, actor, now, recipient=name, cards=cards, ranges=told, reseller=reseller_id
        )
        idempotency.keep(session, scope, key, {"id": row.id})
        return _view(session, row)


@command("shipment.change")
@reruns
def change(
    db: Database,
    shipment_id: int,
    actor: Actor,
    now: datetime,
    *,
    carrier: str | None = None,
    tracking: str | None = None,
    note: str | None = None,
) -> ShipmentView:
    """Correct carrier, tracking and note. Raises `NotFound` ("shipment_not_found") and as `send` for the texts."""
    wanted = _texts(None, carrier, tracking, note)
    del wanted["address"]
    with db.begin() as session:
        row = _row(session, shipment_id, lock=True)
        before = {name: getattr(row, name) for name in wanted}
        if before != wanted:
            for name, value in wanted.items():
                setattr(row, name, value)
            _tell(session, "change", row, actor, now, before=before, after=wanted)
        return _view(session, row)


@command("shipment.receive")
@reruns
def receive(db: Database, shipment_id: int, actor: Actor, now: datetime) -> ShipmentView:
    """Note that a shipment arrived; the first to say so is kept. A reseller's people say it of their own shipments.

    Raises `NotFound` ("shipment_not_found": also another's) and `Conflict` ("shipment_taken_back").
    """
    with db.begin() as session:
        row = _row(session, shipment_id, actor, lock=True)
        if row.taken_back_at is not None:
            raise Conflict("shipment_taken_back")
        if row.received_at is None:
            row.received_at, row.received_by = now, str(actor)
            _tell(session, "receive", row, actor, now, cards=row.cards)
        return _view(session, row)


@command("shipment.take_back")
@reruns
def take_back(db: Database, shipment_id: int, actor: Actor, now: datetime, reason: str) -> ShipmentView:
    """A shipment came back, or was never sent: its cards are not shipped any more. Twice is as once.

    A card that an earlier shipment had marked stays marked. Raises `NotFound` ("shipment_not_found") and
    `InvalidInput` ("reason_missing").
    """
    why = checked_reason(reason, required=True)
    with db.begin() as session:
        row = _row(session, shipment_id, lock=True)
        if row.taken_back_at is None:
            for one in _ranges(session, row):
                lock_range(session, one)
                session.execute(_UNSHIP, {"first": one.first, "last": one.last, "at": row.at})
            row.taken_back_at, row.taken_back_by, row.taken_back_reason = now, str(actor), why
            _tell(session, "take_back", row, actor, now, reason=why, cards=row.cards)
        return _view(session, row)


def packing(db: Database, ranges: Sequence[Range], *, reseller_id: int | None = None) -> Packing:
    """What `send` would ship now; nothing is changed. Raises as `send` for the ranges."""
    ordered = _checked(ranges)
    with db.begin() as session:
        for one in ordered:
            require_ready(session, one)
            _refuse(session, one)
        parcels = tuple(parcel for one in ordered for parcel in _parcels(session, one))
        rows = [
            session.execute(_PACKED, {"first": one.first, "last": one.last, "reseller": reseller_id}).one()
            for one in ordered
        ]
    apart, arrived, unprinted = (sum(row[at] for row in rows) for at in range(3))
    cards = sum(parcel.cards for parcel in parcels)
    return Packing(parcels, cards, apart if reseller_id is not None else 0, arrived, unprinted)


def shipments(
    db: Database,
    actor: Actor,
    *,
    reseller_id: int | None = None,
    on_the_way: bool = False,
    before: int | None = None,
    limit: int = PAGE,
) -> ShipmentPage:
    """The shipments that the actor may see: staff all, a reseller's people their own."""
    statement = _seen(actor)
    if reseller_id is not None:
        statement = statement.where(Shipment.reseller_id == reseller_id)
    if on_the_way:
        statement = statement.where(Shipment.received_at.is_(None), Shipment.taken_back_at.is_(None))
    if before is not None:
        statement = statement.where(Shipment.id < before)
    with db.begin() as session:
        rows = session.scalars(statement.order_by(Shipment.id.desc()).limit(limit + 1)).all()
        shown = _shown(session, rows[:limit], at_desk=actor.kind == "reseller")
    return ShipmentPage(shown, shown[-1].id if len(rows) > limit else None)


def shipment(db: Database, shipment_id: int, actor: Actor) -> tuple[ShipmentView, tuple[Parcel, ...]]:
    """A shipment with what is in it. Raises `NotFound` ("shipment_not_found": also another's)."""
    with db.begin() as session:
        row = _row(session, shipment_id, actor)
        parcels = [parcel for one in _ranges(session, row) for parcel in _parcels(session, one)]
        return _shown(session, [row], at_desk=actor.kind == "reseller")[0], tuple(parcels)


def _ranges(session: Session, row: Shipment) -> list[Range]:
    """What is in a shipment, in the order it was packed."""
    ranges = session.scalars(
        select(ShipmentRange).where(ShipmentRange.shipment_id == row.id).order_by(ShipmentRange.n)
    )
    return [Range(one.first_id, one.last_id) for one in ranges]


def _checked(ranges: Sequence[Range]) -> list[Range]:
    """The ranges in the order of their serials."""
    if not ranges:
        raise InvalidInput("no_ranges", field="ranges")
    if len(ranges) > MOST_RANGES:
        raise InvalidInput("too_many_ranges", field="ranges", high=MOST_RANGES)
    ordered = sorted(ranges, key=lambda one: one.first)
    for one, other in pairwise(ordered):
        if other.first <= one.last:
            raise InvalidInput("ranges_overlap", field="ranges", serial=serial_of(other.first))
    if sum(one.last - one.first + 1 for one in ordered) > MOST_CARDS:
        raise InvalidInput("range_too_long", field="ranges", high=MOST_CARDS)
    return ordered


def _texts(
    address: str | None, carrier: str | None, tracking: str | None, note: str | None
) -> dict[str, Any]:
    lines = {"carrier": carrier, "tracking": tracking}
    kept: dict[str, Any] = {
        name: checked_name(value, field=name) if value is not None and value.strip() else None
        for name, value in lines.items()
    }
    for name, value, most in (("address", address, LONGEST_ADDRESS), ("note", note, LONGEST_NOTE)):
        stripped = "\n".join(line.strip() for line in (value or "").splitlines()).strip()
        if len(stripped) > most:
            raise InvalidInput("too_long", field=name, high=most)
        for line in stripped.split("\n"):
            check_control(line, field=name)
        kept[name] = stripped or None
    return kept


def _reseller_name(session: Session, reseller_id: int | None) -> str | None:
    if reseller_id is None:
        return None
    row = session.get(Reseller, reseller_id)
    if row is None:
        raise NotFound("reseller_not_found")
    return row.name


def _take(session: Session, cards: Range, now: datetime) -> int:
    """Mark a range as shipped; how many cards it has."""
    lock_range(session, cards)
    _refuse(session, cards)
    session.execute(_SHIP, {"first": cards.first, "last": cards.last, "now": now})
    return cards.last - cards.first + 1


def _refuse(session: Session, cards: Range) -> None:
    """Refuse what cannot be in a parcel: cards that are void or used, and those on the way in another shipment."""
    ends = {"first": cards.first, "last": cards.last}
    unfit = session.scalar(_UNFIT, ends)
    if unfit:
        raise Conflict("cards_unfit", field="ranges", count=unfit)
    earlier = session.execute(_EARLIER, ends).first()
    if earlier is not None:
        ids = max(earlier.first_id, cards.first), min(earlier.last_id, cards.last)
        first, last = (serial_of(card_id) for card_id in ids)
        raise Conflict("shipped_before", field="ranges", shipment=earlier.shipment_id, first=first, last=last)


def _parcels(session: Session, cards: Range) -> list[Parcel]:
    rows = session.execute(_PARCELS, {"first": cards.first, "last": cards.last})
    return [
        Parcel(
            row.name,
            row.currency,
            row.denomination,
            serial_of(row.first),
            serial_of(row.last),
            row.cards,
            int(row.face),
        )
        for row in rows
    ]


def _seen(actor: Actor) -> Select[Any]:
    statement = select(Shipment)
    return (
        statement.where(Shipment.reseller_id == actor.reseller_id) if actor.kind == "reseller" else statement
    )


def _row(session: Session, shipment_id: int, actor: Actor | None = None, *, lock: bool = False) -> Shipment:
    row = session.get(Shipment, shipment_id, with_for_update=lock or None)
    foreign = actor is not None and actor.kind == "reseller" and row is not None
    if row is None or (foreign and row.reseller_id != (actor.reseller_id if actor else None)):
        raise NotFound("shipment_not_found")
    return row


def _tell(session: Session, verb: str, row: Shipment, actor: Actor, now: datetime, **facts: Any) -> None:
    audit.record(session, actor, f"shipment.{verb}", f"shipment:{row.id}", now, **facts)


def _view(session: Session, row: Shipment) -> ShipmentView:
    return _shown(session, [row])[0]


def _shown(session: Session, rows: Sequence[Shipment], *, at_desk: bool = False) -> tuple[ShipmentView, ...]:
    actors = [who for row in rows for who in (row.actor, row.received_by, row.taken_back_by) if who]
    names = actor_names(session, actors, at_desk=at_desk)
    ids = {row.reseller_id for row in rows if row.reseller_id is not None}
    found = session.execute(select(Reseller.id, Reseller.name).where(Reseller.id.in_(ids))) if ids else ()
    resellers = {row.id: row.name for row in found}
    same = (
        "id",
        "reseller_id",
        "recipient",
        "address",
        "carrier",
        "tracking",
        "note",
        "cards",
        "at",
        "received_at",
        "taken_back_at",
        "taken_back_reason",
    )
    return tuple(
        ShipmentView(
            **{name: getattr(row, name) for name in same},
            reseller=None if row.reseller_id is None else resellers[row.reseller_id],
            sent_by=names.get(row.actor, row.actor),
            received_by=None if row.received_by is None else names.get(row.received_by, row.received_by),
            taken_back_by=None
            if row.taken_back_by is None
            else names.get(row.taken_back_by, row.taken_back_by),
        )
        for row in rows
    )


_SHIP = text("UPDATE card SET shipped_at = :now WHERE id BETWEEN :first AND :last AND shipped_at IS NULL")
_UNSHIP = text("UPDATE card SET shipped_at = NULL WHERE id BETWEEN :first AND :last AND shipped_at = :at")
_UNFIT = text(
    f"SELECT count(*) FROM card WHERE id BETWEEN :first AND :last AND ({conditions.DAMAGED} OR {conditions.USED})"
)
_EARLIER = text(
    "SELECT part.shipment_id, part.first_id, part.last_id FROM shipment_range part"
    " JOIN shipment ON shipment.id = part.shipment_id AND shipment.received_at IS NULL"
    " AND shipment.taken_back_at IS NULL"
    " WHERE part.first_id <= :last AND part.last_id >= :first ORDER BY part.shipment_id LIMIT 1"
)
_PACKED = text(
    """
    SELECT count(*) FILTER (WHERE reseller_id IS DISTINCT FROM CAST(:reseller AS bigint)),
        count(*) FILTER (WHERE id <@ (
            SELECT coalesce(range_agg(int8range(part.first_id, part.last_id, '[]')), '{}')
            FROM shipment_range part JOIN shipment ON shipment.id = part.shipment_id
            WHERE shipment.received_at IS NOT NULL AND shipment.taken_back_at IS NULL
                AND part.first_id <= :last AND part.last_id >= :first)),
        count(*) FILTER (WHERE printed_at IS NULL)
    FROM card WHERE id BETWEEN :first AND :last
    """
)
_PARCELS = text(
    f"""
    SELECT batch.name, batch.currency, batch.denomination, count(*) AS cards, min(card.id) AS first,
        max(card.id) AS last, sum({conditions.FACE}) AS face
    FROM card JOIN batch ON batch.id = card.batch_id WHERE card.id BETWEEN :first AND :last
    GROUP BY batch.id ORDER BY batch.first_id
    """
)
