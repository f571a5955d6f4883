"""What changes from one version of a deck to another: prefixes that come, go, or cost something else.

Two lists of rates are compared in the process (what an import would change); two versions that stand are compared by
the database, a page at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import chain, repeat
from typing import Any, TypeAlias, cast

import psycopg
from psycopg.rows import tuple_row
from sqlalchemy import select
from sqlalchemy.orm import Session

from engine.calls.deckrow import DeckRow
from engine.db import Database
from engine.errors import NotFound
from engine.names import sought
from engine.schema import DeckVersion

ADDED, DEARER, CHEAPER, OTHERWISE, REMOVED = "added", "dearer", "cheaper", "otherwise", "removed"
KINDS = (ADDED, DEARER, CHEAPER, OTHERWISE, REMOVED)
"""How a prefix can differ. `otherwise`: its price stayed, but its name, fee, increments, dates or hours did not."""

COLUMNS = DeckRow._fields[1:]
_DAYS = DeckRow._fields.index("days")
_READ = f"SELECT 0, {', '.join(COLUMNS)} FROM deck_rate WHERE version_id = %(version)s"
_MOST_KEPT = 64
_KEY = "deck differences"

Rates: TypeAlias = "dict[str, DeckRow | list[DeckRow]]"


@dataclass(frozen=True, slots=True)
class PrefixChange:
    """One prefix that differs: its rates before and after; several where they take turns."""

    prefix: str
    kind: str
    before: tuple[DeckRow, ...]
    after: tuple[DeckRow, ...]

    @property
    def name(self) -> str:
        """The destination as the newer side calls it."""
        return (self.after or self.before)[0].destination_name

    @property
    def percent(self) -> Decimal | None:
        """By how much its price (of several rates: their average) changed; None where there was none, or free."""
        if not self.before or not self.after:
            return None
        old, new = _weighed(self.before, self.after)
        return None if old == 0 else Decimal(new - old) * 100 / Decimal(old)


@dataclass(frozen=True, slots=True)
class Comparison:
    """How many prefixes differ, by kind, and how many don't; `changes` are the first of each kind, by prefix."""

    counts: dict[str, int]
    unchanged: int
    changes: tuple[PrefixChange, ...]

    @property
    def changed(self) -> int:
        """Prefixes in both whose rates are not the same."""
        return self.counts[DEARER] + self.counts[CHEAPER] + self.counts[OTHERWISE]

    @property
    def before(self) -> int:
        """Prefixes that there were."""
        return self.counts[REMOVED] + self.changed + self.unchanged

    def of(self, kind: str) -> list[PrefixChange]:
        """The first of one kind."""
        return [change for change in self.changes if change.kind == kind]


def compare(before: Iterable[DeckRow], after: Iterable[DeckRow], most: int | None = None) -> Comparison:
    """Compare two lists of rates by prefix; at most `most` changes of each kind are kept, all are counted."""
    old, new = by_prefix(before), by_prefix(after)
    counts = dict.fromkeys(KINDS, 0)
    unchanged = 0
    changes = []
    for prefix in sorted(old.keys() | new.keys()):
        was, comes = old.get(prefix), new.get(prefix)
        if was is not None and comes is not None and _same(was, comes):
            unchanged += 1
            continue
        kind = _kind(was, comes)
        counts[kind] += 1
        if most is None or counts[kind] <= most:
            changes.append(PrefixChange(prefix, kind, rates_in(was), rates_in(comes)))
    return Comparison(counts, unchanged, tuple(changes))


def by_prefix(rows: Iterable[DeckRow]) -> Rates:
    """Rates by their prefix: the one, or a list of several."""
    found: Rates = {}
    for row in rows:
        others = found.get(row.prefix)
        if others is None:
            found[row.prefix] = row
        elif isinstance(others, list):
            others.append(row)
        else:
            found[row.prefix] = [others, row]
    return found


def rates_in(rates: DeckRow | list[DeckRow] | None) -> tuple[DeckRow, ...]:
    """What `by_prefix` has for a prefix, as a tuple."""
    if rates is None:
        return ()
    return tuple(rates) if isinstance(rates, list) else (rates,)


def _same(was: DeckRow | list[DeckRow], comes: DeckRow | list[DeckRow]) -> bool:
    if isinstance(was, list) or isinstance(comes, list):
        return {row[1:] for row in rates_in(was)} == {row[1:] for row in rates_in(comes)}
    return was[1:] == comes[1:]


def _kind(was: DeckRow | list[DeckRow] | None, comes: DeckRow | list[DeckRow] | None) -> str:
    if was is None:
        return ADDED
    if comes is None:
        return REMOVED
    old, new = _weighed(rates_in(was), rates_in(comes))
    return DEARER if new > old else CHEAPER if new < old else OTHERWISE


def _weighed(before: Sequence[DeckRow], after: Sequence[DeckRow]) -> tuple[int, int]:
    """The average prices of both, brought to the same denominator."""
    old, new = (sum(row.price_per_minute for row in rows) for rows in (before, after))
    return old * len(after), new * len(before)


# What stands in the database


def driver(session: Session) -> psycopg.Connection[Any]:
    """The psycopg connection under a session: in its transaction, for COPY and for rows without ceremony."""
    return cast("psycopg.Connection[Any]", session.connection().connection.driver_connection)


def stored_rates(
    link: psycopg.Connection[Any], version_id: int, prefixes: Sequence[str] | None = None
) -> list[DeckRow]:
    """The rates of a version, all of them or those of some prefixes, in no order."""
    chosen = "" if prefixes is None else " AND prefix = ANY(%(prefixes)s)"
    with link.cursor(row_factory=tuple_row, binary=True) as cursor:
        rows = cursor.execute(_READ + chosen, {"version": version_id, "prefixes": prefixes}).fetchall()
    return [_row(row) for row in rows]


def _row(values: tuple[Any, ...]) -> DeckRow:
    days = values[_DAYS]
    if days is not None:
        values = (*values[:_DAYS], tuple(days), *values[_DAYS + 1 :])
    return DeckRow._make(values)


_FACTS = ", ".join(COLUMNS[1:])
_SIDE = f"""
    SELECT prefix, count(*) AS rates, sum(price_per_minute) AS price,
           sum(hash_record_extended(ROW({_FACTS}), 0)) AS facts
    FROM deck_rate WHERE version_id = %({{side}})s{{narrowed}} GROUP BY prefix
"""
_DIFFERENCES = """
    SELECT prefix, kind FROM (
        SELECT coalesce(old.prefix, new.prefix) AS prefix,
            CASE WHEN old.prefix IS NULL THEN 'added' WHEN new.prefix IS NULL THEN 'removed'
                 WHEN new.price * old.rates > old.price * new.rates THEN 'dearer'
                 WHEN new.price * old.rates < old.price * new.rates THEN 'cheaper' ELSE 'otherwise' END AS kind
        FROM ({old}) old FULL JOIN ({new}) new ON old.prefix = new.prefix
        WHERE old.facts IS DISTINCT FROM new.facts OR old.rates IS DISTINCT FROM new.rates
    ) differing WHERE %(kinds)s::text[] IS NULL OR kind = ANY(%(kinds)s)
"""


_FITTING = "SELECT DISTINCT prefix FROM deck_rate WHERE version_id IN (%(old)s, %(new)s) AND {fits}"
_BOUND = """
    SELECT count(*), max(prefix) FROM (
        SELECT prefix FROM deck_rate WHERE version_id = %({side})s{narrowed} AND prefix > %(place)s
        ORDER BY prefix LIMIT %(size)s
    ) stretch
"""
_FIRST_STRETCH, _STRETCH = 1_000, 20_000
_LAST = "9" * 16
"""Behind every prefix."""


@dataclass(frozen=True, slots=True)
class Differences:
    """A page of what differs between two versions, by prefix; `more` are there after the last."""

    changes: tuple[PrefixChange, ...]
    more: bool


def differences(
    db: Database,
    before: int,
    after: int,
    *,
    kinds: Sequence[str] | None = None,
    words: str = "",
    place: str | None = None,
    limit: int = 50,
) -> Differences:
    """What differs between two versions (their ids), from behind the prefix `place` on.

    `kinds`: some of `KINDS`; `words`: digits that a prefix begins with, or a part of a destination's name.
    """
    if kinds and not any(difference_counts(db, before, after)[kind] for kind in kinds):
        return Differences((), False)
    asked = {"old": before, "new": after, "kinds": list(kinds) if kinds else None}
    found: list[tuple[str, str]] = []
    with db.begin() as session:
        link = driver(session)
        narrowed = ""
        if words:
            fits, given = narrowing(words)
            fitting = link.execute(_FITTING.format(fits=fits), {**asked, **given}).fetchall()
            asked["fitting"] = [prefix for (prefix,) in fitting]
            narrowed = " AND prefix = ANY(%(fitting)s)"
        statement = _differing(f"{narrowed} AND prefix > %(place)s AND prefix <= %(bound)s")
        for low, high in _stretches(link, asked, narrowed, place or ""):
            limits = {"place": low, "bound": high, "limit": limit + 1 - len(found)}
            found += link.execute(
                f"{statement} ORDER BY prefix LIMIT %(limit)s", {**asked, **limits}
            ).fetchall()
            if len(found) > limit:
                break
        kept = dict(found[:limit])
        old = by_prefix(stored_rates(link, before, list(kept)))
        new = by_prefix(stored_rates(link, after, list(kept)))
    changes = tuple(
        PrefixChange(prefix, kind, ordered(old.get(prefix)), ordered(new.get(prefix)))
        for prefix, kind in kept.items()
    )
    return Differences(changes, len(found) > limit)


def _stretches(
    link: psycopg.Connection[Any], asked: dict[str, Any], narrowed: str, place: str
) -> Iterator[tuple[str, str]]:
    """Stretches of prefixes, from behind `place` to the end, that hold so many rates that a page is soon full: where
    much differs the first is enough, and nobody waits for the rest of two large versions."""
    for size in chain([_FIRST_STRETCH], repeat(_STRETCH)):
        bounds = []
        for side in ("old", "new"):
            statement = _BOUND.format(side=side, narrowed=narrowed)
            row = link.execute(statement, {**asked, "place": place, "size": size}).fetchone()
            bounds += [row[1]] if row and row[0] == size else []
        yield place, min(bounds, default=_LAST)
        if not bounds:
            return
        place = min(bounds)


def all_differences(db: Database, before: int, after: int, block: int = 2_000) -> Iterator[PrefixChange]:
    """Everything that differs between two versions, by prefix, read in blocks."""
    place: str | None = None
    while True:
        page = differences(db, before, after, place=place, limit=block)
        yield from page.changes
        if not page.more:
            return
        place = page.changes[-1].prefix


def difference_counts(db: Database, before: int, after: int) -> dict[str, int]:
    """How many prefixes differ between two versions, by kind. Versions never change: it is counted once a process."""
    known: dict[tuple[int, int], dict[str, int]] = db.cache.setdefault(_KEY, {})
    counts = known.get((before, after))
    if counts is None:
        statement = f"SELECT kind, count(*) FROM ({_differing('')}) counted GROUP BY kind"
        with db.begin() as session:
            rows = driver(session).execute(statement, {"old": before, "new": after, "kinds": None})
            counts = {**dict.fromkeys(KINDS, 0), **dict(rows.fetchall())}
        if len(known) >= _MOST_KEPT:
            known.clear()
        known[before, after] = counts
    return dict(counts)


def check_version(session: Session, deck_id: int, version_id: int) -> DeckVersion:
    """The version, where it is one of this deck. Raises `NotFound("deck_version_not_found")`."""
    version = session.scalar(
        select(DeckVersion).where(DeckVersion.id == version_id, DeckVersion.deck_id == deck_id)
    )
    if version is None:
        raise NotFound("deck_version_not_found")
    return version


def _differing(narrowed: str) -> str:
    sides = {side: _SIDE.format(side=side, narrowed=narrowed) for side in ("old", "new")}
    return _DIFFERENCES.format(**sides)


def narrowing(words: str) -> tuple[str, dict[str, str]]:
    """What is searched for, as a condition on rows of `deck_rate` and its values.

    Digits are the beginning of a prefix; anything else is a part of a name, in small letters or large.
    """
    plain = sought(words)
    digits = plain.replace(" ", "").removeprefix("+")
    if not plain:
        return "TRUE", {}
    if digits.isascii() and digits.isdigit():
        first = digits[:15]
        return "prefix BETWEEN %(first)s AND %(last)s", {"first": first, "last": first.ljust(15, "9")}
    pattern = plain.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return "destination_name ILIKE %(pattern)s", {"pattern": f"%{pattern}%"}


def ordered(rates: DeckRow | list[DeckRow] | None) -> tuple[DeckRow, ...]:
    """The rates of one prefix as they are read: by their first day, then by day of the week and hour."""
    return tuple(
        sorted(
            rates_in(rates),
            key=lambda row: (
                row.effective_from.timestamp() if row.effective_from else 0.0,
                row.days or (),
                row.from_time.isoformat() if row.from_time else "",
            ),
        )
    )
