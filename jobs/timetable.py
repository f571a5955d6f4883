"""What runs when. Only the process that leads runs it; each entry may be run twice or at once without harm.

An entry that comes due while its last run goes on, or while nobody leads, is not run twice over: the next run does all
that is due, since each looks at the time and not at a list of missed turns.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from apscheduler.events import EVENT_JOB_MAX_INSTANCES, EVENT_JOB_SUBMITTED, JobSubmissionEvent
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

from engine import limits
from engine.actor import SYSTEM
from engine.calls.sweep import sweep
from engine.cards import tokens
from engine.db import Database
from engine.migrations.partitions import ensure_partitions
from engine.people import sessions
from engine.stock.shredding import shred_due
from jobs.logs import described

DAY_S = 86_400
_SWEEP_LIMIT = 500
_THREADS = 4

Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Entry:
    """Something to be done every `every_s` seconds. `run` returns what it found, for the log."""

    name: str
    every_s: int
    run: Callable[[Database, Clock], Mapping[str, Any]]


def sweep_calls(db: Database, clock: Clock) -> dict[str, Any]:
    """End the calls whose end never came, until none is overdue; warns for each switch that lost some."""
    settled = voided = failed = 0
    switches: dict[int, int] = {}
    while True:
        swept = sweep(db, clock(), _SWEEP_LIMIT)
        settled, voided, failed = settled + swept.settled, voided + swept.voided, failed + swept.failed
        for switch, calls in swept.switches.items():
            switches[switch] = switches.get(switch, 0) + calls
        if swept.seen < _SWEEP_LIMIT or not swept.settled + swept.voided:
            break
    for switch, calls in switches.items():
        structlog.get_logger("jobs.timetable").warning("calls_without_end", switch=switch, calls=calls)
    return {"settled": settled, "voided": voided, "failed": failed}


def make_partitions(db: Database, clock: Clock) -> dict[str, Any]:
    """Make the tables of the coming months, long before the first row needs one."""
    with db.engine.begin() as connection:
        ensure_partitions(connection, clock())
    return {}


def shred_batches(db: Database, clock: Clock) -> dict[str, Any]:
    """Destroy the keys of batches whose passwords were to be readable only so long."""
    return {"batches": shred_due(db, SYSTEM, clock())}


def prune_tokens(db: Database, clock: Clock) -> dict[str, Any]:
    """Delete card tokens that are dead."""
    return {"deleted": _until_none(lambda: tokens.prune(db, clock()))}


def prune_failures(db: Database, clock: Clock) -> dict[str, Any]:
    """Delete counters of failures that lie long ago."""

    def prune() -> int:
        with db.begin() as session:
            return limits.prune(session, clock())

    return {"deleted": _until_none(prune)}


def prune_sessions(db: Database, clock: Clock) -> dict[str, Any]:
    """Delete log-ins that are over."""
    return {"deleted": sessions.prune(db, clock())}


TIMETABLE = (
    Entry("sweep", 15, sweep_calls),
    Entry("partitions", DAY_S, make_partitions),
    Entry("shredding", DAY_S, shred_batches),
    Entry("tokens", 600, prune_tokens),
    Entry("failures", 3600, prune_failures),
    Entry("sessions", 3600, prune_sessions),
)


class Timetable:
    """Runs the entries while this process leads."""

    def __init__(self, db: Database, clock: Clock, entries: tuple[Entry, ...] = TIMETABLE) -> None:
        self._db, self._clock = db, clock
        self._entries = {entry.name: entry for entry in entries}
        self._stopped = False
        self._log = structlog.get_logger("jobs.timetable")
        self._scheduler = BackgroundScheduler(
            timezone=UTC,
            executors={"default": ThreadPoolExecutor(_THREADS)},
            # Late is better than not at all, and once is enough.
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )
        for entry in entries:
            self._scheduler.add_job(
                self._run,
                "interval",
                [entry],
                seconds=entry.every_s,
                id=entry.name,
            )
        self._scheduler.add_listener(self._told, EVENT_JOB_SUBMITTED | EVENT_JOB_MAX_INSTANCES)
        self._scheduler.start(paused=True)

    def lead(self) -> None:
        """Run everything once, and then each entry in its time."""
        for name in self._entries:
            self._scheduler.modify_job(name, next_run_time=datetime.now(UTC))
        self._scheduler.resume()

    def follow(self) -> None:
        """Begin nothing more; what runs goes on to its end."""
        self._scheduler.pause()

    def stop(self) -> None:
        """Begin nothing more, for good."""
        self._stopped = True
        self._scheduler.shutdown(wait=False)

    def _run(self, entry: Entry) -> None:
        began = time.monotonic()
        try:
            found = entry.run(self._db, self._clock)
        except Exception as error:
            if self._stopped:
                return  # its connection was closed under it
            self._log.error("run_failed", job=entry.name, **described(error))
            self._db.forget_lost_links()
        else:
            seconds = round(time.monotonic() - began, 1)
            log = self._log.info if any(found.values()) else self._log.debug
            log("run_done", job=entry.name, seconds=seconds, **found)

    def _told(self, event: JobSubmissionEvent) -> None:
        entry = self._entries[event.job_id]
        if event.code == EVENT_JOB_MAX_INSTANCES:
            self._log.warning("run_missed", job=entry.name, reason="its last run has not ended")
            return
        late = datetime.now(UTC) - event.scheduled_run_times[0]
        if late > timedelta(seconds=entry.every_s):
            seconds = int(late.total_seconds())
            self._log.warning(
                "run_late", job=entry.name, reason="the machine slept or was busy", seconds=seconds
            )


def _until_none(prune: Callable[[], int]) -> int:
    deleted = 0
    while some := prune():
        deleted += some
    return deleted
