"""What calls cost, as cardholders ask: by country, by telephone number, by the name of a destination.

The rates are those a call would get, in the deck of the card that asks, or in the one whose prices everybody may look
up. What access numbers charge on top is not in them.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from engine import house
from engine.calls import countries
from engine.calls.authorization import affordable
from engine.calls.decks import version_in_force
from engine.calls.destinations import allowed
from engine.calls.pricelist import Listed, PriceList, price_list
from engine.calls.ratetable import DeckRate
from engine.calls.rating import Rate, max_seconds
from engine.cards.holder import HolderCard
from engine.db import Database
from engine.house import Access, House
from engine.money import MICROS
from engine.names import sought
from engine.phone import Destination, parse_destination
from engine.schema import Batch, Deck

LONGEST_WANTED = 60
MOST_LINES = 30
LEAST_DIGITS = 4
"""Fewer digits are a country's code or nothing: 911 is not the beginning of a number."""
ENDLESS_S = 360_000_000
"""More seconds than anybody talks: what a call without a price could last."""
_BETWEEN = frozenset(" -.()/\u00a0\u202f\u2009\u2010\u2011\u2013")
_WORTH_S = 600


@dataclass(frozen=True, slots=True)
class Price:
    """What a call costs, fees of the card included. Amounts in micro-units.

    `seconds`: what the money in question buys, in one call after another however long; `a_call_s`: the longest of them.
    """

    price_per_minute: int
    connect_fee: int
    first_increment: int
    increment: int
    grace: int
    seconds: int
    a_call_s: int

    @property
    def free(self) -> bool:
        """Whether a call costs nothing."""
        return self.price_per_minute == 0 and self.connect_fee == 0


@dataclass(frozen=True, slots=True)
class PriceLine:
    """A destination with its price; `dearest` where its numbers differ. `barred`: the card can't call it.

    `also`: the other destinations of the answer that cost the same.
    """

    name: str
    prefix: str
    price: Price
    dearest: Price | None = None
    barred: bool = False
    also: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Prices:
    """What was found. `found` says what `wanted` was understood as:

    empty        nothing was asked
    country      `country`, with its `lines`; `more` were left out. `choices`: countries that it may have been instead
    choose       no country in particular: one of `choices`
    number       the number `digits`, in `country`, with one line
    beginning    the same for the first digits of a number
    names        destinations that are called so
    no_rate      a country or number that can't be called; `choices` as above
    bad_number   digits that can't be a telephone number
    nothing      words that nothing is called by
    no_prices    there is no deck to look in

    `spending` is what the lines' seconds are bought with, in micro-units of `currency`.
    """

    found: str
    wanted: str
    country: str | None = None
    digits: str | None = None
    lines: tuple[PriceLine, ...] = ()
    more: int = 0
    choices: tuple[str, ...] = ()
    currency: str = ""
    spending: int = 0
    own: bool = False


@dataclass(frozen=True, slots=True)
class Asking:
    """Who asks, and where and when prices are looked up."""

    house: House
    prices: PriceList
    currency: str
    card: HolderCard | None
    now: datetime
    language: str
    spending: int = 0


def prices(
    db: Database, wanted: str, *, card: HolderCard | None = None, now: datetime, language: str = "en"
) -> Prices:
    """The prices of a country, a number in any writing, or a destination; see `Prices`.

    With a `card`: those of its deck, with its fees, its bars, and what is available on it. `language`: the reader's, in
    which parts of countries' names are understood beside English ones.
    """
    typed = " ".join(wanted[:LONGEST_WANTED].split())
    asking = _asking(db, card, now, language)
    if asking is None:
        return Prices("no_prices", typed, own=card is not None)
    if not typed:
        return _answer(asking, "empty", typed)
    if any(character.isalpha() for character in typed):
        return _by_name(asking, typed)
    return _by_digits(asking, typed)


# --- where to look ---


def _asking(db: Database, card: HolderCard | None, now: datetime, language: str) -> Asking | None:
    rules = house.fresh(db)
    with db.begin() as session:
        if card is None:
            deck = _public_deck(session, rules)
        else:
            deck = session.get(Deck, card.deck_id) if card.deck_id is not None else None
        version = None if deck is None else version_in_force(session, deck.id, now)
    if deck is None or version is None:
        return None
    available = 0 if card is None or card.expired else card.available
    return Asking(rules, price_list(db, version), deck.currency, card, now, language, available)


def _public_deck(session: Session, rules: House) -> Deck | None:
    named = rules.settings.prices_deck
    if named:
        return session.scalar(select(Deck).where(Deck.name == sought(named)))
    newest = (
        select(Batch.deck_id)
        .where(Batch.kind == "calling", Batch.ready_at.is_not(None), Batch.deck_id.is_not(None))
        .order_by(Batch.id.desc())
        .limit(1)
    )
    return session.scalar(select(Deck).where(Deck.id == newest.scalar_subquery()))


# --- by what it is called ---


def _by_name(asking: Asking, typed: str) -> Prices:
    named = countries.find(typed, asking.language)
    if named.exact is not None:
        return _country(asking, typed, named.exact, named.others)
    if len(named.others) == 1:
        return _country(asking, typed, named.others[0])
    wanted = countries.plain(typed)
    listed = asking.prices.named(wanted, asking.now) if len(wanted) >= 3 or not wanted.isascii() else []
    if listed and not named.others:
        return _answer(asking, "names", typed, listed)
    if named.others:
        return _answer(asking, "choose", typed, choices=named.others)
    return _answer(asking, "nothing", typed)


def _country(asking: Asking, typed: str, country: str, others: Sequence[str] = ()) -> Prices:
    listed = asking.prices.of_country(country, asking.now) or _through_samples(asking, country)
    found = "country" if listed else "no_rate"
    return _answer(asking, found, typed, listed, country=country, choices=tuple(others))


def _through_samples(asking: Asking, country: str) -> list[Listed]:
    """The rates that a country's numbers get from prefixes that are not its own, such as a whole zone's."""
    found: dict[str, Listed] = {}
    for number in countries.samples(country):
        rate = asking.prices.table.find(number, asking.now)
        if rate is not None:
            found.setdefault(rate.destination_name, Listed(rate.destination_name, number, rate, rate))
    return list(found.values())


# --- by number ---


def digits_of(text: str) -> str | None:
    """The digits of a number in any writing, with its `+`; None where anything else is in it."""
    found = []
    for character in text:
        category = unicodedata.category(character)
        if category == "Nd":
            found.append(str(unicodedata.digit(character)))
        elif character in "+\uff0b" and not found:
            found.append("+")
        elif character not in _BETWEEN and category not in ("Cf", "Zs"):
            return None
    digits = "".join(found)
    return digits if digits.strip("+") else None


def _by_digits(asking: Asking, typed: str) -> Prices:
    digits = digits_of(typed)
    if digits is None:
        return _answer(asking, "nothing", typed)
    bare = digits.lstrip("+")
    short = bare.removeprefix("00") or bare
    if countries.code_of(short) == short:
        shared = countries.countries_of(short)
        if shared:
            return _country(asking, typed, shared[0], shared[1 : 1 + countries.MOST_FOUND])
    target = parse_destination(digits, asking.house.settings.home_country or None)
    if target is not None:
        return _number(asking, typed, target)
    if LEAST_DIGITS <= len(short) < 7 and countries.code_of(short) is not None:
        rate = asking.prices.table.find(short, asking.now)
        return _found(asking, "beginning", typed, short, rate)
    return _answer(asking, "bad_number", typed)


def _number(asking: Asking, typed: str, target: Destination) -> Prices:
    return _found(asking, "number", typed, target.e164, asking.prices.table.find(target.e164, asking.now))


def _found(asking: Asking, found: str, typed: str, digits: str, rate: DeckRate | None) -> Prices:
    country = countries.country_of(digits)
    if rate is None:
        return _answer(asking, "no_rate", typed, country=country, digits=digits)
    line = Listed(rate.destination_name, digits, rate, rate)
    return _answer(asking, found, typed, [line], country=country, digits=digits)


# --- what is said ---


def _answer(
    asking: Asking,
    found: str,
    typed: str,
    listed: Sequence[Listed] = (),
    *,
    country: str | None = None,
    digits: str | None = None,
    choices: tuple[str, ...] = (),
) -> Prices:
    spending = asking.spending if asking.card is not None else _worth(listed)
    lines = _together(_line(asking, one, spending) for one in listed)
    return Prices(
        found,
        typed,
        country,
        digits,
        tuple(lines[:MOST_LINES]),
        len(lines[MOST_LINES:]),
        choices,
        asking.currency,
        spending,
        asking.card is not None,
    )


def _together(lines: Iterable[PriceLine]) -> list[PriceLine]:
    """What costs the same as one line, which has the name of the first."""
    alike: dict[tuple[Price, Price | None, bool], list[PriceLine]] = {}
    for line in lines:
        alike.setdefault((line.price, line.dearest, line.barred), []).append(line)
    return [replace(same[0], also=tuple(one.name for one in same[1:])) for same in alike.values()]


def _worth(listed: Sequence[Listed]) -> int:
    """A round amount that buys some minutes: 10 units of currency, or 100 … where these are small."""
    amount = 10 * MICROS
    while listed and amount < 10**7 * MICROS:
        if max_seconds(listed[0].cheapest.rate, amount, _WORTH_S) == _WORTH_S:
            break
        amount *= 10
    return amount


def _line(asking: Asking, listed: Listed, spending: int) -> PriceLine:
    dearer = listed.dearest.rate != listed.cheapest.rate
    return PriceLine(
        listed.name,
        listed.prefix,
        price_of(asking.house, listed.cheapest.rate, asking.card, spending),
        price_of(asking.house, listed.dearest.rate, asking.card, spending) if dearer else None,
        asking.card is not None and is_barred(asking.house, asking.card, listed.prefix),
    )


def price_of(rules: House, rate: Rate, card: HolderCard | None, spending: int) -> Price:
    """A rate as it is told, and what `spending` micro-units buy at it: as a call of this card would."""
    longest = rules.settings.call_cap_s
    if card is not None:
        # The same arithmetic as of a call, so that what is said here is what is announced there.
        rate, _ = affordable(rate, card, Access(""), rules)
    return Price(
        rate.price_per_minute,
        rate.connect_fee,
        rate.first_increment,
        rate.increment,
        rate.grace,
        max_seconds(rate, spending, ENDLESS_S),
        max_seconds(rate, spending, longest),
    )


def is_barred(rules: House, card: HolderCard, prefix: str) -> bool:
    """Whether the card's destination rules bar the numbers that begin so."""
    own = rules.rules.get(card.destination_rules_id)
    if own is None:
        return False
    number = _whole(prefix)
    home = rules.settings.home_country or None
    target = parse_destination(f"+{number}", home)
    groups = frozenset({"international"}) if target is None else target.groups
    return not allowed(own, groups, number, rules.groups)


def _whole(prefix: str) -> str:
    """A number that begins with a prefix, one that is in use where there is one."""
    if len(prefix) >= 10:
        return prefix
    country = countries.country_of(prefix)
    for number in countries.samples(country) if country else ():
        if number.startswith(prefix):
            return number
    for rest in ("2345678901234", "1234567890123", "0000000000000"):
        for length in (12, 11, 10, 13):
            number = (prefix + rest)[:length]
            if countries.in_use(number):
                return number
    return (prefix + "2345678901234")[:12]
