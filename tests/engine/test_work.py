"""Background work: one holder at a time, whoever dies is followed by somebody who goes on."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from engine import work
from engine.actor import CONSOLE
from engine.db import Database
from engine.errors import Conflict, EngineError, NotFound

NOW = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
KINDS = ["count"]


def later(seconds: int) -> datetime:
    return NOW + timedelta(seconds=seconds)


def enqueue(db: Database, kind: str = "count", total: int | None = 10) -> int:
    with db.begin() as session:
        return work.enqueue(session, kind, {"of": "cards"}, CONSOLE, NOW, total=total)


def claimed(db: Database, at: datetime = NOW) -> work.Claimed:
    taken = work.claim(db, "worker", KINDS, at)
    assert taken is not None
    return taken


def report(db: Database, taken: work.Claimed, progress: int, at: datetime = NOW) -> None:
    with db.connection() as conn, conn.transaction():
        work.report(conn, taken, progress, at)


def cancel(db: Database, work_id: int, at: datetime = NOW) -> bool:
    with db.begin() as session:
        return work.cancel(session, work_id, CONSOLE, at)


def resume(db: Database, work_id: int) -> None:
    with db.begin() as session:
        work.resume(session, work_id, CONSOLE, NOW)


def state(db: Database, work_id: int, at: datetime = NOW) -> str:
    return work.find_work(db, work_id, at).state


def test_work_goes_from_the_queue_to_done_with_its_progress_and_result(db: Database) -> None:
    work_id = enqueue(db)
    view = work.find_work(db, work_id, NOW)
    assert (view.state, view.progress, view.total, view.finished) == ("queued", 0, 10, False)
    taken = claimed(db, later(1))
    assert (taken.id, taken.kind, taken.params, taken.total) == (work_id, "count", {"of": "cards"}, 10)
    report(db, taken, 4, later(2))
    view = work.find_work(db, work_id, later(3))
    assert (view.state, view.progress, view.started_at, view.abandoned) == ("running", 4, later(1), False)
    work.finish(db, taken, later(4), {"counted": 10})
    view = work.find_work(db, work_id, later(5))
    assert (view.state, view.progress, view.result, view.finished_at) == (
        "done",
        10,
        {"counted": 10},
        later(4),
    )
    assert view.created_by == "console"
    assert work.claim(db, "worker", KINDS, later(10_000)) is None


def test_the_oldest_is_taken_first_and_only_kinds_that_were_asked_for(db: Database) -> None:
    other, first, second = enqueue(db, "other"), enqueue(db), enqueue(db)
    assert [claimed(db).id, claimed(db).id] == [first, second]
    assert work.claim(db, "worker", KINDS, NOW) is None
    assert work.claim(db, "worker", [], NOW) is None
    taken = work.claim(db, "worker", ["other"], NOW, work_id=first)
    assert taken is None
    taken = work.claim(db, "worker", ["other", *KINDS], NOW, work_id=other)
    assert taken is not None
    assert taken.id == other


def test_work_of_a_command_that_failed_was_never_there(db: Database) -> None:
    def order_and_fail() -> None:
        with db.begin() as session:
            work.enqueue(session, "count", {}, CONSOLE, NOW)
            raise RuntimeError("undone")

    with pytest.raises(RuntimeError, match="undone"):
        order_and_fail()
    assert work.claim(db, "worker", KINDS, NOW) is None


def test_racing_claimers_never_hold_the_same_row(db: Database) -> None:
    ids = [enqueue(db) for _ in range(60)]
    taken: list[int] = []

    def take() -> None:
        while (mine := work.claim(db, "racer", KINDS, NOW)) is not None:
            taken.append(mine.id)

    racers = [threading.Thread(target=take) for _ in range(8)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert sorted(taken) == ids


_CLAIM_AND_REPORT = """
import sys
from datetime import UTC, datetime
from engine import work
from engine.db import Database

now = datetime.fromisoformat(sys.argv[2])
db = Database(sys.argv[1], pool_size=2)
sys.stdin.readline()
while (mine := work.claim(db, "process", ["count"], now)) is not None:
    work.finish(db, mine, now, {})
    print(mine.id)
db.close()
"""


def test_racing_processes_share_the_work_without_doing_any_twice(db: Database) -> None:
    ids = [enqueue(db) for _ in range(40)]
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", _CLAIM_AND_REPORT, db.url, NOW.isoformat()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    done = [racer.communicate()[0].split() for racer in racers]
    assert [racer.returncode for racer in racers] == [0, 0, 0]
    assert sorted(int(word) for words in done for word in words) == ids
    assert all(state(db, work_id) == "done" for work_id in ids)


def test_a_dead_holders_row_is_taken_again_when_its_lease_ends_and_not_before(db: Database) -> None:
    work_id = enqueue(db)
    dead = claimed(db)
    report(db, dead, 4, later(10))
    assert work.claim(db, "other", KINDS, later(69)) is None
    assert work.find_work(db, work_id, later(70)).abandoned
    heir = claimed(db, later(70))
    assert (heir.id, heir.progress) == (work_id, 4)
    for too_late in (
        lambda: report(db, dead, 5, later(71)),
        lambda: work.extend(db, dead, later(71)),
        lambda: work.finish(db, dead, later(71)),
        lambda: work.fail(db, dead, EngineError("space_full"), later(71)),
    ):
        with pytest.raises(work.Stopped, match="work_lost"):
            too_late()
    assert not work.release(db, dead)
    report(db, heir, 6, later(72))
    work.finish(db, heir, later(73))
    assert work.find_work(db, work_id, later(74)).progress == 10


def test_a_step_whose_claim_was_lost_is_undone_with_its_report(db: Database) -> None:
    enqueue(db)
    dead, heir = claimed(db), claimed(db, later(60))

    def step(holder: work.Claimed) -> None:
        with db.connection() as conn, conn.transaction():
            conn.execute("INSERT INTO destination_group VALUES (%s, '{1}')", (holder.claim,))
            work.report(conn, holder, 1, later(61))

    with pytest.raises(work.Stopped, match="work_lost"):
        step(dead)
    step(heir)
    with db.connection() as conn:
        assert [row.name for row in conn.execute("SELECT name FROM destination_group")] == [heir.claim]


def test_a_lease_lasts_as_long_as_it_is_prolonged(db: Database) -> None:
    enqueue(db)
    taken = claimed(db)
    for seconds in range(50, 1000, 50):
        work.extend(db, taken, later(seconds))
        assert work.claim(db, "other", KINDS, later(seconds + 59)) is None
    assert work.claim(db, "other", KINDS, later(950 + 60)) is not None


def test_work_that_kills_its_workers_without_getting_on_is_given_up(db: Database) -> None:
    work_id = enqueue(db)
    at = 0
    for _ in range(work.MAX_ATTEMPTS):
        claimed(db, later(at))
        at += 60
    assert work.claim(db, "worker", KINDS, later(at)) is None
    view = work.find_work(db, work_id, later(at))
    assert (view.state, view.code) == ("failed", "work_given_up")
    assert view.failure is not None
    assert "5 times" in view.failure


def test_work_that_gets_on_a_little_each_time_is_never_given_up(db: Database) -> None:
    enqueue(db)
    for turn in range(work.MAX_ATTEMPTS * 2):
        report(db, claimed(db, later(turn * 100)), turn + 1, later(turn * 100))


def test_work_that_was_put_back_goes_on_at_once(db: Database) -> None:
    work_id = enqueue(db)
    taken = claimed(db)
    report(db, taken, 3)
    assert work.release(db, taken)
    assert not work.release(db, taken)
    assert state(db, work_id) == "queued"
    assert claimed(db).progress == 3


def test_what_nobody_began_is_cancelled_at_once(db: Database) -> None:
    work_id = enqueue(db)
    assert cancel(db, work_id)
    assert state(db, work_id) == "cancelled"
    assert not cancel(db, work_id)
    assert work.claim(db, "worker", KINDS, NOW) is None


def test_what_runs_is_cancelled_at_its_next_report(db: Database) -> None:
    work_id = enqueue(db)
    taken = claimed(db)
    report(db, taken, 3)
    assert cancel(db, work_id)
    assert work.find_work(db, work_id, NOW).cancel_requested
    assert state(db, work_id) == "running"
    with pytest.raises(work.Stopped, match="work_cancelled"):
        report(db, taken, 4)
    with pytest.raises(work.Stopped, match="work_cancelled"):
        work.extend(db, taken, NOW)
    work.mark_cancelled(db, taken, NOW)
    view = work.find_work(db, work_id, NOW)
    assert (view.state, view.progress, view.finished_at) == ("cancelled", 3, NOW)


def test_what_was_cancelled_while_its_holder_was_dead_is_not_taken_up(db: Database) -> None:
    before, after = enqueue(db), enqueue(db)
    claimed(db)
    claimed(db)
    cancel(db, before)
    cancel(db, after, later(60))
    assert (state(db, before), state(db, after)) == ("running", "cancelled")
    assert work.claim(db, "worker", KINDS, later(60)) is None
    assert state(db, before) == "cancelled"


def test_a_process_that_wants_to_end_stops_at_its_next_report(db: Database) -> None:
    enqueue(db)
    taken = claimed(db)
    taken.interrupted = True
    with pytest.raises(work.Stopped, match="work_interrupted"):
        report(db, taken, 1)


def test_failed_and_cancelled_work_can_be_resumed_and_goes_on_where_it_was(db: Database) -> None:
    failed, cancelled, done = enqueue(db), enqueue(db), enqueue(db)
    taken = claimed(db)
    report(db, taken, 7)
    work.fail(db, taken, EngineError("space_full", free=3, wanted=5), NOW)
    view = work.find_work(db, failed, NOW)
    assert (view.state, view.code) == ("failed", "space_full")
    assert view.failure == "There are only 3 free numbers; 5 are wanted."
    cancel(db, cancelled)
    work.finish(db, claimed(db), NOW)
    for work_id in (failed, cancelled):
        resume(db, work_id)
        assert state(db, work_id) == "queued"
        again = claimed(db)
        assert (again.id, again.progress) == (work_id, 7 if work_id == failed else 0)
        view = work.find_work(db, work_id, NOW)
        assert (view.code, view.failure, view.finished_at) == (None, None, None)
    with pytest.raises(Conflict, match="work_not_stopped"):
        resume(db, done)


def test_progress_is_told_to_whoever_watches_in_the_process(db: Database) -> None:
    enqueue(db)
    taken = claimed(db)
    told: Counter[tuple[int, int | None]] = Counter()
    taken.on_progress = lambda progress, total: told.update([(progress, total)])
    for progress in (2, 5):
        report(db, taken, progress)
    assert list(told) == [(2, 10), (5, 10)]


def test_no_such_work(db: Database) -> None:
    with pytest.raises(NotFound, match="work_not_found"):
        work.find_work(db, 7, NOW)
    with pytest.raises(NotFound, match="work_not_found"):
        cancel(db, 7)
    with pytest.raises(NotFound, match="work_not_found"):
        resume(db, 7)
