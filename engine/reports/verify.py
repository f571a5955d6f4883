"""The self-check of the books on a live database: what must always hold, asked by set queries in one snapshot.

The balance of a card or account is the sum of its entries, and each entry says rightly what was left; every counter
account says what its documents (calls, payments, transfers, batches, bulk runs, fees) say; nobody spends what is held,
and every hold belongs to one live call; no call is forgotten; a key, a voucher, a crossing and the end of a call count
once; batches have the cards they claim; and what the database itself guards, it still guards.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import psycopg
from psycopg.rows import namedtuple_row

from engine.cards.serials import serial_of
from engine.db import Database
from engine.reports.cardchecks import CARD_CHECKS
from engine.reports.check import Check
from engine.reports.guards import GUARD_CHECKS, GUARDS, IMMUTABLE
from engine.reports.moneychecks import MONEY_CHECKS

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


_SIZES = """
    SELECT (SELECT count(*) FROM card) AS cards, (SELECT count(*) FROM ledger_entry) AS entries,
        (SELECT count(*) FROM cdr) + (SELECT count(*) FROM call) AS calls
"""

CHECKS = (*CARD_CHECKS, *MONEY_CHECKS, *GUARD_CHECKS)
"""Everything that is checked, in the order in which it is told."""
