"""Acts on a card's way to a customer: one serial's worth of the commands on ranges."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from flask.typing import ResponseReturnValue
from wtforms.validators import DataRequired

from engine.bulk.verbs import CODES
from engine.cards.queries import CardPage
from engine.errors import Conflict
from engine.people.resellers import list_resellers
from engine.stock import custody, resale
from engine.stock.custody import Moved, Range
from engine.stock.resale import Resold
from portal.forms import ChoiceField, CommandForm, ReasonField
from portal.installation import db, now
from portal.operator.act import act
from portal.operator.card.shared import ReasonForm, ask, the_card
from portal.operator.console import actor, console, needs

BOTH = ["GET", "POST"]
T = TypeVar("T", Moved, Resold)


class AssignForm(CommandForm):
    """Which reseller."""

    reseller = ChoiceField("Reseller", validators=[DataRequired("Choose a reseller.")])
    reason = ReasonField(required=False, description="It is kept with the card. You may leave it out.")


def _one(card: CardPage) -> Range:
    return Range(card.id, card.id)


def _done(answer: T, same: str = "") -> T:
    """The answer, unless the card was left for a reason that stands against it: that is said in the form.

    `same` is the word for a card that was so already, where the command has one.
    """
    codes = [CODES[word] for word in answer.why if word in CODES and word != same]
    if not answer.changed and codes:
        raise Conflict(codes[0])
    return answer


def _said(sentence: str) -> Callable[[Moved | Resold], str]:
    return lambda answer: sentence if answer.changed else "It was so already; nothing was changed."


def _custody(
    serial: str, command: Callable[..., Moved], words: Iterable[str], same: str = ""
) -> ResponseReturnValue:
    """One of the operator's own commands: `words` are heading, button, intro and what is said afterwards."""
    card, form = the_card(serial), ReasonForm()
    title, submit, intro, done = words
    return act(
        form,
        lambda: _done(
            command(db(), _one(card), actor(), now(), form.reason.data, key=form.key.data),
            same,
        ),
        ask(card, title, submit, intro),
        done=_said(done),
    )


def _resale(serial: str, command: Callable[..., Resold], words: Iterable[str]) -> ResponseReturnValue:
    """The same on a reseller's stock, which its account pays."""
    card, form = the_card(serial), ReasonForm()
    title, submit, intro, done = words
    return act(
        form,
        lambda: _done(
            command(
                db(),
                _one(card),
                actor(),
                now(),
                reseller_id=None if command is resale.unassign else card.reseller_id,
                key=form.key.data,
                reason=form.reason.data,
            )
        ),
        ask(card, title, submit, intro),
        done=_said(done),
    )


@console.route("/cards/<serial>/activate", methods=BOTH)
@needs("cards.activate")
def activate_card(serial: str) -> ResponseReturnValue:
    """Release it."""
    words = ("Activate card", "Activate", "It may be used from then on.", "The card is activated.")
    return _custody(serial, custody.activate, words)


@console.route("/cards/<serial>/hold-back", methods=BOTH)
@needs("cards.hold_back")
def hold_back_card(serial: str) -> ResponseReturnValue:
    """Take its release back."""
    intro = "Every door refuses it from then on, until it is activated."
    return _custody(
        serial,
        custody.hold_back,
        ("Hold back card", "Hold it back", intro, "The card is held back until it is activated."),
    )


@console.route("/cards/<serial>/sold", methods=BOTH)
@needs("cards.sold")
def sold_card(serial: str) -> ResponseReturnValue:
    """Note that it was sold."""
    intro = "That it was sold is noted; whether it may be used is another matter."
    return _custody(
        serial,
        custody.mark_sold,
        ("Mark card", "Mark as sold", intro, "The card is marked as sold."),
        same="sold",
    )


@console.route("/cards/<serial>/assign", methods=BOTH)
@needs("stock.assign")
def assign_card(serial: str) -> ResponseReturnValue:
    """Give it to a reseller."""
    card, form = the_card(serial), AssignForm()
    known = [one for one in list_resellers(db()) if one.disabled_at is None]
    form.reseller.choices = [("", "Choose a reseller"), *((str(one.id), one.name) for one in known)]
    return act(
        form,
        lambda: _done(
            resale.assign(
                db(),
                _one(card),
                actor(),
                now(),
                reseller_id=int(form.reseller.data),
                transfer=True,
                key=form.key.data,
                reason=form.reason.data,
            )
        ),
        ask(card, "Assign card", "Assign", "It becomes this reseller's stock, whosever it was."),
        done=_said("The card is the reseller's now."),
    )


@console.route("/cards/<serial>/unassign", methods=BOTH)
@needs("stock.unassign")
def unassign_card(serial: str) -> ResponseReturnValue:
    """Take it from its reseller."""
    words = (
        "Take back card",
        "Take it back",
        "It is nobody's stock then.",
        "The card is no reseller's any more.",
    )
    return _resale(serial, resale.unassign, words)


@console.route("/cards/<serial>/reseller-activate", methods=BOTH)
@needs("stock.activate")
def reseller_activate_card(serial: str) -> ResponseReturnValue:
    """Release it for its reseller, whose account pays it."""
    intro = "It may be used from then on, and its reseller's account is charged its price."
    words = (
        "Activate card",
        "Activate and charge",
        intro,
        "The card is activated; its reseller was charged.",
    )
    return _resale(serial, resale.activate, words)


@console.route("/cards/<serial>/sell", methods=BOTH)
@needs("stock.sell")
def sell_card(serial: str) -> ResponseReturnValue:
    """Note that its reseller sold it."""
    intro = "That its reseller sold it is noted, and the reseller's account is charged its price."
    words = ("Mark card", "Mark as sold and charge", intro, "The card is sold; its reseller was charged.")
    return _resale(serial, resale.sell, words)


@console.route("/cards/<serial>/return", methods=BOTH)
@needs("stock.return")
def return_card(serial: str) -> ResponseReturnValue:
    """Undo sale and activation, and give back what its reseller was charged."""
    intro = (
        "Its reseller gets back what it was charged, and the card is held back until it is activated again."
    )
    words = ("Return card", "Return it", intro, "The card is returned; its reseller got its price back.")
    return _resale(serial, resale.give_back, words)
