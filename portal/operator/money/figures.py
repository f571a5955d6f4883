"""The reports: what each asks the engine, what its columns show, and by what it can be grouped."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from engine.db import Database
from engine.money import format_amount
from engine.reports import traffic
from engine.reports.traffic import Span

TIMES = ("hour", "day", "week", "month")
_TIME_WORDS = {"hour": "Hour", "day": "Day", "week": "Week", "month": "Month"}
_CARD_WORDS = {"batch": "Batch", "reseller": "Reseller"}


@dataclass(frozen=True, slots=True)
class Column:
    """A figure of each line. `form`: count, amount, minutes (of seconds), permille, duration. `wide`: no phone."""

    label: str
    form: str
    value: Callable[[Any], int | None]
    wide: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    """What a report is asked: its span in the reader's days, and by what."""

    span: Span
    by: str
    now: datetime


@dataclass(frozen=True, slots=True)
class Report:
    """A report. `scoped`: can be kept to a batch or reseller; `money`: has lines per currency; `chart`: its column.

    `rank`: the column by which lines are ordered, the largest first, where they have no order of their own.
    """

    name: str
    title: str
    about: str
    groups: Mapping[str, str]
    columns: tuple[Column, ...]
    lines: Callable[[Database, Asked], list[Any]]
    dated: bool = True
    scoped: bool = True
    money: bool = True
    chart: int | None = None
    rank: int | None = 1
    note: str = ""


def _field(name: str) -> Callable[[Any], int | None]:
    return lambda line: getattr(line, name)  # type: ignore[no-any-return]


def _stock_now(db: Database, asked: Asked) -> list[Any]:
    states = traffic.stock_state(db, batch_id=asked.span.batch_id, reseller_id=asked.span.reseller_id)
    return [StockNow(one.batch, one.batch_id, one.reseller, *_counts(one)) for one in states]


def _counts(one: traffic.BatchStock) -> tuple[int, ...]:
    return one.cards, one.released, one.sold, one.activated, one.first_used, one.unsold


@dataclass(frozen=True, slots=True)
class StockNow:
    """How the cards of a batch, and of one reseller in it, stand now."""

    key: str
    id: int
    under: str | None
    cards: int
    released: int
    sold: int
    activated: int
    first_used: int
    unsold: int


_STOCK = (
    Column("Sold", "count", _field("sold")),
    Column("Activated", "count", _field("activated")),
    Column("First used", "count", _field("first_used")),
)

_ALL = (
    Report(
        "traffic",
        "Traffic and revenue",
        "Calls that ended: how many were answered, for how long, and what cards paid.",
        {
            "day": "Day",
            "destination": "Destination",
            "batch": "Batch",
            "reseller": "Reseller",
            "hour": "Hour",
            "week": "Week",
            "month": "Month",
            "prefix": "Prefix",
            "switch": "Switch",
        },
        (
            Column("Calls", "count", _field("calls")),
            Column("ASR", "permille", _field("asr_permille"), wide=True),
            Column("ACD", "duration", _field("acd_s"), wide=True),
            Column("Minutes", "minutes", _field("seconds"), wide=True),
            Column("Billed minutes", "minutes", _field("billed_seconds"), wide=True),
            Column("Revenue", "amount", _field("revenue")),
            Column("Borne", "amount", _field("loss"), wide=True),
        ),
        lambda db, asked: traffic.traffic(db, asked.span, asked.by),
        chart=5,
        rank=5,
        note="ASR: the share of calls that were answered. ACD: how long an answered call lasted on average. "
        "Borne: what cards could not pay, and the operator bore.",
    ),
    Report(
        "recharges",
        "Recharges",
        "What was put onto cards, by the way it came, and what bonus rules gave on top.",
        {"method": "Kind", **_TIME_WORDS, **_CARD_WORDS},
        (
            Column("Recharges", "count", _field("payments")),
            Column("Amount", "amount", _field("amount")),
            Column("Bonus", "amount", _field("bonus"), wide=True),
        ),
        lambda db, asked: traffic.recharges(db, asked.span, asked.by),
        chart=1,
    ),
    Report(
        "stock",
        "Sold, activated, used",
        "Cards that were sold, activated and first used in a time.",
        {"week": "Week", "day": "Day", "month": "Month", **_CARD_WORDS},
        _STOCK,
        lambda db, asked: traffic.stock_flow(db, asked.span, asked.by),
        money=False,
        chart=1,
    ),
    Report(
        "stock-now",
        "Stock as it stands",
        "Every batch now: sold against activated, and what was activated without being told as sold.",
        {"batch": "Batch"},
        (
            Column("Cards", "count", _field("cards"), wide=True),
            Column("Released", "count", _field("released"), wide=True),
            *_STOCK,
            Column("Active, unsold", "count", _field("unsold")),
        ),
        _stock_now,
        dated=False,
        money=False,
        rank=None,
    ),
    Report(
        "liability",
        "Liability",
        "What is owed on released cards, now: their balances.",
        {"batch": "Batch", "age": "Age since release", "currency": "Currency"},
        (
            Column("Cards", "count", _field("cards")),
            Column("Owed", "amount", _field("balance")),
            Column("Of it expired", "amount", _field("expired"), wide=True),
        ),
        lambda db, asked: traffic.owed(db, asked.now, asked.by, asked.span.currency),
        dated=False,
        scoped=False,
    ),
    Report(
        "breakage",
        "Breakage",
        "Balances that were written off after the expiry and grace of their cards.",
        {**_TIME_WORDS, **_CARD_WORDS},
        (
            Column("Cards", "count", _field("entries")),
            Column("Written off", "amount", lambda line: -line.amount),
        ),
        lambda db, asked: traffic.funds(db, asked.span, asked.by, "breakage"),
        chart=1,
    ),
    Report(
        "funds",
        "Funds flow",
        "Everything that moved money onto cards or off them, as cards see it.",
        {"kind": "Kind", "account": "Other side", **_TIME_WORDS, **_CARD_WORDS},
        (
            Column("Entries", "count", _field("entries")),
            Column("Amount", "amount", _field("amount")),
        ),
        lambda db, asked: traffic.funds(db, asked.span, asked.by),
    ),
    Report(
        "failures",
        "Refused and failed tries",
        "Wrong passwords, refused calls and vouchers, of all cards, known or not.",
        {"reason": "Reason", "source": "Source", "door": "Door", **_TIME_WORDS},
        (Column("Tries", "count", _field("attempts")),),
        lambda db, asked: traffic.failures(db, asked.span, asked.by),
        scoped=False,
        money=False,
        chart=0,
        rank=0,
    ),
)
REPORTS = {report.name: report for report in _ALL}


def total_of(lines: list[Any]) -> Any:
    """All lines of one currency as one: its whole numbers are summed, so that shares of it come out right."""
    summed = {
        field.name: sum(getattr(line, field.name) for line in lines)
        for field in dataclasses.fields(lines[0])
        if field.name not in ("key", "id", "currency", "under")
    }
    return dataclasses.replace(lines[0], key=None, **summed)


def by_currency(report: Report, by: str, lines: list[Any]) -> dict[str, list[Any]]:
    """The lines of each currency in the report's order; all under nothing where they have none."""
    found: dict[str, list[Any]] = {}
    for line in lines:
        found.setdefault(getattr(line, "currency", ""), []).append(line)
    if report.rank is not None and by not in (*TIMES, "age"):
        value = report.columns[report.rank].value
        for held in found.values():
            held.sort(key=lambda line: -abs(value(line) or 0))
    return dict(sorted(found.items()))


def places(column: Column, lines: list[Any]) -> int:
    """The decimals that all amounts of a column need, at least two."""
    if column.form != "amount":
        return 2
    return max(len(format_amount(abs(column.value(line) or 0), 2).partition(".")[2]) for line in lines)


def points(report: Report, asked: Asked, lines: list[Any]) -> list[tuple[str, int, None]]:
    """Columns of a chart: days without anything among them, so that time runs evenly."""
    if report.chart is None or asked.by not in TIMES or asked.by == "hour":
        return []
    value = report.columns[report.chart].value
    known = {line.key: max(value(line) or 0, 0) for line in lines}
    steps = _steps(asked) if asked.by == "day" else sorted(known)
    return (
        [(f"{day.day} {day:%b}", known.get(day, 0), None) for day in steps] if 2 <= len(steps) <= 100 else []
    )


def _steps(asked: Asked) -> list[date]:
    zone = asked.span.zone
    day, last = asked.span.start.astimezone(zone).date(), asked.span.end.astimezone(zone).date()
    return [day + timedelta(days=n) for n in range((last - day).days)]
