"""`python -m jobs`: works, and keeps the timetable, until SIGTERM. Any number may run on one database."""

from __future__ import annotations

import os
import signal
import sys
import threading
from datetime import UTC, datetime

import psycopg
import structlog
from sqlalchemy.exc import OperationalError

from engine import embedded, migrations
from engine.config import Config, InstallationError
from engine.db import Database
from engine.vault import Vault
from jobs import logs, runner

_WAIT_S = 1.0


def main() -> int:
    """Run one jobs process; the exit status."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    try:
        config = Config.from_env()
        logs.configure(config.log_level)
        vault = Vault(config.load_keys())
        with embedded.database(config) as url:
            return _run(url, vault, stopping)
    except InstallationError as error:
        print(error, file=sys.stderr)
        return 1


def _run(url: str, vault: Vault, stopping: threading.Event) -> int:
    _wait_until_migrated(url, stopping)
    if stopping.is_set():
        return 0
    db = Database(url)
    well = runner.run(db, vault, lambda: datetime.now(UTC), stopping)
    if well:
        db.close()
    return 0 if well else 75  # EX_TEMPFAIL


def _wait_until_migrated(url: str, stopping: threading.Event) -> None:
    """Wait for a database that is there and stands at our newest migration, and say once what is waited for."""
    said = ""
    while not stopping.is_set():
        try:
            if migrations.is_current(url):
                return
            waits_for = "its migration"
        except (psycopg.OperationalError, OperationalError):
            waits_for = "the database"
        if waits_for != said:
            structlog.get_logger("jobs").warning("jobs_wait", waits_for=waits_for)
            said = waits_for
        stopping.wait(_WAIT_S)


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # Threads that could not be left in time must not keep the process; the database undoes what they had open.
    os._exit(status)
