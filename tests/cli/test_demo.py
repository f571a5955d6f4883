"""`cardtone demo` on the command line."""

from __future__ import annotations

import io
from datetime import UTC, datetime

import psycopg
import pytest
from alembic import command

from engine.db import Database
from engine.migrations import _alembic
from engine.vault import Vault
from tests import scenes
from tests.cli.conftest import Cardtone
from tests.conftest import Clones


def test_it_makes_a_world_and_says_how_to_log_in(cardtone: Cardtone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("one-password-for-all\n"))
    ran = cardtone("demo", "--size", "small", "--ask-password", "--json")
    assert ran.status == 0, ran.err
    told = ran.json
    assert told["right"] is True
    assert {one["role"] for one in told["logins"]} >= {"admin", "operator", "support", "finance", "auditor"}
    assert {one["password"] for one in told["logins"]} == {"one-password-for-all"}
    assert [one["login"] for one in told["logins"] if "code_secret" in one] == ["finance"]
    again = cardtone("demo", "--size", "small", "--password", "one-password-for-all")
    assert again.status == 1
    assert "already" in again.err


def test_it_refuses_an_installation_that_is_used(cardtone: Cardtone, db: Database, vault: Vault) -> None:
    scenes.card(db, vault)
    ran = cardtone("demo")
    assert ran.status == 1
    assert ran.err.strip().endswith("a demo world is made only in an unused one.")


def test_it_leaves_an_older_installation_that_is_used_as_it_is(
    cardtone: Cardtone, clones: Clones, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = clones.make(migrated=False)
    try:
        monkeypatch.setenv("CARDTONE_DATABASE_URL", url)
        command.upgrade(_alembic(url), "0001")
        with psycopg.connect(url.replace("+psycopg", "", 1)) as conn:
            conn.execute(
                "INSERT INTO deck (name, currency, created_by, created_at) VALUES ('Standard', 'USD', 'console', %s)",
                [datetime(2026, 11, 20, tzinfo=UTC)],
            )
        ran = cardtone("demo", "--size", "small")
        assert ran.status == 1
        assert ran.err.strip().endswith("a demo world is made only in an unused one.")
        with psycopg.connect(url.replace("+psycopg", "", 1)) as conn:
            assert conn.execute("SELECT version_num FROM alembic_version").fetchall() == [("0001",)]
    finally:
        clones.drop(url)


def test_a_password_comes_from_one_place(cardtone: Cardtone) -> None:
    ran = cardtone("demo", "--ask-password", "--password", "one-password-for-all")
    assert (ran.status, ran.err.strip()) == (1, "Give --ask-password or --password, not both.")
