"""Calls that were made, priced once more: at another version of their deck, or at what they cost us.

Background work: the calls of a period that were rated by the deck are read as a stream, priced by the arithmetic that
charged them, and summed by destination. Nothing is charged. What a kill interrupts begins anew.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

import psycopg
from psycopg.rows import tuple_row

from engine import work
from engine.calls.deckversions import rate_table
from engine.calls.ratetable import COLUMNS, DeckRate, RateTable
from engine.calls.rating import Rate, billed_seconds, charge, with_fees
from engine.db import Database
from engine.errors import NotFound
from engine.vault import Vault

KIND = "replay"
BLOCK = 20_000
"""Calls between two words about the progress."""

_VERSIONS = "SELECT array_agg(id) FROM deck_version WHERE deck_id = %s"
_CALLS = """
    FROM cdr c LEFT JOIN cdr_correction k ON k.card_id = c.card_id AND k.cdr_id = c.id
    WHERE c.ended_at >= %(begins)s AND c.ended_at < %(ends)s AND c.deck_version_id = ANY(%(versions)s)
      AND coalesce(k.duration_s, c.duration_s) > 0
"""
_COUNT = f"SELECT count(*) {_CALLS}"
_READ = f"""
    SELECT c.destination, c.destination_name, c.authorized_at, coalesce(k.duration_s, c.duration_s),
           coalesce(k.billed_s, c.billed_s), coalesce(k.charged, c.charged), coalesce(k.cost, c.cost),
           c.access_per_minute, c.access_per_call + c.post_call_fee
    {_CALLS}
"""
_FORGET = "DELETE FROM replay_line WHERE work_id = %s"
_WRITE = """
    INSERT INTO replay_line (work_id, destination_name, calls, billed_s, charged, replayed_s, replayed, unrated)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
"""

Call: TypeAlias = tuple[str, str, datetime, int, int, int, int, int, int]
"""Destination, its name then, authorized at, seconds, billed seconds, what the card paid, its price, surcharges a
minute and a call (post-call fee included); amounts in micro-units."""


@dataclass(slots=True)
class Line:
    """The sums of one destination; `borne`: what its calls cost more than the cards could pay."""

    calls: int = 0
    billed_s: int = 0
    charged: int = 0
    replayed_s: int = 0
    replayed: int = 0
    unrated: int = 0
    borne: int = 0


class Pricing:
    """The rates of one version, or of several that take turns, for calls of any time.

    A call from before the first version is priced at the rates that were in force as that one began, whatever days they
    name; the hours of the day and the days of the week are those of the call.
    """

    def __init__(self, starts: list[datetime], tables: list[RateTable], earlier: RateTable) -> None:
        self._starts = starts
        self._tables = tables
        self._earlier = earlier

    def rate(self, destination: str, at: datetime) -> DeckRate | None:
        """The rate of a call that was authorized at `at`; None where there is none."""
        place = bisect_right(self._starts, at)
        return (self._tables[place - 1] if place else self._earlier).find(destination, at)


def replay(calls: Iterable[Call], pricing: Pricing, *, fees: bool) -> dict[str, Line]:
    """The sums by destination. `fees`: the surcharges and post-call fees that a call had are part of its price again.

    Pure.
    """
    lines: dict[str, Line] = {}
    with_them: dict[tuple[int, int, int], Rate] = {}
    find = pricing.rate
    for destination, name, at, seconds, billed, charged, cost, per_minute, per_call in calls:
        line = lines.get(name)
        if line is None:
            line = lines[name] = Line()
        line.calls += 1
        line.billed_s += billed
        line.charged += charged
        line.borne += cost - charged
        found = find(destination, at)
        if found is None:
            line.unrated += 1
            continue
        rate = found.rate
        if fees and (per_minute or per_call):
            key = (id(rate), per_minute, per_call)  # the tables keep their rates alive
            known = with_them.get(key)
            rate = with_them[key] = known if known is not None else with_fees(rate, per_minute, per_call)
        line.replayed_s += billed_seconds(rate, seconds)
        line.replayed += charge(rate, seconds)
    return lines


def run(db: Database, vault: Vault, claimed: work.Claimed, clock: Callable[[], datetime]) -> dict[str, int]:
    """Replay what the work asks for, and keep the sums. The handler of the work `replay`.

    `params`: deck_id, version_id (None: what it cost us, at the buy deck's versions of those days), begins and ends
    (ISO 8601). Raises `work.Stopped` and `NotFound` (deck_version_not_found, buy_deck_missing).
    """
    params = claimed.params
    begins, ends = (datetime.fromisoformat(params[name]) for name in ("begins", "ends"))
    version_id = params["version_id"]
    pricing = (
        _version_pricing(db, version_id) if version_id else _buy_pricing(db, params["deck_id"], begins, ends)
    )
    # A connection of its own streams; the thread's own one tells of the progress meanwhile.
    with db.raw() as stream:
        asked = {"begins": begins, "ends": ends, "versions": _versions(stream, params["deck_id"])}
        counted = stream.execute(_COUNT, asked).fetchone()
        total = int(counted[0]) if counted else 0
        with db.connection() as conn:
            work.report(conn, claimed, 0, clock(), total=total)
        lines = replay(_stream(db, stream, asked, claimed, clock), pricing, fees=version_id is not None)
    return _keep(db, claimed, lines, total, clock())


def _stream(
    db: Database,
    link: psycopg.Connection[Any],
    asked: dict[str, Any],
    claimed: work.Claimed,
    clock: Callable[[], datetime],
) -> Iterator[Call]:
    done = 0
    with link.cursor("calls", row_factory=tuple_row) as cursor:
        cursor.execute(_READ, asked, binary=True)
        while rows := cursor.fetchmany(BLOCK):
            yield from rows
            done += len(rows)
            with db.connection() as conn:
                work.report(conn, claimed, min(done, claimed.total or done), clock())


def _keep(
    db: Database, claimed: work.Claimed, lines: dict[str, Line], total: int, now: datetime
) -> dict[str, int]:
    rows = [
        (claimed.id, name, one.calls, one.billed_s, one.charged, one.replayed_s, one.replayed, one.unrated)
        for name, one in lines.items()
    ]
    with db.raw() as conn, conn.cursor() as cursor:
        cursor.execute(_FORGET, [claimed.id])
        cursor.executemany(_WRITE, rows)
        work.report(conn, claimed, total, now)
    names = ("calls", "billed_s", "charged", "replayed_s", "replayed", "unrated", "borne")
    return {name: sum(getattr(line, name) for line in lines.values()) for name in names}


def _versions(link: psycopg.Connection[Any], deck_id: int) -> list[int]:
    found = link.execute(_VERSIONS, [deck_id]).fetchone()
    return (found and found[0]) or []


# The rates


_VERSION = """
    SELECT v.id, v.effective_from, d.precision, d.rounding, d.timezone,
           EXISTS (SELECT FROM deck_rate r WHERE r.version_id = v.id
                   AND (r.effective_from IS NOT NULL OR r.effective_until IS NOT NULL)) AS dated
    FROM deck_version v JOIN deck d ON d.id = v.deck_id WHERE v.id = %s
"""
_STANDING = f"""
    SELECT {", ".join("NULL" if name.startswith("effective") else name for name in COLUMNS)} FROM deck_rate
    WHERE version_id = %(id)s AND (effective_from IS NULL OR effective_from <= %(at)s)
      AND (effective_until IS NULL OR effective_until > %(at)s)
"""
_BOUGHT = """
    SELECT v.id, v.effective_from FROM deck d JOIN deck_version v ON v.deck_id = d.buy_deck_id
    WHERE d.id = %s AND v.effective_from < %s ORDER BY v.effective_from, v.id
"""
_BOUGHT_LATER = """
    SELECT v.id, v.effective_from FROM deck d JOIN deck_version v ON v.deck_id = d.buy_deck_id
    WHERE d.id = %s ORDER BY v.effective_from, v.id LIMIT 1
"""


def _version_pricing(db: Database, version_id: int) -> Pricing:
    """One version for all calls, whenever they were made."""
    with db.raw() as link:
        start, earlier = _earlier(db, link, version_id)
    return Pricing([start], [rate_table(db, version_id)], earlier)


def _buy_pricing(db: Database, deck_id: int, begins: datetime, ends: datetime) -> Pricing:
    """The buy deck's versions of a period, each for the calls of its days."""
    with db.raw() as link:
        versions = link.execute(_BOUGHT, [deck_id, ends]).fetchall()
        versions = versions or link.execute(_BOUGHT_LATER, [deck_id]).fetchall()
        if not versions:
            raise NotFound("buy_deck_missing")
        while len(versions) > 1 and versions[1][1] <= begins:
            del versions[0]  # over before the period
        _, earlier = _earlier(db, link, versions[0][0])
    return Pricing(
        [start for _, start in versions], [rate_table(db, number) for number, _ in versions], earlier
    )


def _earlier(db: Database, link: psycopg.Connection[Any], version_id: int) -> tuple[datetime, RateTable]:
    """When a version begins, and its rates as they stand then, for calls from before."""
    found = link.execute(_VERSION, [version_id]).fetchone()
    if found is None:
        raise NotFound("deck_version_not_found")
    _, start, precision, rounding, zone, dated = found
    if not dated:
        return start, rate_table(db, version_id)
    rows: list[Any] = link.execute(_STANDING, {"id": version_id, "at": start}).fetchall()
    return start, RateTable(rows, precision=precision, rounding=rounding, zone=zone)


work.HANDLERS[KIND] = run
