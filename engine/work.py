"""Background work: rows that any process may claim, with progress, result and failure.

Whoever claims a row holds a lease on it, which `report` and `extend` prolong. A process that is killed stops doing so;
after the lease another one claims the row and goes on where the handler's own tables say. Each claim has a name of its
own, and nothing is written under a claim that was lost: of two who think they hold a row, one finds out.

A handler is registered under its kind in `HANDLERS`. It commits its steps itself, each with `report` in the same
transaction where it can, and must be able to go on after a kill at any point. It returns what it found out (plain
values for JSON, never a secret, never a card number) or None, or raises an `EngineError`.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import psycopg
from psycopg.types.json import Jsonb
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from engine.actor import Actor
from engine.db import Database
from engine.errors import Conflict, EngineError, NotFound
from engine.messages import sentence
from engine.schema import Work
from engine.vault import Vault

LEASE_S = 60
MAX_ATTEMPTS = 5
"""Claims in a row that ended without a word and without progress; after these a row is given up, not tried for ever."""


class Stopped(EngineError):
    """The handler must end now and undo its open transaction: work_cancelled, work_lost or work_interrupted."""


@dataclass(slots=True)
class Claimed:
    """A row of work in the hands of one process. `progress` and `total` are those of the last report."""

    id: int
    kind: str
    params: dict[str, Any]
    claim: str
    progress: int = 0
    total: int | None = None
    attempts: int = 1
    """Claims since the work last got on, this one included."""
    on_progress: Callable[[int, int | None], None] | None = field(default=None, repr=False)
    interrupted: bool = False
    """Set by the process that wants to end: the next report raises `Stopped("work_interrupted")`."""


Handler = Callable[[Database, Vault, Claimed, Callable[[], datetime]], Mapping[str, Any] | None]

HANDLERS: dict[str, Handler] = {}
"""What does the work of each kind; filled by the modules that own the kinds."""


@dataclass(frozen=True, slots=True)
class WorkView:
    """Work as it may be shown. `failure` is one sentence where `state` is `failed`, with its `code`.

    `abandoned`: it runs by name, but whoever held it is gone; the next process to look takes it.
    """

    id: int
    kind: str
    state: str
    progress: int
    total: int | None
    result: dict[str, Any] | None
    code: str | None
    failure: str | None
    created_by: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    cancel_requested: bool
    abandoned: bool

    @property
    def finished(self) -> bool:
        """Whether nobody will work on it any more by itself."""
        return self.state in ("done", "failed", "cancelled")


def enqueue(
    session: Session,
    kind: str,
    params: dict[str, Any],
    actor: Actor,
    now: datetime,
    total: int | None = None,
) -> int:
    """Leave work in the caller's transaction; returns its id. `params`: plain values, never a secret."""
    row = Work(kind=kind, params=params, state="queued", total=total, created_by=str(actor), created_at=now)
    session.add(row)
    session.flush()
    return row.id


def find_work(db: Database, work_id: int, now: datetime) -> WorkView:
    """One row as it stands. Raises `NotFound("work_not_found")`."""
    with db.begin() as session:
        row = session.get(Work, work_id)
        if row is None:
            raise NotFound("work_not_found", id=work_id)
        return view_of(row, now)


def view_of(row: Work, now: datetime) -> WorkView:
    """A row that was read already, as it may be shown."""
    code, _, words = (row.error or "").partition(": ")
    return WorkView(
        id=row.id,
        kind=row.kind,
        state=row.state,
        progress=row.progress,
        total=row.total,
        result=row.result,
        code=code or None,
        failure=words or None,
        created_by=row.created_by,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        cancel_requested=row.cancel_requested,
        abandoned=row.lease_until is not None and row.lease_until <= now,
    )


_FREE = """
    SELECT id, kind, params, progress, total, state, attempts, cancel_requested FROM work
    WHERE kind = ANY(%(kinds)s) AND state IN ('queued', 'running') AND (%(id)s::bigint IS NULL OR id = %(id)s)
      AND (state = 'queued' OR lease_until <= %(now)s)
    ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED
"""
_TAKE = """
    UPDATE work SET state = 'running', claimed_by = %(claim)s, lease_until = %(lease_until)s,
        attempts = attempts + 1, started_at = coalesce(started_at, %(now)s)
    WHERE id = %(id)s
"""
_END = """
    UPDATE work SET state = %(state)s, error = %(error)s, result = %(result)s, finished_at = %(now)s,
        claimed_by = NULL, lease_until = NULL, progress = coalesce(%(progress)s, progress)
    WHERE id = %(id)s AND state = 'running' AND (%(claim)s::text IS NULL OR claimed_by = %(claim)s)
    RETURNING id
"""
_REPORT = """
    UPDATE work SET lease_until = %(lease_until)s, progress = coalesce(%(progress)s, progress),
        total = coalesce(%(total)s, total),
        attempts = CASE WHEN %(progress)s > progress THEN 1 ELSE attempts END
    WHERE id = %(id)s AND state = 'running' AND claimed_by = %(claim)s AND NOT cancel_requested
    RETURNING id
"""


def claim(
    db: Database,
    worker: str,
    kinds: Iterable[str],
    now: datetime,
    lease_s: int = LEASE_S,
    *,
    work_id: int | None = None,
) -> Claimed | None:
    """Take the oldest row that nobody holds, or that of `work_id`; None where there is none.

    However many ask at once, each row goes to one of them. `worker` tells a reader of the table who has it.
    """
    asked = {"kinds": list(kinds), "id": work_id, "now": now}
    with db.connection() as conn:
        while True:
            with conn.transaction():
                row: Any = conn.execute(_FREE, asked).fetchone()
                if row is None:
                    return None
                if not _ended_otherwise(conn, row, now):
                    name = f"{worker}/{secrets.token_hex(4)}"
                    conn.execute(
                        _TAKE,
                        {
                            "id": row.id,
                            "claim": name,
                            "now": now,
                            "lease_until": now + timedelta(seconds=lease_s),
                        },
                    )
                    attempts = row.attempts + 1
                    return Claimed(row.id, row.kind, row.params, name, row.progress, row.total, attempts)


def report(
    conn: psycopg.Connection[Any],
    claimed: Claimed,
    progress: int,
    now: datetime,
    *,
    total: int | None = None,
    lease_s: int = LEASE_S,
) -> None:
    """Tell how far the work is and prolong the lease, in the transaction of the step that is told of.

    Raises `Stopped`: work_cancelled, work_lost (another has it), work_interrupted (this process wants to end). The
    step's transaction must then be undone.
    """
    if claimed.interrupted:
        raise Stopped("work_interrupted", id=claimed.id)
    _prolong(conn, claimed, now, lease_s, progress=progress, total=total)
    claimed.attempts = 1 if progress > claimed.progress else claimed.attempts
    claimed.progress = progress
    claimed.total = claimed.total if total is None else total
    if claimed.on_progress is not None:
        claimed.on_progress(claimed.progress, claimed.total)


def extend(db: Database, claimed: Claimed, now: datetime, lease_s: int = LEASE_S) -> None:
    """Prolong the lease while a long step runs. Raises `Stopped`: work_cancelled or work_lost."""
    with db.connection() as conn:
        _prolong(conn, claimed, now, lease_s)


def finish(db: Database, claimed: Claimed, now: datetime, result: Mapping[str, Any] | None = None) -> None:
    """The work is done. Raises `Stopped("work_lost")`."""
    found = None if result is None else Jsonb(dict(result))
    _end(db, claimed, "done", now, result=found, progress=claimed.total)


def fail(db: Database, claimed: Claimed, error: EngineError, now: datetime) -> None:
    """The work cannot be done; the code and its sentence are kept. Raises `Stopped("work_lost")`."""
    _end(db, claimed, "failed", now, error=f"{error.code}: {sentence(error)}")


def mark_cancelled(db: Database, claimed: Claimed, now: datetime) -> None:
    """The handler has stopped because somebody cancelled the work. Raises `Stopped("work_lost")`."""
    _end(db, claimed, "cancelled", now)


def release(db: Database, claimed: Claimed, *, count: bool = False) -> bool:
    """Put the row back for anybody to go on with; returns False where this claim was lost already.

    `count`: this was a failed attempt; otherwise it is as if it had not been tried.
    """
    with db.connection() as conn:
        released = conn.execute(
            "UPDATE work SET state = 'queued', claimed_by = NULL, lease_until = NULL,"
            " attempts = CASE WHEN %s THEN attempts ELSE 0 END"
            " WHERE id = %s AND state = 'running' AND claimed_by = %s RETURNING id",
            (count, claimed.id, claimed.claim),
        ).fetchone()
    return released is not None


def cancel(session: Session, work_id: int, actor: Actor, now: datetime) -> bool:
    """Ask for work to end, in the caller's transaction; returns whether it was not over already.

    What nobody has begun is over at once; what runs ends at its handler's next report.
    Raises `NotFound("work_not_found")`. The caller records it.
    """
    row = _locked(session, work_id)
    if row.state not in ("queued", "running"):
        return False
    row.cancel_requested = True
    if row.lease_until is None or row.lease_until <= now:
        row.state, row.finished_at, row.lease_until, row.claimed_by = "cancelled", now, None, None
    return True


def resume(session: Session, work_id: int, actor: Actor, now: datetime) -> None:
    """Queue failed or cancelled work again, in the caller's transaction; its handler goes on where it was.

    Raises `NotFound("work_not_found")`, `Conflict("work_not_stopped")`. The caller records it.
    """
    row = _locked(session, work_id)
    if row.state not in ("failed", "cancelled"):
        raise Conflict("work_not_stopped", id=work_id)
    session.execute(
        update(Work)
        .where(Work.id == work_id)
        .values(state="queued", error=None, finished_at=None, cancel_requested=False, attempts=0)
    )


def _ended_otherwise(conn: psycopg.Connection[Any], row: Any, now: datetime) -> bool:
    """End a row whose holder is gone and which must not be taken up: cancelled meanwhile, or given up."""
    if row.state != "running":
        return False
    if row.cancel_requested:
        state, error = "cancelled", None
    elif row.attempts >= MAX_ATTEMPTS:
        state, error = "failed", f"work_given_up: {sentence('work_given_up', attempts=row.attempts)}"
    else:
        return False
    ended = {"id": row.id, "claim": None, "state": state, "error": error, "now": now}
    conn.execute(_END, {**ended, "result": None, "progress": None})
    return True


def _prolong(
    conn: psycopg.Connection[Any],
    claimed: Claimed,
    now: datetime,
    lease_s: int,
    *,
    progress: int | None = None,
    total: int | None = None,
) -> None:
    values = {
        "id": claimed.id,
        "claim": claimed.claim,
        "lease_until": now + timedelta(seconds=lease_s),
        "progress": progress,
        "total": total,
    }
    if conn.execute(_REPORT, values).fetchone() is None:
        held = conn.execute(
            "SELECT 1 FROM work WHERE id = %s AND state = 'running' AND claimed_by = %s",
            (claimed.id, claimed.claim),
        ).fetchone()
        raise Stopped("work_lost" if held is None else "work_cancelled", id=claimed.id)


def _end(
    db: Database,
    claimed: Claimed,
    state: str,
    now: datetime,
    *,
    error: str | None = None,
    result: Jsonb | None = None,
    progress: int | None = None,
) -> None:
    values = {"id": claimed.id, "claim": claimed.claim, "state": state, "now": now}
    with db.connection() as conn:
        ended = conn.execute(_END, {**values, "error": error, "result": result, "progress": progress})
        if ended.fetchone() is None:
            raise Stopped("work_lost", id=claimed.id)


def _locked(session: Session, work_id: int) -> Work:
    row = session.scalar(select(Work).where(Work.id == work_id).with_for_update())
    if row is None:
        raise NotFound("work_not_found", id=work_id)
    return row
