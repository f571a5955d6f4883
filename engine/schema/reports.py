"""Tables of the aggregates: what happened in each quarter of an hour (UTC), so that any zone's day can be summed.

Every row is derived (`engine.reports.traffic` makes it again from the books whenever asked). `at` is when its quarter
begins. `reseller_id` is 0 where the card was nobody's. Amounts are in micro-units of `currency`.
"""

from __future__ import annotations

from sqlalchemy.orm import Mapped, mapped_column

from engine.schema.base import Base, BigId, Currency, Instant, Micros, Name


class TrafficBucket(Base):
    """Calls that ended. `answered`: with a second of talk or more. `revenue` is what cards paid, `loss` the rest.

    The end that comes after a sweep counts, as a difference, in the quarter in which it came (`corrected`): there may
    be less than nothing in one.
    """

    __tablename__ = "traffic_bucket"
    at: Mapped[Instant] = mapped_column(primary_key=True)
    currency: Mapped[Currency] = mapped_column(primary_key=True)
    batch_id: Mapped[BigId] = mapped_column(primary_key=True)
    reseller_id: Mapped[BigId] = mapped_column(primary_key=True)
    switch_id: Mapped[BigId] = mapped_column(primary_key=True)
    prefix: Mapped[Name] = mapped_column(primary_key=True)
    destination_name: Mapped[Name] = mapped_column(primary_key=True)
    calls: Mapped[BigId]
    answered: Mapped[BigId]
    seconds: Mapped[BigId]
    billed_seconds: Mapped[BigId]
    revenue: Mapped[Micros]
    loss: Mapped[Micros]
    swept: Mapped[BigId]
    flagged: Mapped[BigId]
    corrected: Mapped[BigId]


class FundsBucket(Base):
    """Ledger entries of one kind against one account: how many, and their sum as the cards see it."""

    __tablename__ = "funds_bucket"
    at: Mapped[Instant] = mapped_column(primary_key=True)
    currency: Mapped[Currency] = mapped_column(primary_key=True)
    batch_id: Mapped[BigId] = mapped_column(primary_key=True)
    reseller_id: Mapped[BigId] = mapped_column(primary_key=True)
    kind: Mapped[Name] = mapped_column(primary_key=True)
    account: Mapped[Name] = mapped_column(primary_key=True)
    entries: Mapped[BigId]
    amount: Mapped[Micros]


class PaymentBucket(Base):
    """Recharges by the way they came (`payment.method`)."""

    __tablename__ = "payment_bucket"
    at: Mapped[Instant] = mapped_column(primary_key=True)
    currency: Mapped[Currency] = mapped_column(primary_key=True)
    batch_id: Mapped[BigId] = mapped_column(primary_key=True)
    reseller_id: Mapped[BigId] = mapped_column(primary_key=True)
    method: Mapped[Name] = mapped_column(primary_key=True)
    payments: Mapped[BigId]
    amount: Mapped[Micros]
    bonus: Mapped[Micros]


class AttemptBucket(Base):
    """Refused and failed tries by door, inner reason and kind of source (`address`, `caller`, `switch`, …)."""

    __tablename__ = "attempt_bucket"
    at: Mapped[Instant] = mapped_column(primary_key=True)
    door: Mapped[Name] = mapped_column(primary_key=True)
    reason: Mapped[Name] = mapped_column(primary_key=True)
    source_kind: Mapped[Name] = mapped_column(primary_key=True)
    attempts: Mapped[BigId]


class StockBucket(Base):
    """Cards of a batch that were sold, activated, first used. An activation that is taken back leaves it by night."""

    __tablename__ = "stock_bucket"
    at: Mapped[Instant] = mapped_column(primary_key=True)
    batch_id: Mapped[BigId] = mapped_column(primary_key=True)
    reseller_id: Mapped[BigId] = mapped_column(primary_key=True)
    sold: Mapped[BigId]
    activated: Mapped[BigId]
    first_used: Mapped[BigId]
