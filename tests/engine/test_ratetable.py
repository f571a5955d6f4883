"""Which rate is in force: longest prefix, effective dates and time windows, against a slow search of all rates."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.calls.ratetable import COLUMNS, EVERY_DAY, DeckRate, RateTable, Row, Window
from engine.calls.rating import Rate
from engine.schema import DeckRateRow

NOW = datetime(2026, 11, 18, 12, 0, tzinfo=UTC)  # a Wednesday
WEEKDAYS = [1, 2, 3, 4, 5]


def row(rate_id: int, prefix: str, price: int = 100, **when: object) -> Row:
    """A row of the deck; `when` may have since, until, days, start, end."""
    since, until = when.get("since"), when.get("until")
    days, start, end = when.get("days"), when.get("start"), when.get("end")
    return (rate_id, prefix, f"To {prefix}", price, 0, 1, 1, 0, since, until, days, start, end)  # type: ignore[return-value]


def found(table: RateTable, destination: str, at: datetime = NOW) -> int | None:
    rate = table.find(destination, at)
    explained = table.find_with_reason(destination, at)
    assert explained.rate is rate, "the explanation tells of another rate than the one that is used"
    return None if rate is None else rate.rate_id


def test_the_columns_are_those_of_the_deck_rate_table() -> None:
    assert set(COLUMNS) == set(DeckRateRow.__table__.columns.keys()) - {"version_id"}


def test_the_longest_prefix_wins() -> None:
    table = RateTable([row(1, "4"), row(2, "44"), row(3, "447"), row(4, "44790"), row(5, "1")])
    assert len(table) == 5
    assert found(table, "447901234567") == 4
    assert found(table, "447801234567") == 3
    assert found(table, "442079460000") == 2
    assert found(table, "4") == 1
    assert found(table, "44790") == 4
    assert found(table, "12125551234") == 5
    assert found(table, "33140205050") is None
    assert found(table, "") is None
    assert RateTable([]).find("442079460000", NOW) is None


def test_a_rate_carries_the_decks_precision_and_rounding_and_equal_ones_are_shared() -> None:
    table = RateTable([row(1, "44"), row(2, "33"), row(3, "1", price=7)], precision=2, rounding="up")
    british, french = table.find("442079460000", NOW), table.find("33140205050", NOW)
    assert british is not None
    assert french is not None
    assert british.rate == Rate(price_per_minute=100, precision=2, rounding="up")
    assert british.rate is french.rate
    assert (british.prefix, british.destination_name) == ("44", "To 44")


def test_dates_include_their_first_instant_and_exclude_their_last() -> None:
    later = NOW + timedelta(days=10)
    table = RateTable(
        [
            row(1, "44", until=NOW),
            row(2, "44", since=NOW, until=later),
            row(3, "44", since=later),
            row(4, "4"),
        ]
    )
    instant = timedelta(microseconds=1)
    assert found(table, "44123456789", NOW - instant) == 1
    assert found(table, "44123456789", NOW) == 2
    assert found(table, "44123456789", later - instant) == 2
    assert found(table, "44123456789", later) == 3


def test_a_shorter_prefix_serves_where_the_longer_ones_do_not_hold_and_the_reason_is_told() -> None:
    table = RateTable(
        [
            row(1, "44"),
            row(2, "447", since=NOW + timedelta(days=1)),
            row(3, "4479", until=NOW - timedelta(days=1)),
            row(4, "44790", days=[6, 7]),
        ]
    )
    assert found(table, "447901234567") == 1
    told = table.find_with_reason("447901234567", NOW)
    assert [(missed.rate.rate_id, missed.why) for missed in told.missed] == [
        (4, "outside_window"),
        (3, "no_longer_effective"),
        (2, "not_yet_effective"),
    ]
    only = RateTable([row(2, "447", since=NOW + timedelta(days=1))])
    assert found(only, "447901234567") is None


@pytest.mark.parametrize(
    ("at", "rate"),
    [
        ("2026-11-20 07:59:59", 1),  # Friday
        ("2026-11-20 08:00:00", 2),
        ("2026-11-20 19:59:59", 2),
        ("2026-11-20 20:00:00", 1),
        ("2026-11-21 09:00:00", 3),  # Saturday
        ("2026-11-22 23:59:59", 3),
        ("2026-11-23 00:00:00", 1),
    ],
)
def test_windows_are_meant_in_the_decks_zone(at: str, rate: int) -> None:
    zone = ZoneInfo("Asia/Kathmandu")  # UTC+5:45
    table = RateTable(
        [
            row(1, "9", price=10),
            row(2, "977", days=WEEKDAYS, start=time(8), end=time(20)),
            row(3, "977", days=[6, 7]),
        ],
        zone=zone.key,
    )
    local = datetime.fromisoformat(at).replace(tzinfo=zone)
    assert found(table, "97714412345", local.astimezone(UTC)) == rate


def test_a_window_across_midnight_belongs_to_the_day_it_began_on() -> None:
    night = Window(frozenset({5}), time(22), time(6))  # Friday night
    assert not night.holds(datetime(2026, 11, 20, 5, 59, tzinfo=UTC))
    assert night.holds(datetime(2026, 11, 20, 22, 0, tzinfo=UTC))
    assert night.holds(datetime(2026, 11, 21, 5, 59, tzinfo=UTC))
    assert not night.holds(datetime(2026, 11, 21, 6, 0, tzinfo=UTC))
    assert not night.holds(datetime(2026, 11, 21, 22, 0, tzinfo=UTC))
    sunday = Window(frozenset({7}), time(22), time(6))
    assert sunday.holds(datetime(2026, 11, 23, 5, 0, tzinfo=UTC))  # Monday morning


def test_a_window_without_times_is_the_whole_day_and_without_days_every_day() -> None:
    table = RateTable([row(1, "44", days=[3]), row(2, "33", start=time(9), end=time(17))])
    assert found(table, "44123456789", NOW.replace(hour=0)) == 1
    assert found(table, "44123456789", NOW.replace(hour=23, minute=59, second=59)) == 1
    assert found(table, "44123456789", NOW + timedelta(days=1)) is None
    assert [found(table, "33123456789", NOW + timedelta(days=n)) for n in range(7)] == [2] * 7
    assert found(table, "33123456789", NOW.replace(hour=17)) is None


def test_the_hour_that_comes_twice_is_in_the_window_twice() -> None:
    """Clocks go back in Berlin on 25 October 2026 at 03:00: 02:30 is passed at 00:30 and at 01:30 UTC."""
    table = RateTable([row(1, "49", days=[7], start=time(2), end=time(3))], zone="Europe/Berlin")
    hits = [
        found(table, "4930123456", datetime(2026, 10, 25, 0, minute, tzinfo=UTC) + timedelta(hours=hour))
        for hour in (0, 1)
        for minute in (0, 59)
    ]
    assert hits == [1, 1, 1, 1]
    assert found(table, "4930123456", datetime(2026, 10, 25, 2, 0, tzinfo=UTC)) is None


def test_of_two_rates_that_hold_the_more_particular_then_the_newer_is_taken() -> None:
    rows = [
        row(1, "44"),
        row(2, "44", since=NOW - timedelta(days=9)),
        row(3, "44", since=NOW - timedelta(days=2)),
        row(4, "44", days=[3]),
    ]
    for order in (rows, rows[::-1]):
        table = RateTable(order)
        assert found(table, "44123456789") == 4
        assert found(table, "44123456789", NOW + timedelta(days=1)) == 3
        assert found(table, "44123456789", NOW - timedelta(days=5)) == 2
        assert found(table, "44123456789", NOW - timedelta(days=20)) == 1


def test_a_row_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="increment"):
        RateTable([(1, "44", "UK", 100, 0, 1, 0, 0, None, None, None, None, None)])


# Against a search of every rate.

digits = st.text("012", min_size=1, max_size=4)
instants = st.integers(-40, 40).map(lambda hours: NOW + timedelta(hours=6 * hours))
clocks = st.sampled_from([time(0), time(6), time(8, 30), time(20), time(23, 59)])
day_lists = st.one_of(st.none(), st.lists(st.integers(1, 7), min_size=1, max_size=7, unique=True))


@st.composite
def decks(draw: st.DrawFn) -> list[Row]:
    rows = []
    for rate_id in range(1, draw(st.integers(1, 12)) + 1):
        when = {}
        if draw(st.booleans()):
            when = {
                "since": draw(st.none() | instants),
                "until": draw(st.none() | instants),
                "days": draw(day_lists),
                "start": draw(st.none() | clocks),
                "end": draw(st.none() | clocks),
            }
        rows.append(row(rate_id, draw(digits), **when))
    return rows


def holds(rate: Row, at: datetime, zone: ZoneInfo) -> bool:
    """Minute by minute over the windows that could contain `at`, without a line of the table's own arithmetic."""
    since, until, days, start, end = rate[8:]
    if (since and at < since) or (until and at >= until):
        return False
    if days is None and start is None and end is None:
        return True
    wall = at.astimezone(zone).replace(tzinfo=None)
    for back in (0, 1):
        day = wall.date() - timedelta(days=back)
        begins = datetime.combine(day, start or time(0))
        ends = datetime.combine(day, end or time(0))
        if ends <= begins:
            ends += timedelta(days=1)
        if day.isoweekday() in (days or range(1, 8)) and begins <= wall < ends:
            return True
    return False


@settings(max_examples=500, deadline=None)
@given(
    decks(), st.text("012", min_size=1, max_size=6), instants, st.sampled_from(["UTC", "America/St_Johns"])
)
def test_random_decks_agree_with_a_search_of_every_rate(
    rows: list[Row], number: str, at: datetime, zone: str
) -> None:
    table = RateTable(rows, zone=zone)
    fitting = [one for one in rows if number.startswith(one[1]) and holds(one, at, ZoneInfo(zone))]
    longest = max((len(one[1]) for one in fitting), default=0)
    got = found(table, number, at)
    assert (got is None) == (not fitting)
    assert got is None or got in {one[0] for one in fitting if len(one[1]) == longest}


@settings(max_examples=300, deadline=None)
@given(day_lists, clocks, clocks, day_lists, clocks, clocks)
def test_windows_overlap_where_some_quarter_of_an_hour_is_in_both(
    days: list[int] | None, start: time, end: time, others: list[int] | None, start2: time, end2: time
) -> None:
    one = Window(frozenset(days or EVERY_DAY), start, end)
    two = Window(frozenset(others or EVERY_DAY), start2, end2)
    monday = datetime(2026, 11, 16, tzinfo=UTC)
    minutes = [monday + timedelta(minutes=n + late) for n in range(0, 7 * 1440, 30) for late in (0, 29)]
    both = any(one.holds(minute) and two.holds(minute) for minute in minutes)
    assert one.overlaps(two) == two.overlaps(one) == both


def test_a_deck_rate_cannot_be_changed() -> None:
    rate = DeckRate(1, "44", "UK", Rate(price_per_minute=100))
    with pytest.raises(AttributeError):
        rate.prefix = "45"  # type: ignore[misc]
