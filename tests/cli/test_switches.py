"""`cardtone switches` as an administrator types it."""

from __future__ import annotations

import pytest

from engine.db import Database
from engine.errors import Unauthorized
from engine.people import switches

from .conftest import Cardtone


def works(db: Database, key: str, address: str = "192.0.2.1") -> bool:
    try:
        switches.authenticate_key(db, key, address)
    except Unauthorized:
        return False
    return True


def test_add_for_a_script_prints_exactly_name_and_key(cardtone: Cardtone, db: Database) -> None:
    added = cardtone("switches", "add", "North", "--json").json
    assert sorted(added) == ["key", "name"]
    assert added["name"] == "North"
    assert switches.authenticate_key(db, added["key"], None).name == "North"


def test_add_shows_the_key_once(cardtone: Cardtone, db: Database) -> None:
    first, second = cardtone("switches", "add", "North").out.splitlines()
    assert first.startswith("The switch North has the key ctsw_")
    assert second == "It is shown this once."
    key = first.rsplit(" ", 1)[1]
    assert works(db, key)
    listed = cardtone("switches", "list").out
    assert key not in listed
    assert key[:11] in listed


def test_a_revoked_switch_is_refused_at_once(cardtone: Cardtone, db: Database) -> None:
    key = cardtone("switches", "add", "North", "--json").json["key"]
    assert cardtone("switches", "revoke", "North").out == "The switch North is revoked.\n"
    assert not works(db, key)


def test_a_key_is_changed_without_stopping_calls(cardtone: Cardtone, db: Database) -> None:
    old = cardtone("switches", "add", "North 1", "--json").json["key"]
    told = cardtone("switches", "rotate", "North 1").out
    new = next(word for word in told.split() if word.startswith("ctsw_"))
    assert "cardtone switches rotate 'North 1' --finish" in told
    assert works(db, old)
    assert works(db, new)
    assert cardtone("switches", "rotate", "North 1", "--finish").out == "The old key of North 1 is revoked.\n"
    assert not works(db, old)
    assert works(db, new)


def test_one_leaked_key_is_revoked_by_its_beginning(cardtone: Cardtone, db: Database) -> None:
    good = cardtone("switches", "add", "North", "--json").json["key"]
    leaked = cardtone("switches", "rotate", "North", "--json").json["key"]
    ran = cardtone("switches", "revoke", "North", "--key", leaked[:11])
    assert ran.out == f"The key {leaked[:11]}… of North is revoked.\n"
    assert works(db, good)
    assert not works(db, leaked)


def test_addresses_can_be_listed_and_changed(cardtone: Cardtone, db: Database) -> None:
    key = cardtone(
        "switches", "add", "North", "--address", "10.0.0.0/8", "--address", "192.0.2.7", "--json"
    ).json["key"]
    assert works(db, key, "192.0.2.7")
    assert not works(db, key)
    cardtone("switches", "change", "North", "--anywhere", "--untrusted")
    assert works(db, key)
    assert cardtone("switches", "list", "--json").json["switches"] == [
        {
            "name": "North",
            "revoked": False,
            "keys": [key[:11]],
            "addresses": [],
            "trusted_callers": False,
        }
    ]


def test_switches_are_listed(cardtone: Cardtone) -> None:
    assert cardtone("switches", "list").out == "There is no switch yet.\n"
    cardtone("switches", "add", "South", "--address", "10.0.0.0/8")
    cardtone("switches", "add", "North")
    cardtone("switches", "revoke", "North")
    header, north, south = cardtone("switches", "list").out.splitlines()
    assert header.split() == ["Name", "State", "Keys", "Asks", "from", "Callers"]
    assert north.split() == ["North", "revoked", "anywhere", "believed"]
    assert south.split()[:2] == ["South", "active"]
    assert south.split()[3:] == ["10.0.0.0/8", "believed"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["add", "North"], "There is a switch named North already."),
        (["add", ""], "Fill in the name."),
        (["add", "South", "--address", "10.0.0.1/8"], "10.0.0.1/8 is not an address or network"),
        (["revoke", "South"], "There is no switch named South."),
        (
            ["revoke", "North", "--key", "ctsw_nope"],
            "The switch North has no key that begins with ctsw_nope.",
        ),
        (["rotate", "South", "--finish"], "There is no switch named South."),
        (["change", "North", "--anywhere", "--address", "10.0.0.1"], "not both"),
        (["add"], "Missing argument 'NAME'."),
    ],
)
def test_what_is_wrong_is_one_sentence_and_status_1(
    cardtone: Cardtone, arguments: list[str], sentence: str
) -> None:
    cardtone("switches", "add", "North")
    ran = cardtone("switches", *arguments)
    assert (ran.status, ran.out) == (1, "")
    assert sentence in ran.err
    assert len(ran.err.splitlines()) == 1
