"""Log in and out: a log-in is a row, and without the row the cookie is worth nothing."""

from __future__ import annotations

import pytest
from flask import Flask
from sqlalchemy import func, select

from engine.actor import CONSOLE, Actor
from engine.db import Database
from engine.people import staff
from engine.people.staff import StaffIdentity
from engine.schema import WebSession
from portal.operator.people.entering import NO
from portal.sessions import Person
from tests import scenes
from tests.portal.conftest import LOGIN, PASSWORD, Clock, Visitor, text_of


def _sessions(db: Database) -> int:
    with db.begin() as session:
        return session.scalar(select(func.count()).select_from(WebSession)) or 0


def _cookie(client: Visitor) -> str:
    cookie = client.get_cookie("cardtone-dev")
    assert cookie is not None
    return cookie.value


def test_a_right_password_opens_the_console(stranger: Visitor, person: StaffIdentity) -> None:
    response = stranger.log_in()
    assert (response.status_code, response.location) == (303, "/")
    page = stranger.get("/batches")
    assert "Front desk" in page.text
    assert "Batches" in page.text


def test_every_failure_says_the_same(stranger: Visitor, person: StaffIdentity, db: Database) -> None:
    for login, password in ((LOGIN, "wrong"), ("nobody", PASSWORD), ("'; DROP TABLE staff", "\u202e--")):
        response = stranger.log_in(login, password)
        assert response.status_code == 422
        assert NO in text_of(response.text)
        assert password not in response.text
    staff.disable_staff(db, _second_admin(db, person), CONSOLE, scenes.NOW)
    response = stranger.log_in()
    assert NO in text_of(response.text)
    assert _sessions(db) == 0


def _second_admin(db: Database, person: StaffIdentity) -> str:
    staff.add_staff(db, "root", "Root", "admin", None, CONSOLE, scenes.NOW)
    return person.login


@pytest.mark.parametrize(("login", "password"), [("", "x"), ("x", ""), ("x" * 201, "x"), ("x", "x" * 1001)])
def test_an_unfit_form_says_so_at_its_field(stranger: Visitor, login: str, password: str) -> None:
    response = stranger.log_in(login, password)
    assert response.status_code == 422
    assert 'aria-invalid="true"' in response.text
    assert 'class="error"' in response.text


def test_too_many_tries_have_to_wait(stranger: Visitor, person: StaffIdentity, clock: Clock) -> None:
    answers = [stranger.log_in(password="wrong") for _ in range(12)]
    assert answers[0].status_code == 422
    last = answers[-1]
    assert last.status_code == 429
    assert int(last.headers["Retry-After"]) > 0
    assert "Wait" in last.text
    clock.later(minutes=20)
    assert stranger.log_in().status_code == 303


def test_a_log_in_gets_a_new_name(app: Flask, person: StaffIdentity, db: Database) -> None:
    """A session that somebody planted before the log-in is not the one after it."""
    client = app.test_client()
    assert isinstance(client, Visitor)
    client.get("/log-in")
    before = _cookie(client)
    client.log_in()
    first = _cookie(client)
    assert first != before
    thief = app.test_client()
    thief.set_cookie("cardtone-dev", before)
    assert thief.get("/batches").status_code == 303
    # Logging in once more, from the page that the log-in was left on, ends the session that was there.
    client.post("/log-in", data={"csrf_token": client.token(), "login": LOGIN, "password": PASSWORD})
    assert _cookie(client) != first
    assert _sessions(db) == 1


def test_an_old_cookie_is_worth_nothing_after_log_out(app: Flask, visitor: Visitor, db: Database) -> None:
    old = _cookie(visitor)
    thief = app.test_client()
    thief.set_cookie("cardtone-dev", old)
    assert thief.get("/batches").status_code == 200
    assert visitor.submit("/log-out").location == "/log-in"
    assert _sessions(db) == 0
    assert thief.get("/batches").status_code == 303
    assert visitor.get("/batches").status_code == 303


def test_the_cookie_holds_no_name_and_no_password(visitor: Visitor) -> None:
    import base64

    payload = _cookie(visitor).split(".")[0]
    text = base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)).decode("latin-1")
    assert LOGIN not in text
    assert PASSWORD not in text


def test_a_forged_cookie_is_nobody(app: Flask, visitor: Visitor) -> None:
    thief = app.test_client()
    cookie = _cookie(visitor)
    for forged in (cookie[:-1], "x" + cookie, "eyJyZWFsbSI6InN0YWZmIiwidG9rZW4iOiJ4In0.x.x", ""):
        thief.set_cookie("cardtone-dev", forged)
        assert thief.get("/batches").status_code == 303


def test_an_idle_session_ends_and_a_used_one_goes_on(visitor: Visitor, clock: Clock) -> None:
    for _ in range(5):
        clock.later(minutes=20)
        assert visitor.get("/batches").status_code == 200
    clock.later(minutes=31)
    assert visitor.get("/batches").status_code == 303


def test_no_session_lasts_longer_than_a_shift(visitor: Visitor, clock: Clock) -> None:
    for _ in range(12 * 3):
        clock.later(minutes=20)
        last = visitor.get("/batches").status_code
    assert last == 303


def test_whoever_is_disabled_is_out_at_once(visitor: Visitor, person: StaffIdentity, db: Database) -> None:
    staff.disable_staff(db, _second_admin(db, person), CONSOLE, scenes.NOW)
    assert visitor.get("/batches").status_code == 303


def test_the_page_that_was_wanted_comes_after_the_log_in(stranger: Visitor, person: StaffIdentity) -> None:
    response = stranger.get("/cards/10000000017?entries=7")
    assert response.location == "/log-in?next=%2Fcards%2F10000000017%3Fentries%3D7"
    assert 'value="/cards/10000000017?entries=7"' in stranger.get(response.location).text
    assert stranger.log_in(next="/cards/10000000017?entries=7").location == "/cards/10000000017?entries=7"
    # Who is logged in already isn't asked again.
    assert stranger.get("/log-in?next=/find").location == "/find"


@pytest.mark.parametrize(
    "target",
    [
        "//evil.example",
        "https://evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "/\t/evil.example",
        "x",
        "",
    ],
)
def test_nobody_is_sent_elsewhere(stranger: Visitor, person: StaffIdentity, target: str) -> None:
    assert stranger.log_in(next=target).location == "/"


def test_htmx_is_told_to_leave_for_the_log_in(stranger: Visitor) -> None:
    response = stranger.part("/batches")
    assert response.status_code == 200
    assert response.headers["HX-Redirect"] == "/log-in"
    assert response.text == ""


def test_the_theme_is_a_choice_that_stays(stranger: Visitor) -> None:
    assert 'data-theme="auto"' in stranger.get("/log-in").text
    response = stranger.submit("/theme", theme="dark", next="/log-in?next=/find")
    assert (response.status_code, response.location) == (303, "/log-in?next=/find")
    assert 'data-theme="dark"' in stranger.get("/log-in").text
    assert stranger.submit("/theme", theme='"><script>', next="//evil.example").location == "/"
    assert 'data-theme="dark"' in stranger.get("/log-in").text


def test_a_resellers_person_acts_for_their_reseller() -> None:
    owner = Person("reseller", 7, "Nora Hill", "owner", 3)
    assert owner.actor == Actor("reseller", 7, "Nora Hill", "owner", reseller_id=3)
    assert Person("staff", 1, "Ada Moss", "admin").actor == Actor("staff", 1, "Ada Moss", "admin")
