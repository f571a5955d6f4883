"""What a recharge brought, for who asked for it: a payment or a transfer of their own card, as the books have it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from engine.cards.serials import serial_of
from engine.db import Database
from engine.errors import NotFound


@dataclass(frozen=True, slots=True)
class Receipt:
    """A recharge: amounts in micro-units of `currency`, `balance` after it. `other`: the voucher's or card's serial.

    `method`: operator, voucher, auto, reseller, online or transfer; `refunded`: what of it went back to the payer.
    """

    reference: str
    method: str
    amount: int
    bonus: int
    balance: int
    currency: str
    at: datetime
    other: str | None = None
    refunded: int = 0


def payment_receipt(db: Database, card_id: int, payment_id: int) -> Receipt:
    """The receipt of a card's own payment. Raises `NotFound` ("payment_not_found"), for another card's, too."""
    with db.begin() as session:
        row: Any = session.execute(_PAYMENT, {"id": payment_id, "card_id": card_id}).one_or_none()
        if row is None:
            raise NotFound("payment_not_found")
        balance = _balance_after(session, card_id, f"payment:{payment_id}")
    other = None if row.voucher_id is None else serial_of(row.voucher_id)
    return Receipt(
        f"P{payment_id}",
        row.method,
        row.amount,
        row.bonus,
        balance,
        row.currency,
        row.at,
        other,
        row.refunded,
    )


def transfer_receipt(db: Database, card_id: int, transfer_id: int) -> Receipt:
    """The receipt of what came onto a card from another one. Raises `NotFound` as above."""
    with db.begin() as session:
        row: Any = session.execute(_TRANSFER, {"id": transfer_id, "card_id": card_id}).one_or_none()
        if row is None:
            raise NotFound("payment_not_found")
        balance = _balance_after(session, card_id, f"transfer:{transfer_id}")
    other = serial_of(row.from_id)
    return Receipt(f"T{transfer_id}", "transfer", row.amount, 0, balance, row.currency, row.at, other)


def _balance_after(session: Session, card_id: int, reference: str) -> int:
    found = session.scalar(_BALANCE, {"card_id": card_id, "reference": reference})
    return int(found or 0)


_PAYMENT = text(
    """
    SELECT method, amount, bonus, currency, at, voucher_id,
        coalesce((SELECT sum(amount) FROM refund WHERE payment_id = payment.id), 0)::bigint AS refunded
    FROM payment WHERE id = :id AND card_id = :card_id
    """
)
_TRANSFER = text(
    """
    SELECT t.from_id, t.amount, t.at, c.currency FROM card_transfer t JOIN card c ON c.id = t.to_id
    WHERE t.id = :id AND t.to_id = :card_id
    """
)
_BALANCE = text(
    "SELECT balance_after FROM ledger_entry WHERE card_id = :card_id AND reference = :reference"
    " ORDER BY id DESC LIMIT 1"
)
