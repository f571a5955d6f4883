"""What pages and the command line show of one card. Answers are frozen, so that showing them reads nothing more.

Lists are read by key: each page begins where the last one ended, at any depth in the same time.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select, tuple_
from sqlalchemy.orm import Session

from engine import house
from engine.cards.serials import card_id_of, serial_of
from engine.cards.status import grace_end, status_of
from engine.db import Database
from engine.errors import InvalidInput
from engine.schema import (
    Account,
    Batch,
    Binding,
    Call,
    Card,
    CardTransfer,
    Cdr,
    CdrCorrection,
    Deck,
    LedgerEntry,
    Payment,
    Reseller,
    ResellerPerson,
    SettingsHead,
    Staff,
    Switch,
)

PAGE = 25
_NUMBER = re.compile(r"[0-9]{1,32}", re.ASCII)


@dataclass(frozen=True, slots=True)
class CallLine:
    """A call that ended, with all that its explanation needs. Amounts in micro-units of `currency`.

    `correction` is the same call as the end that arrived after its sweep told it.
    """

    id: int
    call_ref: str
    switch: str
    caller: str | None
    destination: str
    access_number: str | None
    authorized_at: datetime
    answered_at: datetime | None
    ended_at: datetime
    duration_ms: int | None
    duration_s: int
    billed_s: int
    currency: str
    cost: int
    charged: int
    balance_after: int
    cause: int | None
    flags: tuple[str, ...]
    destination_name: str
    prefix: str
    price_per_minute: int
    connect_fee: int
    access_per_minute: int
    access_per_call: int
    post_call_fee: int
    first_increment: int
    increment: int
    grace: int
    precision: int
    rounding: str
    correction: CallLine | None = None


@dataclass(frozen=True, slots=True)
class LiveCall:
    """A call that has not ended. `hold` is what it reserves, `granted_s` how long it may last as granted so far."""

    call_ref: str
    switch: str
    destination: str
    destination_name: str
    authorized_at: datetime
    answered_at: datetime | None
    hold: int
    granted_s: int


@dataclass(frozen=True, slots=True)
class EntryLine:
    """A ledger entry. `amount` is signed, as the card sees it; `actor` is a name that people know.

    `other` is the other side where it is somebody: the serial of the card that gave or got it, the account that paid.
    """

    id: int
    at: datetime
    kind: str
    amount: int
    balance_after: int
    reference: str
    actor: str
    reason: str | None
    other: str | None = None

    @property
    def call_id(self) -> int | None:
        """The call that it belongs to, where it belongs to one."""
        kind, _, number = self.reference.partition(":")
        return int(number) if kind == "call" and number.isdecimal() else None


@dataclass(frozen=True, slots=True)
class CardPage:
    """All that the page of a card shows. `older_calls` and `older_entries` are where the next page begins, or None.

    Of the number only its last four digits are told.
    """

    serial: str
    number_end: str
    number_length: int
    status: str
    batch_id: int
    batch: str
    batch_ready: bool
    kind: str
    currency: str
    denomination: int
    balance: int
    held: int
    deck: str | None
    reseller: str | None
    created_at: datetime
    released_at: datetime | None
    first_used_at: datetime | None
    expires_at: datetime | None
    grace_until: datetime | None
    validity_days: int | None
    validity_from: str
    locked_at: datetime | None
    locked_by: str | None
    lock_reason: str | None
    damaged_at: datetime | None
    damaged_by: str | None
    damage_reason: str | None
    printed_at: datetime | None
    shipped_at: datetime | None
    sold_at: datetime | None
    activated_at: datetime | None
    concurrency: int
    binding: str
    max_bound: int
    bound: tuple[str, ...]
    live: tuple[LiveCall, ...]
    calls: tuple[CallLine, ...]
    older_calls: tuple[datetime, int] | None
    entries: tuple[EntryLine, ...]
    older_entries: int | None


@dataclass(frozen=True, slots=True)
class Match:
    """A card that typed digits lead to, by its `serial` or by its `number`."""

    serial: str
    by: str


def card_page(
    db: Database,
    serial: str,
    now: datetime,
    *,
    calls_before: tuple[datetime, int] | None = None,
    entries_before: int | None = None,
) -> CardPage | None:
    """The page of a card, newest calls and entries first; None where no card has this serial.

    Raises `InvalidInput("bad_serial")` where it cannot be one: wrong length or check digit.
    """
    card_id = card_id_of(serial)
    known = house.current(db)
    with db.begin() as session:
        statement = (
            select(Card, Batch, Deck.name, Reseller.name, SettingsHead.revision)
            .join(Batch, Card.batch_id == Batch.id)
            .outerjoin(Deck, Card.deck_id == Deck.id)
            .outerjoin(Reseller, Card.reseller_id == Reseller.id)
            .outerjoin(SettingsHead, SettingsHead.id == 1)
            .where(Card.id == card_id)
        )
        row = session.execute(statement).one_or_none()
        if row is None:
            return None
        card, batch, deck, reseller, revision = row
        entries = _entries(session, card_id, entries_before)
        calls = _calls(session, card_id, calls_before)
        others = _other_sides(session, card_id, entries)
        names = actor_names(session, (card.locked_by, card.damaged_by, *(entry.actor for entry in entries)))
        bound = session.scalars(
            select(Binding.caller).where(Binding.card_id == card_id).order_by(Binding.created_at)
        )
        lists: dict[str, Any] = {
            "bound": tuple(bound),
            "live": _live(session, card_id),
            "calls": tuple(calls[:PAGE]),
            "older_calls": (calls[PAGE - 1].ended_at, calls[PAGE - 1].id) if len(calls) > PAGE else None,
            "entries": tuple(_entry_line(entry, names, others) for entry in entries[:PAGE]),
            "older_entries": entries[PAGE - 1].id if len(entries) > PAGE else None,
        }
    zone = (known if known.revision == revision else house.refresh(db)).zone
    return CardPage(
        serial=serial_of(card.id),
        number_end=card.number[-4:],
        number_length=len(card.number),
        status=status_of(card, now),
        batch_id=batch.id,
        batch=batch.name,
        batch_ready=batch.ready_at is not None,
        kind=batch.kind,
        denomination=batch.denomination,
        deck=deck,
        reseller=reseller,
        grace_until=grace_end(card.expires_at, batch.grace_days, zone) if card.expires_at else None,
        locked_by=_named(names, card.locked_by),
        damaged_by=_named(names, card.damaged_by),
        **_same(batch, "validity_days", "validity_from", "binding", "max_bound"),
        **_same(card, "currency", "balance", "held", "concurrency", "lock_reason", "damage_reason"),
        **_same(card, "created_at", "released_at", "first_used_at", "expires_at", "locked_at", "damaged_at"),
        **_same(card, "printed_at", "shipped_at", "sold_at", "activated_at"),
        **lists,
    )


def find_cards(db: Database, digits: str) -> tuple[Match, ...]:
    """The cards that typed digits name, as serial or as number; spaces and hyphens between them are ignored.

    Two where the digits are one card's serial and another's number.
    """
    plain = digits.replace(" ", "").replace("-", "")
    if not _NUMBER.fullmatch(plain):
        return ()
    found = []
    with db.begin() as session:
        try:
            by_serial = session.scalar(select(Card.id).where(Card.id == card_id_of(plain)))
        except InvalidInput:
            by_serial = None
        if by_serial is not None:
            found.append(Match(serial_of(by_serial), "serial"))
        by_number = session.scalar(select(Card.id).where(Card.number == plain))
        if by_number is not None and by_number != by_serial:
            found.append(Match(serial_of(by_number), "number"))
    return tuple(found)


def actor_names(session: Session, actors: Iterable[str | None]) -> dict[str, str]:
    """Names that people know for actors such as `staff:3` or `switch:2`, by actor."""
    wanted = {actor for actor in actors if actor}
    names = {"system": "Cardtone", "console": "the command line"}
    tables: tuple[tuple[str, Any], ...] = (("staff", Staff), ("switch", Switch), ("reseller", ResellerPerson))
    for kind, table in tables:
        ids = [int(actor[len(kind) + 1 :]) for actor in wanted if actor.startswith(f"{kind}:")]
        if ids:
            for row in session.execute(select(table.id, table.name).where(table.id.in_(ids))):
                names[f"{kind}:{row.id}"] = f"{kind} {row.name}" if kind == "switch" else row.name
    return {actor: names.get(actor, actor) for actor in wanted}


def _named(names: dict[str, str], actor: str | None) -> str | None:
    return None if actor is None else names[actor]


def _same(row: Any, *fields: str) -> dict[str, Any]:
    return {field: getattr(row, field) for field in fields}


def _entries(session: Session, card_id: int, before: int | None) -> list[LedgerEntry]:
    statement = select(LedgerEntry).where(LedgerEntry.card_id == card_id)
    if before is not None:
        statement = statement.where(LedgerEntry.id < before)
    return list(session.scalars(statement.order_by(LedgerEntry.id.desc()).limit(PAGE + 1)))


def _other_sides(session: Session, card_id: int, entries: list[LedgerEntry]) -> dict[str, str]:
    """Who was on the other side of transfers, vouchers and recharges from an account: by reference."""
    asked: dict[str, set[int]] = {"transfer": set(), "payment": set()}
    for entry in entries:
        kind, _, number = entry.reference.partition(":")
        if kind in asked and number.isdecimal():
            asked[kind].add(int(number))
    found = {}
    if asked["transfer"]:
        for move in session.scalars(select(CardTransfer).where(CardTransfer.id.in_(asked["transfer"]))):
            other = move.to_id if move.from_id == card_id else move.from_id
            found[f"transfer:{move.id}"] = serial_of(other)
    if asked["payment"]:
        paid = select(Payment, Account.name).outerjoin(Account, Payment.account_id == Account.id)
        for payment, account in session.execute(paid.where(Payment.id.in_(asked["payment"]))):
            if payment.voucher_id is not None:
                other = payment.card_id if payment.voucher_id == card_id else payment.voucher_id
                found[f"payment:{payment.id}"] = serial_of(other)
            elif account is not None:
                found[f"payment:{payment.id}"] = account
    return found


def _entry_line(entry: LedgerEntry, names: dict[str, str], others: dict[str, str]) -> EntryLine:
    # A bonus is the operator's gift, whoever paid for the rest.
    return EntryLine(
        actor=names[entry.actor],
        other=None if entry.kind == "bonus" else others.get(entry.reference),
        **_same(entry, "id", "at", "kind", "amount", "balance_after", "reference", "reason"),
    )


def _live(session: Session, card_id: int) -> tuple[LiveCall, ...]:
    statement = select(Call, Switch.name).join(Switch, Call.switch_id == Switch.id)
    rows = session.execute(statement.where(Call.card_id == card_id).order_by(Call.id.desc()).limit(PAGE))
    fields = (field.name for field in dataclasses.fields(LiveCall) if field.name != "switch")
    shared = tuple(fields)
    return tuple(LiveCall(switch=switch, **_same(call, *shared)) for call, switch in rows)


def _calls(session: Session, card_id: int, before: tuple[datetime, int] | None) -> list[CallLine]:
    own = (CdrCorrection.card_id == Cdr.card_id) & (CdrCorrection.cdr_id == Cdr.id)
    statement = (
        select(Cdr, Switch.name, CdrCorrection)
        .join(Switch, Cdr.switch_id == Switch.id)
        .outerjoin(CdrCorrection, own)
        .where(Cdr.card_id == card_id)
    )
    if before is not None:
        statement = statement.where(tuple_(Cdr.ended_at, Cdr.id) < tuple_(*before))
    rows = session.execute(statement.order_by(Cdr.ended_at.desc(), Cdr.id.desc()).limit(PAGE + 1))
    return [_call_line(cdr, switch, correction) for cdr, switch, correction in rows]


_SHARED = tuple(
    field.name
    for field in dataclasses.fields(CallLine)
    if field.name not in ("switch", "flags", "correction")
)
_CORRECTED = ("duration_ms", "duration_s", "billed_s", "cost", "charged", "balance_after", "cause")


def _call_line(cdr: Cdr, switch: str, correction: CdrCorrection | None) -> CallLine:
    line = CallLine(switch=switch, flags=tuple(cdr.flags), **_same(cdr, *_SHARED))
    if correction is None:
        return line
    corrected = dataclasses.replace(
        line,
        ended_at=correction.at,
        flags=tuple(correction.flags),
        **_same(correction, *_CORRECTED),
    )
    return dataclasses.replace(line, correction=corrected)
