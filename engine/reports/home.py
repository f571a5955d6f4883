"""What needs a person, and how far a new installation is set up: what the console's first page begins with."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from engine import alarms, jobruns
from engine.actor import Actor
from engine.calls import reviews
from engine.calls.trial import SWITCH as TRIALS
from engine.cards.names import actor_names
from engine.db import Database
from engine.people import consents
from engine.permissions import may
from engine.reports import alarmwords
from engine.reports.alarmwords import AlarmTold
from engine.reports.worklist import WorkLine, failed_work
from engine.timetable import JOBS, Job

SHOWN = 5
"""So many of each kind are named; how many there are is said."""
SOON = timedelta(days=3)
"""So long before its passwords are shredded by rule a batch is told of."""
STUCK = timedelta(minutes=10)
"""A call that the sweep has left alone for so long after it was due holds its card's money for nothing."""
ASLEEP = timedelta(minutes=31)
"""Frequent jobs leave a row in every quarter of an hour; without one for two of them nothing runs."""
UNBEGUN = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Listed:
    """Some of what waits: the first `SHOWN`, and how many there are in all (at most; one more says: or more)."""

    items: tuple[Any, ...] = ()
    count: int = 0


@dataclass(frozen=True, slots=True)
class ToShred:
    """A batch whose passwords can still be read though they were handed out (`issued`), or soon no more (`at`)."""

    id: int
    name: str
    cards: int
    issued: bool
    at: datetime | None


@dataclass(frozen=True, slots=True)
class PausedJob:
    """A job that somebody paused: `by` is a name that people know."""

    job: Job
    since: datetime
    by: str


@dataclass(frozen=True, slots=True)
class HungJob:
    """A run that takes longer than its job may."""

    job: Job
    since: datetime


@dataclass(frozen=True, slots=True)
class Waiting:
    """All that needs this person now, of what they may see and do.

    `asleep`: nothing has run in the background since `asleep_since` (None: never), so nothing of this mends itself.
    `flagged` counts calls nobody has resolved, `stuck` calls that hold money though they are over.
    """

    alarms: Listed = field(default_factory=Listed)
    flagged: int = 0
    failed: Listed = field(default_factory=Listed)
    shred: Listed = field(default_factory=Listed)
    consents: int = 0
    hung: tuple[HungJob, ...] = ()
    paused: tuple[PausedJob, ...] = ()
    stuck: int = 0
    asleep: bool = False
    asleep_since: datetime | None = None

    @property
    def nothing(self) -> bool:
        """Whether nobody is needed."""
        return self == Waiting()


def waiting(db: Database, actor: Actor, now: datetime) -> Waiting:
    """What needs `actor`: alarms, flagged calls, failed work, batches to shred, consents, jobs, holds left behind."""
    found: dict[str, Any] = {}
    if may(actor, "call.resolve"):
        found["flagged"] = reviews.open_count(db, now)
    if may(actor, "consent.decide"):
        found["consents"] = sum(one.asked_by != str(actor) for one in consents.list_open(db, now))
    if may(actor, "jobs.see"):
        found["alarms"] = _alarms(db)
    with db.begin() as session:
        if may(actor, "batch.shred"):
            found["shred"] = _to_shred(session, now)
        if may(actor, "call.end"):
            found["stuck"] = session.scalar(_STUCK, {"before": now - STUCK})
        if may(actor, "jobs.see"):
            found |= _background(session, now)
    return Waiting(**found)


def _alarms(db: Database) -> Listed:
    """Open alarms, but of what is told with its own next step."""
    open_ones = [one for one in alarms.open_alarms(db) if one.kind not in ("work_failed", "job_hung")]
    told: tuple[AlarmTold, ...] = tuple(alarmwords.told(one) for one in open_ones[:SHOWN])
    return Listed(told, len(open_ones))


_STUCK = text("SELECT count(*) FROM call WHERE sweep_after <= :before")
_SHRED = text(
    """
    SELECT b.id, b.name, b.count AS cards, k.shred_after, count(*) OVER () AS of,
        EXISTS (SELECT 1 FROM export_run r WHERE r.batch_id = b.id AND r.with_passwords)
            OR EXISTS (SELECT 1 FROM card c WHERE c.id IN (b.first_id, b.last_id) AND c.printed_at IS NOT NULL)
            AS issued
    FROM batch_key k JOIN batch b ON b.id = k.batch_id
    WHERE k.wrapped IS NOT NULL AND b.ready_at IS NOT NULL AND b.discarded_at IS NULL AND (
        k.shred_after <= :soon
        OR EXISTS (SELECT 1 FROM export_run r WHERE r.batch_id = b.id AND r.with_passwords)
        OR EXISTS (SELECT 1 FROM card c WHERE c.id IN (b.first_id, b.last_id) AND c.printed_at IS NOT NULL)
    )
    ORDER BY b.id LIMIT :most
    """
)


def _to_shred(session: Session, now: datetime) -> Listed:
    rows = session.execute(_SHRED, {"soon": now + SOON, "most": SHOWN}).all()
    items = tuple(ToShred(row.id, row.name, row.cards, row.issued, row.shred_after) for row in rows)
    return Listed(items, rows[0].of if rows else 0)


_PAUSED = text("SELECT job, paused_at, paused_by FROM job_state WHERE paused_at IS NOT NULL ORDER BY job")
_LAST_RUN = text("SELECT max(due_at) FROM job_run WHERE job = 'watch'")
_UNBEGUN = text(
    "SELECT 1 FROM work WHERE state = 'queued' AND attempts = 0 AND created_at <= :before LIMIT 1"
)


def _background(session: Session, now: datetime) -> dict[str, Any]:
    failed: list[WorkLine] = failed_work(session, now, SHOWN + 1)
    paused = [row for row in session.execute(_PAUSED) if row.job in JOBS]
    names = actor_names(session, (row.paused_by for row in paused))
    last: datetime | None = session.scalar(_LAST_RUN)
    if last is not None:
        asleep = now - last > ASLEEP
    else:
        asleep = session.scalar(_UNBEGUN, {"before": now - UNBEGUN}) is not None
    return {
        "failed": Listed(tuple(failed[:SHOWN]), len(failed)),
        "hung": tuple(HungJob(JOBS[job], since) for job, since in jobruns.hung(session, now)),
        "paused": tuple(PausedJob(JOBS[row.job], row.paused_at, names[row.paused_by]) for row in paused),
        "asleep": asleep,
        "asleep_since": last if asleep else None,
    }


@dataclass(frozen=True, slots=True)
class Setup:
    """How far a new installation is: whether it has rates, a ready batch, a switch of its own and a first call."""

    deck: bool
    batch: bool
    switch: bool
    call: bool
    batch_id: int | None

    @property
    def done(self) -> bool:
        """Whether nothing of it is left to do."""
        return self.deck and self.batch and self.switch and self.call


_SETUP = text(
    """
    SELECT EXISTS (SELECT 1 FROM deck_version) AS deck,
        EXISTS (SELECT 1 FROM batch WHERE kind = 'calling' AND ready_at IS NOT NULL AND discarded_at IS NULL) AS batch,
        EXISTS (SELECT 1 FROM switch WHERE revoked_at IS NULL AND name <> :trials) AS switch,
        EXISTS (SELECT 1 FROM call) OR EXISTS (SELECT 1 FROM cdr) AS call,
        (SELECT max(id) FROM batch WHERE ready_at IS NULL AND discarded_at IS NULL) AS batch_id
    """
)


def setup(db: Database) -> Setup:
    """What a new installation has and lacks. `batch_id`: the newest batch that is not ready yet."""
    with db.begin() as session:
        row = session.execute(_SETUP, {"trials": TRIALS}).one()
        return Setup(*row)
