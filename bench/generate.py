"""How fast a million cards are ready, against one process that copies the same finished rows into the same tables.

Ours draws numbers and passwords, digests, seals, writes cards and opening entries in resumable chunks, and keeps them
unique; the other side has all that done and only sends bytes: PostgreSQL's binary COPY of the same columns, one
transaction, the same indexes and constraints, in a database as fresh. CARDTONE_BENCH_SCALE makes both smaller.
"""

from __future__ import annotations

import multiprocessing
import os
import secrets
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

import psycopg

from bench.__main__ import fresh_database
from bench.report import Report
from bench.world import clock
from engine import work
from engine.actor import SYSTEM
from engine.calls.decks import import_deck
from engine.config import Keys
from engine.db import Database
from engine.stock import generation
from engine.stock.batches import BatchOrder, order_batch
from engine.vault import Vault

CARDS = 1_000_000
ROUNDS = 3
GOAL = 0.6
MOST_MB = 700

CARD_COLUMNS = (
    "id, number, digest, pepper, sealed, batch_id, currency, balance, concurrency, deck_id, destination_rules_id,"
    " reseller_id, created_at, released_at, expires_at"
)
ENTRY_COLUMNS = "card_id, id, account, amount, balance_after, kind, reference, actor, at"
_PIECE = 1 << 20


def new_vault() -> Vault:
    """A vault with random keys."""
    return Vault(Keys({1: secrets.token_bytes(32)}, {1: secrets.token_bytes(32)}, secrets.token_bytes(32)))


def make_batch(db: Database, vault: Vault, cards: int) -> float:
    """Order a batch and generate it; seconds from the order until it is ready."""
    data = b"prefix,destination,price\n88,Somewhere,0.01\n"
    import_deck(db, name="Bench", currency="USD", data=data, filename="bench.csv", actor=SYSTEM, now=clock())
    started = perf_counter()
    ordered = order_batch(db, vault, BatchOrder("Bench", cards, 5_000_000, "USD", "Bench"), SYSTEM, clock())
    claimed = work.claim(db, "bench", ["generate"], clock(), work_id=ordered.work_id)
    assert claimed is not None
    work.finish(db, claimed, clock(), generation.run(db, vault, claimed, clock))
    return perf_counter() - started


def _child(url: str, cards: int, answer: Any) -> None:
    db = Database(url)
    seconds = make_batch(db, new_vault(), cards)
    db.close()
    # Not getrusage: that begins with the peak of the process it was forked from.
    peak = next(
        line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")
    )
    answer.send((seconds, int(peak.split()[1]) / 1024))


def ours(url: str, cards: int) -> tuple[float, float]:
    """Seconds, and megabytes at the peak, of a process of its own that makes the batch."""
    spawn = multiprocessing.get_context("spawn")
    receiver, sender = spawn.Pipe(duplex=False)
    child = spawn.Process(target=_child, args=(url, cards, sender))
    child.start()
    sender.close()
    found: tuple[float, float] = receiver.recv()
    child.join()
    return found


class Rows:
    """The finished rows of a batch as COPY wrote them, in files, and what they refer to."""

    def __init__(self, url: str, folder: Path) -> None:
        self._folder = folder
        with connect(url) as conn:
            for table in ("deck", "work", "batch"):
                self._save(conn, table, f"COPY {table} TO STDOUT")
            self._save(conn, "card", f"COPY (SELECT {CARD_COLUMNS} FROM card ORDER BY id) TO STDOUT BINARY")
            entries = f"SELECT {ENTRY_COLUMNS} FROM ledger_entry ORDER BY card_id"
            self._save(conn, "ledger_entry", f"COPY ({entries}) TO STDOUT BINARY")

    def _save(self, conn: psycopg.Connection[Any], name: str, statement: str) -> None:
        with (self._folder / name).open("wb") as file, conn.cursor().copy(statement) as copy:
            for piece in copy:
                file.write(piece)

    def copy_into(self, url: str) -> float:
        """Seconds to copy the cards and entries into a fresh database, bytes ready in memory."""
        with connect(url) as conn:
            for table in ("deck", "work", "batch"):
                self._send(conn, f"COPY {table} FROM STDIN", (self._folder / table).read_bytes())
            conn.commit()
            cards, entries = ((self._folder / name).read_bytes() for name in ("card", "ledger_entry"))
            started = perf_counter()
            self._send(conn, f"COPY card ({CARD_COLUMNS}) FROM STDIN BINARY", cards)
            self._send(conn, f"COPY ledger_entry ({ENTRY_COLUMNS}) FROM STDIN BINARY", entries)
            conn.commit()
            return perf_counter() - started

    @staticmethod
    def _send(conn: psycopg.Connection[Any], statement: str, data: bytes) -> None:
        with conn.cursor().copy(statement) as copy:
            for piece in pieces(data):
                copy.write(piece)


def pieces(data: bytes) -> Iterator[memoryview]:
    """The bytes in parts of a megabyte, uncopied."""
    view = memoryview(data)
    return (view[at : at + _PIECE] for at in range(0, len(data), _PIECE))


def connect(url: str) -> psycopg.Connection[Any]:
    """A plain connection."""
    return psycopg.connect(url.replace("+psycopg", "", 1))


def run(report: Report, url: str) -> None:
    """Generation and plain COPY in turn, each into a fresh database; the ratio of the medians."""
    cards = max(1000, int(CARDS * float(os.environ.get("CARDTONE_BENCH_SCALE", "1"))))
    made: list[float] = []
    copied: list[float] = []
    peak = 0.0
    with tempfile.TemporaryDirectory() as folder:
        rows: Rows | None = None
        for _ in range(ROUNDS):
            with fresh_database(url) as fresh:
                seconds, megabytes = ours(fresh, cards)
                made.append(seconds)
                peak = max(peak, megabytes)
                rows = rows or Rows(fresh, Path(folder))
            with fresh_database(url) as fresh:
                copied.append(rows.copy_into(fresh))
    ours_s, bare_s = statistics.median(made), statistics.median(copied)
    report.figure(f"generate: {cards:,} cards ready in {ours_s:.1f} s, {cards / ours_s:,.0f} a second")
    report.figure(f"generate: peak memory of our process {peak:.0f} MB (goal: under {MOST_MB})")
    report.figure(f"generate: COPY of the finished rows in {bare_s:.1f} s, {cards / bare_s:,.0f} a second")
    report.ratio("generate", bare_s / ours_s, GOAL)
    assert peak < MOST_MB
