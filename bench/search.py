"""How fast a page of 50 cards is found among a million, by every filter, against 50 such rows by primary key.

Both sides use the same connection and make the same rows of what comes back; the other side knows the ids. Printed is
the inverse of the slowdown, of the worst filter. Every plan that was really used is looked at, too: none may read a
table from end to end. CARDTONE_BENCH_SCALE makes the world smaller.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from time import perf_counter
from typing import Any
from unittest.mock import patch

import psycopg
from psycopg.rows import tuple_row

from bench.report import Report, interleaved
from bench.searchworld import NOW, SHARED_PHONE, make
from engine.cards.search import CUSTODY, CardFilter, card_of_number
from engine.cards.searchpage import CardRow, page, row_of
from engine.cards.searchsql import COLUMNS, SHOWN
from engine.cards.status import STATUSES
from engine.db import Database

CARDS = 1_000_000
ROWS = 50
ROUNDS = 41
GOAL_EQUAL = 0.2
GOAL_RANGE = 0.05

_BY_KEY = f"""
    SELECT {SHOWN.format(of="found")} FROM (
        SELECT card.id AS card_id, {COLUMNS} FROM card JOIN batch ON batch.id = card.batch_id
        WHERE card.id = ANY(%(ids)s::bigint[])
    ) AS found
"""

Ask = Callable[[Database], Any]


def run(report: Report, url: str) -> None:
    """Print `search_equal` and `search_range`."""
    cards = max(20_000, int(CARDS * float(os.environ.get("CARDTONE_BENCH_SCALE", "1"))))
    db = Database(url)
    make(db, cards)
    report.figure(f"search: {cards:,} cards")
    for name, goal, cases in (
        ("search_equal", GOAL_EQUAL, list(_equal(db))),
        ("search_range", GOAL_RANGE, list(_ranges(db))),
    ):
        _look_at_plans(url, [ask for _, ask in cases])
        worst = min((_measure(db, what, ask, report), what) for what, ask in cases)
        report.figure(f"{name}: the slowest is {worst[1]}")
        report.ratio(name, worst[0], goal)
    db.close()


def _ids(db: Database) -> tuple[int, int]:
    with db.connection() as conn:
        row: Any = conn.execute("SELECT min(id) AS first, max(id) AS last FROM card").fetchone()
    return row.first, row.last


def _equal(db: Database) -> Iterator[tuple[str, Ask]]:
    """Each equality filter by serial, from the first page on and from the middle."""
    first, last = _ids(db)
    middle = (first + last) // 2
    with db.connection() as conn:
        row: Any = conn.execute("SELECT number FROM card WHERE id = %(id)s", {"id": middle}).fetchone()
    number = row.number
    yield "number", lambda db: page(db, CardFilter(card_id=card_of_number(db, number)), NOW)
    yield "serial", lambda db: page(db, CardFilter(card_id=middle), NOW)
    filters = {
        **{f"status {status}": CardFilter(statuses=(status,)) for status in STATUSES},
        "phone": CardFilter(phone=SHARED_PHONE),
        "batch": CardFilter(batch_id=20),
        "reseller, many cards": CardFilter(reseller_id=1),
        "reseller, few cards": CardFilter(reseller_id=6),
        **{f"custody {custody}": CardFilter(custody=(custody,)) for custody in CUSTODY},
        "released": CardFilter(released=True),
        "held back": CardFilter(released=False),
        **{f"currency {code}": CardFilter(currency=code) for code in ("USD", "EUR", "GBP")},
    }
    for name, f in filters.items():
        start = first + (last - first) * 39 // 80 + (last - first) // 160 if f.batch_id else middle
        deep = page(db, replace(f, serials=(start, None)), NOW, limit=1).next
        yield from _first_and_deep(name, f, "serial", deep)


def _ranges(db: Database) -> Iterator[tuple[str, Ask]]:
    """Each range filter in the order of what it is a range of, from the first page on and from the middle."""
    month = timedelta(days=30)
    ranges: tuple[tuple[str, tuple[Any, Any], Any], ...] = (
        ("created", (NOW - 12 * month, NOW - month), NOW - 6 * month),
        ("first_used", (NOW - 12 * month, NOW - month), NOW - 6 * month),
        ("expires", (NOW - 6 * month, NOW + 3 * month), NOW),
        ("balance", (1, 4_000_000), 2_000_000),
    )
    for order, ends, middle in ranges:
        f, behind = (CardFilter(**{order: part}) for part in (ends, (middle, ends[1])))  # type: ignore[arg-type]
        deep = page(db, behind, NOW, order=order, limit=1).next
        yield from _first_and_deep(f"{order} range", f, order, deep)


def _first_and_deep(name: str, f: CardFilter, order: str, deep: str | None) -> Iterator[tuple[str, Ask]]:
    yield f"{name}, first page", lambda db: page(db, f, NOW, order=order, limit=ROWS)
    if deep is not None:
        yield f"{name}, deep page", lambda db: page(db, f, NOW, order=order, after=deep, limit=ROWS)


def _measure(db: Database, what: str, ask: Ask, report: Report) -> float:
    first, last = _ids(db)
    dice = random.Random(1)

    def ours() -> float:
        started = perf_counter()
        ask(db)
        return perf_counter() - started

    def by_key() -> float:
        ids = [dice.randint(first, last) for _ in range(ROWS)]
        started = perf_counter()
        found = _look_up(db, ids)
        assert len(found) > ROWS // 2
        return perf_counter() - started

    for warm in (ours, by_key, ours, by_key):
        warm()
    ours_s, by_key_s = interleaved(ROUNDS, ours, by_key)
    report.figure(
        f"search: {what}: {ours_s * 1000:.2f} ms, by primary key {by_key_s * 1000:.2f} ms: {by_key_s / ours_s:.2f}"
    )
    return by_key_s / ours_s


def _look_up(db: Database, ids: list[int]) -> list[CardRow]:
    with db.connection() as conn:
        return [row_of(row) for row in conn.execute(_BY_KEY, {"ids": ids, "now": NOW}).fetchall()]


def _look_at_plans(url: str, asks: list[Ask]) -> None:
    """Ask everything once, and look at the plan of each query, in the moment and on the connection in which it runs."""
    plans: list[str] = []
    execute = psycopg.Cursor.execute

    def explained(self: psycopg.Cursor[Any], query: Any, params: Any = None, **more: Any) -> Any:
        if isinstance(query, str) and query.lstrip().upper().startswith(("SELECT", "WITH")):
            beside = self.connection.cursor(row_factory=tuple_row)
            rows = execute(beside, f"EXPLAIN {query}", params).fetchall()
            plans.append("\n".join(line for (line,) in rows))
        return execute(self, query, params, **more)

    db = Database(url)
    with patch.object(psycopg.Cursor, "execute", explained):
        for ask in asks:
            ask(db)
    db.close()
    assert len(plans) >= len(asks)
    for plan in plans:
        assert "Seq Scan" not in plan, plan
