"""Find a card and show it. A card number is only ever typed into a form that is posted; addresses carry serials."""

from __future__ import annotations

from flask import request, url_for
from flask.typing import ResponseReturnValue

from engine.cards.queries import card_page, find_cards
from engine.cards.serials import card_id_of, serial_of
from engine.errors import InvalidInput
from portal import arguments
from portal.installation import db, now
from portal.operator.console import console, needs
from portal.operator.forms import FindForm
from portal.respond import go_to, respond

SERIAL_DIGITS = 11
NOT_FOUND = (
    "No card has this serial or number. Read the digits once more; the last one of a serial is a check digit."
)


@console.get("/find")
@needs("cards.see")
def find() -> ResponseReturnValue:
    """The form; with `?serial=` straight to the card. Addresses are no place for numbers: none is looked for here."""
    serial = request.args.get("serial")
    if serial is None:
        return respond("operator/find.html", block="form", form=FindForm(), matches=())
    try:
        return _to_card(serial_of(card_id_of(serial)))
    except InvalidInput:
        return _not_a_serial(serial)


@console.post("/find")
@needs("cards.see")
def find_post() -> ResponseReturnValue:
    """Look typed digits up as serial and as number."""
    form = FindForm()
    valid = form.validate_on_submit()
    matches = find_cards(db(), form.wanted.data) if valid else ()
    if len(matches) == 1:
        return _to_card(matches[0].serial)
    if valid and not matches:
        form.wanted.errors = [NOT_FOUND]
    status = 200 if matches else 422
    return respond("operator/find.html", block="form", status=status, form=form, matches=matches)


@console.get("/cards/<serial>")
@needs("cards.see")
def card(serial: str) -> ResponseReturnValue:
    """A card: what it is, why it is so, its calls explained, its ledger."""
    calls, entries = arguments.place("calls"), arguments.key("entries")
    try:
        found = card_page(db(), serial, now(), calls_before=calls, entries_before=entries)
    except InvalidInput:
        return _not_a_serial(serial)
    if found is None:
        return _no_card("unknown")
    if serial != found.serial:
        return _to_card(found.serial)
    return respond(
        "operator/card.html",
        card=found,
        older_calls=arguments.written_place(found.older_calls),
        later_page=calls is not None or entries is not None,
    )


def _to_card(serial: str) -> ResponseReturnValue:
    return go_to(url_for("operator.card", serial=serial))


def _not_a_serial(text: str) -> ResponseReturnValue:
    digits = sum(character.isdecimal() for character in text)
    return _no_card("check_digit" if digits == SERIAL_DIGITS else "length")


def _no_card(why: str) -> ResponseReturnValue:
    return respond("operator/no_card.html", status=404, why=why)
