"""`cardtone staff` as an administrator types it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from engine.config import Config
from engine.db import Database
from engine.people import sessions, staff
from engine.vault import Secret, Vault

from .conftest import Cardtone


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def home_vault(tmp_path: Path) -> Vault:
    return Vault(Config(home=tmp_path / "home").load_keys())


def logs_in(db: Database, vault: Vault, login: str, password: str) -> bool:
    answer = staff.log_in(db, vault, login, Secret(password), None, now())
    return isinstance(answer, staff.StaffIdentity)


def test_add_shows_a_password_once_and_it_opens_the_door(
    cardtone: Cardtone, db: Database, home_vault: Vault
) -> None:
    ran = cardtone("staff", "add", "Ada", "--name", "Ada Moss", "--role", "admin")
    assert ran.status == 0
    first, second = ran.out.splitlines()
    assert first.startswith("Ada Moss can log in as ada with the password ")
    assert second == "It is shown this once."
    assert logs_in(db, home_vault, "ada", first.rsplit(" ", 1)[1])
    assert first.rsplit(" ", 1)[1] not in cardtone("staff", "list").out


def test_add_for_a_script_prints_one_object(cardtone: Cardtone, db: Database, home_vault: Vault) -> None:
    added = cardtone("staff", "add", "ada", "--name", "Ada Moss", "--role", "admin", "--json").json
    assert {key: added[key] for key in ("login", "name", "role")} == {
        "login": "ada",
        "name": "Ada Moss",
        "role": "admin",
    }
    assert logs_in(db, home_vault, "ada", added["password"])


def test_people_are_listed_with_those_who_may_no_longer_log_in(cardtone: Cardtone) -> None:
    assert cardtone("staff", "list").out == "There is nobody yet.\n"
    cardtone("staff", "add", "ada", "--name", "Ada Moss", "--role", "admin")
    cardtone("staff", "add", "bob", "--name", "Bob", "--role", "support")
    cardtone("staff", "disable", "bob", "--reason", "left")
    assert cardtone("staff", "list").out.splitlines() == [
        "Login  Name      Role     State",
        "ada    Ada Moss  admin    active",
        "bob    Bob       support  disabled",
    ]
    assert cardtone("staff", "list", "--json").json["staff"][1] == {
        "login": "bob",
        "name": "Bob",
        "role": "support",
        "disabled": True,
    }


def test_a_new_password_replaces_the_old_one_and_ends_sessions(
    cardtone: Cardtone, db: Database, home_vault: Vault
) -> None:
    old = cardtone("staff", "add", "ada", "--name", "Ada", "--role", "admin", "--json").json["password"]
    (ada,) = staff.list_staff(db)
    token = sessions.open_session(db, "staff", ada.id, None, now())
    new = cardtone("staff", "reset-password", "ada", "--json").json["password"]
    assert sessions.find_session(db, "staff", token, now()) is None
    assert logs_in(db, home_vault, "ada", new)
    assert not logs_in(db, home_vault, "ada", old)


def test_somebody_disabled_is_out_and_can_be_let_back(
    cardtone: Cardtone, db: Database, home_vault: Vault
) -> None:
    cardtone("staff", "add", "ada", "--name", "Ada", "--role", "admin")
    word = cardtone("staff", "add", "bob", "--name", "Bob", "--role", "support", "--json").json["password"]
    assert cardtone("staff", "disable", "bob").out == "bob can't log in any more.\n"
    assert not logs_in(db, home_vault, "bob", word)
    assert cardtone("staff", "enable", "bob").out == "bob can log in again.\n"
    assert logs_in(db, home_vault, "bob", word)


def test_a_role_is_changed(cardtone: Cardtone) -> None:
    cardtone("staff", "add", "ada", "--name", "Ada", "--role", "admin")
    cardtone("staff", "add", "bob", "--name", "Bob", "--role", "support")
    assert cardtone("staff", "change", "bob", "--role", "finance").out == "bob is now Bob, finance.\n"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["add", "ada", "--name", "Ada", "--role", "admin"], "There is somebody with the login ada already."),
        (["add", "a b", "--name", "Ada", "--role", "admin"], "The login may hold small letters, digits"),
        (["add", "eve", "--name", "Eve", "--role", "boss"], "'boss' is not one of 'admin'"),
        (["add", "eve"], "Missing option '--name'."),
        (["disable", "ada"], "This is the last administrator; make somebody else one first."),
        (["disable", "nobody"], "There is nobody with the login nobody."),
        (["reset-password", "nobody"], "There is nobody with the login nobody."),
    ],
)
def test_what_is_wrong_is_one_sentence_and_status_1(
    cardtone: Cardtone, arguments: list[str], sentence: str
) -> None:
    cardtone("staff", "add", "ada", "--name", "Ada", "--role", "admin")
    ran = cardtone("staff", *arguments)
    assert (ran.status, ran.out) == (1, "")
    assert sentence in ran.err
    assert len(ran.err.splitlines()) == 1
