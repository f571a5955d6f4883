"""The aggregates behind the reports: quarters of an hour (UTC), counted from the books by set statements.

A quarter is counted as a whole, again and again while rows may still come into it, and its old count goes in the same
transaction: so counting twice, or after a kill, changes nothing. Each row of the books counts in the quarter of its own
time; the end of a call that came after the sweep counts, as a difference, when it came.

Failed tries are kept only so long (`engine.reports.pruning`). A quarter whose rows were pruned keeps its last count.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import text
from sqlalchemy.orm import Session

from engine import jobruns
from engine.db import Database

QUARTER = timedelta(minutes=15)
DEEP_EVERY = timedelta(minutes=5)
DEEP_OVERLAP = timedelta(hours=3)
"""Less often than every minute, further back: for what was committed long after the time that it bears, as by bulk
commands, which date all that they do by their beginning."""
_JOB, _RECOUNT, _PRUNING = "aggregates", "recount", "pruning"
_STEP = timedelta(days=1)
_RECOUNTED = timedelta(days=2)


@dataclass(frozen=True, slots=True)
class _Mark:
    """What a count leaves for the next: where that begins, and when one last looked far back, once it has ended."""

    here: datetime
    deep: datetime | None
    deep_before: str | None

    def at(self, stop: datetime, end: datetime) -> dict[str, str | None]:
        deep = self.deep.isoformat() if self.deep is not None and stop >= end else self.deep_before
        return {"counted": min(stop, self.here).isoformat(), "deep": deep}


def quarter_of(at: datetime) -> datetime:
    """The beginning of the quarter of an hour that a time is in."""
    return datetime.fromtimestamp(int(at.timestamp()) // 900 * 900, UTC)


def aggregate(db: Database, now: datetime) -> int:
    """Count the open quarter and the one before it, and all since the last time; returns how many.

    The first time everything is counted; every few minutes the last hours are. A day at a time, so that a kill costs a
    day at most. Where the clock was ahead and was put back, what was written meanwhile is counted, too.
    """
    with db.begin() as session:
        kept = jobruns.mark_of(session, _JOB)
        until, deep = kept.get("counted"), kept.get("deep")
        begin = _earliest(session, now) if until is None else datetime.fromisoformat(until)
    if begin is None:
        return 0
    here = quarter_of(now)
    start = min(begin, here) - QUARTER
    looked = now if deep is None else datetime.fromisoformat(deep)
    is_due = deep is None or not timedelta(0) <= now - looked < DEEP_EVERY
    if is_due and until is not None:
        start = min(start, quarter_of(min(looked, now) - DEEP_OVERLAP))
    return _count(db, start, max(begin, here) + QUARTER, _Mark(here, now if is_due else None, deep))


def recount(db: Database, now: datetime) -> int:
    """Count the two days before the last recount and all since again, for what came late, and the stock of all time.

    A sale that is taken back, or told later, changes a day long ago. Returns how many quarters were counted.
    """
    here = quarter_of(now)
    with db.begin() as session:
        _lock(session)
        _count_stock(session, datetime(1970, 1, 1, tzinfo=UTC), here + QUARTER)
        last = jobruns.mark_of(session, _RECOUNT).get("at")
    begin = min(here, here if last is None else quarter_of(datetime.fromisoformat(last))) - _RECOUNTED
    counted = _count(db, begin, here + QUARTER, None)
    with db.begin() as session:
        jobruns.keep_mark(session, _RECOUNT, {"at": now.isoformat()})
    return counted


def count_everything(db: Database, now: datetime) -> int:
    """Count all quarters again, for whoever wrote books with past times. Returns how many."""
    with db.begin() as session:
        begin = _earliest(session, now)
    mark = _Mark(quarter_of(now), now, None)
    return 0 if begin is None else _count(db, begin, quarter_of(now) + QUARTER, mark)


def settle_tries(db: Database, before: datetime, now: datetime) -> datetime:
    """Count all, and from now on no more the quarters before a time, whose failed tries are to be deleted.

    Returns the beginning of the quarter that `before` is in: only what is older may be deleted.
    """
    aggregate(db, now)
    first = quarter_of(before)
    with db.begin() as session:
        _lock(session)  # whoever counts just now ends before anything is deleted
        settled = max(first, _settled(session) or first)
        jobruns.keep_mark(session, _PRUNING, {"tries_before": settled.isoformat()})
    return first


def _settled(session: Session) -> datetime | None:
    """From where on failed tries are counted; None: all of them."""
    before = jobruns.mark_of(session, _PRUNING).get("tries_before")
    return None if before is None else datetime.fromisoformat(before)


def _count(db: Database, begin: datetime, end: datetime, mark: _Mark | None) -> int:
    """Count the quarters of a span, and keep the mark as far as this one gets."""
    start = begin
    while start < end:
        stop = min(start + _STEP, end)
        with db.begin() as session:
            _lock(session)
            for table, statement in _STATEMENTS.items():
                first = start
                if table == "attempt_bucket":
                    first = max(start, _settled(session) or start)
                session.execute(
                    text(f"DELETE FROM {table} WHERE at >= :start AND at < :stop"), _span(first, stop)
                )
                session.execute(statement, _span(first, stop))
            _count_stock(session, start, stop)
            if mark is not None:
                jobruns.keep_mark(session, _JOB, mark.at(stop, end))
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
