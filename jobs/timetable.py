"""Keeps the timetable of `engine.timetable` while this process leads. APScheduler says when to look.

A frequent job is done whenever its interval is over, by one process at a time. For any other it is looked every few
seconds whether its turn is still to be done (`engine.jobruns.claim_due`): so a turn is done once, whoever leads, late
where nobody led, and in its own time where the clock or the zone moved.

A run that takes longer than its job may is an alarm, which a thread of its own raises: the others may all be taken by
such runs. Another process may then do its turn; this one begins the job again only once the run has ended.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from apscheduler.events import EVENT_JOB_MAX_INSTANCES, EVENT_JOB_SUBMITTED, JobSubmissionEvent
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

from engine import alarms, jobruns, settings
from engine.actor import SYSTEM
from engine.db import Database
from engine.faults import described, told
from engine.house import zone_of
from engine.jobruns import LEASE_S, Run
from engine.timetable import JOBS, QUARTER_S, Job
from jobs.tasks import TASKS, Clock, Task, tell_of_hung, watch_runs
from jobs.worker import PASSING, insist, worker_name

LOOK_S = 10
"""How often it is looked whether the turn of a job that is not frequent is to be done."""
OVERSEE_S = 15
"""How often it is looked whether a run takes too long."""
CALM_S = 600
"""How long a frequent job has to do well before the alarm of its failure goes: one that fails now and then has one."""
_MOMENT_S = 0.5
_FREQUENT, _SELDOM = "frequent", "seldom"
_THREADS = {_FREQUENT: 4, _SELDOM: 3}


@dataclass(frozen=True, slots=True)
class Entry:
    """A job and how it is done."""

    job: Job
    run: Task

    @property
    def name(self) -> str:
        return self.job.name


TIMETABLE = tuple(Entry(job, TASKS[name]) for name, job in JOBS.items())


@dataclass(frozen=True, slots=True)
class _Outcome:
    """How a run ended: what it found, or why it failed."""

    seconds: float
    found: Mapping[str, Any]
    error: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Begun:
    """A run of this process that has not ended. `at`: of `time.monotonic`, which stands while the machine sleeps."""

    job: Job
    at: float
    since: datetime


class Timetable:
    """Runs the entries while this process leads."""

    def __init__(
        self, db: Database, clock: Clock, entries: tuple[Entry, ...] = TIMETABLE, *, lease_s: int = LEASE_S
    ) -> None:
        self._db, self._clock, self._lease_s = db, clock, lease_s
        self._entries = {entry.name: entry for entry in entries}
        self._stopping = threading.Event()
        self._by = worker_name()
        self._in_hand: set[Run] = set()
        self._frequent_now: set[str] = set()
        self._begun: set[_Begun] = set()
        self._given_up: list[Run] = []
        self._paused: set[str] = set()
        self._asked: set[str] = set()
        self._sound: set[str] = set()
        self._failed: dict[str, float] = {}
        self._noted: dict[str, int] = {}
        self._reachable = True
        self._log = structlog.get_logger("jobs.timetable")
        self._scheduler = BackgroundScheduler(
            timezone=UTC,
            executors={name: ThreadPoolExecutor(count) for name, count in _THREADS.items()},
            # Late is better than not at all, and once is enough.
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )
        for entry in entries:
            self._scheduler.add_job(
                self._look,
                "interval",
                [entry],
                seconds=_interval(entry),
                id=entry.name,
                executor=_executor(entry),
            )
        self._scheduler.add_listener(self._told, EVENT_JOB_SUBMITTED | EVENT_JOB_MAX_INSTANCES)
        self._scheduler.start(paused=True)
        self._oversight = threading.Thread(target=self._oversee, name="oversight", daemon=True)
        self._oversight.start()

    def lead(self) -> None:
        """Look at everything once, and then at each entry in its time."""
        self._sound.clear()
        self._noted.clear()
        for name in self._entries:
            self._scheduler.modify_job(name, next_run_time=datetime.now(UTC))
        self._scheduler.resume()

    def follow(self) -> None:
        """Begin nothing more; what runs goes on to its end."""
        self._scheduler.pause()

    def poll(self) -> None:
        """Begin what somebody asked for, and learn what is paused. For whoever leads, about twice a second."""
        self._paused = jobruns.paused_jobs(self._db)
        for name in jobruns.asked_jobs(self._db):
            entry = self._entries.get(name)
            if entry is not None and name not in self._asked:
                self._asked.add(name)
                self._scheduler.add_job(self._look_for_asked, args=[entry], executor=_executor(entry))

    def gave_up(self) -> bool:
        """Whether a run was given up since this was last asked, so that another process should have a try."""
        given_up, self._given_up = self._given_up, []
        return bool(given_up)

    def stop(self, wait_s: float = 0.5) -> None:
        """Begin nothing more, for good; a run that takes longer is left for others to begin again."""
        self._stopping.set()
        self._scheduler.shutdown(wait=False)
        deadline = time.monotonic() + wait_s
        while (self._in_hand or self._frequent_now) and time.monotonic() < deadline:
            time.sleep(0.02)
        if self._in_hand:
            # In a thread: a database that doesn't answer must not keep us.
            leaving = threading.Thread(target=self._let_go, daemon=True)
            leaving.start()
            leaving.join(wait_s)
        self._oversight.join(max(wait_s, _MOMENT_S))

    def _let_go(self) -> None:
        for run in list(self._in_hand):
            try:
                jobruns.let_go(self._db, run, self._clock())
            except PASSING as error:
                self._log.warning("run_not_let_go", job=run.job, **described(error))

    def _look(self, entry: Entry) -> None:
        with self._guarded(entry):
            if entry.job.quiet:
                self._frequent(entry)
            else:
                self._turn(entry, lambda: self._claim_due(entry))

    def _look_for_asked(self, entry: Entry) -> None:
        try:
            with self._guarded(entry):
                self._turn(entry, lambda: self._claim_asked(entry))
        finally:
            self._asked.discard(entry.name)

    @contextmanager
    def _guarded(self, entry: Entry) -> Iterator[None]:
        """Whatever comes while looking is told once, mostly that the database is away; the next look tries again."""
        try:
            yield
        except Exception as error:
            if not self._stopping.is_set():
                if self._reachable:
                    self._log.warning("timetable_waits", job=entry.name, **described(error))
                self._reachable = False
                self._db.forget_lost_links()
        else:
            if not self._reachable:
                self._log.info("timetable_goes_on")
            self._reachable = True

    def _frequent(self, entry: Entry) -> None:
        if entry.name in self._paused:
            return
        with jobruns.only_one(self._db, entry.name) as mine:
            if not mine:
                return
            self._frequent_now.add(entry.name)
            try:
                outcome = None if self._stopping.is_set() else self._do(entry)
                if outcome is None:
                    return
                insist(lambda: self._sum_up(entry, outcome), self._lease_s, self._stopping)
                insist(lambda: self._alarm(entry, outcome.error), self._lease_s, self._stopping)
            finally:
                self._frequent_now.discard(entry.name)

    def _sum_up(self, entry: Entry, outcome: _Outcome) -> None:
        now = self._clock()
        if outcome.error is not None:
            jobruns.sum_up_failure(self._db, entry.name, now, self._by, outcome.error)
        else:
            quarter = int(now.timestamp()) // QUARTER_S
            did = any(outcome.found.values())
            if did or self._noted.get(entry.name) != quarter:
                found = outcome.found if did else None
                jobruns.sum_up(self._db, entry.name, now, self._by, outcome.seconds, found)
                self._noted[entry.name] = quarter

    def _claim_due(self, entry: Entry) -> Run | None:
        with self._db.begin() as session:
            zone = zone_of(settings.load(session))
        return jobruns.claim_due(self._db, entry.job, zone, self._clock(), self._by, self._lease_s)

    def _claim_asked(self, entry: Entry) -> Run | None:
        return jobruns.claim_asked(self._db, entry.name, self._clock(), self._by, self._lease_s)

    def _turn(self, entry: Entry, claim: Callable[[], Run | None]) -> None:
        """Claim a run, do it, and write down how it ended."""
        with jobruns.only_one(self._db, entry.name) as mine:
            if not mine or self._stopping.is_set():
                return
            run = claim()
        if run is None:
            return
        if run.lost:
            self._log.warning("run_lost", job=entry.name, runs=run.lost)
        self._in_hand.add(run)
        try:
            with self._keep(entry, run):
                outcome = self._do(entry)
                if outcome is not None:
                    insist(lambda: self._write_down(run, outcome), self._lease_s, self._stopping)
                    insist(lambda: self._alarm(entry, outcome.error), self._lease_s, self._stopping)
        finally:
            self._in_hand.discard(run)

    def _write_down(self, run: Run, outcome: _Outcome) -> None:
        now = self._clock()
        if outcome.error is not None:
            kept = jobruns.fail(self._db, run, now, outcome.error)
        else:
            kept = jobruns.finish(self._db, run, now, outcome.found)
        if not kept:
            self._log.warning("run_was_lost", job=run.job)

    def _alarm(self, entry: Entry, error: str | None) -> None:
        """An alarm for a job that failed, cleared by its next success; of a frequent job, once it has done so a while.

        That for a run which took too long is cleared by its end, however it ends.
        """
        name, now, subject = entry.name, self._clock(), f"job:{entry.name}"
        if error is not None:
            self._sound.discard(name)
            self._failed[name] = time.monotonic()
        elif name in self._sound and entry.job.quiet:
            return
        calm = time.monotonic() - self._failed.get(name, -math.inf) >= CALM_S or not entry.job.quiet
        with self._db.begin() as session:
            alarms.clear_alarm(session, "job_hung", subject, SYSTEM, now)
            if error is not None:
                alarms.raise_alarm(session, "job_failed", subject, now, error=error)
            elif calm:
                alarms.clear_alarm(session, "job_failed", subject, SYSTEM, now)
        if error is None and calm:
            self._sound.add(name)

    def _oversee(self) -> None:
        """Tell of runs that take too long, in this process and in others, until it stops."""
        while not self._stopping.wait(OVERSEE_S):
            try:
                self._tell_of_hung()
            except Exception as error:
                self._log.warning("oversight_waits", **described(error))
                self._db.forget_lost_links()

    def _tell_of_hung(self) -> None:
        now, clock = self._clock(), time.monotonic()
        with self._db.begin() as session:
            for begun in list(self._begun):
                if clock - begun.at < begun.job.longest_s:
                    continue
                self._sound.discard(begun.job.name)  # so that its end clears the alarm
                if tell_of_hung(session, begun.job.name, begun.since, now):
                    self._log.error("run_hangs", job=begun.job.name, seconds=round(clock - begun.at))
            watch_runs(session, now)

    def _do(self, entry: Entry) -> _Outcome | None:
        """Run the task itself; None where it failed because this process is ending."""
        began = time.monotonic()
        begun = _Begun(entry.job, began, self._clock())
        self._begun.add(begun)
        try:
            found = entry.run(self._db, self._clock)
        except Exception as error:
            if self._stopping.is_set():
                return None  # its connection was closed under it
            self._log.error("run_failed", job=entry.name, **described(error))
            self._db.forget_lost_links()
            return _Outcome(time.monotonic() - began, {}, told(error))
        finally:
            self._begun.discard(begun)
        seconds = time.monotonic() - began
        log = self._log.info if any(found.values()) else self._log.debug
        log("run_done", job=entry.name, seconds=round(seconds, 1), **found)
        return _Outcome(seconds, found)

    @contextmanager
    def _keep(self, entry: Entry, run: Run) -> Iterator[None]:
        """Keep the lease of a run, and everybody else from its job, while it lives, but only as long as it may take.

        A process that dies stops doing so.
        """
        over, most = threading.Event(), time.monotonic() + entry.job.longest_s

        def keep() -> None:
            mine = False
            with suppress(*PASSING), ExitStack() as held:
                while (left := most - time.monotonic()) > 0:
                    with suppress(*PASSING):
                        mine = mine or held.enter_context(jobruns.only_one(self._db, run.job))
                        jobruns.extend(self._db, run, self._clock(), self._lease_s)
                    if over.wait(min(self._lease_s / 3, left)):
                        return
            if not over.is_set():
                self._log.error("run_given_up", job=run.job)
                self._given_up.append(run)

        thread = threading.Thread(target=keep, name=f"keep-{run.job}", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _told(self, event: JobSubmissionEvent) -> None:
        entry = self._entries.get(event.job_id)
        if entry is None or not entry.job.quiet:
            return
        if event.code == EVENT_JOB_MAX_INSTANCES:
            self._log.warning("run_missed", job=entry.name, reason="its last run has not ended")
            return
        late = datetime.now(UTC) - event.scheduled_run_times[0]
        if late > timedelta(seconds=max(_interval(entry), LOOK_S)):
            seconds = int(late.total_seconds())
            self._log.warning(
                "run_late", job=entry.name, reason="the machine slept or was busy", seconds=seconds
            )


def _interval(entry: Entry) -> int:
    return entry.job.every_s if entry.job.quiet and entry.job.every_s is not None else LOOK_S


def _executor(entry: Entry) -> str:
    return _FREQUENT if entry.job.quiet else _SELDOM
