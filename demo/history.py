"""The SQL by which the large world gets its past: calls, entries and facts of a span of cards in one transaction.

This is the one place beside the ledger that writes balances, because a million cards take it: what a card has is
counted from the very rows that are written with it, in the same transaction, and `engine.reports.verify` is run over
all of it afterwards.
"""

from __future__ import annotations

USED_PERCENT = 43
"""Cards that were used, of a hundred; each made one to four calls, which comes to a little more than a call a card."""


def draw(seed: int, below: int) -> str:
    """SQL for a number below `below`, drawn by the card's id and a seed: the same in every world, and no secret."""
    return f"abs(hashint8extended(card.id, {seed}) %% {below})"


RATES = """
    CREATE TEMP TABLE used_rate ON COMMIT DROP AS
    SELECT row_number() OVER (ORDER BY id) - 1 AS k, r.*, count(*) OVER () AS rates FROM (
        SELECT * FROM deck_rate WHERE version_id = %(version_id)s AND days IS NULL AND length(prefix) BETWEEN 4 AND 7
          AND price_per_minute BETWEEN 15000 AND 70000 AND connect_fee <= 200000
        ORDER BY hashint8extended(id, 7) LIMIT 400
    ) r
"""

LONG_RATE = """
    CREATE TEMP TABLE long_rate ON COMMIT DROP AS
    SELECT * FROM deck_rate WHERE version_id = %(version_id)s AND days IS NULL AND connect_fee = 0
      AND first_increment = 1 AND increment = 1 AND price_per_minute BETWEEN 100000 AND 260000 ORDER BY id LIMIT 1
"""
"""What those pay who talk until nothing is left."""

STORY = f"""
    CREATE TEMP TABLE story ON COMMIT DROP AS
    SELECT s.*, CASE WHEN recharged THEN 5000000 ELSE 0 END AS paid FROM (
        SELECT card.id, card.batch_id, card.balance AS face, b.validity_days,
            {draw(1, 100)} < {USED_PERCENT} AS used,
            1 + {draw(2, 4)} AS calls,
            {draw(3, 100)} < 6 AS emptied,
            {draw(4, 100)} BETWEEN 10 AND 14 AS recharged,
            %(begins)s::timestamptz + (%(now)s::timestamptz - interval '6 hours' - %(begins)s::timestamptz)
                * ({draw(5, 9990)} / 10000.0) AS first_at,
            {draw(6, 1000)} AS luck
        FROM card JOIN batch b ON b.id = card.batch_id WHERE card.id BETWEEN %(first)s AND %(last)s
    ) s
"""

PAYMENTS = """
    CREATE TEMP TABLE paid ON COMMIT DROP AS
    WITH made AS (
        INSERT INTO payment (card_id, method, amount, currency, actor, reason, at)
        SELECT id, 'operator', paid, 'USD', %(actor)s, 'Paid at the counter', first_at - interval '3 minutes'
        FROM story WHERE used AND recharged AND NOT emptied ORDER BY id
        RETURNING id, card_id, amount, at
    )
    SELECT * FROM made
"""

CALLS = """
    CREATE TEMP TABLE made ON COMMIT DROP AS
    WITH planned AS (
        SELECT s.id AS card_id, s.face + coalesce(p.amount, 0) AS opening, n, s.emptied AND n = s.calls AS last_drop,
            s.first_at + (%(now)s::timestamptz - s.first_at) * ((n - 1) / 5.0) AS at,
            CASE WHEN abs(hashint8extended(s.id, 20 + n) %% 100) < 16 THEN 0
                ELSE 4 + abs(hashint8extended(s.id, 30 + n) %% 840) END AS talked,
            4 + abs(hashint8extended(s.id, 40 + n) %% 22) AS ring,
            abs(hashint8extended(s.id, 50 + n) %% (SELECT max(rates) FROM used_rate)) AS k
        FROM story s LEFT JOIN paid p ON p.card_id = s.id CROSS JOIN LATERAL generate_series(1, s.calls) n
        WHERE s.used
    ), priced AS (
        SELECT p.*, r.id AS rate_id, r.prefix, r.destination_name, r.price_per_minute, r.connect_fee,
            r.first_increment, r.increment,
            CASE WHEN talked = 0 THEN 0 WHEN talked <= r.first_increment THEN r.first_increment
                ELSE r.first_increment + (talked - r.first_increment + r.increment - 1) / r.increment * r.increment
            END AS billed
        FROM planned p JOIN used_rate r USING (k)
    ), charged AS (
        SELECT *, CASE WHEN billed = 0 THEN 0
            ELSE (connect_fee * 60 + price_per_minute * billed + 3000) / 6000 * 100 END AS cost
        FROM priced
    ), walked AS (
        SELECT *, opening - coalesce(sum(cost) OVER (
            PARTITION BY card_id ORDER BY n ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0)::bigint AS before
        FROM charged
    ), ended AS (
        SELECT w.card_id, n, at, ring, opening, before, last_drop,
            CASE WHEN last_drop THEN l.id ELSE w.rate_id END AS rate_id,
            CASE WHEN last_drop THEN l.prefix ELSE w.prefix END AS prefix,
            CASE WHEN last_drop THEN l.destination_name ELSE w.destination_name END AS destination_name,
            CASE WHEN last_drop THEN l.price_per_minute ELSE w.price_per_minute END AS price_per_minute,
            CASE WHEN last_drop THEN 0 ELSE w.connect_fee END AS connect_fee,
            CASE WHEN last_drop THEN 1 ELSE w.first_increment END AS first_increment,
            CASE WHEN last_drop THEN 1 ELSE w.increment END AS increment,
            CASE WHEN last_drop THEN before * 60 / l.price_per_minute + 3 ELSE talked END AS talked,
            CASE WHEN last_drop THEN before * 60 / l.price_per_minute + 3 ELSE billed END AS billed,
            CASE WHEN last_drop THEN (l.price_per_minute * (before * 60 / l.price_per_minute + 3) + 3000) / 6000 * 100
                ELSE cost END AS cost
        FROM walked w CROSS JOIN long_rate l
    )
    SELECT nextval(pg_get_serial_sequence('call', 'id')) AS id, e.*, least(cost, before) AS charged,
        greatest(before - cost, 0) AS after,
        least(14400, greatest(talked, before * 60 / price_per_minute - CASE WHEN last_drop THEN 0 ELSE 60 END))
            - CASE WHEN last_drop THEN 3 ELSE 0 END AS granted
    FROM (SELECT * FROM ended ORDER BY card_id, n) e
"""

CDRS = """
    INSERT INTO cdr (card_id, ended_at, id, switch_id, currency, duration_ms, duration_s, billed_s, cost, charged,
        balance_after, cause, flags, call_ref, caller, destination, access_number, one_shot, authorized_at, answered_at,
        first_granted_s, granted_s, affordable_s, balance_before, deck_version_id, rate_id, prefix, destination_name,
        price_per_minute, connect_fee, access_per_minute, access_per_call, post_call_fee, first_increment, increment,
        grace, precision, rounding)
    SELECT card_id, at + make_interval(secs => ring + talked), id, %(switches)s[1 + id %% 3], 'USD', talked * 1000,
        talked, billed, cost, charged, after,
        CASE WHEN talked = 0 THEN (ARRAY[17, 19, 19, 21])[1 + id %% 4] ELSE 16 END,
        CASE WHEN cost > charged THEN ARRAY['overrun', 'overrun_loss'] ELSE '{}'::text[] END,
        'large-' || id, {caller},
        left(prefix || lpad((card_id * 7919 %% 10000000000)::text, 10, '0'), 12), %(access_number)s, TRUE, at,
        CASE WHEN talked > 0 THEN at + make_interval(secs => ring) END, greatest(granted, 1), greatest(granted, 1),
        greatest(granted, 1), before, %(version_id)s, rate_id, prefix, destination_name, price_per_minute, connect_fee,
        0, 0, 0, first_increment, increment, 0, 4, 'half_up'
    FROM made
"""

_CALLER = (
    "'1' || (ARRAY[212, 718, 917, 646, 347, 201, 973, 305, 786, 713])[1 + {card} %% 10]"
    " || '55501' || lpad(({card} %% 97)::text, 2, '0')"
)
CDRS = CDRS.replace("{caller}", _CALLER.replace("{card}", "card_id"))

ENTRIES = """
    INSERT INTO ledger_entry (card_id, account, amount, balance_after, kind, reference, actor, reason, at)
    SELECT card_id, account, amount, after, kind, reference, actor, reason, at FROM (
        SELECT p.card_id, 0 AS n, 0 AS turn, 'sales' AS account, p.amount, s.face + p.amount AS after,
            'recharge' AS kind, 'payment:' || p.id AS reference, %(actor)s AS actor,
            'Paid at the counter' AS reason, p.at
        FROM paid p JOIN story s ON s.id = p.card_id
        UNION ALL
        SELECT card_id, n, 1, 'overrun_loss', cost - charged, before + cost - charged, 'overrun', 'call:' || id,
            'switch:' || (%(switches)s[1 + id %% 3])::text, NULL, at + make_interval(secs => ring + talked)
        FROM made WHERE cost > charged
        UNION ALL
        SELECT card_id, n, 2, 'usage', -cost, after, 'usage', 'call:' || id,
            'switch:' || (%(switches)s[1 + id %% 3])::text, NULL, at + make_interval(secs => ring + talked)
        FROM made WHERE cost > 0
    ) entry ORDER BY card_id, n, turn
"""

CARDS = """
    UPDATE card SET
        balance = coalesce(told.after, card.balance),
        first_used_at = CASE WHEN s.used THEN s.first_at END,
        expires_at = CASE WHEN s.used THEN
            (date_trunc('day', s.first_at AT TIME ZONE %(zone)s) + make_interval(days => s.validity_days + 1))
            AT TIME ZONE %(zone)s END,
        printed_at = card.created_at + interval '6 hours',
        shipped_at = CASE WHEN s.luck < 900 OR s.used THEN card.created_at + interval '30 hours' END,
        sold_at = CASE WHEN s.used OR s.luck < 150 THEN s.first_at - interval '2 hours' END,
        reseller_id = %(resellers)s[1 + (s.batch_id %% 4)],
        locked_at = CASE WHEN s.luck BETWEEN 500 AND 509 THEN %(now)s::timestamptz - interval '2 days' END,
        locked_by = CASE WHEN s.luck BETWEEN 500 AND 509 THEN %(actor)s END,
        lock_reason = CASE WHEN s.luck BETWEEN 500 AND 509 THEN 'Card reported lost' END,
        damaged_at = CASE WHEN s.luck BETWEEN 600 AND 604 THEN %(now)s::timestamptz - interval '1 day' END,
        damaged_by = CASE WHEN s.luck BETWEEN 600 AND 604 THEN %(actor)s END,
        damage_reason = CASE WHEN s.luck BETWEEN 600 AND 604 THEN 'Card stolen from the shop' END
    FROM story s LEFT JOIN (SELECT DISTINCT ON (card_id) card_id, after FROM made ORDER BY card_id, n DESC) told
        ON told.card_id = s.id
    WHERE card.id = s.id
"""

EVENTS = """
    INSERT INTO card_event (card_id, at, kind, actor, data)
    SELECT id, first_at, 'first_use', 'switch:' || (%(switches)s[1])::text, '{}'::jsonb FROM story WHERE used
    UNION ALL
    SELECT id, %(now)s::timestamptz - interval '2 days', 'lock', %(actor)s, '{"reason": "Card reported lost"}'
    FROM story WHERE luck BETWEEN 500 AND 509
    UNION ALL
    SELECT id, %(now)s::timestamptz - interval '1 day', 'damage', %(actor)s, '{"reason": "Card stolen from the shop"}'
    FROM story WHERE luck BETWEEN 600 AND 604
"""

BINDINGS = """
    INSERT INTO binding (card_id, caller, created_at, created_by)
    SELECT s.id, {caller}, s.first_at, 'switch:1'
    FROM story s JOIN batch b ON b.id = s.batch_id WHERE s.used AND b.binding = 'single'
""".replace("{caller}", _CALLER.replace("{card}", "s.id"))

ATTEMPTS = """
    INSERT INTO attempt (at, door, source, card_id, caller, destination, reason)
    SELECT s.first_at + interval '1 minute', 'http', 'switch:' || (%(switches)s[1 + s.luck %% 3])::text, s.id, {caller},
        NULL, (ARRAY['wrong_password', 'wrong_password', 'expired', 'empty', 'destination_barred'])[1 + s.luck %% 5]
    FROM story s WHERE s.used AND s.luck < 120
""".replace("{caller}", _CALLER.replace("{card}", "s.id"))

STEPS = (RATES, LONG_RATE, STORY, PAYMENTS, CALLS, CDRS, ENTRIES, CARDS, EVENTS, BINDINGS, ATTEMPTS)
"""In this order, in one transaction, for one span of cards."""
