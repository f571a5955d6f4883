"""What a person does with the timetable: run a job now, pause it, let it go on."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from engine.actor import Actor
from engine.db import Database, reruns
from engine.names import checked_reason
from engine.people import audit
from engine.permissions import command
from engine.schema import JobRun, JobState
from engine.timetable import find_job


@command("job.run")
@reruns
def run_now(db: Database, *, job: str, reason: str | None = None, actor: Actor, now: datetime) -> datetime:
    """Ask for a run of a job, paused or not; the leading process begins it within a second. Returns its due time.

    Where one is asked for and not begun, that is the one. Raises `NotFound` ("job_not_found") and what `checked_reason`
    raises.
    """
    find_job(job)
    why = checked_reason(reason)
    with db.begin() as session:
        _take_turns(session, job)
        runs = select(JobRun.due_at).where(JobRun.job == job, JobRun.asked_by.is_not(None))
        asked = session.scalar(runs.where((JobRun.state == "asked") | (JobRun.due_at == now)))
        if asked is not None:
            return asked
        due_at = now
        while session.get(JobRun, (job, due_at)) is not None:
            due_at += timedelta(microseconds=1)  # its turn fell due at this very moment
        session.add(JobRun(job=job, due_at=due_at, state="asked", asked_by=str(actor)))
        audit.record(session, actor, "job.run", f"job:{job}", now, reason=why)
        return due_at


@command("job.pause")
@reruns
def pause(db: Database, *, job: str, reason: str | None = None, actor: Actor, now: datetime) -> bool:
    """Let a job's turns pass until it is continued; a run that has begun ends. Returns whether it was not paused.

    Raises `NotFound` ("job_not_found") and what `checked_reason` raises.
    """
    why = checked_reason(reason)
    with db.begin() as session:
        state = _state(session, job)
        if state.paused_at is not None:
            return False
        state.paused_at, state.paused_by = now, str(actor)
        audit.record(session, actor, "job.pause", f"job:{job}", now, reason=why)
        return True


@command("job.continue")
@reruns
def go_on(db: Database, *, job: str, reason: str | None = None, actor: Actor, now: datetime) -> bool:
    """Let a paused job run again: once at once, if it missed a turn. Returns whether it was paused.

    Raises `NotFound` ("job_not_found") and what `checked_reason` raises.
    """
    why = checked_reason(reason)
    with db.begin() as session:
        state = _state(session, job)
        if state.paused_at is None:
            return False
        since, by = state.paused_at.isoformat(), state.paused_by
        state.paused_at = state.paused_by = None
        audit.record(session, actor, "job.continue", f"job:{job}", now, reason=why, since=since, by=by)
        return True


def _state(session: Session, job: str) -> JobState:
    find_job(job)
    _take_turns(session, job)
    state = session.get(JobState, job)
    if state is None:
        state = JobState(job=job)
        session.add(state)
    return state


def _take_turns(session: Session, job: str) -> None:
    session.execute(
        text("SELECT pg_advisory_xact_lock(hashtext('cardtone job'), hashtext(:job))"), {"job": job}
    )
