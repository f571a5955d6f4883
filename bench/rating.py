"""How fast the rate in force is found in a deck of 100,000 prefixes, against the bare dict probe it is made of."""

from __future__ import annotations

import gc
import random
import statistics
import tracemalloc
from datetime import UTC, datetime, time
from time import perf_counter
from typing import Protocol

from engine.calls.ratetable import RateTable, Row

PREFIXES = 100_000
NUMBERS = 50_000
ROUNDS = 9
GOAL = 0.4
AT = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


class Report(Protocol):
    """Where the figures go: `bench/__main__.py` has the one that prints them."""

    def figure(self, text: str) -> None: ...

    def ratio(self, name: str, value: float, goal: float) -> None: ...


def deck(dice: random.Random, timed: int = 0) -> list[Row]:
    """Rows as a wholesale deck has them: prefixes of 1 to 9 digits, some hundred prices, `timed` rows with windows."""
    prefixes: set[str] = {str(digit) for digit in range(1, 10)}
    while len(prefixes) < PREFIXES:
        length = dice.choices(range(2, 10), weights=(1, 4, 8, 15, 25, 25, 15, 7))[0]
        prefixes.add(str(dice.randrange(10 ** (length - 1), 10**length)))
    prices = [dice.randrange(1_000, 900_000) for _ in range(400)]
    rows: list[Row] = []
    for number, prefix in enumerate(dice.sample(sorted(prefixes), PREFIXES), start=1):
        first, step = dice.choice(((1, 1), (60, 60), (30, 6), (60, 1)))
        name, price = f"Destination {prefix[:4]}", dice.choice(prices)
        if number <= timed:
            rows.append(
                (number, prefix, name, price, 0, first, step, 0, AT, None, [1, 2, 3], time(8), time(20))
            )
        else:
            rows.append((number, prefix, name, price, 0, first, step, 0, None, None, None, None, None))
    return rows


def numbers(rows: list[Row], dice: random.Random) -> list[str]:
    """Destinations of 11 to 13 digits, most of them under some long prefix."""
    return [
        (dice.choice(rows)[1] + str(dice.randrange(10**11, 10**12)))[: dice.randrange(11, 14)]
        for _ in range(NUMBERS)
    ]


def bare_probe(table: dict[str, Row], lengths: tuple[int, ...], wanted: list[str]) -> float:
    """Seconds that the bare probe takes for all of `wanted`."""
    started = perf_counter()
    for number in wanted:
        for length in lengths:
            if table.get(number[:length]) is not None:
                break
    return perf_counter() - started


def full_find(table: RateTable, wanted: list[str]) -> float:
    """Seconds that `RateTable.find` takes for all of `wanted`."""
    find = table.find
    started = perf_counter()
    for number in wanted:
        find(number, AT)
    return perf_counter() - started


def memory_of_a_table(rows: list[Row]) -> int:
    """Bytes that a table needs beside the rows it was made from."""
    tracemalloc.start()
    table = RateTable(rows)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(table) == len(rows)
    return size


def run(report: Report) -> None:
    """Loading, finding plain and timed rates, and the ratio; medians of interleaved rounds."""
    dice = random.Random(7)
    rows = deck(dice)
    wanted = numbers(rows, dice)
    bare = {row[1]: row for row in rows}
    lengths = tuple(sorted({len(prefix) for prefix in bare}, reverse=True))
    gc.collect()
    started = perf_counter()
    table = RateTable(rows)
    load_s = perf_counter() - started
    megabytes = memory_of_a_table(rows) / 1e6
    timed = RateTable(deck(random.Random(7), timed=PREFIXES // 10))
    bares, finds, timeds = [], [], []
    for _ in range(ROUNDS):
        bares.append(bare_probe(bare, lengths, wanted))
        finds.append(full_find(table, wanted))
        timeds.append(full_find(timed, wanted))
    probe, find, mixed = (statistics.median(times) / NUMBERS for times in (bares, finds, timeds))
    report.figure(f"rating: {PREFIXES:,} rows into the table in {load_s:.2f} s, {megabytes:.0f} MB")
    report.figure(f"rating: bare dict probe {1 / probe:,.0f} a second, {probe * 1e6:.2f} us each")
    report.figure(f"rating: rate in force {1 / find:,.0f} a second, {find * 1e6:.2f} us each")
    report.figure(f"rating: where 1 rate in 10 has dates and a window {1 / mixed:,.0f} a second")
    report.ratio("rating", probe / find, GOAL)


class _Printed:
    def figure(self, text: str) -> None:
        print(text)

    def ratio(self, name: str, value: float, goal: float) -> None:
        print(f"ratio {name} {value:.3f} goal {goal}")


if __name__ == "__main__":
    run(_Printed())
