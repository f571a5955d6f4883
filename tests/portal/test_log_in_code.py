"""The second step of a log-in as a browser takes it: a form with one field, honest refusals, and the way back."""

from __future__ import annotations

import base64

import pytest
from sqlalchemy import func, select

from engine.actor import CONSOLE
from engine.db import Database
from engine.people import secondfactor, staff, totp
from engine.people.staff import StaffIdentity
from engine.schema import WebSession
from engine.vault import Secret, Vault
from portal.operator.people.entering import NO_CODE
from tests import scenes
from tests.portal.conftest import LOGIN, PASSWORD, Clock, Visitor, text_of


class Phone:
    """The authenticator app of the person, and their paper with recovery codes."""

    def __init__(self, db: Database, vault: Vault, person: StaffIdentity, clock: Clock) -> None:
        self.clock = clock
        begun = secondfactor.begin_enrolment(db, vault, staff.REALM, person.id, clock())
        self.secret = base64.b32decode(begun.secret.value)
        self.paper = secondfactor.confirm_enrolment(db, vault, staff.REALM, person.id, self.code(), clock())
        clock.later(minutes=2)

    def code(self) -> str:
        return totp.hotp(self.secret, totp.step_at(self.clock()))


@pytest.fixture
def phone(db: Database, vault: Vault, person: StaffIdentity, clock: Clock) -> Phone:
    return Phone(db, vault, person, clock)


def _sessions(db: Database) -> int:
    with db.begin() as session:
        return session.scalar(select(func.count()).select_from(WebSession)) or 0


def test_the_password_leads_to_the_code_and_the_code_into_the_console(
    stranger: Visitor, phone: Phone, db: Database
) -> None:
    first = stranger.log_in(next="/find")
    assert (first.status_code, first.location) == (303, "/log-in/code?next=/find")
    assert _sessions(db) == 0
    assert stranger.get("/batches").status_code == 303, "the first step opens nothing"
    page = stranger.get(first.location)
    assert page.status_code == 200
    assert 'autocomplete="one-time-code"' in page.text
    second = stranger.submit("/log-in/code", code=phone.code(), next="/find")
    assert (second.status_code, second.location) == (303, "/find")
    assert "Front desk" in stranger.get("/find").text
    assert _sessions(db) == 1
    assert stranger.get("/log-in/code").location == "/log-in?next=/", "the first step's proof is gone"


def test_a_recovery_code_works_too(stranger: Visitor, phone: Phone) -> None:
    stranger.log_in()
    assert stranger.submit("/log-in/code", code=phone.paper[0].value.upper()).location == "/"


def test_a_wrong_code_is_told_at_the_form_and_too_many_wait(
    stranger: Visitor, phone: Phone, db: Database
) -> None:
    stranger.log_in()
    for _ in range(5):
        refused = stranger.submit("/log-in/code", code="000000")
        assert refused.status_code == 422
        assert NO_CODE in text_of(refused.text)
    limited = stranger.submit("/log-in/code", code=phone.code())
    assert (limited.status_code, limited.headers["Retry-After"]) == (429, "2")
    phone.clock.later(seconds=2)
    assert stranger.submit("/log-in/code", code=phone.code()).status_code == 303


@pytest.mark.parametrize("code", ["", "1" * 65])
def test_an_unfit_form_says_so_at_its_field(stranger: Visitor, phone: Phone, code: str) -> None:
    stranger.log_in()
    refused = stranger.submit("/log-in/code", code=code)
    assert refused.status_code == 422
    assert 'aria-invalid="true"' in refused.text


def test_who_skipped_the_first_step_or_took_too_long_begins_there(stranger: Visitor, phone: Phone) -> None:
    assert stranger.get("/log-in/code?next=/find").location == "/log-in?next=/find"
    assert stranger.submit("/log-in/code", code=phone.code()).location == "/log-in?next=/"
    stranger.log_in()
    phone.clock.later(minutes=6)
    assert stranger.submit("/log-in/code", code=phone.code(), next="/find").location == "/log-in?next=/find"


def test_a_password_reset_between_the_steps_ends_it(
    stranger: Visitor, phone: Phone, db: Database, vault: Vault
) -> None:
    stranger.log_in()
    staff.reset_password(db, vault, LOGIN, CONSOLE, phone.clock(), Secret(PASSWORD))
    assert stranger.submit("/log-in/code", code=phone.code()).location == "/log-in?next=/"
    assert _sessions(db) == 0


def test_nobody_is_sent_elsewhere_afterwards(stranger: Visitor, phone: Phone) -> None:
    assert stranger.log_in(next="//evil.example").location == "/log-in/code?next=/"
    assert stranger.submit("/log-in/code", code=phone.code(), next="//evil.example").location == "/"


def test_the_form_comes_as_a_part_too(stranger: Visitor, phone: Phone) -> None:
    stranger.log_in()
    part = stranger.part("/log-in/code")
    assert part.text.lstrip().startswith("<form")


def test_where_the_house_wants_a_second_factor_who_has_none_is_led_to_one(
    stranger: Visitor, person: StaffIdentity, db: Database
) -> None:
    scenes.setting(db, "totp_required", True)
    led = stranger.log_in()
    assert (led.status_code, led.location) == (303, "/log-in/enrol?next=/")
    assert _sessions(db) == 0
