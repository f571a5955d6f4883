"""`python -m jobs` as the supervisor runs it: real processes, one leader among them, kills and signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, text

from engine import work
from engine.config import Config
from engine.db import Database
from engine.schema import Card, LedgerEntry
from engine.stock.batches import BatchOrder, order_batch
from engine.vault import Vault
from tests import scenes

ROOT = Path(__file__).parent.parent.parent
COUNT = 200_000 if os.environ.get("CARDTONE_PROVE") == "1" else 60_000


def now() -> datetime:
    return datetime.now(UTC)


def wait_for(seen: Callable[[], bool], seconds: float = 40) -> None:
    deadline = time.monotonic() + seconds
    while not seen():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


class Jobs:
    """A jobs process and what it logs."""

    def __init__(self, home: Path, url: str, number: int) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CARDTONE_")}
        self.log = home / f"jobs-{number}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "jobs"],
                env=kept
                | {
                    "CARDTONE_HOME": str(home),
                    "CARDTONE_DATABASE_URL": url,
                    "CARDTONE_LOG_LEVEL": "debug",
                    "PYTHONPATH": str(ROOT),
                },
                cwd=home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def events(self) -> list[dict[str, Any]]:
        """Every line logged so far; each must be JSON."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.strip()]

    def said(self, event: str) -> bool:
        return any(line["event"] == event for line in self.events())

    def end(self) -> tuple[int, float]:
        """SIGTERM; its exit status, and the seconds it took."""
        began = time.monotonic()
        self.process.terminate()
        return self.process.wait(30), time.monotonic() - began

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home whose keys exist."""
    Config(home=tmp_path).load_keys()
    return tmp_path


@pytest.fixture
def home_vault(home: Path) -> Vault:
    return Vault(Config(home=home).load_keys())


@pytest.fixture
def start(home: Path, database_url: str) -> Iterator[Callable[[], Jobs]]:
    """Starts jobs processes; what is left of them is killed."""
    started: list[Jobs] = []

    def run() -> Jobs:
        started.append(Jobs(home, database_url, len(started)))
        return started[-1]

    yield run
    for jobs in started:
        jobs.kill()


def order(db: Database, vault: Vault, count: int = COUNT) -> int:
    """An ordered batch; the id of the work that makes it."""
    scenes.deck(db)
    wanted = BatchOrder(name="June", count=count, denomination=5_000_000, currency="USD", deck="Standard")
    return order_batch(db, vault, wanted, scenes.OPERATOR, now()).work_id


def end_lease(db: Database, work_id: int) -> None:
    """As if the minute of a dead holder's lease had passed."""
    with db.begin() as session:
        session.execute(
            text("UPDATE work SET lease_until = :now WHERE id = :id AND state = 'running'"),
            {"now": now(), "id": work_id},
        )


def test_a_batch_is_made_and_the_process_stops_in_time(
    db: Database, home_vault: Vault, start: Callable[[], Jobs]
) -> None:
    work_id = order(db, home_vault, 1000)
    jobs = start()
    wait_for(lambda: work.find_work(db, work_id, now()).finished)
    view = work.find_work(db, work_id, now())
    assert (view.state, view.progress) == ("done", 1000)
    wait_for(lambda: jobs.said("leads"))
    status, seconds = jobs.end()
    assert status == 0
    assert seconds < 5
    assert [line["event"] for line in jobs.events()][-1] == "jobs_end"


def test_killed_again_and_again_it_makes_exactly_the_ordered_cards(
    db: Database, home_vault: Vault, start: Callable[[], Jobs]
) -> None:
    work_id = order(db, home_vault)
    for _ in range(2):
        before = work.find_work(db, work_id, now()).progress
        jobs = start()
        wait_for(lambda before=before: work.find_work(db, work_id, now()).progress > before)
        jobs.kill()
        assert work.find_work(db, work_id, now()).state in ("running", "done")
        end_lease(db, work_id)
    start()
    wait_for(lambda: work.find_work(db, work_id, now()).finished)
    assert work.find_work(db, work_id, now()).state == "done"
    with db.begin() as session:
        assert session.scalar(select(func.count(func.distinct(Card.number)))) == COUNT
        assert session.scalar(select(func.count()).select_from(LedgerEntry)) == COUNT


def test_a_batch_in_the_making_is_put_back_within_seconds_and_the_next_process_goes_on(
    db: Database, home_vault: Vault, start: Callable[[], Jobs]
) -> None:
    work_id = order(db, home_vault)
    jobs = start()
    wait_for(lambda: work.find_work(db, work_id, now()).progress > 0)
    status, seconds = jobs.end()
    # 75 where a step took longer than the farewell: it is undone, and the work put back all the same.
    (last,) = [line for line in jobs.events() if line["event"] == "jobs_end"]
    assert status == (0 if last["well"] else 75)
    assert seconds < 5
    view = work.find_work(db, work_id, now())
    assert view.state in ("queued", "done"), "nobody has to wait for a lease to end"
    start()
    wait_for(lambda: work.find_work(db, work_id, now()).finished)
    view = work.find_work(db, work_id, now())
    assert (view.state, view.progress) == ("done", COUNT)


def test_one_leads_and_when_it_is_killed_another_takes_over(db: Database, start: Callable[[], Jobs]) -> None:
    several = [start() for _ in range(3)]

    def leaders() -> list[Jobs]:
        return [jobs for jobs in several if jobs.said("leads")]

    wait_for(lambda: len(leaders()) == 1 and all(jobs.said("jobs_begin") for jobs in several))
    time.sleep(1.2)
    assert len(leaders()) == 1
    (first,) = leaders()
    wait_for(lambda: first.said("run_done"))
    assert not any(jobs.said("run_done") for jobs in several if jobs is not first)
    first.kill()
    killed = time.monotonic()
    wait_for(lambda: len(leaders()) == 2, 10)
    assert time.monotonic() - killed < 5
    second = next(jobs for jobs in leaders() if jobs is not first)
    wait_for(lambda: second.said("run_done"))


def test_a_process_waits_for_the_migration_and_says_so(
    home: Path, server_url: str, clones: Any, db: Database
) -> None:
    with db.begin() as session:
        session.execute(text("UPDATE alembic_version SET version_num = 'none'"))
    jobs = Jobs(home, db.url, 0)
    try:
        wait_for(lambda: jobs.said("jobs_wait"))
        assert jobs.events()[0]["waits_for"] == "its migration"
        status, seconds = jobs.end()
        assert status == 0
        assert seconds < 5
    finally:
        jobs.kill()


def test_the_log_holds_neither_numbers_nor_passwords(
    db: Database, home_vault: Vault, start: Callable[[], Jobs]
) -> None:
    work_id = order(db, home_vault, 500)
    jobs = start()
    wait_for(lambda: work.find_work(db, work_id, now()).finished)
    assert jobs.end()[0] == 0
    log = jobs.log.read_text()
    with db.begin() as session:
        numbers = session.scalars(select(Card.number)).all()
        batch_id = session.scalars(select(Card.batch_id).limit(1)).one()
    cards = scenes.cards_of(db, home_vault, batch_id)
    assert len(numbers) == len(cards) == 500
    assert not [number for number in numbers if number in log]
    assert not [card.password for card in cards if card.password in log]


def test_a_process_without_settings_says_what_is_missing(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-P", "-m", "jobs"],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "CARDTONE_ENV": "production"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == 1
    assert ended.stderr.strip() == (
        "CARDTONE_DATABASE_URL is not set; production needs a database of its own."
    )


def test_an_interrupt_from_the_keyboard_ends_it_like_the_supervisor(
    db: Database, start: Callable[[], Jobs]
) -> None:
    jobs = start()
    wait_for(lambda: jobs.said("leads"))
    jobs.process.send_signal(signal.SIGINT)
    assert jobs.process.wait(5) == 0
