"""What calls cost: a search by country, number or name, with a card's own prices where one is logged in."""

from __future__ import annotations

from babel import Locale
from flask import request
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from engine.calls import prices as engine_prices
from engine.calls.prices import LONGEST_WANTED, Price, PriceLine, Prices
from portal.cardholder import formats
from portal.cardholder.door import holder, logged_in, open_to_all, own_card
from portal.cardholder.languages import language
from portal.installation import db, now
from portal.respond import respond


@holder.get("/prices")
@open_to_all
def prices() -> ResponseReturnValue:
    """The search, and what was found."""
    typed = "".join(one for one in request.args.get("q", "") if one.isprintable())
    card = own_card() if logged_in() else None
    found = engine_prices.prices(db(), typed, card=card, now=now(), language=language())
    return respond("cardholder/prices.html", found=found, longest=LONGEST_WANTED)


def country(code: str | None) -> str:
    """A country's name in the reader's language; empty for none."""
    if code is None:
        return ""
    return Locale.parse(language()).territories.get(code, code)


def headline(found: Prices) -> str:
    """What was understood, or why nothing was found."""
    place = country(found.country)
    number = formats.quoted_phone(found.digits or "")
    if found.found in ("country", "names"):
        return _("Calls to %(place)s", place=place or found.wanted)
    if found.found in ("number", "beginning"):
        return _("Calls to %(number)s", number=number)
    if found.found == "no_rate":
        return _("%(place)s can't be called with this card.", place=place or number)
    titles = {
        "choose": _("Which one do you mean?"),
        "bad_number": _("This is not a whole telephone number."),
        "no_prices": _("There are no prices here yet."),
    }
    return titles.get(found.found, _("Nothing was found."))


def per_minute(line: PriceLine, currency: str) -> str:
    """What a minute costs, from the cheapest to the dearest number."""
    low = line.price.price_per_minute
    high = low if line.dearest is None else line.dearest.price_per_minute
    if line.price.free and high == 0:
        return _("Free")
    if low == high:
        return _("%(price)s a minute", price=formats.money(low, currency))
    return _(
        "%(low)s to %(high)s a minute, by number",
        low=formats.money(low, currency),
        high=formats.money(high, currency),
    )


def price_notes(price: Price, currency: str) -> list[str]:
    """What else is to be known of a price: fees, and how time is counted."""
    notes = []
    if price.connect_fee:
        notes.append(_("and %(fee)s for each call", fee=formats.money(price.connect_fee, currency)))
    if not price.free and (price.first_increment > 1 or price.increment > 1):
        notes.append(counted(price.first_increment, price.increment))
    return notes


def counted(first: int, step: int) -> str:
    """How time is rounded up."""
    if first == step:
        return _("counted in steps of %(step)s", step=formats.span(step))
    return _(
        "at least %(first)s count, then steps of %(step)s",
        first=formats.span(first),
        step=formats.span(step),
    )


def bought(found: Prices, line: PriceLine) -> str:
    """What the money in question buys."""
    if line.price.free:
        return ""
    time = formats.minutes(line.price.seconds)
    if found.own:
        return _("Your balance lasts about %(time)s.", time=time)
    return _("%(money)s last about %(time)s.", money=formats.money(found.spending, found.currency), time=time)
