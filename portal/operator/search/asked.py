"""What the address of a list of cards asks for, as plain readable words, and the address that asks for it.

`/cards?status=locked&batch=May&expires=next-7-days&sort=-balance`. A card number is no part of it. What a person typed
wrong is told at its field; what no form of ours can send ends the request.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from flask import abort
from werkzeug.datastructures import MultiDict

from engine.cards.search import CardFilter
from engine.cards.searchform import FIELDS, parse_filter
from engine.cards.searchpage import ORDERS
from engine.errors import InvalidInput, NotFound
from engine.messages import sentence
from portal.installation import db, now, zone

MANY = ("status", "custody")
"""Arguments that may stand in an address several times."""
DATES = ("created", "first_used", "expires")
PERIODS: dict[str, dict[str, tuple[int, int]]] = {
    "created": {"today": (0, 0), "last-7-days": (-6, 0), "last-30-days": (-29, 0)},
    "first_used": {"today": (0, 0), "last-7-days": (-6, 0), "last-30-days": (-29, 0)},
    "expires": {
        "today": (0, 0),
        "next-7-days": (0, 7),
        "next-30-days": (0, 30),
        "last-30-days": (-30, -1),
    },
}
"""Periods that move with the day: the first and the last day of each, counted from today."""
TEXTS = (*(name for name in FIELDS if name != "number"), *DATES)
"""The arguments that filter."""

COLUMNS = (
    "status",
    "balance",
    "held",
    "batch",
    "reseller",
    "custody",
    "released",
    "created",
    "first_used",
    "expires",
    "number_end",
)
"""What a list may show beside the serial."""
SHOWN = ("status", "balance", "batch", "reseller", "first_used", "expires")
SORTS = tuple(word for order in ORDERS for word in (order, f"-{order}"))
PER_PAGE = (25, 50, 100, 200)
USUAL = 50
LONGEST = 200
PAGE = "cards"


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of the list. `texts` are the filter as it was typed, each argument with its values."""

    texts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sort: str = "serial"
    columns: tuple[str, ...] = SHOWN
    per_page: int = USUAL
    after: str | None = None

    @property
    def order(self) -> str:
        """One of the engine's orders."""
        return self.sort.removeprefix("-")

    @property
    def descending(self) -> bool:
        """Whether the greatest comes first."""
        return self.sort.startswith("-")

    def filter_pairs(self) -> list[tuple[str, str]]:
        """The filter as the arguments of an address."""
        return [(name, value) for name in TEXTS for value in self.texts.get(name, ())]

    def query(self) -> str:
        """All of it but the place in the list as a query string: only what differs from the usual."""
        pairs = self.filter_pairs()
        pairs += [("sort", self.sort)] if self.sort != "serial" else []
        pairs += [("columns", ",".join(self.columns))] if self.columns != SHOWN else []
        pairs += [("per_page", str(self.per_page))] if self.per_page != USUAL else []
        return urlencode(pairs)

    def filter_query(self) -> str:
        """The filter alone as a query string."""
        return urlencode(self.filter_pairs())

    def url(self, after: str | None = None) -> str:
        """The address of this list, from a place on."""
        query = "&".join(
            part for part in (self.query(), urlencode({"after": after}) if after else "") if part
        )
        return f"/cards?{query}" if query else "/cards"

    def count_url(self) -> str:
        """The address of this list that says how many there are."""
        return f"/cards?{'&'.join(part for part in (self.query(), 'count=1') if part)}"

    def without(self, name: str, value: str) -> Asked:
        """The same without one value of a filter."""
        rest = tuple(other for other in self.texts.get(name, ()) if other != value)
        return replace(self, texts={**self.texts, name: rest}, after=None)

    def sorted_by(self, order: str) -> Asked:
        """The same in another order; by the order it has already, the other way round."""
        word = f"-{order}" if self.sort == order else order
        return replace(self, sort=word, after=None)


def asked_of(args: MultiDict[str, str]) -> Asked:
    """What an address asks for; 400 for an order, columns, size or place that no page of ours names."""
    sort = args.get("sort") or "serial"
    columns = _words(args, "columns")
    per_page = args.get("per_page") or str(USUAL)
    if sort not in SORTS or not set(columns) <= set(COLUMNS) or per_page not in map(str, PER_PAGE):
        abort(400)
    texts = {name: _words(args, name) if name in MANY else _text(args, name) for name in TEXTS}
    return Asked(
        {name: values for name, values in texts.items() if values},
        sort,
        tuple(name for name in COLUMNS if name in columns) or SHOWN,
        int(per_page),
        args.get("after") or None,
    )


def _words(args: MultiDict[str, str], name: str) -> tuple[str, ...]:
    given = (word.strip() for text in args.getlist(name) for word in text.split(","))
    return tuple(dict.fromkeys(_legible(word) for word in given if word))[:20]


def _text(args: MultiDict[str, str], name: str) -> tuple[str, ...]:
    text = args.get(name, "").strip()
    return (_legible(text),) if text else ()


def _legible(text: str) -> str:
    if len(text) > LONGEST or not text.isprintable():
        abort(400)
    return text


def filter_of(asked: Asked) -> tuple[CardFilter, dict[str, str]]:
    """The filter, and what is wrong with its parts: sentences by field. A part that is wrong is not looked for."""
    texts: dict[str, Any] = {
        name: values if name in MANY else values[0] for name, values in asked.texts.items()
    }
    wrong: dict[str, str] = {}
    for name in DATES:
        if name in texts:
            _settle_period(name, texts, wrong)
    while True:
        try:
            return parse_filter(db(), zone=zone(), **texts), wrong
        except (InvalidInput, NotFound) as error:
            name = str(error.data.get("field"))
            if name not in texts:
                name = next(iter(texts))
            wrong[name] = sentence(error)
            del texts[name]


def _settle_period(name: str, texts: dict[str, Any], wrong: dict[str, str]) -> None:
    """Put the days of a period in its place."""
    word = texts.pop(name)
    days = PERIODS[name].get(word)
    if days is None:
        wrong[name] = "Choose a period of the list."
    elif texts.keys() & {f"{name}_from", f"{name}_to"}:
        wrong[name] = "Choose a period or give days, not both."
    else:
        today = now().astimezone(zone()).date()
        for end, away in zip(("from", "to"), days, strict=True):
            texts[f"{name}_{end}"] = (today + timedelta(days=away)).isoformat()


def asked_by(pairs: Iterable[tuple[str, str]]) -> Asked:
    """What these arguments ask for."""
    return asked_of(MultiDict(list(pairs)))
