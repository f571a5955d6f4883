"""Staff: who they are, how they prove it, and what a stranger's tries cost."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import argon2
import pytest
from sqlalchemy import func, select, text

from engine.actor import CONSOLE
from engine.db import Database
from engine.errors import Conflict, InvalidInput, NotFound
from engine.people import passwords, sessions, staff
from engine.refusal import Refusal
from engine.schema import Attempt, AuditRow, FailureCounter, Staff
from engine.vault import Secret, Vault

NOW = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
HOME = "192.0.2.7"
WRONG = Secret("not the password")


def later(**span: int) -> datetime:
    return NOW + timedelta(**span)


@pytest.fixture
def ada(db: Database) -> tuple[staff.StaffIdentity, Secret]:
    """Ada, an administrator, and her password."""
    return staff.add_staff(db, " Ada ", "Ada  Moss", "admin", None, CONSOLE, NOW)


def audited(db: Database, action: str) -> list[AuditRow]:
    with db.begin() as session:
        return list(session.scalars(select(AuditRow).where(AuditRow.action == action).order_by(AuditRow.id)))


def test_somebody_added_logs_in_with_the_random_password_they_were_given(
    db: Database, vault: Vault, ada: tuple[staff.StaffIdentity, Secret]
) -> None:
    identity, password = ada
    assert (identity.login, identity.name, identity.role) == ("ada", "Ada Moss", "admin")
    assert staff.log_in(db, vault, "ADA ", password, HOME, NOW) == identity
    assert staff.find_staff(db, identity.id) == identity
    assert str(identity.actor) == f"staff:{identity.id}"
    assert [row.data["login"] for row in audited(db, "staff.add")] == ["ada"]
    assert [row.data["address"] for row in audited(db, "staff.log_in")] == [HOME]


def test_random_passwords_differ_and_read_in_groups() -> None:
    drawn = {passwords.new_password().value for _ in range(500)}
    assert len(drawn) == 500
    assert all(len(word) == 23 and [len(group) for group in word.split("-")] == [5] * 4 for word in drawn)
    assert not set("".join(drawn)) & set("ilo01")


@pytest.mark.usefixtures("slow_hashes")
def test_the_password_stands_nowhere_in_the_database(
    db: Database, ada: tuple[staff.StaffIdentity, Secret]
) -> None:
    _, password = ada
    with db.begin() as session:
        hashed = session.scalars(select(Staff.password_hash)).one()
        dump = session.execute(
            text(
                "SELECT string_agg(s::text, '') || (SELECT string_agg(a::text, '') FROM audit a) FROM staff s"
            )
        ).scalar_one()
    assert hashed.startswith("$argon2id$v=19$m=47104,t=2,p=1$")
    assert password.value not in dump
    assert password.value not in repr(password)


@pytest.mark.parametrize("login", ["nobody", "ada", "zoe", "'; DROP TABLE staff --", "", "a\0b", "É" * 300])
def test_every_failure_gets_the_same_answer(
    db: Database, vault: Vault, ada: tuple[staff.StaffIdentity, Secret], login: str
) -> None:
    _, zoes = staff.add_staff(db, "zoe", "Zoe", "support", None, CONSOLE, NOW)
    staff.disable_staff(db, "zoe", CONSOLE, NOW)
    password = zoes if login == "zoe" else WRONG
    assert staff.log_in(db, vault, login, password, HOME, NOW) == Refusal("bad_credentials")


def test_a_failed_try_is_kept_without_the_name_it_gave(
    db: Database, vault: Vault, ada: tuple[staff.StaffIdentity, Secret]
) -> None:
    staff.log_in(db, vault, "my-password-in-the-wrong-box", WRONG, HOME, NOW)
    staff.log_in(db, vault, "ada", WRONG, None, NOW)
    with db.begin() as session:
        rows = session.scalars(select(Attempt).order_by(Attempt.id)).all()
        kept = [(row.door, row.source, row.reason) for row in rows]
    assert kept == [
        ("staff", f"address:{HOME}", "unknown_login"),
        ("staff", "address:console", "wrong_password"),
    ]


@pytest.mark.parametrize("login", ["ada", "nobody"])
def test_failures_bring_a_delay_that_doubles_whether_the_name_exists_or_not(
    db: Database, vault: Vault, ada: tuple[staff.StaffIdentity, Secret], login: str
) -> None:
    at, waits = NOW, []
    for turn in range(8):
        assert staff.log_in(db, vault, login, WRONG, None, at) == Refusal("bad_credentials")
        if turn >= 4:
            early = staff.log_in(db, vault, login, WRONG, None, at)
            assert isinstance(early, Refusal)
            assert early.reason == "throttled"
            waits.append(early.retry_after_s or 0)
            at += timedelta(seconds=waits[-1])
    assert waits == [2, 4, 8, 16]


def test_the_right_password_forgets_failures_and_is_not_compared_during_a_delay(
    db: Database, vault: Vault, ada: tuple[staff.StaffIdentity, Secret]
) -> None:
    identity, password = ada
    for _ in range(5):
        assert staff.log_in(db, vault, "ada", WRONG, None, NOW) == Refusal("bad_credentials")
    assert staff.log_in(db, vault, "ada", password, None, NOW) == Refusal("throttled", retry_after_s=2)
    assert staff.log_in(db, vault, "ada", password, None, later(seconds=2)) == identity
    with db.begin() as session:
        assert session.scalar(select(func.count()).select_from(FailureCounter)) == 0


def test_who_was_right_from_an_address_before_is_never_kept_out_there_by_others(
    db: Database, vault: Vault, ada: tuple[staff.StaffIdentity, Secret]
) -> None:
    identity, password = ada
    assert staff.log_in(db, vault, "ada", password, HOME, NOW) == identity
    for turn in range(30):
        staff.log_in(db, vault, "ada", WRONG, f"203.0.113.{turn}", NOW)
    stranger = staff.log_in(db, vault, "ada", password, "203.0.113.99", NOW)
    assert isinstance(stranger, Refusal)
    assert stranger.reason == "throttled"
    assert staff.log_in(db, vault, "ada", password, HOME, NOW) == identity


def test_an_address_gets_ten_failures_a_minute_over_all_names(
    db: Database, vault: Vault, ada: tuple[staff.StaffIdentity, Secret]
) -> None:
    answers = [staff.log_in(db, vault, f"name{turn}", WRONG, HOME, NOW) for turn in range(12)]
    assert [getattr(answer, "reason", "") for answer in answers] == (
        ["bad_credentials"] * 10 + ["throttled"] * 2
    )
    assert answers[-1] == Refusal("throttled", retry_after_s=60)
    assert staff.log_in(db, vault, "ada", ada[1], HOME, later(seconds=61)) == ada[0]


def test_a_success_takes_back_only_its_own_try_from_its_address(
    db: Database, vault: Vault, ada: tuple[staff.StaffIdentity, Secret]
) -> None:
    """An insider cannot clear the way for guesses by logging in now and then."""
    refused = 0
    for turn in range(14):
        answer = staff.log_in(db, vault, f"name{turn}", WRONG, HOME, NOW)
        refused += answer == Refusal("throttled", retry_after_s=60)
        staff.log_in(db, vault, "ada", ada[1], HOME, NOW)
    assert refused == 4


def test_tries_in_parallel_get_no_more_guesses_than_tries_in_a_row(
    db: Database, vault: Vault, ada: tuple[staff.StaffIdentity, Secret]
) -> None:
    answers: list[object] = []

    def guess() -> None:
        answers.append(staff.log_in(db, vault, "ada", WRONG, None, NOW))

    racers = [threading.Thread(target=guess) for _ in range(12)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert sum(answer == Refusal("bad_credentials") for answer in answers) == 5
    assert sum(isinstance(answer, Refusal) and answer.reason == "throttled" for answer in answers) == 7


@pytest.mark.usefixtures("slow_hashes")
def test_a_hash_of_older_parameters_is_made_anew_by_the_next_right_password(
    db: Database, vault: Vault, ada: tuple[staff.StaffIdentity, Secret]
) -> None:
    old = argon2.PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash(ada[1].value)
    with db.begin() as session:
        session.execute(text("UPDATE staff SET password_hash = :old"), {"old": old})
    assert staff.log_in(db, vault, "ada", ada[1], None, NOW) == ada[0]
    with db.begin() as session:
        new = session.scalars(select(Staff.password_hash)).one()
    assert new.startswith("$argon2id$v=19$m=47104,t=2,p=1$")
    assert staff.log_in(db, vault, "ada", ada[1], None, NOW) == ada[0]


def test_a_password_is_the_same_text_however_its_accents_are_typed(db: Database, vault: Vault) -> None:
    identity, _ = staff.add_staff(db, "eve", "Eve", "support", Secret("café brûlée ici"), CONSOLE, NOW)
    decomposed = Secret("café brûlée ici")
    assert staff.log_in(db, vault, "eve", decomposed, None, NOW) == identity


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("short one", "password_short"),
        ("x" * 201, "password_long"),
        ("aaaaaaaaaaaaaaa", "password_guessable"),
        ("CardtoneEve1!", "password_guessable"),
    ],
)
def test_a_password_that_is_easily_guessed_is_refused(db: Database, password: str, code: str) -> None:
    with pytest.raises(InvalidInput, match=code):
        staff.add_staff(db, "eve", "Eve", "support", Secret(password), CONSOLE, NOW)
    assert staff.list_staff(db) == []


@pytest.mark.parametrize(
    ("login", "name", "role", "code"),
    [
        ("", "Eve", "support", "bad_login"),
        ("eve smith", "Eve", "support", "bad_login"),
        ("ève", "Eve", "support", "bad_login"),
        ("x" * 64, "Eve", "support", "bad_login"),
        ("eve", "  ", "support", "empty"),
        ("eve", "Eve\u202e", "support", "invisible_character"),
        ("eve", "Eve\0", "support", "control_character"),
        ("eve", "Eve", "boss", "unknown_role"),
    ],
)
def test_what_cannot_be_a_person_is_refused(
    db: Database, login: str, name: str, role: str, code: str
) -> None:
    with pytest.raises(InvalidInput, match=code):
        staff.add_staff(db, login, name, role, None, CONSOLE, NOW)


def test_a_login_is_taken_once(db: Database, ada: tuple[staff.StaffIdentity, Secret]) -> None:
    with pytest.raises(Conflict, match="login_taken"):
        staff.add_staff(db, "ADA", "Another Ada", "support", None, CONSOLE, NOW)
    assert len(audited(db, "staff.add")) == 1


def test_the_first_person_is_made_once_by_however_many_processes(db: Database, vault: Vault) -> None:
    made: list[tuple[str, Secret] | None] = []
    racers = [
        threading.Thread(target=lambda: made.append(staff.ensure_first(db, CONSOLE, NOW))) for _ in range(6)
    ]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    firsts = [first for first in made if first is not None]
    assert len(made) == 6
    assert len(firsts) == 1
    login, password = firsts[0]
    identity = staff.log_in(db, vault, login, password, HOME, NOW)
    assert isinstance(identity, staff.StaffIdentity)
    assert identity.role == "admin"
    assert staff.ensure_first(db, CONSOLE, NOW) is None


@pytest.fixture
def zoe(db: Database, ada: tuple[staff.StaffIdentity, Secret]) -> tuple[staff.StaffIdentity, Secret, Secret]:
    """Zoe, her password, and the token of a session of hers."""
    identity, password = staff.add_staff(db, "zoe", "Zoe", "support", None, CONSOLE, NOW)
    return identity, password, sessions.open_session(db, "staff", identity.id, HOME, NOW)


def test_disabling_somebody_ends_their_sessions_and_log_ins_until_they_are_let_back(
    db: Database, vault: Vault, zoe: tuple[staff.StaffIdentity, Secret, Secret]
) -> None:
    identity, password, token = zoe
    staff.disable_staff(db, "zoe", CONSOLE, NOW, reason="left")
    assert sessions.find_session(db, "staff", token, NOW) is None
    assert staff.find_staff(db, identity.id) is None
    assert staff.log_in(db, vault, "zoe", password, HOME, NOW) == Refusal("bad_credentials")
    assert [row.reason for row in audited(db, "staff.disable")] == ["left"]
    with pytest.raises(Conflict, match="already_disabled"):
        staff.disable_staff(db, "zoe", CONSOLE, NOW)
    staff.enable_staff(db, "zoe", CONSOLE, NOW)
    assert staff.log_in(db, vault, "zoe", password, HOME, NOW) == identity
    with pytest.raises(Conflict, match="not_disabled"):
        staff.enable_staff(db, "zoe", CONSOLE, NOW)


def test_resetting_a_password_ends_sessions_and_kills_the_old_one(
    db: Database, vault: Vault, zoe: tuple[staff.StaffIdentity, Secret, Secret]
) -> None:
    identity, old, token = zoe
    for _ in range(6):
        staff.log_in(db, vault, "zoe", WRONG, None, NOW)
    new = staff.reset_password(db, vault, "zoe", CONSOLE, NOW)
    assert sessions.find_session(db, "staff", token, NOW) is None
    assert staff.log_in(db, vault, "zoe", new, None, NOW) == identity
    assert staff.log_in(db, vault, "zoe", old, None, NOW) == Refusal("bad_credentials")
    assert len(audited(db, "staff.reset_password")) == 1


def test_changing_ones_own_password_asks_for_the_old_one_and_ends_sessions(
    db: Database, vault: Vault, zoe: tuple[staff.StaffIdentity, Secret, Secret]
) -> None:
    identity, old, token = zoe
    new = Secret("four words of my own")
    answer = staff.change_password(db, vault, identity.id, WRONG, new, HOME, NOW)
    assert answer == Refusal("bad_credentials")
    assert sessions.find_session(db, "staff", token, NOW) is not None
    assert staff.change_password(db, vault, identity.id, old, new, HOME, NOW) == identity
    assert sessions.find_session(db, "staff", token, NOW) is None
    assert staff.log_in(db, vault, "zoe", new, HOME, NOW) == identity
    assert [row.actor for row in audited(db, "staff.change_password")] == [f"staff:{identity.id}"]


def test_changing_a_role_ends_sessions_and_tells_what_it_was(
    db: Database, zoe: tuple[staff.StaffIdentity, Secret, Secret]
) -> None:
    identity, _, token = zoe
    assert staff.change_staff(db, "zoe", CONSOLE, NOW, role="finance").role == "finance"
    assert sessions.find_session(db, "staff", token, NOW) is None
    (row,) = audited(db, "staff.change")
    assert (row.data["before"]["role"], row.data["after"]["role"]) == ("support", "finance")
    assert row.subject == f"staff:{identity.id}"


def test_the_last_administrator_can_neither_be_disabled_nor_demoted(
    db: Database, ada: tuple[staff.StaffIdentity, Secret]
) -> None:
    with pytest.raises(Conflict, match="last_admin"):
        staff.disable_staff(db, "ada", CONSOLE, NOW)
    with pytest.raises(Conflict, match="last_admin"):
        staff.change_staff(db, "ada", CONSOLE, NOW, role="support")
    assert staff.find_staff(db, ada[0].id) == ada[0]


def test_two_administrators_who_disable_each_other_at_once_leave_one(
    db: Database, ada: tuple[staff.StaffIdentity, Secret]
) -> None:
    staff.add_staff(db, "bob", "Bob", "admin", None, CONSOLE, NOW)
    refused: list[Conflict] = []

    def disable(login: str) -> None:
        try:
            staff.disable_staff(db, login, CONSOLE, NOW)
        except Conflict as error:
            refused.append(error)

    racers = [threading.Thread(target=disable, args=[login]) for login in ("ada", "bob")]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert [error.code for error in refused] == ["last_admin"]
    assert sum(person.disabled_at is None for person in staff.list_staff(db)) == 1


def test_nobody_by_that_name(db: Database, vault: Vault) -> None:
    for login in ("nobody", "a\0b", "x" * 1000):
        with pytest.raises(NotFound, match="staff_not_found"):
            staff.disable_staff(db, login, CONSOLE, NOW)
    with pytest.raises(NotFound, match="staff_not_found"):
        staff.reset_password(db, vault, "nobody", CONSOLE, NOW)
