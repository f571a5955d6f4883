"""Cards over HTTP: what proves one, what its state answers, vouchers, and what a call would cost."""

from __future__ import annotations

import pytest
from flask import Flask

from engine.cards.lifecycle import damage, lock
from engine.db import Database
from engine.funds.recharges import adjust
from engine.vault import Vault
from tests import scenes
from tests.portal.conftest import Clock
from tests.portal.switches import Switch, call_of, code, proof, reason
from tests.scenes import BANGLADESH, BRITAIN, NOW, OPERATOR, USD, TestCard, facts


@pytest.fixture
def switch(app: Flask, db: Database) -> Switch:
    return Switch.added(app, db)


@pytest.fixture
def card(db: Database, vault: Vault) -> TestCard:
    return scenes.card(db, vault, "5.00")


# --- authenticate ---


def test_an_unknown_number_and_a_wrong_password_look_the_same(switch: Switch, card: TestCard) -> None:
    wrong = switch.post("authenticate", {**proof(card), "password": "00000000"})
    unknown = switch.post("authenticate", {"card_number": "999999999999", "password": "00000000"})
    assert wrong.data == unknown.data
    assert wrong.json == {"outcome": "refused", "reason": "bad_credentials"}


def test_after_some_wrong_passwords_the_next_has_to_wait(
    switch: Switch, card: TestCard, clock: Clock
) -> None:
    wrong = {**proof(card), "password": "00000000"}
    for _ in range(4):
        assert reason(switch.post("authenticate", wrong)) == "bad_credentials"
    throttled = {"outcome": "refused", "reason": "throttled", "retry_after": 2}
    assert switch.post("authenticate", wrong).json == throttled
    assert switch.post("calls", call_of(card)).json == throttled, "not even the right one is heard"
    clock.later(seconds=2)
    assert switch.post("authenticate", proof(card)).json["outcome"] == "ok"


def test_a_token_stands_for_the_card_while_it_is_used(switch: Switch, card: TestCard, clock: Clock) -> None:
    token = {"card_token": switch.post("authenticate", proof(card)).json["card_token"]}
    clock.later(minutes=9)
    again = switch.post("authenticate", token).json
    assert (again["outcome"], again["card_token"]) == ("ok", token["card_token"])
    clock.later(minutes=9)
    opened = switch.post("calls", {**token, "call_ref": "x", "destination": BANGLADESH})
    assert opened.json["outcome"] == "ok"
    switch.post("calls/x/end", {"duration_seconds": 0})
    clock.later(minutes=11)
    assert reason(switch.post("authenticate", token)) == "bad_credentials"


def test_a_token_is_good_for_the_switch_and_caller_that_asked(
    app: Flask, switch: Switch, db: Database, card: TestCard
) -> None:
    asked = switch.post("authenticate", {**proof(card), "caller": "+15551230001"}).json
    token = {"card_token": asked["card_token"]}
    other = Switch.added(app, db, "Other")
    assert reason(other.post("authenticate", token)) == "bad_credentials"
    assert reason(switch.post("authenticate", {**token, "caller": "+15551230002"})) == "bad_credentials"
    assert switch.post("authenticate", {**token, "caller": "+15551230001"}).json["outcome"] == "ok"


def test_the_state_of_a_card_is_told_once_its_password_was_right(
    switch: Switch, db: Database, vault: Vault, clock: Clock
) -> None:
    empty, locked, damaged, held_back, live = scenes.batch(db, vault, 5, grace_days=10)
    adjust(db, card_id=empty.id, amount=-USD("5"), reason="test", actor=OPERATOR, now=NOW)
    lock(db, card_id=locked.id, reason="lost", actor=OPERATOR, now=NOW)
    damage(db, card_id=damaged.id, reason="torn", actor=OPERATOR, now=NOW)
    with db.begin() as session:
        session.get_one(scenes.Card, held_back.id).released_at = None
    for refused, why in ((locked, "locked"), (damaged, "damaged"), (held_back, "not_activated")):
        answer = switch.post("authenticate", proof(refused)).json
        assert answer == {"outcome": "refused", "reason": why, "serial": refused.serial}
        assert reason(switch.post("calls", call_of(refused))) == why
    assert switch.post("authenticate", proof(empty)).json["status"] == "empty"
    assert reason(switch.post("calls", call_of(empty))) == "empty"
    switch.post("authenticate", proof(live))
    clock.later(days=92)
    assert switch.post("authenticate", proof(live)).json["status"] == "expired"
    assert reason(switch.post("calls", call_of(live))) == "expired"
    clock.later(days=10)
    assert reason(switch.post("authenticate", proof(live))) == "expired"


def test_what_is_held_for_a_call_is_not_available(switch: Switch, db: Database, card: TestCard) -> None:
    switch.post("calls", call_of(card, one_shot=False))
    known = switch.post("authenticate", proof(card)).json
    assert (known["balance"], known["available"]) == ("5.0000", "4.8500")


# --- recharges ---


def _recharge(card: TestCard, voucher: TestCard) -> dict[str, str]:
    return {**proof(card), "voucher_number": voucher.number, "voucher_password": voucher.password}


def test_a_voucher_recharges_once_under_its_key(
    app: Flask, switch: Switch, db: Database, vault: Vault, card: TestCard
) -> None:
    voucher = scenes.vouchers(db, vault, 1, "10.00")[0]
    body = _recharge(card, voucher)
    first = switch.post("recharges", body, Idempotency_Key="k1")
    assert first.json == {"outcome": "ok", "credited": "10.0000", "balance": "15.0000", "currency": "USD"}
    assert switch.post("recharges", body, Idempotency_Key="k1").json == first.json
    other = {**body, "voucher_password": "11111111"}
    assert code(switch.post("recharges", other, Idempotency_Key="k1")) == (409, "key_reused")
    assert reason(switch.post("recharges", body, Idempotency_Key="k2")) == "voucher_used"
    # Keys belong to the switch that chose them.
    stranger = Switch.added(app, db, "Other")
    assert reason(stranger.post("recharges", body, Idempotency_Key="k1")) == "voucher_used"
    assert facts(db, card).balance == USD("15")


def test_a_voucher_by_token_names_no_card_when_it_is_refused(
    switch: Switch, db: Database, vault: Vault, card: TestCard
) -> None:
    token = switch.post("authenticate", proof(card)).json["card_token"]
    other = scenes.card(db, vault, name="Other")
    body = {"card_token": token, "voucher_number": other.number, "voucher_password": other.password}
    refused = switch.post("recharges", body, Idempotency_Key="a").json
    assert refused == {"outcome": "refused", "reason": "voucher_not_allowed"}
    body["voucher_password"] = "0"
    assert reason(switch.post("recharges", body, Idempotency_Key="a")) == "bad_credentials"
    euros = scenes.vouchers(db, vault, currency="EUR", name="Euro vouchers")[0]
    body |= {"voucher_number": euros.number, "voucher_password": euros.password}
    assert reason(switch.post("recharges", body, Idempotency_Key="a")) == "currency_mismatch"
    voucher = scenes.vouchers(db, vault, 1, "10.00")[0]
    body |= {"voucher_number": voucher.number, "voucher_password": voucher.password}
    assert switch.post("recharges", body, Idempotency_Key="a").json["balance"] == "15.0000"


def test_a_recharge_needs_an_idempotency_key(switch: Switch, card: TestCard) -> None:
    body = _recharge(card, card)
    assert code(switch.post("recharges", body)) == (400, "idempotency_key_missing")
    assert code(switch.post("recharges", body, Idempotency_Key="")) == (400, "idempotency_key_missing")
    for key in ("x" * 256, "a b", "é"):
        assert code(switch.post("recharges", body, Idempotency_Key=key)) == (400, "bad_idempotency_key"), key
    assert reason(switch.post("recharges", body, Idempotency_Key="x" * 255)) == "voucher_not_allowed"


def test_a_caller_alone_is_not_enough_for_a_recharge(switch: Switch) -> None:
    body = {"caller": "+15551230001", "voucher_number": "1", "voucher_password": "2"}
    assert code(switch.post("recharges", body, Idempotency_Key="k")) == (422, "credentials_missing")


# --- rates ---


def test_a_rate_is_told_for_a_deck_or_for_a_card(switch: Switch, card: TestCard) -> None:
    assert switch.get(f"rates?destination=%2B{BRITAIN}&deck=Standard").json == {
        "outcome": "ok",
        "deck": "Standard",
        "currency": "USD",
        "prefix": "44",
        "destination_name": "Destination 44",
        "price_per_minute": "0.0200",
        "connect_fee": "0.0000",
        "first_increment": 1,
        "increment": 1,
        "grace_seconds": 0,
        "affordable_seconds": None,
    }
    token = switch.post("authenticate", proof(card)).json["card_token"]
    quoted = switch.get(f"rates?destination={BANGLADESH}", Cardtone_Card_Token=token).json
    assert (quoted["price_per_minute"], quoted["affordable_seconds"]) == ("0.0150", 14_400)
    assert reason(switch.get("rates?destination=33142685300&deck=Standard")) == "destination_unknown"
    assert reason(switch.get("rates?destination=12&deck=Standard")) == "destination_invalid"
    dead = switch.get(f"rates?destination={BANGLADESH}", Cardtone_Card_Token="ctt_dead")
    assert reason(dead) == "bad_credentials"


@pytest.mark.parametrize(
    ("query", "status", "word"),
    [
        ("", 422, "missing_parameter"),
        ("?deck=Standard", 422, "missing_parameter"),
        ("?destination=8801712345678", 404, "deck_required"),
        ("?destination=8801712345678&deck=None", 404, "deck_not_found"),
        ("?destination=8801712345678&deck=Standard&card_token=x", 422, "unknown_parameter"),
        ("?destination=8801712345678&destination=1&deck=Standard", 422, "repeated_parameter"),
        ("?destination=8801712345678&deck=a%00", 422, "control_character"),
        ("?destination=8801712345678&deck=", 422, "too_short"),
        (f"?destination={'1' * 200}&deck=Standard", 422, "too_long"),
    ],
)
def test_a_malformed_question_is_not_guessed_at(switch: Switch, query: str, status: int, word: str) -> None:
    assert code(switch.get(f"rates{query}")) == (status, word)


def test_a_token_that_cannot_be_one_is_malformed(switch: Switch) -> None:
    where = f"rates?destination={BANGLADESH}"
    for token in ("x" * 129, "", "a b", "é"):
        assert code(switch.get(where, Cardtone_Card_Token=token)) == (422, "bad_card_token"), token
