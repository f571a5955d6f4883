"""How fast 100,000 cards with passwords become a CSV file, against csv.writer with the same rows in memory.

Ours reads the cards, opens every seal, writes, syncs and digests the file and records who got it.
"""

from __future__ import annotations

import csv
import os
import tempfile
from pathlib import Path
from time import perf_counter

from bench.generate import make_batch, new_vault
from bench.report import Report, interleaved
from bench.world import clock
from engine.actor import SYSTEM
from engine.db import Database
from engine.stock.export import export_batch

CARDS = 100_000
ROUNDS = 7
GOAL = 0.15


def run(report: Report, url: str) -> None:
    """Exports and plain writing in turn; the ratio of the medians."""
    cards = max(1000, int(CARDS * float(os.environ.get("CARDTONE_BENCH_SCALE", "1"))))
    db, vault = Database(url), new_vault()
    make_batch(db, vault, cards)
    with tempfile.TemporaryDirectory() as folder:
        issued, plain = Path(folder) / "issued.csv", Path(folder) / "plain.csv"

        def ours() -> float:
            started = perf_counter()
            export_batch(db, vault, "Bench", "csv", issued, SYSTEM, clock(), again=True, reason="benchmark")
            return perf_counter() - started

        ours()
        with issued.open(newline="") as file:
            rows = list(csv.reader(file))

        def bare() -> float:
            started = perf_counter()
            with plain.open("w", newline="") as file:
                csv.writer(file).writerows(rows)
            return perf_counter() - started

        ours_s, bare_s = interleaved(ROUNDS, ours, bare)
        assert plain.read_bytes() == issued.read_bytes()
    db.close()
    report.figure(f"export: {cards:,} cards to CSV in {ours_s:.3f} s, {cards / ours_s:,.0f} a second")
    report.figure(f"export: csv.writer with the same rows in {bare_s:.3f} s, {cards / bare_s:,.0f} a second")
    report.ratio("export", bare_s / ours_s, GOAL)
