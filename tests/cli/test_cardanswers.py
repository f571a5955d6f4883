"""`cardtone cards timeline`, `why`, `spending` and `cost` as somebody at the counter types them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from engine.config import Config
from engine.db import Database
from engine.vault import Vault
from tests import scenes
from tests.scenes import BANGLADESH, Line, TestCard

from .conftest import Cardtone

CALLER = "447700900123"


@pytest.fixture
def vault(cardtone: Cardtone, db: Database) -> Vault:
    """The vault of the installation that the commands use."""
    return Vault(Config.from_env().load_keys())


@pytest.fixture
def card(db: Database, vault: Vault) -> TestCard:
    """A card that talked for a minute, was locked, and refused."""
    then = datetime.now(UTC) - timedelta(hours=2)
    card = scenes.card(db, vault, "5.00", now=then)
    line = Line(db, vault, scenes.switch(db), now=then)
    line.open(card, ref="one", caller=CALLER)
    line.later(61).end("one", seconds=61)
    return card


def test_a_card_answers_in_sentences_and_in_data(
    cardtone: Cardtone, db: Database, vault: Vault, card: TestCard
) -> None:
    cardtone("cards", "lock", card.serial, "--reason", "Lost")
    line = Line(db, vault, scenes.switch(db, "Second"), now=datetime.now(UTC))
    line.authorize(card, caller=CALLER)
    told = cardtone("cards", "timeline", card.serial).out
    assert "Locked: no call, no balance, no recharge. (the command line) Reason: Lost" in told
    assert "Used for the first time. (switch Asterisk)" in told
    why = cardtone("cards", "why", card.serial, "--caller", f"+{CALLER}").out
    assert "by the command line. The reason: Lost. Now it would be refused as well. It is locked since" in why
    assert "0 wrong passwords since the last right one; 20 lock the card." in why
    spent = cardtone("cards", "spending", card.serial).out
    assert "Of USD 5.00: USD 0.01525 talk time in 1 call, USD 0.00005 rounding." in spent
    assert "They talked 1 min 1 s and were billed 1 min 1 s" in spent
    cost = cardtone("cards", "cost", card.serial, BANGLADESH).out
    assert f"A call to +{BANGLADESH} would be refused now. The card is locked." in cost
    assert "The USD 4.9847 available last for" in cost or "It could last 4 h" in cost

    data = json.loads(cardtone("cards", "cost", card.serial, BANGLADESH, "--json").out)
    assert (data["refused"], data["price_per_minute"], data["minutes"]["10"]) == (
        "locked",
        "0.0150",
        "0.1500",
    )
    data = json.loads(cardtone("cards", "why", card.serial, "--json").out)
    assert [(one["reason"], one["let_through_now"]) for one in data["tries"]] == [("locked", False)]
    data = json.loads(cardtone("cards", "spending", card.serial, "--json").out)
    assert {one["kind"]: one["amount"] for one in data["parts"]} == {"talk": "0.01525", "rounding": "0.00005"}
    data = json.loads(cardtone("cards", "timeline", card.serial, "--json").out)
    assert [one["kind"] for one in data][:2] == ["lock", "first_use"]


def test_what_is_no_card_or_no_caller_is_said(cardtone: Cardtone, card: TestCard) -> None:
    assert "There is no such card." in cardtone("cards", "why", "98765432103").err
    assert "is not a caller" in cardtone("cards", "why", card.serial, "--caller", "x").err
