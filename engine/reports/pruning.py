"""What is kept only so long: failed tries, work and runs that are over, first answers to repeated requests.

What tells of money is never pruned.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg import sql

from engine import settings, uploads
from engine.db import Database
from engine.errors import EngineUnavailable
from engine.migrations.partitions import month_start
from engine.reports import buckets, exports

ANSWERS_DAYS = 60
"""The documents themselves (ledger entries, payments) remember their keys for ever."""
_CHUNK = 5_000
_PATIENCE = 5
_MONTH = re.compile(r"attempt_(\d{4})_(\d{2})")


def prune(db: Database, now: datetime) -> dict[str, int]:
    """Delete all that was kept long enough, a few thousand rows at a time; how many of what."""
    with db.begin() as session:
        rules = settings.load(session)
    tries_before = buckets.settle_tries(db, now - timedelta(days=rules.attempts_days), now)
    over_before = now - timedelta(days=rules.work_days)
    return {
        "months_of_tries": drop_months_of_tries(db, tries_before),
        "tries": _delete(db, _TRIES, tries_before),
        # Before the rows of work that tell where the files are.
        "report_exports": exports.remove_old(db, now),
        "work": _delete(db, _WORK, over_before),
        "runs": _delete(db, _RUNS, over_before),
        "uploads": _delete(db, _UPLOADS, now - uploads.KEPT),
        "answers": _delete(db, _ANSWERS, now - timedelta(days=ANSWERS_DAYS)),
    }


_TRIES = """
    DELETE FROM attempt USING (
        SELECT id, at FROM attempt WHERE at < %(before)s ORDER BY at LIMIT %(chunk)s
    ) old WHERE attempt.id = old.id AND attempt.at = old.at
"""
# What made a batch or changed many cards stays, for the page that tells of it; and what an open alarm is about.
_WORK = """
    DELETE FROM work WHERE id IN (
        SELECT w.id FROM work w WHERE w.finished_at < %(before)s AND w.state IN ('done', 'failed', 'cancelled')
            AND NOT EXISTS (SELECT 1 FROM batch b WHERE b.work_id = w.id)
            AND NOT EXISTS (SELECT 1 FROM bulk_run r WHERE r.work_id = w.id)
            AND NOT EXISTS (SELECT 1 FROM print_run r WHERE r.work_id = w.id)
            AND NOT EXISTS (
                SELECT 1 FROM alarm a
                WHERE a.kind = 'work_failed' AND a.subject = 'work:' || w.id AND a.cleared_at IS NULL
            )
        LIMIT %(chunk)s
    )
"""
# The last run of a job stays: it says that the job's turn was done.
_RUNS = """
    DELETE FROM job_run WHERE (job, due_at) IN (
        SELECT r.job, r.due_at FROM job_run r WHERE r.finished_at < %(before)s
            AND EXISTS (SELECT 1 FROM job_run later WHERE later.job = r.job AND later.due_at > r.due_at)
        LIMIT %(chunk)s
    )
"""
_UPLOADS = """
    DELETE FROM upload WHERE id IN (SELECT id FROM upload WHERE created_at < %(before)s LIMIT %(chunk)s)
"""
_ANSWERS = """
    DELETE FROM idempotent_request WHERE (scope, key) IN (
        SELECT scope, key FROM idempotent_request WHERE at < %(before)s LIMIT %(chunk)s
    )
"""


def _delete(db: Database, statement: str, before: datetime) -> int:
    deleted = 0
    while True:
        with db.raw() as conn:
            some = conn.execute(statement, {"before": before, "chunk": _CHUNK}).rowcount
        deleted += some
        if some < _CHUNK:
            return deleted


def drop_months_of_tries(db: Database, before: datetime) -> int:
    """Drop the tables of failed tries that hold nothing younger; how many. The rest is deleted by rows."""
    dropped = 0
    for name in _months(db):
        found = _MONTH.fullmatch(name)
        if found is None:
            continue
        month = datetime(int(found[1]), int(found[2]), 1, tzinfo=UTC)
        if month_start(month, 1) <= before and _insisted(lambda name=name: _drop(db, name)):  # type: ignore[misc]
            dropped += 1
    return dropped


def _months(db: Database) -> list[str]:
    with db.connection() as conn:
        rows = conn.execute(
            "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
            " WHERE i.inhparent = 'attempt'::regclass ORDER BY 1"
        )
        return [row.relname for row in rows]


def _drop(db: Database, name: str) -> None:
    with db.raw() as conn:
        # Whoever is refused at a door waits behind this: not for long.
        conn.execute("SET LOCAL lock_timeout = '500ms'")
        conn.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(name)))


def _insisted(act: Callable[[], Any]) -> bool:
    """Try a few times for a lock that somebody has; False where there was none to be had: the next night, then."""
    for turn in range(_PATIENCE):
        try:
            act()
        except EngineUnavailable as error:
            if error.code != "busy":
                raise
            time.sleep(0.1 * (turn + 1))
        else:
            return True
    return False
