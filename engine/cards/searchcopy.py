"""The copy of status and balance that search looks through: `card_search`, folded in behind the calls.

An index on a card's own balance would cost every call, and a status changes by time alone. So search looks into a
copy, which `fold` brings up to date every few seconds with what changed, and `refold` as a whole now and then. Between
two folds the copy is stale; search takes the truth from the card, so that it is late at worst, never wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, cast

import psycopg
from psycopg.types.json import Jsonb
from sqlalchemy import DateTime, literal_column
from sqlalchemy.dialects.postgresql import psycopg as dialect

from engine.cards.status import status_sql
from engine.db import Database

OVERLAP = timedelta(seconds=60)
"""How long before the last fold a change may be dated that was committed after it: long transactions, slow clocks."""
DEEP_EVERY = timedelta(minutes=5)
DEEP_OVERLAP = timedelta(minutes=15)
"""Less often, further back: for bulk commands that date all that they do by their beginning."""
CHUNK = 5_000

# Keys of advisory locks: one fold at a time, and one writer of the copy at a time.
_FOLDING = 0x63617264_01
_WRITING = 0x63617264_02

STATUS = str(
    status_sql(cast(Any, literal_column("{now}", DateTime(timezone=True)))).compile(
        dialect=dialect.dialect(),  # type: ignore[no-untyped-call]
        compile_kwargs={"literal_binds": True},
    )
).replace("{now}", "%(now)s::timestamptz")
"""`status_sql` as text, over `card` and the parameter `now`."""

_WRITE = """
    INSERT INTO card_search (card_id, status, balance)
    SELECT id, status, balance
    FROM (SELECT id, {status} AS status, balance FROM card WHERE {these}) AS truth
    WHERE NOT EXISTS (
        SELECT FROM card_search AS copy
        WHERE copy.card_id = truth.id AND copy.status = truth.status AND copy.balance = truth.balance
    )
    ORDER BY id
    ON CONFLICT (card_id) DO UPDATE SET status = excluded.status, balance = excluded.balance
"""
_WRITE_SOME = _WRITE.format(status=STATUS, these="id = ANY(%(ids)s)")
_WRITE_RANGE = _WRITE.format(status=STATUS, these="id BETWEEN %(first)s AND %(last)s")

# A new batch's opening entries are not looked at: it is folded as a whole once it is ready.
_CHANGED = """
    SELECT card_id FROM ledger_entry WHERE at >= %(since)s AND kind <> 'opening'
    UNION SELECT card_id FROM card_event WHERE at >= %(since)s
    UNION SELECT id FROM card WHERE expires_at > %(expired_since)s AND expires_at <= %(now)s
    ORDER BY card_id
"""
_READY = """
    SELECT id, first_id, last_id FROM batch
    WHERE id > 0 AND ready_at >= %(since)s AND discarded_at IS NULL ORDER BY id
"""
_KEEP = """
    INSERT INTO job_state (job, mark) VALUES ('fold', %(mark)s)
    ON CONFLICT (job) DO UPDATE SET mark = excluded.mark
"""
_KEEP_FIRST = """
    INSERT INTO job_state (job, mark) VALUES ('fold', %(mark)s)
    ON CONFLICT (job) DO UPDATE SET mark = coalesce(job_state.mark, excluded.mark)
"""


def fold(db: Database, now: datetime) -> int:
    """Bring the copy up to date with what changed since the last fold; returns how many rows of it changed.

    Changed are cards with ledger entries or events since, cards that expired since, and those of batches that became
    ready; the first fold takes all. Cheap when nothing happened. Where another process folds just now, this one leaves
    it to that and returns 0; after a kill the next fold begins where the last one that ended did.
    """
    with db.connection() as conn:
        if not _value(conn, "SELECT pg_try_advisory_lock(%(key)s)", key=_FOLDING):
            return 0
        try:
            return _fold(conn, now)
        finally:
            _value(conn, "SELECT pg_advisory_unlock(%(key)s)", key=_FOLDING)


def refold(db: Database, now: datetime) -> int:
    """Bring every row of the copy up to date, whenever it went stale; returns how many rows changed.

    It reads all cards once, in chunks, and may run beside folds.
    """
    with db.connection() as conn:
        changed = sum(
            _write(conn, _WRITE_RANGE, now, first=first, last=last) for _, first, last in _ready(conn)
        )
        conn.execute(_KEEP_FIRST, {"mark": Jsonb(_mark(now, now, []))})
    return changed


def _fold(conn: psycopg.Connection[Any], now: datetime) -> int:
    mark = _value(conn, "SELECT mark FROM job_state WHERE job = %(job)s", job="fold")
    if mark is None:
        since, deep, folded = None, now, []
    else:
        last, deep = datetime.fromisoformat(mark["at"]), datetime.fromisoformat(mark["deep"])
        since, folded = min(last, now) - OVERLAP, mark["batches"]
        if now - deep >= DEEP_EVERY:
            since, deep = min(since, deep - DEEP_OVERLAP), now
        now = max(now, last)
    # What a batch's cards go through once it was folded leaves entries and events of its own.
    ready = {batch for batch, _, _ in _ready(conn, since or now - DEEP_OVERLAP)}
    changed = 0
    for batch, first, end in _ready(conn, since):
        if batch not in folded:
            changed += _write(conn, _WRITE_RANGE, now, first=first, last=end)
    if since is not None:
        ids = _changed(conn, since, now)
        for at in range(0, len(ids), CHUNK):
            changed += _write(conn, _WRITE_SOME, now, ids=ids[at : at + CHUNK])
    conn.execute(_KEEP, {"mark": Jsonb(_mark(now, deep, sorted(ready)))})
    return changed


def _mark(at: datetime, deep: datetime, batches: list[int]) -> dict[str, Any]:
    """Where the next fold begins, when one last looked far back, and the batches it need not take as a whole again."""
    return {"at": at.isoformat(), "deep": deep.isoformat(), "batches": batches}


def _changed(conn: psycopg.Connection[Any], since: datetime, now: datetime) -> list[int]:
    """The cards that changed, ascending. Read by the indexes on time alone: any other would be read from end to end."""
    with conn.transaction():
        conn.execute("SET LOCAL enable_indexscan = off")
        conn.execute("SET LOCAL enable_indexonlyscan = off")
        rows = conn.execute(_CHANGED, {"since": since, "expired_since": since, "now": now}).fetchall()
    return [row.card_id for row in rows]


def _ready(conn: psycopg.Connection[Any], since: datetime | None = None) -> Iterator[tuple[int, int, int]]:
    """(batch, first id, last id) of the ready batches, in chunks; those that became ready `since`, or all."""
    earliest = since.isoformat() if since else "-infinity"
    for row in conn.execute(_READY, {"since": earliest}).fetchall():
        for first in range(row.first_id, row.last_id + 1, CHUNK):
            yield row.id, first, min(first + CHUNK - 1, row.last_id)


def _write(conn: psycopg.Connection[Any], statement: str, now: datetime, **which: Any) -> int:
    with conn.transaction():
        # Alone, and locked before the statement sees the cards: nobody may write over it what he read before.
        _value(conn, "SELECT pg_advisory_xact_lock(%(key)s)", key=_WRITING)
        return conn.execute(statement, {"now": now, **which}).rowcount


def _value(conn: psycopg.Connection[Any], query: str, **params: Any) -> Any:
    row = conn.execute(query, params).fetchone()
    return None if row is None else row[0]
