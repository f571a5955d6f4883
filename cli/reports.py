"""`cardtone reports`: traffic, recharges, failed tries, stock and what is owed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from datetime import date, datetime, time, timedelta
from typing import Any

import click

from cli.app import Context, with_context
from cli.tables import table
from engine import settings
from engine.house import zone_of
from engine.money import format_amount
from engine.reports import traffic as reports
from engine.reports.traffic import Span

_Command = Callable[..., Any]


@click.group("reports")
def command() -> None:
    """Show the numbers of the business, in days of your time zone."""


def _span_options(groups: dict[str, str], default: str) -> Callable[[_Command], _Command]:
    def add(function: _Command) -> _Command:
        options = (
            click.option(
                "--from", "first", type=click.DateTime(["%Y-%m-%d"]), help="First day [30 days ago]."
            ),
            click.option("--to", "last", type=click.DateTime(["%Y-%m-%d"]), help="Last day [today]."),
            click.option("--by", "by", type=click.Choice(sorted(groups)), default=default, show_default=True),
        )
        for option in reversed(options):
            function = option(function)
        return function

    return add


def _span(context: Context, first: datetime | None, last: datetime | None) -> Span:
    with context.db.begin() as session:
        zone = zone_of(settings.load(session))
    until = last.date() if last else context.clock().astimezone(zone).date()
    since = first.date() if first else until - timedelta(days=30)

    def begin(day: date) -> datetime:
        return datetime.combine(day, time(), zone)

    return Span(begin(since), begin(until + timedelta(days=1)), zone)


@command.command("traffic")
@_span_options(reports.TRAFFIC_GROUPS, "day")
@with_context
def traffic(context: Context, first: datetime | None, last: datetime | None, by: str) -> None:
    """Calls, minutes and revenue; ASR: answered of a hundred; ACD: seconds an answered call lasts."""
    lines = reports.traffic(context.db, _span(context, first, last), by)
    rows = [
        [
            _key(line.key),
            line.currency,
            f"{line.calls:,}",
            None if line.asr_permille is None else f"{line.asr_permille / 10:.1f} %",
            line.acd_s,
            f"{line.seconds // 60:,}",
            format_amount(line.revenue, 2),
            format_amount(line.loss, 2),
        ]
        for line in lines
    ]
    data = [
        {**dataclasses.asdict(line), "asr_permille": line.asr_permille, "acd_s": line.acd_s} for line in lines
    ]
    _answer(context, by, data, ["Calls", "ASR", "ACD", "Minutes", "Revenue", "Loss"], rows)


@command.command("recharges")
@_span_options(reports.RECHARGE_GROUPS, "method")
@with_context
def recharges(context: Context, first: datetime | None, last: datetime | None, by: str) -> None:
    """Recharges by the way they came."""
    lines = reports.recharges(context.db, _span(context, first, last), by)
    rows = [
        [
            _key(line.key),
            line.currency,
            f"{line.payments:,}",
            format_amount(line.amount, 2),
            format_amount(line.bonus, 2),
        ]
        for line in lines
    ]
    _answer(context, by, [dataclasses.asdict(line) for line in lines], ["Recharges", "Amount", "Bonus"], rows)


@command.command("funds")
@_span_options(reports.FUNDS_GROUPS, "kind")
@with_context
def funds(context: Context, first: datetime | None, last: datetime | None, by: str) -> None:
    """Movements on cards by kind: usage, fees, breakage and all others."""
    lines = reports.funds(context.db, _span(context, first, last), by)
    rows = [
        [_key(line.key), line.currency, f"{line.entries:,}", format_amount(line.amount, 2)] for line in lines
    ]
    _answer(context, by, [dataclasses.asdict(line) for line in lines], ["Entries", "Amount"], rows)


@command.command("failures")
@_span_options(reports.FAILURE_GROUPS, "reason")
@with_context
def failures(context: Context, first: datetime | None, last: datetime | None, by: str) -> None:
    """Refused and failed tries by reason, door or kind of source."""
    lines = reports.failures(context.db, _span(context, first, last), by)
    data = [dataclasses.asdict(line) for line in lines]
    text = table(
        [by.capitalize(), "Tries"],
        [[_key(line.key), f"{line.attempts:,}"] for line in lines],
        right=["Tries"],
    )
    context.answer({"by": by, "lines": data}, text if lines else "There is nothing in these days.")


@command.command("stock")
@click.option("--weeks", is_flag=True, help="By week, not by batch.")
@with_context
def stock(context: Context, weeks: bool) -> None:
    """Sold against activated, and what was activated without being sold."""
    if weeks:
        flow = reports.stock_flow(context.db, _span(context, context.clock() - timedelta(weeks=26), None))
        rows: list[list[Any]] = [
            [_key(line.key), f"{line.sold:,}", f"{line.activated:,}", f"{line.first_used:,}"] for line in flow
        ]
        data: Sequence[Any] = flow
        headers = ["Week", "Sold", "Activated", "First used"]
    else:
        state = reports.stock_state(context.db)
        headers = [
            "Batch",
            "Reseller",
            "Cards",
            "Released",
            "Sold",
            "Activated",
            "First used",
            "Active, unsold",
        ]
        data = state
        rows = [
            [
                one.batch,
                one.reseller,
                *(
                    f"{count:,}"
                    for count in (
                        one.cards,
                        one.released,
                        one.sold,
                        one.activated,
                        one.first_used,
                        one.unsold,
                    )
                ),
            ]
            for one in state
        ]
    text = table(headers, rows, right=headers[1 if weeks else 2 :])
    context.answer(
        {"lines": [dataclasses.asdict(line) for line in data]}, text if rows else "There is nothing yet."
    )


@command.command("liability")
@with_context
def liability(context: Context) -> None:
    """What is owed on released cards, by batch and by days since their release."""
    lines = reports.liability(context.db, context.clock())
    rows = [
        [
            line.currency,
            line.batch,
            f"{line.age_days}+",
            f"{line.cards:,}",
            format_amount(line.balance, 2),
            format_amount(line.expired, 2),
        ]
        for line in lines
    ]
    totals: dict[str, int] = {}
    for line in lines:
        totals[line.currency] = totals.get(line.currency, 0) + line.balance
    headers = ["Currency", "Batch", "Days", "Cards", "Owed", "Of it expired"]
    text = table(headers, rows, right=headers[2:])
    sums = "\n".join(f"{currency} {format_amount(total, 2)} in all" for currency, total in totals.items())
    context.answer(
        {"lines": [dataclasses.asdict(line) for line in lines], "totals": totals},
        f"{text}\n{sums}" if rows else "Nothing is owed.",
    )


def _answer(
    context: Context, by: str, data: list[dict[str, Any]], headers: list[str], rows: list[list[Any]]
) -> None:
    text = table([by.capitalize(), "Currency", *headers], rows, right=headers)
    context.answer({"by": by, "lines": data}, text if rows else "There is nothing in these days.")


def _key(key: Any) -> str:
    if key is None:
        return "(none)"
    return f"{key:%Y-%m-%d %H:%M %Z}" if isinstance(key, datetime) else str(key)
