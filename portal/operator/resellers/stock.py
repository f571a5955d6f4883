"""What is done with the stock of a reseller: given, taken back, activated, sold, returned."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import request
from flask.typing import ResponseReturnValue

from engine.errors import Conflict, NotFound
from engine.stock import custody, deskviews, resale
from engine.stock.deskviews import Ahead
from portal.forms import attempt
from portal.installation import db, now
from portal.operator.act import Ask, act
from portal.operator.batches.words import left_over
from portal.operator.console import actor, console, needs
from portal.operator.resellers.forms import AssignForm, RangeForm, ReturnForm, moved
from portal.operator.resellers.page import BOTH, ONE, page_of, reseller_or_404
from portal.respond import respond

TEMPLATE = "operator/resellers/range.html"
_ENDS = {"first": "from_serial", "last": "to_serial"}
_MONEY: dict[Callable[..., Any], str] = {
    resale.activate: "activate",
    resale.sell: "sell",
    resale.give_back: "return",
}
"""What moves the reseller's credit, as `deskviews.look` calls it."""


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
    """The act of one verb; `words`: heading, button, what was done, with the name in `{}`.

    `step` is `do` for what was looked at; anything else, and what was changed since, is looked at first.
    """
    found = reseller_or_404(reseller_id)
    title, submit, done = (word.replace("{}", found.name) for word in words)
    ask = Ask(title, submit, page_of(reseller_id), intro=intro)
    told: dict[str, Any] = {"verb": done, "name": found.name, "left_over": left_over}
    seen = request.form.get("step") == "do" and request.form.get("seen") == form.asked
    if request.method == "POST" and not seen and form.validate():
        ahead = attempt(form, lambda: _ahead(command, form, reseller_id, found.name, more), _ENDS)
        status = 422 if form.refused else 200
        return respond(TEMPLATE, block="form", status=status, form=form, ask=ask, ahead=ahead, **told)
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
        ask,
        done=lambda answer: moved(answer, done),
        fields=_ENDS,
        template=TEMPLATE,
        ahead=None,
        **told,
    )


def _ahead(
    command: Callable[..., Any], form: RangeForm, reseller_id: int, name: str, more: dict[str, Any]
) -> dict[str, Any]:
    """What it would do now: how many cards change, why others don't, the money, and how many work unpaid already."""
    cards = form.cards()
    if command in _MONEY:
        try:
            found: Ahead = deskviews.look(db(), _MONEY[command], cards, reseller_id, now(), **more)
        except NotFound as error:
            raise Conflict("not_their_stock", name=name, **error.data) from None
        step = found.steps[0]
        return {"changed": step.changed, "cards": found.cards, "why": step.why, "money": found, "working": 0}
    verb = "assign" if command is resale.assign else "unassign"
    moves = custody.look(db(), cards, verb, now(), reseller_id=reseller_id, **more)
    working = custody.working(db(), cards) if verb == "assign" and moves.changed else 0
    told = {"changed": moves.changed, "cards": moves.changed + moves.left, "why": moves.why}
    return {**told, "money": None, "working": working}
