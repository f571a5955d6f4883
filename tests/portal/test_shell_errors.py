"""Every error is a page in plain words with a way on, and neither the page nor the log tells more than it may."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask
from structlog.testing import capture_logs

from engine.errors import Conflict, EngineError, EngineUnavailable, Forbidden, InvalidInput, NotFound, Refused
from engine.people.staff import StaffIdentity
from portal import errors, requestlog
from tests.portal.conftest import Visitor

DEAD_URL = "postgresql://nobody:nothing@127.0.0.1:1/none"
SECRET = "8812345678901234"


def test_an_unknown_address_leads_back_to_the_start(visitor: Visitor, stranger: Visitor) -> None:
    for client in (visitor, stranger):
        response = client.get("/nowhere")
        assert response.status_code == 404
        assert "There is nothing here" in response.text
        assert 'href="/"' in response.text
    # Who is logged in keeps the shell around it.
    assert 'id="find-box"' in visitor.get("/nowhere").text
    assert 'id="find-box"' not in stranger.get("/nowhere").text


@pytest.mark.parametrize(
    "path", ["/%00", "/cards/%00", "/static/../../etc/passwd", "/static/%2e%2e/app.py", "/batches/x"]
)
def test_odd_addresses_are_no_more_than_unknown(visitor: Visitor, path: str) -> None:
    assert visitor.get(path).status_code in (400, 404)


@pytest.mark.parametrize(
    "path",
    [
        "/batches?before=x",
        "/batches?before=-1",
        "/batches?before=1;drop",
        "/batches?before=" + "9" * 40,
        "/cards?after=x",
        "/calls?before=999999999999999999-1",
        "/calls/live?after=１２",
    ],
)
def test_a_malformed_question_is_not_guessed_at(visitor: Visitor, path: str) -> None:
    assert visitor.get(path).status_code == 400


def test_a_wrong_method_says_which_are_right(visitor: Visitor) -> None:
    response = visitor.submit("/batches")
    assert response.status_code == 405
    assert "GET" in response.headers["Allow"]


def test_a_database_that_is_gone_is_said_and_may_be_asked_again(make_app: Callable[..., Flask]) -> None:
    client = make_app(DEAD_URL).test_client()
    assert client.get("/log-in").status_code == 200, "needs no database"
    token = client.token()
    response = client.post("/log-in", data={"csrf_token": token, "login": "desk", "password": "x"})
    assert response.status_code == 503
    assert response.headers["Retry-After"] == str(errors.RETRY_AFTER_S)
    assert "The database doesn&#39;t answer" in response.text


def test_a_page_while_the_database_is_gone_offers_to_try_again(
    make_app: Callable[..., Flask], app: Flask
) -> None:
    client = make_app(DEAD_URL).test_client()
    with client.session_transaction() as session:
        session["realm"], session["token"] = "staff", "x" * 43
    response = client.get("/cards/10000000017?entries=7")
    assert response.status_code == 503
    assert 'href="/cards/10000000017?entries=7"' in response.text
    # Not even an unknown address asks the database who wants to know.
    assert client.get("/nowhere").status_code == 404


@pytest.fixture
def app(make_app: Callable[..., Flask]) -> Flask:
    """An app of the test's own, which may be given an address that fails."""
    return make_app(anew=True)


def _failing(app: Flask, error: Exception) -> None:
    @app.get("/fail")
    def fail() -> str:
        raise error


def test_a_defect_shows_and_logs_no_value(app: Flask, capsys: pytest.CaptureFixture[str]) -> None:
    _failing(app, RuntimeError(f"no such number: {SECRET}"))
    with capture_logs() as lines:
        response = app.test_client().get(f"/fail?number={SECRET}", headers={"X-Number": SECRET})
    assert response.status_code == 500
    assert "Something went wrong on our side" in response.text
    assert "RuntimeError" not in response.text
    assert "no such number" not in response.text
    crash = next(line for line in lines if line["event"] == "crash")
    assert crash["kinds"] == ["RuntimeError"]
    assert any("test_shell_errors.py" in place for place in crash["places"])
    assert f"It is in the log as {crash['id']}." in response.text
    printed = capsys.readouterr()
    assert SECRET not in str(lines) + printed.err + printed.out


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NotFound("card_not_found"), 404),
        (InvalidInput("bad_serial"), 422),
        (EngineUnavailable("unavailable"), 503),
        (Conflict("key_reused"), 409),
        (Refused("insufficient_balance"), 409),
        (Forbidden("not_permitted"), 403),
        (EngineError("seal_broken"), 500),
    ],
)
def test_what_the_engine_raises_becomes_a_page(app: Flask, error: EngineError, status: int) -> None:
    _failing(app, error)
    response = app.test_client().get("/fail")
    assert response.status_code == status
    assert error.code not in response.text


def test_htmx_gets_a_notice_above_the_open_page(visitor: Visitor) -> None:
    response = visitor.part("/nowhere")
    assert response.status_code == 404
    assert response.headers["HX-Retarget"] == "#notices"
    assert response.text.startswith('<p class="notice bad">There is nothing here.')
    assert "HX-Request-Type" in response.headers["Vary"]


def test_a_number_typed_as_an_address_is_masked_in_the_log() -> None:
    assert requestlog.masked(f"/cards/{SECRET}") == "/cards/•••"
    assert requestlog.masked("/cards/10000000017") == "/cards/10000000017"
    assert requestlog.masked("/cards/10000000018") == "/cards/•••"
    assert requestlog.masked("/batches/12345") == "/batches/12345"


def test_each_request_is_logged_without_what_was_typed(
    visitor: Visitor, person: StaffIdentity, capsys: pytest.CaptureFixture[str]
) -> None:
    with capture_logs() as lines:
        visitor.get(f"/find?serial={SECRET}")
        visitor.submit("/find", wanted=SECRET)
        visitor.get(f"/cards/{SECRET}")
        visitor.get("/static/app.css")
    logged = [(line["method"], line["path"], line["status"], line["by"]) for line in lines]
    assert ("GET", "/cards/•••", 404, f"staff:{person.id}") in logged
    assert ("POST", "/find", 422, f"staff:{person.id}") in logged
    assert not any("static" in path for _, path, _, _ in logged)
    printed = capsys.readouterr()
    assert SECRET not in str(lines) + printed.err + printed.out
