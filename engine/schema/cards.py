"""Tables of batches, cards, and what is known about who uses them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    SmallInteger,
    String,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from engine.schema.base import Base, BigId, Currency, Instant, Micros, Name

CUSTODY_SQL = (
    "(CASE WHEN activated_at IS NOT NULL THEN 'activated'::text WHEN sold_at IS NOT NULL THEN 'sold'::text"
    " WHEN shipped_at IS NOT NULL THEN 'shipped'::text WHEN printed_at IS NOT NULL THEN 'printed'::text"
    " ELSE 'made'::text END)"
)
"""How far a card has come on its way to a customer."""


class Batch(Base):
    """One order of cards and all the rules they are born with. Its cards have the ids first_id … last_id.

    No card of it can be used before `ready_at`. `generated` counts the cards that stand, so that a killed
    generation goes on where it was.
    """

    __tablename__ = "batch"
    id: Mapped[BigId] = mapped_column(Identity(), primary_key=True)
    name: Mapped[Name] = mapped_column(unique=True)
    kind: Mapped[Name]
    count: Mapped[int]
    first_id: Mapped[BigId]
    last_id: Mapped[BigId]
    generated: Mapped[int] = mapped_column(server_default=text("0"))
    denomination: Mapped[Micros]
    currency: Mapped[Currency]
    deck_id: Mapped[BigId | None] = mapped_column(ForeignKey("deck.id"))
    number_prefix: Mapped[Name]
    number_length: Mapped[int] = mapped_column(SmallInteger)
    range_first: Mapped[Name | None]
    range_last: Mapped[Name | None]
    luhn: Mapped[bool]
    password_length: Mapped[int] = mapped_column(SmallInteger)
    validity_days: Mapped[int | None]
    validity_from: Mapped[Name]
    first_use: Mapped[Name]
    grace_days: Mapped[int]
    extension_days: Mapped[int | None]
    binding: Mapped[Name]
    max_bound: Mapped[int] = mapped_column(SmallInteger)
    auto_bind: Mapped[bool]
    pinless: Mapped[bool]
    concurrency: Mapped[int] = mapped_column(SmallInteger)
    destination_rules_id: Mapped[BigId] = mapped_column(ForeignKey("destination_rules.id"))
    post_call_fee: Mapped[Micros] = mapped_column(server_default=text("0"))
    maintenance_fee: Mapped[Micros] = mapped_column(server_default=text("0"))
    maintenance_days: Mapped[int | None]
    language: Mapped[Name]
    reseller_id: Mapped[BigId | None] = mapped_column(ForeignKey("reseller.id"))
    release: Mapped[Name]
    imported: Mapped[bool] = mapped_column(server_default=text("false"))
    created_by: Mapped[Name]
    created_at: Mapped[Instant]
    ready_at: Mapped[Instant | None]
    discarded_at: Mapped[Instant | None]
    work_id: Mapped[BigId | None] = mapped_column(ForeignKey("work.id"))
    __table_args__ = (
        CheckConstraint("kind IN ('calling', 'voucher')", name="kind"),
        CheckConstraint("kind = 'voucher' OR deck_id IS NOT NULL", name="deck"),
        CheckConstraint("count > 0 AND last_id - first_id + 1 = count", name="count"),
        CheckConstraint("generated BETWEEN 0 AND count", name="generated"),
        CheckConstraint("ready_at IS NULL OR generated = count", name="ready"),
        CheckConstraint("denomination >= 0", name="denomination"),
        CheckConstraint("number_prefix ~ '^[0-9]*$'", name="number_prefix"),
        CheckConstraint("validity_from IN ('generation', 'first_use')", name="validity_from"),
        CheckConstraint("first_use IN ('authentication', 'answered_call')", name="first_use"),
        CheckConstraint("binding IN ('none', 'single', 'multi')", name="binding"),
        CheckConstraint("validity_days > 0 AND grace_days >= 0 AND extension_days > 0", name="days"),
        CheckConstraint("max_bound >= 0 AND concurrency > 0", name="limits"),
        CheckConstraint("post_call_fee >= 0 AND maintenance_fee >= 0", name="fees"),
        CheckConstraint("release IN ('generation', 'activation')", name="release"),
        CheckConstraint("currency ~ '^[A-Z]{3}$'", name="currency"),
    )


class Card(Base):
    """A card: number and password, its money, and the facts its status follows from.

    `id` is the serial without its check digit: 10 digits from the sequence `card_serial`, contiguous in a batch.
    `number` stands here and nowhere else. `digest` is the password's HMAC-SHA-256 under pepper version `pepper`;
    `sealed` a copy for printing that dies with the batch's key. `released_at` is when the card may be used; a card
    held back has none. The balance is the sum of the ledger. `next_fee_at` is when its maintenance fee falls due next;
    `reseller_price` what its reseller was charged for it, so that a return gives back as much.
    """

    __tablename__ = "card"
    id: Mapped[BigId] = mapped_column(primary_key=True, autoincrement=False)
    number: Mapped[str] = mapped_column(String(32), unique=True)
    digest: Mapped[bytes] = mapped_column(LargeBinary)
    pepper: Mapped[int] = mapped_column(SmallInteger)
    sealed: Mapped[bytes | None] = mapped_column(LargeBinary)
    batch_id: Mapped[BigId] = mapped_column(ForeignKey("batch.id"))
    currency: Mapped[Currency]
    balance: Mapped[Micros]
    held: Mapped[Micros] = mapped_column(server_default=text("0"))
    live_calls: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    concurrency: Mapped[int] = mapped_column(SmallInteger)
    deck_id: Mapped[BigId | None] = mapped_column(ForeignKey("deck.id"))
    destination_rules_id: Mapped[BigId] = mapped_column(ForeignKey("destination_rules.id"))
    reseller_id: Mapped[BigId | None] = mapped_column(ForeignKey("reseller.id"))
    created_at: Mapped[Instant]
    released_at: Mapped[Instant | None]
    first_used_at: Mapped[Instant | None]
    expires_at: Mapped[Instant | None]
    locked_at: Mapped[Instant | None]
    locked_by: Mapped[Name | None]
    lock_reason: Mapped[Name | None]
    damaged_at: Mapped[Instant | None]
    damaged_by: Mapped[Name | None]
    damage_reason: Mapped[Name | None]
    printed_at: Mapped[Instant | None]
    shipped_at: Mapped[Instant | None]
    sold_at: Mapped[Instant | None]
    activated_at: Mapped[Instant | None]
    next_fee_at: Mapped[Instant | None]
    reseller_price: Mapped[Micros | None]
    __table_args__ = (
        CheckConstraint("number ~ '^[0-9]+$'", name="number"),
        CheckConstraint("octet_length(digest) = 32", name="digest"),
        CheckConstraint("balance >= held AND held >= 0", name="balance"),
        CheckConstraint("live_calls >= 0", name="live_calls"),
        CheckConstraint("concurrency > 0", name="concurrency"),
        CheckConstraint("(locked_at IS NULL) = (locked_by IS NULL)", name="locked"),
        CheckConstraint("(damaged_at IS NULL) = (damaged_by IS NULL)", name="damaged"),
        # What search finds cards by, with `ix_card_custody` over CUSTODY_SQL and id. A call changes none of it.
        Index(None, "created_at", "id"),
        Index(None, "first_used_at", "id", postgresql_where=text("first_used_at IS NOT NULL")),
        Index(None, "expires_at", "id", postgresql_where=text("expires_at IS NOT NULL")),
        Index(None, "reseller_id", "id", postgresql_where=text("reseller_id IS NOT NULL")),
        Index(None, "currency", "id"),
        # In two parts: `= false` of an expression would find no index, and a list by serial wants either in order.
        Index("ix_card_released", "id", postgresql_where=text("released_at IS NOT NULL")),
        Index("ix_card_held_back", "id", postgresql_where=text("released_at IS NULL")),
        Index(None, "next_fee_at", "id", postgresql_where=text("next_fee_at IS NOT NULL")),
        # What the reports count cards by.
        Index(None, "sold_at", postgresql_where=text("sold_at IS NOT NULL")),
        Index(None, "activated_at", postgresql_where=text("activated_at IS NOT NULL")),
        # Calls change only columns that no index holds, so their row versions stay on the page (HOT).
        {"postgresql_with": {"fillfactor": 80}},
    )


class CardSearch(Base):
    """What search needs of a card and calls or time change: its status and balance as they were folded in last.

    An index on the card's own balance would cost every call. Search looks here, and takes the truth from the card.
    """

    __tablename__ = "card_search"
    card_id: Mapped[BigId] = mapped_column(primary_key=True, autoincrement=False)
    status: Mapped[Name]
    balance: Mapped[Micros]
    __table_args__ = (
        Index(None, "status", "card_id"),
        Index(None, "balance", "card_id"),
        {"postgresql_with": {"fillfactor": 80}},
    )


class CardEvent(Base):
    """One line of a card's timeline: first use, lock, extension, expiry, …, with its actor.

    `card_id` has no foreign key: cards with a timeline are never deleted, and bulk commands write these by the 100,000.
    """

    __tablename__ = "card_event"
    card_id: Mapped[BigId] = mapped_column(primary_key=True)
    id: Mapped[BigId] = mapped_column(Identity(), primary_key=True)
    at: Mapped[Instant]
    kind: Mapped[Name]
    actor: Mapped[Name]
    data: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
    # Summed up as it grows: what isn't is read by whoever asks for the newest lines, every few seconds.
    __table_args__ = (
        Index(None, "at", postgresql_using="brin", postgresql_with={"autosummarize": "on"}),
        Index("ix_card_event_lockout", "at", postgresql_where=text("kind = 'lock' AND actor = 'failures'")),
    )


class Binding(Base):
    """A caller (E.164 digits) bound to a card; a caller is PINless for one card at a time."""

    __tablename__ = "binding"
    card_id: Mapped[BigId] = mapped_column(ForeignKey("card.id"), primary_key=True)
    caller: Mapped[str] = mapped_column(String(15), primary_key=True)
    pinless: Mapped[bool] = mapped_column(server_default=text("false"))
    created_at: Mapped[Instant]
    created_by: Mapped[Name]
    __table_args__ = (
        CheckConstraint("caller ~ '^[1-9][0-9]{6,14}$'", name="caller"),
        Index("uq_binding_pinless", "caller", unique=True, postgresql_where=text("pinless")),
        Index(None, "caller", "card_id"),
    )


class PendingBinding(Base):
    """A caller that a cardholder asked to bind: let through with the card's password until `expires_at`, and bound once
    a trusted switch authenticates the card so from there. `pinless`: it is then to be enough alone.
    """

    __tablename__ = "pending_binding"
    card_id: Mapped[BigId] = mapped_column(ForeignKey("card.id"), primary_key=True)
    caller: Mapped[str] = mapped_column(String(15), primary_key=True)
    pinless: Mapped[bool] = mapped_column(server_default=text("false"))
    created_at: Mapped[Instant]
    expires_at: Mapped[Instant] = mapped_column(index=True)
    __table_args__ = (CheckConstraint("caller ~ '^[1-9][0-9]{6,14}$'", name="caller"),)


class SpeedDial(Base):
    """A destination (E.164 digits) that a cardholder keeps under a number from 1 to 99, with a name of their own."""

    __tablename__ = "speed_dial"
    card_id: Mapped[BigId] = mapped_column(ForeignKey("card.id"), primary_key=True)
    slot: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    destination: Mapped[str] = mapped_column(String(15))
    name: Mapped[Name | None]
    created_at: Mapped[Instant]
    __table_args__ = (
        CheckConstraint("slot BETWEEN 1 AND 99", name="slot"),
        CheckConstraint("destination ~ '^[1-9][0-9]{6,14}$'", name="destination"),
    )


class CardToken(Base):
    """A card_token: proof of a right password, bound to the switch and caller that asked. Kept as SHA-256."""

    __tablename__ = "card_token"
    card_id: Mapped[BigId] = mapped_column(ForeignKey("card.id"), primary_key=True)
    digest: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True, unique=True)
    switch_id: Mapped[BigId] = mapped_column(ForeignKey("switch.id"))
    caller: Mapped[str | None] = mapped_column(String(15))
    used_at: Mapped[Instant] = mapped_column(index=True)


class KnownSource(Base):
    """A caller or browser that was right on this card before."""

    __tablename__ = "known_source"
    card_id: Mapped[BigId] = mapped_column(ForeignKey("card.id"), primary_key=True)
    source: Mapped[Name] = mapped_column(primary_key=True)
    first_right_at: Mapped[Instant]


class FailureCounter(Base):
    """Failures since the last success of one presented name (a keyed digest: of a number, a log-in, …).

    Until `blocked_until` no password is compared for it. Rows of names that don't exist are the same. For a name that
    is limited by the time (a caller, an address), the failures are those of a window that ends at `window_ends_at`.
    """

    __tablename__ = "failure_counter"
    key: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    failures: Mapped[int]
    failed_at: Mapped[Instant] = mapped_column(index=True)
    blocked_until: Mapped[Instant | None]
    window_ends_at: Mapped[Instant | None]
    __table_args__ = (
        Index(None, "window_ends_at", postgresql_where=text("window_ends_at IS NOT NULL")),
        {"postgresql_with": {"fillfactor": 70}},
    )


class Attempt(Base):
    """One refused or failed try at a door, kept apart from calls; partitioned by month and prunable.

    `reason` is the inner one (`unknown_number` and `wrong_password` are told apart here, never outside). `times`: how
    many tries the row stands for: 1, but where throttled ones come in floods and are gathered.
    """

    __tablename__ = "attempt"
    id: Mapped[BigId] = mapped_column(Identity(), primary_key=True)
    at: Mapped[Instant] = mapped_column(primary_key=True)
    door: Mapped[Name]
    source: Mapped[Name]
    card_id: Mapped[BigId | None]
    caller: Mapped[Name | None]
    destination: Mapped[Name | None]
    reason: Mapped[Name]
    times: Mapped[int] = mapped_column(server_default=text("1"))
    __table_args__ = (
        Index(None, "card_id", "at", postgresql_where=text("card_id IS NOT NULL")),
        Index(None, "at"),
        {"postgresql_partition_by": "RANGE (at)"},
    )
