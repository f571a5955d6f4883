"""What a log-in costs a stranger: by line, however many addresses it has, and alike for names that don't exist."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event, text

from engine.actor import CONSOLE
from engine.db import Database
from engine.errors import Conflict
from engine.limits import line_of
from engine.people import resellerpeople, secondfactor, staff, totp
from engine.refusal import Refusal
from engine.schema import Reseller
from engine.vault import Secret, Vault

NOW = datetime(2026, 3, 1, 9, 0, 10, tzinfo=UTC)
PASSWORD = Secret("seven quiet harbours")
WRONG = Secret("not the password")
LogIn = Callable[..., Any]


@pytest.fixture
def ada(db: Database) -> staff.StaffIdentity:
    """An administrator."""
    return staff.add_staff(db, "ada", "Ada Moss", "admin", PASSWORD, CONSOLE, NOW)[0]


@pytest.fixture
def nora(db: Database) -> resellerpeople.ResellerIdentity:
    """The owner of a reseller."""
    with db.begin() as session:
        row = Reseller(name="North", created_at=NOW)
        session.add(row)
        session.flush()
        reseller_id = row.id
    return resellerpeople.add_person(db, reseller_id, "nora", "Nora", "owner", PASSWORD, CONSOLE, NOW)[0]


@contextmanager
def statements(db: Database) -> Iterator[list[str]]:
    """What is sent to the database meanwhile."""
    seen: list[str] = []

    def see(_conn: object, _cursor: object, statement: str, *_: object) -> None:
        seen.append(statement)

    event.listen(db.engine, "before_cursor_execute", see)
    try:
        yield seen
    finally:
        event.remove(db.engine, "before_cursor_execute", see)


@pytest.mark.parametrize(
    ("address", "line"),
    [
        ("192.0.2.7", "192.0.2.7/32"),
        ("2001:db8:0:1::7", "2001:db8:0:1::/64"),
        ("2001:db8:0:1:ffff::", "2001:db8:0:1::/64"),
        ("2001:db8:0:2::7", "2001:db8:0:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7/32"),
        ("no address", "no address"),
    ],
)
def test_a_line_is_an_address_or_a_network_of_ipv6(address: str, line: str) -> None:
    assert line_of(address) == line


@pytest.mark.parametrize("log_in", [staff.log_in, resellerpeople.log_in])
def test_a_line_has_ten_failures_a_minute_whichever_of_its_addresses_it_shows(
    db: Database, vault: Vault, log_in: LogIn
) -> None:
    answers = [log_in(db, vault, f"name{n}", WRONG, f"2001:db8::{n:x}:1", NOW) for n in range(12)]
    assert answers == [Refusal("bad_credentials")] * 10 + [Refusal("throttled", retry_after_s=60)] * 2
    assert log_in(db, vault, "other", WRONG, "2001:db8:0:1::1", NOW) == Refusal("bad_credentials")


def test_who_was_right_on_a_line_is_known_at_all_its_addresses(
    db: Database, vault: Vault, ada: staff.StaffIdentity
) -> None:
    assert staff.log_in(db, vault, "ada", PASSWORD, "2001:db8::1", NOW) == ada
    for n in range(30):
        staff.log_in(db, vault, "ada", WRONG, f"2001:db8:1:{n:x}::1", NOW)
    assert staff.log_in(db, vault, "ada", PASSWORD, "2001:db8::2", NOW) == ada
    stranger = staff.log_in(db, vault, "ada", PASSWORD, "2001:db8:2::1", NOW)
    assert isinstance(stranger, Refusal)
    assert stranger.reason == "throttled"


def test_who_logged_in_before_lines_were_kept_is_known_at_their_address(
    db: Database, vault: Vault, ada: staff.StaffIdentity
) -> None:
    with db.begin() as session:
        session.execute(
            text(
                "INSERT INTO audit (at, actor, actor_name, action, subject, data)"
                " VALUES (:now, :who, 'Ada', 'staff.log_in', :who, '{\"address\": \"2001:db8::1\"}')"
            ),
            {"now": NOW, "who": str(ada.actor)},
        )
    for n in range(30):
        staff.log_in(db, vault, "ada", WRONG, f"203.0.113.{n}", NOW)
    assert staff.log_in(db, vault, "ada", PASSWORD, "2001:db8::1", NOW) == ada


def test_a_name_that_is_not_heard_costs_the_same_whether_it_exists_or_not(
    db: Database, vault: Vault, ada: staff.StaffIdentity
) -> None:
    assert staff.log_in(db, vault, "ada", PASSWORD, "192.0.2.200", NOW) == ada
    sent: dict[str, list[str]] = {}
    for login, address in (("ada", "203.0.113.1"), ("nobody", "203.0.113.2")):
        for n in range(5):
            staff.log_in(db, vault, login, WRONG, f"198.51.100.{n}", NOW)
        with statements(db) as sent[login]:
            answers = {staff.log_in(db, vault, login, WRONG, address, NOW) for _ in range(14)}
        assert answers == {Refusal("throttled", retry_after_s=2), Refusal("throttled", retry_after_s=60)}
    assert sent["ada"] == sent["nobody"]


def test_tries_on_a_name_that_is_not_heard_count_on_the_line(
    db: Database, vault: Vault, ada: staff.StaffIdentity
) -> None:
    for n in range(5):
        staff.log_in(db, vault, "ada", WRONG, f"198.51.100.{n}", NOW)
    waits = [
        getattr(staff.log_in(db, vault, "ada", WRONG, "203.0.113.1", NOW), "retry_after_s", None)
        for _ in range(12)
    ]
    assert waits == [2] * 10 + [60] * 2
    assert staff.log_in(db, vault, "bob", WRONG, "203.0.113.1", NOW) == Refusal("throttled", retry_after_s=60)


def test_nobody_resets_their_own_proofs(
    db: Database, vault: Vault, ada: staff.StaffIdentity, nora: resellerpeople.ResellerIdentity
) -> None:
    """Who finds a session open must not make the log-in theirs."""
    begun = secondfactor.begin_enrolment(db, vault, staff.REALM, ada.id, NOW)
    code = totp.hotp(_seed(begun.secret), totp.step_at(NOW))
    secondfactor.confirm_enrolment(db, vault, staff.REALM, ada.id, code, NOW)
    for attempt in (
        lambda: staff.reset_totp(db, vault, "ada", ada.actor, NOW),
        lambda: staff.reset_password(db, vault, "ada", ada.actor, NOW, Secret("four words of my own")),
        lambda: resellerpeople.reset_totp(db, vault, "nora", nora.actor, NOW),
        lambda: resellerpeople.reset_password(db, vault, "nora", nora.actor, NOW),
    ):
        with pytest.raises(Conflict, match="use_own_way"):
            attempt()
    assert secondfactor.standing(db, staff.REALM, ada.id).since == NOW
    bob, _ = staff.add_staff(db, "bob", "Bob", "admin", None, CONSOLE, NOW)
    assert staff.reset_totp(db, vault, "ada", bob.actor, NOW)
    assert not staff.reset_totp(db, vault, "ada", CONSOLE, NOW + timedelta(seconds=1))
    staff.reset_password(db, vault, "ada", CONSOLE, NOW, PASSWORD)


def _seed(secret: Secret) -> bytes:
    return base64.b32decode(secret.value)
