"""Tables of the money: ledger entries, payments, answers to repeated requests."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, LargeBinary, Text, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
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
    "discard",  # unused stock is written off: its opening amount goes back
    "refund",  # an online payment went back to who paid it
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
        Index(None, "at", postgresql_using="brin", postgresql_with={"autosummarize": "on"}),
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
    account_id: Mapped[BigId | None] = mapped_column(ForeignKey("account.id"))
    bonus_rule_id: Mapped[BigId | None] = mapped_column(ForeignKey("bonus_rule.id"))
    actor: Mapped[Name]
    reason: Mapped[Name | None]
    idempotency_key: Mapped[Name | None] = mapped_column(unique=True)
    at: Mapped[Instant] = mapped_column(index=True)
    __table_args__ = (
        CheckConstraint("method IN ('operator', 'voucher', 'auto', 'reseller', 'online')", name="method"),
        CheckConstraint("(method IN ('auto', 'reseller')) = (account_id IS NOT NULL)", name="account"),
        CheckConstraint("amount > 0 AND bonus >= 0", name="amount"),
        CheckConstraint("(method = 'voucher') = (voucher_id IS NOT NULL)", name="voucher"),
    )


class Checkout(Base):
    """A recharge that a cardholder wants to pay online: what the payment service is told, and what it told us.

    `ref` is its public name; `provider_ref` the service's session, paid for at `url`. Open until it is `paid_at` or
    `closed_at` (given up, or refused by the bank). The money counts with `payment_id`; where the card could take none
    when it came, `problem` says why (a reason of `engine.errors.REASONS`). `refunded`: what went back to the payer in
    all, as the service tells it; it may tell that first.
    """

    __tablename__ = "checkout"
    id: Mapped[BigId] = mapped_column(Identity(), primary_key=True)
    ref: Mapped[Name] = mapped_column(unique=True)
    card_id: Mapped[BigId] = mapped_column(ForeignKey("card.id"), index=True)
    amount: Mapped[Micros]
    currency: Mapped[Currency]
    language: Mapped[Name]
    idempotency_key: Mapped[Name]
    provider_ref: Mapped[Name | None] = mapped_column(unique=True)
    url: Mapped[Name | None]
    created_at: Mapped[Instant] = mapped_column(index=True)
    closed_at: Mapped[Instant | None]
    paid_at: Mapped[Instant | None]
    payment_id: Mapped[BigId | None] = mapped_column(ForeignKey("payment.id"), unique=True)
    problem: Mapped[Name | None]
    refunded: Mapped[Micros] = mapped_column(server_default=text("0"))
    __table_args__ = (
        CheckConstraint("amount > 0 AND refunded BETWEEN 0 AND amount", name="amount"),
        CheckConstraint("payment_id IS NULL OR paid_at IS NOT NULL", name="paid"),
        Index(None, "card_id", "idempotency_key", unique=True),
        Index("ix_checkout_owed", "id", postgresql_where=text("paid_at IS NOT NULL AND payment_id IS NULL")),
    )


class Refund(Base):
    """What of an online payment went back to who paid it: `amount` in all, of which the card had `taken` left, and
    `bonus_taken` of the bonus that came with it. The rest had been spent, and the operator bears it.
    """

    __tablename__ = "refund"
    id: Mapped[BigId] = mapped_column(Identity(), primary_key=True)
    payment_id: Mapped[BigId] = mapped_column(ForeignKey("payment.id"), index=True)
    card_id: Mapped[BigId] = mapped_column(ForeignKey("card.id"), index=True)
    amount: Mapped[Micros]
    taken: Mapped[Micros]
    bonus_taken: Mapped[Micros]
    at: Mapped[Instant]
    __table_args__ = (
        CheckConstraint("amount > 0 AND taken BETWEEN 0 AND amount AND bonus_taken >= 0", name="amount"),
    )


class IdempotentRequest(Base):
    """The first answer to a write that carried an idempotency key, and a keyed digest of what was asked."""

    __tablename__ = "idempotent_request"
    scope: Mapped[Name] = mapped_column(primary_key=True)
    key: Mapped[Name] = mapped_column(primary_key=True)
    fingerprint: Mapped[bytes] = mapped_column(LargeBinary)
    answer: Mapped[dict[str, Any]] = mapped_column(JSONB)
    at: Mapped[Instant] = mapped_column(index=True)


class Account(Base):
    """Credit that recharges and stock are paid from: a reseller's, one a currency, or the operator's own (funding).

    The balance is the sum of its entries, and never falls under `-credit_limit`.
    """

    __tablename__ = "account"
    id: Mapped[BigId] = mapped_column(Identity(), primary_key=True)
    kind: Mapped[Name]
    name: Mapped[Name] = mapped_column(unique=True)
    reseller_id: Mapped[BigId | None] = mapped_column(ForeignKey("reseller.id"))
    currency: Mapped[Currency]
    balance: Mapped[Micros] = mapped_column(server_default=text("0"))
    credit_limit: Mapped[Micros] = mapped_column(server_default=text("0"))
    created_at: Mapped[Instant]
    closed_at: Mapped[Instant | None]
    __table_args__ = (
        CheckConstraint("kind IN ('reseller', 'funding')", name="kind"),
        CheckConstraint("(kind = 'reseller') = (reseller_id IS NOT NULL)", name="reseller"),
        CheckConstraint("credit_limit >= 0 AND balance >= -credit_limit", name="balance"),
        CheckConstraint("currency ~ '^[A-Z]{3}$'", name="currency"),
        Index("uq_account_reseller_id_currency", "reseller_id", "currency", unique=True),
    )


class AccountEntry(Base):
    """One movement on an account, signed as the account sees it. Immutable, like a card's ledger entry.

    `reference` names the document: `payment:3` (a card was recharged from it), `move:7` (stock was charged or
    returned), `deposit`, `adjustment`.
    """

    __tablename__ = "account_entry"
    account_id: Mapped[BigId] = mapped_column(ForeignKey("account.id"), primary_key=True)
    id: Mapped[BigId] = mapped_column(BigInteger, Identity(), primary_key=True)
    amount: Mapped[Micros]
    balance_after: Mapped[Micros]
    kind: Mapped[Name]
    reference: Mapped[Name]
    actor: Mapped[Name]
    reason: Mapped[Name | None]
    idempotency_key: Mapped[Name | None]
    at: Mapped[Instant]
    __table_args__ = (
        CheckConstraint("amount <> 0", name="amount"),
        CheckConstraint("kind IN ('deposit', 'adjustment', 'recharge', 'stock', 'return')", name="kind"),
        Index(
            "uq_account_entry_idempotency",
            "account_id",
            "idempotency_key",
            unique=True,
            postgresql_where=text("idempotency_key IS NOT NULL"),
        ),
    )


class CardTransfer(Base):
    """Value that went from one card to another: a `transfer` by its holder, or what a `replace` moved."""

    __tablename__ = "card_transfer"
    id: Mapped[BigId] = mapped_column(Identity(), primary_key=True)
    kind: Mapped[Name]
    from_id: Mapped[BigId] = mapped_column(ForeignKey("card.id"), index=True)
    to_id: Mapped[BigId] = mapped_column(ForeignKey("card.id"), index=True)
    amount: Mapped[Micros]
    actor: Mapped[Name]
    reason: Mapped[Name | None]
    idempotency_key: Mapped[Name | None] = mapped_column(unique=True)
    at: Mapped[Instant]
    __table_args__ = (
        CheckConstraint("kind IN ('transfer', 'replace')", name="kind"),
        CheckConstraint("amount > 0 AND from_id <> to_id", name="amount"),
    )


class Replacement(Base):
    """A damaged card and the one that took its place. Open until what its live calls held has moved, too."""

    __tablename__ = "replacement"
    old_id: Mapped[BigId] = mapped_column(ForeignKey("card.id"), primary_key=True)
    new_id: Mapped[BigId] = mapped_column(ForeignKey("card.id"), index=True)
    actor: Mapped[Name]
    reason: Mapped[Name]
    at: Mapped[Instant]
    settled_at: Mapped[Instant | None]
    __table_args__ = (
        CheckConstraint("old_id <> new_id", name="cards"),
        Index("ix_replacement_open", "old_id", postgresql_where=text("settled_at IS NULL")),
    )


class BonusRule(Base):
    """What a recharge of `least` or more brings on top: `percent_bp` hundredths of a percent of it, plus `fixed`.

    Counts for recharges by one of `methods`, from `starts_at` until `ends_at`; with `first_only`, for a card's first.
    """

    __tablename__ = "bonus_rule"
    id: Mapped[BigId] = mapped_column(Identity(), primary_key=True)
    name: Mapped[Name] = mapped_column(unique=True)
    currency: Mapped[Currency]
    methods: Mapped[list[str]] = mapped_column(ARRAY(Text))
    percent_bp: Mapped[int] = mapped_column(server_default=text("0"))
    fixed: Mapped[Micros] = mapped_column(server_default=text("0"))
    least: Mapped[Micros] = mapped_column(server_default=text("0"))
    first_only: Mapped[bool] = mapped_column(server_default=text("false"))
    starts_at: Mapped[Instant]
    ends_at: Mapped[Instant | None]
    created_by: Mapped[Name]
    created_at: Mapped[Instant]
    disabled_at: Mapped[Instant | None]
    __table_args__ = (
        CheckConstraint("percent_bp >= 0 AND fixed >= 0 AND percent_bp + fixed > 0", name="bonus"),
        CheckConstraint("least >= 0 AND ends_at > starts_at", name="range"),
    )


class AutoRechargeRule(Base):
    """When the balance of an enrolled card falls under `threshold` by a call or a fee, recharge it by `amount`.

    At most `day_limit` and `month_limit` a card and day or month of the operator's zone, from the account `account_id`.
    `filter` finds the cards to enrol by itself; without it they are enrolled by hand. `armed_since`: when it got this
    threshold or was last let count; what a balance did before is nothing to it.
    """

    __tablename__ = "auto_recharge_rule"
    id: Mapped[BigId] = mapped_column(Identity(), primary_key=True)
    name: Mapped[Name] = mapped_column(unique=True)
    currency: Mapped[Currency]
    threshold: Mapped[Micros]
    amount: Mapped[Micros]
    account_id: Mapped[BigId] = mapped_column(ForeignKey("account.id"))
    day_limit: Mapped[Micros | None]
    month_limit: Mapped[Micros | None]
    filter: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    created_by: Mapped[Name]
    created_at: Mapped[Instant]
    armed_since: Mapped[Instant]
    disabled_at: Mapped[Instant | None]
    __table_args__ = (
        CheckConstraint("threshold > 0 AND amount > 0", name="amounts"),
        CheckConstraint("day_limit >= amount AND month_limit >= amount", name="limits"),
    )


class AutoRechargeMember(Base):
    """A card that a rule recharges. Looked up by each call that ends, so it holds nothing else."""

    __tablename__ = "auto_recharge_member"
    card_id: Mapped[BigId] = mapped_column(primary_key=True)
    rule_id: Mapped[BigId] = mapped_column(ForeignKey("auto_recharge_rule.id"), primary_key=True)
    since: Mapped[Instant]


class AutoRechargeCrossing(Base):
    """The ledger entry by which a card's balance fell under a rule's threshold, and what came of it.

    `tried_at`: when doing it last failed in a way that nobody foresaw.
    """

    __tablename__ = "auto_recharge_crossing"
    card_id: Mapped[BigId] = mapped_column(primary_key=True)
    rule_id: Mapped[BigId] = mapped_column(primary_key=True)
    entry_id: Mapped[BigId] = mapped_column(primary_key=True)
    at: Mapped[Instant]
    outcome: Mapped[Name | None]
    payment_id: Mapped[BigId | None]
    tried_at: Mapped[Instant | None]
    done_at: Mapped[Instant | None]
    __table_args__ = (Index("ix_auto_recharge_crossing_due", "at", postgresql_where=text("done_at IS NULL")),)


class StockMove(Base):
    """A range of cards that went to a reseller, was activated or sold by one, or came back.

    `amount` is what its account was charged for it (negative: given back), for `charged` of the cards with a face value
    of `face` (signed as the amount); the difference is the reseller's discount.
    """

    __tablename__ = "stock_move"
    id: Mapped[BigId] = mapped_column(Identity(), primary_key=True)
    kind: Mapped[Name]
    reseller_id: Mapped[BigId] = mapped_column(ForeignKey("reseller.id"), index=True)
    first_id: Mapped[BigId]
    last_id: Mapped[BigId]
    cards: Mapped[int]
    amount: Mapped[Micros]
    charged: Mapped[int | None]
    face: Mapped[int | None] = mapped_column(BigInteger)
    account_id: Mapped[BigId | None] = mapped_column(ForeignKey("account.id"))
    actor: Mapped[Name]
    reason: Mapped[Name | None]
    idempotency_key: Mapped[Name | None] = mapped_column(unique=True)
    at: Mapped[Instant]
    __table_args__ = (
        CheckConstraint("kind IN ('assign', 'unassign', 'activate', 'sell', 'return')", name="kind"),
        CheckConstraint("cards > 0 AND last_id >= first_id", name="cards"),
    )


class ChargeRun(Base):
    """Fees or write-offs of one chunk of cards in one currency: the document behind their entries (`charge:4`)."""

    __tablename__ = "charge_run"
    id: Mapped[BigId] = mapped_column(Identity(), primary_key=True)
    kind: Mapped[Name]
    currency: Mapped[Currency]
    cards: Mapped[int]
    amount: Mapped[Micros]
    at: Mapped[Instant]
    __table_args__ = (CheckConstraint("kind IN ('maintenance', 'breakage')", name="kind"),)
