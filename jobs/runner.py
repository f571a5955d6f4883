"""The life of one jobs process: it works, and leads or follows, until it is told to stop.

Of all processes on one database one leads: the one that holds an advisory lock, on a connection of its own. When it
ends, however it ends, the server lets the lock go and another takes over within a second. Should a leader not notice
for a moment that it lost its connection, two run the timetable at once, which harms nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime

import psycopg
import structlog

from engine.db import Database
from engine.errors import EngineUnavailable
from engine.faults import described
from engine.jobruns import LEASE_S
from engine.vault import Vault
from jobs.timetable import TIMETABLE, Entry, Timetable
from jobs.worker import Worker

LOCK = 0x6361726474  # "cardt"
_POLL_S = 0.5
WORKERS = 2
"""Pieces of work that one process does at a time: a long one keeps no short one waiting."""
FAREWELL_S = 2.0
"""How long what is being done has to reach a point where it can be left."""

STAND_BACK_S = 5.0
"""How long a leader that gave a run up lets others lead who can do its turn."""

Clock = Callable[[], datetime]


class Leadership:
    """One process's claim to lead."""

    def __init__(self, db: Database) -> None:
        self._url = db.url
        self._conn: psycopg.Connection[tuple[object, ...]] | None = None
        self.leads = False

    def seek(self) -> bool:
        """Whether this process leads now; tries to, where it did not. Raises `psycopg.Error` without a database."""
        if self._conn is None or self._conn.closed:
            self.leads = False
            self._conn = psycopg.connect(
                self._url, autocommit=True, connect_timeout=2, options="-c statement_timeout=5s"
            )
        if self.leads:
            self._conn.execute("SELECT 1")
        else:
            row = self._conn.execute("SELECT pg_try_advisory_lock(%s)", [LOCK]).fetchone()
            self.leads = row is not None and bool(row[0])
        return self.leads

    def give_up(self) -> None:
        """Let another lead."""
        self.leads = False
        if self._conn is not None:
            self._conn.close()
            self._conn = None


def run(
    db: Database,
    vault: Vault,
    clock: Clock,
    stopping: threading.Event,
    *,
    entries: tuple[Entry, ...] = TIMETABLE,
    lease_s: int = LEASE_S,
) -> bool:
    """Work, and lead when nobody else does, until `stopping` is set; returns whether everything could be left well.

    Where it could not, a thread still holds on to something; whatever it does now is undone when the process exits.
    """
    log = structlog.get_logger("jobs.runner")
    leadership, timetable = Leadership(db), Timetable(db, clock, entries, lease_s=lease_s)
    workers = [Worker(db, vault, clock) for _ in range(WORKERS)]
    for worker in workers:
        worker.start()
    log.info("jobs_begin")
    led, stands_back = False, 0.0
    while not stopping.is_set():
        try:
            leads = time.monotonic() >= stands_back and leadership.seek()
        except psycopg.Error as error:
            if led:
                log.warning("leadership_lost", **described(error))
            leadership.give_up()
            leads = False
        if leads != led:
            log.info("leads" if leads else "follows")
            (timetable.lead if leads else timetable.follow)()
            led = leads
        if leads:
            _poll(timetable)
            if timetable.gave_up():
                leadership.give_up()
                stands_back = time.monotonic() + STAND_BACK_S
        stopping.wait(_POLL_S)
    began = time.monotonic()
    for worker in workers:
        worker.ask_to_stop()
    timetable.stop()
    leadership.give_up()
    deadline = time.monotonic() + FAREWELL_S
    left = [worker.stop(max(0.1, deadline - time.monotonic())) for worker in workers]
    well = all(left)
    log.info("jobs_end", well=well, seconds=round(time.monotonic() - began, 1))
    return well


def _poll(timetable: Timetable) -> None:
    """Begin what was asked for. Without a database nothing was, and the next look at the leadership tells of it."""
    with suppress(EngineUnavailable, psycopg.Error):
        timetable.poll()
