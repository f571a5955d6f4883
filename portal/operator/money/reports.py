"""The pages of the reports, each with its file."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from flask import Response, abort, request, url_for
from flask.typing import ResponseReturnValue
from markupsafe import Markup, escape

from engine.errors import NotFound
from engine.funds.accountviews import list_accounts
from engine.messages import sentence
from engine.money import format_amount
from engine.reports.currencies import currencies
from engine.reports.moneyfilter import scope_of
from engine.reports.traffic import Span
from engine.stock.export import guarded
from portal import arguments
from portal.formats import MONTHS
from portal.installation import db, now, zone
from portal.operator.console import console, needs
from portal.operator.money.figures import (
    REPORTS,
    TIMES,
    Asked,
    Column,
    Report,
    by_currency,
    places,
    points,
    total_of,
)
from portal.operator.money.periods import PERIODS, USUAL, begin_of, days_of, own_days
from portal.operator.money.words import ACCOUNTS, AGES, DOORS, KINDS, METHODS, REASONS, SOURCES
from portal.respond import respond

ONE = "/money/reports/<report>"
_MOST = 1_000
"""Lines that a page shows; the file has them all."""


@dataclass(frozen=True, slots=True)
class Form:
    """What the address asks of a report, as it was typed, and what is wrong with it by field."""

    report: Report
    by: str
    period: str
    first: str
    last: str
    currency: str | None
    batch: str
    reseller: str
    asked: Asked
    wrong: dict[str, str]

    def query(self) -> dict[str, str]:
        """It as the arguments of an address: only what was asked."""
        pairs = {
            "by": self.by,
            "currency": self.currency or "",
            "batch": self.batch,
            "reseller": self.reseller,
        }
        if self.report.dated:
            pairs |= {"period": self.period}
            pairs |= {"from": self.first, "to": self.last} if self.period == "own" else {}
        return {name: text for name, text in pairs.items() if text}

    def url(self, endpoint: str = "operator.report", **other: str) -> str:
        """The address of this report, with other arguments in the place of some."""
        return f"{url_for(endpoint, report=self.report.name)}?{urlencode({**self.query(), **other})}"


@console.get("/money/reports")
@needs("money.see")
def reports() -> ResponseReturnValue:
    """What reports there are."""
    return respond("operator/money/reports.html", reports=REPORTS.values())


@console.get(ONE)
@needs("money.see")
def report(report: str) -> ResponseReturnValue:
    """One report."""
    form = _form(report)
    lines = [] if form.wrong else form.report.lines(db(), form.asked)
    groups = [
        (
            of,
            held[:_MOST],
            len(held),
            total_of(held),
            points(form.report, form.asked, held),
            _places(form, held),
        )
        for of, held in by_currency(form.report, form.by, lines).items()
    ]
    return respond(
        "operator/money/report.html",
        block="list",
        status=422 if form.wrong else 200,
        form=form,
        report=form.report,
        groups=groups,
        periods=PERIODS,
        used=[one.currency for one in currencies(db())],
        titled=_Titles(form),
    )


def _places(form: Form, lines: list[Any]) -> list[int]:
    together = [*lines, total_of(lines)]
    return [places(column, together) for column in form.report.columns]


@console.get(ONE + "/file")
@needs("money.see")
def report_file(report: str) -> ResponseReturnValue:
    """The same as CSV: plain figures, names guarded against being read as formulas."""
    form = _form(report)
    if form.wrong:
        abort(400)
    made = io.StringIO(newline="")
    table = csv.writer(made)
    columns = form.report.columns
    table.writerow(
        [form.report.groups[form.by], "Details", "Currency", *(column.label for column in columns)]
    )
    title = _Titles(form)
    for line in form.report.lines(db(), form.asked):
        named = guarded(line.key.isoformat() if isinstance(line.key, date) else title(line).plain)
        under = guarded(getattr(line, "under", None) or "")
        currency = getattr(line, "currency", "")
        table.writerow([named, under, currency, *(_plain(column, line) for column in columns)])
    name = f"{form.report.name}-{now().astimezone(zone()):%Y-%m-%d}.csv"
    return Response(
        made.getvalue(),
        mimetype="text/csv",
        headers={"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"},
    )


def _plain(column: Column, line: Any) -> str:
    value = column.value(line)
    if value is None:
        return ""
    if column.form == "amount":
        return format_amount(value, 2)
    if column.form == "minutes":
        return format_amount(value * 1_000_000 // 60 // 1000 * 1000, 3)
    return f"{value // 10}.{value % 10}" if column.form == "permille" else str(value)


def _form(name: str) -> Form:
    found = REPORTS.get(name)
    if found is None:
        abort(404)
    period = arguments.choice("period", tuple(PERIODS), "own" if "from" in request.args else USUAL) or USUAL
    by = arguments.choice("by", tuple(found.groups), next(iter(found.groups))) or ""
    texts = {name: arguments.words(name) or "" for name in ("from", "to", "batch", "reseller")}
    today = now().astimezone(zone()).date()
    if period == "own":
        days, wrong = own_days(texts["from"], texts["to"], today)
    else:
        days, wrong = days_of(period, today), {}
    scope: dict[str, int | None] = {}
    for part in ("batch", "reseller") if found.scoped else ():
        try:
            scope |= {f"{part}_id": scope_of(db(), {part: texts[part]})[f"{part}_id"]}
        except NotFound as error:
            wrong[part] = sentence(error)
    currency = arguments.choice("currency", [one.currency for one in currencies(db())])
    begin, end = begin_of(days[0], zone()), begin_of(days[1] + timedelta(days=1), zone())
    return Form(
        found,
        by,
        period,
        texts["from"] if period == "own" else days[0].isoformat(),
        texts["to"] if period == "own" else days[1].isoformat(),
        currency,
        texts["batch"] if found.scoped else "",
        texts["reseller"] if found.scoped else "",
        Asked(Span(begin, end, zone(), currency, **scope), by, now()),
        wrong,
    )


@dataclass(frozen=True, slots=True)
class Title:
    """The name of a line: as text, and as a page shows it, with its link."""

    plain: str
    shown: Markup


class _Titles:
    """The names of a report's lines."""

    def __init__(self, form: Form) -> None:
        self._by = form.by
        self._accounts: dict[str, str] = {}
        if form.by == "account":
            self._accounts = {f"{one.kind}:{one.id}": one.name for one in list_accounts(db(), closed=True)}

    def __call__(self, line: Any) -> Title:
        """The name of one line."""
        plain = self._plain(line.key)
        number = getattr(line, "id", None)
        if self._by == "batch" and number is not None:
            return Title(plain, _linked(url_for("operator.batch", batch_id=number), plain))
        if self._by == "reseller" and number is not None:
            return Title(plain, _linked(f"/resellers/{number}", plain))
        return Title(plain, Markup("<bdi>{}</bdi>").format(plain))

    def _plain(self, key: Any) -> str:
        if self._by in TIMES:
            return _time(self._by, key)
        if key is None:
            return "No reseller" if self._by == "reseller" else "–"
        words: dict[str, dict[Any, str]] = {
            "method": METHODS,
            "kind": KINDS,
            "account": {**ACCOUNTS, **self._accounts},
            "reason": REASONS,
            "door": DOORS,
            "source": SOURCES,
            "age": AGES,
        }
        if self._by not in words:
            return str(key)
        return words[self._by].get(key) or str(key).replace("_", " ").capitalize()


def _linked(url: str, text: str) -> Markup:
    return Markup('<a href="{}"><bdi>{}</bdi></a>').format(escape(url), text)


def _time(by: str, key: Any) -> str:
    if isinstance(key, datetime):
        key = key.astimezone(zone())
        return f"{key.day} {MONTHS[key.month - 1]} {key.year}, {key:%H:%M}"
    day = f"{key.day} {MONTHS[key.month - 1]} {key.year}"
    if by == "month":
        return f"{MONTHS[key.month - 1]} {key.year}"
    return f"Week of {day}" if by == "week" else day
