"""When the engine cannot work: said plainly, with a time to ask again, and healthy again by itself."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest
from flask import Flask
from psycopg import errors as pg
from structlog.testing import capture_logs

from engine.db import Database
from engine.people.switches import add_switch
from engine.vault import Vault
from portal.switch_api import EXTENSION, health
from tests import scenes
from tests.portal.switches import Switch, code, proof
from tests.scenes import NOW, OPERATOR

DEAD = "postgresql://nobody:nothing@127.0.0.1:1/none"
DOORS = ("/healthz", "/readyz")


@pytest.fixture
def switch(app: Flask, db: Database) -> Switch:
    return Switch.added(app, db)


def test_health_says_ok_and_nothing_else(app: Flask, db: Database) -> None:
    client = app.test_client()
    for path in DOORS:
        answer = client.get(path)
        assert (answer.status_code, answer.json) == (200, {"status": "ok"})
        assert answer.headers["Cache-Control"] == "no-store"
        assert client.head(path).status_code == 200
        assert client.post(path).status_code == 405


def test_a_database_that_is_not_migrated_is_not_healthy(app: Flask, db: Database) -> None:
    client = app.test_client()
    with db.connection() as conn:
        conn.execute("UPDATE alembic_version SET version_num = 'older'")
    for path in DOORS:
        assert (client.get(path).status_code, client.get(path).json) == (503, {"status": "unavailable"})
    with db.connection() as conn:
        conn.execute("DROP TABLE alembic_version")
    assert client.get("/healthz").status_code == 503


def test_a_database_that_takes_no_writes_is_healthy_but_not_ready(app: Flask, db: Database) -> None:
    client = app.test_client()
    name = psycopg.conninfo.conninfo_to_dict(db.url)["dbname"]
    with db.connection() as conn:
        conn.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    assert (client.get("/healthz").status_code, client.get("/readyz").status_code) == (200, 503)
    with db.connection() as conn:
        conn.execute("SET default_transaction_read_only = off")
        conn.execute(f'ALTER DATABASE "{name}" RESET default_transaction_read_only')
    app.extensions["cardtone"].db.forget_lost_links()
    assert client.get("/readyz").status_code == 200


def test_whether_it_is_ready_is_tried_at_most_once_a_second(db: Database) -> None:
    writable = health.Writable()
    assert writable(db)
    with db.connection() as conn:
        before = conn.execute("SELECT xmin::text FROM settings_head").fetchone()
        assert all(writable(db) for _ in range(20))
        assert conn.execute("SELECT xmin::text FROM settings_head").fetchone() == before


def test_an_engine_that_is_gone_says_when_to_ask_again(
    app: Flask, switch: Switch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app.extensions["cardtone"], "db", Database(DEAD))
    for method, path, body in (
        ("POST", "authenticate", {"caller": "1"}),
        ("POST", "calls/x/end", {"duration_seconds": 1}),
        ("GET", "calls/x", None),
    ):
        answer = switch.open(method, path, {}, json=body)
        assert code(answer) == (503, "unavailable")
        assert answer.headers["Retry-After"] == "5"
    for path in DOORS:
        assert switch.client.get(path).status_code == 503
    assert "127.0.0.1" not in answer.text


def test_links_that_were_cut_are_made_again_without_a_word(
    app: Flask, switch: Switch, db: Database, vault: Vault
) -> None:
    card = scenes.card(db, vault)
    assert switch.post("authenticate", proof(card)).status_code == 200
    assert switch.client.get("/healthz").status_code == 200
    with db.connection() as conn:
        for ask in (
            lambda: switch.post("authenticate", proof(card)),
            lambda: switch.client.get("/healthz"),
        ):
            conn.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            assert ask().status_code == 200


@pytest.mark.parametrize("error", [pg.DeadlockDetected("x"), pg.QueryCanceled("x")])
def test_what_the_database_gave_up_is_worth_another_try(app: Flask, db: Database, error: Exception) -> None:
    _fail_with(app, error)
    answer = app.test_client().get("/api/v1/fail")
    assert code(answer) == (503, "busy")
    assert answer.headers["Retry-After"] == "5"


def test_a_defect_shows_and_logs_no_value(app: Flask, db: Database) -> None:
    key = add_switch(db, "Asterisk", OPERATOR, NOW)[1].value
    _fail_with(app, RuntimeError("card 424242424242"))
    with capture_logs() as lines:
        answer = app.test_client().get("/api/v1/fail", headers={"Authorization": f"Bearer {key}"})
    assert code(answer) == (500, "internal_error")
    assert "424242424242" not in answer.text + repr(lines)
    crash = next(line for line in lines if line["event"] == "crash")
    assert crash["kinds"] == ["RuntimeError"]
    assert any("test_switch_api_health.py" in place for place in crash["places"])


@pytest.fixture
def app(make_app: Callable[..., Flask]) -> Flask:
    """An app of the test's own, which may be given an address that fails."""
    return make_app(anew=True)


def _fail_with(app: Flask, error: Exception) -> None:
    api: Flask = app.extensions[EXTENSION]

    @api.get("/api/v1/fail")
    def fail() -> str:
        raise error
