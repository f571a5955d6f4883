"""The self-check of the books on a live database: what must always hold, asked by set queries in one snapshot.

A card's balance is the sum of its ledger, and each entry says rightly what was left; every counter account says what
its documents (calls, payments, batches) say; nobody spends what is held, and every hold belongs to one live call; no
call is forgotten; a key, a voucher and the end of a call count once; batches have the cards they claim; and what the
database itself guards, it still guards.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import psycopg
from psycopg.rows import namedtuple_row

from engine.cards.serials import serial_of
from engine.db import Database
from engine.money import format_amount

MOST = 100
"""Findings of one kind that are named; one more says that there are others."""

OVERDUE = timedelta(minutes=10)
"""The sweep runs every few seconds: a call that waits for it this long is forgotten."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it must be: what kind, about what (`card:10000000017`, `batch:3`), and a sentence."""

    code: str
    subject: str
    detail: str


@dataclass(frozen=True, slots=True)
class Examination:
    """What a self-check looked at and found."""

    findings: tuple[Finding, ...]
    cards: int
    entries: int
    calls: int


def verify(db: Database, now: datetime) -> list[Finding]:
    """Everything that is wrong with the books; nothing, where they are right."""
    return list(examine(db, now).findings)


def examine(db: Database, now: datetime) -> Examination:
    """Check the books as one snapshot sees them; calls go on meanwhile. A million cards take seconds."""
    with db.raw() as conn:
        conn.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        conn.read_only = True
        with conn.cursor(row_factory=namedtuple_row) as cursor:
            # Sums over every card are made in memory where they fit.
            cursor.execute("SET LOCAL work_mem = '128MB'")
            cursor.execute("SET LOCAL enable_partitionwise_aggregate = on")
            findings: list[Finding] = []
            for check in CHECKS:
                findings += _run(cursor, check, now)
            size: Any = cursor.execute(_SIZES).fetchone()
    return Examination(tuple(findings), size.cards, size.entries, size.calls)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must hold. `sql` gives a row for each place where it does not, `said` a sentence about a row.

    `subject` is a kind: the column of the same name, or `card_id`, tells which.
    """

    code: str
    subject: str
    sql: str
    said: Callable[[Any], str]


def _run(cursor: psycopg.Cursor[Any], check: Check, now: datetime) -> list[Finding]:
    asked = {"now": now, "overdue": now - OVERDUE, "tables": list(IMMUTABLE), "guards": list(GUARDS)}
    cursor.execute(f"SELECT * FROM ({check.sql}) broken LIMIT {MOST + 1}", asked)
    rows = cursor.fetchall()
    found = [Finding(check.code, _subject(check.subject, row), check.said(row)) for row in rows[:MOST]]
    if len(rows) > MOST:
        found.append(Finding(check.code, check.subject, f"There are more than {MOST} of these."))
    return found


def _subject(kind: str, row: Any) -> str:
    if kind == "card":
        return f"card:{serial_of(row.card_id)}"
    return f"{kind}:{getattr(row, kind)}"


def _money(micros: Any) -> str:
    return format_amount(int(micros or 0), 2)


_SIZES = """
    SELECT (SELECT count(*) FROM card) AS cards, (SELECT count(*) FROM ledger_entry) AS entries,
        (SELECT count(*) FROM cdr) + (SELECT count(*) FROM call) AS calls
"""

_BALANCES = """
    SELECT card_id, balance, total FROM (
        SELECT id AS card_id, balance FROM card
    ) card FULL JOIN (
        SELECT card_id, sum(amount) AS total FROM ledger_entry GROUP BY card_id
    ) entries USING (card_id)
    WHERE balance IS DISTINCT FROM total
"""

_OPENINGS = """
    SELECT card.id AS card_id, count(entry.id) AS openings
    FROM card LEFT JOIN ledger_entry entry ON entry.card_id = card.id AND entry.kind = 'opening'
    GROUP BY card.id HAVING count(entry.id) <> 1
"""

_CHAIN = """
    SELECT card_id, id, before, amount, balance_after FROM (
        SELECT card_id, id, amount, balance_after,
            coalesce(lag(balance_after) OVER (PARTITION BY card_id ORDER BY id), 0) AS before
        FROM ledger_entry
    ) entry
    WHERE balance_after <> before + amount
"""

_ACCOUNTS = """
    SELECT card_id, id, kind, account FROM ledger_entry
    WHERE account <> CASE kind
        WHEN 'opening' THEN 'sales' WHEN 'recharge' THEN 'sales' WHEN 'bonus' THEN 'bonus'
        WHEN 'usage' THEN 'usage' WHEN 'correction' THEN 'usage' WHEN 'overrun' THEN 'overrun_loss'
        WHEN 'voucher' THEN 'transfer' WHEN 'transfer' THEN 'transfer' WHEN 'adjustment' THEN 'adjustment'
        WHEN 'fee' THEN 'fees' WHEN 'breakage' THEN 'breakage' END
"""

_CALLS = """
    SELECT card_id, reference, told.cost, told.loss, posted.cost AS posted_cost, posted.loss AS posted_loss
    FROM (
        SELECT d.card_id, 'call:' || d.id AS reference, coalesce(x.cost, d.cost) AS cost,
            coalesce(x.cost - x.charged, d.cost - d.charged) AS loss
        FROM cdr d LEFT JOIN cdr_correction x ON x.card_id = d.card_id AND x.cdr_id = d.id
    ) told FULL JOIN (
        SELECT card_id, reference, coalesce(-sum(amount) FILTER (WHERE account = 'usage'), 0) AS cost,
            coalesce(sum(amount) FILTER (WHERE account = 'overrun_loss'), 0) AS loss
        FROM ledger_entry WHERE account IN ('usage', 'overrun_loss') GROUP BY card_id, reference
    ) posted USING (card_id, reference)
    WHERE coalesce(told.cost, 0) <> coalesce(posted.cost, 0) OR coalesce(told.loss, 0) <> coalesce(posted.loss, 0)
"""

_PAYMENTS = """
    SELECT card_id, reference, coalesce(told.paid, 0) AS paid, coalesce(told.bonus, 0) AS bonus,
        coalesce(posted.paid, 0) AS posted_paid, coalesce(posted.bonus, 0) AS posted_bonus
    FROM (
        SELECT card_id, 'payment:' || id AS reference, amount AS paid, bonus FROM payment
        UNION ALL
        SELECT voucher_id, 'payment:' || id, -amount, 0 FROM payment WHERE voucher_id IS NOT NULL
    ) told FULL JOIN (
        SELECT card_id, reference, sum(amount) FILTER (WHERE kind <> 'bonus') AS paid,
            sum(amount) FILTER (WHERE kind = 'bonus') AS bonus
        FROM ledger_entry WHERE kind IN ('recharge', 'bonus', 'voucher') GROUP BY card_id, reference
    ) posted USING (card_id, reference)
    WHERE coalesce(told.paid, 0) <> coalesce(posted.paid, 0)
        OR coalesce(told.bonus, 0) <> coalesce(posted.bonus, 0)
"""

_BATCH_OPENINGS = """
    SELECT coalesce('batch:' || b.id, posted.reference) AS document, b.name, b.generated, posted.entries,
        b.denomination, posted.least, posted.most
    FROM batch b FULL JOIN (
        SELECT reference, count(*) AS entries, min(amount) AS least, max(amount) AS most
        FROM ledger_entry WHERE kind = 'opening' GROUP BY reference
    ) posted ON posted.reference = 'batch:' || b.id
    WHERE coalesce(posted.entries, 0) <> coalesce(b.generated, 0)
        OR (NOT b.imported AND (posted.least <> b.denomination OR posted.most <> b.denomination))
"""

_BATCH_CARDS = """
    SELECT b.id AS batch, b.name, b.count, b.generated, b.ready_at, coalesce(made.cards, 0) AS cards,
        b.first_id, b.last_id, made.least, made.most
    FROM batch b LEFT JOIN (
        SELECT batch_id, count(*) AS cards, min(id) AS least, max(id) AS most FROM card GROUP BY batch_id
    ) made ON made.batch_id = b.id
    WHERE coalesce(made.cards, 0) <> b.generated OR made.least < b.first_id OR made.most > b.last_id
        OR (b.ready_at IS NOT NULL AND b.generated <> b.count)
"""

_HOLDS = """
    SELECT c.id AS card_id, c.held, c.live_calls, coalesce(live.hold, 0) AS hold, coalesce(live.calls, 0) AS calls
    FROM card c LEFT JOIN (
        SELECT card_id, sum(hold) AS hold, count(*) AS calls FROM call GROUP BY card_id
    ) live ON live.card_id = c.id
    WHERE c.held <> coalesce(live.hold, 0) OR c.live_calls <> coalesce(live.calls, 0)
"""

_KEYS = """
    SELECT 'ledger_entry' AS table, card_id || ' ' || idempotency_key AS key, count(*) AS times
    FROM ledger_entry WHERE idempotency_key IS NOT NULL GROUP BY card_id, idempotency_key HAVING count(*) > 1
    UNION ALL
    SELECT 'payment', idempotency_key, count(*) FROM payment
    WHERE idempotency_key IS NOT NULL GROUP BY idempotency_key HAVING count(*) > 1
    UNION ALL
    SELECT 'idempotent_request', scope || ' ' || key, count(*) FROM idempotent_request
    GROUP BY scope, key HAVING count(*) > 1
    UNION ALL
    SELECT 'call', switch_id || ' ' || call_ref, count(*) FROM call GROUP BY switch_id, call_ref HAVING count(*) > 1
"""

_VOUCHERS = """
    SELECT c.id AS card_id, c.balance, count(*) AS times FROM payment p JOIN card c ON c.id = p.voucher_id
    GROUP BY c.id, c.balance HAVING count(*) > 1 OR c.balance <> 0
"""

_ENDS = """
    SELECT card_id, id AS call, count(*) AS ends FROM (
        SELECT card_id, id FROM cdr UNION ALL SELECT card_id, id FROM call
    ) known GROUP BY card_id, id HAVING count(*) > 1
"""

_CORRECTIONS = """
    SELECT x.card_id, x.cdr_id FROM cdr_correction x
    WHERE NOT EXISTS (SELECT 1 FROM cdr d WHERE d.card_id = x.card_id AND d.id = x.cdr_id AND 'swept' = ANY(d.flags))
"""

_CURRENCIES = """
    SELECT c.id AS card_id, c.currency, b.currency AS other FROM card c JOIN batch b ON b.id = c.batch_id
    WHERE c.currency <> b.currency
    UNION ALL
    SELECT p.card_id, c.currency, p.currency FROM payment p JOIN card c ON c.id = p.card_id
    WHERE p.currency <> c.currency
"""

IMMUTABLE = ("ledger_entry", "cdr", "cdr_correction", "payment", "audit", "deck_rate", "deck_version")
"""Tables whose rows the database itself must refuse to change."""

GUARDS = (
    "ck_card_balance",
    "ck_card_live_calls",
    "ck_ledger_entry_balance_after",
    "ck_cdr_charged",
    "uq_card_number",
    "uq_ledger_entry_idempotency",
    "uq_payment_idempotency_key",
    "uq_payment_voucher_id",
    "uq_call_switch_id_call_ref",
    "pk_card",
    "pk_idempotent_request",
)
"""Constraints and unique indexes that the books stand on."""

_GUARDS = """
    SELECT name AS guard FROM unnest(%(guards)s::text[]) AS name
    WHERE NOT EXISTS (
        SELECT 1 FROM pg_index i WHERE i.indexrelid = to_regclass(name) AND i.indisunique AND i.indisvalid
    ) AND NOT EXISTS (
        SELECT 1 FROM pg_constraint k WHERE k.conname = name AND k.contype = 'c' AND k.convalidated
            AND k.connamespace = current_schema()::regnamespace
    )
    UNION ALL
    SELECT name || '_immutable' FROM unnest(%(tables)s::text[]) AS name
    WHERE NOT EXISTS (
        SELECT 1 FROM pg_trigger t WHERE t.tgrelid = to_regclass(name) AND t.tgname = name || '_immutable'
            AND t.tgenabled IN ('O', 'A')
    )
"""

CHECKS = (
    Check(
        "balance",
        "card",
        _BALANCES,
        lambda row: f"Its balance is {_money(row.balance)}, but its entries sum to {_money(row.total)}.",
    ),
    Check("opening", "card", _OPENINGS, lambda row: f"It was born {row.openings} times."),
    Check(
        "chain",
        "card",
        _CHAIN,
        lambda row: (
            f"Entry {row.id} moves {_money(row.amount)} onto {_money(row.before)}, "
            f"but says that {_money(row.balance_after)} was left."
        ),
    ),
    Check(
        "overspent",
        "card",
        "SELECT id AS card_id, balance, held FROM card WHERE balance < held OR held < 0",
        lambda row: f"Its balance is {_money(row.balance)}, its calls hold {_money(row.held)}.",
    ),
    Check(
        "holds",
        "card",
        _HOLDS,
        lambda row: (
            f"It counts {row.live_calls} live calls that hold {_money(row.held)}; "
            f"there are {row.calls} that hold {_money(row.hold)}."
        ),
    ),
    Check(
        "account",
        "card",
        _ACCOUNTS,
        lambda row: f"Entry {row.id} of kind {row.kind} stands against the account {row.account}.",
    ),
    Check(
        "calls",
        "card",
        _CALLS,
        lambda row: (
            f"{row.reference} cost {_money(row.cost)}, of which {_money(row.loss)} was lost; "
            f"the ledger says {_money(row.posted_cost)} and {_money(row.posted_loss)}."
        ),
    ),
    Check(
        "payments",
        "card",
        _PAYMENTS,
        lambda row: (
            f"{row.reference} brought {_money(row.paid)} and a bonus of {_money(row.bonus)}; "
            f"the ledger says {_money(row.posted_paid)} and {_money(row.posted_bonus)}."
        ),
    ),
    Check(
        "openings",
        "document",
        _BATCH_OPENINGS,
        lambda row: (
            f"{row.generated or 0} cards were made with {_money(row.denomination)} each; the ledger has "
            f"{row.entries or 0} openings from {_money(row.least)} to {_money(row.most)}."
        ),
    ),
    Check(
        "batch",
        "batch",
        _BATCH_CARDS,
        lambda row: (
            f"{row.name}: {row.generated} of {row.count} cards are said to be made, {row.cards} stand"
            f"{'; it is said to be ready' if row.ready_at else ''}."
        ),
    ),
    Check(
        "overdue",
        "call",
        "SELECT id AS call, sweep_after FROM call WHERE sweep_after < %(overdue)s",
        lambda row: f"It should have been swept at {row.sweep_after:%Y-%m-%d %H:%M:%S} UTC.",
    ),
    Check("ends", "call", _ENDS, lambda row: f"It is known {row.ends} times as live or ended."),
    Check(
        "correction", "card", _CORRECTIONS, lambda row: f"Call {row.cdr_id} was corrected, but never swept."
    ),
    Check("key", "table", _KEYS, lambda row: f"The key {row.key} counted {row.times} times."),
    Check(
        "voucher",
        "card",
        _VOUCHERS,
        lambda row: f"This voucher was redeemed {row.times} times and has {_money(row.balance)} left.",
    ),
    Check("currency", "card", _CURRENCIES, lambda row: f"It is in {row.currency}, and also in {row.other}."),
    Check("guard", "guard", _GUARDS, lambda row: "The database does not guard this any more."),
)
"""Everything that is checked, in the order in which it is told."""
