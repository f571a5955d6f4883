"""What the shop has, owes, sold and earned: credit with its entries, sales by day and batch, statements by month."""

from __future__ import annotations

from datetime import date

from flask import Response, url_for
from flask.typing import ResponseReturnValue
from markupsafe import Markup

from engine.errors import NotFound
from engine.funds import accountviews
from engine.reports import resellerstatements as reports
from engine.reports.resellerstatements import SalesLine, Sold
from portal import arguments, statements
from portal.installation import db, now, operators_zone
from portal.operator.money.periods import PERIODS, days_of, own_days
from portal.reseller.door import desk, needs, shop
from portal.respond import respond

ACCOUNT = "<int(max=9223372036854775807):account_id>"
ONE = f"/statements/{ACCOUNT}/<month>"


@desk.get("/credit")
@needs("desk.owner.see")
def credit() -> ResponseReturnValue:
    """The accounts, and the entries of one of them, newest first."""
    accounts = accountviews.list_accounts(db(), reseller_id=shop().reseller_id)
    wanted, before = arguments.key("account"), arguments.key("before")
    chosen = next((one for one in accounts if wanted in (None, one.id)), None)
    if wanted is not None and chosen is None:
        raise NotFound("account_not_found")
    page = None if chosen is None else accountviews.account_page(db(), chosen.id, before=before, at_desk=True)
    return respond(
        "reseller/credit.html",
        accounts=accounts,
        chosen=chosen,
        page=page,
        kinds=statements.KINDS,
        later=before is not None,
        older=url_for(".credit", account=chosen.id, before=page.older)
        if chosen and page and page.older
        else None,
    )


@desk.get("/sales")
@needs("desk.owner.see")
def sales() -> ResponseReturnValue:
    """What was sold and earned: today, this month, and by day and batch in the days that are asked for."""
    zone = operators_zone()
    today = now().astimezone(zone).date()
    period = arguments.choice("period", PERIODS, "this-month") or "this-month"
    texts = arguments.words("from") or "", arguments.words("to") or ""
    days, wrong = own_days(*texts, today) if period == "own" else (days_of(period, today), {})
    if not wrong and (days[1] - days[0]).days >= reports.MOST_DAYS:
        days, wrong = (today, today), {"from": "That is too long: choose at most a year."}
    by_day = reports.sales_by_day(db(), shop().reseller_id, *days, zone)
    return respond(
        "reseller/sales.html",
        block="list",
        status=422 if wrong else 200,
        periods=PERIODS,
        period=period,
        texts=texts,
        wrong=wrong,
        days=days,
        by_day=by_day,
        by_batch=reports.sales_by_batch(db(), shop().reseller_id, *days, zone),
        sums=_sums(by_day),
        tiles=[(word, _sums(_of(word, today))) for word in ("today", "this-month")],
    )


def _of(period: str, today: date) -> list[SalesLine]:
    return reports.sales_by_day(db(), shop().reseller_id, *days_of(period, today), operators_zone())


def _sums(lines: list[SalesLine]) -> dict[str, Sold]:
    """The sales of some lines in each currency."""
    sums: dict[str, Sold] = {}
    for line in lines:
        so_far = sums.get(line.currency, Sold())
        some = line.sold
        sums[line.currency] = Sold(
            so_far.cards + some.cards, so_far.face + some.face, so_far.paid + some.paid
        )
    return sums


@desk.get("/statements")
@needs("desk.owner.see")
def statement_months() -> ResponseReturnValue:
    """The months there are statements of."""
    return statements.months_page(shop().reseller_id, _at, trail=_back(".credit", "Credit"), name=None)


@desk.get(ONE)
@needs("desk.owner.see")
def statement(account_id: int, month: str) -> ResponseReturnValue:
    """One statement."""
    return statements.statement_page(
        shop().reseller_id,
        account_id,
        month,
        lambda kind: url_for(".statement_file", account_id=account_id, month=month, kind=kind),
        trail=_back(".statement_months", "Statements"),
    )


@desk.get(f"{ONE}.<kind>")
@needs("desk.owner.see")
def statement_file(account_id: int, month: str, kind: str) -> Response:
    """The same as PDF or CSV."""
    return statements.statement_file(shop().reseller_id, account_id, month, kind)


def _at(account_id: int, month: date) -> str:
    return url_for(".statement", account_id=account_id, month=f"{month:%Y-%m}")


def _back(endpoint: str, word: str) -> Markup:
    return Markup('<a href="{}">{}</a>').format(url_for(endpoint), word)
