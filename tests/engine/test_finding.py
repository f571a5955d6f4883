"""One box: what a typed text may be."""

from __future__ import annotations

from datetime import timedelta

import pytest

from engine.actor import Actor
from engine.cards import binding
from engine.db import Database
from engine.people import resellers
from engine.reports.finding import MOST, Findings, find
from engine.vault import Vault
from tests import scenes
from tests.scenes import BANGLADESH, NOW, OPERATOR, Line, TestCard

CALLER = "491711234567"


@pytest.fixture
def cards(db: Database, vault: Vault) -> list[TestCard]:
    scenes.deck(db)
    return scenes.batch(db, vault, 3, name="Spring_10_May", concurrency=3)


def look(db: Database, wanted: str, role: str = "admin") -> Findings:
    return find(db, wanted, Actor("staff", 9, "Somebody", role), NOW + timedelta(minutes=5))


def test_a_card_by_serial_and_by_number(db: Database, cards: list[TestCard]) -> None:
    for digits, by in ((cards[1].serial, "serial"), (cards[1].number, "number")):
        for typed in (digits, f" {digits[:4]} {digits[4:8]}-{digits[8:]} "):
            found = look(db, typed)
            assert [(one.serial, one.by) for one in found.cards] == [(cards[1].serial, by)]
            assert found.count == 1


def test_a_phone_by_its_cards_and_its_calls(db: Database, vault: Vault, cards: list[TestCard]) -> None:
    bound = scenes.card(db, vault, name="Bound", binding="single", auto_bind=False)
    binding.bind(db, card_id=bound.id, caller=CALLER, actor=OPERATOR, now=NOW)
    line = Line(db, vault, scenes.switch(db))
    line.open(cards[0], ref="a", caller=CALLER)
    line.later(30).end("a", seconds=30)
    line.open(cards[0], ref="b", caller=CALLER)
    for typed in (CALLER, f"+{CALLER}", "+49 171 1234567", f"00{CALLER}"):
        found = look(db, typed)
        assert [(one.serial, one.by) for one in found.cards] == [(bound.serial, "bound")]
        assert [(one.call_ref, one.live, one.by) for one in found.calls] == [
            ("b", True, "caller"),
            ("a", False, "caller"),
        ]
    called = look(db, BANGLADESH)
    assert {one.by for one in called.calls} == {"destination"}
    assert called.phone == BANGLADESH


def test_calls_of_yesterday_are_the_search_s(db: Database, vault: Vault, cards: list[TestCard]) -> None:
    line = Line(db, vault, scenes.switch(db))
    line.open(cards[0], caller=CALLER)
    line.later(30).end(seconds=30)
    actor = Actor("staff", 9, "Somebody", "admin")
    assert find(db, CALLER, actor, NOW + timedelta(hours=23)).count == 1
    assert find(db, CALLER, actor, NOW + timedelta(hours=25)).count == 0


def test_a_call_by_its_reference(db: Database, vault: Vault, cards: list[TestCard]) -> None:
    line = Line(db, vault, scenes.switch(db))
    line.open(cards[0], ref="a1b2@10.0.0.1")
    (live,) = look(db, "a1b2@10.0.0.1").calls
    assert (live.live, live.serial, live.switch) == (True, cards[0].serial, "Asterisk")
    line.later(9).end("a1b2@10.0.0.1", seconds=9)
    (ended,) = look(db, "a1b2@10.0.0.1").calls
    assert (ended.live, ended.by) == (False, "ref")
    assert look(db, "A1B2@10.0.0.1").count == 0


def test_batches_and_resellers_by_a_part_of_their_name(
    db: Database, vault: Vault, cards: list[TestCard]
) -> None:
    scenes.batch(db, vault, 1, name="spring_10_May 2")
    resellers.add_reseller(db, "Spring & Sons", OPERATOR, NOW)
    found = look(db, "Spring")
    assert [one.name for one in found.batches] == ["spring_10_May 2", "Spring_10_May"]
    assert [one.name for one in found.resellers] == ["Spring & Sons"]
    assert look(db, "SPRING_10_MAY").batches[0].name == "Spring_10_May", "the very name comes first"
    assert look(db, "Spring", "support").resellers == ()
    assert look(db, "_10_").count == 2, "signs that SQL knows mean themselves"
    assert look(db, "%").count == look(db, "S").count == 0


NOTHING = (
    "",
    " ",
    "nothing here",
    "'; DROP TABLE card; --",
    "\x00",
    "1" * 128,
    "１２３４５６７８９０１",
    "+",
    "<script>",
    "a\nb",
)


def test_what_is_nothing_is_nothing(db: Database, vault: Vault, cards: list[TestCard]) -> None:
    for typed in NOTHING:
        assert look(db, typed).count == 0, typed


def test_of_many_there_are_some(db: Database, vault: Vault, cards: list[TestCard]) -> None:
    for number in range(MOST + 2):
        resellers.add_reseller(db, f"Shop {number}", OPERATOR, NOW)
    assert len(look(db, "Shop").resellers) == MOST
