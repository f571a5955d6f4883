"""Several processes that all keep the timetable: no turn is done twice, none is lost when one of them dies."""

from __future__ import annotations

import os
import secrets
import signal
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import text
from structlog.testing import capture_logs

from engine import alarms, embedded, jobruns, migrations
from engine.config import Config, Keys
from engine.db import Database
from engine.people import jobdesk
from engine.timetable import Job
from engine.vault import Vault
from jobs import runner, timetable
from jobs.timetable import Entry, Timetable
from tests import processes, scenes
from tests.proof import scaled

HOURLY = Job("fees", "Does something every hour.", every_s=3600)
OFTEN = Job("sweep", "Does something every second.", every_s=1)
SCHEDULERS = 4
SPEED = 3600
"""Seconds that pass in one: a turn a second."""

processes.preload("tests.jobs.test_schedulers")


def real() -> datetime:
    return datetime.now(UTC)


def wait_for(seen: Callable[[], Any], seconds: float = 40) -> None:
    deadline = time.monotonic() + seconds
    while not seen():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def prepare(db: Database) -> None:
    with db.begin() as session:
        session.execute(text("CREATE TABLE effect (id int GENERATED ALWAYS AS IDENTITY, job text, pid int)"))
        session.execute(text("CREATE TABLE busy (job text PRIMARY KEY)"))


def effects(db: Database, job: str) -> list[int]:
    """The processes that did a job, in their order."""
    with db.begin() as session:
        return list(
            session.scalars(text("SELECT pid FROM effect WHERE job = :job ORDER BY id"), {"job": job}).all()
        )


def effect_of(job: str, takes_s: float = 0.05) -> Callable[..., dict[str, int]]:
    """A task that leaves a row, and fails where somebody else is at the same job."""

    def task(db: Database, clock: Callable[[], datetime]) -> dict[str, int]:
        values = {"job": job, "pid": os.getpid()}
        with db.begin() as session:
            session.execute(text("INSERT INTO busy VALUES (:job)"), values)
        time.sleep(takes_s)
        with db.begin() as session:
            session.execute(text("DELETE FROM busy WHERE job = :job"), values)
            session.execute(text("INSERT INTO effect (job, pid) VALUES (:job, :pid)"), values)
        return {"cards": 1}

    return task


def lead_for(url: str, began: float, seconds: float) -> None:
    """Lead without asking whether anybody else does, in hours that pass in seconds."""
    timetable.LOOK_S = 0.05  # type: ignore[assignment]
    db = Database(url)

    def clock() -> datetime:
        return scenes.NOW + timedelta(seconds=(time.time() - began) * SPEED)

    table = Timetable(
        db, clock, (Entry(HOURLY, effect_of("fees")), Entry(OFTEN, effect_of("sweep"))), lease_s=36_000
    )
    table.lead()
    time.sleep(seconds)
    table.stop(5)
    db.close()


def test_four_that_lead_at_once_have_one_effect_a_turn(db: Database) -> None:
    prepare(db)
    seconds = scaled(30, 4)
    processes.run_together(lead_for, [(db.url, time.time(), seconds) for _ in range(SCHEDULERS)])
    runs = jobruns.history(db, "fees", 500)
    assert [run.state for run in runs] == ["done"] * len(runs), "none failed, for none met another"
    assert len(effects(db, "fees")) == len(runs) >= seconds - 2
    assert len({run.due_at.replace(minute=0, second=0, microsecond=0) for run in runs}) == len(runs)
    frequent = jobruns.history(db, "sweep", 500)
    assert {run.state for run in frequent} == {"done"}
    assert sum(run.result["runs"] for run in frequent) == len(effects(db, "sweep")) > 0


def keep_timetable(url: str, slow_s: float) -> None:
    """A jobs process with one job, which takes long."""
    timetable.LOOK_S = 0.2  # type: ignore[assignment]
    vault = Vault(Keys({1: secrets.token_bytes(32)}, {1: secrets.token_bytes(32)}, secrets.token_bytes(32)))
    task = effect_of("fees", slow_s)
    runner.run(Database(url), vault, real, threading.Event(), entries=(Entry(HOURLY, task),), lease_s=2)


def test_the_turn_of_a_leader_that_is_killed_in_its_midst_is_done_by_another(db: Database) -> None:
    prepare(db)
    first = processes.start(keep_timetable, db.url, 60.0)
    wait_for(lambda: [run.state for run in jobruns.history(db, "fees")] == ["running"])
    second = processes.start(keep_timetable, db.url, 0.1)
    time.sleep(1)
    assert not effects(db, "fees")
    assert first.pid is not None
    os.kill(first.pid, signal.SIGKILL)
    first.join()
    with db.begin() as session:
        session.execute(text("DELETE FROM busy"))  # what the dead one left of its work
    wait_for(lambda: [run.state for run in jobruns.history(db, "fees")] == ["done", "lost"])
    done, lost = jobruns.history(db, "fees")
    assert effects(db, "fees") == [second.pid]
    assert lost.error == "The process that ran it ended without a word."
    assert done.due_at > lost.due_at
    second.kill()
    second.join()


def test_a_run_outlives_no_restart_of_the_database_but_its_job_does(tmp_path: Path) -> None:
    config = Config.from_env({"CARDTONE_HOME": str(tmp_path)})
    server = embedded.attach(config)
    steps: list[int] = []

    def step(db: Database, clock: Callable[[], datetime]) -> dict[str, int]:
        for number in range(40):
            with db.begin() as session:
                session.execute(text("SELECT 1"))
            steps.append(number)
            time.sleep(0.02)
        return {"cards": len(steps)}

    def states(db: Database) -> list[str]:
        return [run.state for run in jobruns.history(db, "fees")]

    try:
        migrations.upgrade(server.url, real())
        db, beside = Database(server.url), Database(server.url)
        table = Timetable(db, real, (Entry(HOURLY, step),))
        with capture_logs() as logs:
            table.lead()
            wait_for(lambda: len(steps) > 5)
            assert server.postmaster is not None
            os.kill(server.postmaster, signal.SIGQUIT)
            wait_for(lambda: any(line["event"] == "run_failed" for line in logs))
            wait_for(lambda: server.postmaster is None)
            with embedded.running(config):
                wait_for(lambda: states(beside) == ["failed"])
                (run,) = jobruns.history(beside, "fees")
                assert run.error == (
                    "The database can't be reached, or can't write now; try again in a few seconds."
                )
                wait_for(lambda: [alarm.subject for alarm in alarms.open_alarms(beside)] == ["job:fees"])
                jobdesk.run_now(beside, job="fees", actor=scenes.OPERATOR, now=real())
                table.poll()
                wait_for(lambda: states(beside) == ["done", "failed"])
                wait_for(lambda: not alarms.open_alarms(beside))
                table.stop(10)
        db.close()
        beside.close()
    finally:
        server.detach()
        embedded.remove(config)
