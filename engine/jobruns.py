"""Runs of jobs as rows: claimed once however many processes look, with their result or why they failed.

A run holds a lease while it lives. One whose process died is marked lost by whoever looks next, and its turn is done
again under a due time of its own; so is a turn that failed, after a while; three times in all. A run that its process
let go as it was stopped counts for none of them.

What runs more often than every quarter of an hour has no row for each run: only one process does it at a time (an
advisory lock), and one row sums up what it did in each quarter; a failure has a row of its own, which counts its like.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
from psycopg.types.json import Jsonb
from sqlalchemy import func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session, aliased

from engine import settings
from engine.db import Database
from engine.house import zone_of
from engine.schema import JobRun, JobState
from engine.timetable import JOBS, QUARTER_S, Job, find_job, turn_of

LEASE_S = 60
MAX_TRIES = 3
"""Runs of one turn, as long as they are lost or fail."""
AGAIN_S = 300
"""How long after a failure its turn is tried again."""
LET_GO = "The process that ran it was stopped."
"""The error of a run that was not its job's fault."""
FAILURES = 10
"""A frequent job that fails in ever other words keeps so many rows of a quarter of an hour."""
_LOCK = 0x6A6F62  # "job"


@dataclass(frozen=True, slots=True)
class Run:
    """A run in the hands of one process."""

    job: str
    due_at: datetime
    claimed_by: str
    lost: int = 0
    """Earlier runs that were found dead when this one was claimed."""


@dataclass(frozen=True, slots=True)
class RunView:
    """A run as it may be shown. `error` is one sentence.

    `summed`: of a frequent job, what its runs of a quarter of an hour did together; `seconds` is then their sum.
    """

    job: str
    due_at: datetime
    state: str
    asked_by: str | None
    claimed_by: str | None
    started_at: datetime | None
    finished_at: datetime | None
    seconds: float | None
    result: dict[str, Any]
    error: str | None
    summed: bool


@dataclass(frozen=True, slots=True)
class JobLine:
    """A job as the timetable's page shows it: its last run, and when it falls due next (None while it is paused)."""

    job: Job
    last: RunView | None
    next_due: datetime | None
    paused_at: datetime | None
    paused_by: str | None


@contextmanager
def only_one(db: Database, job: str) -> Iterator[bool]:
    """Whether nobody else is at this job; if so, nobody is until the block ends or this thread's connection does."""
    with db.connection() as conn:
        row: Any = conn.execute(
            "SELECT pg_try_advisory_lock(%s, hashtext(%s)) AS mine", (_LOCK, job)
        ).fetchone()
    try:
        yield row.mine
    finally:
        if row.mine and not conn.closed:
            conn.execute("SELECT pg_advisory_unlock(%s, hashtext(%s))", (_LOCK, job))


def claim_due(
    db: Database, job: Job, zone: ZoneInfo, now: datetime, by: str, lease_s: int = LEASE_S
) -> Run | None:
    """Take the run of the turn that `now` is in, where it is still to be done; None where it isn't, or is in hand.

    Also None for a paused job. Marks dead runs as lost.
    """
    turn = turn_of(job, zone, now)
    with db.connection() as conn, conn.transaction():
        conn.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", (_LOCK + 1, job.name))
        lost = _bury(conn, job.name, job.longest_s, now)
        rows = conn.execute(
            "SELECT due_at, state, asked_by, finished_at, error FROM job_run WHERE job = %s"
            " AND ((due_at >= %s AND due_at < %s) OR state = 'running') ORDER BY due_at",
            (job.name, turn.due_at, turn.until),
        ).fetchall()
        if _is_paused(conn, job.name) or any(row.state == "running" for row in rows):
            return None
        tries = [row for row in rows if row.asked_by is None]
        due_at = _due_again(tries, now) if tries else turn.due_at
        if due_at is None:
            return None
        while any(row.due_at == due_at for row in rows):
            due_at += timedelta(microseconds=1)  # somebody asked for a run at this very moment
        taken = conn.execute(
            "INSERT INTO job_run (job, due_at, state, claimed_by, started_at, lease_until)"
            " VALUES (%s, %s, 'running', %s, %s, %s) ON CONFLICT DO NOTHING RETURNING job",
            (job.name, due_at, by, now, now + timedelta(seconds=lease_s)),
        ).fetchone()
    return Run(job.name, due_at, by, lost) if taken is not None else None


def _due_again(tries: list[Any], now: datetime) -> datetime | None:
    """When a turn that was tried before falls due again; None where it was done, or was tried often enough."""
    last = tries[-1]
    counted = [one for one in tries if one.error != LET_GO]
    if last.state not in ("lost", "failed") or len(counted) >= MAX_TRIES:
        return None
    if last.state == "failed" and now - last.finished_at < timedelta(seconds=AGAIN_S):
        return None
    again: datetime = max(now, last.due_at + timedelta(microseconds=1))
    return again


def asked_jobs(db: Database) -> list[str]:
    """The jobs that somebody asked for, and that nobody has begun."""
    with db.connection() as conn:
        return [row.job for row in conn.execute("SELECT DISTINCT job FROM job_run WHERE state = 'asked'")]


def claim_asked(db: Database, job: str, now: datetime, by: str, lease_s: int = LEASE_S) -> Run | None:
    """Take a run that somebody asked for, paused or not; None where there is none, or the job is being done."""
    with db.connection() as conn, conn.transaction():
        conn.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", (_LOCK + 1, job))
        lost = _bury(conn, job, find_job(job).longest_s, now)
        row: Any = conn.execute(
            "UPDATE job_run SET state = 'running', claimed_by = %(by)s, started_at = %(now)s, lease_until = %(until)s"
            " WHERE job = %(job)s AND state = 'asked' AND due_at = ("
            "  SELECT min(due_at) FROM job_run WHERE job = %(job)s AND state = 'asked')"
            " AND NOT EXISTS (SELECT 1 FROM job_run WHERE job = %(job)s AND state = 'running') RETURNING due_at",
            {"job": job, "by": by, "now": now, "until": now + timedelta(seconds=lease_s)},
        ).fetchone()
    return None if row is None else Run(job, row.due_at, by, lost)


def _bury(conn: psycopg.Connection[Any], job: str, longest_s: int, now: datetime) -> int:
    """Mark the runs of a job as lost whose process stopped prolonging their lease; how many there were."""
    return conn.execute(
        "UPDATE job_run SET state = 'lost', finished_at = %(now)s, lease_until = NULL, error = CASE"
        " WHEN lease_until >= started_at + %(longest)s THEN 'It ran for too long and was given up.'"
        " ELSE 'The process that ran it ended without a word.' END"
        " WHERE job = %(job)s AND state = 'running' AND lease_until <= %(now)s",
        {"job": job, "longest": timedelta(seconds=longest_s), "now": now},
    ).rowcount


def extend(db: Database, run: Run, now: datetime, lease_s: int = LEASE_S) -> bool:
    """Prolong the lease of a run; False where it is no longer this process's."""
    return _change(db, run, "lease_until = %(until)s", until=now + timedelta(seconds=lease_s))


def finish(db: Database, run: Run, now: datetime, result: Mapping[str, Any]) -> bool:
    """The run is done. `result`: plain values. False where it was taken for lost meanwhile."""
    change = "state = 'done', finished_at = %(now)s, lease_until = NULL, result = %(result)s"
    return _change(db, run, change, now=now, result=Jsonb(dict(result)))


def fail(db: Database, run: Run, now: datetime, error: str) -> bool:
    """The run failed; `error` says why in one sentence. False where it was taken for lost meanwhile."""
    change = "state = 'failed', finished_at = %(now)s, lease_until = NULL, error = %(error)s"
    return _change(db, run, change, now=now, error=error)


def let_go(db: Database, run: Run, now: datetime) -> bool:
    """This process must end before the run does: somebody else begins it again, at once."""
    change = "state = 'lost', finished_at = %(now)s, lease_until = NULL, error = %(error)s"
    return _change(db, run, change, now=now, error=LET_GO)


def _change(db: Database, run: Run, change: str, **values: Any) -> bool:
    with db.connection() as conn:
        done = conn.execute(
            f"UPDATE job_run SET {change} WHERE job = %(job)s AND due_at = %(due_at)s AND state = 'running'"
            " AND claimed_by = %(by)s RETURNING 1",
            {"job": run.job, "due_at": run.due_at, "by": run.claimed_by, **values},
        ).fetchone()
    return done is not None


def sum_up(
    db: Database, job: str, now: datetime, by: str, seconds: float, result: Mapping[str, Any] | None
) -> None:
    """Add one run of a frequent job to the row of its quarter of an hour; None for one that found nothing to do."""
    quarter = _quarter(now)
    with db.connection() as conn, conn.transaction():
        conn.execute(
            "INSERT INTO job_run (job, due_at, state, claimed_by, started_at, finished_at, result)"
            " VALUES (%s, %s, 'done', %s, %s, %s, %s) ON CONFLICT DO NOTHING",
            (job, quarter, by, now, now, Jsonb({"runs": 0, "ms": 0})),
        )
        if result is None:
            return
        row: Any = conn.execute(
            "SELECT result FROM job_run WHERE job = %s AND due_at = %s FOR UPDATE", (job, quarter)
        ).fetchone()
        added = _added(row.result or {}, {**result, "runs": 1, "ms": round(seconds * 1000)})
        conn.execute(
            "UPDATE job_run SET result = %s, finished_at = %s, claimed_by = %s WHERE job = %s AND due_at = %s",
            (Jsonb(added), now, by, job, quarter),
        )


def sum_up_failure(db: Database, job: str, now: datetime, by: str, error: str) -> None:
    """Keep that a frequent job failed: a row of its own, or one more time in that of the same failure this quarter.

    Once there are `FAILURES` rows, any other failure counts in the newest, which takes its words.
    """
    quarter = _quarter(now)
    with db.connection() as conn, conn.transaction():
        failed = conn.execute(
            "SELECT due_at, error FROM job_run WHERE job = %s AND due_at > %s AND state = 'failed'"
            " AND asked_by IS NULL ORDER BY due_at DESC FOR UPDATE",
            (job, quarter),
        ).fetchall()
        same = [row.due_at for row in failed if row.error == error]
        if not same and len(failed) >= FAILURES:
            same = [failed[0].due_at]
        if same:
            conn.execute(
                "UPDATE job_run SET finished_at = %s, error = %s,"
                " result = jsonb_build_object('times', (result->>'times')::int + 1) WHERE job = %s AND due_at = %s",
                (now, error, job, same[0]),
            )
            return
        at = max(now, quarter + timedelta(microseconds=1))
        conn.execute(
            "INSERT INTO job_run (job, due_at, state, claimed_by, started_at, finished_at, result, error)"
            " VALUES (%s, %s, 'failed', %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
            (job, at, by, now, now, Jsonb({"times": 1}), error),
        )


def _added(before: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers are summed; of anything else the newest counts."""
    sums = dict(before)
    for name, value in more.items():
        both = isinstance(value, int) and isinstance(sums.get(name), int)
        sums[name] = sums[name] + value if both else value
    return sums


def _quarter(now: datetime) -> datetime:
    return now - timedelta(seconds=now.timestamp() % QUARTER_S)


def hung(session: Session, now: datetime) -> list[tuple[str, datetime]]:
    """The runs that take longer than their job may, though their process may be alive: the job, and when it began."""
    rows = session.execute(
        _HUNG, {"jobs": list(JOBS), "longest": [job.longest_s for job in JOBS.values()], "now": now}
    )
    return [(row.job, row.started_at) for row in rows]


_HUNG = text(
    """
    SELECT run.job, run.started_at
    FROM job_run run JOIN unnest(CAST(:jobs AS text[]), CAST(:longest AS int[])) AS most (job, longest_s) USING (job)
    WHERE run.state = 'running' AND run.started_at <= :now - make_interval(secs => most.longest_s) ORDER BY run.job
    """
)


# --- what a job keeps between its runs, and whether it is paused ---


def mark_of(session: Session, job: str) -> dict[str, Any]:
    """What a job has kept; empty at first."""
    return session.scalar(select(JobState.mark).where(JobState.job == job)) or {}


def keep_mark(session: Session, job: str, mark: dict[str, Any]) -> None:
    """Keep something until the next run, in the caller's transaction."""
    kept = insert(JobState).values(job=job, mark=mark)
    session.execute(
        kept.on_conflict_do_update(index_elements=[JobState.job], set_={"mark": kept.excluded.mark})
    )


def paused_jobs(db: Database) -> set[str]:
    """The names of the jobs that somebody paused."""
    with db.connection() as conn:
        return {row.job for row in conn.execute("SELECT job FROM job_state WHERE paused_at IS NOT NULL")}


def _is_paused(conn: psycopg.Connection[Any], job: str) -> bool:
    paused = "SELECT 1 FROM job_state WHERE job = %s AND paused_at IS NOT NULL"
    return conn.execute(paused, (job,)).fetchone() is not None


# --- for pages ---

_LATER = aliased(JobRun)
_NEWEST = select(func.max(_LATER.due_at)).where(_LATER.job == JobRun.job).correlate(JobRun).scalar_subquery()


def overview(db: Database, now: datetime) -> list[JobLine]:
    """Every job with its last run and its next."""
    with db.begin() as session:
        zone = zone_of(settings.load(session))
        newest = select(JobRun).where(JobRun.due_at == _NEWEST)
        last = {run.job: _view(run) for run in session.scalars(newest)}
        states = {state.job: state for state in session.scalars(select(JobState))}
    lines = []
    for name, job in JOBS.items():
        state = states.get(name)
        paused_at = state.paused_at if state else None
        next_due = None if paused_at else turn_of(job, zone, now).until
        lines.append(JobLine(job, last.get(name), next_due, paused_at, state.paused_by if state else None))
    return lines


def history(db: Database, job: str, limit: int = 50, before: datetime | None = None) -> list[RunView]:
    """The runs of a job, newest first; `before` the due time of the last one seen goes on from there."""
    runs = select(JobRun).where(JobRun.job == job).order_by(JobRun.due_at.desc()).limit(limit)
    if before is not None:
        runs = runs.where(JobRun.due_at < before)
    with db.begin() as session:
        return [_view(run) for run in session.scalars(runs)]


def _view(run: JobRun) -> RunView:
    result = dict(run.result or {})
    summed = {"runs", "ms"} <= result.keys()
    seconds = None
    if summed:
        seconds = result.pop("ms") / 1000
    elif run.started_at is not None and run.finished_at is not None:
        seconds = (run.finished_at - run.started_at).total_seconds()
    return RunView(
        run.job,
        run.due_at,
        run.state,
        run.asked_by,
        run.claimed_by,
        run.started_at,
        run.finished_at,
        seconds,
        result,
        run.error,
        summed,
    )
