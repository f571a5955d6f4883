"""Home: what is on the card, how long it lasts, what it buys, and the numbers to call."""

from __future__ import annotations

from flask.typing import ResponseReturnValue

from engine.calls import access_numbers
from portal.cardholder.door import holder, own_card
from portal.installation import db
from portal.respond import respond


@holder.get("", strict_slashes=False)
def home() -> ResponseReturnValue:
    """The page that everything starts from."""
    return respond("cardholder/home.html", card=own_card(), numbers=access_numbers.dialable(db()), buys=[])
