"""The lists on a card's page: its live calls, its ended calls and its ledger, newest first and read by key."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select, tuple_
from sqlalchemy.orm import Session

from engine.cards.names import actor_names
from engine.cards.serials import serial_of
from engine.schema import Account, Call, CardTransfer, Cdr, CdrCorrection, LedgerEntry, Payment, Switch

PAGE = 25


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
    caller: str | None
    destination: str
    destination_name: str
    authorized_at: datetime
    answered_at: datetime | None
    hold: int
    granted_s: int


@dataclass(frozen=True, slots=True)
class EntryLine:
    """A ledger entry. `amount` is signed, as the card sees it; `actor` is a name that people know.

    `account` is the counter account. `other` is the other side where it is somebody: the serial of the card that gave
    or got it (`other_kind` "card"), the account that paid ("account", with its `other_id`).
    """

    id: int
    at: datetime
    kind: str
    account: str
    amount: int
    balance_after: int
    reference: str
    actor: str
    reason: str | None
    other: str | None = None
    other_kind: str | None = None
    other_id: int | None = None

    @property
    def call_id(self) -> int | None:
        """The call that it belongs to, where it belongs to one."""
        return self._document("call")

    @property
    def payment_id(self) -> int | None:
        """The payment behind it, where there is one."""
        return self._document("payment")

    @property
    def run_id(self) -> int | None:
        """The run over many cards that posted it, where one did."""
        return self._document("run")

    def _document(self, wanted: str) -> int | None:
        kind, _, number = self.reference.partition(":")
        return int(number) if kind == wanted and number.isdecimal() else None


@dataclass(frozen=True, slots=True)
class _Side:
    """Who stood on the other side of an entry."""

    name: str
    kind: str
    id: int | None = None


def calls_page(
    session: Session, card_id: int, before: tuple[datetime, int] | None, limit: int = PAGE
) -> tuple[tuple[CallLine, ...], tuple[datetime, int] | None]:
    """Ended calls, those that ended last first, and where the next page begins (None: nowhere)."""
    own = (CdrCorrection.card_id == Cdr.card_id) & (CdrCorrection.cdr_id == Cdr.id)
    statement = (
        select(Cdr, Switch.name, CdrCorrection)
        .join(Switch, Cdr.switch_id == Switch.id)
        .outerjoin(CdrCorrection, own)
        .where(Cdr.card_id == card_id)
    )
    if before is not None:
        statement = statement.where(tuple_(Cdr.ended_at, Cdr.id) < tuple_(*before))
    rows = session.execute(statement.order_by(Cdr.ended_at.desc(), Cdr.id.desc()).limit(limit + 1)).all()
    calls = [_call_line(cdr, switch, correction) for cdr, switch, correction in rows]
    older = (calls[limit - 1].ended_at, calls[limit - 1].id) if len(calls) > limit else None
    return tuple(calls[:limit]), older


def entries_page(
    session: Session, card_id: int, before: int | None, limit: int = PAGE
) -> tuple[tuple[EntryLine, ...], int | None]:
    """Ledger entries, newest first, and where the next page begins (None: nowhere)."""
    statement = select(LedgerEntry).where(LedgerEntry.card_id == card_id)
    if before is not None:
        statement = statement.where(LedgerEntry.id < before)
    entries = list(session.scalars(statement.order_by(LedgerEntry.id.desc()).limit(limit + 1)))
    names = actor_names(session, (entry.actor for entry in entries))
    others = _other_sides(session, card_id, entries)
    lines = tuple(_entry_line(entry, names, others) for entry in entries[:limit])
    return lines, entries[limit - 1].id if len(entries) > limit else None


def live_calls(session: Session, card_id: int) -> tuple[LiveCall, ...]:
    """The calls that have not ended, the newest first."""
    statement = select(Call, Switch.name).join(Switch, Call.switch_id == Switch.id)
    rows = session.execute(statement.where(Call.card_id == card_id).order_by(Call.id.desc()).limit(PAGE))
    return tuple(LiveCall(switch=switch, **same(call, *_LIVE)) for call, switch in rows)


def same(row: Any, *fields: str) -> dict[str, Any]:
    """Columns of a row by their names."""
    return {field: getattr(row, field) for field in fields}


def _other_sides(session: Session, card_id: int, entries: list[LedgerEntry]) -> dict[str, _Side]:
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
            found[f"transfer:{move.id}"] = _Side(serial_of(other), "card")
    if asked["payment"]:
        paid = select(Payment, Account.name).outerjoin(Account, Payment.account_id == Account.id)
        for payment, account in session.execute(paid.where(Payment.id.in_(asked["payment"]))):
            if payment.voucher_id is not None:
                other = payment.card_id if payment.voucher_id == card_id else payment.voucher_id
                found[f"payment:{payment.id}"] = _Side(serial_of(other), "card")
            elif account is not None:
                found[f"payment:{payment.id}"] = _Side(account, "account", payment.account_id)
    return found


def _entry_line(entry: LedgerEntry, names: dict[str, str], others: dict[str, _Side]) -> EntryLine:
    # A bonus is the operator's gift, whoever paid for the rest.
    other = None if entry.kind == "bonus" else others.get(entry.reference)
    return EntryLine(
        actor=names[entry.actor],
        other=other.name if other else None,
        other_kind=other.kind if other else None,
        other_id=other.id if other else None,
        **same(entry, "id", "at", "kind", "account", "amount", "balance_after", "reference", "reason"),
    )


_LIVE = tuple(field.name for field in dataclasses.fields(LiveCall) if field.name != "switch")
_SHARED = tuple(
    field.name
    for field in dataclasses.fields(CallLine)
    if field.name not in ("switch", "flags", "correction")
)
_CORRECTED = ("duration_ms", "duration_s", "billed_s", "cost", "charged", "balance_after", "cause")


def _call_line(cdr: Cdr, switch: str, correction: CdrCorrection | None) -> CallLine:
    line = CallLine(switch=switch, flags=tuple(cdr.flags), **same(cdr, *_SHARED))
    if correction is None:
        return line
    corrected = dataclasses.replace(
        line,
        ended_at=correction.at,
        flags=tuple(correction.flags),
        **same(correction, *_CORRECTED),
    )
    return dataclasses.replace(line, correction=corrected)
