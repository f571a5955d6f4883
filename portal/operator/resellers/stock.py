"""What is done with the stock of a reseller: given, taken back, activated, sold, returned."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask.typing import ResponseReturnValue

from engine.stock import resale
from portal.installation import db, now
from portal.operator.act import Ask, act
from portal.operator.console import actor, console, needs
from portal.operator.resellers.forms import AssignForm, RangeForm, ReturnForm, moved
from portal.operator.resellers.page import BOTH, ONE, page_of, reseller_or_404

_ENDS = {"first": "from_serial", "last": "to_serial"}


@console.route(ONE + "/assign", methods=BOTH)
@needs("stock.assign")
def reseller_assign(reseller_id: int) -> ResponseReturnValue:
    """Give it cards."""
    form = AssignForm()
    return _range(
        reseller_id,
        form,
        resale.assign,
        ("Give cards to {}", "Give the cards", "given to {}"),
        "They are in its stock then; it pays for each when it is activated or sold. Cards that are used or sold stay.",
        transfer=form.transfer.data,
    )


@console.route(ONE + "/unassign", methods=BOTH)
@needs("stock.unassign")
def reseller_unassign(reseller_id: int) -> ResponseReturnValue:
    """Take cards back."""
    return _range(
        reseller_id,
        RangeForm(),
        resale.unassign,
        ("Take cards back from {}", "Take the cards back", "taken back from {}"),
        "Only cards that it was not charged for; let the others be returned first.",
    )


@console.route(ONE + "/activate", methods=BOTH)
@needs("stock.activate")
def reseller_activate(reseller_id: int) -> ResponseReturnValue:
    """Activate its cards."""
    return _range(
        reseller_id,
        RangeForm(),
        resale.activate,
        ("Activate cards of {}", "Activate the cards", "activated"),
        "They can be used from then on. It is charged once for each, less its discount.",
    )


@console.route(ONE + "/sell", methods=BOTH)
@needs("stock.sell")
def reseller_sell(reseller_id: int) -> ResponseReturnValue:
    """Note that it sold cards."""
    return _range(
        reseller_id,
        RangeForm(),
        resale.sell,
        ("Cards that {} sold", "Mark them as sold", "marked as sold"),
        "It is charged once for each, less its discount.",
    )


@console.route(ONE + "/return", methods=BOTH)
@needs("stock.return")
def reseller_return(reseller_id: int) -> ResponseReturnValue:
    """Undo sale and activation of cards that nobody used."""
    form = ReturnForm()
    return _range(
        reseller_id,
        form,
        resale.give_back,
        ("Cards that {} gives back", "Return the cards", "returned"),
        "Only cards that nobody used. What they cost is given back, and they wait for a new activation or sale.",
        to_operator=form.to_operator.data,
    )


def _range(
    reseller_id: int,
    form: RangeForm,
    command: Callable[..., Any],
    words: tuple[str, str, str],
    intro: str,
    **more: Any,
) -> ResponseReturnValue:
    """The act of one verb; `words`: heading, button, what was done, with the name in `{}`."""
    found = reseller_or_404(reseller_id)
    title, submit, done = words
    return act(
        form,
        lambda: command(
            db(),
            form.cards(),
            actor(),
            now(),
            reseller_id=reseller_id,
            key=form.key.data,
            reason=form.reason.data,
            **more,
        ),
        Ask(title.replace("{}", found.name), submit, page_of(reseller_id), intro=intro),
        done=lambda answer: moved(answer, done.replace("{}", found.name)),
        fields=_ENDS,
    )
