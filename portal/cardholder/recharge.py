"""Recharge: by a voucher, from another card, by paying online; and the receipt of each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Response, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext

from engine.cards.access import Credentials
from engine.funds import receipts, transfers, vouchers
from engine.refusal import Refusal
from engine.vault import Secret
from portal.cardholder.door import actor, browser, holder, own_card
from portal.cardholder.forms import KeypadPasswordField, NumberField
from portal.cardholder.words import sentence
from portal.forms import AmountField, CommandForm, attempt
from portal.installation import db, installation, now
from portal.respond import go_to, respond

_SPENT = ("locked", "expired", "damaged", "not_activated", "empty", "caller_not_bound", "caller_required")
"""What of a voucher's or another card's state is told as: this one can't be used."""


class VoucherForm(CommandForm):
    """A voucher, as it is printed."""

    number = NumberField(lazy_gettext("Voucher number"))
    password = KeypadPasswordField(lazy_gettext("Voucher password"))


class TransferForm(CommandForm):
    """Another card of the same holder, and how much of it."""

    number = NumberField(lazy_gettext("Number of the other card"))
    password = KeypadPasswordField(lazy_gettext("Password of the other card"))
    amount = AmountField(
        lazy_gettext("Amount"),
        required=False,
        positive=True,
        description=lazy_gettext("Leave this empty to move all that is on the other card."),
    )


@holder.get("/recharge")
def recharge() -> ResponseReturnValue:
    """The form for a voucher, and the other ways."""
    return _page("cardholder/recharge.html", VoucherForm())


@holder.post("/recharge")
def recharge_post() -> ResponseReturnValue:
    """Redeem a voucher."""
    form = VoucherForm()

    def redeem() -> Any:
        return vouchers.redeem_own(
            db(),
            installation().vault,
            card_id=own_card().card_id,
            browser=browser(),
            voucher_number=form.number.data,
            voucher_password=Secret(form.password.data),
            key=form.key.data,
            actor=actor(),
            now=now(),
        )

    return _done(
        "cardholder/recharge.html",
        form,
        redeem,
        _("This voucher can't be used. Ask where you bought it."),
        lambda answer: url_for("cardholder.receipt", payment_id=answer.payment_id),
    )


@holder.get("/recharge/transfer")
def transfer() -> ResponseReturnValue:
    """The form to move money here from another card."""
    return _page("cardholder/transfer.html", TransferForm())


@holder.post("/recharge/transfer")
def transfer_post() -> ResponseReturnValue:
    """Move it."""
    form = TransferForm()

    def move() -> Any:
        return transfers.transfer_into_own(
            db(),
            installation().vault,
            card_id=own_card().card_id,
            browser=browser(),
            source=Credentials(form.number.data, Secret(form.password.data)),
            amount=form.amount.data,
            key=form.key.data,
            actor=actor(),
            now=now(),
        )

    return _done(
        "cardholder/transfer.html",
        form,
        move,
        _("The other card can't be used: it is locked, has expired, is not activated, or is empty."),
        lambda answer: url_for("cardholder.received", transfer_id=answer.transfer_id),
        voucher=_("This is a recharge voucher"),
    )


@holder.get("/recharge/receipt/<int:payment_id>")
def receipt(payment_id: int) -> ResponseReturnValue:
    """What a recharge brought."""
    found = receipts.payment_receipt(db(), own_card().card_id, payment_id)
    return respond("cardholder/receipt.html", receipt=found, card=own_card())


@holder.get("/recharge/received/<int:transfer_id>")
def received(transfer_id: int) -> ResponseReturnValue:
    """What came from another card."""
    found = receipts.transfer_receipt(db(), own_card().card_id, transfer_id)
    return respond("cardholder/receipt.html", receipt=found, card=own_card())


def _page(template: str, form: CommandForm, *, status: int = 200) -> Response:
    return respond(template, status=status, form=form, card=own_card())


def _done(
    template: str,
    form: CommandForm,
    act: Callable[[], Any],
    spent: str,
    receipt_of: Callable[[Any], str],
    *,
    voucher: str | None = None,
) -> ResponseReturnValue:
    """Do what a form asks for and lead to its receipt; `spent` is told of a voucher or card that can't be used.

    `voucher`: what is told of a voucher where a card is asked for.
    """
    if not form.validate_on_submit():
        return _page(template, form, status=422)
    kept: list[Refusal] = []

    def acted() -> Any:
        answer = act()
        if isinstance(answer, Refusal):
            kept.append(answer)
            return None
        return answer

    answer = attempt(form, acted, {"to": "number"})
    if answer is not None:
        return go_to(receipt_of(answer))
    wait_s = None
    for refusal in kept:
        of_other = refusal.serial is not None and refusal.serial != own_card().serial
        if voucher is not None and refusal.reason == "voucher_not_allowed":
            form.refusal = voucher
        else:
            form.refusal = spent if of_other and refusal.reason in _SPENT else sentence(refusal)
        wait_s = refusal.retry_after_s
    response = _page(template, form, status=422 if wait_s is None else 429)
    if wait_s is not None:
        response.headers["Retry-After"] = str(wait_s)
    return response
