"""Authorize and end of a call in the engine, password checked, by 8 workers, against the least that PostgreSQL needs.

The limit is pgbench with `limit_call.sql`: the same money and rows, statement by statement, without any rule.
"""

from __future__ import annotations

import multiprocessing
import random
import time
from typing import Any

from bench import pgbench
from bench.report import Report, interleaved
from bench.world import World, clock, make
from engine.calls import control
from engine.calls.control import Authorized, Credentials
from engine.db import Database
from engine.vault import Secret, Vault

CARDS = 100_000
WORKERS = 8
SECONDS = 6.0
ROUNDS = 3
GOAL = 0.35


def run(report: Report, url: str) -> None:
    """Print `engine` (calls spread over 100,000 cards) and `hot_card` (all on one card)."""
    world = make(url, CARDS)
    pgbench.prepare(url, CARDS)
    for name, cards, hot in (("engine", world.cards, False), ("hot_card", world.cards[:1], True)):
        with Workers(world, cards) as workers:
            ours, limit = interleaved(
                ROUNDS,
                lambda workers=workers: workers.calls_per_second(SECONDS),
                lambda hot=hot: pgbench.calls_per_second(url, hot=hot, seconds=int(SECONDS)),
            )
        report.figure(f"{name}: {ours:,.0f} calls/s, pgbench {limit:,.0f} calls/s ({WORKERS} workers each)")
        report.ratio(name, ours / limit, GOAL)


class Workers:
    """Processes that make calls for as long as they are told, with connections that stay open between rounds."""

    def __init__(self, world: World, cards: list[tuple[str, str]]) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipes: list[Any] = []
        self._processes = []
        for number in range(WORKERS):
            mine, theirs = context.Pipe()
            process = context.Process(target=_worker, args=(theirs, world, cards, number), daemon=True)
            process.start()
            self._pipes.append(mine)
            self._processes.append(process)
        for pipe in self._pipes:
            pipe.recv()

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        for pipe in self._pipes:
            pipe.send(None)
        for process in self._processes:
            process.join()

    def calls_per_second(self, seconds: float) -> float:
        """Whole calls (authorize and end) a second, all workers together."""
        for pipe in self._pipes:
            pipe.send(seconds)
        return sum(pipe.recv() for pipe in self._pipes) / seconds


def _worker(pipe: Any, world: World, cards: list[tuple[str, str]], number: int) -> None:
    db, vault = Database(world.url, pool_size=1), Vault(world.keys)
    dice = random.Random(number)
    count = 0

    def call() -> None:
        nonlocal count
        count += 1
        card_number, password = dice.choice(cards)
        ref = f"{number}-{time.monotonic_ns()}-{count}"
        opened = control.authorize(
            db,
            vault,
            switch=world.switch,
            call_ref=ref,
            credentials=Credentials(card_number, Secret(password)),
            caller=None,
            destination=f"88017{dice.randrange(10**8):08}",
            access_number=None,
            one_shot=False,
            now=clock(),
        )
        assert isinstance(opened, Authorized), opened
        control.end(db, switch=world.switch, call_ref=ref, duration_ms=3_000, cause=16, now=clock())

    for _ in range(20):
        call()
    pipe.send("ready")
    while (seconds := pipe.recv()) is not None:
        stop, done = time.monotonic() + seconds, 0
        while time.monotonic() < stop:
            call()
            done += 1
        pipe.send(done)
    db.close()
