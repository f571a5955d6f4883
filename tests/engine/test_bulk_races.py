"""Runs that are killed, held twice, or in each other's way: every target once, nobody left out, no deadlock."""

from __future__ import annotations

import os
import random
import signal
import threading
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from engine import work
from engine.bulk import handler, runs
from engine.bulk.orders import BulkOrder, Listed
from engine.bulk.runs import confirm
from engine.bulk.views import RunView, show
from engine.cards import lifecycle
from engine.cards.search import CardFilter
from engine.config import Keys
from engine.db import Database
from engine.funds import recharges
from engine.vault import Vault
from tests import processes, scenes
from tests.engine.bulkscenes import LATER, do
from tests.proof import scaled
from tests.scenes import OPERATOR, USD, Line, TestCard

processes.preload("engine.bulk.handler")

COUNT = 12
RECHARGE = {"amount": USD("2"), "bonus": USD("0.50")}


@pytest.fixture
def cards(db: Database, vault: Vault, monkeypatch: pytest.MonkeyPatch) -> list[TestCard]:
    """Cards whose runs take four at a time."""
    monkeypatch.setattr(runs, "CHUNK", 4)
    return scenes.batch(db, vault, COUNT, name="May")


def work_and_die(url: str, keys: Keys, work_id: int, hours: int, statements: int) -> None:
    """Work off a run until so many statements were sent; then the process is killed, as by the machine."""
    sent = 0
    execute = psycopg.Cursor.execute

    def counted(self: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal sent
        done = execute(self, query, *args, **kwargs)
        sent += 1
        if sent >= statements:
            os.kill(os.getpid(), signal.SIGKILL)
        return done

    db, now = Database(url), LATER + timedelta(hours=hours)
    claimed = work.claim(db, "child", ["bulk"], now, work_id=work_id)
    assert claimed is not None
    psycopg.Cursor.execute = counted  # type: ignore[method-assign]
    work.finish(db, claimed, now, handler.run(db, Vault(keys), claimed, lambda: now))


def assert_each_once(db: Database, run: RunView, count: int) -> None:
    """Every target got its entries of this run, once, and the run's sum is theirs."""
    with db.begin() as session:
        rows = session.execute(
            text(
                "SELECT card_id, count(*) FILTER (WHERE kind = 'recharge') AS recharges,"
                " count(*) FILTER (WHERE kind = 'bonus') AS gifts, sum(amount) AS amount"
                " FROM ledger_entry WHERE reference = :reference GROUP BY card_id"
            ),
            {"reference": f"run:{run.id}"},
        ).all()
        told = session.scalar(
            text("SELECT count(*) FROM card_event WHERE kind = 'recharge' AND data ->> 'run' = :run"),
            {"run": str(run.id)},
        )
    assert [(row.recharges, row.gifts, row.amount) for row in rows] == [(1, 1, USD("2.50"))] * count
    assert (told, run.changed, run.amount, run.state) == (count, count, count * USD("2.50"), "done")


def test_a_run_that_is_killed_at_ten_points_recharges_everybody_once(
    db: Database, database_url: str, vault: Vault, keys: Keys, cards: list[TestCard]
) -> None:
    run_id = confirm(db, BulkOrder("recharge", CardFilter(), RECHARGE), OPERATOR, LATER)
    work_id = show(db, run_id).work_id
    killed = 0
    dice = random.Random(7)
    # Each attempt gets a little further than one chunk at most, from its first statement to its last.
    points = sorted(dice.sample(range(1, 22), 10))
    for attempt, statements in enumerate(points):
        with db.begin() as session:
            # Killed without progress five times in a row, work is given up; that is not what is looked at here.
            session.execute(text("UPDATE work SET attempts = 0"))
        child = processes.start(work_and_die, database_url, keys, work_id, attempt, statements)
        child.join(60)
        killed += child.exitcode == -signal.SIGKILL
    assert killed == 10
    assert show(db, run_id).changed in (0, 4, 8, 12)
    assert_each_once(db, do(db, vault, run_id, LATER + timedelta(days=1)), COUNT)


def test_of_two_who_hold_one_run_each_card_is_recharged_by_one(
    db: Database, database_url: str, vault: Vault, cards: list[TestCard]
) -> None:
    for _ in range(scaled(30, 3)):
        run_id = confirm(db, BulkOrder("recharge", CardFilter(), RECHARGE), OPERATOR, LATER)
        work_id = show(db, run_id).work_id
        first = work.claim(db, "first", ["bulk"], LATER, work_id=work_id)
        later = LATER + timedelta(hours=1)
        second = work.claim(db, "second", ["bulk"], later, work_id=work_id)
        assert first is not None
        assert second is not None
        outcomes: dict[str, str] = {}

        def hold(claimed: work.Claimed, outcomes: dict[str, str] = outcomes, later: Any = later) -> None:
            own = Database(database_url)
            try:
                work.finish(own, claimed, later, handler.run(own, vault, claimed, lambda: later))
                outcomes[claimed.claim] = "done"
            except work.Stopped as stopped:
                outcomes[claimed.claim] = stopped.code
            finally:
                own.close()

        together(lambda first=first: hold(first), lambda second=second: hold(second))
        assert outcomes == {first.claim: "work_lost", second.claim: "done"}
        assert_each_once(db, show(db, run_id), COUNT)


def test_runs_and_single_commands_and_calls_do_not_stop_each_other(
    db: Database, database_url: str, vault: Vault, cards: list[TestCard]
) -> None:
    switch = scenes.switch(db)
    recharging = [
        confirm(db, BulkOrder("recharge", CardFilter(), RECHARGE), OPERATOR, LATER) for _ in range(3)
    ]
    others = [
        confirm(db, BulkOrder(verb, CardFilter(), params), OPERATOR, LATER)
        for verb, params in (("set_concurrency", {"calls": 5}), ("unlock", {}), ("extend", {"days": 3}))
    ]

    def work_off(run_ids: list[int]) -> None:
        own = Database(database_url)
        for run_id in run_ids:
            do(own, vault, run_id)
        own.close()

    def singly(seed: int) -> None:
        own, dice = Database(database_url), random.Random(seed)
        line = Line(own, vault, switch, now=LATER)
        for turn in range(scaled(200, 15)):
            card, ref = dice.choice(cards), f"{seed}-{turn}"
            if dice.random() < 0.5:
                line.open(card, ref=ref)
                line.end(ref, seconds=3)
            else:
                recharges.recharge(own, card_id=card.id, amount=1, actor=OPERATOR, now=LATER)
                lifecycle.set_concurrency(own, card_id=card.id, calls=9, actor=OPERATOR, now=LATER)
        own.close()

    together(
        lambda: work_off(recharging[:2]),
        lambda: work_off([*others, recharging[2]]),
        lambda: singly(1),
        lambda: singly(2),
    )
    for run_id in recharging:
        assert_each_once(db, show(db, run_id), COUNT)
    assert {show(db, run_id).state for run_id in others} == {"done"}


def test_a_caller_that_somebody_binds_in_the_same_moment_is_refused_not_lost(
    db: Database, database_url: str, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = scenes.batch(db, vault, 8, name="Pinless", pinless=True, binding="multi", max_bound=3)
    callers = tuple(f"49171000000{n}" for n in range(4))
    order = [
        BulkOrder("bind", Listed(tuple(card.id for card in half), callers), {"pinless": True})
        for half in (made[:4], made[4:])
    ]
    ids = [confirm(db, one, OPERATOR, LATER) for one in order]

    def work_off(run_id: int) -> None:
        own = Database(database_url)
        do(own, vault, run_id)
        own.close()

    together(lambda: work_off(ids[0]), lambda: work_off(ids[1]))
    done = [show(db, run_id) for run_id in ids]
    assert sum(run.changed for run in done) == 4
    assert sum(run.reasons.get("pinless_elsewhere", 0) for run in done) == 4


def together(*acts: Any) -> None:
    """Do all at once; the first error of any is raised."""
    errors: list[BaseException] = []

    def guarded(act: Any) -> None:
        try:
            act()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=[act]) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    if errors:
        raise errors[0]
