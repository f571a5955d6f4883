"""The worker: it does what is queued, says how it ended, keeps its lease, and lets go when told to."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from engine import embedded, migrations, work
from engine.actor import CONSOLE
from engine.config import Config
from engine.db import Database
from engine.errors import Conflict, NotFound
from engine.vault import Vault
from jobs import runner, worker
from jobs.handlers import HANDLERS
from jobs.worker import Worker, perform, run_until_done

Handlers = dict[str, work.Handler]


def now() -> datetime:
    return datetime.now(UTC)


def enqueue(db: Database, kind: str = "count", total: int = 10) -> int:
    with db.begin() as session:
        return work.enqueue(session, kind, {}, CONSOLE, now(), total=total)


def claim(db: Database, handlers: Handlers) -> work.Claimed:
    claimed = work.claim(db, "test", handlers, now())
    assert claimed is not None
    return claimed


def step(db: Database, claimed: work.Claimed, progress: int) -> None:
    with db.connection() as conn, conn.transaction():
        work.report(conn, claimed, progress, now())


def count(db: Database, vault: Vault, claimed: work.Claimed, clock: Callable[[], datetime]) -> dict[str, Any]:
    """Counts to its total, one report at a time, from where it was."""
    for progress in range(claimed.progress + 1, (claimed.total or 0) + 1):
        step(db, claimed, progress)
    return {"counted": claimed.total}


def slow(pause_s: float) -> work.Handler:
    """Counts with a pause at each step."""

    def handler(db: Database, vault: Vault, claimed: work.Claimed, clock: Callable[[], datetime]) -> None:
        for progress in range(claimed.progress + 1, (claimed.total or 0) + 1):
            step(db, claimed, progress)
            time.sleep(pause_s)

    return handler


def failing(error: BaseException) -> work.Handler:
    """Raises after a first step."""

    def handler(db: Database, vault: Vault, claimed: work.Claimed, clock: Callable[[], datetime]) -> None:
        raise error

    return handler


def wait_for(seen: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not seen():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


@pytest.fixture
def running(db: Database, vault: Vault) -> Iterator[Callable[[Handlers], Worker]]:
    """Starts workers, and stops them after the test."""
    started: list[Worker] = []

    def start(handlers: Handlers, lease_s: int = work.LEASE_S) -> Worker:
        started.append(Worker(db, vault, now, handlers=handlers, lease_s=lease_s))
        started[-1].start()
        return started[-1]

    yield start
    assert [each.stop(10) for each in started] == [True] * len(started)


def test_what_is_queued_is_done_in_order(db: Database, running: Callable[[Handlers], Worker]) -> None:
    ids = [enqueue(db) for _ in range(3)]
    running({"count": count})
    wait_for(lambda: work.find_work(db, ids[-1], now()).finished)
    views = [work.find_work(db, work_id, now()) for work_id in ids]
    assert [(view.state, view.progress, view.result) for view in views] == [("done", 10, {"counted": 10})] * 3
    finished = [view.finished_at for view in views]
    assert finished == sorted(finished, key=lambda at: at or now())


def test_work_whose_kind_nobody_knows_is_left_for_others(db: Database, vault: Vault) -> None:
    strange = enqueue(db, "strange")
    assert work.claim(db, "test", {"count": count}, now()) is None
    assert work.find_work(db, strange, now()).state == "queued"


def test_a_broken_rule_ends_the_work_with_its_sentence(db: Database, vault: Vault) -> None:
    work_id = enqueue(db)
    handlers = {"count": failing(NotFound("batch_not_found", name="June"))}
    assert perform(db, vault, claim(db, handlers), now, handlers=handlers) == "failed"
    view = work.find_work(db, work_id, now())
    assert (view.state, view.code, view.failure) == (
        "failed",
        "batch_not_found",
        "There is no batch named June.",
    )


def test_a_defect_ends_the_work_and_what_its_message_held_is_told_to_nobody(
    db: Database, vault: Vault
) -> None:
    work_id = enqueue(db)
    handlers = {"count": failing(ValueError("card 880123456789 has the password 31415926"))}
    with capture_logs() as logs:
        assert perform(db, vault, claim(db, handlers), now, handlers=handlers) == "failed"
    view = work.find_work(db, work_id, now())
    assert view.code == "work_crashed"
    assert view.failure is not None
    told = view.failure + repr(logs)
    assert "ValueError" in told
    assert "test_worker.py" in told
    assert "880123456789" not in told
    assert "31415926" not in told


def test_cancelled_work_stops_at_its_next_step(db: Database, running: Callable[[Handlers], Worker]) -> None:
    work_id = enqueue(db, total=10_000)
    running({"count": slow(0.01)})
    wait_for(lambda: work.find_work(db, work_id, now()).progress > 3)
    with db.begin() as session:
        work.cancel(session, work_id, CONSOLE, now())
    wait_for(lambda: work.find_work(db, work_id, now()).finished)
    view = work.find_work(db, work_id, now())
    assert view.state == "cancelled"
    assert 3 < view.progress < 10_000


def test_a_worker_told_to_stop_puts_its_work_back_for_the_next_to_go_on(db: Database, vault: Vault) -> None:
    work_id = enqueue(db, total=10_000)
    first = Worker(db, vault, now, handlers={"count": slow(0.01)})
    first.start()
    wait_for(lambda: work.find_work(db, work_id, now()).progress > 3)
    assert first.stop(5)
    view = work.find_work(db, work_id, now())
    assert view.state == "queued"
    heir = claim(db, {"count": count})
    assert (heir.id, heir.progress, heir.attempts) == (work_id, view.progress, 1)


def test_a_handler_that_does_not_stop_loses_its_work_all_the_same(db: Database, vault: Vault) -> None:
    work_id = enqueue(db)
    go_on, stopped = threading.Event(), threading.Event()

    def stubborn(db: Database, vault: Vault, claimed: work.Claimed, clock: Callable[[], datetime]) -> None:
        go_on.wait(30)
        stopped.set()

    deaf = Worker(db, vault, now, handlers={"count": stubborn})
    deaf.start()
    wait_for(lambda: work.find_work(db, work_id, now()).state == "running")
    assert not deaf.stop(0.5)
    assert work.find_work(db, work_id, now()).state == "queued"
    heir = claim(db, {"count": count})
    go_on.set()
    assert stopped.wait(10)
    assert deaf.stop(10)
    assert work.find_work(db, work_id, now()).state == "running"
    step(db, heir, 1)


def test_a_long_step_keeps_its_lease(db: Database, vault: Vault) -> None:
    work_id = enqueue(db)
    handlers: Handlers = {"count": lambda db, vault, claimed, clock: time.sleep(3)}
    taken = work.claim(db, "test", handlers, now(), 1)
    assert taken is not None
    doing = threading.Thread(
        target=perform, args=[db, vault, taken, now], kwargs={"handlers": handlers, "lease_s": 1}
    )
    doing.start()
    while doing.is_alive():
        assert work.claim(db, "thief", handlers, now()) is None
        time.sleep(0.05)
    assert work.find_work(db, work_id, now()).state == "done"


def test_a_lost_connection_costs_one_attempt_and_no_work(
    db: Database, running: Callable[[Handlers], Worker]
) -> None:
    work_id = enqueue(db, total=300)
    running({"count": slow(0.005)})
    for cut in (1, 2, 3):
        wait_for(lambda cut=cut: work.find_work(db, work_id, now()).progress >= 50 * cut)
        with db.raw() as conn:
            conn.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        db.forget_lost_links()
    wait_for(lambda: work.find_work(db, work_id, now()).finished)
    assert work.find_work(db, work_id, now()).state == "done"


def test_a_database_that_keeps_failing_ends_the_work(db: Database, vault: Vault) -> None:
    """Such as a full disk: not tried for ever, and the reason is told."""
    work_id = enqueue(db)

    def ask_for_the_impossible(
        db: Database, vault: Vault, claimed: work.Claimed, clock: Callable[[], datetime]
    ) -> None:
        with db.raw() as conn:
            conn.execute("SET LOCAL statement_timeout = 1")
            conn.execute("SELECT pg_sleep(5)")

    handlers: Handlers = {"count": ask_for_the_impossible}
    endings = [
        perform(db, vault, claim(db, handlers), now, handlers=handlers) for _ in range(work.MAX_ATTEMPTS)
    ]
    assert endings == ["released"] * (work.MAX_ATTEMPTS - 1) + ["failed"]
    assert work.find_work(db, work_id, now()).state == "failed"


def test_the_worker_outlives_a_restart_of_the_database(tmp_path: Path, vault: Vault) -> None:
    config = Config.from_env({"CARDTONE_HOME": str(tmp_path)})
    server = embedded.attach(config)
    try:
        migrations.upgrade(server.url, now())
        db = Database(server.url)
        work_id = enqueue(db, total=100)
        steady = Worker(db, vault, now, handlers={"count": slow(0.02)})
        with capture_logs() as logs:
            steady.start()
            wait_for(lambda: work.find_work(db, work_id, now()).progress > 5)
            assert server.postmaster is not None
            os.kill(server.postmaster, signal.SIGQUIT)
            wait_for(lambda: any(line["event"] == "work_stopped" for line in logs))
            wait_for(lambda: server.postmaster is None)
            with embedded.running(config):
                db.forget_lost_links()
                wait_for(lambda: work.find_work(db, work_id, now()).finished)
                assert steady.stop(10)
        assert work.find_work(db, work_id, now()).state == "done"
        db.close()
    finally:
        server.detach()
        embedded.remove(config)


def test_a_command_does_its_work_itself_where_nobody_takes_it(
    db: Database, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(HANDLERS, "count", count)
    work_id = enqueue(db)
    told: list[tuple[int, int | None]] = []
    view = run_until_done(
        db, vault, work_id, now, lambda progress, total: told.append((progress, total)), patience_s=0
    )
    assert (view.state, view.result) == ("done", {"counted": 10})
    assert told == [(progress, 10) for progress in range(11)]


def test_a_command_watches_where_a_worker_has_its_work(
    db: Database, vault: Vault, running: Callable[[Handlers], Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(HANDLERS, "count", failing(AssertionError("this must be the worker's")))
    running({"count": slow(0.1)})
    work_id = enqueue(db)
    told: list[int] = []
    view = run_until_done(db, vault, work_id, now, lambda progress, total: told.append(progress))
    assert view.state == "done"
    assert told == sorted(set(told))
    assert told[-1] == 10


def test_a_command_follows_a_worker_that_died(
    db: Database, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(HANDLERS, "count", count)
    work_id = enqueue(db)
    dead = work.claim(db, "dead", ["count"], now() - timedelta(seconds=59))
    assert dead is not None
    began = time.monotonic()
    assert run_until_done(db, vault, work_id, now, patience_s=0).state == "done"
    assert time.monotonic() - began > 0.5


def test_a_command_that_is_interrupted_puts_its_work_back(db: Database, vault: Vault) -> None:
    work_id = enqueue(db)
    handlers = {"count": failing(KeyboardInterrupt())}
    taken = claim(db, handlers)
    with pytest.raises(KeyboardInterrupt):
        perform(db, vault, taken, now, handlers=handlers)
    assert work.find_work(db, work_id, now()).state == "queued"


def test_a_command_is_told_how_its_work_failed(
    db: Database, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(HANDLERS, "count", failing(Conflict("batch_discarded", name="June")))
    view = run_until_done(db, vault, enqueue(db), now, patience_s=0)
    assert (view.state, view.failure) == ("failed", "The batch June was discarded.")


def test_this_process_is_named_in_the_table(db: Database) -> None:
    enqueue(db)
    taken = work.claim(db, worker.worker_name(), ["count"], now())
    assert taken is not None
    with db.connection() as conn:
        row = conn.execute("SELECT claimed_by FROM work").fetchone()
    assert row is not None
    assert row.claimed_by.startswith(worker.worker_name() + "/")


def test_a_long_piece_of_work_keeps_no_short_one_waiting(
    db: Database, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, stopping = threading.Event(), threading.Event()
    monkeypatch.setitem(HANDLERS, "count", count)
    monkeypatch.setitem(HANDLERS, "long", lambda db, vault, claimed, clock: go_on.wait(30) and None)
    with db.begin() as session:
        long_id = work.enqueue(session, "long", {}, CONSOLE, now())
    short_id = enqueue(db)
    process = threading.Thread(target=runner.run, args=[db, vault, now, stopping], kwargs={"entries": ()})
    process.start()
    wait_for(lambda: work.find_work(db, short_id, now()).state == "done")
    assert work.find_work(db, long_id, now()).state == "running"
    go_on.set()
    wait_for(lambda: work.find_work(db, long_id, now()).state == "done")
    stopping.set()
    process.join(20)
    assert not process.is_alive()
