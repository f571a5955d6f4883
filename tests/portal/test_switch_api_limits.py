"""What a switch is told when one of its callers, or a number, was tried too often: never that it was itself."""

from __future__ import annotations

import pytest
from flask import Flask

from engine.db import Database
from engine.vault import Vault
from tests import scenes
from tests.portal.conftest import Clock
from tests.portal.switches import Switch, call_of, proof, reason
from tests.scenes import TestCard

GUESSER, OTHER = "+15551230001", "+15551230002"


@pytest.fixture
def switch(app: Flask, db: Database) -> Switch:
    return Switch.added(app, db)


@pytest.fixture
def card(db: Database, vault: Vault) -> TestCard:
    return scenes.card(db, vault, "5.00")


def guess(n: int) -> dict[str, str]:
    return {"card_number": f"99{n:010}", "password": "00000000"}


def test_a_caller_who_guesses_at_many_numbers_waits_and_the_others_of_its_switch_do_not(
    switch: Switch, card: TestCard, clock: Clock
) -> None:
    for n in range(6):
        answer = switch.post("authenticate", {**guess(n), "caller": GUESSER})
        assert answer.json == {"outcome": "refused", "reason": "bad_credentials"}
    throttled = {"outcome": "refused", "reason": "throttled", "retry_after": 600}
    assert switch.post("authenticate", {**proof(card), "caller": GUESSER}).json == throttled
    assert switch.post("calls", {**call_of(card), "caller": GUESSER}).json == throttled
    assert switch.post("authenticate", {**proof(card), "caller": OTHER}).json["outcome"] == "ok"
    clock.later(minutes=10)
    assert switch.post("authenticate", {**proof(card), "caller": GUESSER}).json["outcome"] == "ok"


def test_a_caller_is_the_same_however_it_is_written(switch: Switch, card: TestCard) -> None:
    for n, caller in enumerate(("15551230001", "+1 555 123 0001", "+15551230001") * 2):
        assert reason(switch.post("authenticate", {**guess(n), "caller": caller})) == "bad_credentials"
    assert reason(switch.post("authenticate", {**proof(card), "caller": GUESSER})) == "throttled"


def test_a_switch_whose_callers_all_fail_is_never_throttled(switch: Switch, card: TestCard) -> None:
    for n in range(100):
        answer = switch.post("authenticate", {**guess(n), "caller": f"+1555{n:07}"})
        assert (answer.status_code, reason(answer)) == (200, "bad_credentials")
    assert switch.post("authenticate", proof(card)).json["outcome"] == "ok"
