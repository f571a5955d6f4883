"""Lists of calls that ended, newest first, page by page, at any depth in the same time; and what they sum up to.

A page is read along the time at which calls ended, a fixed number of CDRs at a time, each checked behind a fence. Where
the first of them do not fill a page, what is looked for is rare, and the narrowest criterion (a card, a batch, a
number, a flag) is looked for: where it has few calls, those are gathered and sorted. Where every criterion is wide and
yet hardly a call meets them all, the page ends after `PATIENCE_S`: it is `partial`, it says how far it has looked, and
the next one goes on there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from time import monotonic
from typing import Any

import psycopg

from engine.calls.callfilter import ANY_FLAG, CallFilter
from engine.calls.cdrs import CallRow, Key, read_calls
from engine.db import Database
from engine.migrations.partitions import month_start

PATIENCE_S = 0.06
"""Looking on ends after this; what is being looked through then is looked through to its end."""
FIRST_WALK = 2_000
STEP = 10_000
"""CDRs that are looked at in one go."""
GATHERED = 12_000
"""Criteria with at most so many calls are gathered as a whole."""
FLAGGED_GATHERED = 60_000
CARDS_GATHERED = 2_000
"""And resellers with at most so many cards."""
SWEPT_BYTES = 200_000_000
"""A month of CDRs that is looked through as a whole; larger ones are walked along."""
SUMMED = 20_000
"""Up to so many calls are summed up exactly; beyond them the newest ones are."""
MOST_ROWS = 200

Place = tuple[datetime, int]


@dataclass(frozen=True, slots=True)
class CallList:
    """One page. `older`: the place of its last call, where more may follow; None at the end.

    `partial`: the page isn't full, yet more may be found; it looked back to the time of `older`.
    """

    rows: tuple[CallRow, ...]
    older: Place | None = None
    partial: bool = False


@dataclass(frozen=True, slots=True)
class Sum:
    """What calls in one currency come to: how many, with talk, seconds of talk, micro-units charged and borne."""

    currency: str
    calls: int
    answered: int
    talked_s: int
    charged: int
    lost: int


@dataclass(frozen=True, slots=True)
class Sums:
    """What a filter finds, summed per currency. Not `whole`: more is found than `SUMMED`, or further back than `since`.

    Late corrections count as they corrected the calls.
    """

    sums: tuple[Sum, ...]
    whole: bool
    since: datetime | None

    @property
    def calls(self) -> int:
        """Calls of all currencies."""
        return sum(one.calls for one in self.sums)


def page(db: Database, f: CallFilter, *, before: Place | None = None, limit: int = 50) -> CallList:
    """Up to `limit` calls that meet the filter, newest first, behind the place `before`."""
    limit = min(max(limit, 1), MOST_ROWS)
    with db.connection() as conn:
        search = Search(conn, f, before)
        found, stopped = search.collect(limit + 1, PATIENCE_S)
    keys = [(row.card_id, row.ended_at, row.id) for row in found[:limit]]
    older = (keys[-1][1], keys[-1][2]) if len(found) > limit else stopped
    return CallList(read_calls(db, keys), older, len(found) <= limit and stopped is not None)


def keys_after(
    db: Database, f: CallFilter, before: Place | None, limit: int
) -> tuple[list[Key], Place | None]:
    """The keys of the next calls, however long that takes, and where to go on; for exports."""
    with db.connection() as conn:
        found, stopped = Search(conn, f, before).collect(limit, 5.0)
    keys = [(row.card_id, row.ended_at, row.id) for row in found]
    full = len(found) >= limit
    return keys, (keys[-1][1], keys[-1][2]) if full else stopped


def sums(db: Database, f: CallFilter) -> Sums:
    """What all calls that meet the filter come to, or the newest `SUMMED` of them."""
    with db.connection() as conn:
        found, stopped = Search(conn, f, None).collect(SUMMED + 1, 4 * PATIENCE_S)
        whole = stopped is None and len(found) <= SUMMED
        found = found[:SUMMED]
        rows = conn.execute(
            _SUMS,
            {
                "cards": [row.card_id for row in found],
                "ends": [row.ended_at for row in found],
                "ids": [row.id for row in found],
            },
        ).fetchall()
    since = None if whole else stopped[0] if stopped else found[-1].ended_at
    return Sums(tuple(Sum(*row) for row in rows), whole, since)


_SUMS = """
    SELECT d.currency, count(*) AS calls, count(*) FILTER (WHERE coalesce(x.duration_s, d.duration_s) > 0) AS answered,
        sum(coalesce(x.duration_s, d.duration_s))::bigint AS talked_s,
        sum(coalesce(x.charged, d.charged))::bigint AS charged,
        sum(coalesce(x.cost, d.cost) - coalesce(x.charged, d.charged))::bigint AS lost
    FROM unnest(%(cards)s::bigint[], %(ends)s::timestamptz[], %(ids)s::bigint[]) AS w (card_id, ended_at, id)
    JOIN cdr d ON d.card_id = w.card_id AND d.ended_at = w.ended_at AND d.id = w.id
    LEFT JOIN cdr_correction x ON x.card_id = d.card_id AND x.cdr_id = d.id
    GROUP BY d.currency ORDER BY d.currency
"""


def conditions(f: CallFilter) -> tuple[list[str], dict[str, Any]]:
    """The filter but for its times as conditions over a CDR `d`, and their parameters."""
    found: list[str] = []
    given: dict[str, Any] = {}
    equal = ("card_id", "caller", "destination", "cause", "currency", "switch_id", "call_ref")
    for name, column in (*((name, name) for name in equal), ("name", "destination_name")):
        value = getattr(f, name)
        if value is not None:
            found.append(f"d.{column} = %({name})s")
            given[name] = value
    if f.prefix is not None:
        found.append("starts_with(d.destination, %(prefix)s)")
        given["prefix"] = f.prefix
    for name, column in (("duration", "duration_s"), ("charged", "charged")):
        low, end = getattr(f, name) or (None, None)
        if low is not None:
            found.append(f"d.{column} >= %({name}_low)s")
            given[f"{name}_low"] = low
        if end is not None:
            found.append(f"d.{column} < %({name}_end)s")
            given[f"{name}_end"] = end
    if f.flag is not None:
        found.append(
            "d.flags <> '{}'" if f.flag == ANY_FLAG else "d.flags <> '{}' AND d.flags @> ARRAY[%(flag)s]"
        )
        given |= {} if f.flag == ANY_FLAG else {"flag": f.flag}
    if f.batch_id is not None:
        found.append("d.card_id BETWEEN %(first_card)s AND %(last_card)s")
    if f.reseller_id is not None:
        # Looked up call by call: as a join it would be looked for card by card.
        found.append("(SELECT c.reseller_id FROM card c WHERE c.id = d.card_id) = %(reseller_id)s")
        given["reseller_id"] = f.reseller_id
    return found, given


@dataclass(slots=True)
class Search:
    """Statements that look for the calls of a filter behind a place."""

    conn: psycopg.Connection[Any]
    filter: CallFilter
    place: Place | None
    params: dict[str, Any] = field(default_factory=dict)
    checks: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.checks, self.params = conditions(self.filter)
        if self.filter.batch_id is not None:
            self.params |= self._cards_of(self.filter.batch_id)
        if self.filter.call_ref is not None and self.filter.switch_id is None:
            # The index leads by the switch.
            self.checks.append("d.switch_id = ANY(ARRAY(SELECT id FROM switch))")

    def collect(self, wanted: int, patience_s: float) -> tuple[list[Any], Place | None]:
        """The first calls, and where looking ended, where it was no end of anything."""
        until = monotonic() + patience_s
        if self.filter.card_id is not None or self.filter.call_ref is not None:
            return self._gather("cdr", wanted), None
        found, stopped = self._walk(self.place, FIRST_WALK, wanted)
        if stopped is None or len(found) >= wanted:
            return found, None
        likely = (wanted - len(found)) * 2 * FIRST_WALK // max(len(found), 1)
        if likely <= STEP:
            more, stopped = self._walk(stopped, likely, wanted - len(found))
            found += more
            if stopped is None or len(found) >= wanted:
                return found, None
        narrow = self._narrow()
        if narrow is not None:
            return self._gather(narrow, wanted), None
        earliest = self._earliest()
        while stopped is not None and len(found) < wanted and monotonic() < until:
            more, stopped = self._look_on(stopped, earliest, wanted - len(found))
            found += more
        return found, stopped if len(found) < wanted else None

    def _look_on(
        self, place: Place, earliest: datetime | None, wanted: int
    ) -> tuple[list[Any], Place | None]:
        """Look through the rest of a month as a whole, or, where it is a large one, through its next calls."""
        if earliest is None or place[0] < earliest:
            return [], None
        month = month_start(place[0] if place[1] > 0 else place[0] - timedelta(microseconds=1), 0)
        size: Any = self.conn.execute(
            "SELECT pg_relation_size(to_regclass(%(name)s)) AS bytes", {"name": f"cdr_{month:%Y_%m}"}
        ).fetchone()
        if (size.bytes or 0) > SWEPT_BYTES:
            return self._walk(place, STEP, wanted)
        found = self._sweep(place, max(month, earliest), wanted)
        return found, None if month <= earliest else (month, 0)

    def _earliest(self) -> datetime | None:
        """When the first call of all ended, or the first that is looked for could have."""
        row: Any = self.conn.execute("SELECT min(ended_at) AS at FROM cdr").fetchone()
        first = (self.filter.ended or (None, None))[0]
        at: datetime | None = row.at
        return at if at is None or first is None else max(at, first)

    def _walk(self, place: Place | None, scan: int, wanted: int) -> tuple[list[Any], Place | None]:
        """Calls among the next `scan` CDRs, and the last of these where nothing else ended the walk."""
        flagged = " AND flags <> '{}'" if self.filter.flag is not None else ""
        entries = f"FROM cdr WHERE {self._times(place)}{flagged} ORDER BY ended_at DESC, id DESC"
        if not self.checks:
            scan = wanted
        given = {**self.params, **self._ends(place), "wanted": wanted}
        calls = (
            f"SELECT d.card_id, d.ended_at, d.id FROM (SELECT * {entries} LIMIT {scan}) AS d"
            f" WHERE {' AND '.join(self.checks) or 'true'}"
            " ORDER BY d.ended_at DESC, d.id DESC LIMIT %(wanted)s"
        )
        if not self.checks:
            return self.conn.execute(calls, given).fetchall(), None
        # In one snapshot: calls that end in between would shift the place, and others would be found twice.
        with self.conn.transaction():
            self.conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            found = self.conn.execute(calls, given).fetchall()
            if len(found) >= wanted:
                return found, None
            last = self.conn.execute(
                f"SELECT ended_at, id {entries} LIMIT 1 OFFSET {scan - 1}", given
            ).fetchone()
        return found, None if last is None else (last.ended_at, last.id)

    def _gather(self, source: str, wanted: int) -> list[Any]:
        """The first calls of a criterion, all of whose calls are looked at and sorted.

        Their times are judged last: the index on them must not tempt the planner to walk along it.
        """
        where = " AND ".join(self.checks)
        return self._sorted(
            ("indexscan = off",),
            f"(SELECT d.card_id, d.ended_at, d.id FROM {source} AS d WHERE {where} OFFSET 0) AS d"
            f" WHERE {self._times(self.place)}",
            {**self._ends(self.place), "wanted": wanted},
        )

    def _sweep(self, place: Place, since: datetime, wanted: int) -> list[Any]:
        """The first calls between `since` and a place, all of which are looked at."""
        where = " AND ".join((self._times(place), "d.ended_at >= %(since)s", *self.checks))
        return self._sorted(
            ("seqscan = on", "indexscan = off", "bitmapscan = off"),
            f"cdr AS d WHERE {where}",
            {**self._ends(place), "since": since, "wanted": wanted},
        )

    def _sorted(self, ways: tuple[str, ...], source: str, given: dict[str, Any]) -> list[Any]:
        with self.conn.transaction():
            for way in ways:
                self.conn.execute(f"SET LOCAL enable_{way}")
            return self.conn.execute(
                f"SELECT d.card_id, d.ended_at, d.id FROM {source}"
                " ORDER BY d.ended_at DESC, d.id DESC LIMIT %(wanted)s",
                {**self.params, **given},
            ).fetchall()

    def _narrow(self) -> str | None:
        """What finds all calls of the filter, where it has few enough of them."""
        f = self.filter
        if f.destination is not None or f.caller is not None:
            # The walk found few of them, and whole blocks of CDRs that can't hold a number are passed over.
            return "cdr"
        if f.flag is not None and self._few("cdr WHERE flags <> '{}'", FLAGGED_GATHERED):
            return "cdr"
        if f.reseller_id is not None and self._few(
            "card WHERE reseller_id = %(reseller_id)s", CARDS_GATHERED
        ):
            return _OF_RESELLER
        if f.batch_id is not None and self._few(
            "cdr WHERE card_id BETWEEN %(first_card)s AND %(last_card)s", GATHERED
        ):
            return "cdr"
        if f.switch_id is not None and self._few("cdr WHERE switch_id = %(switch_id)s", GATHERED):
            return "cdr"
        return None

    def _few(self, entries: str, most: int) -> bool:
        row: Any = self.conn.execute(
            f"SELECT count(*) AS found FROM (SELECT FROM {entries} LIMIT {most + 1}) AS counted", self.params
        ).fetchone()
        return bool(row.found <= most)

    def _cards_of(self, batch_id: int) -> dict[str, int]:
        """The span of a batch's cards; an empty one where there is no such batch."""
        row: Any = self.conn.execute(
            "SELECT first_id, last_id FROM batch WHERE id = %(batch)s", {"batch": batch_id}
        ).fetchone()
        first, last = (0, -1) if row is None else (row.first_id, row.last_id)
        return {"first_card": first, "last_card": last}

    def _times(self, place: Place | None) -> str:
        first, end = self.filter.ended or (None, None)
        found = [] if first is None else ["ended_at >= %(ended_first)s"]
        found += [] if end is None else ["ended_at < %(ended_end)s"]
        if place is not None:
            # Said twice: the plain one tells PostgreSQL which months to leave out.
            found.append("ended_at <= %(place_at)s AND (ended_at, id) < (%(place_at)s, %(place_id)s)")
        return " AND ".join(found) or "true"

    def _ends(self, place: Place | None) -> dict[str, Any]:
        first, end = self.filter.ended or (None, None)
        at, number = place or (None, None)
        return {"ended_first": first, "ended_end": end, "place_at": at, "place_id": number}


_OF_RESELLER = """(
    SELECT called.* FROM (SELECT id FROM card WHERE reseller_id = %(reseller_id)s OFFSET 0) AS own
    CROSS JOIN LATERAL (SELECT * FROM cdr WHERE cdr.card_id = own.id OFFSET 0) AS called
)"""
