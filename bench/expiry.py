"""How fast 100,000 cards that fall due are told of, against one bare INSERT … SELECT of the same events.

Ours walks the cards in the order in which they fell due, in chunks that are each a transaction with its mark; the other
side is one statement and one transaction over the same cards, in a database as fresh.
"""

from __future__ import annotations

import os
import statistics
from datetime import datetime, timedelta
from time import perf_counter

from bench.__main__ import fresh_database
from bench.generate import connect, make_batch, new_vault
from bench.report import Report
from bench.world import clock
from engine.cards.expiry import expire_due
from engine.db import Database

CARDS = 100_000
ROUNDS = 3
GOAL = 0.3

_BARE = """
    INSERT INTO card_event (card_id, at, kind, actor, data)
    SELECT id, %s, 'expire', 'system', jsonb_build_object('expires_at', expires_at)
    FROM card WHERE expires_at <= %s
"""


def _world(url: str, cards: int) -> datetime:
    """Cards whose validity ends within a week, hour by hour; gives when all have fallen due."""
    db = Database(url)
    make_batch(db, new_vault(), cards)
    now = clock()
    with db.raw() as conn:
        conn.execute("UPDATE card SET expires_at = %s + (id %% 168) * interval '1 hour'", [now])
    with db.connection() as conn:
        conn.execute("VACUUM ANALYZE card")
    db.close()
    return now + timedelta(days=8)


def _ours(url: str, cards: int, now: datetime) -> float:
    db = Database(url)
    with db.begin():
        pass  # a jobs process has its connection
    started = perf_counter()
    told = expire_due(db, now)
    seconds = perf_counter() - started
    assert told == cards
    db.close()
    return seconds


def _bare(url: str, cards: int, now: datetime) -> float:
    with connect(url) as conn:
        started = perf_counter()
        assert conn.execute(_BARE, [now, now]).rowcount == cards
        conn.commit()
        return perf_counter() - started


def run(report: Report, url: str) -> None:
    """Each in databases of its own, in turn; the ratio of the medians."""
    cards = max(1000, int(CARDS * float(os.environ.get("CARDTONE_BENCH_SCALE", "1"))))
    taken: dict[str, list[float]] = {"ours": [], "bare": []}
    for _ in range(ROUNDS):
        for name, act in (("ours", _ours), ("bare", _bare)):
            with fresh_database(url) as fresh:
                taken[name].append(act(fresh, cards, _world(fresh, cards)))
    ours_s, bare_s = (statistics.median(taken[name]) for name in ("ours", "bare"))
    report.figure(f"expiry: {cards:,} cards told of in {ours_s:.2f} s, {cards / ours_s:,.0f} a second")
    report.figure(f"expiry: INSERT … SELECT of the same events in {bare_s:.2f} s")
    report.ratio("expiry", bare_s / ours_s, GOAL)
