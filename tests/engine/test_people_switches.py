"""Switches: keys that open, rotate and die at once, and from where they may be used."""

from __future__ import annotations

import re
import threading
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from engine.actor import CONSOLE
from engine.db import Database
from engine.errors import Conflict, InvalidInput, NotFound, Unauthorized
from engine.people import switches
from engine.schema import AuditRow
from engine.vault import Secret

NOW = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)


def works(db: Database, key: Secret, address: str | None = "192.0.2.1") -> bool:
    try:
        switches.authenticate_key(db, key.value, address)
    except Unauthorized as refused:
        return (refused.code, refused.data) != ("bad_key", {})  # one shape, whatever the cause
    return True


def audited(db: Database) -> list[tuple[str, dict[str, object]]]:
    with db.begin() as session:
        return [(row.action, row.data) for row in session.scalars(select(AuditRow).order_by(AuditRow.id))]


def test_a_key_names_its_switch(db: Database) -> None:
    north, key = switches.add_switch(db, " North  1 ", CONSOLE, NOW, trusted_callers=False)
    switches.add_switch(db, "South", CONSOLE, NOW)
    assert re.fullmatch(r"ctsw_[A-Za-z0-9_-]{43}", key.value)
    found = switches.authenticate_key(db, key.value, None)
    assert found == north == switches.SwitchIdentity(north.id, "North 1", False)


def test_the_key_stands_nowhere_but_for_its_visible_beginning(db: Database) -> None:
    _, key = switches.add_switch(db, "North", CONSOLE, NOW)
    with db.connection() as conn:
        row = conn.execute(
            "SELECT (SELECT string_agg(k::text, '') FROM switch_key k)"
            " || (SELECT string_agg(a::text, '') FROM audit a) AS dump"
        ).fetchone()
    assert row is not None
    assert key.value[:11] in row.dump
    assert key.value[:12] not in row.dump
    assert key.value.encode().hex() not in row.dump
    assert key.value not in repr(key)


@pytest.mark.parametrize(
    "key", ["", "ctsw_", "ctsw_" + "A" * 43, "x" * 100_000, "clé\0\ud800", "' OR true --"]
)
def test_what_is_no_key_is_refused_like_any_other(db: Database, key: str) -> None:
    switches.add_switch(db, "North", CONSOLE, NOW)
    assert not works(db, Secret(key))


def test_a_key_must_be_right_to_the_last_letter(db: Database) -> None:
    _, key = switches.add_switch(db, "North", CONSOLE, NOW)
    assert works(db, key)
    assert not works(db, Secret(key.value[:-1]))
    assert not works(db, Secret(key.value + "A"))
    assert not works(db, Secret(key.value.swapcase()))


def test_a_revoked_switch_is_refused_from_the_next_request_on(db: Database) -> None:
    _, key = switches.add_switch(db, "North", CONSOLE, NOW)
    assert works(db, key)
    switches.revoke_switch(db, "North", CONSOLE, NOW)
    assert not works(db, key)
    with pytest.raises(Conflict, match="switch_revoked"):
        switches.revoke_switch(db, "North", CONSOLE, NOW)
    with pytest.raises(Conflict, match="switch_revoked"):
        switches.rotate_key(db, "North", CONSOLE, NOW)
    with pytest.raises(Conflict, match="switch_revoked"):
        switches.add_switch(db, "North", CONSOLE, NOW)
    (view,) = switches.list_switches(db)
    assert (view.revoked_at, view.keys) == (NOW, ())


def test_a_name_is_taken_once(db: Database) -> None:
    switches.add_switch(db, "North", CONSOLE, NOW)
    with pytest.raises(Conflict, match="switch_exists"):
        switches.add_switch(db, " North ", CONSOLE, NOW)
    assert [action for action, _ in audited(db)] == ["switch.add"]


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("   ", "empty"),
        ("a\0b", "control_character"),
        ("x" * 101, "too_long"),
        ("North\u202e", "invisible_character"),
    ],
)
def test_a_name_that_cannot_be_told_from_others_is_refused(db: Database, name: str, code: str) -> None:
    with pytest.raises(InvalidInput, match=code):
        switches.add_switch(db, name, CONSOLE, NOW)


def test_rotation_keeps_the_old_key_working_until_it_is_finished(db: Database) -> None:
    _, old = switches.add_switch(db, "North", CONSOLE, NOW)
    new = switches.rotate_key(db, "North", CONSOLE, NOW + timedelta(days=1))
    assert works(db, old)
    assert works(db, new)
    with pytest.raises(Conflict, match="two_keys_live"):
        switches.rotate_key(db, "North", CONSOLE, NOW)
    assert [key.prefix for key in switches.list_switches(db)[0].keys] == [old.value[:11], new.value[:11]]
    assert switches.finish_rotation(db, "North", CONSOLE, NOW) == 1
    assert not works(db, old)
    assert works(db, new)
    assert switches.finish_rotation(db, "North", CONSOLE, NOW) == 0
    assert [action for action, _ in audited(db)] == [
        "switch.add",
        "switch.rotate",
        "switch.revoke_key",
        "switch.finish_rotation",
    ]


def test_racing_rotations_leave_two_live_keys_at_most(db: Database) -> None:
    switches.add_switch(db, "North", CONSOLE, NOW)
    made: list[Secret] = []
    refused: list[str] = []

    def rotate() -> None:
        try:
            made.append(switches.rotate_key(db, "North", CONSOLE, NOW))
        except Conflict as error:
            refused.append(error.code)

    racers = [threading.Thread(target=rotate) for _ in range(5)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert (len(made), refused) == (1, ["two_keys_live"] * 4)


def test_one_key_can_be_revoked_by_its_visible_beginning(db: Database) -> None:
    _, old = switches.add_switch(db, "North", CONSOLE, NOW)
    leaked = switches.rotate_key(db, "North", CONSOLE, NOW)
    with pytest.raises(NotFound, match="key_not_found"):
        switches.revoke_key(db, "North", "ctsw_", CONSOLE, NOW)
    switches.revoke_key(db, "North", leaked.value[:11], CONSOLE, NOW)
    assert works(db, old)
    assert not works(db, leaked)


@pytest.mark.parametrize(
    ("listed", "address", "good"),
    [
        (["192.0.2.1"], "192.0.2.1", True),
        (["192.0.2.1"], "192.0.2.2", False),
        (["10.0.0.0/8", "192.0.2.0/24"], "192.0.2.254", True),
        (["10.0.0.0/8"], "11.0.0.1", False),
        (["192.0.2.1"], "::ffff:192.0.2.1", True),
        (["2001:db8::/32"], "2001:db8::7", True),
        (["2001:db8::/32"], "192.0.2.1", False),
        (["192.0.2.1"], None, False),
        (["192.0.2.1"], "", False),
        (["192.0.2.1"], "not an address", False),
        ([], None, True),
        (None, "203.0.113.9", True),
    ],
)
def test_a_key_works_only_from_listed_addresses(
    db: Database, listed: list[str] | None, address: str | None, good: bool
) -> None:
    _, key = switches.add_switch(db, "North", CONSOLE, NOW, addresses=listed)
    assert works(db, key, address) is good


@pytest.mark.parametrize("address", ["192.0.2.300", "10.0.0.1/8", "localhost", "", "10.0.0.0/33"])
def test_an_address_list_with_an_error_is_refused(db: Database, address: str) -> None:
    with pytest.raises(InvalidInput, match="bad_address") as refused:
        switches.add_switch(db, "North", CONSOLE, NOW, addresses=["10.0.0.0/8", address])
    assert refused.value.data["value"] == address
    assert switches.list_switches(db) == []


def test_a_changed_address_list_and_trust_count_from_the_next_request(db: Database) -> None:
    _, key = switches.add_switch(db, "North", CONSOLE, NOW)
    switches.change_switch(db, "North", CONSOLE, NOW, addresses=["10.0.0.0/8"], trusted_callers=False)
    assert not works(db, key, "192.0.2.1")
    assert switches.authenticate_key(db, key.value, "10.1.1.1").trusted_callers is False
    switches.change_switch(db, "North", CONSOLE, NOW, addresses=[])
    assert works(db, key, "192.0.2.1")
    assert switches.authenticate_key(db, key.value, "192.0.2.1").trusted_callers is False


def test_nothing_by_that_name(db: Database) -> None:
    for name in ("nowhere", "a\0b", ""):
        with pytest.raises(NotFound, match="switch_not_found"):
            switches.revoke_switch(db, name, CONSOLE, NOW)
