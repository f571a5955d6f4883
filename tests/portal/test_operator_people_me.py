"""One's own log-in: password, second factor with a real app, time zone, sessions; and the first enrolment at log-in."""

from __future__ import annotations

import base64
import re
from typing import Any

import pytest

from engine.actor import CONSOLE
from engine.db import Database
from engine.errors import InvalidInput, NotFound, Unauthorized
from engine.people import audit, entrance, secondfactor, sessions, staff, totp
from engine.people.staff import REALM, StaffIdentity
from engine.vault import Secret, Vault
from tests import scenes
from tests.portal.conftest import LOGIN, PASSWORD, Clock, Visitor, text_of

TICKET = re.compile(r'name="ticket"[^>]*value="([^"]+)"')
RECOVERY = re.compile(r"\b[a-z2-9]{5}-[a-z2-9]{5}\b(?!-)")
NEW = "eight louder mountains"


def app_code(page: str, clock: Clock) -> str:
    """The code that an app shows which was told the secret on this page."""
    found = re.search(r'id="second-secret"[^>]*>([A-Z2-7 ]+)<', page)
    assert found is not None
    secret = base64.b32decode(found[1].replace(" ", ""))
    return totp.hotp(secret, totp.step_at(clock()))


def enrol(visitor: Visitor, clock: Clock) -> list[str]:
    """Set the second factor up as a person does, and return the recovery codes."""
    shown = visitor.submit("/me/second", password=PASSWORD)
    assert shown.status_code == 200
    assert "data:image/svg+xml" in shown.text
    ticket = TICKET.search(shown.text)
    assert ticket is not None
    done = visitor.submit("/me/second/confirm", ticket=ticket[1], code=app_code(shown.text, clock))
    assert done.status_code == 200
    codes = RECOVERY.findall(text_of(done.text))
    assert len(codes) == 10
    clock.later(minutes=2)
    return codes


def test_a_second_factor_is_set_up_with_the_password_and_a_real_code(
    visitor: Visitor, person: StaffIdentity, db: Database, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = visitor.submit("/me/second", password="not my password")
    assert wrong.status_code == 422
    assert "That is not your password." in text_of(wrong.text)
    assert 'id="password-error"' in wrong.text
    codes = enrol(visitor, clock)
    page = visitor.get("/me")
    assert "10 recovery codes left" in text_of(page.text)
    with visitor.session_transaction() as cookie:
        kept = str(dict(cookie))
    said = "".join(capsys.readouterr()) + page.text + kept + str(audit.search(db).rows)
    assert not [code for code in codes if code in said]
    visitor.submit("/log-out")
    assert visitor.log_in().location.startswith("/log-in/code")
    assert visitor.submit("/log-in/code", code=codes[0]).status_code == 303
    assert "9 recovery codes left" in text_of(visitor.get("/me").text)


def test_a_mistyped_code_shows_the_same_secret_again(
    visitor: Visitor, person: StaffIdentity, clock: Clock, db: Database
) -> None:
    shown = visitor.submit("/me/second", password=PASSWORD)
    ticket = TICKET.search(shown.text)
    assert ticket is not None
    code = app_code(shown.text, clock)
    again = visitor.submit("/me/second/confirm", ticket=ticket[1], code="000000" if code != "000000" else "1")
    assert again.status_code == 422
    assert 'id="code-error"' in again.text
    assert app_code(again.text, clock) == code
    assert visitor.submit("/me/second/confirm", ticket=ticket[1], code=code).status_code == 200
    twice = visitor.submit("/me/second/confirm", ticket=ticket[1], code=code)
    assert (twice.status_code, twice.location) == (303, "/me")
    assert secondfactor.standing(db, REALM, person.id).codes_left == 10
    assert visitor.submit("/me/second", password=PASSWORD).status_code == 422


def test_a_session_alone_enrols_nothing(
    visitor: Visitor, person: StaffIdentity, db: Database, vault: Vault, clock: Clock
) -> None:
    """Neither without the password, nor with a ticket of somebody else, nor with one for another step."""
    other = staff.add_staff(db, "other", "Other", "support", Secret(PASSWORD), CONSOLE, scenes.NOW)[0]
    foreign = entrance.enrolment_ticket(db, vault, REALM, other.id, Secret(PASSWORD), None, clock())
    assert isinstance(foreign, Secret)
    begun = secondfactor.begin_proven(db, vault, REALM, foreign, clock())
    code = totp.hotp(base64.b32decode(begun.secret.value), totp.step_at(clock()))
    for ticket in ("", "staff.1.9999999999." + "0" * 64 + "." + "0" * 64, foreign.value):
        answer = visitor.submit("/me/second/confirm", ticket=ticket, code=code)
        assert (answer.status_code, answer.location) == (303, "/me")
        assert begun.secret.value not in answer.text
    with pytest.raises(Unauthorized, match="ticket_over"):
        staff.prove_second(db, vault, foreign, code, None, clock())
    assert secondfactor.standing(db, REALM, other.id).since is None
    assert secondfactor.standing(db, REALM, person.id).since is None
    clock.later(seconds=entrance.ENROL_S + 1)
    with pytest.raises(Unauthorized, match="ticket_over"):
        secondfactor.begun(db, vault, REALM, foreign, clock())


def test_recovery_codes_are_made_anew_and_the_factor_is_given_up(
    visitor: Visitor, person: StaffIdentity, db: Database, clock: Clock
) -> None:
    old = enrol(visitor, clock)
    wrong = visitor.submit("/me/second/codes", code="123")
    assert wrong.status_code == 422
    assert 'id="code-error"' in wrong.text
    new = RECOVERY.findall(text_of(visitor.submit("/me/second/codes", code=old[0]).text))
    assert len(set(new) - set(old)) == 10
    assert visitor.submit("/me/second/remove", password=PASSWORD, code=old[1]).status_code == 422
    clock.later(minutes=5)
    gone = visitor.submit("/me/second/remove", password=PASSWORD, code=new[0])
    assert (gone.status_code, gone.location) == (303, "/log-in?next=/me")
    assert visitor.get("/me").status_code == 303
    assert secondfactor.standing(db, REALM, person.id).since is None
    assert visitor.log_in().status_code == 303


def test_the_password_is_changed_with_the_old_one_and_everything_ends(
    visitor: Visitor, person: StaffIdentity, clock: Clock
) -> None:
    def change(old: str, new: str, again: str) -> Any:
        return visitor.submit("/me/password", old=old, password=new, again=again)

    for fields, at in (
        (("wrong password", NEW, NEW), "old"),
        ((PASSWORD, NEW, NEW + "!"), "again"),
        ((PASSWORD, "short", "short"), "password"),
        (("", NEW, NEW), "old"),
        ((PASSWORD, "x" * 1001, "x" * 1001), "password"),
    ):
        answer = change(*fields)
        assert answer.status_code == 422
        assert f'id="{at}-error"' in answer.text
        assert NEW not in answer.text
    clock.later(minutes=5)
    done = change(PASSWORD, NEW, NEW)
    assert (done.status_code, done.location) == (303, "/log-in?next=/me")
    assert visitor.get("/me").status_code == 303
    assert visitor.log_in(password=PASSWORD).status_code == 422
    assert visitor.log_in(password=NEW).status_code == 303


def test_times_are_shown_in_ones_own_zone(visitor: Visitor, person: StaffIdentity, db: Database) -> None:
    assert "as the operator: UTC" in text_of(visitor.get("/me").text)
    assert visitor.submit("/me/time-zone", zone="Mars/Olympus").status_code == 422
    assert visitor.submit("/me/time-zone", zone="Asia/Dhaka").status_code == 303
    assert f"{(scenes.NOW.hour + 6) % 24:02d}:{scenes.NOW:%M}" in text_of(visitor.get("/me").text)
    assert visitor.submit("/me/time-zone", zone="").status_code == 303
    found = staff.find_staff(db, person.id)
    assert found is not None
    assert found.timezone is None
    with pytest.raises(InvalidInput, match="unknown_zone"):
        staff.set_timezone(db, person.id, "../etc/passwd")
    with pytest.raises(NotFound):
        staff.set_timezone(db, 999, "UTC")


def test_ones_own_log_ins_are_ended_and_nobody_elses(
    visitor: Visitor, person: StaffIdentity, db: Database, app: Any
) -> None:
    elsewhere: Visitor = app.test_client()
    elsewhere.log_in()
    stranger = staff.add_staff(db, "other", "Other", "admin", Secret(PASSWORD), CONSOLE, scenes.NOW)[0]
    theirs: Visitor = app.test_client()
    theirs.log_in("other")
    foreign = sessions.list_sessions(db, "staff", stranger.id, scenes.NOW)[0].ref
    assert visitor.get(f"/me/sessions/{foreign}/end").status_code == 404
    assert visitor.submit(f"/me/sessions/{foreign}/end").status_code == 404
    page = visitor.get("/me")
    assert page.text.count("This one") == 1
    ends = re.findall(r'href="(/me/sessions/[0-9a-f]+/end)"', page.text)
    assert len(ends) == 1, "the one that is open here is not offered"
    assert visitor.submit(ends[0]).status_code == 303
    assert elsewhere.get("/me").location.startswith("/log-in")
    elsewhere.log_in()
    assert visitor.submit("/me/sessions/end-others").status_code == 303
    assert elsewhere.get("/me").status_code == 303
    assert visitor.get("/me").status_code == 200
    assert theirs.get("/me").status_code == 200


def test_where_a_second_factor_is_wanted_it_is_set_up_before_anything_opens(
    stranger: Visitor, person: StaffIdentity, db: Database, clock: Clock
) -> None:
    scenes.setting(db, "totp_required", True)
    assert stranger.get("/log-in/enrol").location.startswith("/log-in?")
    led = stranger.log_in(next="/find")
    assert (led.status_code, led.location) == (303, "/log-in/enrol?next=/find")
    assert stranger.get("/me").status_code == 303, "the password alone opens nothing"
    assert sessions.list_sessions(db, "staff", person.id, clock()) == []
    assert stranger.get(led.location).status_code == 200
    shown = stranger.submit("/log-in/enrol?next=/find", step="begin")
    assert shown.status_code == 200
    wrong = stranger.submit("/log-in/enrol?next=/find", step="confirm", code="12")
    assert wrong.status_code == 422
    assert sessions.list_sessions(db, "staff", person.id, clock()) == []
    code = app_code(wrong.text, clock)
    assert code == app_code(shown.text, clock)
    done = stranger.submit("/log-in/enrol?next=/find", step="confirm", code=code)
    assert done.status_code == 200
    assert len(RECOVERY.findall(text_of(done.text))) == 10
    assert 'href="/find"' in done.text
    assert stranger.get("/me").status_code == 200
    assert stranger.get("/log-in/enrol").location.startswith("/log-in?")
    clock.later(minutes=2)
    stranger.submit("/log-out")
    assert stranger.log_in().location.startswith("/log-in/code")


def test_an_enrolment_that_a_reset_overtook_begins_anew(
    stranger: Visitor, person: StaffIdentity, db: Database, vault: Vault, clock: Clock
) -> None:
    scenes.setting(db, "totp_required", True)
    stranger.log_in()
    shown = stranger.submit("/log-in/enrol", step="begin")
    staff.reset_password(db, vault, LOGIN, CONSOLE, clock(), Secret(NEW))
    late = stranger.submit("/log-in/enrol", step="confirm", code=app_code(shown.text, clock))
    assert (late.status_code, late.location) == (303, "/log-in?next=/")
    assert secondfactor.standing(db, REALM, person.id).since is None
