"""The find box. What was typed is only ever posted: it may be a card number, which no address may carry."""

from __future__ import annotations

import re

from flask import request, url_for
from flask.typing import ResponseReturnValue
from flask_wtf import FlaskForm
from wtforms import StringField
from wtforms.validators import InputRequired, Length

from engine.cards.serials import card_id_of, serial_of
from engine.errors import InvalidInput
from engine.reports import finding
from engine.reports.finding import Findings
from portal.forms import printable
from portal.installation import db, now
from portal.operator.card.shared import not_a_serial, to_card
from portal.operator.console import actor, console, needs
from portal.respond import go_to, respond

_DIGIT = re.compile(r"[0-9]")
_MOST = 128
_MANY_DIGITS = 7
NOTHING = "Nothing here fits what you typed."


class FindForm(FlaskForm):
    """Anything that leads to a card, a call, a batch or a reseller."""

    wanted = StringField(
        "What are you looking for?",
        [
            InputRequired("Type a serial, a card number, a phone, a name or a call reference."),
            Length(max=_MOST, message="That is too long to be the name or number of anything here."),
        ],
        [printable],
    )


@console.get("/find")
@needs("cards.see")
def find() -> ResponseReturnValue:
    """The form; with `?serial=` straight to the card. Addresses are no place for numbers: none is looked for here."""
    serial = request.args.get("serial")
    if serial is None:
        return respond("operator/home/find.html", form=FindForm(), found=None, shown="")
    try:
        return to_card(serial_of(card_id_of(serial)))
    except InvalidInput:
        return not_a_serial(serial)


@console.post("/find")
@needs("cards.see")
def find_post() -> ResponseReturnValue:
    """Look for what was typed; go there at once where exactly one thing fits."""
    form = FindForm()
    if not form.validate_on_submit():
        return respond("operator/home/find.html", status=422, form=form, found=None, shown="")
    typed = form.wanted.data.strip()
    found = finding.find(db(), typed, actor(), now())
    if found.count == 1:
        return go_to(_where(found))
    if not found.count:
        form.wanted.errors = [NOTHING]
    if masked(typed) != typed:
        form.wanted.data = ""
        form.wanted.raw_data = None
    return respond(
        "operator/home/find.html",
        status=200 if found.count else 422,
        form=form,
        found=found,
        shown=masked(typed),
    )


def masked(typed: str) -> str:
    """What was typed as it may be shown again: of what may be a card number only the last four digits."""
    digits = len(_DIGIT.findall(typed))
    if digits < _MANY_DIGITS or typed.startswith("+"):
        return typed
    hidden = iter(range(digits))
    return _DIGIT.sub(lambda digit: "•" if next(hidden) < digits - 4 else digit[0], typed)


def _where(found: Findings) -> str:
    if found.cards:
        return url_for("operator.card", serial=found.cards[0].serial)
    if found.calls:
        return url_for("operator.card", serial=found.calls[0].serial, _anchor="calls")
    if found.batches:
        return url_for("operator.batch", batch_id=found.batches[0].id)
    return f"/resellers/{found.resellers[0].id}"
