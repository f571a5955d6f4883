"""Ledger entries of many cards as lists show them: each with its card, its currency and its other side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from engine.cards.lines import EntryLine
from engine.cards.names import actor_names
from engine.cards.serials import serial_of
from engine.db import Database
from engine.schema import Account, CardTransfer, Payment


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """An entry with the card it is of and that card's currency; `line` names its other side."""

    serial: str
    currency: str
    line: EntryLine


def read(db: Database, keys: list[Any]) -> tuple[LedgerRow, ...]:
    """The entries of these keys in their order, each with its card and its other side."""
    if not keys:
        return ()
    with db.connection() as conn:
        rows = conn.execute(
            "SELECT e.*, c.currency FROM unnest(%(cards)s::bigint[], %(ids)s::bigint[]) AS w (card_id, id)"
            " JOIN ledger_entry e ON e.card_id = w.card_id AND e.id = w.id JOIN card c ON c.id = e.card_id",
            {"cards": [key.card_id for key in keys], "ids": [key.id for key in keys]},
        ).fetchall()
    found = {row.id: row for row in rows}
    with db.begin() as session:
        names = actor_names(session, (row.actor for row in rows))
        sides = _Sides(session, rows)
    return tuple(_row(found[key.id], names, sides) for key in keys)


class _Sides:
    """Who was on the other side of transfers, vouchers, and recharges from an account."""

    def __init__(self, session: Session, rows: list[Any]) -> None:
        wanted: dict[str, set[int]] = {
            "transfer": set(),
            "payment": set(),
            "funding": set(),
            "reseller": set(),
        }
        for row in rows:
            for text in (row.reference, row.account):
                kind, _, number = text.partition(":")
                if kind in wanted and number.isdecimal():
                    wanted[kind].add(int(number))
        moves = select(CardTransfer.id, CardTransfer.from_id, CardTransfer.to_id)
        paid = select(Payment.id, Payment.card_id, Payment.voucher_id).where(Payment.voucher_id.is_not(None))
        names = select(Account.id, Account.name)
        self._pairs = {
            f"transfer:{row.id}": (row.from_id, row.to_id)
            for row in session.execute(moves.where(CardTransfer.id.in_(wanted["transfer"])))
        }
        self._pairs |= {
            f"payment:{row.id}": (row.card_id, row.voucher_id)
            for row in session.execute(paid.where(Payment.id.in_(wanted["payment"])))
        }
        self._accounts = {
            row.id: row.name
            for row in session.execute(names.where(Account.id.in_(wanted["funding"] | wanted["reseller"])))
        }

    def of(self, row: Any) -> tuple[str | None, str | None, int | None]:
        """Name, kind (card, account) and number of the other side; nothing where it is nobody."""
        kind, _, number = row.account.partition(":")
        if kind in ("funding", "reseller") and number.isdecimal() and int(number) in self._accounts:
            return self._accounts[int(number)], "account", int(number)
        pair = self._pairs.get(row.reference)
        if pair is None or row.kind == "bonus":
            return None, None, None
        return serial_of(pair[1] if pair[0] == row.card_id else pair[0]), "card", None


def _row(row: Any, names: dict[str, str], sides: _Sides) -> LedgerRow:
    other, kind, number = sides.of(row)
    line = EntryLine(
        id=row.id,
        at=row.at,
        kind=row.kind,
        account=row.account,
        amount=row.amount,
        balance_after=row.balance_after,
        reference=row.reference,
        actor=names[row.actor],
        reason=row.reason,
        other=other,
        other_kind=kind,
        other_id=number,
    )
    return LedgerRow(serial_of(row.card_id), row.currency, line)
