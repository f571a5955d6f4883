"""Statements of resellers as pages and files, for the desk and the console alike."""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable, Iterator
from datetime import date
from itertools import islice
from typing import Any

from flask import Response, abort, g
from flask.typing import ResponseReturnValue

from engine.money import format_amount
from engine.reports import resellerstatements as reports
from engine.reports.resellerstatements import Statement, StatementLine
from portal import papers
from portal.installation import db, now, operators_zone
from portal.respond import respond

KINDS = {
    "deposit": "Deposit",
    "adjustment": "Correction",
    "stock": "Cards activated or sold",
    "return": "Cards returned",
    "recharge": "Recharge of a card",
}
"""What an entry of an account is, by its kind."""
SHOWN = 100
"""Lines of a page; the files hold more."""
HEADS = (
    *("at", "kind", "batch", "first_serial", "last_serial", "cards", "face_value", "amount", "balance"),
    *("currency", "reason"),
)
_MONTH = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])", re.ASCII)


def month_of(text: str) -> date:
    """The first day of a month as it stands in an address, such as `2026-05`; 404 for anything else."""
    found = _MONTH.fullmatch(text)
    if found is None or not 2000 <= int(found[1]) <= 2200:
        abort(404)
    return date(int(found[1]), int(found[2]), 1)


def month_word(month: date) -> str:
    """A month as people say it: `May 2026`."""
    return f"{calendar.month_name[month.month]} {month.year}"


def months_page(reseller_id: int, at: Callable[[int, date], str], **context: Any) -> ResponseReturnValue:
    """The months of a reseller's accounts. `at`: the address of the statement of an account and month."""
    return respond(
        "statements/months.html",
        months=reports.months(db(), reseller_id, operators_zone(), now()),
        at=at,
        month_word=month_word,
        **context,
    )


def statement_page(
    reseller_id: int, account_id: int, month: str, file_at: Callable[[str], str], **context: Any
) -> ResponseReturnValue:
    """One statement. `file_at`: the address of it as a file of a kind."""
    of = _statement(reseller_id, account_id, month)
    return respond(
        "statements/statement.html",
        of=of,
        zone=g.zone.key,
        lines=list(reports.lines(db(), of, most=SHOWN)),
        kinds=KINDS,
        title=month_word(of.month),
        file_at=file_at,
        **context,
    )


def statement_file(
    reseller_id: int, account_id: int, month: str, kind: str, *, named: bool = False
) -> Response:
    """The same as a PDF, with its first lines, or as CSV with all of them; `named` after the reseller, too."""
    of = _statement(reseller_id, account_id, month)
    whose = re.findall(r"\w+", of.reseller.lower()) if named else []
    name = "-".join(["statement", *whose, f"{of.month:%Y-%m}", of.currency.lower()])
    if kind == "csv":
        return papers.csv(name, HEADS, _rows(of))
    if kind != "pdf":
        abort(404)
    found = list(islice(reports.lines(db(), of, most=papers.MOST_LINES + 1), papers.MOST_LINES + 1))
    return papers.pdf(
        name,
        "statements/paper.html",
        of=of,
        lines=found[: papers.MOST_LINES],
        cut=len(found) > papers.MOST_LINES,
        kinds=KINDS,
        month=month_word(of.month),
        **papers.letterhead(),
    )


def _statement(reseller_id: int, account_id: int, month: str) -> Statement:
    # Its months are those of the operator's zone, and so are its times, whoever reads it.
    g.zone = operators_zone()
    first = month_of(month)
    if first > now().astimezone(g.zone).date():
        abort(404)  # it hasn't begun
    return reports.statement(db(), reseller_id, account_id, first, g.zone, now())


def _rows(of: Statement) -> Iterator[tuple[str, ...]]:
    """The opening, every entry, the closing: the amounts between add up."""
    first, last = f"{of.month:%Y-%m-%d}", ("", "", "", "", "", "")
    yield (first, "opening", *last, format_amount(of.opening, 2), of.currency, "")
    for line in reports.lines(db(), of):
        yield _row(line, of.currency)
    yield ("", "closing", *last, format_amount(of.closing, 2), of.currency, "")


def _row(line: StatementLine, currency: str) -> tuple[str, ...]:
    return (
        papers.instant(line.at),
        line.kind,
        line.batch or "",
        line.first or "",
        line.last or "",
        "" if line.cards is None else str(line.cards),
        "" if line.face is None else format_amount(line.face, 2),
        format_amount(line.amount, 2),
        format_amount(line.balance, 2),
        currency,
        line.reason or "",
    )
