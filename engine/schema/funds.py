"""Tables of the money: ledger entries, payments, answers to repeated requests."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, LargeBinary, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from engine.schema.base import Base, BigId, Currency, Instant, Micros, Name

LEDGER_KINDS = (
    "opening",  # a card is born with its denomination (or, imported, its old balance)
    "usage",  # a call
    "overrun",  # what a card could not pay of a call, borne by the operator
    "correction",  # a late end of call
    "recharge",
    "bonus",
    "voucher",  # both ends: the voucher pays out, the card takes in
    "transfer",
    "adjustment",
    "fee",
    "breakage",
)


class LedgerEntry(Base):
    """One movement between a card and a counter account. Immutable: the card's balance is the sum of its entries.

    `amount` is signed, as the card sees it. `reference` names the document (`call:12`, `payment:3`, `batch:7`).
    """

    __tablename__ = "ledger_entry"
    card_id: Mapped[BigId] = mapped_column(ForeignKey("card.id"), primary_key=True)
    id: Mapped[BigId] = mapped_column(BigInteger, Identity(), primary_key=True)
    account: Mapped[Name]
    amount: Mapped[Micros]
    balance_after: Mapped[Micros]
    kind: Mapped[Name]
    reference: Mapped[Name]
    actor: Mapped[Name]
    reason: Mapped[Name | None]
    idempotency_key: Mapped[Name | None]
    at: Mapped[Instant]
    __table_args__ = (
        CheckConstraint("amount <> 0 OR kind = 'opening'", name="amount"),
        CheckConstraint("balance_after >= 0", name="balance_after"),
        CheckConstraint("kind IN ({})".format(", ".join(f"'{kind}'" for kind in LEDGER_KINDS)), name="kind"),
        Index(
            "uq_ledger_entry_idempotency",
            "card_id",
            "idempotency_key",
            unique=True,
            postgresql_where=text("idempotency_key IS NOT NULL"),
        ),
    )


class Payment(Base):
    """Value that came onto a card: who gave it, by what means, and how much counted as bonus."""

    __tablename__ = "payment"
    id: Mapped[BigId] = mapped_column(Identity(), primary_key=True)
    card_id: Mapped[BigId] = mapped_column(ForeignKey("card.id"), index=True)
    method: Mapped[Name]
    amount: Mapped[Micros]
    bonus: Mapped[Micros] = mapped_column(server_default=text("0"))
    currency: Mapped[Currency]
    voucher_id: Mapped[BigId | None] = mapped_column(ForeignKey("card.id"), unique=True)
    actor: Mapped[Name]
    reason: Mapped[Name | None]
    idempotency_key: Mapped[Name | None] = mapped_column(unique=True)
    at: Mapped[Instant] = mapped_column(index=True)
    __table_args__ = (
        CheckConstraint("method IN ('operator', 'voucher')", name="method"),
        CheckConstraint("amount > 0 AND bonus >= 0", name="amount"),
        CheckConstraint("(method = 'voucher') = (voucher_id IS NOT NULL)", name="voucher"),
    )


class IdempotentRequest(Base):
    """The first answer to a write that carried an idempotency key, and a keyed digest of what was asked."""

    __tablename__ = "idempotent_request"
    scope: Mapped[Name] = mapped_column(primary_key=True)
    key: Mapped[Name] = mapped_column(primary_key=True)
    fingerprint: Mapped[bytes] = mapped_column(LargeBinary)
    answer: Mapped[dict[str, Any]] = mapped_column(JSONB)
    at: Mapped[Instant] = mapped_column(index=True)
