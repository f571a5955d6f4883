"""The second step of a log-in, what guesses at it cost, and that no session outlives the proof it was opened by."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from engine.actor import CONSOLE
from engine.db import Database
from engine.errors import Conflict, NotFound, Unauthorized
from engine.people import entrance, secondfactor, sessions, staff, totp
from engine.people.entrance import EnrolmentNeeded, SecondNeeded
from engine.people.staff import REALM, StaffIdentity
from engine.refusal import Refusal
from engine.schema import Attempt, AuditRow
from engine.vault import Secret, Vault
from tests import scenes

NOW = datetime(2026, 3, 1, 9, 0, 10, tzinfo=UTC)
HOME = "192.0.2.7"
PASSWORD = Secret("seven quiet harbours")
WRONG = Secret("not the password")


def later(seconds: int) -> datetime:
    return NOW + timedelta(seconds=seconds)


class Ada:
    """Ada, who has a second factor."""

    def __init__(self, db: Database, vault: Vault) -> None:
        self.db, self.vault = db, vault
        self.identity = staff.add_staff(db, "ada", "Ada Moss", "admin", PASSWORD, CONSOLE, NOW)[0]
        begun = secondfactor.begin_enrolment(db, vault, REALM, self.identity.id, NOW)
        self.secret = base64.b32decode(begun.secret.value)
        self.codes = secondfactor.confirm_enrolment(db, vault, REALM, self.identity.id, self.code(NOW), NOW)

    def code(self, at: datetime) -> str:
        return totp.hotp(self.secret, totp.step_at(at))

    def first(self, at: datetime, address: str | None = HOME, password: Secret = PASSWORD) -> SecondNeeded:
        outcome = staff.log_in(self.db, self.vault, "ada", password, address, at)
        assert isinstance(outcome, SecondNeeded), outcome
        return outcome

    def second(
        self, ticket: Secret, code: str, at: datetime, address: str | None = HOME
    ) -> StaffIdentity | Refusal:
        return staff.prove_second(self.db, self.vault, ticket, code, address, at)

    def log_in(self, at: datetime, address: str | None = HOME) -> StaffIdentity:
        outcome = self.second(self.first(at, address).ticket, self.code(at), at, address)
        assert isinstance(outcome, StaffIdentity), outcome
        return outcome


@pytest.fixture
def ada(db: Database, vault: Vault) -> Ada:
    return Ada(db, vault)


def audited(db: Database, action: str) -> list[AuditRow]:
    with db.begin() as session:
        return list(session.scalars(select(AuditRow).where(AuditRow.action == action).order_by(AuditRow.id)))


def test_password_and_code_together_open_the_door(db: Database, ada: Ada) -> None:
    needed = ada.first(later(60))
    assert audited(db, "staff.log_in") == []
    assert ada.second(needed.ticket, ada.code(later(60)), later(60)) == ada.identity
    assert [row.data for row in audited(db, "staff.log_in")] == [
        {"address": HOME, "line": f"{HOME}/32", "second": "totp"}
    ]


def test_a_recovery_code_stands_in_once(db: Database, ada: Ada) -> None:
    ticket = ada.first(later(60)).ticket
    assert ada.second(ticket, ada.codes[3].value, later(60)) == ada.identity
    assert ada.second(ticket, ada.codes[3].value, later(61)) == Refusal("bad_credentials")
    assert [row.data["second"] for row in audited(db, "staff.log_in")] == ["recovery"]
    assert secondfactor.standing(db, REALM, ada.identity.id).codes_left == 9


def test_a_ticket_used_again_needs_another_code(ada: Ada) -> None:
    ticket = ada.first(later(60)).ticket
    assert ada.second(ticket, ada.code(later(60)), later(60)) == ada.identity
    assert ada.second(ticket, ada.code(later(60)), later(61)) == Refusal("bad_credentials")


def test_a_ticket_is_over_soon_and_with_what_it_proved(db: Database, vault: Vault, ada: Ada) -> None:
    ticket = ada.first(later(60)).ticket
    with pytest.raises(Unauthorized, match="ticket_over"):
        ada.second(ticket, ada.code(later(360)), later(360))
    staff.reset_password(db, vault, "ada", CONSOLE, later(70), PASSWORD)
    with pytest.raises(Unauthorized, match="ticket_over"):
        ada.second(ticket, ada.code(later(90)), later(90))


@pytest.mark.parametrize("turn", range(6))
def test_a_made_up_ticket_opens_nothing(ada: Ada, vault: Vault, turn: int) -> None:
    name, subject, ends, proof, mac = ada.first(later(60)).ticket.value.split(".")
    made_up = [
        "",
        "staff.1",
        f"{name}.{int(subject) + 1}.{ends}.{proof}.{mac}",
        f"{name}.{subject}.{int(ends) + 60}.{proof}.{mac}",
        f"reseller.{subject}.{ends}.{proof}.{mac}",
        f"{name}.{subject}.{ends}.{proof}.{'0' * 64}",
    ][turn]
    with pytest.raises(Unauthorized, match="ticket_over"):
        ada.second(Secret(made_up), ada.code(later(60)), later(60))


def test_guesses_at_the_code_cost_as_much_as_at_the_password_and_a_right_password_forgives_none(
    db: Database, vault: Vault, ada: Ada
) -> None:
    at, waits, wrong = later(60), [], 0
    while len(waits) < 4:
        outcome = staff.log_in(db, vault, "ada", PASSWORD, None, at)
        if isinstance(outcome, SecondNeeded):
            assert ada.second(outcome.ticket, "000000", at, None) == Refusal("bad_credentials")
            wrong += 1
        else:
            assert isinstance(outcome, Refusal)
            waits.append(outcome.retry_after_s or 0)
            at += timedelta(seconds=waits[-1])
    assert waits == [2, 4, 8, 16]
    assert wrong == 8
    with db.begin() as session:
        reasons = list(session.scalars(select(Attempt.reason)))
    assert reasons == ["wrong_code"] * wrong


def test_who_was_let_in_here_before_is_not_kept_out_by_strangers_guesses(
    db: Database, vault: Vault, ada: Ada
) -> None:
    ada.log_in(later(60))
    for turn in range(30):
        staff.log_in(db, vault, "ada", WRONG, f"203.0.113.{turn}", later(120))
    assert ada.log_in(later(120)) == ada.identity
    stranger = staff.log_in(db, vault, "ada", PASSWORD, "203.0.113.99", later(120))
    assert isinstance(stranger, Refusal)
    assert stranger.reason == "throttled"


def test_without_a_second_factor_the_password_is_enough_until_the_house_wants_more(
    db: Database, vault: Vault
) -> None:
    zoe = staff.add_staff(db, "zoe", "Zoe", "support", PASSWORD, CONSOLE, NOW)[0]
    assert staff.log_in(db, vault, "zoe", PASSWORD, HOME, NOW) == zoe
    scenes.setting(db, "totp_required", True)
    assert isinstance(staff.log_in(db, vault, "zoe", PASSWORD, HOME, NOW), EnrolmentNeeded)
    assert staff.log_in(db, vault, "zoe", WRONG, HOME, NOW) == Refusal("bad_credentials")
    begun = secondfactor.begin_enrolment(db, vault, REALM, zoe.id, NOW)
    code = totp.hotp(base64.b32decode(begun.secret.value), totp.step_at(NOW))
    secondfactor.confirm_enrolment(db, vault, REALM, zoe.id, code, NOW)
    assert isinstance(staff.log_in(db, vault, "zoe", PASSWORD, HOME, NOW), SecondNeeded)


def test_one_who_was_disabled_between_the_steps_stays_out(db: Database, ada: Ada) -> None:
    staff.add_staff(db, "bob", "Bob", "admin", None, CONSOLE, NOW)
    ticket = ada.first(later(60)).ticket
    staff.disable_staff(db, "ada", CONSOLE, later(61))
    with pytest.raises(Unauthorized, match="ticket_over"):
        ada.second(ticket, ada.code(later(61)), later(61))


def test_a_session_opens_for_what_was_proven_and_not_after_it_changed(
    db: Database, vault: Vault, ada: Ada
) -> None:
    proven = ada.log_in(later(60))
    token = staff.open_session(db, proven, HOME, later(60))
    assert sessions.find_session(db, "staff", token, later(60)) is not None
    staff.reset_password(db, vault, "ada", CONSOLE, later(61), PASSWORD)
    with pytest.raises(Unauthorized, match="proof_over"):
        staff.open_session(db, proven, HOME, later(62))
    proven = ada.log_in(later(120))
    assert staff.reset_totp(db, vault, "ada", CONSOLE, later(121), "lost her phone")
    with pytest.raises(Unauthorized, match="proof_over"):
        staff.open_session(db, proven, HOME, later(122))
    by_password = staff.log_in(db, vault, "ada", PASSWORD, HOME, later(123))
    assert isinstance(by_password, StaffIdentity)
    staff.open_session(db, by_password, HOME, later(123))
    assert sessions.find_session(db, "staff", token, later(123)) is None


def test_no_session_opens_for_who_proved_nothing_or_was_disabled(
    db: Database, vault: Vault, ada: Ada
) -> None:
    staff.add_staff(db, "bob", "Bob", "admin", None, CONSOLE, NOW)
    proven = ada.log_in(later(60))
    for unproven in (ada.identity, replace(proven, id=proven.id + 1), replace(proven, id=99)):
        with pytest.raises(Unauthorized, match="proof_over"):
            staff.open_session(db, unproven, HOME, later(60))
    staff.disable_staff(db, "ada", CONSOLE, later(61))
    with pytest.raises(Unauthorized, match="proof_over"):
        staff.open_session(db, proven, HOME, later(62))


def test_enrolling_a_second_factor_ends_proofs_by_password_alone(db: Database, vault: Vault) -> None:
    zoe = staff.add_staff(db, "zoe", "Zoe", "support", PASSWORD, CONSOLE, NOW)[0]
    proven = staff.log_in(db, vault, "zoe", PASSWORD, HOME, NOW)
    assert isinstance(proven, StaffIdentity)
    begun = secondfactor.begin_enrolment(db, vault, REALM, zoe.id, NOW)
    code = totp.hotp(base64.b32decode(begun.secret.value), totp.step_at(NOW))
    secondfactor.confirm_enrolment(db, vault, REALM, zoe.id, code, NOW)
    with pytest.raises(Unauthorized, match="proof_over"):
        staff.open_session(db, proven, HOME, NOW)


def test_a_reset_takes_the_second_factor_sessions_and_failures_away(
    db: Database, vault: Vault, ada: Ada
) -> None:
    token = staff.open_session(db, ada.log_in(later(60)), HOME, later(60))
    for _ in range(5):
        staff.log_in(db, vault, "ada", WRONG, None, later(61))
    assert staff.reset_totp(db, vault, "ada", CONSOLE, later(62))
    assert not staff.reset_totp(db, vault, "ada", CONSOLE, later(62))
    assert sessions.find_session(db, "staff", token, later(62)) is None
    assert staff.log_in(db, vault, "ada", PASSWORD, None, later(62)) == ada.identity
    assert len(audited(db, "staff.reset_totp")) == 1


def test_new_recovery_codes_want_a_code(db: Database, vault: Vault, ada: Ada) -> None:
    me = ada.identity.id
    refused = secondfactor.new_recovery_codes(db, vault, REALM, me, "000000", HOME, later(60))
    assert refused == Refusal("bad_credentials")
    new = secondfactor.new_recovery_codes(db, vault, REALM, me, ada.code(later(60)), HOME, later(60))
    assert not isinstance(new, Refusal)
    ticket = ada.first(later(61)).ticket
    assert ada.second(ticket, ada.codes[0].value, later(61)) == Refusal("bad_credentials")
    assert ada.second(ticket, new[0].value, later(61)) == ada.identity
    assert len(audited(db, "staff.recovery_codes")) == 1


def test_giving_it_up_wants_password_and_code_and_ends_sessions(db: Database, vault: Vault, ada: Ada) -> None:
    me = ada.identity.id
    token = staff.open_session(db, ada.log_in(later(60)), HOME, later(60))
    for password, code in ((WRONG, ada.code(later(90))), (PASSWORD, "000000")):
        refused = secondfactor.remove(db, vault, REALM, me, password, code, HOME, later(90))
        assert refused == Refusal("bad_credentials")
    assert sessions.find_session(db, "staff", token, later(90)) is not None
    assert secondfactor.remove(db, vault, REALM, me, PASSWORD, ada.code(later(90)), HOME, later(90)) is None
    assert sessions.find_session(db, "staff", token, later(90)) is None
    assert staff.log_in(db, vault, "ada", PASSWORD, HOME, later(91)) == ada.identity
    with pytest.raises(Conflict, match="totp_off"):
        secondfactor.remove(db, vault, REALM, me, PASSWORD, "000000", HOME, later(92))
    with pytest.raises(NotFound):
        secondfactor.begin_enrolment(db, vault, REALM, 99, NOW)


def test_guesses_at_giving_it_up_are_limited(db: Database, vault: Vault, ada: Ada) -> None:
    answers = [
        secondfactor.remove(db, vault, REALM, ada.identity.id, PASSWORD, "000000", None, later(60))
        for _ in range(7)
    ]
    assert answers[:5] == [Refusal("bad_credentials")] * 5
    assert answers[5:] == [Refusal("throttled", retry_after_s=2)] * 2


def test_a_password_asked_for_again_counts_as_at_the_door(db: Database, vault: Vault, ada: Ada) -> None:
    def again(password: Secret, address: str | None = None) -> Refusal | None:
        return entrance.prove_password(db, vault, REALM, ada.identity.id, password, address, later(60))

    assert [again(PASSWORD) for _ in range(8)] == [None] * 8
    assert [again(WRONG) for _ in range(5)] == [Refusal("bad_credentials")] * 5
    assert again(PASSWORD) == Refusal("throttled", retry_after_s=2)
    with pytest.raises(NotFound):
        entrance.prove_password(db, vault, REALM, 99, PASSWORD, None, NOW)


def test_a_password_changed_by_its_owner_keeps_the_second_factor(
    db: Database, vault: Vault, ada: Ada
) -> None:
    new = Secret("nine loud lighthouses")
    assert staff.change_password(db, vault, ada.identity.id, PASSWORD, new, HOME, later(60)) == ada.identity
    assert isinstance(staff.log_in(db, vault, "ada", new, HOME, later(61)), SecondNeeded)
    assert staff.log_in(db, vault, "ada", PASSWORD, HOME, later(61)) == Refusal("bad_credentials")


def test_sessions_are_listed_and_ended_one_by_one_or_all(db: Database, vault: Vault, ada: Ada) -> None:
    me = ada.identity.id
    tokens = [
        staff.open_session(db, ada.log_in(later(60 * n)), f"192.0.2.{n}", later(60 * n)) for n in (1, 2, 3)
    ]
    at = later(200)
    listed = sessions.list_sessions(db, "staff", me, at)
    assert [(one.ref, one.address) for one in listed] == [
        (sessions.ref_of(tokens[n]), f"192.0.2.{n + 1}") for n in (2, 1, 0)
    ]
    assert sessions.close_own(db, "staff", me + 1, listed[0].ref) == 0, "somebody else's"
    assert sessions.close_own(db, "staff", me, listed[0].ref) == 1
    assert sessions.find_session(db, "staff", tokens[2], at) is None
    assert staff.end_sessions(db, "ada", CONSOLE, at, ref=listed[1].ref, reason="lost laptop") == 1
    assert sessions.find_session(db, "staff", tokens[1], at) is None
    extra = staff.open_session(db, ada.log_in(later(300)), HOME, later(300))
    assert sessions.close_own(db, "staff", me, None, kept=extra) == 1
    assert [one.ref for one in sessions.list_sessions(db, "staff", me, later(300))] == [
        sessions.ref_of(extra)
    ]
    assert staff.end_sessions(db, "ada", CONSOLE, later(300)) == 1
    assert sessions.list_sessions(db, "staff", me, later(300)) == []
    assert [row.data["ended"] for row in audited(db, "staff.end_sessions")] == [1, 1]


def test_sessions_that_are_over_are_not_listed(db: Database, ada: Ada) -> None:
    staff.open_session(db, ada.log_in(later(60)), HOME, later(60))
    idle = sessions.LIFETIMES["staff"].idle_s
    assert len(sessions.list_sessions(db, "staff", ada.identity.id, later(59 + idle))) == 1
    assert sessions.list_sessions(db, "staff", ada.identity.id, later(60 + idle)) == []
