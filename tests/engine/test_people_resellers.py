"""A reseller's people: who manages whom, how they log in, and that another reseller's people don't exist for them."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, text

from engine.actor import CONSOLE, Actor
from engine.cards.queries import actor_names
from engine.db import Database
from engine.errors import Conflict, Forbidden, InvalidInput, NotFound, Unauthorized
from engine.people import resellerpeople, secondfactor, sessions, staff, totp
from engine.people.entrance import SecondNeeded
from engine.people.resellerpeople import REALM, ResellerIdentity
from engine.refusal import Refusal
from engine.schema import AuditRow, Reseller, ResellerPerson
from engine.vault import Secret, Vault

NOW = datetime(2026, 3, 1, 9, 0, 10, tzinfo=UTC)
HOME = "192.0.2.7"
PASSWORD = Secret("seven quiet harbours")
WRONG = Secret("not the password")


def later(seconds: int) -> datetime:
    return NOW + timedelta(seconds=seconds)


def reseller(db: Database, name: str) -> int:
    with db.begin() as session:
        row = Reseller(name=name, created_at=NOW)
        session.add(row)
        session.flush()
        return row.id


def add(
    db: Database, reseller_id: int, login: str, role: str = "owner", actor: Actor = CONSOLE
) -> ResellerIdentity:
    return resellerpeople.add_person(db, reseller_id, login, login.title(), role, PASSWORD, actor, NOW)[0]


@pytest.fixture
def north(db: Database) -> ResellerIdentity:
    """The owner of the reseller North."""
    return add(db, reseller(db, "North"), "nora")


@pytest.fixture
def south(db: Database, north: ResellerIdentity) -> ResellerIdentity:
    """The owner of another reseller."""
    return add(db, reseller(db, "South"), "sam")


def audited(db: Database) -> list[tuple[str, str, str]]:
    with db.begin() as session:
        rows = session.scalars(select(AuditRow).order_by(AuditRow.id))
        return [(row.action, row.actor, row.subject) for row in rows]


def test_an_owner_logs_in_as_an_actor_of_their_reseller(
    db: Database, vault: Vault, north: ResellerIdentity
) -> None:
    proven = resellerpeople.log_in(db, vault, " NORA", PASSWORD, HOME, NOW)
    assert proven == north
    assert isinstance(proven, ResellerIdentity)
    assert proven.actor == Actor("reseller", north.id, "Nora", "owner", north.reseller_id)
    token = resellerpeople.open_session(db, proven, HOME, NOW)
    assert sessions.find_session(db, "reseller", token, NOW) is not None
    assert sessions.find_session(db, "staff", token, NOW) is None
    assert resellerpeople.find_person(db, north.id) == north
    assert audited(db)[-1] == (
        "reseller_person.log_in",
        f"reseller:{north.id}",
        f"reseller_person:{north.id}",
    )
    with db.begin() as session:
        assert actor_names(session, [str(proven.actor)]) == {f"reseller:{north.id}": "Nora"}
        assert session.scalars(select(ResellerPerson.password_hash)).one().startswith("$argon2id$")


def test_the_realms_are_kept_apart(db: Database, vault: Vault, north: ResellerIdentity) -> None:
    staff.add_staff(db, "nora", "Another Nora", "admin", Secret("nine loud lighthouses"), CONSOLE, NOW)
    assert staff.log_in(db, vault, "nora", PASSWORD, HOME, NOW) == Refusal("bad_credentials")
    for _ in range(6):
        staff.log_in(db, vault, "nora", WRONG, None, NOW)
    assert resellerpeople.log_in(db, vault, "nora", PASSWORD, None, NOW) == north


def test_failures_are_limited_as_for_staff(db: Database, vault: Vault, north: ResellerIdentity) -> None:
    answers = [resellerpeople.log_in(db, vault, "nora", WRONG, None, NOW) for _ in range(6)]
    assert answers == [Refusal("bad_credentials")] * 5 + [Refusal("throttled", retry_after_s=2)]
    assert resellerpeople.log_in(db, vault, "nobody", WRONG, None, NOW) == Refusal("bad_credentials")


def test_a_disabled_reseller_keeps_its_people_out(
    db: Database, vault: Vault, north: ResellerIdentity
) -> None:
    proven = resellerpeople.log_in(db, vault, "nora", PASSWORD, HOME, NOW)
    assert isinstance(proven, ResellerIdentity)
    with db.begin() as session:
        session.execute(text("UPDATE reseller SET disabled_at = :now"), {"now": NOW})
    assert resellerpeople.log_in(db, vault, "nora", PASSWORD, HOME, NOW) == Refusal("bad_credentials")
    assert resellerpeople.find_person(db, north.id) is None
    with pytest.raises(Unauthorized, match="proof_over"):
        resellerpeople.open_session(db, proven, HOME, NOW)
    with pytest.raises(Conflict, match="reseller_disabled"):
        add(db, north.reseller_id, "bea")


def test_an_owner_manages_the_people_of_their_reseller(
    db: Database, vault: Vault, north: ResellerIdentity
) -> None:
    boss = north.actor
    add(db, north.reseller_id, "cleo", "clerk", boss)
    assert resellerpeople.change_person(db, "cleo", boss, NOW, name="Cleo Hill", role="owner").role == "owner"
    resellerpeople.disable_person(db, "cleo", boss, NOW, "left")
    with pytest.raises(Conflict, match="already_disabled"):
        resellerpeople.disable_person(db, "cleo", boss, NOW)
    assert resellerpeople.log_in(db, vault, "cleo", PASSWORD, HOME, NOW) == Refusal("bad_credentials")
    resellerpeople.enable_person(db, "cleo", boss, NOW)
    with pytest.raises(Conflict, match="not_disabled"):
        resellerpeople.enable_person(db, "cleo", boss, NOW)
    new = resellerpeople.reset_password(db, vault, "cleo", boss, NOW)
    assert isinstance(resellerpeople.log_in(db, vault, "cleo", new, HOME, NOW), ResellerIdentity)
    assert not resellerpeople.reset_totp(db, vault, "cleo", boss, NOW)
    assert resellerpeople.end_sessions(db, "cleo", boss, NOW) == 0
    assert [row.name for row in resellerpeople.list_people(db, north.reseller_id)] == ["Cleo Hill", "Nora"]
    assert [action for action, actor, _ in audited(db) if actor == str(boss)] == [
        f"reseller_person.{verb}" for verb in ("add", "change", "disable", "enable", "reset_password")
    ]


ACTS: dict[str, Callable[[Database, Vault, Actor], object]] = {
    "change": lambda db, vault, actor: resellerpeople.change_person(db, "sam", actor, NOW, name="Mine"),
    "disable": lambda db, vault, actor: resellerpeople.disable_person(db, "sam", actor, NOW),
    "enable": lambda db, vault, actor: resellerpeople.enable_person(db, "sam", actor, NOW),
    "reset_password": lambda db, vault, actor: resellerpeople.reset_password(db, vault, "sam", actor, NOW),
    "reset_totp": lambda db, vault, actor: resellerpeople.reset_totp(db, vault, "sam", actor, NOW),
    "end_sessions": lambda db, vault, actor: resellerpeople.end_sessions(db, "sam", actor, NOW),
}


@pytest.mark.parametrize("verb", ACTS)
def test_another_resellers_people_do_not_exist_for_an_owner(
    db: Database, vault: Vault, north: ResellerIdentity, south: ResellerIdentity, verb: str
) -> None:
    before = audited(db)
    with pytest.raises(NotFound) as foreign:
        ACTS[verb](db, vault, north.actor)
    assert foreign.value.code == "reseller_person_not_found"
    with pytest.raises(Forbidden):
        ACTS[verb](db, vault, Actor("reseller", south.id, "Sam", "clerk", south.reseller_id))
    with pytest.raises(NotFound):
        ACTS[verb](db, vault, Actor("reseller", 9, "Nobody", "owner", None))
    assert audited(db) == before
    assert resellerpeople.log_in(db, vault, "sam", PASSWORD, HOME, NOW) == south


def test_an_owner_adds_nobody_elsewhere(
    db: Database, north: ResellerIdentity, south: ResellerIdentity
) -> None:
    for reseller_id in (south.reseller_id, 99):
        with pytest.raises(NotFound, match="reseller_not_found"):
            add(db, reseller_id, "spy", actor=north.actor)
    with pytest.raises(Conflict, match="login_taken"):
        add(db, north.reseller_id, "sam", actor=north.actor)
    with pytest.raises(InvalidInput, match="unknown_role"):
        add(db, north.reseller_id, "spy", "admin", actor=north.actor)
    for role in ("support", "finance", "auditor"):
        with pytest.raises(Forbidden):
            add(db, north.reseller_id, "spy", actor=Actor("staff", 1, "Somebody", role))


def test_the_last_owner_stays(db: Database, north: ResellerIdentity, south: ResellerIdentity) -> None:
    for actor in (north.actor, CONSOLE):
        with pytest.raises(Conflict, match="last_owner"):
            resellerpeople.disable_person(db, "nora", actor, NOW)
        with pytest.raises(Conflict, match="last_owner"):
            resellerpeople.change_person(db, "nora", actor, NOW, role="clerk")
    resellerpeople.change_person(db, "nora", north.actor, NOW, name="Nora Hill")
    add(db, north.reseller_id, "cleo", "clerk")
    resellerpeople.disable_person(db, "cleo", north.actor, NOW)
    resellerpeople.enable_person(db, "cleo", north.actor, NOW)
    resellerpeople.change_person(db, "cleo", north.actor, NOW, role="owner")
    resellerpeople.disable_person(db, "nora", north.actor, NOW)


def test_two_owners_who_disable_each_other_at_once_leave_one(db: Database, north: ResellerIdentity) -> None:
    add(db, north.reseller_id, "cleo")
    start, outcomes = threading.Barrier(2), []

    def disable(login: str) -> None:
        start.wait()
        try:
            resellerpeople.disable_person(db, login, CONSOLE, NOW)
            outcomes.append("gone")
        except Conflict as refused:
            outcomes.append(refused.code)

    threads = [threading.Thread(target=disable, args=(login,)) for login in ("nora", "cleo")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["gone", "last_owner"]


@pytest.mark.parametrize("change", ["disable", "change", "reset_password", "end_sessions"])
def test_what_is_done_to_somebody_ends_their_sessions(
    db: Database, vault: Vault, south: ResellerIdentity, change: str
) -> None:
    add(db, south.reseller_id, "sue")
    proven = resellerpeople.log_in(db, vault, "sam", PASSWORD, HOME, NOW)
    assert isinstance(proven, ResellerIdentity)
    token = resellerpeople.open_session(db, proven, HOME, NOW)
    ACTS[change](db, vault, CONSOLE)
    assert sessions.find_session(db, "reseller", token, NOW) is None


def test_they_have_second_factors_of_their_own(db: Database, vault: Vault, north: ResellerIdentity) -> None:
    begun = secondfactor.begin_enrolment(db, vault, REALM, north.id, NOW)
    secret = base64.b32decode(begun.secret.value)
    secondfactor.confirm_enrolment(db, vault, REALM, north.id, totp.hotp(secret, totp.step_at(NOW)), NOW)
    needed = resellerpeople.log_in(db, vault, "nora", PASSWORD, HOME, later(60))
    assert isinstance(needed, SecondNeeded)
    code = totp.hotp(secret, totp.step_at(later(60)))
    with pytest.raises(Unauthorized, match="ticket_over"):
        staff.prove_second(db, vault, needed.ticket, code, HOME, later(60))
    proven = resellerpeople.prove_second(db, vault, needed.ticket, code, HOME, later(60))
    assert isinstance(proven, ResellerIdentity)
    token = resellerpeople.open_session(db, proven, HOME, later(60))
    assert resellerpeople.reset_totp(db, vault, "nora", CONSOLE, later(61), "lost her phone")
    assert sessions.find_session(db, "reseller", token, later(61)) is None
    assert resellerpeople.log_in(db, vault, "nora", PASSWORD, HOME, later(62)) == north
    assert ("reseller_person.reset_totp", "console", f"reseller_person:{north.id}") in audited(db)


def test_somebody_changes_their_own_password(db: Database, vault: Vault, north: ResellerIdentity) -> None:
    new = Secret("nine loud lighthouses")
    refused = resellerpeople.change_password(db, vault, north.id, WRONG, new, HOME, NOW)
    assert refused == Refusal("bad_credentials")
    assert resellerpeople.change_password(db, vault, north.id, PASSWORD, new, HOME, NOW) == north
    assert resellerpeople.log_in(db, vault, "nora", new, HOME, NOW) == north
    assert audited(db)[-2][0] == "reseller_person.change_password"
