"""Statements of resellers: of all of them for a month, and each one's own."""

from __future__ import annotations

from datetime import date

from flask import Response, url_for
from flask.typing import ResponseReturnValue
from markupsafe import Markup

from engine.money import format_amount
from engine.reports import resellerstatements as reports
from portal import arguments, papers, statements
from portal.installation import db, now, operators_zone
from portal.operator.console import console, needs
from portal.operator.resellers.page import ONE, page_of, reseller_or_404
from portal.respond import respond

OF_ONE = ONE + "/statements/<int(max=9223372036854775807):account_id>/<month>"
HEADS = (
    *("reseller", "currency", "opening", "cards", "face_value", "paid", "earned", "recharged", "closing"),
)


@console.get("/resellers/statements")
@needs("money.see")
def reseller_months() -> ResponseReturnValue:
    """All resellers in one month, as a page or a file."""
    today = now().astimezone(operators_zone()).date()
    month = statements.month_of(arguments.words("month") or f"{today:%Y-%m}")
    found = reports.all_in_month(db(), month, operators_zone())
    if arguments.flag("csv"):
        return papers.csv(f"resellers-{month:%Y-%m}", HEADS, map(_row, found))
    return respond(
        "operator/resellers/months.html",
        lines=found,
        month=month,
        title=statements.month_word(month),
        running=month == reports.month_of(today),
        before=f"{reports.month_of(date.fromordinal(month.toordinal() - 1)):%Y-%m}",
        after=f"{reports.next_month(month):%Y-%m}" if reports.next_month(month) <= today else None,
    )


@console.get(ONE + "/statements")
@needs("money.see")
def reseller_statements(reseller_id: int) -> ResponseReturnValue:
    """The months of one reseller."""
    found = reseller_or_404(reseller_id)
    at = lambda account_id, month: url_for(  # noqa: E731
        ".reseller_statement", reseller_id=reseller_id, account_id=account_id, month=f"{month:%Y-%m}"
    )
    return statements.months_page(reseller_id, at, trail=_back(reseller_id), name=found.name)


@console.get(OF_ONE)
@needs("money.see")
def reseller_statement(reseller_id: int, account_id: int, month: str) -> ResponseReturnValue:
    """One statement of one reseller."""
    return statements.statement_page(
        reseller_id,
        account_id,
        month,
        lambda kind: url_for(
            ".reseller_statement_file", reseller_id=reseller_id, account_id=account_id, month=month, kind=kind
        ),
        trail=_back(reseller_id),
    )


@console.get(OF_ONE + ".<kind>")
@needs("money.see")
def reseller_statement_file(reseller_id: int, account_id: int, month: str, kind: str) -> Response:
    """The same as PDF or CSV."""
    return statements.statement_file(reseller_id, account_id, month, kind, named=True)


def _row(line: reports.ResellerMonth) -> tuple[str, ...]:
    sold = line.sold
    amounts = (sold.face, sold.paid, sold.earned, line.recharged, line.closing)
    texts = [format_amount(amount, 2) for amount in amounts]
    return line.reseller, line.currency, format_amount(line.opening, 2), str(sold.cards), *texts


def _back(reseller_id: int) -> Markup:
    name = reseller_or_404(reseller_id).name
    links = (
        (page_of(reseller_id), name),
        (url_for(".reseller_statements", reseller_id=reseller_id), "Statements"),
    )
    return Markup(" / ").join(
        Markup('<a href="{}"><bdi>{}</bdi></a>').format(url, word) for url, word in links
    )
