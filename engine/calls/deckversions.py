"""Decks and their versions as everybody finds them; and the rates of a version in the process, read once, since they
never change."""

from __future__ import annotations

import gc
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from psycopg.rows import tuple_row
from sqlalchemy import select
from sqlalchemy.orm import Session

from engine.calls.ratetable import COLUMNS, RateTable
from engine.db import Database
from engine.errors import NotFound
from engine.names import sought
from engine.schema import Deck, DeckVersion

MOST_TABLES = 64
"""Rate tables that a process keeps; the one that was not asked for longest leaves."""

MOST_VERSIONS = 2
"""Versions of one deck that a process keeps: the one in force, and the next while calls move over to it."""

_KEY = "rate tables"
_READ_DECK = """
    SELECT d.id, d.precision, d.rounding, d.timezone
    FROM deck_version v JOIN deck d ON d.id = v.deck_id WHERE v.id = %s
"""
_READ_RATES = f"SELECT {', '.join(COLUMNS)} FROM deck_rate WHERE version_id = %s"


def find_deck(session: Session, name: str) -> Deck:
    """The deck of that name. Raises `NotFound("deck_not_found")`."""
    deck = session.scalar(select(Deck).where(Deck.name == sought(name)))
    if deck is None:
        raise NotFound("deck_not_found", deck=name[:100])
    return deck


def version_in_force(session: Session, deck_id: int, now: datetime) -> int | None:
    """The id of the deck's version in force at `now`: the last that took effect; None before the first."""
    return session.scalar(
        select(DeckVersion.id)
        .where(DeckVersion.deck_id == deck_id, DeckVersion.effective_from <= now)
        .order_by(DeckVersion.effective_from.desc(), DeckVersion.id.desc())
        .limit(1)
    )


def instant(moment: date, zone: ZoneInfo) -> datetime:
    """The UTC instant of a time, or of the midnight with which a day begins; in `zone` where it names none itself."""
    if not isinstance(moment, datetime):
        moment = datetime(moment.year, moment.month, moment.day, tzinfo=zone)
    return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)


def rate_table(db: Database, version_id: int) -> RateTable:
    """The rates of a version, read from the database once per process.

    100,000 rates take about half a second; meanwhile other threads that need a new table wait, and the rest goes on.
    Raises `NotFound("deck_version_not_found")`.
    """
    tables: _Tables | None = db.cache.get(_KEY)
    if tables is None:
        tables = db.cache.setdefault(_KEY, _Tables())
    table = tables.get(version_id)
    return table if table is not None else tables.load(db, version_id)


class _Tables:
    """The rate tables of one process, those last asked for at the end."""

    def __init__(self) -> None:
        self._kept: OrderedDict[int, tuple[int, RateTable]] = OrderedDict()
        self._loading = threading.Lock()

    def get(self, version_id: int) -> RateTable | None:
        kept = self._kept.get(version_id)
        if kept is None:
            return None
        try:  # noqa: SIM105 - every call comes through here: suppress() would cost as much as all the rest
            self._kept.move_to_end(version_id)
        except KeyError:
            pass  # another thread made room meanwhile; the table is good all the same
        return kept[1]

    def load(self, db: Database, version_id: int) -> RateTable:
        with self._loading:
            table = self.get(version_id)
            if table is None:
                deck_id, table = _load(db, version_id)
                self._kept[version_id] = deck_id, table
                self._make_room(deck_id)
            return table

    def _make_room(self, deck_id: int) -> None:
        of_deck = [version for version, (deck, _) in list(self._kept.items()) if deck == deck_id]
        for version in of_deck[:-MOST_VERSIONS]:
            del self._kept[version]
        while len(self._kept) > MOST_TABLES:
            self._kept.popitem(last=False)


def _load(db: Database, version_id: int) -> tuple[int, RateTable]:
    with db.connection() as conn:
        deck = conn.execute(_READ_DECK, [version_id]).fetchone()
        if deck is None:
            raise NotFound("deck_version_not_found")
        with conn.cursor(row_factory=tuple_row, binary=True) as cursor, _no_collection():
            rows: list[Any] = cursor.execute(_READ_RATES, [version_id]).fetchall()
            table = RateTable(rows, precision=deck.precision, rounding=deck.rounding, zone=deck.timezone)
    return deck.id, table


@contextmanager
def _no_collection() -> Iterator[None]:
    """No garbage collection for a moment: while hundreds of thousands of objects are made, none of them garbage, it
    would go through the whole heap again and again and double the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
