"""Ledger entries over all cards: the list, its sums by kind, the export of all."""

from __future__ import annotations

from collections.abc import Mapping

from flask import abort
from flask.typing import ResponseReturnValue

from engine.reports import ledgersearch, moneyexports
from engine.reports.ledgersearch import LedgerFilter, LedgerList
from portal.installation import db, now, zone
from portal.operator.calls.exports import order_export
from portal.operator.console import console, needs
from portal.operator.money.asked import Asked, asked_of, filter_of, has_empty, shown_at
from portal.operator.money.forms import LedgerFilterForm, form_of, words
from portal.operator.money.words import KINDS
from portal.respond import go_to, respond


def _asked() -> tuple[Asked, LedgerFilter, dict[str, str]]:
    asked = asked_of("/money/ledger", ledgersearch.FIELDS)
    return asked, *filter_of(asked, _parse)


def _parse(texts: Mapping[str, str]) -> LedgerFilter:
    return ledgersearch.parse(db(), zone(), texts)


@console.get("/money/ledger")
@needs("money.see")
def ledger() -> ResponseReturnValue:
    """Ledger entries, newest first; all that is asked for stands in the address."""
    asked, f, wrong = _asked()
    if has_empty():
        return go_to(asked.url(asked.before))
    found = LedgerList(()) if wrong else ledgersearch.page(db(), f, now(), before=asked.before)
    response = respond(
        "operator/money/ledger.html",
        block="list",
        status=422 if wrong else 200,
        asked=asked,
        form=form_of(LedgerFilterForm, asked, wrong),
        chips=asked.chips(words),
        wrong=wrong,
        found=found,
        kinds=KINDS,
        older=asked.url(found.older) if found.older else None,
    )
    return shown_at(response, asked)


@console.get("/money/ledger/sums")
@needs("money.see")
def ledger_sums() -> ResponseReturnValue:
    """What the entries of a list sum up to, by kind."""
    asked, f, wrong = _asked()
    return respond(
        "operator/money/ledger_sums.html",
        block="sums",
        status=422 if wrong else 200,
        asked=asked,
        kinds=KINDS,
        sums=None if wrong else ledgersearch.sums(db(), f, now()),
    )


@console.route("/money/ledger/export", methods=["GET", "POST"])
@needs("report.export")
def export_ledger() -> ResponseReturnValue:
    """Export the entries that the rest of the address asks for."""
    asked, f, wrong = _asked()
    if wrong:
        abort(400)
    about = ", ".join(text for text, _ in asked.chips(words)) or "the whole ledger"
    return order_export(moneyexports.LEDGER.name, ledgersearch.to_json(f), about, asked.url())
