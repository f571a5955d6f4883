"""The card that an address names, and what all acts on it have in common."""

from __future__ import annotations

from flask import Response, abort, url_for
from flask.typing import ResponseReturnValue
from markupsafe import Markup

from engine.cards.queries import CardPage, card_page
from engine.errors import InvalidInput
from portal.formats import serial as shown_serial
from portal.forms import CommandForm, ReasonField
from portal.installation import db, now
from portal.operator.act import Ask
from portal.respond import go_to, respond

SERIAL_DIGITS = 11


class ReasonForm(CommandForm):
    """Nothing but a reason that may be given."""

    reason = ReasonField(required=False, description="It is kept with the card. You may leave it out.")


class WhyForm(CommandForm):
    """Nothing but a reason that must be given."""

    reason = ReasonField(description="It is kept with the card for good.")


def the_card(serial: str, *, live: bool = False) -> CardPage:
    """The card of an address, without its lists (but `live` calls, where they are wanted); where there is none the
    request ends with a page that says so."""
    try:
        found = card_page(db(), serial, now(), lists=False, live=live)
    except InvalidInput:
        abort(not_a_serial(serial))
    if found is None:
        abort(no_card("unknown"))
    return found


def page_of(card: CardPage | str) -> str:
    """The address of a card's page."""
    return url_for("operator.card", serial=card if isinstance(card, str) else card.serial)


def ask(card: CardPage, title: str, submit: str, intro: str | Markup = "", tone: str = "") -> Ask:
    """What stands around the form of an act on a card: its serial goes with the title."""
    named = Markup("{} {}").format(title, shown_serial(card.serial))
    return Ask(title=named, submit=submit, back=page_of(card), intro=intro, tone=tone)


def to_card(serial: str) -> ResponseReturnValue:
    """Lead to a card's page."""
    return go_to(page_of(serial))


def not_a_serial(text: str) -> Response:
    """What was given as a serial can't be one."""
    digits = sum(character.isdecimal() for character in text)
    return no_card("check_digit" if digits == SERIAL_DIGITS else "length")


def no_card(why: str) -> Response:
    """There is no such card, and how to check the serial (`why`: length, check_digit, unknown)."""
    return respond("operator/card/no_card.html", status=404, why=why)
