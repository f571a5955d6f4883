"""Pay online: an amount, the payment service's page, and what became of it."""

from __future__ import annotations

from flask import abort, current_app, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext

from engine import house
from engine.funds import checkouts
from engine.money import MICROS
from portal import checkout
from portal.cardholder.door import actor, holder, own_card
from portal.cardholder.languages import language
from portal.forms import AmountField, CommandForm, attempt, new_form_key
from portal.installation import db, now
from portal.respond import go_to, respond


class PayForm(CommandForm):
    """How much."""

    amount = AmountField(lazy_gettext("Amount"), positive=True)


@holder.get("/recharge/online")
def pay_online() -> ResponseReturnValue:
    """The form for an amount."""
    if not checkout.can_pay_online():
        abort(404)
    form = PayForm()
    form.amount.data = suggestions()[0]
    return respond("cardholder/pay.html", form=form, card=own_card(), suggestions=suggestions())


@holder.post("/recharge/online")
def pay_online_post() -> ResponseReturnValue:
    """Begin a payment, have the service open its page for it, and lead to what became of it."""
    if not checkout.can_pay_online():
        abort(404)
    form, card = PayForm(), own_card()
    begun = None
    if form.validate_on_submit() and _payable(form):
        begun = attempt(
            form,
            lambda: checkouts.begin(
                db(),
                card_id=card.card_id,
                amount=form.amount.data,
                language=language(),
                key=form.key.data,
                actor=actor(),
                now=now(),
            ),
        )
    if begun is not None:
        try:
            checkout.collect(
                begun,
                _(
                    "%(brand)s: recharge of card %(serial)s",
                    brand=current_app.jinja_env.globals["brand"]().name,
                    serial=card.serial,
                ),
            )
            return go_to(url_for("cardholder.online_payment", ref=begun.ref))
        except checkout.PaymentUnavailable:
            form.key.data = new_form_key()  # so that another amount can be tried
            form.refusal = _("The payment service can't be reached. Nothing was paid. Try again in a minute.")
    return respond("cardholder/pay.html", status=422, form=form, card=card, suggestions=suggestions())


@holder.get("/recharge/online/<ref>")
def online_payment(ref: str) -> ResponseReturnValue:
    """How a payment of the own card stands."""
    if not ref.isprintable():  # the database takes no NUL
        abort(404)
    found = checkouts.find(db(), own_card().card_id, ref)
    given_up = bool(request.args.get("given_up")) and found.state == "open"
    return respond("cardholder/online.html", block="state", payment=found, given_up=given_up)


def suggestions() -> list[int]:
    """Amounts to choose from, in micro-units: the least, the most, and two between."""
    rules = house.current(db()).settings
    low, high = rules.online_least, max(rules.online_least, rules.online_most)
    between = [low * 2, low * 4]
    return [units * MICROS for units in sorted({low, *(one for one in between if one < high), high})]


def _payable(form: PayForm) -> bool:
    """Whether the service can collect this amount; says so at its field where it can't."""
    if checkout.smallest_units(form.amount.data, own_card().currency) is not None:
        return True
    form.amount.errors = [_("This amount has too many decimals.")]
    return False
