"""The numbers of operators: traffic, recharges, failed tries, stock and liability, over any span of days in any zone.

Traffic, money and tries come from the quarters of an hour (`engine.reports.buckets`), at most a minute behind; a span
counts the quarters that begin in it, so give it whole quarters, such as a zone's days. Liability and the state of stock
are asked of the cards themselves. There is no margin: rates carry no buying price.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import text

from engine.db import Database
from engine.errors import InvalidInput
from engine.reports.buckets import aggregate, count_everything, recount

__all__ = ["aggregate", "count_everything", "recount"]

_TIMES = {
    "hour": "date_trunc('hour', b.at, :zone)",
    "day": "(b.at AT TIME ZONE :zone)::date",
    "week": "date_trunc('week', b.at AT TIME ZONE :zone)::date",
    "month": "date_trunc('month', b.at AT TIME ZONE :zone)::date",
}
"""By when: an hour as its first instant, a day, a week (by its Monday) and a month (by its first) as dates."""
_CARDS = {
    "batch": "(SELECT name FROM batch WHERE id = g.id)",
    "reseller": "(SELECT name FROM reseller WHERE id = g.id)",
}
TRAFFIC_GROUPS = {
    **_TIMES,
    **_CARDS,
    "destination": "b.destination_name",
    "prefix": "b.prefix",
    "switch": "(SELECT name FROM switch WHERE id = g.id)",
}
RECHARGE_GROUPS = {**_TIMES, **_CARDS, "method": "b.method"}
FUNDS_GROUPS = {**_TIMES, **_CARDS, "kind": "b.kind", "account": "b.account"}
FAILURE_GROUPS = {**_TIMES, "reason": "b.reason", "door": "b.door", "source": "b.source_kind"}
STOCK_GROUPS = {**_TIMES, **_CARDS}
_IDS = {"batch": "b.batch_id", "reseller": "nullif(b.reseller_id, 0)", "switch": "b.switch_id"}


@dataclass(frozen=True, slots=True)
class Span:
    """What a report is over: from `start` until before `end`, in days of `zone`, and maybe only some of it."""

    start: datetime
    end: datetime
    zone: ZoneInfo
    currency: str | None = None
    batch_id: int | None = None
    reseller_id: int | None = None
    switch_id: int | None = None


@dataclass(frozen=True, slots=True)
class TrafficLine:
    """Calls of one group and currency; money in micro-units. `key`: a date, an instant, or a name (None: nobody's)."""

    key: Any
    id: int | None
    currency: str
    calls: int
    answered: int
    seconds: int
    billed_seconds: int
    revenue: int
    loss: int
    swept: int
    flagged: int
    corrected: int

    @property
    def asr_permille(self) -> int | None:
        """Answered of a thousand calls, rounded half up; None without calls."""
        return (2000 * self.answered + self.calls) // (2 * self.calls) if self.calls else None

    @property
    def acd_s(self) -> int | None:
        """Seconds an answered call lasted on average, rounded half up; None without answered calls."""
        return (2 * self.seconds + self.answered) // (2 * self.answered) if self.answered > 0 else None


@dataclass(frozen=True, slots=True)
class RechargeLine:
    """Recharges of one group and currency, and what was given on top, in micro-units."""

    key: Any
    id: int | None
    currency: str
    payments: int
    amount: int
    bonus: int


@dataclass(frozen=True, slots=True)
class FundsLine:
    """Ledger entries of one group and currency: their sum in micro-units, as cards see it."""

    key: Any
    id: int | None
    currency: str
    entries: int
    amount: int


@dataclass(frozen=True, slots=True)
class FailureLine:
    """Refused and failed tries of one group."""

    key: Any
    attempts: int


@dataclass(frozen=True, slots=True)
class StockLine:
    """Cards of one group that were sold, activated and first used in a span."""

    key: Any
    id: int | None
    sold: int
    activated: int
    first_used: int


@dataclass(frozen=True, slots=True)
class BatchStock:
    """How the cards of a batch (and of one reseller in it) stand now. `unsold`: activated, and never told as sold."""

    batch_id: int
    batch: str
    reseller: str | None
    cards: int
    released: int
    sold: int
    activated: int
    first_used: int
    unsold: int


@dataclass(frozen=True, slots=True)
class LiabilityLine:
    """What is owed on released cards of one currency, batch and age; `expired`: the part on cards past their validity.

    `age_days`: the least age of the group since release (0, 31, 91, 181, 366). Amounts in micro-units.
    """

    currency: str
    batch_id: int
    batch: str
    age_days: int
    cards: int
    balance: int
    expired: int


def traffic(db: Database, span: Span, group_by: str = "day") -> list[TrafficLine]:
    """Calls by day, hour, week, month, destination, prefix, batch, reseller or switch, each currency apart.

    Raises `InvalidInput` ("unknown_group").
    """
    sums = (
        "calls",
        "answered",
        "seconds",
        "billed_seconds",
        "revenue",
        "loss",
        "swept",
        "flagged",
        "corrected",
    )
    rows = _grouped(db, "traffic_bucket", TRAFFIC_GROUPS, span, group_by, sums, currency=True)
    return [TrafficLine(*row) for row in rows]


def recharges(db: Database, span: Span, group_by: str = "method") -> list[RechargeLine]:
    """Recharges by the way they came, or by day, week, batch, reseller, …, each currency apart."""
    rows = _grouped(
        db, "payment_bucket", RECHARGE_GROUPS, span, group_by, ("payments", "amount", "bonus"), currency=True
    )
    return [RechargeLine(*row) for row in rows]


def funds(db: Database, span: Span, group_by: str = "kind", kind: str | None = None) -> list[FundsLine]:
    """Ledger entries by kind, account, day, batch, …; `kind` keeps to one, such as "breakage" or "fee"."""
    rows = _grouped(
        db, "funds_bucket", FUNDS_GROUPS, span, group_by, ("entries", "amount"), currency=True, kind=kind
    )
    return [FundsLine(*row) for row in rows]


def failures(db: Database, span: Span, group_by: str = "reason") -> list[FailureLine]:
    """Refused and failed tries by inner reason, door, kind of source or day; of all cards, known or not."""
    rows = _grouped(
        db, "attempt_bucket", FAILURE_GROUPS, span, group_by, ("attempts",), currency=False, of_cards=False
    )
    return [FailureLine(row[0], row[2]) for row in rows]


def stock_flow(db: Database, span: Span, group_by: str = "week") -> list[StockLine]:
    """Cards sold, activated and first used by week, day, batch or reseller."""
    rows = _grouped(
        db, "stock_bucket", STOCK_GROUPS, span, group_by, ("sold", "activated", "first_used"), currency=False
    )
    return [StockLine(*row) for row in rows]


def _grouped(
    db: Database,
    table: str,
    groups: dict[str, str],
    span: Span,
    group_by: str,
    sums: tuple[str, ...],
    *,
    currency: bool,
    of_cards: bool = True,
    kind: str | None = None,
) -> list[tuple[Any, ...]]:
    """(key, id, currency where asked, sums …) for each group, times in order, the rest by its name."""
    if group_by not in groups:
        raise InvalidInput("unknown_group", field="group_by", value=group_by, known=sorted(groups))
    wheres = ["b.at >= :start AND b.at < :end"]
    values: dict[str, Any] = {"start": span.start, "end": span.end}
    wanted: dict[str, Any] = {"switch_id": span.switch_id} if table == "traffic_bucket" else {}
    if of_cards:
        wanted |= {"batch_id": span.batch_id, "reseller_id": span.reseller_id}
    wanted |= {"currency": span.currency if currency else None, "kind": kind}
    for column, value in wanted.items():
        if value is not None:
            wheres.append(f"b.{column} = :{column}")
            values[column] = value
    if group_by in _TIMES:
        values["zone"] = span.zone.key
    own, named = ("NULL::bigint", groups[group_by]) if group_by not in _IDS else (_IDS[group_by], "NULL")
    columns = [f"{named} AS key", f"{own} AS id", *(["b.currency"] if currency else [])]
    summed = ", ".join(f"sum(b.{name})::bigint AS {name}" for name in sums)
    by = ", ".join(str(n + 1) for n in range(len(columns)))
    # A name is looked up once for each group, not for each quarter.
    shown = [
        "g.key" if group_by not in _IDS else groups[group_by],
        "g.id",
        *(["g.currency"] if currency else []),
    ]
    statement = text(
        f"SELECT {', '.join(shown)}, {', '.join(f'g.{name}' for name in sums)} FROM ("
        f"SELECT {', '.join(columns)}, {summed} FROM {table} b WHERE {' AND '.join(wheres)} GROUP BY {by}"
        f") g ORDER BY {by}"
    )
    with db.begin() as session:
        return [tuple(row) for row in session.execute(statement, values)]


_STOCK_STATE = text(
    """
    SELECT c.batch_id, b.name, r.name, count(*), count(c.released_at), count(c.sold_at), count(c.activated_at),
        count(c.first_used_at), count(c.activated_at) FILTER (WHERE c.sold_at IS NULL)
    FROM card c JOIN batch b ON b.id = c.batch_id LEFT JOIN reseller r ON r.id = c.reseller_id
    WHERE b.ready_at IS NOT NULL AND (CAST(:batch_id AS bigint) IS NULL OR c.batch_id = :batch_id)
        AND (CAST(:reseller_id AS bigint) IS NULL OR c.reseller_id = :reseller_id)
    GROUP BY c.batch_id, b.name, r.name ORDER BY c.batch_id DESC, r.name
    """
)


def stock_state(
    db: Database, *, batch_id: int | None = None, reseller_id: int | None = None
) -> list[BatchStock]:
    """Sold against activated, now, for each batch and reseller, the newest batch first. Reads the cards."""
    with db.begin() as session:
        rows = session.execute(_STOCK_STATE, {"batch_id": batch_id, "reseller_id": reseller_id})
        return [BatchStock(*row) for row in rows]


_LIABILITY = text(
    """
    SELECT owed.currency, owed.batch_id, b.name, owed.age, owed.cards, owed.balance::bigint, owed.expired::bigint
    FROM (
        SELECT currency, batch_id,
            CASE WHEN released_at > :days_30 THEN 0 WHEN released_at > :days_90 THEN 31
                WHEN released_at > :days_180 THEN 91 WHEN released_at > :days_365 THEN 181 ELSE 366 END AS age,
            count(*) AS cards, sum(balance) AS balance,
            coalesce(sum(balance) FILTER (WHERE expires_at <= :now), 0) AS expired
        FROM card WHERE released_at IS NOT NULL AND balance > 0
        GROUP BY 1, 2, 3
    ) owed JOIN batch b ON b.id = owed.batch_id
    WHERE b.ready_at IS NOT NULL
    ORDER BY owed.currency, owed.batch_id DESC, owed.age
    """
)


def liability(db: Database, now: datetime) -> list[LiabilityLine]:
    """What is owed now on released cards, by currency, batch and age since release. Reads the cards."""
    ages = {f"days_{days}": now - timedelta(days=days + 1) for days in (30, 90, 180, 365)}
    with db.begin() as session:
        return [LiabilityLine(*row) for row in session.execute(_LIABILITY, {"now": now, **ages})]


@dataclass(frozen=True, slots=True)
class OwedLine:
    """What is owed on the released cards of one group and currency; `expired`: the part on expired cards."""

    key: Any
    id: int | None
    currency: str
    cards: int
    balance: int
    expired: int


OWED_GROUPS = ("batch", "age", "currency")


def owed(db: Database, now: datetime, group_by: str = "batch", currency: str | None = None) -> list[OwedLine]:
    """`liability` summed by batch, by least age in days, or by currency alone. Raises `InvalidInput`."""
    if group_by not in OWED_GROUPS:
        raise InvalidInput("unknown_group", field="group_by", value=group_by, known=sorted(OWED_GROUPS))
    sums: dict[tuple[str, Any, int | None], list[int]] = {}
    for line in liability(db, now):
        if currency in (None, line.currency):
            key: dict[str, tuple[Any, int | None]] = {
                "batch": (line.batch, line.batch_id),
                "age": (line.age_days, None),
                "currency": (line.currency, None),
            }
            held = sums.setdefault((line.currency, *key[group_by]), [0, 0, 0])
            for at, value in enumerate((line.cards, line.balance, line.expired)):
                held[at] += value
    lines = [OwedLine(key, number, of, *held) for (of, key, number), held in sums.items()]
    if group_by == "age":
        lines.sort(key=lambda line: (line.currency, line.key))
    return lines
