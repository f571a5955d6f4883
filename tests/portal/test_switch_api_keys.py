"""The keys of switches: nothing is read, and nothing told, without one that is live."""

from __future__ import annotations

import pytest
from flask import Flask

from engine.db import Database
from engine.people.switches import add_switch, finish_rotation, revoke_switch, rotate_key
from engine.vault import Vault
from portal.switch_api import EXTENSION
from tests import scenes
from tests.portal.switches import Switch, call_of, code, proof
from tests.scenes import NOW, OPERATOR

ROUTES = [
    ("POST", "authenticate"),
    ("POST", "calls"),
    ("POST", "calls/x/answer"),
    ("POST", "calls/x/progress"),
    ("POST", "calls/x/end"),
    ("GET", "calls/x"),
    ("POST", "recharges"),
    ("GET", "rates"),
]


def test_every_route_asks_for_a_key_before_it_reads_anything(app: Flask, db: Database) -> None:
    nobody = Switch(app, None)
    for method, path in ROUTES:
        answer = nobody.open(method, path, {}, data=b"{", content_type="text/plain")
        assert code(answer) == (401, "key_missing"), path
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    served = app.extensions[EXTENSION].url_map.iter_rules()
    assert {rule.rule.replace("<call_ref>", "x") for rule in served if rule.rule.startswith("/api/v1/")} == {
        f"/api/v1/{path}" for _, path in ROUTES
    }


@pytest.mark.parametrize(
    ("header", "word"),
    [
        ("Bearer", "key_missing"),
        ("Bearer ", "key_missing"),
        ("Basic YTpi", "key_missing"),
        ("ctsw_wrong", "key_missing"),
        ("Bearer ctsw_wrong", "bad_key"),
        ("Bearer ctsw_\u00fc", "bad_key"),
        ("Bearer " + "x" * 5000, "bad_key"),
    ],
)
def test_a_key_that_is_none_is_refused(app: Flask, db: Database, header: str, word: str) -> None:
    answer = Switch(app, None).post("authenticate", {"caller": "1"}, Authorization=header)
    assert code(answer) == (401, word)


def test_a_revoked_switch_is_refused_from_its_next_request_on(app: Flask, db: Database, vault: Vault) -> None:
    switch, card = Switch.added(app, db), scenes.card(db, vault)
    assert switch.post("calls", call_of(card)).status_code == 200
    revoke_switch(db, "Asterisk", OPERATOR, NOW)
    assert code(switch.post("calls/call-1/end", {"duration_seconds": 0})) == (401, "bad_key")


def test_both_keys_of_a_rotation_work_until_it_is_finished(app: Flask, db: Database) -> None:
    old = Switch.added(app, db)
    new = Switch(app, rotate_key(db, "Asterisk", OPERATOR, NOW).value)
    for switch in (old, new):
        assert code(switch.get("calls/x")) == (404, "call_not_found")
    finish_rotation(db, "Asterisk", OPERATOR, NOW)
    assert code(old.get("calls/x")) == (401, "bad_key")
    assert code(new.get("calls/x")) == (404, "call_not_found")


def test_a_switch_with_a_list_of_addresses_is_known_from_there_only(app: Flask, db: Database) -> None:
    key = add_switch(db, "Elsewhere", OPERATOR, NOW, addresses=["10.1.0.0/16"])[1].value
    switch = Switch(app, key)
    assert code(switch.get("calls/x")) == (401, "bad_key")
    switch.client.environ_base["REMOTE_ADDR"] = "10.1.2.3"
    assert code(switch.get("calls/x")) == (404, "call_not_found")
    # What anybody can write into a header does not move a switch.
    switch.client.environ_base["REMOTE_ADDR"] = "203.0.113.9"
    assert code(switch.get("calls/x", X_Forwarded_For="10.1.2.3")) == (401, "bad_key")


def test_the_scheme_may_be_written_in_any_case(app: Flask, db: Database, vault: Vault) -> None:
    key = add_switch(db, "Asterisk", OPERATOR, NOW)[1].value
    card = scenes.card(db, vault)
    answer = Switch(app, None).post("authenticate", proof(card), Authorization=f"bearer {key}")
    assert answer.json["outcome"] == "ok"


def test_a_switch_gets_no_cookie_and_needs_no_token_of_a_form(app: Flask, db: Database, vault: Vault) -> None:
    switch, card = Switch.added(app, db), scenes.card(db, vault)
    answer = switch.post(
        "authenticate", proof(card), Sec_Fetch_Site="cross-site", Origin="https://evil.example"
    )
    assert answer.json["outcome"] == "ok"
    assert "Set-Cookie" not in answer.headers
    assert answer.headers["Cache-Control"] == "no-store"
    # Nor does any page of another site get to read an answer.
    assert not [name for name, _ in answer.headers if name.startswith("Access-Control")]
