"""Takes rows of `engine.work` and does them, in a process of its own or within a command that cannot wait for one."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import psycopg
import structlog
from sqlalchemy.exc import OperationalError

from engine import work
from engine.db import Database
from engine.errors import EngineError, EngineUnavailable
from engine.faults import described
from engine.vault import Vault
from jobs.handlers import HANDLERS
from jobs.logs import failures_only

POLL_S = 0.5
_PATIENCE_S = 1.0
_PAUSE_S = 1.0

Clock = Callable[[], datetime]
PASSING = (EngineUnavailable, psycopg.OperationalError, psycopg.InterfaceError, OperationalError)
"""What the database says when it is down, full, or asks to run something again."""


def worker_name() -> str:
    """This process, as the table of work shows who holds a row."""
    return f"{socket.gethostname()}:{os.getpid()}"


class Worker:
    """A loop that takes work and does it, one row at a time, until `stop`."""

    def __init__(
        self,
        db: Database,
        vault: Vault,
        clock: Clock,
        *,
        handlers: dict[str, work.Handler] = HANDLERS,
        lease_s: int = work.LEASE_S,
    ) -> None:
        self._db, self._vault, self._clock = db, vault, clock
        self._handlers, self._lease_s = handlers, lease_s
        self._stopping = threading.Event()
        self._claimed: work.Claimed | None = None
        self._thread = threading.Thread(target=self._run, name="worker", daemon=True)
        self._log = structlog.get_logger("jobs.worker")

    def start(self) -> None:
        """Begin, in a thread of its own."""
        self._thread.start()

    def ask_to_stop(self) -> None:
        """Let the next report of what is being done end it."""
        self._stopping.set()
        if self._claimed is not None:
            self._claimed.interrupted = True

    def stop(self, wait_s: float) -> bool:
        """End at the next report of what is being done, and put it back; returns False where that took too long.

        In that case the row is put back all the same: whatever its handler still does under it is undone.
        """
        self.ask_to_stop()
        claimed = self._claimed
        self._thread.join(wait_s)
        if not self._thread.is_alive():
            return True
        if claimed is not None:
            # In a thread: a database that doesn't answer must not keep us.
            putting_back = threading.Thread(target=self._put_back, args=[claimed], daemon=True)
            putting_back.start()
            putting_back.join(wait_s / 2)
        return False

    def _put_back(self, claimed: work.Claimed) -> None:
        try:
            work.release(self._db, claimed)
        except PASSING as error:
            self._log.warning("work_not_put_back", id=claimed.id, **described(error))

    def _run(self) -> None:
        reachable = True
        while not self._stopping.is_set():
            try:
                worked = self._work_once()
            except Exception as error:
                # Mostly that the database is away; whatever it is, a worker that ended here would be missed.
                if reachable:
                    self._log.warning("worker_waits", **described(error))
                reachable, worked = False, False
                self._db.forget_lost_links()
                self._stopping.wait(_PAUSE_S)
            else:
                if not reachable:
                    self._log.info("worker_goes_on")
                reachable = True
            if not worked:
                self._stopping.wait(POLL_S)

    def _work_once(self) -> bool:
        claimed = work.claim(self._db, worker_name(), self._handlers, self._clock(), self._lease_s)
        if claimed is None:
            return False
        self._claimed = claimed
        claimed.interrupted = self._stopping.is_set()
        try:
            perform(
                self._db,
                self._vault,
                claimed,
                self._clock,
                handlers=self._handlers,
                lease_s=self._lease_s,
                stopping=self._stopping,
            )
        finally:
            self._claimed = None
        return True


def perform(
    db: Database,
    vault: Vault,
    claimed: work.Claimed,
    clock: Clock,
    *,
    handlers: dict[str, work.Handler] = HANDLERS,
    lease_s: int = work.LEASE_S,
    stopping: threading.Event | None = None,
    log: Any = None,
) -> str:
    """Do one claimed row to its end and write down how it ended: done, failed, cancelled, released or lost.

    `released`: put back, because this process wants to end or the database was away; somebody goes on with it. Where
    the caller is interrupted (Ctrl-C), the row is put back and the interruption goes on.
    """
    log = (log or structlog.get_logger("jobs.worker")).bind(id=claimed.id, kind=claimed.kind)
    log.info("work_begins", attempt=claimed.attempts, progress=claimed.progress, total=claimed.total)
    began = time.monotonic()
    stopping = stopping or threading.Event()
    with _heartbeat(db, claimed, clock, lease_s):
        try:
            result = handlers[claimed.kind](db, vault, claimed, clock)
            ending, end = "done", lambda: work.finish(db, claimed, clock(), result)
        except work.Stopped as stopped:
            ending, end = _after_stop(db, claimed, clock, stopped)
        except Exception as error:
            ending, end = _after_error(db, claimed, clock, error)
            (log.warning if ending == "released" else log.error)("work_stopped", **described(error))
        except BaseException:
            insist(lambda: work.release(db, claimed), 2.0, stopping)
            raise
        ended = insist(end, lease_s, stopping)
    ending = ending if ended else "lost"
    log.info("work_ends", ending=ending, seconds=round(time.monotonic() - began, 1))
    return ending


def run_until_done(
    db: Database,
    vault: Vault,
    work_id: int,
    clock: Clock,
    on_progress: Callable[[int, int | None], None] = lambda progress, total: None,
    *,
    patience_s: float = _PATIENCE_S,
) -> work.WorkView:
    """Wait until one row of work is over, and do it here where no jobs process takes it; returns how it ended.

    `on_progress(progress, total)` is told of every step, from whichever thread makes it. A process that dies with the
    work is followed when its lease ends. Raises `NotFound("work_not_found")`.
    """
    patient_until = time.monotonic() + patience_s
    told: list[tuple[int, int | None]] = []

    def tell(progress: int, total: int | None) -> None:
        if (progress, total) not in told[-1:]:
            told[:] = [(progress, total)]
            on_progress(progress, total)

    while True:
        view = work.find_work(db, work_id, clock())
        tell(view.progress, view.total)
        if view.finished:
            return view
        if view.abandoned or (view.state == "queued" and time.monotonic() >= patient_until):
            claimed = work.claim(db, worker_name(), HANDLERS, clock(), work_id=work_id)
            if claimed is not None:
                claimed.on_progress = tell
                perform(db, vault, claimed, clock, log=failures_only())
                continue
        time.sleep(POLL_S / 2)


def _after_stop(
    db: Database, claimed: work.Claimed, clock: Clock, stopped: work.Stopped
) -> tuple[str, Callable[[], Any]]:
    if stopped.code == "work_cancelled":
        return "cancelled", lambda: work.mark_cancelled(db, claimed, clock())
    if stopped.code == "work_interrupted":
        return "released", lambda: work.release(db, claimed)
    return "lost", lambda: None


def _after_error(
    db: Database, claimed: work.Claimed, clock: Clock, error: Exception
) -> tuple[str, Callable[[], Any]]:
    """What passes is tried again, a few times without progress; anything else ends the work."""
    if isinstance(error, PASSING) and claimed.attempts < work.MAX_ATTEMPTS:
        return "released", lambda: work.release(db, claimed, count=True)
    failure = error if isinstance(error, EngineError) else EngineError("work_crashed")
    return "failed", lambda: work.fail(db, claimed, failure, clock())


def insist(end: Callable[[], Any], patience_s: float, stopping: threading.Event) -> bool:
    """Write down how work ended, as soon as the database answers; False where the claim was lost meanwhile.

    Gives up with the lease, or when the process wants to end: then the lease runs out and somebody else goes on.
    """
    deadline = time.monotonic() + patience_s
    while True:
        try:
            end()
            return True
        except work.Stopped:
            return False
        except PASSING:
            if time.monotonic() > deadline or stopping.is_set():
                return False
            time.sleep(0.2)


@contextmanager
def _heartbeat(db: Database, claimed: work.Claimed, clock: Clock, lease_s: int) -> Iterator[None]:
    """Keep the lease while the handler works, whatever its steps take. A process that dies stops doing so."""
    over = threading.Event()

    def beat() -> None:
        while not over.wait(lease_s / 3):
            try:
                work.extend(db, claimed, clock(), lease_s)
            except work.Stopped:
                return  # the handler's next report finds out why
            except PASSING:
                continue

    thread = threading.Thread(target=beat, name=f"heartbeat-{claimed.id}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
