"""What the address of a list of calls asks for, as plain readable words, and the address that asks for it.

`/calls?destination=8801712345678&ended=last-7-days&columns=…`. A card number is no part of it. What a person typed
wrong is told at its field; what no form of ours can send ends the request.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from urllib.parse import urlencode

from flask import abort
from werkzeug.datastructures import MultiDict

from engine.calls import callfilter
from engine.calls.callfilter import CallFilter
from engine.errors import InvalidInput, NotFound
from engine.messages import sentence
from portal import arguments
from portal.installation import db, now, zone
from portal.operator.calls.words import FLAG_WORDS, LABELS, PERIOD_WORDS, cause_words

COLUMNS = (
    *("serial", "caller", "duration", "billed", "charged", "balance", "cause", "flags", "switch", "batch"),
    *("reseller", "deck", "call_ref"),
)
"""What the list may show beside the destination and when the call ended."""
SHOWN = ("serial", "caller", "duration", "charged", "cause")
PER_PAGE = (25, 50, 100, 200)
USUAL = 50
LONGEST = 200
Place = tuple[datetime, int]


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of the list. `texts` are the filter as it was typed."""

    texts: Mapping[str, str] = field(default_factory=dict)
    columns: tuple[str, ...] = SHOWN
    per_page: int = USUAL
    before: Place | None = None

    def query(self) -> str:
        """All of it but the place in the list as a query string: only what differs from the usual."""
        pairs = list(self.texts.items())
        pairs += [("columns", ",".join(self.columns))] if self.columns != SHOWN else []
        pairs += [("per_page", str(self.per_page))] if self.per_page != USUAL else []
        return urlencode(pairs)

    def url(self, before: Place | None = None, path: str = "/calls") -> str:
        """The address of this list, from a place on."""
        place = urlencode({"before": arguments.written_place(before)}) if before else ""
        query = "&".join(part for part in (self.query(), place) if part)
        return f"{path}?{query}" if query else path

    def chips(self) -> list[tuple[str, str]]:
        """What filters the list now: each part in words, and the address without it."""
        return [(words(name, text), self.without(name).url()) for name, text in self.texts.items()]

    def without(self, name: str) -> Asked:
        """The same without one part of the filter."""
        rest = {other: text for other, text in self.texts.items() if other != name}
        return replace(self, texts=rest, before=None)


def words(name: str, text: str) -> str:
    """One part of a filter in words."""
    plain, _, end = name.rpartition("_") if name.endswith(("_from", "_to")) else (name, "", "")
    if end:
        return f"{LABELS[plain]} {end} {text.replace('T', ' ')}"
    if name == "ended":
        return f"Ended {PERIOD_WORDS.get(text, text).lower()}"
    if name == "flag":
        return FLAG_WORDS.get(text, text)
    if name == "cause":
        return f"Cause {cause_words(int(text)) if text.isdecimal() and len(text) < 4 else text}"
    return f"{LABELS[name]}: {text}"


def asked_of(args: MultiDict[str, str]) -> Asked:
    """What an address asks for; 400 for columns, a size or a place that no page of ours names."""
    given = [word for text in args.getlist("columns") for word in text.split(",") if word]
    per_page = args.get("per_page") or str(USUAL)
    if not set(given) <= set(COLUMNS) or per_page not in map(str, PER_PAGE):
        abort(400)
    texts = {name: args.get(name, "").strip() for name in callfilter.FIELDS}
    if any(len(text) > LONGEST or not text.isprintable() for text in texts.values()):
        abort(400)
    return Asked(
        {name: text for name, text in texts.items() if text},
        tuple(name for name in COLUMNS if name in given) or SHOWN,
        int(per_page),
        arguments.place("before"),
    )


def filter_of(asked: Asked) -> tuple[CallFilter, dict[str, str]]:
    """The filter, and what is wrong with its parts: sentences by field. A part that is wrong is not looked for."""
    texts, wrong = dict(asked.texts), dict[str, str]()
    while True:
        try:
            return callfilter.parse(db(), now(), zone(), texts), wrong
        except (InvalidInput, NotFound) as error:
            name = str(error.data.get("field"))
            name = name if name in texts else next(iter(texts))
            wrong[name] = sentence(error)
            del texts[name]
