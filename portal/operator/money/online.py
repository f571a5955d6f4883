"""What cardholders paid online: what became of it, and what waits to be put onto its card."""

from __future__ import annotations

from flask import url_for
from flask.typing import ResponseReturnValue

from engine.funds import checkouts
from engine.funds.checkouts import CheckoutView
from portal import arguments
from portal.checkout import can_pay_online
from portal.forms import CommandForm
from portal.installation import db, now
from portal.operator.act import Ask, act
from portal.operator.console import actor, console, needs
from portal.respond import respond


@console.get("/money/online")
@needs("money.see")
def online_payments() -> ResponseReturnValue:
    """Payments, the newest first, over them what their cards could not take."""
    before = arguments.key("before")
    lines, older = checkouts.list_checkouts(db(), before=before)
    owed = checkouts.list_checkouts(db(), owed=True)[0] if before is None else ()
    return respond(
        "operator/money/online.html", lines=lines, owed=owed, older=older, configured=can_pay_online()
    )


@console.route("/money/online/<ref>/credit", methods=["GET", "POST"])
@needs("checkout.credit")
def online_credit(ref: str) -> ResponseReturnValue:
    """Try again to put a payment onto its card."""
    checkouts.find_any(db(), ref)

    def credit() -> CheckoutView:
        return checkouts.credit(db(), ref=ref, actor=actor(), now=now())

    ask = Ask(
        title="Put the payment onto its card",
        intro="Do this when what kept the card from taking it is mended.",
        submit="Put it onto the card",
        back=url_for("operator.online_payments"),
    )
    return act(CommandForm(), credit, ask, done="The payment is on its card.")
