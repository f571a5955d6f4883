"""The phones of a card, and the short numbers for those who are called often."""

from __future__ import annotations

from typing import Any

from flask import Response, abort, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext

from engine.cards import phones as engine_phones
from engine.cards import speeddials
from engine.errors import EngineError
from portal.cardholder import formats
from portal.cardholder.door import actor, holder, own_card
from portal.cardholder.forms import KeypadField
from portal.cardholder.words import sentence
from portal.forms import CommandForm, SwitchField, TextField, attempt
from portal.installation import db, now
from portal.notices import said
from portal.respond import go_to, respond

_PHONE_KEYS = {
    "inputmode": "tel",
    "autocomplete": "tel",
    "dir": "ltr",
    "placeholder": "+880 1712 345678",
}


class PhoneForm(CommandForm):
    """A phone to be registered."""

    caller = TextField(
        lazy_gettext("Telephone number"),
        description=lazy_gettext("With the country code, as others call it from abroad."),
        most=40,
        render_kw=_PHONE_KEYS,
    )
    pinless = SwitchField(lazy_gettext("Call from this phone without card number and password"))


class DialForm(CommandForm):
    """A number to be kept under a short one."""

    slot = KeypadField(lazy_gettext("Short number, 1 to 99"))
    destination = TextField(
        lazy_gettext("Telephone number"),
        description=lazy_gettext("With the country code."),
        most=40,
        render_kw={**_PHONE_KEYS, "autocomplete": "off"},
    )
    name = TextField(lazy_gettext("Name"), required=False, most=40)


@holder.get("/phones")
def phones() -> ResponseReturnValue:
    """What is registered, and the forms for more."""
    return _page(PhoneForm(), DialForm())


@holder.post("/phones")
def add_phone() -> ResponseReturnValue:
    """Register a phone."""
    form = PhoneForm()

    def add() -> Any:
        return engine_phones.add_phone(
            db(),
            card_id=own_card().card_id,
            caller=form.caller.data,
            pinless=bool(form.pinless.data),
            actor=actor(),
            now=now(),
        )

    if not form.validate_on_submit() or attempt(form, add) is None:
        return _page(form, DialForm(formdata=None), status=422)
    said(
        _(
            "The phone is registered. Call from it within 24 hours, and type your card number and password once."
        )
    )
    return go_to(url_for("cardholder.phones"))


@holder.post("/phones/<caller>/remove")
def remove_phone(caller: str) -> ResponseReturnValue:
    """Take a phone off."""
    gone = engine_phones.remove_phone(
        db(), card_id=own_card().card_id, caller=_digits(caller), actor=actor(), now=now()
    )
    if gone.changed:
        said(_("%(phone)s was removed.", phone=formats.quoted_phone(caller)))
    else:
        said(_("This phone is not registered any more."))
    return go_to(url_for("cardholder.phones"))


@holder.post("/phones/<caller>/pinless")
def set_pinless(caller: str) -> ResponseReturnValue:
    """Ask for the password there, or don't."""
    wanted = request.form.get("pinless") == "1"
    try:
        engine_phones.set_pinless(
            db(),
            card_id=own_card().card_id,
            caller=_digits(caller),
            pinless=wanted,
            actor=actor(),
            now=now(),
        )
    except EngineError as error:
        said(sentence(error), kind="bad")
    return go_to(url_for("cardholder.phones"))


@holder.post("/phones/short")
def set_dial() -> ResponseReturnValue:
    """Keep a number under a short one."""
    form = DialForm()

    def keep() -> Any:
        return speeddials.set_speed_dial(
            db(),
            card_id=own_card().card_id,
            slot=int(form.slot.data),
            destination=form.destination.data,
            name=form.name.data,
            actor=actor(),
            now=now(),
        )

    if not form.validate_on_submit() or attempt(form, keep) is None:
        return _page(PhoneForm(formdata=None), form, status=422)
    said(_("Saved. When you are asked for the number to call, type %(short)s.", short=form.slot.data))
    return go_to(url_for("cardholder.phones"))


@holder.post("/phones/short/<int(max=99):slot>/remove")
def remove_dial(slot: int) -> ResponseReturnValue:
    """Let a short number stand for nothing."""
    speeddials.remove_speed_dial(db(), card_id=own_card().card_id, slot=slot, actor=actor(), now=now())
    said(_("The short number %(short)s was cleared.", short=slot))
    return go_to(url_for("cardholder.phones"))


def _digits(caller: str) -> str:
    if not (caller.isascii() and caller.isdecimal() and len(caller) <= 15):
        abort(404)
    return caller


def _page(phone_form: PhoneForm, dial_form: DialForm, *, status: int = 200) -> Response:
    card = own_card()
    return respond(
        "cardholder/phones.html",
        status=status,
        card=card,
        own_phones=engine_phones.own_phones(db(), card.card_id, now()),
        dials=speeddials.own_dials(db(), card.card_id),
        phone_form=phone_form,
        dial_form=dial_form,
    )
