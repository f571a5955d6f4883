"""The rate decks of the demo world, as the CSV files that a carrier would send.

Prefixes and the names of places and networks are those that `phonenumbers` knows; the prices are made up.
"""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Iterable, Iterator
from functools import cache
from textwrap import shorten
from typing import NamedTuple

from phonenumbers import COUNTRY_CODE_TO_REGION_CODE

from demo.prices import CARIBBEAN, NETWORKS, SEED, Tariff, tariff

HEADER = ("Prefix", "Destination", "Price", "Connect fee", "Billing increments", "Days", "Hours")
WORLD, AMERICAS, EUROPE = "World", "Americas Saver", "Europe Direct"
_ROOM_FIXED, _ROOM_MOBILE = 3, 5
"""Digits behind the country code that a geographic and a carrier prefix may have: longer ones say nothing new."""

# Countries with a cheaper night: peak and off-peak hours, every day.
_NIGHTS = frozenset({"44", "49", "52", "57", "63", "91", "234", "502", "880"})
_SHARED = {"1": "US and Canada", "7": "Russia and Kazakhstan", "247": "Ascension Island", "383": "Kosovo"}
_AMERICAS = frozenset({"1", *(str(code) for code in range(51, 59)), *(str(code) for code in range(500, 600))})
_EUROPE = frozenset(
    {*(str(code) for code in range(30, 50)), *(str(code) for code in range(350, 390)), "420", "421", "423"}
)


class Line(NamedTuple):
    """One row of a rate sheet. `price` and `fee` in tenths of a cent."""

    prefix: str
    destination: str
    price: int
    fee: int
    terms: str
    days: str = ""
    hours: str = ""


def world_csv(*, dearer: float = 1.0, salt: str = "") -> bytes:
    """Every destination in US dollars. `dearer` moves the price of one row in eight, drawn by `salt`."""
    return _csv(_changed(_lines(), dearer, salt))


def americas_csv(*, dearer: float = 1.0, salt: str = "") -> bytes:
    """The Americas alone, without the longest prefixes."""
    lines = (line for line in _lines() if _country(line.prefix) in _AMERICAS and len(line.prefix) <= 6)
    return _csv(_changed(lines, dearer, salt))


def europe_csv() -> bytes:
    """Europe in euros, per second throughout."""
    lines = (line for line in _lines() if _country(line.prefix) in _EUROPE and len(line.prefix) <= 6)
    plain = (line._replace(terms="1/1", fee=0) for line in lines if not line.hours)
    return _csv(plain)


@cache
def _lines() -> tuple[Line, ...]:
    return tuple(_all_lines())


def _all_lines() -> Iterator[Line]:
    for prefix, (name, mobile) in sorted(_prefixes().items()):
        country = _country(prefix)
        if country in NETWORKS:
            yield Line(prefix, NETWORKS[country][0], NETWORKS[country][1], 0, "60/60")
            continue
        island = CARIBBEAN.get(prefix[:4])
        rate = tariff(country) if island is None else Tariff(island[1], island[2], "60/60")
        price = _near(rate.mobile if mobile else rate.fixed, prefix, exact=len(prefix) <= len(country) + 2)
        line = Line(prefix, name, price, rate.connect_fee, rate.terms)
        if country in _NIGHTS and prefix == country:
            yield line._replace(days="daily", hours="08:00-20:00")
            yield line._replace(
                price=max(5, price * 8 // 10),
                destination=f"{name} (night)",
                days="daily",
                hours="20:00-08:00",
            )
        else:
            yield line


def _prefixes() -> dict[str, tuple[str, bool]]:
    """Each prefix with its destination's name and whether it is a mobile network's."""
    # Imported here: these tables are large, and only who makes a demo world needs them.
    from phonenumbers.carrierdata import CARRIER_DATA
    from phonenumbers.geodata import GEOCODE_DATA

    found: dict[str, tuple[str, bool]] = {}
    for code in COUNTRY_CODE_TO_REGION_CODE:
        prefix = str(code)
        if prefix not in ("800", "808"):  # nobody is charged for these
            found[prefix] = (_country_name(prefix), False)
    for table, room, mobile in ((GEOCODE_DATA, _ROOM_FIXED, False), (CARRIER_DATA, _ROOM_MOBILE, True)):
        for prefix, names in table.items():
            name, country = names.get("en"), _country(prefix)
            if name and country not in NETWORKS and len(prefix) <= len(country) + room:
                found[prefix] = (_destination(prefix, country, name, mobile), mobile)
    found.update({prefix: (name, False) for prefix, (name, _, _) in CARIBBEAN.items()})
    return found


def _destination(prefix: str, country: str, place: str, mobile: bool) -> str:
    island = CARIBBEAN.get(prefix[:4])
    name = island[0] if island else _country_name(country)
    place = shorten(place.split("/")[0], 60, placeholder="…")  # one town of a list is enough
    if mobile:
        return f"{name} mobile, {place}"
    return name if place == name else f"{name}, {place}"


@cache
def _country_name(country: str) -> str:
    from phonenumbers.geodata.locale import LOCALE_DATA

    if country in NETWORKS:
        return NETWORKS[country][0]
    if country in _SHARED:
        return _SHARED[country]
    names = LOCALE_DATA.get(COUNTRY_CODE_TO_REGION_CODE[int(country)][0], {})
    name = names.get("en", "")
    if name.startswith("*"):  # as in another language
        name = names.get(name[1:], "")
    return name or f"Country code {country}"


@cache
def _code(prefix: str) -> str:
    return next(
        (prefix[:size] for size in (1, 2, 3) if int(prefix[:size]) in COUNTRY_CODE_TO_REGION_CODE), ""
    )


def _country(prefix: str) -> str:
    """The country code that a prefix begins with."""
    return _code(prefix[:3])


def _near(price: int, prefix: str, *, exact: bool) -> int:
    """The prices of networks and towns differ a little from their country's, in whole tenths of a cent."""
    if exact:
        return price
    return max(5, round(price * random.Random(f"{SEED}/{prefix}").choice((0.95, 1.0, 1.0, 1.0, 1.1))))


def _changed(lines: Iterable[Line], dearer: float, salt: str) -> Iterator[Line]:
    if dearer == 1.0:
        yield from lines
        return
    for line in lines:
        dice = random.Random(f"{SEED}/{salt}/{line.prefix}").random()
        yield line._replace(price=max(5, round(line.price * dearer))) if dice < 0.125 else line


def _csv(lines: Iterable[Line]) -> bytes:
    text = io.StringIO()
    sheet = csv.writer(text, lineterminator="\n")
    sheet.writerow(HEADER)
    for line in lines:
        sheet.writerow((*line[:2], _units(line.price), _units(line.fee), *line[4:]))
    return text.getvalue().encode()


def _units(tenths: int) -> str:
    return f"{tenths // 1000}.{tenths % 1000:03}"
