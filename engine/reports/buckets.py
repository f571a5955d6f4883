"""The aggregates behind the reports: quarters of an hour (UTC), counted from the books by set statements.

A quarter is counted as a whole, again and again while rows may still come into it, and its old count goes in the same
transaction: so counting twice, or after a kill, changes nothing. Each row of the books counts in the quarter of its own
time; the end of a call that came after the sweep counts, as a difference, when it came.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import text
from sqlalchemy.orm import Session

from engine import jobruns
from engine.db import Database

QUARTER = timedelta(minutes=15)
_JOB = "aggregates"
_STEP = timedelta(days=1)
_RECOUNTED = timedelta(days=2)


def quarter_of(at: datetime) -> datetime:
    """The beginning of the quarter of an hour that a time is in."""
    return datetime.fromtimestamp(int(at.timestamp()) // 900 * 900, UTC)


def aggregate(db: Database, now: datetime) -> int:
    """Count the open quarter and the one before it, and all since the last time; returns how many.

    The first time everything is counted. A day at a time, so that a kill costs a day at most. Where the clock was ahead
    and was put back, what was written meanwhile is counted, too.
    """
    with db.begin() as session:
        until = jobruns.mark_of(session, _JOB).get("counted")
        begin = _earliest(session, now) if until is None else datetime.fromisoformat(until)
    if begin is None:
        return 0
    here = quarter_of(now)
    return _count(db, min(begin, here) - QUARTER, max(begin, here) + QUARTER, here)


def recount(db: Database, now: datetime) -> int:
    """Count the last two days again, for what came late, and the sales and activations of all time.

    A sale that is taken back, or told later, changes a day long ago. Returns how many quarters were counted.
    """
    here = quarter_of(now)
    with db.begin() as session:
        _lock(session)
        _count_stock(session, datetime(1970, 1, 1, tzinfo=UTC), here + QUARTER)
    return _count(db, here - _RECOUNTED, here + QUARTER, None)


def count_everything(db: Database, now: datetime) -> int:
    """Count all quarters again, for whoever wrote books with past times. Returns how many."""
    with db.begin() as session:
        begin = _earliest(session, now)
    return 0 if begin is None else _count(db, begin, quarter_of(now) + QUARTER, quarter_of(now))


def _count(db: Database, begin: datetime, end: datetime, mark: datetime | None) -> int:
    """Count the quarters of a span; `mark`: where the next count begins, kept as far as this one gets."""
    start = begin
    while start < end:
        stop = min(start + _STEP, end)
        with db.begin() as session:
            _lock(session)
            for table, statement in _STATEMENTS.items():
                session.execute(
                    text(f"DELETE FROM {table} WHERE at >= :start AND at < :stop"), _span(start, stop)
                )
                session.execute(statement, _span(start, stop))
            _count_stock(session, start, stop)
            if mark is not None:
                jobruns.keep_mark(session, _JOB, {"counted": min(stop, mark).isoformat()})
        start = stop
    return int((end - begin) / QUARTER)


def _count_stock(session: Session, start: datetime, stop: datetime) -> None:
    session.execute(text("DELETE FROM stock_bucket WHERE at >= :start AND at < :stop"), _span(start, stop))
    session.execute(_STOCK, _span(start, stop))


def _span(start: datetime, stop: datetime) -> dict[str, datetime]:
    return {"start": start, "stop": stop}


def _lock(session: Session) -> None:
    """Two that count at once take turns."""
    session.execute(text("SELECT pg_advisory_xact_lock(hashtext('cardtone aggregates'))"))


def _earliest(session: Session, now: datetime) -> datetime | None:
    """The quarter of the first row that any bucket could count."""
    first = session.scalar(
        text(
            "SELECT least((SELECT min(ended_at) FROM cdr), (SELECT min(at) FROM ledger_entry),"
            " (SELECT min(at) FROM attempt), (SELECT min(sold_at) FROM card),"
            " (SELECT min(activated_at) FROM card), (SELECT min(first_used_at) FROM card))"
        )
    )
    return None if first is None else min(quarter_of(first), quarter_of(now))


def _bucket(column: str) -> str:
    return f"date_bin('15 minutes', {column}, TIMESTAMPTZ '2000-01-01 00:00Z')"


def _within(column: str) -> str:
    return f"{column} >= :start AND {column} < :stop"


_STATEMENTS = {
    "traffic_bucket": text(
        f"""
        INSERT INTO traffic_bucket (at, currency, batch_id, reseller_id, switch_id, prefix, destination_name, calls,
            answered, seconds, billed_seconds, revenue, loss, swept, flagged, corrected)
        SELECT told.at, told.currency, c.batch_id, coalesce(c.reseller_id, 0), told.switch_id, told.prefix,
            told.destination_name, sum(told.calls), sum(told.answered), sum(told.seconds), sum(told.billed_s),
            sum(told.charged), sum(told.loss), sum(told.swept), sum(told.flagged), sum(told.corrected)
        FROM (
            SELECT {_bucket("d.ended_at")} AS at, d.card_id, d.currency, d.switch_id, d.prefix, d.destination_name,
                1 AS calls, (d.duration_s > 0)::int AS answered, d.duration_s AS seconds, d.billed_s, d.charged,
                d.cost - d.charged AS loss, ('swept' = ANY(d.flags))::int AS swept, (d.flags <> '{{}}')::int AS flagged,
                0 AS corrected
            FROM cdr d WHERE {_within("d.ended_at")}
            UNION ALL
            SELECT {_bucket("x.at")}, d.card_id, d.currency, d.switch_id, d.prefix, d.destination_name,
                0, (x.duration_s > 0)::int - (d.duration_s > 0)::int, x.duration_s - d.duration_s,
                x.billed_s - d.billed_s, x.charged - d.charged, (x.cost - x.charged) - (d.cost - d.charged), 0, 0, 1
            FROM cdr_correction x JOIN cdr d ON d.card_id = x.card_id AND d.id = x.cdr_id AND d.ended_at <= x.at
            WHERE {_within("x.at")}
        ) told JOIN card c ON c.id = told.card_id
        GROUP BY 1, 2, 3, 4, 5, 6, 7
        """
    ),
    "funds_bucket": text(
        f"""
        INSERT INTO funds_bucket (at, currency, batch_id, reseller_id, kind, account, entries, amount)
        SELECT {_bucket("e.at")}, c.currency, c.batch_id, coalesce(c.reseller_id, 0), e.kind, e.account, count(*),
            sum(e.amount)
        FROM ledger_entry e JOIN card c ON c.id = e.card_id WHERE {_within("e.at")}
        GROUP BY 1, 2, 3, 4, 5, 6
        """
    ),
    "payment_bucket": text(
        f"""
        INSERT INTO payment_bucket (at, currency, batch_id, reseller_id, method, payments, amount, bonus)
        SELECT {_bucket("p.at")}, p.currency, c.batch_id, coalesce(c.reseller_id, 0), p.method, count(*),
            sum(p.amount), sum(p.bonus)
        FROM payment p JOIN card c ON c.id = p.card_id WHERE {_within("p.at")}
        GROUP BY 1, 2, 3, 4, 5
        """
    ),
    "attempt_bucket": text(
        f"""
        INSERT INTO attempt_bucket (at, door, reason, source_kind, attempts)
        SELECT {_bucket("a.at")}, a.door, a.reason, split_part(a.source, ':', 1), sum(a.times)
        FROM attempt a WHERE {_within("a.at")}
        GROUP BY 1, 2, 3, 4
        """
    ),
}
"""What fills each table of buckets for the span from `:start` to `:stop`."""

_STOCK = text(
    f"""
    INSERT INTO stock_bucket (at, batch_id, reseller_id, sold, activated, first_used)
    SELECT at, batch_id, reseller_id, sum(sold), sum(activated), sum(first_used)
    FROM (
        SELECT {_bucket("sold_at")} AS at, batch_id, coalesce(reseller_id, 0) AS reseller_id, 1 AS sold,
            0 AS activated, 0 AS first_used
        FROM card WHERE sold_at IS NOT NULL AND {_within("sold_at")}
        UNION ALL
        SELECT {_bucket("activated_at")}, batch_id, coalesce(reseller_id, 0), 0, 1, 0
        FROM card WHERE activated_at IS NOT NULL AND {_within("activated_at")}
        UNION ALL
        SELECT {_bucket("first_used_at")}, batch_id, coalesce(reseller_id, 0), 0, 0, 1
        FROM card WHERE first_used_at IS NOT NULL AND {_within("first_used_at")}
    ) cards
    GROUP BY 1, 2, 3
    """
)
