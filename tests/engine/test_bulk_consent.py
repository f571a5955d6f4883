"""Recharges of many cards that need a second person: who says yes sees which cards, and it is a yes to these alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.actor import CONSOLE
from engine.bulk.orders import BulkOrder
from engine.bulk.runs import confirm
from engine.cards import lifecycle
from engine.cards.search import CardFilter
from engine.db import Database
from engine.errors import ConsentNeeded
from engine.vault import Vault
from tests import scenes
from tests.engine.bulkscenes import LATER, do, listed
from tests.scenes import OPERATOR, USD, TestCard

RECHARGE = {"amount": USD("2"), "bonus": USD("0.50")}
ORDER = BulkOrder("recharge", CardFilter(statuses=("unused",)), RECHARGE)


@pytest.fixture
def cards(db: Database, vault: Vault, monkeypatch: pytest.MonkeyPatch) -> list[TestCard]:
    """Ten cards of 5.00 that were not used; more than 20.00 at once needs a second person; chunks are of four."""
    monkeypatch.setattr("engine.bulk.runs.CHUNK", 4)
    made = scenes.batch(db, vault, 10, name="May")
    scenes.setting(db, "consent_recharge_over", 20)
    return made


def needed(db: Database, order: BulkOrder = ORDER) -> ConsentNeeded:
    with pytest.raises(ConsentNeeded) as refused:
        confirm(db, order, OPERATOR, LATER)
    return refused.value


def test_who_agrees_sees_which_cards_and_how_much(db: Database, vault: Vault, cards: list[TestCard]) -> None:
    asked = needed(db)
    assert asked.data["subject"] == f"cards:{ORDER.targets_digest}"
    facts = dict(asked.data["facts"])
    assert len(facts.pop("digest")) == 64
    assert facts == {
        "cards": 10,
        **RECHARGE,
        "total": USD("25"),
        "currency": "USD",
        "first": cards[0].serial,
        "last": cards[-1].serial,
        "filter": {"statuses": ["unused"]},
    }
    scenes.consented(db, asked, LATER)
    assert do(db, vault, confirm(db, ORDER, OPERATOR, LATER)).changed == 10
    needed(db)


def test_other_cards_need_another_yes_however_many_they_are(
    db: Database, vault: Vault, cards: list[TestCard]
) -> None:
    """One card is locked and another comes in its place: the filter and the count are what they were."""
    lifecycle.lock(db, card_id=cards[3].id, reason="lost", actor=OPERATOR, now=LATER)
    nine = needed(db)
    lifecycle.unlock(db, vault, card_id=cards[3].id, actor=OPERATOR, now=LATER)
    lifecycle.lock(db, card_id=cards[4].id, reason="lost", actor=OPERATOR, now=LATER)
    scenes.consented(db, nine, LATER)
    other = needed(db)
    changed = {name for name, value in other.data["facts"].items() if nine.data["facts"][name] != value}
    assert changed == {"digest"}
    lifecycle.unlock(db, vault, card_id=cards[4].id, actor=OPERATOR, now=LATER)
    lifecycle.lock(db, card_id=cards[3].id, reason="lost", actor=OPERATOR, now=LATER)
    assert do(db, vault, confirm(db, ORDER, OPERATOR, LATER)).changed == 9


def test_the_bonus_counts_for_every_card(db: Database, vault: Vault, cards: list[TestCard]) -> None:
    eight = replace(ORDER, targets=listed(*cards[:8]))
    assert confirm(db, eight, OPERATOR, LATER)
    more = replace(eight, params={**RECHARGE, "bonus": USD("0.51")})
    facts = needed(db, more).data["facts"]
    assert (facts["total"], facts["filter"], facts["last"]) == (USD("20.08"), None, cards[7].serial)
    assert needed(db, replace(more, targets=listed(*reversed(cards[:8])))).data["facts"] == facts
    with pytest.raises(ConsentNeeded, match="consent_at_console"):
        confirm(db, more, CONSOLE, LATER)
