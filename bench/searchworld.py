"""A world to search in: many batches and resellers, each status, custody, phone and balance, by set operations."""

from __future__ import annotations

from datetime import UTC, datetime

from engine.cards import searchcopy
from engine.db import Database

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
BATCHES = 40
SHARED_PHONE = "8801700000000"
"""A caller who is bound to 200 cards, so that a page of them is full; all others have one."""

_RESELLERS = """
    INSERT INTO reseller (name, created_at)
    SELECT 'Reseller ' || n, %(now)s FROM generate_series(1, 6) AS n
"""
_BATCHES = """
    INSERT INTO batch (name, kind, count, first_id, last_id, generated, denomination, currency, number_prefix,
        number_length, luhn, password_length, validity_from, first_use, grace_days, binding, max_bound, auto_bind,
        pinless, concurrency, destination_rules_id, language, release, created_by, created_at, ready_at)
    SELECT 'Batch ' || n, 'voucher', %(size)s, 1000000000 + (n - 1) * %(size)s, 1000000000 + n * %(size)s - 1, %(size)s,
        5000000, (ARRAY['USD', 'EUR', 'USD', 'GBP', 'USD'])[1 + n %% 5], '88', 16, false, 8, 'first_use',
        'authentication', 30, 'multi', 5, false, false, 1, rules.id, 'en', 'generation', 'system',
        %(now)s - make_interval(days => 20 * (%(batches)s - n) + 1),
        %(now)s - make_interval(days => 20 * (%(batches)s - n))
    FROM generate_series(1, %(batches)s) AS n, (SELECT min(id) AS id FROM destination_rules) AS rules
    ORDER BY n
"""
# A used card is one of an older batch, mostly; what is rare in life (void, held back) is rare here.
_CARDS = """
    INSERT INTO card (id, number, digest, pepper, batch_id, currency, balance, concurrency, destination_rules_id,
        reseller_id, created_at, released_at, first_used_at, expires_at, locked_at, locked_by, damaged_at, damaged_by,
        printed_at, shipped_at, sold_at, activated_at)
    SELECT id, (880000000000000 + id * 7919)::text, decode(repeat('00', 32), 'hex'), 1, batch_id, currency,
        CASE WHEN NOT used THEN 5000000 WHEN drawn < 0.25 THEN 0 ELSE 1 + (dice * 5000000)::bigint END, 1, rules_id,
        CASE WHEN id %% 20011 = 0 THEN 6 WHEN batch_id %% 2 = 0 THEN 1 + id %% 5 END,
        made + make_interval(secs => part / 50000), CASE WHEN rare < 0.99 THEN made END,
        CASE WHEN used THEN made + dice * interval '15 days' END,
        CASE WHEN used THEN made + dice * interval '15 days' + make_interval(days => 30 + 60 * (id %% 7)::int) END,
        CASE WHEN rare BETWEEN 0.002 AND 0.012 THEN made + interval '15 days' END,
        CASE WHEN rare BETWEEN 0.002 AND 0.012 THEN 'staff:1' END,
        CASE WHEN rare < 0.0005 THEN made + interval '16 days' END, CASE WHEN rare < 0.0005 THEN 'staff:1' END,
        CASE WHEN way > 0.2 THEN made END, CASE WHEN way > 0.4 THEN made END, CASE WHEN way > 0.6 THEN made END,
        CASE WHEN way > 0.99 THEN made END
    FROM (
        SELECT first_id + part AS id, batch.id AS batch_id, batch.currency, batch.created_at AS made, part,
            batch.destination_rules_id AS rules_id, random() < 0.6 AS used, random() AS drawn, random() AS dice,
            random() AS rare, random() AS way
        FROM batch, generate_series(0, batch.count - 1) AS part ORDER BY 1
    ) AS drawn_cards
"""
_PHONES = """
    INSERT INTO binding (card_id, caller, created_at, created_by)
    SELECT id, CASE WHEN id %% (5 * %(gap)s) = 0 THEN %(shared)s ELSE (8801800000000 + id - 1000000000)::text END,
        created_at, 'console'
    FROM card WHERE id %% 5 = 0
"""


def make(db: Database, cards: int) -> None:
    """Make the world with about this many cards, and fold it."""
    size = max(cards // BATCHES, 50)
    with db.raw() as conn:
        conn.execute("SELECT setseed(0.5)")
        values = {
            "now": NOW,
            "size": size,
            "batches": BATCHES,
            "gap": max(size * BATCHES // 1000, 1),
            "shared": SHARED_PHONE,
        }
        for statement in (_RESELLERS, _BATCHES, _CARDS, _PHONES):
            conn.execute(statement, values)
    searchcopy.refold(db, NOW)
    with db.connection() as own:
        own.execute("VACUUM ANALYZE card, card_search, binding, batch, reseller")
