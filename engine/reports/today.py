"""Today so far against the same day last week up to the same time, and the days before, from the quarters of an hour.

Whole quarters come from the aggregates (`engine.reports.buckets`); what they have not counted for good yet comes from
the books themselves, by indexes on time. A day is one of the reader's zone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import TextClause, text
from sqlalchemy.orm import Session

from engine import jobruns
from engine.calls.rating import Rate, charge
from engine.db import Database
from engine.reports import traffic
from engine.reports.buckets import quarter_of

DAYS = 14
"""Days of the chart of revenue, today included."""
WEEK = timedelta(days=7)
UNCOUNTED = timedelta(hours=26)
"""So far back the books themselves are read; where nothing was counted for longer, the figures say since when."""
LIABILITY_KEPT = timedelta(minutes=10)
FEW_CARDS = 50_000
"""Up to so many cards what is owed on them is summed while the page is made."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What happened in a span in one currency. Amounts in micro-units; `recharged` without what was given on top."""

    calls: int = 0
    answered: int = 0
    seconds: int = 0
    revenue: int = 0
    recharges: int = 0
    recharged: int = 0

    @property
    def asr_permille(self) -> int | None:
        """Answered of a thousand calls, rounded half up; None without calls."""
        return (2000 * self.answered + self.calls) // (2 * self.calls) if self.calls else None

    @property
    def acd_s(self) -> int | None:
        """Seconds an answered call lasted on average, rounded half up; None without answered calls."""
        return (2 * self.seconds + self.answered) // (2 * self.answered) if self.answered > 0 else None

    def __add__(self, other: Figures) -> Figures:
        return Figures(*(getattr(self, name) + getattr(other, name) for name in Figures.__slots__))


@dataclass(frozen=True, slots=True)
class Cards:
    """How many cards were activated and first used in a span."""

    activated: int = 0
    first_used: int = 0


@dataclass(frozen=True, slots=True)
class Live:
    """Calls that go on now in one currency, and what they have cost so far, in micro-units."""

    currency: str
    calls: int
    cost: int


@dataclass(frozen=True, slots=True)
class CurrencyDay:
    """One currency today (`now`) and a week ago to the same time (`before`). `days`: revenue by day, oldest first."""

    currency: str
    now: Figures
    before: Figures
    days: tuple[tuple[date, int], ...]


@dataclass(frozen=True, slots=True)
class Hour:
    """An hour of the day on the clock: calls that ended in it today and, all of it, a week ago."""

    hour: int
    calls: int
    calls_before: int
    seconds: int
    seconds_before: int


@dataclass(frozen=True, slots=True)
class Today:
    """The first page's figures. `counted`: since when nothing was aggregated, where that is too long ago."""

    day: date
    at: datetime
    live: tuple[Live, ...]
    total: Figures
    total_before: Figures
    currencies: tuple[CurrencyDay, ...]
    cards: Cards
    cards_before: Cards
    hours: tuple[Hour, ...]
    counted: datetime | None

    @property
    def quiet(self) -> bool:
        """Whether there is nothing to draw."""
        return not (self.total.calls or any(one.calls or one.calls_before for one in self.hours))


def today(db: Database, zone: ZoneInfo, now: datetime) -> Today:
    """Today in `zone` until `now`, against the same day of the week before until the same time of day."""
    local = now.astimezone(zone)
    start, start_before = _midnight(local.date(), zone), _midnight(local.date() - WEEK, zone)
    then = datetime.combine(local.date() - WEEK, local.time(), zone).astimezone(UTC)
    end_before = _midnight(local.date() - WEEK + timedelta(days=1), zone)
    with db.begin() as session:
        counted = _counted(session)
        books = min(max(counted or now - UNCOUNTED, now - UNCOUNTED), quarter_of(now))
        this, that = (start, books, now), (start_before, quarter_of(then), then)
        rows = _both(session, (_TRAFFIC, _CALLS), zone, this)
        rows_before = _both(session, (_TRAFFIC, _CALLS), zone, that)
        rest = _buckets(session, _TRAFFIC, zone, quarter_of(then), end_before)
        paid = _both(session, (_PAID, _PAYMENTS), zone, this)
        paid_before = _both(session, (_PAID, _PAYMENTS), zone, that)
        cards = _cards(session, zone, this)
        cards_before = _cards(session, zone, that)
        first = _midnight(local.date() - timedelta(days=DAYS - 1), zone)
        earlier = {
            (row.currency, row.day): row.revenue for row in _buckets(session, _REVENUE, zone, first, start)
        }
        live = _live(session, now)
    sums, sums_before = _sums([*rows, *paid]), _sums([*rows_before, *paid_before])
    names = sorted(
        {*sums, *sums_before, *(currency for currency, _ in earlier), *(one.currency for one in live)}
    )
    return Today(
        day=local.date(),
        at=now,
        live=live,
        total=sum(sums.values(), Figures()),
        total_before=sum(sums_before.values(), Figures()),
        currencies=tuple(
            CurrencyDay(name, sums[name], sums_before[name], _days(name, local.date(), earlier, sums[name]))
            for name in names
        ),
        cards=cards,
        cards_before=cards_before,
        hours=_hours(rows, [*(row for row in rows_before if not row.loose), *rest]),
        counted=counted if counted is not None and now - counted > UNCOUNTED else None,
    )


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time.min, zone).astimezone(UTC)


def _counted(session: Session) -> datetime | None:
    """Up to where all quarters are counted for good; None where none ever was."""
    mark = jobruns.mark_of(session, "aggregates").get("counted")
    return None if mark is None else datetime.fromisoformat(mark)


_TRAFFIC = text(
    """
    SELECT date_part('hour', b.at AT TIME ZONE :zone)::int AS hour, b.currency, sum(b.calls)::bigint AS calls,
        sum(b.answered)::bigint AS answered, sum(b.seconds)::bigint AS seconds, sum(b.revenue)::bigint AS revenue,
        FALSE AS loose
    FROM traffic_bucket b WHERE b.at >= :start AND b.at < :end GROUP BY 1, 2
    """
)
_CALLS = text(
    """
    SELECT date_part('hour', told.at AT TIME ZONE :zone)::int AS hour, told.currency, sum(told.calls)::bigint AS calls,
        sum(told.answered)::bigint AS answered, sum(told.seconds)::bigint AS seconds,
        sum(told.charged)::bigint AS revenue, TRUE AS loose
    FROM (
        SELECT d.ended_at AS at, d.currency, 1 AS calls, (d.duration_s > 0)::int AS answered, d.duration_s AS seconds,
            d.charged
        FROM cdr d WHERE d.ended_at >= :start AND d.ended_at < :end
        UNION ALL
        SELECT x.at, d.currency, 0, (x.duration_s > 0)::int - (d.duration_s > 0)::int, x.duration_s - d.duration_s,
            x.charged - d.charged
        FROM cdr_correction x JOIN cdr d ON d.card_id = x.card_id AND d.id = x.cdr_id AND d.ended_at <= x.at
        WHERE x.at >= :start AND x.at < :end
    ) told GROUP BY 1, 2
    """
)
_PAID = text(
    """
    SELECT b.currency, sum(b.payments)::bigint AS recharges, sum(b.amount)::bigint AS recharged
    FROM payment_bucket b WHERE b.at >= :start AND b.at < :end GROUP BY 1
    """
)
_PAYMENTS = text(
    """
    SELECT currency, count(*) AS recharges, sum(amount)::bigint AS recharged
    FROM payment WHERE at >= :start AND at < :end GROUP BY 1
    """
)
_STOCK = text(
    """
    SELECT coalesce(sum(activated), 0)::bigint AS activated, coalesce(sum(first_used), 0)::bigint AS first_used
    FROM stock_bucket WHERE at >= :start AND at < :end
    """
)
_MOVED = text(
    """
    SELECT (SELECT count(*) FROM card WHERE activated_at >= :start AND activated_at < :end) AS activated,
        (SELECT count(*) FROM card WHERE first_used_at >= :start AND first_used_at < :end) AS first_used
    """
)
_REVENUE = text(
    """
    SELECT b.currency, (b.at AT TIME ZONE :zone)::date AS day, -sum(b.amount)::bigint AS revenue
    FROM funds_bucket b
    WHERE b.at >= :start AND b.at < :end AND b.kind IN ('usage', 'overrun', 'correction') GROUP BY 1, 2
    """
)


def _buckets(
    session: Session, statement: TextClause, zone: ZoneInfo, start: datetime, end: datetime
) -> list[Any]:
    values = {"zone": zone.key, "start": start, "end": end}
    asked = {name: values[name] for name in statement.compile().params}
    return list(session.execute(statement, asked)) if start < end else []


def _both(
    session: Session,
    statements: tuple[TextClause, TextClause],
    zone: ZoneInfo,
    span: tuple[datetime, datetime, datetime],
) -> list[Any]:
    """Whole quarters from the aggregates, what came after from the books: (start, where the books begin, end)."""
    start, books, end = span
    counted, told = statements
    return [
        *_buckets(session, counted, zone, start, min(books, end)),
        *_buckets(session, told, zone, max(start, books), end),
    ]


def _cards(session: Session, zone: ZoneInfo, span: tuple[datetime, datetime, datetime]) -> Cards:
    rows = _both(session, (_STOCK, _MOVED), zone, span)
    return Cards(sum(row.activated for row in rows), sum(row.first_used for row in rows))


_LIVE = text(
    """
    SELECT c.currency, l.answered_at, l.granted_s, l.price_per_minute, l.connect_fee, l.first_increment, l.increment,
        l.grace, l.precision, l.rounding
    FROM call l JOIN card c ON c.id = l.card_id
    """
)


def _live(session: Session, now: datetime) -> tuple[Live, ...]:
    """What goes on now, and what it has cost so far: as if every call ended at this instant."""
    calls: dict[str, int] = defaultdict(int)
    cost: dict[str, int] = defaultdict(int)
    for row in session.execute(_LIVE):
        calls[row.currency] += 1
        if row.answered_at is not None:
            talked = max(0, (now - row.answered_at) // timedelta(seconds=1))
            cost[row.currency] += charge(Rate(*row[3:]), min(talked, row.granted_s))
    return tuple(Live(currency, calls[currency], cost[currency]) for currency in sorted(calls))


def _sums(rows: Iterable[Any]) -> defaultdict[str, Figures]:
    sums: defaultdict[str, Figures] = defaultdict(Figures)
    for row in rows:
        told = {name: value for name, value in row._mapping.items() if name in Figures.__slots__}
        sums[row.currency] += Figures(**told)
    return sums


def _days(
    currency: str, day: date, earlier: dict[tuple[str, date], int], now: Figures
) -> tuple[tuple[date, int], ...]:
    before = (day - timedelta(days=back) for back in range(DAYS - 1, 0, -1))
    return (*((one, earlier.get((currency, one), 0)) for one in before), (day, now.revenue))


def _hours(rows: Iterable[Any], before: Iterable[Any]) -> tuple[Hour, ...]:
    calls, seconds = [[0, 0] for _ in range(24)], [[0, 0] for _ in range(24)]
    for which, found in enumerate((rows, before)):
        for row in found:
            calls[row.hour][which] += row.calls
            seconds[row.hour][which] += row.seconds
    return tuple(Hour(hour, *calls[hour], *seconds[hour]) for hour in range(24))


# --- what is owed on cards ---


@dataclass(frozen=True, slots=True)
class Owed:
    """What is owed on released cards, in micro-units by currency, as it was at an instant."""

    at: datetime
    balances: tuple[tuple[str, int], ...]


def liability(db: Database, now: datetime) -> Owed:
    """What is owed now, by currency. Reads every card where that was not done for `LIABILITY_KEPT`."""
    return liability_kept(db, now) or _owed(db, now)


def liability_kept(db: Database, now: datetime) -> Owed | None:
    """The same where it is known or quickly told; None where every one of many cards would have to be read."""
    kept: Owed | None = db.cache.get(_KEPT)
    if kept is not None and timedelta(0) <= now - kept.at < LIABILITY_KEPT:
        return kept
    with db.begin() as session:
        cards = session.scalar(_READY) or 0
    return _owed(db, now, keep=False) if cards <= FEW_CARDS else None


_KEPT = "liability"
_READY = text("SELECT sum(count) FROM batch WHERE ready_at IS NOT NULL")


def _owed(db: Database, now: datetime, *, keep: bool = True) -> Owed:
    balances: defaultdict[str, int] = defaultdict(int)
    for line in traffic.liability(db, now):
        balances[line.currency] += line.balance
    owed = Owed(now, tuple(sorted(balances.items())))
    if keep:
        db.cache[_KEPT] = owed
    return owed
