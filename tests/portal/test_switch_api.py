"""The switch API over HTTP: each route, what it refuses, and what it says to bad input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from engine.db import Database
from engine.funds import ledger
from engine.people.switches import add_switch, revoke_switch
from engine.vault import Vault
from tests import scenes
from tests.scenes import NOW, OPERATOR, TestCard, facts

Ask = Callable[..., TestResponse]


class Switch:
    """A softswitch with a key."""

    def __init__(self, app: Flask, key: str) -> None:
        self.client = app.test_client()
        self.headers = {"Authorization": f"Bearer {key}"}

    def post(self, path: str, body: Any = None, **headers: str) -> TestResponse:
        return self.client.post(f"/api/v1/{path}", json=body or {}, headers={**self.headers, **headers})

    def raw(
        self, path: str, data: bytes, content_type: str = "application/json", **headers: str
    ) -> TestResponse:
        return self.client.post(
            f"/api/v1/{path}", data=data, content_type=content_type, headers={**self.headers, **headers}
        )

    def get(self, path: str, **headers: str) -> TestResponse:
        return self.client.get(f"/api/v1/{path}", headers={**self.headers, **headers})


@pytest.fixture
def switch(app: Flask, db: Database) -> Switch:
    return Switch(app, add_switch(db, "Asterisk", OPERATOR, NOW)[1].value)


@pytest.fixture
def card(db: Database, vault: Vault) -> TestCard:
    return scenes.card(db, vault, "5.00")


def proof(card: TestCard) -> dict[str, str]:
    return {"card_number": card.number, "password": card.password}


def call_of(card: TestCard, ref: str = "call-1", **more: Any) -> dict[str, Any]:
    return {**proof(card), "call_ref": ref, "destination": "8801712345678", **more}


def test_a_whole_call_from_authenticate_to_end(switch: Switch, card: TestCard, clock: Any) -> None:
    proven = switch.post("authenticate", {**proof(card), "caller": "+15551230001"}).json
    assert proven.pop("card_token").startswith("ctt_")
    assert proven == {
        "outcome": "ok",
        "serial": card.serial,
        "status": "active",
        "balance": "5.0000",
        "currency": "USD",
        "expires_at": "2027-02-19T00:00:00Z",
        "language": "en",
    }
    assert switch.post("calls", call_of(card)).json == {
        "outcome": "ok",
        "serial": card.serial,
        "max_seconds": 14_400,
        "affordable_seconds": 14_400,
        "price_per_minute": "0.0150",
        "connect_fee": "0.0000",
        "destination_name": "Destination 880",
        "balance": "5.0000",
        "currency": "USD",
    }
    clock.later(seconds=5)
    assert switch.post("calls/call-1/answer").json == {"outcome": "ok"}
    clock.later(seconds=30)
    going = switch.post("calls/call-1/progress", {"elapsed_seconds": 30}).json
    assert going == {
        "outcome": "ok",
        "max_seconds": 14_400,
        "low_balance": False,
        "remaining_seconds": 14_370,
    }
    clock.later(seconds=31)
    ended = switch.post("calls/call-1/end", {"duration_seconds": 61.004, "cause": 16}).json
    assert ended == {
        "outcome": "ok",
        "charged": "0.0153",
        "billed_seconds": 61,
        "balance": "4.9847",
        "currency": "USD",
    }
    shown = switch.get("calls/call-1").json
    assert (shown["state"], shown["charged"], shown["flags"]) == ("ended", "0.0153", [])
    assert "1 min 1 s of talk" in shown["explanation"]


def test_a_token_travels_in_the_body_or_a_header_and_says_what_the_card_buys(
    switch: Switch, card: TestCard
) -> None:
    token = switch.post("authenticate", proof(card)).json["card_token"]
    quoted = switch.get("rates?destination=8801712345678", **{"Cardtone-Card-Token": token}).json
    assert (quoted["outcome"], quoted["prefix"], quoted["price_per_minute"]) == ("ok", "880", "0.0150")
    assert quoted["affordable_seconds"] == 14_400
    by_deck = switch.get("rates?destination=442079460000&deck=Standard").json
    assert (by_deck["prefix"], by_deck["affordable_seconds"]) == ("44", None)
    opened = switch.post("calls", {"card_token": token, "call_ref": "x", "destination": "8801712345678"}).json
    assert opened["outcome"] == "ok"


def test_a_business_refusal_is_an_answer_with_a_reason(switch: Switch, card: TestCard) -> None:
    wrong = {**proof(card), "password": "00000000"}
    for _ in range(4):
        assert switch.post("authenticate", wrong).json == {"outcome": "refused", "reason": "bad_credentials"}
    throttled = switch.post("authenticate", wrong)
    assert (throttled.status_code, throttled.json) == (
        200,
        {"outcome": "refused", "reason": "throttled", "retry_after": 2},
    )
    assert switch.post("calls", call_of(card, destination="12")).json["reason"] == "throttled"


def test_a_voucher_recharges_once_under_its_key(
    switch: Switch, db: Database, vault: Vault, card: TestCard
) -> None:
    voucher = scenes.vouchers(db, vault, 1, "10.00")[0]
    body = {**proof(card), "voucher_number": voucher.number, "voucher_password": voucher.password}
    key = {"Idempotency-Key": "k1"}
    first = switch.post("recharges", body, **key).json
    assert first == {"outcome": "ok", "credited": "10.0000", "balance": "15.0000", "currency": "USD"}
    assert switch.post("recharges", body, **key).json == first
    other = switch.post("recharges", {**body, "voucher_password": "11111111"}, **key)
    assert (other.status_code, other.json["code"]) == (409, "key_reused")
    assert switch.post("recharges", body, **{"Idempotency-Key": "k2"}).json["reason"] == "voucher_used"
    assert facts(db, card).balance == scenes.USD("15")


@pytest.mark.parametrize(("key", "status"), [(None, 400), ("", 400), ("x" * 256, 400)])
def test_a_recharge_needs_an_idempotency_key(
    switch: Switch, card: TestCard, key: str | None, status: int
) -> None:
    body = {**proof(card), "voucher_number": "123456789012", "voucher_password": "12345678"}
    answer = switch.post("recharges", body, **({} if key is None else {"Idempotency-Key": key}))
    assert answer.status_code == status
    assert answer.mimetype == "application/problem+json"


# --- keys ---


@pytest.mark.parametrize("header", [None, "Bearer ", "Bearer ctsw_wrong", "Basic abc", "Bearer \x00"])
def test_without_a_live_key_nothing_is_read(app: Flask, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    answer = app.test_client().post("/api/v1/authenticate", data=b"{", headers=headers)
    assert (answer.status_code, answer.mimetype) == (401, "application/problem+json")
    assert answer.json["code"] == "bad_key"
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_revoked_key_is_refused_at_once(switch: Switch, db: Database, card: TestCard) -> None:
    assert switch.post("authenticate", proof(card)).status_code == 200
    revoke_switch(db, "Asterisk", OPERATOR, NOW)
    assert switch.post("authenticate", proof(card)).status_code == 401


def test_a_switch_with_an_address_list_is_known_from_there_only(
    app: Flask, db: Database, card: TestCard
) -> None:
    key = add_switch(db, "Elsewhere", OPERATOR, NOW, addresses=["10.1.0.0/16"])[1].value
    assert Switch(app, key).post("authenticate", proof(card)).status_code == 401


def test_switches_do_not_see_each_others_calls(
    app: Flask, switch: Switch, db: Database, card: TestCard
) -> None:
    other = Switch(app, add_switch(db, "Other", OPERATOR, NOW)[1].value)
    switch.post("calls", call_of(card))
    assert other.get("calls/call-1").status_code == 404
    assert other.post("calls/call-1/end", {"duration_seconds": 1}).status_code == 404


# --- bad input ---

AUTHENTICATE = b'{"card_number": "123456789012", "password": "12345678"}'
END = "calls/call-1/end"

BAD_BODIES = [
    ("duplicate keys", "authenticate", b'{"caller": "1", "caller": "2"}', 400, "duplicate_key"),
    ("bad UTF-8", "authenticate", b'{"caller": "\xff\xfe"}', 400, "bad_encoding"),
    ("not JSON", "authenticate", b'{"caller": ', 400, "bad_json"),
    ("NaN", END, b'{"duration_seconds": NaN}', 400, "bad_json"),
    ("depth 10,000", "authenticate", b"[" * 10_000 + b"]" * 10_000, 400, "too_deep"),
    ("a list", "authenticate", b"[]", 422, "invalid"),
    ("unknown field", "authenticate", b'{"caller": "1", "balance": "9"}', 422, "invalid"),
    ("a number as a text", "authenticate", b'{"card_number": 123, "password": "12345678"}', 422, "invalid"),
    ("half a proof", "authenticate", b'{"card_number": "123"}', 422, "invalid"),
    ("no proof", "authenticate", b"{}", 422, "invalid"),
    ("NUL", "authenticate", b'{"caller": "1\\u0000"}', 422, "invalid"),
    ("lone surrogate", "authenticate", b'{"caller": "\\ud800"}', 422, "invalid"),
    ("negative duration", END, b'{"duration_seconds": -1}', 422, "invalid"),
    ("endless duration", END, b'{"duration_seconds": 1000000000000}', 422, "invalid"),
    ("endless exponent", END, b'{"duration_seconds": 1e999999999}', 422, "invalid"),
    ("endless digits", END, b'{"duration_seconds": ' + b"9" * 5_000 + b"}", 400, "bad_json"),
    ("boolean duration", END, b'{"duration_seconds": true}', 422, "invalid"),
    ("duration as text", END, b'{"duration_seconds": "60"}', 422, "invalid"),
    ("cause out of range", END, b'{"duration_seconds": 1, "cause": 128}', 422, "invalid"),
    ("30 February", "calls/x/answer", b'{"answered_at": "2026-02-30T00:00:00Z"}', 422, "invalid"),
    ("year 9999", "calls/x/answer", b'{"answered_at": "9999-12-31T23:59:59Z"}', 422, "invalid"),
    ("no zone", "calls/x/answer", b'{"answered_at": "2026-02-03T00:00:00"}', 422, "invalid"),
]


@pytest.mark.parametrize(
    ("path", "body", "status", "code"), [row[1:] for row in BAD_BODIES], ids=[r[0] for r in BAD_BODIES]
)
def test_bad_json_is_a_problem_with_a_stable_code(
    switch: Switch, path: str, body: bytes, status: int, code: str
) -> None:
    answer = switch.raw(path, body)
    assert (answer.status_code, answer.json["code"]) == (status, code)
    assert answer.mimetype == "application/problem+json"
    assert "Traceback" not in answer.text


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "", "application/json; charset=utf-16"]
)
def test_another_content_type_is_415(switch: Switch, kind: str) -> None:
    assert switch.raw("authenticate", AUTHENTICATE, kind).status_code == 415


def test_a_body_over_64_kib_is_413(switch: Switch) -> None:
    answer = switch.raw("authenticate", b'{"caller": "' + b"1" * 70_000 + b'"}')
    assert (answer.status_code, answer.mimetype) == (413, "application/problem+json")


def test_nothing_that_was_sent_comes_back_in_an_error(switch: Switch) -> None:
    answer = switch.post(
        "authenticate", {"card_number": "4242424242\u0007", "password": "31337", "x": "sesame"}
    )
    assert answer.status_code == 422
    assert not any(secret in answer.text for secret in ("4242424242", "31337", "sesame"))


@pytest.mark.parametrize("ref", ["", "a b", "a/b", "é", "x" * 129, "..", "a\tb"])
def test_a_call_ref_must_fit_into_a_path(switch: Switch, card: TestCard, ref: str) -> None:
    assert switch.post("calls", call_of(card, ref)).status_code == 422


def test_a_call_ref_of_a_sip_switch_is_fine(switch: Switch, card: TestCard) -> None:
    ref = "f81d4fae-7dec@10.0.0.1;tag=3?x=1#%"
    assert switch.post("calls", call_of(card, ref)).json["outcome"] == "ok"
    quoted = ref.replace("%", "%25").replace("?", "%3F").replace("#", "%23")
    assert switch.get(f"calls/{quoted}").json["call_ref"] == ref


def test_a_call_ref_of_another_card_is_a_conflict(switch: Switch, db: Database, vault: Vault) -> None:
    one, other = scenes.batch(db, vault, 2)
    switch.post("calls", call_of(one))
    answer = switch.post("calls", call_of(other))
    assert (answer.status_code, answer.json["code"]) == (409, "call_ref_conflict")


@pytest.mark.parametrize("path", ["calls/never", "calls/%00", "calls/..%2f..%2fetc"])
def test_what_is_not_there_is_a_problem_too(switch: Switch, path: str) -> None:
    answer = switch.get(path)
    assert (answer.status_code, answer.mimetype) == (404, "application/problem+json")


def test_a_wrong_method_says_which_are_right(switch: Switch) -> None:
    answer = switch.get("authenticate")
    assert (answer.status_code, answer.mimetype) == (405, "application/problem+json")
    assert "POST" in answer.headers["Allow"]


def test_an_engine_that_cannot_work_says_so_and_when_to_ask_again(
    app: Flask, switch: Switch, card: TestCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = Database("postgresql://nobody@127.0.0.1:1/none")
    monkeypatch.setattr(app.extensions["cardtone"], "db", gone)
    answer = switch.post("authenticate", proof(card))
    assert (answer.status_code, answer.json["code"]) == (503, "unavailable")
    assert answer.headers["Retry-After"]
    for path in ("/healthz", "/readyz"):
        assert switch.client.get(path).status_code == 503


def test_health_says_ok_and_nothing_else(app: Flask, db: Database) -> None:
    for path in ("/healthz", "/readyz"):
        answer = app.test_client().get(path)
        assert (answer.status_code, answer.json) == (200, {"status": "ok"})


def test_the_document_and_its_page_are_open_to_read(app: Flask, db: Database) -> None:
    document = app.test_client().get("/api/openapi.json").json
    assert set(document["paths"]) == {
        "/api/v1/authenticate",
        "/api/v1/calls",
        "/api/v1/calls/{call_ref}",
        "/api/v1/calls/{call_ref}/answer",
        "/api/v1/calls/{call_ref}/progress",
        "/api/v1/calls/{call_ref}/end",
        "/api/v1/recharges",
        "/api/v1/rates",
    }
    page = app.test_client().get("/api/docs")
    assert page.status_code == 200
    assert "card_token" in page.text


def test_a_recharge_during_a_call_extends_it(switch: Switch, db: Database, vault: Vault, clock: Any) -> None:
    card = scenes.card(db, vault, "0.03", name="Poor")
    assert switch.post("calls", call_of(card, one_shot=False)).json["max_seconds"] == 120
    switch.post("calls/call-1/answer")
    clock.later(seconds=90)
    low = switch.post("calls/call-1/progress", {"elapsed_seconds": 90}).json
    assert low == {"outcome": "ok", "max_seconds": 120, "low_balance": True, "remaining_seconds": 30}
    with db.begin() as session:
        ledger.post(
            session,
            card_id=card.id,
            amount=scenes.USD("1"),
            account=ledger.ADJUSTMENT,
            kind="adjustment",
            reference="test",
            actor=OPERATOR,
            now=NOW,
        )
    more = switch.post("calls/call-1/progress", {"elapsed_seconds": 90}).json
    assert (more["max_seconds"], more["low_balance"]) == (690, False)
