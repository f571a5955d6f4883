"""`cardtone demo` on the command line."""

from __future__ import annotations

from engine.db import Database
from engine.vault import Vault
from tests import scenes
from tests.cli.conftest import Cardtone


def test_it_makes_a_world_and_says_how_to_log_in(cardtone: Cardtone) -> None:
    ran = cardtone("demo", "--size", "small", "--password", "one-password-for-all", "--json")
    assert ran.status == 0, ran.err
    told = ran.json
    assert told["right"] is True
    assert {one["role"] for one in told["logins"]} >= {"admin", "operator", "support", "finance", "auditor"}
    assert {one["password"] for one in told["logins"]} == {"one-password-for-all"}
    assert [one["login"] for one in told["logins"] if "code_secret" in one] == ["finance"]
    again = cardtone("demo", "--size", "small")
    assert again.status == 1
    assert "already" in again.err


def test_it_refuses_an_installation_that_is_used(cardtone: Cardtone, db: Database, vault: Vault) -> None:
    scenes.card(db, vault)
    ran = cardtone("demo")
    assert ran.status == 1
    assert ran.err.strip().endswith("a demo world is made only in an unused one.")
