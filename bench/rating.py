"""How fast the rate in force is found in a deck of 100,000 prefixes, against the bare dict probe it is made of."""

from __future__ import annotations

import gc
import random
import statistics
import tracemalloc
from datetime import UTC, datetime, time
from time import perf_counter

from bench.report import Report
from engine.calls.decks import rate_table
from engine.calls.ratetable import COLUMNS, RateTable, Row
from engine.db import Database

PREFIXES = 100_000
NUMBERS = 50_000
ROUNDS = 9
GOAL = 0.4
AT = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


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


def load_from_database(url: str, rows: list[Row]) -> float:
    """Seconds to load the deck as a process does when it first needs it: the median of five."""
    db = Database(url)
    with db.raw() as conn:
        deck_id = conn.execute(
            "INSERT INTO deck (name, currency, created_by, created_at) VALUES ('Bench', 'USD', 'bench', %s)"
            " RETURNING id",
            (AT,),
        ).fetchone()
        version = conn.execute(
            "INSERT INTO deck_version (deck_id, effective_from, source, rates, created_by, created_at)"
            " VALUES (%s, %s, 'bench', %s, 'bench', %s) RETURNING id",
            (*(deck_id or ()), AT, len(rows), AT),
        ).fetchone()
        assert version is not None
        columns = ", ".join(("version_id", *COLUMNS[1:]))
        with conn.cursor().copy(f"COPY deck_rate ({columns}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row((version[0], *row[1:]))
    taken = []
    for _ in range(5):
        db.cache.clear()
        started = perf_counter()
        table = rate_table(db, version[0])
        taken.append(perf_counter() - started)
        assert len(table) == len(rows)
    db.close()
    return statistics.median(taken)


def run(report: Report, url: str) -> None:
    """Loading, finding plain and timed rates, and the ratio; medians of interleaved rounds."""
    dice = random.Random(7)
    rows = deck(dice)
    wanted = numbers(rows, dice)
    bare = {row[1]: row for row in rows}
    lengths = tuple(sorted({len(prefix) for prefix in bare}, reverse=True))
    gc.collect()
    started = perf_counter()
    table = RateTable(rows)
    fill_s = perf_counter() - started
    load_s = load_from_database(url, rows)
    megabytes = memory_of_a_table(rows) / 1e6
    timed = RateTable(deck(random.Random(7), timed=PREFIXES // 10))
    bares, finds, timeds = [], [], []
    for _ in range(ROUNDS):
        bares.append(bare_probe(bare, lengths, wanted))
        finds.append(full_find(table, wanted))
        timeds.append(full_find(timed, wanted))
    probe, find, mixed = (statistics.median(times) / NUMBERS for times in (bares, finds, timeds))
    report.figure(f"rating: {PREFIXES:,} rows into the table in {fill_s:.2f} s, {megabytes:.0f} MB")
    report.figure(f"rating: the same deck from PostgreSQL in {load_s:.2f} s (goal: under 1 s)")
    report.figure(f"rating: bare dict probe {1 / probe:,.0f} a second, {probe * 1e6:.2f} us each")
    report.figure(f"rating: rate in force {1 / find:,.0f} a second, {find * 1e6:.2f} us each")
    report.figure(f"rating: where 1 rate in 10 has dates and a window {1 / mixed:,.0f} a second")
    report.ratio("rating", probe / find, GOAL)
