"""The migrations and the tables that the code describes are the same, and a migration takes along what it finds."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from alembic import command
from psycopg import sql
from sqlalchemy import make_url

from engine.cards import searchcopy
from engine.db import Database
from engine.errors import Conflict
from engine.funds.recharges import recharge
from engine.migrations import _alembic, upgrade
from engine.people import auditchain
from engine.reports.verify import verify
from tests.scenes import OPERATOR, USD

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
CARDS = range(1_000_000_001, 1_000_000_004)


@pytest.fixture
def empty_url(server_url: str) -> Iterator[str]:
    """The URL of a database without any table."""
    name = f"cardtone_empty_{secrets.token_hex(4)}"
    with psycopg.connect(server_url.replace("+psycopg", "", 1), autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        yield make_url(server_url).set(database=name).render_as_string(hide_password=False)
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def test_nothing_drifts_between_migrations_and_schema(database_url: str) -> None:
    command.check(_alembic(database_url))


def fill(url: str) -> None:
    """Three cards of a batch as the first version left them: one used and recharged, one that was bound."""
    with psycopg.connect(url.replace("+psycopg", "", 1)) as conn:
        conn.execute(
            "INSERT INTO deck (name, currency, created_by, created_at) VALUES ('Standard', 'USD', 'console', %s)",
            [NOW],
        )
        conn.execute(
            "INSERT INTO batch (name, kind, count, first_id, last_id, generated, denomination, currency, deck_id,"
            " number_prefix, number_length, luhn, password_length, validity_days, validity_from, first_use, grace_days,"
            " binding, max_bound, auto_bind, pinless, concurrency, destination_rules_id, language, release, created_by,"
            " created_at, ready_at, maintenance_fee, maintenance_days)"
            " VALUES ('May', 'calling', 3, %s, %s, 3, 5000000, 'USD', 1, '', 12, FALSE, 8, 90, 'first_use',"
            " 'authentication', 30, 'single', 1, FALSE, FALSE, 1, 1, 'en', 'generation', 'console', %s, %s, 100000,"
            " 30)",
            [CARDS[0], CARDS[-1], NOW, NOW],
        )
        for card in CARDS:
            used = NOW if card == CARDS[0] else None
            conn.execute(
                "INSERT INTO card (id, number, digest, pepper, batch_id, currency, balance, concurrency, deck_id,"
                " destination_rules_id, created_at, released_at, first_used_at, expires_at)"
                " VALUES (%s, %s, %s, 1, 1, 'USD', 5000000, 1, 1, 1, %s, %s, %s, %s)",
                [card, f"99{card}", bytes(32), NOW, NOW, used, used and used + timedelta(days=90)],
            )
            conn.execute(
                "INSERT INTO ledger_entry (card_id, account, amount, balance_after, kind, reference, actor, at)"
                " VALUES (%s, 'sales', 5000000, 5000000, 'opening', 'batch:1', 'console', %s)",
                [card, NOW],
            )
        conn.execute(
            "INSERT INTO payment (card_id, method, amount, currency, actor, at, idempotency_key)"
            " VALUES (%s, 'operator', 1000000, 'USD', 'console', %s, 'till-1')",
            [CARDS[0], NOW],
        )
        conn.execute("UPDATE card SET balance = 6000000 WHERE id = %s", [CARDS[0]])
        conn.execute(
            "INSERT INTO ledger_entry (card_id, account, amount, balance_after, kind, reference, actor, at)"
            " VALUES (%s, 'sales', 1000000, 6000000, 'recharge', 'payment:1', 'console', %s)",
            [CARDS[0], NOW],
        )
        conn.execute(
            "INSERT INTO audit (at, actor, actor_name, action, subject, data)"
            " VALUES (%s, 'console', 'command line', 'batch.create', 'batch:1', '{}')",
            [NOW],
        )


def test_a_database_of_the_first_version_comes_along_with_its_books(empty_url: str) -> None:
    command.upgrade(_alembic(empty_url), "0001")
    fill(empty_url)
    upgrade(empty_url, NOW)
    upgrade(empty_url, NOW)  # once more changes nothing
    command.check(_alembic(empty_url))
    db = Database(empty_url)
    try:
        assert verify(db, NOW) == []
        assert searchcopy.fold(db, NOW) == len(CARDS)
        done = recharge(db, card_id=CARDS[0], amount=USD("2"), key="till-2", actor=OPERATOR, now=NOW)
        assert done.balance == USD("8")
        with pytest.raises(Conflict, match="key_reused"):
            recharge(db, card_id=CARDS[0], amount=USD("1"), key="till-1", actor=OPERATOR, now=NOW)
        assert auditchain.extend(db, NOW) == 2
        assert verify(db, NOW) == []
    finally:
        db.close()
