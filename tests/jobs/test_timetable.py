"""The timetable in the process that leads: turns, what somebody asked for, pauses, failures and their alarms."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from engine import alarms, jobruns
from engine.db import Database
from engine.errors import Conflict
from engine.people import jobdesk
from engine.timetable import JOBS, Job
from jobs.tasks import TASKS
from jobs.timetable import TIMETABLE, Entry, Timetable
from tests import scenes

HOURLY = Job("fees", "Does something every hour.", every_s=3600)
OFTEN = Job("sweep", "Does something every second.", every_s=1)
ADMIN = scenes.OPERATOR
ZONE = ZoneInfo("UTC")


def real() -> datetime:
    return datetime.now(UTC)


def wait_for(seen: Callable[[], Any], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not seen():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


class Counter:
    """A task that counts its runs."""

    def __init__(self, found: int = 1) -> None:
        self.runs, self.found = 0, found

    def __call__(self, db: Database, clock: Callable[[], datetime]) -> dict[str, int]:
        self.runs += 1
        return {"cards": self.found}


@contextmanager
def leading(db: Database, *entries: Entry, clock: Callable[[], datetime] = real) -> Iterator[Timetable]:
    """A timetable that leads, and polls like its process does."""
    table, over = Timetable(db, clock, entries), threading.Event()

    def poll() -> None:
        while not over.wait(0.1):
            table.poll()

    polling = threading.Thread(target=poll)
    table.lead()
    polling.start()
    try:
        yield table
    finally:
        over.set()
        polling.join()
        table.stop(10)


def states(db: Database, job: str = "fees") -> list[str]:
    """How the runs of a job ended, oldest first."""
    return [run.state for run in reversed(jobruns.history(db, job))]


def open_alarms(db: Database) -> dict[str, alarms.AlarmView]:
    return {alarm.subject: alarm for alarm in alarms.open_alarms(db) if alarm.kind == "job_failed"}


def test_the_leader_does_each_turn_once_and_what_is_frequent_in_its_time(db: Database) -> None:
    often, hourly = Counter(), Counter()
    table = Timetable(db, real, (Entry(OFTEN, often), Entry(HOURLY, hourly)))
    time.sleep(0.3)
    assert (often.runs, hourly.runs) == (0, 0), "a follower runs nothing"
    table.lead()
    wait_for(lambda: often.runs >= 3 and hourly.runs == 1)
    table.follow()
    time.sleep(0.2)
    runs = often.runs
    time.sleep(1.3)
    assert often.runs == runs
    table.lead()
    wait_for(lambda: often.runs >= runs + 2)
    table.stop()
    assert hourly.runs == 1, "its turn was done, whoever leads now"
    (run,) = jobruns.history(db, "fees")
    assert (run.state, run.result, run.asked_by) == ("done", {"cards": 1}, None)


def test_a_frequent_job_has_one_row_that_sums_up_a_quarter_of_an_hour(db: Database) -> None:
    at = scenes.NOW
    for second in range(0, 1800, 300):
        jobruns.sum_up(db, "sweep", at + timedelta(seconds=second), "here", 0.25, {"settled": 2})
        jobruns.sum_up(db, "sweep", at + timedelta(seconds=second), "here", 0.25, None)
    second, first = jobruns.history(db, "sweep")
    assert (first.due_at, second.due_at) == (at, at + timedelta(minutes=15))
    assert first.result == second.result == {"runs": 3, "settled": 6}
    assert (first.seconds, first.summed, first.state) == (0.75, True, "done")
    for second in (1, 3, 901):
        jobruns.sum_up_failure(db, "sweep", at + timedelta(seconds=second), "here", "No.")
    failed = [run for run in jobruns.history(db, "sweep") if run.state == "failed"]
    assert [(run.result, run.error) for run in failed] == [({"times": 1}, "No."), ({"times": 2}, "No.")]


def test_an_idle_frequent_job_leaves_one_row_that_says_so(db: Database) -> None:
    often = Counter(found=0)
    with leading(db, Entry(OFTEN, often)):
        wait_for(lambda: often.runs >= 3)
    rows = jobruns.history(db, "sweep")
    assert len({run.due_at for run in rows}) == len(rows) <= 2
    assert all(run.result == {"runs": 0} for run in rows)


def test_a_run_that_fails_is_told_without_its_message_and_the_next_one_comes(db: Database) -> None:
    runs: list[int] = []

    def fail(db: Database, clock: Callable[[], datetime]) -> dict[str, int]:
        runs.append(1)
        raise ValueError("the password is 31415926")

    with capture_logs() as logs, leading(db, Entry(OFTEN, fail)):
        wait_for(lambda: len(runs) >= 2)
    failed = [line for line in logs if line["event"] == "run_failed"]
    assert failed[0]["job"] == "sweep"
    assert failed[0]["kinds"] == ["ValueError"]
    assert "31415926" not in repr(logs)
    row = next(run for run in jobruns.history(db, "sweep") if run.state == "failed")
    assert row.error is not None
    assert row.error.startswith("Something went wrong inside Cardtone (ValueError at test_timetable.py:")
    assert "31415926" not in repr(jobruns.history(db, "sweep"))


def test_a_failure_sets_off_an_alarm_that_the_next_success_clears(db: Database) -> None:
    broken = threading.Event()
    broken.set()

    def sometimes(db: Database, clock: Callable[[], datetime]) -> dict[str, int]:
        if broken.is_set():
            raise Conflict("batch_discarded", name="June")
        return {"cards": 1}

    with leading(db, Entry(HOURLY, sometimes)):
        wait_for(lambda: open_alarms(db))
        assert open_alarms(db)["job:fees"].data == {"error": "The batch June was discarded."}
        assert states(db) == ["failed"]
        broken.clear()
        jobdesk.run_now(db, job="fees", actor=ADMIN, now=real())
        wait_for(lambda: not open_alarms(db))
    assert states(db) == ["failed", "done"]


def test_a_frequent_job_that_fails_now_and_then_has_one_alarm(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[int] = []
    ill = threading.Event()
    ill.set()

    def now_and_then(db: Database, clock: Callable[[], datetime]) -> dict[str, int]:
        runs.append(1)
        if ill.is_set() and len(runs) % 2:
            raise Conflict("batch_discarded", name="June")
        return {"cards": 1}

    with leading(db, Entry(OFTEN, now_and_then)):
        wait_for(lambda: len(runs) >= 4)
        (alarm,) = open_alarms(db).values()
        assert (alarm.id, alarm.times) == (1, 2), "what went well between did not close it"
        monkeypatch.setattr("jobs.timetable.CALM_S", 1)
        ill.clear()
        wait_for(lambda: not open_alarms(db))


def test_what_fails_in_ever_other_words_keeps_few_rows(db: Database) -> None:
    for second in range(600):
        moment = scenes.NOW + timedelta(seconds=second)
        jobruns.sum_up_failure(db, "sweep", moment, "here", f"Card {second} was not there.")
    rows = jobruns.history(db, "sweep", 1000)
    assert len(rows) == jobruns.FAILURES
    assert sum(run.result["times"] for run in rows) == 600
    assert rows[0].error == "Card 599 was not there."


@pytest.mark.parametrize("frequent", [True, False])
def test_a_run_that_hangs_is_told_of_by_a_thread_of_its_own_until_it_ends(
    db: Database, monkeypatch: pytest.MonkeyPatch, frequent: bool
) -> None:
    monkeypatch.setattr("jobs.timetable.OVERSEE_S", 0.1)
    go_on, healthy = threading.Event(), Counter()

    def hang(db: Database, clock: Callable[[], datetime]) -> dict[str, int]:
        go_on.wait(30)
        return {"cards": 1}

    # As many as there are threads, so that nothing of their kind runs any more, `watch` neither.
    names = ("auto_recharge", "audit_chain", "search", "sweep") if frequent else ("fees", "verify", "recount")
    every = {"every_s": 1} if frequent else {"every_s": 3600}
    entries = [Entry(Job(name, "Hangs.", **every, longest_s=1), hang) for name in names]

    def hung() -> dict[str, alarms.AlarmView]:
        return {alarm.subject: alarm for alarm in alarms.open_alarms(db) if alarm.kind == "job_hung"}

    table = Timetable(db, real, (*entries, Entry(Job("watch", "Waits.", **every), healthy)))
    try:
        table.lead()
        wait_for(lambda: len(hung()) == len(names))
        time.sleep(0.5)
        assert {alarm.times for alarm in hung().values()} == {1}
        assert set(hung()) == {f"job:{name}" for name in names}
        wait_for(table.gave_up) if not frequent else None
        go_on.set()
        wait_for(lambda: not hung() and healthy.runs)
    finally:
        go_on.set()
        table.stop(10)


def test_what_hangs_is_not_kept_from_another_process(db: Database) -> None:
    go_on, other = threading.Event(), Database(db.url)
    job = Job("fees", "Hangs.", every_s=3600, longest_s=1)

    def hang(db: Database, clock: Callable[[], datetime]) -> dict[str, int]:
        go_on.wait(30)
        return {"cards": 1}

    table = Timetable(db, real, (Entry(job, hang),), lease_s=1)
    table.lead()
    try:
        wait_for(lambda: states(db) == ["running"])
        assert not free(other), "it lives"
        wait_for(table.gave_up)
        time.sleep(1)
        with jobruns.only_one(other, "fees") as mine:
            assert mine
            heir = jobruns.claim_due(other, job, ZONE, real(), "heir")
        assert heir is not None
        assert heir.lost == 1
    finally:
        go_on.set()
        table.stop(10)
        other.close()
    assert states(db) == ["lost", "running"], "what the first still did changes nothing"


def free(db: Database) -> bool:
    """Whether nobody is at the job."""
    time.sleep(0.3)
    with jobruns.only_one(db, "fees") as mine:
        return mine


def test_a_failed_turn_is_tried_again_three_times_in_all(db: Database) -> None:
    now, zone = scenes.NOW, ZONE
    for _ in range(3):
        run = jobruns.claim_due(db, HOURLY, zone, now, "here")
        assert run is not None
        jobruns.fail(db, run, now, "No.")
        assert jobruns.claim_due(db, HOURLY, zone, now + timedelta(seconds=299), "here") is None
        now += timedelta(seconds=300)
    assert jobruns.claim_due(db, HOURLY, zone, now, "here") is None
    later = jobruns.claim_due(db, HOURLY, zone, scenes.NOW + timedelta(hours=1), "here")
    assert later is not None
    assert later.due_at == scenes.NOW + timedelta(hours=1), "the next turn is another one"


def test_a_run_that_takes_too_long_makes_the_next_miss_its_turn_and_says_so(db: Database) -> None:
    go_on = threading.Event()
    runs: list[int] = []

    def wait(db: Database, clock: Callable[[], datetime]) -> dict[str, int]:
        runs.append(1)
        go_on.wait(30)
        return {}

    with capture_logs() as logs:
        table = Timetable(db, real, (Entry(OFTEN, wait),))
        table.lead()
        wait_for(lambda: any(line["event"] == "run_missed" for line in logs))
        table.stop(0)
        go_on.set()
    assert len(runs) == 1
    missed = next(line for line in logs if line["event"] == "run_missed")
    assert (missed["job"], missed["reason"]) == ("sweep", "its last run has not ended")


def test_a_run_that_cannot_end_in_time_is_let_go_and_begun_again_by_others(db: Database) -> None:
    go_on, begun = threading.Event(), threading.Event()

    def wait(db: Database, clock: Callable[[], datetime]) -> dict[str, int]:
        begun.set()
        go_on.wait(30)
        return {"cards": 1}

    table = Timetable(db, real, (Entry(HOURLY, wait),))
    table.lead()
    assert begun.wait(10)
    table.stop(0.5)
    assert states(db) == ["lost"]
    heir = jobruns.claim_due(db, HOURLY, ZONE, real(), "heir")
    assert heir is not None
    go_on.set()
    # Its lease is kept by a thread of that name until it has written down what it may.
    wait_for(lambda: all(thread.name != "keep-fees" for thread in threading.enumerate()))
    assert states(db) == ["lost", "running"], "what the first still did changes nothing"
    assert jobruns.finish(db, heir, real(), {})


def test_what_somebody_asks_for_is_begun_within_a_second_paused_or_not(db: Database) -> None:
    hourly = Counter()
    assert jobdesk.pause(db, job="fees", actor=ADMIN, now=real())
    assert not jobdesk.pause(db, job="fees", actor=ADMIN, now=real())
    with leading(db, Entry(HOURLY, hourly)):
        time.sleep(0.5)
        assert hourly.runs == 0, "paused"
        asked = time.monotonic()
        jobdesk.run_now(db, job="fees", reason="A customer waits", actor=ADMIN, now=real())
        wait_for(lambda: hourly.runs == 1)
        assert time.monotonic() - asked < 2
        assert jobdesk.go_on(db, job="fees", actor=ADMIN, now=real())
    with leading(db, Entry(HOURLY, hourly)):
        wait_for(lambda: hourly.runs == 2)
    assert states(db) == ["done", "done"]
    assert {run.asked_by for run in jobruns.history(db, "fees")} == {None, "staff:1"}
    with db.begin() as session:
        told = session.execute(text("SELECT action, subject, reason FROM audit ORDER BY id")).all()
    assert [tuple(row) for row in told] == [
        ("job.pause", "job:fees", None),
        ("job.run", "job:fees", "A customer waits"),
        ("job.continue", "job:fees", None),
    ]


def test_a_paused_frequent_job_rests(db: Database) -> None:
    often = Counter()
    jobdesk.pause(db, job="sweep", actor=ADMIN, now=real())
    table = Timetable(db, real, (Entry(OFTEN, often),))
    table.poll()
    table.lead()
    time.sleep(1.3)
    assert often.runs == 0
    jobdesk.go_on(db, job="sweep", actor=ADMIN, now=real())
    table.poll()
    wait_for(lambda: often.runs >= 1)
    table.stop()


def test_every_job_has_its_task_and_every_task_its_job(db: Database) -> None:
    assert set(TASKS) == set(JOBS)
    assert [entry.name for entry in TIMETABLE] == list(JOBS)
    assert JOBS["sweep"].every_s == 15


@pytest.mark.parametrize("name", JOBS)
def test_a_job_runs_on_an_empty_database(db: Database, name: str) -> None:
    found = TASKS[name](db, lambda: scenes.NOW)
    # Kept with its run, so plain; and the first time nothing is there but the tables that are made ahead.
    assert all(isinstance(value, int | str) for value in found.values())


def test_two_who_look_at_a_job_at_once_take_turns(db: Database) -> None:
    other = Database(db.url)
    with jobruns.only_one(db, "fees") as mine, jobruns.only_one(other, "fees") as others:
        assert (mine, others) == (True, False)
        with jobruns.only_one(other, "sweep") as third:
            assert third
    with jobruns.only_one(other, "fees") as mine:
        assert mine
    other.close()


def test_the_overview_tells_the_last_run_and_the_next(db: Database) -> None:
    now = scenes.NOW + timedelta(minutes=20)
    run = jobruns.claim_due(db, JOBS["fees"], ZONE, now, "here")
    assert run is not None
    jobruns.finish(db, run, now + timedelta(seconds=3), {"cards": 2})
    jobdesk.pause(db, job="verify", actor=ADMIN, now=now)
    lines = {line.job.name: line for line in jobruns.overview(db, now)}
    assert list(lines) == list(JOBS)
    fees, verify = lines["fees"], lines["verify"]
    assert fees.last is not None
    assert (fees.last.seconds, fees.last.result) == (3.0, {"cards": 2})
    assert fees.next_due == scenes.NOW + timedelta(hours=1)
    assert (verify.last, verify.next_due, verify.paused_by) == (None, None, "staff:1")
