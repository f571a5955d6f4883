"""The life of a card: its status follows from facts by one rule, written once in Python and once in SQL.

The first state that applies, from top to bottom: damaged, locked, expired, empty, active, unused. A status is never
stored, so nothing waits for a job: a card that is unlocked after its validity passed shows expired.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, String, and_, case, literal

from engine.schema import Card

STATUSES = ("damaged", "locked", "expired", "empty", "active", "unused")


class CardFacts(Protocol):
    """The facts a status follows from."""

    @property
    def damaged_at(self) -> datetime | None: ...
    @property
    def locked_at(self) -> datetime | None: ...
    @property
    def expires_at(self) -> datetime | None: ...
    @property
    def balance(self) -> int: ...
    @property
    def first_used_at(self) -> datetime | None: ...


def status_of(facts: CardFacts, now: datetime) -> str:
    """The status of a card at `now`, one of `STATUSES`."""
    if facts.damaged_at is not None:
        return "damaged"
    if facts.locked_at is not None:
        return "locked"
    if facts.expires_at is not None and facts.expires_at <= now:
        return "expired"
    if facts.balance == 0:
        return "empty"
    return "unused" if facts.first_used_at is None else "active"


def status_sql(now: datetime) -> ColumnElement[str]:
    """The same rule as an SQL expression over `Card`, for searches."""
    return case(
        (Card.damaged_at.is_not(None), literal("damaged", String)),
        (Card.locked_at.is_not(None), "locked"),
        (and_(Card.expires_at.is_not(None), Card.expires_at <= now), "expired"),
        (Card.balance == 0, "empty"),
        (Card.first_used_at.is_(None), "unused"),
        else_="active",
    )


def validity_end(start: datetime, days: int, zone: ZoneInfo) -> datetime:
    """The instant (UTC) at which a validity of `days` days ends: the end of the last day in the operator's zone.

    The day of `start` counts as day 0, so that a card is good for `days` whole days after it.
    """
    return end_of_day(start.astimezone(zone).date() + timedelta(days=days), zone)


def grace_end(expires_at: datetime, days: int, zone: ZoneInfo) -> datetime:
    """The instant (UTC) at which the grace of an expired card ends: `days` days later, at the end of that day."""
    if days == 0:
        return expires_at
    last_day = (expires_at - timedelta(microseconds=1)).astimezone(zone).date()
    return end_of_day(last_day + timedelta(days=days), zone)


def end_of_day(day: date, zone: ZoneInfo) -> datetime:
    """The first instant (UTC) after a day of a zone, exact where clocks change at midnight.

    Where midnight happens twice it is the first; where it is skipped, the instant the clocks are put forward.
    """
    midnight = datetime.combine(day + timedelta(days=1), datetime.min.time(), zone)
    end = midnight.astimezone(UTC)
    if end.astimezone(zone).replace(tzinfo=None) == midnight.replace(tzinfo=None):
        return end
    # Midnight does not exist that day. The new day starts where the clocks jump, between the two readings.
    before = midnight.replace(fold=1).astimezone(UTC) - timedelta(seconds=1)
    low, high = int(before.timestamp()), int(end.timestamp())
    while high - low > 1:
        middle = (low + high) // 2
        if datetime.fromtimestamp(middle, zone).date() > day:
            high = middle
        else:
            low = middle
    return datetime.fromtimestamp(high, UTC)
