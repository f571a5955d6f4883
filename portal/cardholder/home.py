"""Home: what is on the card, how long it lasts, what it buys, and the numbers to call."""

from __future__ import annotations

from flask.typing import ResponseReturnValue

from engine.calls import access_numbers
from engine.reports.buys import buys
from portal.cardholder.door import holder, own_card
from portal.installation import db, now
from portal.respond import respond


@holder.get("", strict_slashes=False)
def home() -> ResponseReturnValue:
    """The page that everything starts from."""
    card = own_card()
    return respond(
        "cardholder/home.html",
        card=card,
        numbers=access_numbers.dialable(db()),
        buys=buys(db(), card, now()),
    )
