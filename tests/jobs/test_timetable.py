"""The timetable: what runs when this process leads, what a run finds, and how what went wrong is told."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from sqlalchemy import func, select, text
from structlog.testing import capture_logs

from engine import limits
from engine.db import Database
from engine.migrations.partitions import month_start
from engine.people import sessions
from engine.schema import Call, CardToken, Cdr
from engine.vault import Vault
from jobs import timetable
from jobs.timetable import Entry, Timetable
from tests import scenes


def at(moment: datetime) -> Callable[[], datetime]:
    """A clock that stands."""
    return lambda: moment


def real() -> datetime:
    return datetime.now(UTC)


def wait_for(seen: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not seen():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def test_the_leader_runs_everything_once_and_then_in_its_time(db: Database) -> None:
    runs: list[str] = []
    entries = (
        Entry("often", 1, lambda db, clock: runs.append("often") or {}),
        Entry("seldom", 1000, lambda db, clock: runs.append("seldom") or {}),
    )
    table = Timetable(db, real, entries)
    time.sleep(0.3)
    assert runs == [], "a follower runs nothing"
    table.lead()
    wait_for(lambda: runs.count("often") == 3)
    table.follow()
    time.sleep(0.2)
    count = len(runs)
    time.sleep(1.3)
    assert len(runs) == count
    table.lead()
    wait_for(lambda: runs.count("seldom") == 2)
    table.stop()
    assert runs.count("seldom") == 2


def test_a_run_that_fails_is_told_without_its_message_and_the_next_one_comes(db: Database) -> None:
    runs: list[int] = []

    def fail(db: Database, clock: Callable[[], datetime]) -> dict[str, int]:
        runs.append(1)
        raise ValueError("the password is 31415926")

    with capture_logs() as logs:
        table = Timetable(db, real, (Entry("broken", 1, fail),))
        table.lead()
        wait_for(lambda: len(runs) >= 2)
        table.stop()
    failed = [line for line in logs if line["event"] == "run_failed"]
    assert failed[0]["job"] == "broken"
    assert failed[0]["kinds"] == ["ValueError"]
    assert "31415926" not in repr(logs)


def test_a_run_that_takes_too_long_makes_the_next_miss_its_turn_and_says_so(db: Database) -> None:
    go_on = threading.Event()
    runs: list[int] = []

    def wait(db: Database, clock: Callable[[], datetime]) -> dict[str, int]:
        runs.append(1)
        go_on.wait(30)
        return {}

    with capture_logs() as logs:
        table = Timetable(db, real, (Entry("long", 1, wait),))
        table.lead()
        wait_for(lambda: any(line["event"] == "run_missed" for line in logs))
        go_on.set()
        table.stop()
    assert len(runs) == 1
    missed = next(line for line in logs if line["event"] == "run_missed")
    assert (missed["job"], missed["reason"]) == ("long", "its last run has not ended")


def test_the_sweep_ends_calls_without_end_and_warns_of_their_switch(db: Database, vault: Vault) -> None:
    card = scenes.card(db, vault)
    switch = scenes.switch(db)
    line = scenes.Line(db, vault, switch)
    line.open(card)
    assert timetable.sweep_calls(db, at(scenes.NOW)) == {"settled": 0, "voided": 0, "failed": 0}
    with capture_logs() as logs:
        found = timetable.sweep_calls(db, at(scenes.NOW + timedelta(days=1)))
    assert found == {"settled": 0, "voided": 1, "failed": 0}
    assert [(each["event"], each["switch"], each["calls"]) for each in logs] == [
        ("calls_without_end", switch.id, 1)
    ]
    with db.begin() as session:
        assert session.scalar(select(func.count()).select_from(Call)) == 0
        assert session.scalar(select(func.count()).select_from(Cdr)) == 1
    assert scenes.facts(db, card).held == 0


def test_the_tables_of_the_coming_months_are_made(db: Database) -> None:
    future = month_start(real(), 20)
    timetable.make_partitions(db, at(future))
    timetable.make_partitions(db, at(future))
    with db.begin() as session:
        for table in ("cdr", "attempt"):
            name = f"{table}_{month_start(future, 3):%Y_%m}"
            assert session.scalar(text("SELECT to_regclass(:name)"), {"name": name}) is not None


def test_dead_tokens_go_and_those_of_live_calls_stay(db: Database, vault: Vault) -> None:
    first, second = scenes.batch(db, vault, count=2)
    line = scenes.Line(db, vault, scenes.switch(db))
    idle = line.authenticate(first)
    calling = line.authenticate(second)
    line.open(scenes.Credentials(token=calling.card_token), ref="live")
    clock = at(scenes.NOW + timedelta(hours=2))
    assert timetable.prune_tokens(db, at(scenes.NOW + timedelta(minutes=59))) == {"deleted": 0}
    assert timetable.prune_tokens(db, clock) == {"deleted": 1}
    with db.begin() as session:
        kept = session.scalars(select(CardToken.card_id)).all()
    assert list(kept) == [second.id]
    assert idle.card_token != calling.card_token


def test_old_failures_and_log_ins_that_are_over_go(db: Database) -> None:
    now = scenes.NOW
    with db.begin() as session:
        for number in range(3):
            limits.count_failure(session, bytes([number]), now, free=3, first_delay_s=2, max_delay_s=10)
    sessions.open_session(db, "staff", 1, None, now)
    assert timetable.prune_failures(db, at(now)) == {"deleted": 0}
    assert timetable.prune_sessions(db, at(now)) == {"deleted": 0}
    later = at(now + timedelta(days=31))
    assert timetable.prune_failures(db, later) == {"deleted": 3}
    assert timetable.prune_sessions(db, later) == {"deleted": 1}


def test_every_entry_of_the_timetable_runs(db: Database) -> None:
    assert [entry.run(db, at(scenes.NOW)) for entry in timetable.TIMETABLE]
    assert {entry.name: entry.every_s for entry in timetable.TIMETABLE}["sweep"] == 15
