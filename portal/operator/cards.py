"""Find a card. A card number is only ever typed into a form that is posted; addresses carry serials."""

from __future__ import annotations

from flask import request
from flask.typing import ResponseReturnValue

from engine.cards.queries import find_cards
from engine.cards.serials import card_id_of, serial_of
from engine.errors import InvalidInput
from portal.installation import db
from portal.operator.card.shared import not_a_serial, to_card
from portal.operator.console import console, needs
from portal.operator.forms import FindForm
from portal.respond import respond

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
        return to_card(serial_of(card_id_of(serial)))
    except InvalidInput:
        return not_a_serial(serial)


@console.post("/find")
@needs("cards.see")
def find_post() -> ResponseReturnValue:
    """Look typed digits up as serial and as number."""
    form = FindForm()
    valid = form.validate_on_submit()
    matches = find_cards(db(), form.wanted.data) if valid else ()
    if len(matches) == 1:
        return to_card(matches[0].serial)
    if valid and not matches:
        form.wanted.errors = [NOT_FOUND]
    status = 200 if matches else 422
    return respond("operator/find.html", block="form", status=status, form=form, matches=matches)
