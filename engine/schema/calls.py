"""Tables of rates and calls."""

from __future__ import annotations

from datetime import time

from sqlalchemy import CheckConstraint, ForeignKey, Identity, Index, SmallInteger, String, Text, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from engine.schema.base import Base, BigId, Currency, Instant, Micros, Name


class Deck(Base):
    """A rate deck: a named line of immutable versions in one currency, with its rounding and time zone.

    `buy_deck_id`: the deck of what these destinations cost us, of the same currency; what margins are told against.
    """

    __tablename__ = "deck"
    id: Mapped[BigId] = mapped_column(Identity(), primary_key=True)
    name: Mapped[Name] = mapped_column(unique=True)
    currency: Mapped[Currency]
    precision: Mapped[int] = mapped_column(SmallInteger, server_default=text("4"))
    rounding: Mapped[Name] = mapped_column(server_default=text("'half_up'"))
    timezone: Mapped[Name] = mapped_column(server_default=text("'UTC'"))
    buy_deck_id: Mapped[BigId | None] = mapped_column(ForeignKey("deck.id"))
    created_by: Mapped[Name]
    created_at: Mapped[Instant]
    __table_args__ = (
        CheckConstraint("buy_deck_id <> id", name="buy_deck"),
        CheckConstraint("precision BETWEEN 0 AND 6", name="precision"),
        CheckConstraint("rounding IN ('half_up', 'up', 'down')", name="rounding"),
        CheckConstraint("currency ~ '^[A-Z]{3}$'", name="currency"),
    )


class DeckVersion(Base):
    """One import of a deck; never changed once it stands. The one in force is the latest that took effect."""

    __tablename__ = "deck_version"
    id: Mapped[BigId] = mapped_column(Identity(), primary_key=True)
    deck_id: Mapped[BigId] = mapped_column(ForeignKey("deck.id"))
    effective_from: Mapped[Instant]
    source: Mapped[Name]
    rates: Mapped[int]
    created_by: Mapped[Name]
    created_at: Mapped[Instant]
    __table_args__ = (Index(None, "deck_id", "effective_from", "id"),)


class DeckRateRow(Base):
    """One rate of a version. `price_per_minute` and `connect_fee` in micro-units; times in the deck's zone.

    `days` holds ISO weekdays 1 (Monday) … 7 where the rate has a window, with `from_time` … `to_time`.
    """

    __tablename__ = "deck_rate"
    version_id: Mapped[BigId] = mapped_column(ForeignKey("deck_version.id"), primary_key=True)
    id: Mapped[BigId] = mapped_column(Identity(), primary_key=True)
    prefix: Mapped[str] = mapped_column(String(15))
    destination_name: Mapped[Name]
    price_per_minute: Mapped[Micros]
    connect_fee: Mapped[Micros]
    first_increment: Mapped[int]
    increment: Mapped[int]
    grace: Mapped[int]
    effective_from: Mapped[Instant | None]
    effective_until: Mapped[Instant | None]
    days: Mapped[list[int] | None] = mapped_column(ARRAY(SmallInteger))
    from_time: Mapped[time | None]
    to_time: Mapped[time | None]
    __table_args__ = (
        CheckConstraint("prefix ~ '^[0-9]{1,15}$'", name="prefix"),
        CheckConstraint("price_per_minute >= 0 AND connect_fee >= 0", name="price"),
        CheckConstraint("first_increment > 0 AND increment > 0 AND grace >= 0", name="increments"),
        CheckConstraint("effective_until > effective_from", name="effective"),
        Index(None, "version_id", "prefix"),
    )


class DestinationGroup(Base):
    """A named list of prefixes (E.164 digits) that destination rules may allow or bar."""

    __tablename__ = "destination_group"
    name: Mapped[Name] = mapped_column(primary_key=True)
    prefixes: Mapped[list[str]] = mapped_column(ARRAY(Text))


class DestinationRules(Base):
    """What a card may call: barred groups, and, where `allowed` is set, only those.

    Groups are the built-in `national`, `international`, `premium`, `satellite` and the operator's own.
    """

    __tablename__ = "destination_rules"
    id: Mapped[BigId] = mapped_column(Identity(), primary_key=True)
    name: Mapped[Name] = mapped_column(unique=True)
    barred: Mapped[list[str]] = mapped_column(ARRAY(Text))
    allowed: Mapped[list[str] | None] = mapped_column(ARRAY(Text))


class AccessNumber(Base):
    """A number that cardholders call to reach us, its country (for numbers dialled nationally) and surcharges."""

    __tablename__ = "access_number"
    number: Mapped[str] = mapped_column(String(15), primary_key=True)
    name: Mapped[Name]
    country: Mapped[str | None] = mapped_column(String(2))
    language: Mapped[Name | None]
    per_minute: Mapped[Micros] = mapped_column(server_default=text("0"))
    per_call: Mapped[Micros] = mapped_column(server_default=text("0"))
    created_at: Mapped[Instant]
    disabled_at: Mapped[Instant | None]
    __table_args__ = (
        CheckConstraint("number ~ '^[0-9]{3,15}$'", name="number"),
        CheckConstraint("per_minute >= 0 AND per_call >= 0", name="surcharges"),
    )


class RatedCall:
    """What a live call and its CDR share: who, where, and the rate that was fixed at authorization.

    `price_per_minute` and `connect_fee` include the surcharges, which stand beside them for the explanation.
    `affordable_s` is what was announced; `first_granted_s` the grant of the first answer.
    """

    call_ref: Mapped[Name]
    caller: Mapped[str | None] = mapped_column(String(15))
    destination: Mapped[str] = mapped_column(String(15))
    access_number: Mapped[str | None] = mapped_column(String(15))
    one_shot: Mapped[bool]
    authorized_at: Mapped[Instant]
    answered_at: Mapped[Instant | None]
    first_granted_s: Mapped[int]
    granted_s: Mapped[int]
    affordable_s: Mapped[int]
    balance_before: Mapped[Micros]
    deck_version_id: Mapped[BigId]
    rate_id: Mapped[BigId]
    prefix: Mapped[str] = mapped_column(String(15))
    destination_name: Mapped[Name]
    price_per_minute: Mapped[Micros]
    connect_fee: Mapped[Micros]
    access_per_minute: Mapped[Micros]
    access_per_call: Mapped[Micros]
    post_call_fee: Mapped[Micros]
    first_increment: Mapped[int]
    increment: Mapped[int]
    grace: Mapped[int]
    precision: Mapped[int] = mapped_column(SmallInteger)
    rounding: Mapped[Name]


class Call(RatedCall, Base):
    """A call from its authorization until it ends: small and hot. `hold` is what it reserves on its card.

    `switch_id` has no foreign key: each call would lock its switch's row, the one row that all calls share.
    """

    __tablename__ = "call"
    card_id: Mapped[BigId] = mapped_column(ForeignKey("card.id"), primary_key=True)
    id: Mapped[BigId] = mapped_column(Identity(), primary_key=True)
    switch_id: Mapped[BigId]
    token: Mapped[bytes | None]
    hold: Mapped[Micros]
    confirmed_s: Mapped[int] = mapped_column(server_default=text("0"))
    sweep_after: Mapped[Instant] = mapped_column(index=True)
    __table_args__ = (
        Index("uq_call_switch_id_call_ref", "switch_id", "call_ref", unique=True),
        CheckConstraint("hold >= 0 AND granted_s > 0 AND confirmed_s >= 0", name="hold"),
        {"postgresql_with": {"fillfactor": 70}},
    )


class Cdr(RatedCall, Base):
    """A call that ended, with what it cost and enough to explain it; partitioned by the month of its end.

    `cost` is the price of `billed_s`; the card paid `charged` of it and the operator bore `cost - charged`.
    `duration_ms` is as reported by the switch; a swept call reported none. `flags` tell what was not ordinary.
    """

    __tablename__ = "cdr"
    card_id: Mapped[BigId] = mapped_column(primary_key=True)
    ended_at: Mapped[Instant] = mapped_column(primary_key=True)
    id: Mapped[BigId] = mapped_column(primary_key=True)
    switch_id: Mapped[BigId]
    currency: Mapped[Currency]
    duration_ms: Mapped[BigId | None]
    duration_s: Mapped[int]
    billed_s: Mapped[int]
    cost: Mapped[Micros]
    charged: Mapped[Micros]
    balance_after: Mapped[Micros]
    cause: Mapped[int | None] = mapped_column(SmallInteger)
    flags: Mapped[list[str]] = mapped_column(ARRAY(Text))
    __table_args__ = (
        CheckConstraint("cost >= charged AND charged >= 0 AND billed_s >= 0", name="charged"),
        Index(None, "switch_id", "call_ref"),
        Index(None, "ended_at", postgresql_where=text("flags <> '{}'")),
        # What lists of calls are read along: entries come at its end. And which blocks can't hold a number or a name:
        # one small summary of many CDRs, which costs a call next to nothing.
        Index(None, "ended_at", "id"),
        Index(
            "ix_cdr_numbers",
            "caller",
            "destination",
            "destination_name",
            postgresql_using="brin",
            postgresql_ops=dict.fromkeys(("caller", "destination", "destination_name"), "text_bloom_ops"),
            postgresql_with={"pages_per_range": 8, "autosummarize": "on"},
        ),
        {"postgresql_partition_by": "RANGE (ended_at)"},
    )


class CdrCorrection(Base):
    """The end that arrived after a call had been swept: what it really cost, and the difference. The CDR stays."""

    __tablename__ = "cdr_correction"
    card_id: Mapped[BigId] = mapped_column(ForeignKey("card.id"), primary_key=True)
    cdr_id: Mapped[BigId] = mapped_column(primary_key=True)
    at: Mapped[Instant]
    duration_ms: Mapped[BigId]
    duration_s: Mapped[int]
    billed_s: Mapped[int]
    cause: Mapped[int | None] = mapped_column(SmallInteger)
    cost: Mapped[Micros]
    charged: Mapped[Micros]
    balance_after: Mapped[Micros]
    flags: Mapped[list[str]] = mapped_column(ARRAY(Text))


class CallReview(Base):
    """What a person found out about a flagged call: that it was looked at, by whom, and what they noted."""

    __tablename__ = "call_review"
    card_id: Mapped[BigId] = mapped_column(ForeignKey("card.id"), primary_key=True)
    cdr_id: Mapped[BigId] = mapped_column(primary_key=True)
    at: Mapped[Instant]
    actor: Mapped[Name]
    actor_name: Mapped[Name]
    note: Mapped[Name]


class ReplayLine(Base):
    """What a replay of calls found for one destination: what they brought, and what they would have at other rates.

    `charged` and `replayed` in micro-units of the deck's currency. `unrated`: calls without a rate among them.
    """

    __tablename__ = "replay_line"
    work_id: Mapped[BigId] = mapped_column(ForeignKey("work.id", ondelete="CASCADE"), primary_key=True)
    destination_name: Mapped[Name] = mapped_column(primary_key=True)
    calls: Mapped[int]
    billed_s: Mapped[BigId]
    charged: Mapped[Micros]
    replayed_s: Mapped[BigId]
    replayed: Mapped[Micros]
    unrated: Mapped[int]
