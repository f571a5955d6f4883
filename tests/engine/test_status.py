"""The life of a card: one rule for its status, and validity that ends with a day of the operator's zone."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Label, Select, Subquery, cast, literal, select
from sqlalchemy.sql.visitors import replacement_traverse

from engine.cards.status import STATUSES, end_of_day, grace_end, status_of, status_sql, validity_end
from engine.db import Database
from engine.schema import Card

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
FACTS = ("damaged_at", "locked_at", "expires_at", "balance", "first_used_at")
BEFORE, AFTER = NOW - timedelta(days=1), NOW + timedelta(days=1)

ZONES = (
    "UTC",
    "Europe/London",
    "America/New_York",
    "America/Santiago",
    "America/Havana",
    "America/Asuncion",
    "Africa/Cairo",
    "Asia/Beirut",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "America/Nuuk",
    "Asia/Dhaka",
)


@dataclass(frozen=True)
class Facts:
    damaged_at: datetime | None = None
    locked_at: datetime | None = None
    expires_at: datetime | None = None
    balance: int = 5_000_000
    first_used_at: datetime | None = None


@pytest.mark.parametrize(
    ("facts", "status"),
    [
        (Facts(), "unused"),
        (Facts(first_used_at=BEFORE), "active"),
        (Facts(first_used_at=BEFORE, balance=0), "empty"),
        (Facts(balance=0), "empty"),
        (Facts(expires_at=AFTER), "unused"),
        (Facts(expires_at=NOW), "expired"),
        (Facts(expires_at=BEFORE, balance=0, first_used_at=BEFORE), "expired"),
        (Facts(expires_at=BEFORE, locked_at=BEFORE), "locked"),
        (Facts(expires_at=BEFORE, locked_at=BEFORE, damaged_at=BEFORE), "damaged"),
    ],
)
def test_a_status_is_the_first_that_applies_from_top_to_bottom(facts: Facts, status: str) -> None:
    assert status_of(facts, NOW) == status


def test_unlocking_a_card_whose_validity_passed_meanwhile_shows_expired() -> None:
    assert status_of(Facts(locked_at=BEFORE, expires_at=BEFORE), NOW) == "locked"
    assert status_of(Facts(expires_at=BEFORE), NOW) == "expired"


def test_the_rule_in_python_and_the_rule_in_sql_agree_on_every_combination(db: Database) -> None:
    moments = (None, BEFORE, NOW, AFTER)
    worlds = [
        Facts(*facts)
        for facts in itertools.product((None, BEFORE), (None, BEFORE), moments, (0, 1), (None, BEFORE))
    ]
    by_sql = []
    with db.begin() as session:
        for facts in worlds:
            row = select(*(_literal(name, facts) for name in FACTS)).subquery("card")
            by_sql.append(session.scalar(_status_over(row)))
    assert by_sql == [status_of(facts, NOW) for facts in worlds]
    assert set(by_sql) == set(STATUSES)


def _literal(name: str, facts: Facts) -> Label[Any]:
    column = Card.__table__.c[name]
    return cast(literal(getattr(facts, name), column.type), column.type).label(name)


def _status_over(row: Subquery) -> Select[tuple[str]]:
    """The SQL rule, read from a made-up row instead of the table."""
    made_up = {Card.__table__.c[name]: row.c[name] for name in FACTS}
    rule = replacement_traverse(status_sql(NOW), {}, lambda element, **_: made_up.get(element))
    return select(rule).select_from(row)


def test_ninety_days_end_at_the_end_of_the_ninetieth_day_in_the_operators_zone() -> None:
    dhaka = ZoneInfo("Asia/Dhaka")
    used = datetime(2026, 11, 20, 20, 0, tzinfo=UTC)  # already the 21st in Dhaka
    assert validity_end(used, 90, dhaka) == datetime(2027, 2, 20, 0, 0, tzinfo=dhaka)
    assert validity_end(used, 90, ZoneInfo("UTC")) == datetime(2027, 2, 19, 0, 0, tzinfo=UTC)


def test_grace_ends_at_the_end_of_its_last_day() -> None:
    zone = ZoneInfo("Europe/London")
    expires = end_of_day(date(2026, 10, 24), zone)
    assert grace_end(expires, 0, zone) == expires
    assert grace_end(expires, 2, zone) == datetime(2026, 10, 27, 0, 0, tzinfo=zone)


@pytest.mark.parametrize("zone", ZONES)
def test_a_day_ends_at_one_exact_instant_around_every_change_of_clocks(zone: str) -> None:
    info = ZoneInfo(zone)
    days = _days_around_transitions(info) or [date(2024, 2, 28), date(2024, 12, 31)]
    for day in days:
        end = end_of_day(day, info)
        assert end.tzinfo is UTC
        assert end.astimezone(info).date() > day, (zone, day)
        assert (end - timedelta(seconds=1)).astimezone(info).date() <= day, (zone, day)
        slow = _first_instant_after(day, info)
        assert end == slow, (zone, day)


def _days_around_transitions(zone: ZoneInfo) -> list[date]:
    hour = timedelta(hours=1)
    at, last = datetime(2024, 1, 1, tzinfo=UTC), datetime(2031, 1, 1, tzinfo=UTC)
    days = set()
    while at < last:
        if at.astimezone(zone).utcoffset() != (at + hour).astimezone(zone).utcoffset():
            local = at.astimezone(zone).date()
            days |= {local + timedelta(days=shift) for shift in (-1, 0, 1)}
        at += hour
    return sorted(days)


def _first_instant_after(day: date, zone: ZoneInfo) -> datetime:
    """Minute by minute: the first instant whose date in the zone is after `day`."""
    at = datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(hours=15)
    while at.astimezone(zone).date() <= day:
        at += timedelta(minutes=30)
    at -= timedelta(minutes=30)
    while at.astimezone(zone).date() <= day:
        at += timedelta(minutes=1)
    return at
