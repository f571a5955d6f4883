"""Acts on a card's life: lock and unlock, extend, replace, void."""

from __future__ import annotations

from typing import Self

from flask import url_for
from flask.typing import ResponseReturnValue
from wtforms import ValidationError

from engine.cards import lifecycle
from engine.cards.queries import CardPage, known_card
from engine.funds import replacements
from portal.formats import until
from portal.forms import CommandForm, ReasonField, SwitchField, TextField, WholeField
from portal.installation import db, installation, now
from portal.operator.act import act
from portal.operator.card.shared import ReasonForm, WhyForm, ask, page_of, the_card
from portal.operator.console import actor, console, needs

BOTH = ["GET", "POST"]
CONFIRMED = 4
"""So many digits of the serial are typed before something final is done."""
CONFIRM = "Last four digits of this card's serial"
DIGITS = {"inputmode": "numeric", "autocomplete": "off"}


class ExtendForm(CommandForm):
    """More days."""

    days = WholeField("Days", least=1, most=lifecycle.MOST_DAYS, default=30)
    reason = ReasonField(required=False, description="It is kept with the card. You may leave it out.")


class Confirmed(CommandForm):
    """A form of something final: the end of the serial is typed as a proof that it is meant."""

    expected = ""

    def validate_confirm(self, field: TextField) -> None:
        """Refuse any other digits."""
        if field.data != self.expected:
            raise ValidationError(f"Type the last {CONFIRMED} digits of the serial: {self.expected}.")

    @classmethod
    def about(cls, card: CardPage) -> Self:
        """The form for a card."""
        form = cls()
        form.expected = card.serial[-CONFIRMED:]
        return form


class DamageForm(Confirmed):
    """A reason, and the proof."""

    reason = ReasonField(description="It is kept with the card for good.")
    confirm = TextField(CONFIRM, most=20, render_kw=DIGITS)


class ReplaceForm(Confirmed):
    """The card that takes its place."""

    new = TextField("Serial of the new card", most=40, render_kw=DIGITS)
    move_callers = SwitchField("Its phones move over to the new card", default=True)
    reason = ReasonField(description="It is kept with both cards for good.")
    confirm = TextField(CONFIRM, most=20, render_kw=DIGITS)


@console.route("/cards/<serial>/lock", methods=BOTH)
@needs("card.lock")
def lock_card(serial: str) -> ResponseReturnValue:
    """Lock it until it is unlocked."""
    card, form = the_card(serial), WhyForm()
    return act(
        form,
        lambda: lifecycle.lock(db(), card_id=card.id, reason=form.reason.data, actor=actor(), now=now()),
        ask(card, "Lock card", "Lock", "No call, no balance and no recharge until it is unlocked.", "bad"),
        done=lambda done: "The card is locked." if done.changed else "The card was locked already.",
        undo=(url_for("operator.unlock_card", serial=card.serial), "Unlock it again"),
    )


@console.route("/cards/<serial>/unlock", methods=BOTH)
@needs("card.unlock")
def unlock_card(serial: str) -> ResponseReturnValue:
    """Unlock it, whoever locked it."""
    card, form = the_card(serial), ReasonForm()
    vault = installation().vault
    return act(
        form,
        lambda: lifecycle.unlock(
            db(), vault, card_id=card.id, reason=form.reason.data, actor=actor(), now=now()
        ),
        ask(card, "Unlock card", "Unlock", "Wrong passwords that were tried on it are forgotten."),
        done=lambda done: "The card is unlocked." if done.changed else "The card was not locked.",
        undo=(url_for("operator.lock_card", serial=card.serial), "Lock it again"),
    )


@console.route("/cards/<serial>/extend", methods=BOTH)
@needs("card.extend")
def extend_card(serial: str) -> ResponseReturnValue:
    """Let it expire later."""
    card, form = the_card(serial), ExtendForm()
    return act(
        form,
        lambda: lifecycle.extend(
            db(),
            card_id=card.id,
            days=form.days.data,
            key=form.key.data,
            reason=form.reason.data,
            actor=actor(),
            now=now(),
        ),
        ask(
            card, "Extend card", "Extend", "So many days are added; an expired card gets them from today on."
        ),
        done=lambda done: f"The card is valid until {until(done.expires_at).striptags()}.",
    )


@console.route("/cards/<serial>/damage", methods=BOTH)
@needs("card.damage")
def damage_card(serial: str) -> ResponseReturnValue:
    """Void it for good."""
    card = the_card(serial)
    form = DamageForm.about(card)
    intro = "It works nowhere from then on, for good. What is left on it can go to a replacement."
    return act(
        form,
        lambda: lifecycle.damage(db(), card_id=card.id, reason=form.reason.data, actor=actor(), now=now()),
        ask(card, "Void card", "Void it for good", intro, "bad"),
        done=lambda done: "The card is void, for good." if done.changed else "The card was void already.",
    )


@console.route("/cards/<serial>/replace", methods=BOTH)
@needs("card.replace")
def replace_card(serial: str) -> ResponseReturnValue:
    """Put another card in its place."""
    card = the_card(serial)
    form = ReplaceForm.about(card)

    def replace() -> replacements.Replaced:
        return replacements.replace_card(
            db(),
            old_id=card.id,
            new_id=known_card(db(), form.new.data, "new"),
            reason=form.reason.data,
            move_callers=form.move_callers.data,
            actor=actor(),
            now=now(),
        )

    intro = "This card is void from then on, for good. What is available on it goes to the new one, with its validity."
    return act(
        form,
        replace,
        ask(card, "Replace card", "Replace it", intro, "bad"),
        done=lambda done: f"The card {done.new_serial} takes its place; this one is void.",
        undo=(page_of(form.new.data), "Open the new card") if form.new.data else None,
    )
