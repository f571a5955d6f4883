"""How a page of cards is found: a walk along an index, or few cards gathered from the narrowest criterion."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import psycopg

from engine.cards.search import CardFilter
from engine.cards.searchsql import (
    BOUNDS,
    COLUMNS,
    KEYS,
    NULLABLE,
    SHOWN,
    WHOLE,
    Check,
    Source,
    check_of,
    kept,
    keyed,
    range_params,
    range_sql,
    ranges_of,
    sources,
    walk,
)

FIRST_WALK = 5_000
"""Entries to look at before anything is asked about how many there are."""
GATHERED = 100_000
"""The most cards that are gathered and sorted for one page."""
LONG_WALK = 100_000
"""Entries to look at before a page is given as it is."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page begins: behind the entry `id` with this `key`; None in the part of cards that have no key."""

    key: datetime | int | None
    id: int


@dataclass(frozen=True, slots=True)
class Search:
    """What is looked for, in SQL. `along` is the walk of the order, `bounds` the first and last id that it can be."""

    order: str
    statuses: tuple[str, ...]
    by_id: list[Source]
    ranges: list[Source]
    along: Source
    check: Check
    params: dict[str, Any]
    bounds: tuple[int, int]


def search_for(conn: psycopg.Connection[Any], f: CardFilter, now: datetime, order: str) -> Search:
    """What a filter means for an order."""
    found: Any = conn.execute(BOUNDS, {"batch_id": f.batch_id}).fetchone()
    low, high = 0, -1 if found.newest is None else found.newest
    if f.batch_id is not None:
        low, high = (low, -1) if found.first_id is None else (found.first_id, min(high, found.last_id))
    if f.serials is not None:
        low = max(low, f.serials[0] or 0)
        high = high if f.serials[1] is None else min(high, f.serials[1] - 1)
    if f.card_id is not None:
        low, high = max(low, f.card_id), min(high, f.card_id)
    by_id, ranges, params = sources(f)
    check = check_of(f, now)
    params |= check.params | {"now": now, "batch_id": f.batch_id}
    along = WHOLE
    if order in KEYS:
        ends = dict(ranges_of(f)).get(order, (None, None))
        params |= range_params(order, ends)
        along = keyed(order, range_sql(order, ends))
    return Search(order, f.statuses, by_id, ranges, along, check, params, (low, high))


def collect(
    conn: psycopg.Connection[Any], search: Search, place: Place | None, down: bool, back: bool, wanted: int
) -> tuple[list[Any], Place | None]:
    """Up to `wanted` rows behind a place, and where looking was given up before its end, if it was."""
    parts = [search.order in KEYS]
    if search.order == "first_used" and search.statuses == ("unused",):
        parts = [False]
    elif search.order in NULLABLE and search.order not in {source.name for source in search.ranges}:
        parts = [False, True] if back else [True, False]
        if place is not None and place.key is None and not back:
            parts = [False]
        elif place is not None and place.key is not None and back:
            parts = [True]
    found: list[Any] = []
    for turn, has_key in enumerate(parts):
        begin = place if turn == 0 else None
        rows, stopped = _part(conn, search, has_key, begin, down, wanted - len(found))
        found += rows
        if len(found) >= wanted or stopped is not None:
            return found, stopped if len(found) < wanted else None
    return found, None


def _part(
    conn: psycopg.Connection[Any],
    search: Search,
    has_key: bool,
    place: Place | None,
    down: bool,
    wanted: int,
) -> tuple[list[Any], Place | None]:
    low, high = search.bounds
    if not has_key and place is not None:
        low, high = (low, min(high, place.id - 1)) if down else (max(low, place.id + 1), high)
    if low > high:
        return [], None
    ask = Asked(conn, search, has_key, down)
    ask.params |= {"lo": low, "hi": high}
    source = search.along if has_key else (search.by_id or [WHOLE])[0]
    others = [one for one in (*search.by_id, *search.ranges) if one.name != source.name]
    begin = place if has_key else None
    if has_key:
        narrow, size = ask.narrowest(others, FIRST_WALK)
        if size <= FIRST_WALK:
            return ask.gather(narrow, begin, wanted), None
    rows, end = ask.walk(source, begin, FIRST_WALK, wanted)
    if end is None:
        return rows, None
    narrow, size = ask.narrowest(others, GATHERED)
    if size <= GATHERED and narrow is not source:
        return ask.gather(narrow, begin, wanted), None
    if not has_key:
        if narrow in search.ranges:
            # Its entries have no such order, but there are fewer of them than cards.
            return ask.walk(narrow, None, LONG_WALK, wanted, sort=True)
        source = narrow if narrow in others else source
        ask.params |= {"hi": end.id - 1} if down else {"lo": end.id + 1}
    more, stopped = ask.walk(source, end if has_key else None, LONG_WALK, wanted - len(rows))
    return rows + more, stopped


@dataclass(slots=True)
class Asked:
    """Statements about one part of an order, in one direction."""

    conn: psycopg.Connection[Any]
    search: Search
    has_key: bool
    down: bool
    params: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.params = {"lo": self.search.bounds[0], "hi": self.search.bounds[1]}

    @property
    def _more(self) -> str:
        nullable = self.search.order in NULLABLE
        return f"card.{KEYS[self.search.order]} IS NULL" if nullable and not self.has_key else "true"

    @property
    def _way(self) -> str:
        way = "DESC" if self.down else "ASC"
        return f"key {way}, card_id {way}" if self.has_key else f"card_id {way}"

    def _all(self, statement: str, place: Place | None) -> list[Any]:
        params = {**self.search.params, **self.params}
        if place is not None:
            params |= {"key": place.key, "id": place.id}
        return self.conn.execute(statement, params).fetchall()

    def walk(
        self, source: Source, place: Place | None, scan: int, wanted: int, *, sort: bool = False
    ) -> tuple[list[Any], Place | None]:
        """Rows found among the next `scan` entries, and the last of these entries where nothing else ended the walk."""
        order = self.search.order if self.has_key else None
        entries = walk(source, order, place is not None, self.down, scan, sort=sort)
        statement = f"""
            SELECT {SHOWN.format(of="found")} FROM (
                SELECT walked.card_id, walked.key, kept.* FROM ({entries} LIMIT {scan}) AS walked
                {kept("walked.card_id", self.search.check, COLUMNS, self._more)}
                ORDER BY {self._way} LIMIT {wanted}
            ) AS found ORDER BY {self._way}
        """
        rows = self._all(statement, place)
        if len(rows) >= wanted or self.params["hi"] - self.params["lo"] + 1 < scan:
            return rows, None
        last = self._all(f"{entries} LIMIT 1 OFFSET {scan - 1}", place)
        return rows, Place(last[0].key, last[0].card_id) if last else None

    def narrowest(self, criteria: list[Source], most: int) -> tuple[Source, int]:
        """The criterion with the fewest entries, and how many; more than `most` are not told apart.

        The custody's index can't answer by itself, so that less of it is counted, or with a small `most` nothing.
        """
        low, high = self.params["lo"], self.params["hi"]
        sizes = [max(high - low + 1, 0)]  # ids are dense
        slow = 0 if most == FIRST_WALK else FIRST_WALK + 1

        def least(source: Source) -> int:
            return slow if source.name == "custody" else most + 1

        criteria = [WHOLE, *criteria]
        if criteria[1:]:
            counted = ", ".join(
                f"(SELECT count(*) FROM ({source.ids()} LIMIT {least(source)}) AS ids) AS n{turn}"
                for turn, source in enumerate(criteria[1:])
            )
            sizes += [
                size if size < least(source) else most + 1
                for size, source in zip(self._all(f"SELECT {counted}", None)[0], criteria[1:], strict=True)
            ]
        turn = min(range(len(criteria)), key=lambda turn: sizes[turn])
        return criteria[turn], min(sizes[turn], most + 1)

    def gather(self, source: Source, place: Place | None, wanted: int) -> list[Any]:
        """The first rows of all the cards of a criterion, sorted."""
        order, key, beyond = self.search.order, "NULL::text", "true"
        copied, more = "", self._more
        if self.has_key:
            key = f"card.{KEYS[order]}"
            if order == "balance":
                # As the walk along the copy has it, so that one cursor serves both.
                key = "copy.balance"
                copied = (
                    "CROSS JOIN LATERAL (SELECT balance FROM card_search WHERE card_id = ids.card_id) AS copy"
                )
            else:
                more = f"{key} IS NOT NULL"
            if place is not None:
                beyond = f"({key}, card.id) {'<' if self.down else '>'} (%(key)s, %(id)s::bigint)"
        statement = f"""
            SELECT {SHOWN.format(of="found")} FROM (
                SELECT ids.card_id, kept.* FROM ({source.ids()} OFFSET 0) AS ids {copied}
                {kept("ids.card_id", self.search.check, f"{key} AS key, {COLUMNS}", f"{more} AND {beyond}")}
                ORDER BY {self._way} LIMIT {wanted}
            ) AS found ORDER BY {self._way}
        """
        return self._all(statement, place)


def count_along(conn: psycopg.Connection[Any], search: Search, source: Source, scan: int, most: int) -> int:
    """How many cards meet everything among `scan` entries of a source, `most` at most."""
    statement = f"""
        SELECT count(*) AS cards FROM (
            SELECT FROM (SELECT card_id FROM ({source.ids()}) AS ids LIMIT {scan}) AS ids
            {kept("ids.card_id", search.check, "1")} LIMIT {most}
        ) AS found
    """
    low, high = search.bounds
    row: Any = conn.execute(statement, {**search.params, "lo": low, "hi": high}).fetchone()
    cards: int = row.cards
    return cards
