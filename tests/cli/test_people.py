"""Second factors, sessions, consents, the audit trail and a reseller's people, as typed at the machine."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import click
import pytest

from engine.config import Config
from engine.db import Database
from engine.people import auditchain, secondfactor, staff, totp
from engine.schema import Reseller
from engine.vault import Vault
from tests import scenes

from .conftest import Cardtone

Typing = Callable[..., None]


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def typing(monkeypatch: pytest.MonkeyPatch) -> Typing:
    """Says what will be typed, in order; a function is asked when its turn comes."""

    def type_in(*answers: str | Callable[[], str]) -> None:
        waiting = list(answers)

        def prompt(*_args: object, **_kwargs: object) -> str:
            answer = waiting.pop(0)
            return answer if isinstance(answer, str) else answer()

        monkeypatch.setattr(click, "prompt", prompt)

    return type_in


@pytest.fixture
def home_vault(tmp_path: Path) -> Vault:
    return Vault(Config(home=tmp_path / "home").load_keys())


def test_a_second_factor_is_set_up_shown_and_taken_away(
    cardtone: Cardtone, typing: Typing, db: Database, home_vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    cardtone("staff", "add", "ada", "--name", "Ada Moss", "--role", "admin")
    assert cardtone("staff", "totp", "show", "ada").out == "ada has no second factor.\n"
    secrets: list[bytes] = []
    begin = secondfactor.begin_enrolment

    def listening(*arguments: object) -> totp.Enrolment:
        begun = begin(*arguments)  # type: ignore[arg-type]
        secrets.append(base64.b32decode(begun.secret.value))
        return begun

    monkeypatch.setattr(secondfactor, "begin_enrolment", listening)
    typing(lambda: totp.hotp(secrets[0], totp.step_at(now())))
    ran = cardtone("staff", "totp", "enrol", "ada")
    assert ran.status == 0
    assert "otpauth://totp/Cardtone%3Aada" in ran.err
    assert len(ran.out.splitlines()) == 12
    shown = cardtone("staff", "totp", "show", "ada", "--json").json
    assert shown["recovery_codes_left"] == 10
    assert shown["since"] is not None
    assert (
        cardtone("staff", "totp", "reset", "ada", "--reason", "lost").out
        == "ada logs in by password alone now.\n"
    )
    assert cardtone("staff", "totp", "reset", "ada").out == "ada had no second factor.\n"
    assert cardtone("staff", "totp", "show", "nobody").status == 1


def test_sessions_are_listed_and_ended(cardtone: Cardtone, db: Database, home_vault: Vault) -> None:
    ran = cardtone("staff", "add", "ada", "--name", "Ada Moss", "--role", "admin", "--json").json
    assert cardtone("staff", "sessions", "ada").out == "ada is not logged in anywhere.\n"
    for address in ("192.0.2.1", "192.0.2.2"):
        proven = staff.log_in(db, home_vault, "ada", _secret(ran["password"]), address, now())
        assert isinstance(proven, staff.StaffIdentity)
        staff.open_session(db, proven, address, now())
    listed = cardtone("staff", "sessions", "ada", "--json").json["sessions"]
    assert [one["address"] for one in listed] == ["192.0.2.2", "192.0.2.1"]
    assert cardtone("staff", "sessions", "ada", "--end", listed[0]["ref"]).out == "1 ended.\n"
    assert cardtone("staff", "sessions", "ada", "--end-all").out == "1 ended.\n"


def _secret(text: str) -> staff.Secret:
    return staff.Secret(text)


def test_a_resellers_people(cardtone: Cardtone, db: Database) -> None:
    with db.begin() as session:
        session.add(Reseller(name="North", created_at=now()))
    assert cardtone("resellers", "people", "list").out == "There is nobody yet.\n"
    ran = cardtone("resellers", "people", "add", "North", "nora", "--name", "Nora Hill", "--role", "owner")
    assert ran.out.startswith("Nora Hill can log in as nora with the password ")
    assert cardtone("resellers", "people", "list", "North").out.splitlines() == [
        "Reseller  Login  Name       Role   State",
        "North     nora   Nora Hill  owner  active",
    ]
    missing = cardtone("resellers", "people", "list", "South")
    assert (missing.status, missing.err) == (1, "There is no reseller named South.\n")
    last = cardtone("resellers", "people", "disable", "nora")
    assert last.err == "This is the reseller's last owner; make somebody else one first.\n"


def test_a_consent_is_asked_for_and_given_by_somebody_who_proves_it(
    cardtone: Cardtone, typing: Typing, db: Database
) -> None:
    password = cardtone("staff", "add", "fin", "--name", "Fin", "--role", "finance", "--json").json[
        "password"
    ]
    adas = cardtone("staff", "add", "ada", "--name", "Ada Moss", "--role", "admin", "--json").json["password"]
    zoes = cardtone("staff", "add", "zoe", "--name", "Zoe", "--role", "support", "--json").json["password"]
    assert cardtone("consents", "list").out == "Nothing waits for a second person.\n"
    about = ("card.recharge", "card:10000000017", "--reason", "big", "--json", "--facts")
    typing("ada", "wrong")
    assert json.loads(cardtone("consents", "ask", *about, "{}").err)["error"] == "not_proven"
    typing("ada", adas)
    asked = cardtone(
        "consents", "ask", *about, '{"amount": 5000000, "to": ["a\u202eb"], "filter": {"pinless": true}}'
    )
    number = str(asked.json["id"])
    assert (
        "to a\N{REPLACEMENT CHARACTER}b, amount 5.00, filter (pinless yes)"
        in cardtone("consents", "list").out
    )
    for wrong in ("[]", "[" * 100_000, '{"a": NaN}'):
        typing("ada", adas)
        assert cardtone("consents", "ask", *about, wrong).status == 1
    typing("ada", adas)
    own = cardtone("consents", "approve", number)
    assert own.err.startswith(
        "Ada Moss asks for card.recharge on card:10000000017: to a\N{REPLACEMENT CHARACTER}b"
    )
    assert own.err.endswith("You asked for this yourself; somebody else must decide.\n")
    typing("fin", "wrong")
    refused = cardtone("consents", "approve", number)
    assert refused.status == 1
    assert refused.err.endswith("The log-in name, password or code is not right.\n")
    typing("zoe", zoes)
    assert "Your role doesn't allow this" in cardtone("consents", "approve", number).err
    typing("fin", password)
    assert cardtone("consents", "approve", number).out == f"Fin agreed to number {number}.\n"
    listed = cardtone("consents", "list", "--all", "--json").json["consents"]
    assert [(one["state"], one["asked_by"], one["decided_name"]) for one in listed] == [
        ("approved", "staff:2", "Fin")
    ]


def test_what_needs_a_second_person_is_done_in_ones_own_name(
    cardtone: Cardtone, typing: Typing, db: Database, home_vault: Vault
) -> None:
    passwords = {
        login: cardtone("staff", "add", login, "--name", login.title(), "--role", "admin", "--json").json[
            "password"
        ]
        for login in ("ada", "bob")
    }
    card = scenes.batch(db, home_vault)[0]
    cardtone("settings", "set", "consent_recharge_over", "10")
    recharge = ("cards", "recharge", card.serial, "50.00")
    refused = cardtone(*recharge)
    assert (refused.status, "run this again with --as-me" in refused.err) == (1, True)
    needed = json.loads(cardtone(*recharge, "--json").err)
    for act, login in (("ask", "ada"), ("approve", "bob")):
        typing(login, passwords[login])
        given = (
            needed["action"],
            needed["subject"],
            "--facts",
            json.dumps(needed["facts"]),
            "--reason",
            "paid",
        )
        assert cardtone("consents", act, *(given if act == "ask" else ("1",))).status == 0
    assert cardtone(*recharge).status == 1, "at the command line by itself it is still nobody's"
    typing("bob", passwords["bob"])
    assert cardtone(*recharge, "--as-me").status == 1
    typing("ada", passwords["ada"])
    assert "its balance is USD 55.00" in cardtone(*recharge, "--as-me").out
    typing("ada", passwords["ada"])
    loosened = cardtone("settings", "set", "consent_recharge_over", "0", "--as-me", "--json")
    assert json.loads(loosened.err)["facts"] == {"before": 10, "after": 0}


def test_the_trail_is_read_and_verified_against_an_exported_head(
    cardtone: Cardtone, db: Database, tmp_path: Path
) -> None:
    cardtone("staff", "add", "ada", "--name", "Ada Moss", "--role", "admin")
    cardtone("settings", "set", "slice_s", "300")
    listed = cardtone("audit", "list", "--action", "setting.", "--json").json
    assert [(row["action"], row["subject"]) for row in listed["rows"]] == [("setting.set", "setting:slice_s")]
    assert "--before 2" in cardtone("audit", "list", "--limit", "1").out
    head = tmp_path / "head.json"
    assert cardtone("audit", "head", "--to", str(head)).status == 0
    assert json.loads(head.read_text())["seq"] == 2
    whole = cardtone("audit", "verify", "--head", str(head))
    assert whole.status == 0
    assert whole.out.startswith("The trail is whole: 2 rows in the chain, 1 not in it yet.")
    auditchain.extend(db, now())
    with db.raw() as conn:
        conn.execute("ALTER TABLE audit DISABLE TRIGGER USER")
        conn.execute("UPDATE audit SET actor = 'staff:9' WHERE id = 1")
        conn.execute("ALTER TABLE audit ENABLE TRIGGER USER")
    broken = cardtone("audit", "verify", "--json")
    assert broken.status == 1
    assert (broken.json["ok"], broken.json["problems"][0]["kind"]) == (False, "altered")
    assert cardtone("audit", "verify").out == "The audit row 1 (link 1) was altered.\n"
    head.write_text("{}")
    assert "is not a head" in cardtone("audit", "verify", "--head", str(head)).err
