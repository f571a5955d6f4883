"""A version of a deck as people look prices up: by country and by what its destinations are called.

Made once a process from the rate table; 100,000 prefixes take about half a second and become a few thousand groups, so
that looking a country up costs what the country has.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from engine.calls.countries import country_of, plain
from engine.calls.decks import rate_table
from engine.calls.ratetable import DeckRate, RateTable
from engine.calls.rating import charge
from engine.db import Database

MOST_LISTS = 8
"""Lists that a process keeps; they hold little beside their rate tables."""
MOST_GROUPS = 1_000
"""So many groups of a country or a text are looked at, the most general ones first."""
TYPICAL_S = 600
"""A call of this length tells which of two rates is the dearer one."""
_KEY = "price lists"


@dataclass(slots=True)
class Group:
    """Prefixes of one country and name. `prefix`: the shortest; `rates`: what they get, the first that holds.

    Where rates hold always, all prefixes of a name are one group, of which the cheapest and the `dearest` are kept.
    """

    prefix: str
    rates: tuple[DeckRate, ...]
    dearest: DeckRate | None = None


@dataclass(frozen=True, slots=True)
class Listed:
    """A destination as it is called, with the rates in force: the cheapest and the dearest; `prefix`: its shortest."""

    name: str
    prefix: str
    cheapest: DeckRate
    dearest: DeckRate


class PriceList:
    """The groups of a rate table, by country and by name."""

    __slots__ = ("_countries", "_names", "table")

    def __init__(self, table: RateTable) -> None:
        self.table = table
        groups = _grouped(table)
        self._countries: dict[str | None, list[Group]] = {}
        self._names: dict[str, list[Group]] = {}
        for key in sorted(groups, key=lambda one: _generality(groups[one].prefix)):
            group = groups[key]
            self._countries.setdefault(key[0], []).append(group)
            for name in dict.fromkeys(rate.destination_name for rate in group.rates):
                self._names.setdefault(plain(name), []).append(group)

    def of_country(self, country: str, at: datetime) -> list[Listed]:
        """What a country's destinations cost at an instant, the most general one first."""
        return self._listed(self._countries.get(country, ()), at)

    def named(self, wanted: str, at: datetime) -> list[Listed]:
        """The destinations whose names hold a text (as `plain` writes it), whatever their countries."""
        return self._listed(
            (group for name, groups in self._names.items() if wanted in name for group in groups), at
        )

    def _listed(self, groups: Iterable[Group], at: datetime) -> list[Listed]:
        by_name: dict[str, list[tuple[str, DeckRate]]] = {}
        for group in islice(groups, MOST_GROUPS):
            rate = self.table.holding(group.rates, at)
            if rate is not None:
                held = by_name.setdefault(rate.destination_name, [])
                held.append((group.prefix, rate))
                if group.dearest is not None:
                    held.append((group.prefix, group.dearest))
        found = [_line(name, held) for name, held in by_name.items()]
        return sorted(found, key=lambda line: (_generality(line.prefix), line.name))


def _grouped(table: RateTable) -> dict[tuple[Any, ...], Group]:
    """The groups of a table by country and what makes them one."""
    groups: dict[tuple[Any, ...], Group] = {}
    costs: dict[int, tuple[int, int]] = {}
    for rates in table.candidates():
        first = rates[0]
        always = len(rates) == 1 and not (first.effective_from or first.effective_until or first.window)
        key = (country_of(first.prefix), first.destination_name if always else _sameness(rates))
        known = groups.get(key)
        if known is None:
            groups[key] = Group(first.prefix, rates, first if always else None)
            continue
        if _generality(first.prefix) < _generality(known.prefix):
            known.prefix = first.prefix
        if known.dearest is not None and first.rate is not known.rates[0].rate:
            for one in (first, known.rates[0], known.dearest):
                costs.setdefault(id(one.rate), _cost(one))
            cost = costs[id(first.rate)]
            if cost < costs[id(known.rates[0].rate)]:
                known.rates = rates
            if cost > costs[id(known.dearest.rate)]:
                known.dearest = first
    return groups


def _generality(prefix: str) -> tuple[int, str]:
    """What shorter prefixes come first by."""
    return len(prefix), prefix


def price_list(db: Database, version_id: int) -> PriceList:
    """The price list of a deck version, made at its first use. Raises `NotFound` ("deck_version_not_found")."""
    lists: OrderedDict[int, PriceList] = db.cache.setdefault(_KEY, OrderedDict())
    found = lists.get(version_id)
    if found is None:
        found = PriceList(rate_table(db, version_id))
        lists[version_id] = found
        while len(lists) > MOST_LISTS:
            lists.popitem(last=False)
    return found


def _line(name: str, held: list[tuple[str, DeckRate]]) -> Listed:
    prefix = min((prefix for prefix, _ in held), key=_generality)
    rates = sorted((rate for _, rate in held), key=_cost)
    return Listed(name, prefix, rates[0], rates[-1])


def _cost(found: DeckRate) -> tuple[int, int]:
    return charge(found.rate, TYPICAL_S), charge(found.rate, 1)


def _sameness(rates: tuple[DeckRate, ...]) -> tuple[object, ...]:
    """What two prefixes must have in common to be one group. The rates of a table share their pricings and windows."""
    return tuple(
        (one.destination_name, id(one.rate), one.effective_from, one.effective_until, one.window)
        for one in rates
    )
