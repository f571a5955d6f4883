"""Cardholders log in and look at their card while switches authorize: 20 people clicking, 20 calls a second.

The server runs as `cardtone serve` starts it. Each of the people opens the log-in, sends it, and reads home, with a
second between two clicks; then does it again with another card. Measured is what they wait for a log-in and its home
together. Goal: p95 of at most 150 ms.
"""

from __future__ import annotations

import http.client
import multiprocessing
import random
import re
import statistics
import threading
import time
from typing import Any
from urllib.parse import urlencode

from bench.http import Connection, served
from bench.report import Report
from bench.world import World, make

CARDS = 5_000
PEOPLE = 20
CALLS_PER_SECOND = 20
LINES = 4
SECONDS = 30.0
THINK_S = 1.0
MOST_MS = 150.0
_TOKEN = re.compile(rb'name="csrf_token"[^>]* value="([^"]+)"')


def run(report: Report, url: str) -> None:
    """Print `holder_p95`: the goal over the p95 of a log-in with its home."""
    world = make(url, CARDS)
    with served(world, "cli", "serve", "--port") as port:
        context = multiprocessing.get_context("spawn")
        mine, theirs = context.Pipe()
        process = context.Process(target=_generate, args=(theirs, world, port), daemon=True)
        process.start()
        waits, calls, failures = mine.recv()
        process.join()
    if failures:
        raise RuntimeError(failures[0])
    ordered = sorted(waits)
    p95 = ordered[int(len(ordered) * 0.95)]
    report.figure(
        f"log-in and home, {len(waits):,} times by {PEOPLE} people, {calls / SECONDS:.0f} calls/s beside them:"
        f" p50 {statistics.median(ordered):.0f} ms, p95 {p95:.0f} ms, most {ordered[-1]:.0f} ms"
    )
    report.ratio("holder_p95", MOST_MS / p95, 1.0)


def _generate(pipe: Any, world: World, port: int) -> None:
    waits: list[float] = []
    failures: list[str] = []
    made = [0] * LINES
    stop = time.monotonic() + SECONDS

    def guarded(work: Any, *given: Any) -> None:
        try:
            work(*given)
        except Exception as error:
            failures.append(repr(error))

    people = [
        threading.Thread(target=guarded, args=(_click, world, port, number, stop, waits))
        for number in range(PEOPLE)
    ]
    lines = [
        threading.Thread(target=guarded, args=(_call, world, port, number, stop, made))
        for number in range(LINES)
    ]
    for thread in (*people, *lines):
        thread.start()
    for thread in (*people, *lines):
        thread.join()
    pipe.send((waits, sum(made), failures))


def _click(world: World, port: int, number: int, stop: float, waits: list[float]) -> None:
    dice = random.Random(number)
    time.sleep(dice.uniform(0, 3 * THINK_S))
    turn = 0
    while time.monotonic() < stop:
        # Each person's own cards, so that nobody is taken for a crowd that guesses.
        card_number, password = world.cards[number + PEOPLE * (turn % (CARDS // PEOPLE))]
        turn += 1
        visit = _Visit(port)
        page = visit.ask("GET", "/card/log-in")
        token: Any = _TOKEN.search(page)
        time.sleep(THINK_S)
        fields = {
            "csrf_token": token[1].decode(),
            "number": card_number,
            "password": password,
            "next": "/card",
        }
        started = time.perf_counter()
        visit.ask("POST", "/card/log-in", fields)
        home = visit.ask("GET", "/card")
        waits.append((time.perf_counter() - started) * 1000)
        if b"$" not in home:
            raise RuntimeError("home shows no balance")
        time.sleep(THINK_S)
        visit.close()


class _Visit:
    """A browser as far as cookies go."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self._cookies: dict[str, str] = {}

    def ask(self, method: str, path: str, fields: dict[str, str] | None = None) -> bytes:
        """The body of a page; anything but a page or the way to one raises."""
        headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in self._cookies.items())}
        body = None
        if fields is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            body = urlencode(fields)
        self._connection.request(method, path, body, headers)
        answer = self._connection.getresponse()
        data = answer.read()
        for line in answer.headers.get_all("Set-Cookie") or ():
            name, _, value = line.partition(";")[0].partition("=")
            self._cookies[name] = value
        if answer.status not in (200, 303):
            raise RuntimeError(f"{method} {path}: {answer.status}")
        return data

    def close(self) -> None:
        """Leave."""
        self._connection.close()


def _call(world: World, port: int, number: int, stop: float, made: list[int]) -> None:
    """A switch's line: calls at an even pace."""
    connection, dice = Connection(port, world.switch_key), random.Random(number)
    pace = LINES / CALLS_PER_SECOND
    due = time.monotonic() + pace * number / LINES
    while due < stop:
        time.sleep(max(0.0, due - time.monotonic()))
        card_number, password = dice.choice(world.cards)
        ref = f"holder-{number}-{time.monotonic_ns()}"
        destination = f"88017{dice.randrange(10**8):08}"
        proof = {"card_number": card_number, "password": password}
        connection.post("calls", {**proof, "call_ref": ref, "destination": destination, "one_shot": False})
        connection.post(f"calls/{ref}/end", {"duration_seconds": 3, "cause": 16})
        made[number] += 1
        due += pace
    connection.close()
