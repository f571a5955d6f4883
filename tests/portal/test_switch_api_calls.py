"""A call over HTTP, from its authorization to its charge, and what else its switch may say on the way."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
from flask import Flask

from engine.calls.access_numbers import add_access_number
from engine.calls.sweep import sweep
from engine.cards.lifecycle import lock
from engine.db import Database
from engine.funds.recharges import recharge
from engine.vault import Vault
from tests import scenes
from tests.portal.conftest import Clock
from tests.portal.switches import Switch, call_of, code, proof, reason
from tests.scenes import BANGLADESH, NOW, OPERATOR, USD, TestCard, facts


@pytest.fixture
def switch(app: Flask, db: Database) -> Switch:
    return Switch.added(app, db)


@pytest.fixture
def card(db: Database, vault: Vault) -> TestCard:
    return scenes.card(db, vault, "5.00")


def test_a_whole_call_from_authenticate_to_end(switch: Switch, card: TestCard, clock: Clock) -> None:
    proven = switch.post("authenticate", {**proof(card), "caller": "+15551230001"}).json
    assert proven.pop("card_token").startswith("ctt_")
    assert proven == {
        "outcome": "ok",
        "serial": card.serial,
        "status": "active",
        "balance": "5.0000",
        "available": "5.0000",
        "currency": "USD",
        "expires_at": "2027-02-19T00:00:00Z",
        "language": "en",
    }
    assert switch.post("calls", call_of(card)).json == {
        "outcome": "ok",
        "call_ref": "call-1",
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
    assert switch.post("calls/call-1/progress", {"elapsed_seconds": 30}).json == {
        "outcome": "ok",
        "max_seconds": 14_400,
        "low_balance": False,
        "remaining_seconds": 14_370,
    }
    clock.later(seconds=31)
    assert switch.post("calls/call-1/end", {"duration_seconds": 61.004, "cause": 16}).json == {
        "outcome": "ok",
        "charged": "0.0153",
        "billed_seconds": 61,
        "balance": "4.9847",
        "currency": "USD",
    }


def test_a_call_can_be_looked_at_in_all_of_its_states(switch: Switch, card: TestCard, clock: Clock) -> None:
    switch.post("calls", call_of(card, caller="+15551230001", one_shot=False))
    begun = switch.get("calls/call-1").json
    assert begun == {
        "outcome": "ok",
        "call_ref": "call-1",
        "state": "authorized",
        "serial": card.serial,
        "caller": "15551230001",
        "destination": BANGLADESH,
        "destination_name": "Destination 880",
        "authorized_at": "2026-11-20T12:00:00Z",
        "answered_at": None,
        "ended_at": None,
        "one_shot": False,
        "max_seconds": 600,
        "price_per_minute": "0.0150",
        "connect_fee": "0.0000",
        "held": "0.1500",
        "duration_seconds": None,
        "billed_seconds": None,
        "charged": None,
        "balance": "5.0000",
        "cause": None,
        "flags": [],
        "explanation": None,
        "currency": "USD",
    }
    clock.later(seconds=7)
    switch.post("calls/call-1/answer", {"answered_at": "2026-11-20T13:00:06.5+01:00"})
    answered = switch.get("calls/call-1").json
    assert (answered["state"], answered["answered_at"]) == ("answered", "2026-11-20T12:00:06.500000Z")
    clock.later(seconds=60)
    switch.post("calls/call-1/end", {"duration_seconds": 60, "cause": 16})
    ended = switch.get("calls/call-1").json
    assert (ended["state"], ended["charged"], ended["held"]) == ("ended", "0.0150", "0.0000")
    assert (ended["duration_seconds"], ended["billed_seconds"], ended["cause"]) == (60, 60, 16)
    assert "Destination 880 (prefix 880)" in ended["explanation"]


def test_each_message_may_be_repeated(switch: Switch, db: Database, card: TestCard, clock: Clock) -> None:
    asked = [
        ("calls", call_of(card, one_shot=False)),
        ("calls/call-1/answer", {}),
        ("calls/call-1/progress", {"elapsed_seconds": 0.5}),
        ("calls/call-1/end", {"duration_seconds": 30.0, "cause": None}),
    ]
    first = [switch.post(path, body).json for path, body in asked[:3]]
    again = [switch.post(path, body).json for path, body in asked[:3]]
    assert again == first
    clock.later(seconds=30)
    ended = switch.post(*asked[3]).json
    assert switch.post(*asked[3]).json == ended
    assert facts(db, card).balance == USD("5") - USD("0.0075")


def test_the_same_call_ref_with_other_facts_is_a_conflict(
    switch: Switch, card: TestCard, clock: Clock
) -> None:
    switch.post("calls", call_of(card))
    clock.later(seconds=10)
    switch.post("calls/call-1/end", {"duration_seconds": 1, "cause": 16})
    for path, body in (
        ("calls", call_of(card, destination="442079460000")),
        ("calls", call_of(card, caller="+15551230001")),
        ("calls/call-1/end", {"duration_seconds": 2}),
        ("calls/call-1/end", {"duration_seconds": 1, "cause": 31}),
    ):
        assert code(switch.post(path, body)) == (409, "call_ref_conflict"), body


def test_a_call_ref_of_another_card_is_a_conflict(switch: Switch, db: Database, vault: Vault) -> None:
    one, other = scenes.batch(db, vault, 2)
    switch.post("calls", call_of(one))
    assert code(switch.post("calls", call_of(other))) == (409, "call_ref_conflict")


def test_an_ended_call_goes_no_further(switch: Switch, card: TestCard) -> None:
    switch.post("calls", call_of(card))
    switch.post("calls/call-1/end", {"duration_seconds": 0})
    assert code(switch.post("calls/call-1/answer")) == (409, "call_ended")
    assert code(switch.post("calls/call-1/progress", {"elapsed_seconds": 1})) == (409, "call_ended")


def test_a_call_that_was_never_answered_costs_nothing(switch: Switch, db: Database, card: TestCard) -> None:
    switch.post("calls", call_of(card))
    ended = switch.post("calls/call-1/end", {"duration_seconds": 0, "cause": 19}).json
    assert (ended["charged"], ended["billed_seconds"], ended["balance"]) == ("0.0000", 0, "5.0000")
    assert facts(db, card).held == 0


def test_an_end_that_comes_after_the_sweep_corrects_it(switch: Switch, card: TestCard, clock: Clock) -> None:
    switch.post("calls", call_of(card, one_shot=False))
    switch.post("calls/call-1/answer")
    clock.later(hours=1)
    here = switch.client.application.extensions["cardtone"]
    assert sweep(here.db, clock()).voided == 1, "no usage was ever confirmed"
    assert switch.get("calls/call-1").json["flags"] == ["swept"]
    late = switch.post("calls/call-1/end", {"duration_seconds": 120, "cause": 16}).json
    assert late["charged"] == "0.0300"
    assert switch.get("calls/call-1").json["flags"] == ["swept", "late_end"]


def test_slices_are_extended_and_a_recharge_during_the_call_counts(
    switch: Switch, db: Database, vault: Vault, clock: Clock
) -> None:
    card = scenes.card(db, vault, "0.03", name="Poor")
    assert switch.post("calls", call_of(card, one_shot=False)).json["max_seconds"] == 120
    switch.post("calls/call-1/answer")
    clock.later(seconds=90)
    low = switch.post("calls/call-1/progress", {"elapsed_seconds": 90}).json
    assert low == {"outcome": "ok", "max_seconds": 120, "low_balance": True, "remaining_seconds": 30}
    recharge(db, card_id=card.id, amount=USD("1"), actor=OPERATOR, now=clock())
    more = switch.post("calls/call-1/progress", {"elapsed_seconds": 90}).json
    assert (more["max_seconds"], more["low_balance"]) == (690, False)


def test_a_forged_duration_is_capped_and_said_so(switch: Switch, card: TestCard, clock: Clock) -> None:
    switch.post("calls", call_of(card))
    clock.later(seconds=10)
    ended = switch.post("calls/call-1/end", {"duration_seconds": 10**9}).json
    assert (ended["billed_seconds"], ended["charged"]) == (15, "0.0038")
    assert switch.get("calls/call-1").json["flags"] == ["duration_capped"]


def test_a_fraction_of_a_second_counts_exactly(switch: Switch, card: TestCard, clock: Clock) -> None:
    billed = {
        "7": 7,
        "7.2": 7,
        "7.2001": 8,
        "7.20000000000000000000000000000000000001": 8,
        "7e0": 7,
        "0.70E1": 7,
        "1e-999": 0,
    }
    for number, (written, seconds) in enumerate(billed.items()):
        ref = f"call-{number}"
        switch.post("calls", call_of(card, ref))
        clock.later(seconds=60)
        ended = switch.raw(f"calls/{ref}/end", f'{{"duration_seconds": {written}}}'.encode()).json
        assert ended["billed_seconds"] == seconds, written


# --- refusals ---


def test_what_the_rules_refuse_is_an_answer_with_its_reason(
    switch: Switch, db: Database, vault: Vault, card: TestCard
) -> None:
    def refused(destination: str, **more: Any) -> str:
        return reason(switch.post("calls", call_of(card, "x", **{"destination": destination, **more})))

    assert refused("12") == "destination_invalid"
    assert refused("33142685300") == "destination_unknown"
    assert refused("449098790000") == "destination_barred"
    assert refused(BANGLADESH, password="wrong") == "bad_credentials"
    assert refused(BANGLADESH, card_number="*#A") == "bad_credentials"
    switch.post("calls", call_of(card, "first"))
    assert refused(BANGLADESH) == "too_many_calls"
    lock(db, card_id=card.id, actor=OPERATOR, now=NOW, reason="lost")
    assert refused(BANGLADESH) == "locked"


def test_a_card_that_has_too_little_is_refused_with_its_serial(
    switch: Switch, db: Database, vault: Vault
) -> None:
    poor = scenes.card(db, vault, "0.0001", name="Poor")
    answer = switch.post("calls", call_of(poor)).json
    assert answer == {"outcome": "refused", "reason": "insufficient_balance", "serial": poor.serial}


def test_a_refused_call_ref_may_be_used_again(switch: Switch, card: TestCard) -> None:
    assert reason(switch.post("calls", call_of(card, password="wrong"))) == "bad_credentials"
    assert switch.post("calls", call_of(card)).json["outcome"] == "ok"


def test_a_caller_alone_opens_the_card_it_is_bound_to_where_the_switch_is_trusted(
    app: Flask, switch: Switch, db: Database, vault: Vault
) -> None:
    pinless = scenes.card(db, vault, name="Pinless", pinless=True, binding="single", auto_bind=True)
    alone = {"caller": "+15551230001", "destination": BANGLADESH, "call_ref": "alone"}
    assert reason(switch.post("calls", alone)) == "bad_credentials"
    switch.post("authenticate", {**proof(pinless), "caller": "+15551230001"})
    opened = switch.post("calls", alone).json
    assert (opened["outcome"], opened["serial"]) == ("ok", pinless.serial)
    # Anybody can spoof a caller: a switch that is not trusted to present callers still has to ask for the password.
    stranger = Switch.added(app, db, "Internet trunk", trusted_callers=False)
    assert reason(stranger.post("calls", alone)) == "bad_credentials"
    assert reason(stranger.post("authenticate", {"caller": "+15551230001"})) == "bad_credentials"


def test_a_spoofed_caller_still_has_to_know_the_password(switch: Switch, db: Database, vault: Vault) -> None:
    bound = scenes.card(db, vault, name="Bound", binding="single", auto_bind=True)
    switch.post("authenticate", {**proof(bound), "caller": "+15551230001"})
    spoofed = {"caller": "+15551230001", "destination": BANGLADESH, "call_ref": "spoofed"}
    assert reason(switch.post("calls", spoofed)) == "bad_credentials"
    assert (
        reason(switch.post("calls", call_of(bound, caller="+15551230001", password="0"))) == "bad_credentials"
    )
    assert reason(switch.post("calls", call_of(bound, caller="+15551230002"))) == "caller_not_bound"
    for withheld in (None, "", "anonymous"):
        assert reason(switch.post("calls", call_of(bound, caller=withheld))) == "caller_required"


# --- whose call it is ---


def test_switches_do_not_see_each_others_calls(
    app: Flask, switch: Switch, db: Database, vault: Vault, clock: Clock
) -> None:
    one, other_card = scenes.batch(db, vault, 2)
    other = Switch.added(app, db, "Other")
    switch.post("calls", call_of(one))
    for path, body in (
        ("answer", {}),
        ("progress", {"elapsed_seconds": 1}),
        ("end", {"duration_seconds": 1}),
    ):
        assert code(other.post(f"calls/call-1/{path}", body)) == (404, "call_not_found")
    assert code(other.get("calls/call-1")) == (404, "call_not_found")
    # The same name is another call on another switch.
    assert other.post("calls", call_of(other_card)).json["serial"] == other_card.serial
    clock.later(seconds=60)
    other.post("calls/call-1/end", {"duration_seconds": 60})
    assert switch.get("calls/call-1").json["state"] == "authorized"


def test_a_call_ref_of_a_sip_switch_is_fine(switch: Switch, card: TestCard) -> None:
    ref = "f81d4fae-7dec@10.0.0.1;tag=3?x=1#% \\"
    assert switch.post("calls", call_of(card, ref)).json["outcome"] == "ok"
    assert switch.get(f"calls/{quote(ref, safe='')}").json["call_ref"] == ref
    assert switch.post(f"calls/{quote(ref, safe='')}/end", {"duration_seconds": 0}).status_code == 200


def test_a_call_ref_must_fit_into_an_address(switch: Switch, card: TestCard) -> None:
    for ref in ("", "a/b", "é", "x" * 129, "..", ".", "a\tb", "a\n", "\u200b", 7, None):
        problem = switch.post("calls", call_of(card, ref))
        assert problem.status_code == 422, ref
        assert problem.json["errors"][0]["field"] == "call_ref"


def test_a_call_that_is_not_there_is_not_found(switch: Switch) -> None:
    for ref in ("never", "%00", "x" * 200, "%C3%A9", "%0A"):
        assert code(switch.get(f"calls/{ref}")) == (404, "call_not_found")
        assert code(switch.post(f"calls/{ref}/end", {"duration_seconds": 1})) == (404, "call_not_found")


def test_an_access_number_says_in_which_country_numbers_are_dialled(
    switch: Switch, db: Database, card: TestCard
) -> None:
    add_access_number(db, "442079460000", "London", OPERATOR, NOW, country="GB")
    dialled = {"destination": "020 7946 0001", "access_number": "+442079460000"}
    assert switch.post("calls", call_of(card, "a", **dialled)).json["destination_name"] == "Destination 44"
    assert switch.get("calls/a").json["destination"] == "442079460001"
