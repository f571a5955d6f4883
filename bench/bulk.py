"""How fast 100,000 of 150,000 cards are locked, extended and recharged by a filter, against bare statements.

Ours freezes the targets, locks the cards in order, judges each, writes its timeline, changes it, keeps what was refused
and where the run stands, chunk by chunk, with the audit row. The other side is the one UPDATE that sets the same
columns by the same predicate, and for the recharge the one INSERT … SELECT of the same entries. Each round has a
database as fresh: a copy of one made once.
"""

from __future__ import annotations

import os
import secrets
import statistics
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from time import perf_counter
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import make_url

from bench.generate import connect, make_batch, new_vault
from bench.report import Report
from bench.world import clock
from engine import work
from engine.actor import SYSTEM
from engine.bulk import handler
from engine.bulk.orders import BulkOrder
from engine.bulk.runs import confirm
from engine.bulk.views import show
from engine.cards.search import CardFilter
from engine.db import Database
from engine.vault import Vault

CARDS = 100_000
MORE = 50_000
ROUNDS = 3
GOALS = {"lock": 0.3, "extend": 0.3, "recharge": 0.4}
PARAMS: dict[str, dict[str, Any]] = {"lock": {}, "extend": {"days": 30}, "recharge": {"amount": 1_000_000}}

_WHERE = "created_at >= '2000-01-01' AND expires_at IS NOT NULL AND locked_at IS NULL AND damaged_at IS NULL"
BARE = {
    "lock": (
        f"UPDATE card SET locked_at = now(), locked_by = 'system', lock_reason = 'benchmark' WHERE {_WHERE}",
    ),
    "extend": (f"UPDATE card SET expires_at = expires_at + interval '30 days' WHERE {_WHERE}",),
    "recharge": (
        f"UPDATE card SET balance = balance + 1000000 WHERE {_WHERE}",
        "INSERT INTO ledger_entry"
        " (card_id, account, amount, balance_after, kind, reference, actor, reason, idempotency_key, at)"
        " SELECT id, 'sales', 1000000, balance, 'recharge', 'run:1', 'system', 'benchmark', 'run:1', now()"
        f" FROM card WHERE {_WHERE}",
    ),
}


def run(report: Report, url: str) -> None:
    """Print `bulk_lock`, `bulk_extend` and `bulk_recharge`."""
    scale = float(os.environ.get("CARDTONE_BENCH_SCALE", "1"))
    cards, more = max(1000, int(CARDS * scale)), max(500, int(MORE * scale))
    vault = new_vault()
    _make(url, vault, cards, cards + more)
    for verb, goal in GOALS.items():
        made: list[float] = []
        bare: list[float] = []
        for _ in range(ROUNDS):
            with copied(url) as fresh:
                made.append(_ours(fresh, vault, verb, cards))
            with copied(url) as fresh:
                bare.append(_bare(fresh, verb, cards))
        ours_s, bare_s = statistics.median(made), statistics.median(bare)
        report.figure(f"bulk_{verb}: {cards:,} cards in {ours_s:.2f} s, bare {bare_s:.2f} s")
        report.ratio(f"bulk_{verb}", bare_s / ours_s, goal)


def _make(url: str, vault: Vault, cards: int, count: int) -> None:
    """A world in which `cards` of `count` cards have been used and will expire, on one of ninety days."""
    db = Database(url)
    make_batch(db, vault, count)
    db.close()
    with connect(url) as conn:
        conn.execute(
            "UPDATE card SET first_used_at = created_at, expires_at = date_trunc('day', now())"
            " + (30 + mod(id, 90)) * interval '1 day' WHERE id IN (SELECT id FROM card ORDER BY hashint8(id) LIMIT %s)",
            [cards],
        )
    with psycopg.connect(url.replace("+psycopg", "", 1), autocommit=True) as conn:
        conn.execute("VACUUM (FULL, ANALYZE) card")
        conn.execute("VACUUM (ANALYZE) ledger_entry")


@contextmanager
def copied(url: str) -> Iterator[str]:
    """The URL of a copy of a database to which nobody is connected; dropped afterwards."""
    name = f"cardtone_bench_{secrets.token_hex(4)}"
    source = make_url(url).database or ""
    copy = make_url(url).set(database=name).render_as_string(hide_password=False)
    with psycopg.connect(
        make_url(url)
        .set(database="postgres")
        .render_as_string(hide_password=False)
        .replace("+psycopg", "", 1),
        autocommit=True,
    ) as admin:
        admin.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY").format(
                sql.Identifier(name), sql.Identifier(source)
            )
        )
        try:
            yield copy
        finally:
            admin.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(name)))


def _ours(url: str, vault: Vault, verb: str, cards: int) -> float:
    db = Database(url)
    _warm(url)
    order = BulkOrder(
        verb,
        CardFilter(expires=(clock() - timedelta(days=1), None), statuses=("active",)),
        PARAMS[verb],
        "benchmark",
    )
    with db.begin():
        pass
    started = perf_counter()
    run_id = confirm(db, order, SYSTEM, clock())
    claimed = work.claim(db, "bench", ["bulk"], clock())
    assert claimed is not None
    work.finish(db, claimed, clock(), handler.run(db, vault, claimed, clock))
    seconds = perf_counter() - started
    done = show(db, run_id)
    assert (done.cards, done.changed, done.state) == (cards, cards, "done"), done
    db.close()
    return seconds


def _bare(url: str, verb: str, cards: int) -> float:
    _warm(url)
    with connect(url) as conn:
        started = perf_counter()
        for statement in BARE[verb]:
            assert conn.execute(statement.encode()).rowcount == cards
        conn.commit()
        return perf_counter() - started


def _warm(url: str) -> None:
    """Read what will be read, and let nothing of the copying wait to be written."""
    with psycopg.connect(url.replace("+psycopg", "", 1), autocommit=True) as conn:
        conn.execute("SELECT count(*), sum(length(number)) FROM card")
        with suppress(psycopg.errors.InsufficientPrivilege):
            conn.execute("CHECKPOINT")
