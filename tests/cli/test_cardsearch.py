"""`cardtone cards find` as somebody at the counter types it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from engine.cards import lifecycle
from engine.db import Database
from engine.vault import Vault
from tests import scenes
from tests.scenes import OPERATOR, TestCard

from .conftest import Cardtone


@pytest.fixture
def cards(cardtone: Cardtone, db: Database, vault: Vault) -> list[TestCard]:
    now = datetime.now(UTC)
    made = scenes.batch(db, vault, 5, name="Retail", now=now)
    lifecycle.lock(db, card_id=made[2].id, reason="Lost", actor=OPERATOR, now=now)
    return made


def test_find_lists_cards_without_their_numbers(cardtone: Cardtone, cards: list[TestCard]) -> None:
    ran = cardtone("cards", "find", "--batch", "Retail", "--count")
    assert ran.status == 0
    for card in cards:
        assert card.serial in ran.out
        assert card.number not in ran.out
    assert "5 cards in all." in ran.out
    # What has just happened is found, though no jobs process runs.
    told = cardtone("cards", "find", "--status", "locked", "--count", "--json").json
    assert [row["serial"] for row in told["cards"]] == [cards[2].serial]
    assert told["cards"][0]["balance"] == "5.0000"
    assert told["count"] == {"number": 1, "kind": "exact"}
    assert told["next"] is None


def test_find_goes_on_where_the_page_ended(cardtone: Cardtone, cards: list[TestCard]) -> None:
    asked = ("cards", "find", "--order", "balance", "--descending", "--limit", "3")
    ran = cardtone(*asked)
    cursor = ran.out.rsplit("--after ", 1)[1].strip()
    rest = cardtone(*asked, "--after", cursor, "--json").json
    assert [row["serial"] for row in rest["cards"]] == [cards[1].serial, cards[0].serial]


def test_find_by_number_tells_the_serial(cardtone: Cardtone, cards: list[TestCard]) -> None:
    ran = cardtone("cards", "find", "--number", cards[3].number)
    assert cards[3].serial in ran.out
    assert cards[3].number not in ran.out


def test_find_says_what_is_wrong(cardtone: Cardtone, cards: list[TestCard]) -> None:
    for asked, said in (
        (("--created-from", "1.2.2026"), "1.2.2026 is not a date; write it like 2026-11-30"),
        (("--status", "asleep"), "The status must be one of damaged, locked"),
        (("--batch", "None such"), "There is no batch named None such."),
        (("--after", "next.serial.down.-.1"), "begin at its first page"),
    ):
        ran = cardtone("cards", "find", *asked)
        assert (ran.status, ran.out) == (1, "")
        assert said in ran.err
    assert cardtone("cards", "find", "--status", "damaged").out == "No card meets this.\n"
