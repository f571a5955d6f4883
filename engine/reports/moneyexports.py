"""Payments and ledger entries as sources of full exports."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from engine.db import Database
from engine.money import format_amount
from engine.reports import ledgersearch, payments
from engine.reports.exports import Asked, Block, Source, register
from engine.reports.ledgerrows import LedgerRow
from engine.reports.moneyfilter import Place
from engine.reports.payments import PaymentRow

_BLOCK = 2_000
_PAYMENT_COLUMNS = (
    *("payment", "at", "method", "serial", "batch", "reseller", "currency", "amount", "bonus", "bonus_rule"),
    *("voucher", "account", "auto_recharge", "by", "reason"),
)
_ENTRY_COLUMNS = (
    *("at", "serial", "kind", "account", "other_side", "currency", "amount", "balance_after", "reference"),
    *("by", "reason"),
)


def _payments(db: Database, given: Mapping[str, Any], asked: Asked) -> Iterator[Block]:
    f = payments.from_json(given)
    place: Place | None = (asked.at, 0)
    while place is not None:
        rows, place = payments.block(db, f, place, _BLOCK)
        yield [_payment(row, asked) for row in rows]


def _payment(row: PaymentRow, asked: Asked) -> tuple[str, ...]:
    return (
        str(row.id),
        _instant(row.at, asked),
        row.method,
        row.serial,
        row.batch,
        row.reseller or "",
        row.currency,
        format_amount(row.amount, 2),
        format_amount(row.bonus, 2),
        row.bonus_rule or "",
        row.voucher or "",
        row.account or "",
        row.rule or "",
        row.actor,
        row.reason or "",
    )


def _entries(db: Database, given: Mapping[str, Any], asked: Asked) -> Iterator[Block]:
    f = ledgersearch.from_json(given)
    place: Place | None = (asked.at, 0)
    while place is not None:
        rows, place = ledgersearch.block(db, f, asked.at, place, _BLOCK)
        yield [_entry(row, asked) for row in rows]


def _entry(row: LedgerRow, asked: Asked) -> tuple[str, ...]:
    line = row.line
    return (
        _instant(line.at, asked),
        row.serial,
        line.kind,
        line.account,
        line.other or "",
        row.currency,
        format_amount(line.amount, 2),
        format_amount(line.balance_after, 2),
        line.reference,
        line.actor,
        line.reason or "",
    )


def _instant(at: datetime, asked: Asked) -> str:
    return at.astimezone(asked.zone).isoformat(timespec="seconds")


def _counted(db: Database, given: Mapping[str, Any], now: datetime) -> int | None:
    found = payments.sums(db, payments.from_json(given))
    return sum(one.payments for one in found.sums) if found.whole else None


PAYMENTS = register(
    Source(
        "payments",
        "Payments",
        "money.see",
        _PAYMENT_COLUMNS,
        _payments,
        frozenset({"batch", "reseller", "bonus_rule", "account", "auto_recharge", "by", "reason"}),
        payments.from_json,
        _counted,
    )
)
LEDGER = register(
    Source(
        "ledger",
        "Ledger entries",
        "money.see",
        _ENTRY_COLUMNS,
        _entries,
        frozenset({"other_side", "by", "reason"}),
        ledgersearch.from_json,
    )
)
