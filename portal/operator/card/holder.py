"""Acts for whoever holds a card: a new password, the phones it is bound to, calls at a time."""

from __future__ import annotations

from flask import request, url_for
from flask.typing import ResponseReturnValue

from engine.cards import binding, lifecycle
from engine.cards.queries import CardPage
from engine.vault import Secret
from portal.forms import ChoiceField, CommandForm, ReasonField, SwitchField, TextField, WholeField
from portal.installation import db, installation, now
from portal.operator.act import act
from portal.operator.card.shared import ReasonForm, ask, page_of, the_card
from portal.operator.console import actor, console, needs
from portal.respond import respond

BOTH = ["GET", "POST"]


class BindForm(CommandForm):
    """A phone."""

    caller = TextField(
        "Phone number",
        most=40,
        description="International, such as +14155550123, or as it is dialled at home.",
        render_kw={"inputmode": "tel", "autocomplete": "off"},
    )
    pinless = SwitchField("It needs no password")
    reason = ReasonField(required=False, description="It is kept with the card. You may leave it out.")


class UnbindForm(CommandForm):
    """One of the phones that are bound."""

    caller = ChoiceField("Phone number")
    reason = ReasonField(required=False, description="It is kept with the card. You may leave it out.")


class ConcurrencyForm(CommandForm):
    """How many calls at a time."""

    calls = WholeField("Calls at a time", least=1, most=lifecycle.MOST_CALLS)
    reason = ReasonField(required=False, description="It is kept with the card. You may leave it out.")


@console.route("/cards/<serial>/password", methods=BOTH)
@needs("card.reset_password")
def reset_card_password(serial: str) -> ResponseReturnValue:
    """Give it another password, which this answer shows and nothing keeps."""
    card, form = the_card(serial), ReasonForm()
    intro = "The old password works nowhere from then on. The new one is shown once, on the next page."
    return act(
        form,
        lambda: lifecycle.reset_password(
            db(),
            installation().vault,
            card_id=card.id,
            reason=form.reason.data,
            key=form.key.data,
            actor=actor(),
            now=now(),
        ),
        ask(card, "New password for card", "Make a new password", intro),
        done="",
        result=lambda password: _shown_once(card, password),
    )


def _shown_once(card: CardPage, password: Secret) -> ResponseReturnValue:
    return respond(
        "operator/once.html",
        block="form",
        title="The new password",
        intro=f"It belongs to the card with the serial {card.serial}.",
        secrets=[("Password", password.value)],
        back=page_of(card),
    )


@console.route("/cards/<serial>/bind", methods=BOTH)
@needs("card.bind")
def bind_card(serial: str) -> ResponseReturnValue:
    """Bind a phone to it."""
    card, form = the_card(serial), BindForm()
    if not card.pinless:
        del form.pinless
    return act(
        form,
        lambda: binding.bind(
            db(),
            card_id=card.id,
            caller=form.caller.data,
            pinless=card.pinless and form.pinless.data,
            reason=form.reason.data,
            actor=actor(),
            now=now(),
        ),
        ask(
            card,
            "Bind a phone to card",
            "Bind it",
            "Where phones are bound, the card works from these alone.",
        ),
        done=lambda done: "The phone is bound." if done.changed else "The phone was bound already.",
        undo=(url_for("operator.unbind_card", serial=card.serial), "Take it off again"),
    )


@console.route("/cards/<serial>/unbind", methods=BOTH)
@needs("card.unbind")
def unbind_card(serial: str) -> ResponseReturnValue:
    """Take a phone off it."""
    card, form = the_card(serial), UnbindForm()
    form.caller.choices = [(caller, f"+{caller}") for caller in card.bound]
    if request.method == "GET":
        form.caller.data = request.args.get("caller")
    return act(
        form,
        lambda: binding.unbind(
            db(),
            card_id=card.id,
            caller=f"+{form.caller.data}",
            reason=form.reason.data,
            actor=actor(),
            now=now(),
        ),
        ask(card, "Take a phone off card", "Take it off", "The card can't be used from it any more."),
        done="The phone is not bound any more.",
        undo=(url_for("operator.bind_card", serial=card.serial), "Bind it again"),
    )


@console.route("/cards/<serial>/concurrency", methods=BOTH)
@needs("card.set_concurrency")
def set_card_concurrency(serial: str) -> ResponseReturnValue:
    """Say how many calls it may make at a time."""
    card = the_card(serial)
    form = ConcurrencyForm(calls=card.concurrency)
    return act(
        form,
        lambda: lifecycle.set_concurrency(
            db(), card_id=card.id, calls=form.calls.data, reason=form.reason.data, actor=actor(), now=now()
        ),
        ask(card, "Calls at a time of card", "Change it", "Calls that are live go on."),
        done="The number of calls at a time is changed.",
    )
