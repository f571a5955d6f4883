"""What several pages of the section share: a deck by its number, choices of decks and versions, files to download."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from flask import Response, abort, request

from engine.calls.deckpages import DeckLine, DeckPage, deck_lines, deck_page, versions_of
from engine.calls.decks import VersionView
from portal.installation import db, now, zone

MOST_VERSIONS = 100
"""Versions that a list to choose from holds, the newest."""

_PLACE = re.compile(r"([0-9]{1,15})-([0-9]{1,18})", re.ASCII)
_PREFIX = re.compile(r"[0-9]{1,15}", re.ASCII)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_BLOCK = 500


def the_deck(deck_id: int) -> DeckPage:
    """The deck of an address, or 404."""
    return deck_page(db(), deck_id, now())


def deck_choices(empty: str | None = None, currency: str | None = None) -> list[tuple[str, str]]:
    """Decks to choose from, by name; `empty` says what none of them means."""
    decks: Iterable[DeckLine] = deck_lines(db(), now())
    shown = [
        (str(deck.id), f"{deck.name} ({deck.currency})")
        for deck in decks
        if currency in (None, deck.currency)
    ]
    return shown if empty is None else [("", empty), *shown]


def version_choices(deck_id: int) -> list[tuple[str, str]]:
    """The versions of a deck to choose from, the newest first."""
    found = versions_of(db(), deck_id, now(), limit=MOST_VERSIONS)
    return [(str(version.id), version_name(version)) for version in found.versions]


def version_name(version: VersionView) -> str:
    """A version on one line: when it took effect, where it came from."""
    state = {"in force": ", in force", "coming": ", coming"}.get(version.state, "")
    return f"{instant_text(version.effective_from)}{state}: {version.source}"


def instant_text(instant: datetime) -> str:
    """A time in the reader's zone, where only text may stand."""
    return f"{instant.astimezone(zone()):%-d %b %Y, %H:%M}"


def rate_place(name: str) -> tuple[str, int] | None:
    """Where a list of rates goes on: a prefix and a rate's id; 400 where it is malformed."""
    text = request.args.get(name)
    if text is None:
        return None
    match = _PLACE.fullmatch(text)
    if match is None:
        abort(400)
    return match[1], int(match[2])


def prefix_place(name: str) -> str | None:
    """Where a list of prefixes goes on; 400 where it is malformed."""
    text = request.args.get(name)
    if text is not None and not _PREFIX.fullmatch(text):
        abort(400)
    return text


def linked(url: str, **arguments: Any) -> str:
    """An address with what stands behind its `?`; what is None or empty is left out."""
    given = {name: value for name, value in arguments.items() if value not in (None, "")}
    sign = "&" if "?" in url else "?"
    return f"{url}{sign}{urlencode(given)}" if given else url


def csv_file(name: str, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> Response:
    """A CSV file that is sent as it is made. No cell of it is a formula to a spreadsheet."""
    response = Response(_lines(header, rows), mimetype="text/csv")
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-") or "file"
    response.headers["Content-Disposition"] = f'attachment; filename="{safe}.csv"'
    return response


def _lines(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    block = io.StringIO(newline="")
    writer = csv.writer(block)
    writer.writerow(header)
    for number, row in enumerate(rows, start=1):
        writer.writerow([_cell(value) for value in row])
        if number % _BLOCK == 0:
            yield block.getvalue()
            block.seek(0)
            block.truncate()
    yield block.getvalue()


def _cell(value: Any) -> str:
    text = "" if value is None else str(value)
    # An amount below zero is a number; text that begins so would be run.
    return f"'{text}" if text.startswith(_FORMULA) and not _is_number(text) else text


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[+-][0-9]+(\.[0-9]+)?", text, re.ASCII) is not None
