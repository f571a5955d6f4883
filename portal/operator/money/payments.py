"""Payments over all cards: the list, its sums, one payment, the export of all."""

from __future__ import annotations

from collections.abc import Mapping

from flask import abort, url_for
from flask.typing import ResponseReturnValue

from engine.reports import moneyexports, payments
from engine.reports.payments import PaymentFilter, PaymentList
from portal.installation import db, zone
from portal.operator.calls.exports import order_export
from portal.operator.console import console, needs
from portal.operator.money.asked import Asked, asked_of, filter_of, has_empty, shown_at
from portal.operator.money.forms import PaymentFilterForm, form_of, words
from portal.respond import go_to, respond


def _asked() -> tuple[Asked, PaymentFilter, dict[str, str]]:
    asked = asked_of("/money", payments.FIELDS)
    return asked, *filter_of(asked, _parse)


def _parse(texts: Mapping[str, str]) -> PaymentFilter:
    return payments.parse(db(), zone(), texts)


@console.get("/money")
@needs("money.see")
def payment_list() -> ResponseReturnValue:
    """Payments, newest first; all that is asked for stands in the address."""
    asked, f, wrong = _asked()
    if has_empty():
        return go_to(asked.url(asked.before))
    found = PaymentList(()) if wrong else payments.page(db(), f, before=asked.before)
    response = respond(
        "operator/money/payments.html",
        block="list",
        status=422 if wrong else 200,
        asked=asked,
        form=form_of(PaymentFilterForm, asked, wrong),
        chips=asked.chips(words),
        wrong=wrong,
        found=found,
        older=asked.url(found.older) if found.older else None,
    )
    return shown_at(response, asked)


@console.get("/money/sums")
@needs("money.see")
def payment_sums() -> ResponseReturnValue:
    """What the payments of a list sum up to; the list asks for it once it is there."""
    asked, f, wrong = _asked()
    return respond(
        "operator/money/payment_sums.html",
        block="sums",
        status=422 if wrong else 200,
        asked=asked,
        sums=None if wrong else payments.sums(db(), f),
    )


@console.get("/money/payments/<int(max=9223372036854775807):payment_id>")
@needs("money.see")
def payment(payment_id: int) -> ResponseReturnValue:
    """One payment with all that it belongs to."""
    return respond("operator/money/payment.html", row=payments.find(db(), payment_id))


@console.route("/money/export", methods=["GET", "POST"])
@needs("report.export")
def export_payments() -> ResponseReturnValue:
    """Export the payments that the rest of the address asks for."""
    asked, f, wrong = _asked()
    if wrong:
        abort(400)
    about = ", ".join(text for text, _ in asked.chips(words)) or "all payments"
    return order_export(
        moneyexports.PAYMENTS.name,
        payments.to_json(f),
        about,
        asked.url(path=url_for("operator.payment_list")),
    )
