"""Custody and shredding: what happened to stock by serial range, and passwords that nobody can read again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from engine import settings
from engine.cards.serials import serial_of
from engine.db import Database
from engine.errors import Conflict, InvalidInput, NotFound
from engine.refusal import Refusal
from engine.schema import Card
from engine.stock import custody
from engine.stock.batches import BatchOrder, order_batch
from engine.stock.custody import Moved, Range
from engine.stock.shredding import shred, shred_due
from engine.vault import Vault
from tests import scenes
from tests.scenes import NOW, OPERATOR, USD

LATER = NOW + timedelta(days=1)


def one(db: Database, query: str, **values: Any) -> Any:
    with db.begin() as session:
        return session.execute(text(query), values).one()


def span(cards: list[scenes.TestCard]) -> Range:
    return Range.of_serials(cards[0].serial, cards[-1].serial)


def test_a_range_is_told_by_serials_as_people_write_them() -> None:
    first, last = serial_of(1_000_000_001), serial_of(1_000_000_100)
    assert Range.of_serials(f"{first[:5]} {first[5:]}", last) == Range(1_000_000_001, 1_000_000_100)
    assert Range.of_serials(first) == Range(1_000_000_001, 1_000_000_001)


@pytest.mark.parametrize(
    ("first", "last", "code"),
    [
        ("10000000011", None, "bad_serial"),
        (serial_of(1_000_000_001), "x", "bad_serial"),
        (serial_of(1_000_000_002), serial_of(1_000_000_001), "range_backwards"),
        (serial_of(1_000_000_001), serial_of(1_001_000_001), "range_too_long"),
    ],
)
def test_what_is_no_range_is_refused(first: str, last: str | None, code: str) -> None:
    with pytest.raises(InvalidInput, match=code):
        Range.of_serials(first, last)


@pytest.mark.parametrize("fact", ["printed", "shipped", "sold"])
def test_a_mark_stands_on_every_card_of_its_range_and_keeps_its_first_time(
    db: Database, vault: Vault, fact: str
) -> None:
    cards = scenes.batch(db, vault, 10)
    mark: Callable[..., Moved] = getattr(custody, f"mark_{fact}")
    assert mark(db, span(cards[2:5]), OPERATOR, NOW) == Moved(changed=3, left=0)
    assert mark(db, span(cards[4:7]), OPERATOR, LATER, "second pallet") == Moved(changed=2, left=1)
    times = [getattr(scenes.facts(db, card), f"{fact}_at") for card in cards]
    assert times == [None, None, NOW, NOW, NOW, LATER, LATER, None, None, None]
    told = one(
        db, "SELECT * FROM audit WHERE action = :action AND reason IS NOT NULL", action=f"cards.{fact}"
    )
    assert told.subject == f"cards:{cards[4].serial}-{cards[6].serial}"
    assert (told.reason, told.data) == ("second pallet", {"changed": 2, "left": 1})


def test_cards_held_back_work_from_their_activation_on(db: Database, vault: Vault) -> None:
    cards = scenes.batch(db, vault, 4, release="activation")
    line = scenes.Line(db, vault, scenes.switch(db), LATER)
    assert line.authorize(cards[1]) == Refusal("not_activated", serial=cards[1].serial)
    assert custody.activate(db, span(cards[1:3]), OPERATOR, LATER) == Moved(changed=2, left=0)
    assert custody.activate(db, span(cards), OPERATOR, LATER + timedelta(days=1)) == Moved(changed=2, left=2)
    facts = scenes.facts(db, cards[1])
    assert (facts.activated_at, facts.released_at) == (LATER, LATER)
    line.open(cards[1])


def test_a_damaged_card_is_not_activated(db: Database, vault: Vault) -> None:
    card = scenes.card(db, vault, release="activation")
    with db.begin() as session:
        row = session.get_one(Card, card.id)
        row.damaged_at, row.damaged_by = NOW, "staff:1"
    assert custody.activate(db, span([card]), OPERATOR, NOW) == Moved(changed=0, left=1)


def test_only_cards_that_nobody_used_are_held_back(db: Database, vault: Vault) -> None:
    cards = scenes.batch(db, vault, 5)
    line = scenes.Line(db, vault, scenes.switch(db))
    line.authenticate(cards[0])
    line.open(cards[1], ref="a")
    assert custody.hold_back(db, span(cards), OPERATOR, NOW, "stolen box") == Moved(changed=3, left=2)
    assert not isinstance(line.authenticate(cards[0]), Refusal)
    assert line.authenticate(cards[2]) == Refusal("not_activated", serial=cards[2].serial)
    custody.activate(db, span(cards[2:3]), OPERATOR, NOW)
    assert not isinstance(line.authenticate(cards[2]), Refusal)


def test_a_range_may_span_batches_but_not_serials_without_a_card(db: Database, vault: Vault) -> None:
    cards = scenes.batch(db, vault, 3, name="One") + scenes.batch(db, vault, 3, name="Two")
    assert custody.mark_sold(db, span(cards), OPERATOR, NOW) == Moved(changed=6, left=0)
    past_the_end = Range(cards[0].id, cards[-1].id + 5)
    with pytest.raises(NotFound, match="cards_not_found") as refusal:
        custody.mark_sold(db, past_the_end, OPERATOR, NOW)
    assert refusal.value.data == {"count": 5}


def test_cards_of_a_batch_that_is_not_ready_cannot_be_moved(db: Database, vault: Vault) -> None:
    scenes.deck(db)
    ordered = order_batch(
        db, vault, BatchOrder("Dhaka 5", 10, USD("5"), "USD", "Standard", release="activation"), OPERATOR, NOW
    )
    cards = Range.of_serials(ordered.first_serial, ordered.last_serial)
    for command in (custody.activate, custody.hold_back, custody.mark_sold):
        with pytest.raises(Conflict, match="batch_not_ready"):
            command(db, cards, OPERATOR, NOW)
    assert one(db, "SELECT count(*) AS n FROM audit WHERE action LIKE 'cards.%'").n == 0


def test_shredding_destroys_the_key_and_leaves_the_cards_working(db: Database, vault: Vault) -> None:
    card = scenes.card(db, vault, name="Dhaka 5")
    shred(db, "Dhaka 5", OPERATOR, LATER, "print run confirmed")
    key = one(db, "SELECT * FROM batch_key")
    assert (key.wrapped, key.shredded_at, key.shredded_by) == (None, LATER, "staff:1")
    told = one(db, "SELECT * FROM audit WHERE action = 'batch.shred'")
    assert (told.reason, told.data["name"]) == ("print run confirmed", "Dhaka 5")
    line = scenes.Line(db, vault, scenes.switch(db), LATER)
    assert not isinstance(line.authenticate(card), Refusal)
    with pytest.raises(Conflict, match="batch_shredded"):
        shred(db, "Dhaka 5", OPERATOR, LATER)


def test_the_rule_of_the_house_shreds_what_is_due_and_nothing_else(db: Database, vault: Vault) -> None:
    scenes.card(db, vault, name="Before the rule")
    with db.begin() as session:
        settings.put(session, "shred_days", 10)
    scenes.card(db, vault, name="Under the rule", now=NOW + timedelta(days=3))
    scenes.deck(db, name="Other")
    order_batch(db, vault, BatchOrder("Unready", 1, USD("5"), "USD", "Other"), OPERATOR, NOW)
    assert shred_due(db, OPERATOR, NOW + timedelta(days=10, seconds=-1)) == []
    assert shred_due(db, OPERATOR, NOW + timedelta(days=10)) == ["Before the rule"]
    assert shred_due(db, OPERATOR, NOW + timedelta(days=12)) == []
    assert shred_due(db, OPERATOR, NOW + timedelta(days=13)) == ["Under the rule"]
    assert shred_due(db, OPERATOR, NOW + timedelta(days=99)) == []
    assert one(db, "SELECT count(*) AS n FROM audit WHERE action = 'batch.shred'").n == 2


def test_without_a_rule_nothing_is_shredded_by_itself(db: Database, vault: Vault) -> None:
    scenes.card(db, vault)
    assert shred_due(db, OPERATOR, NOW + timedelta(days=3650)) == []


def test_a_batch_that_is_not_ready_is_not_shredded(db: Database, vault: Vault) -> None:
    scenes.deck(db)
    order_batch(db, vault, BatchOrder("Dhaka 5", 10, USD("5"), "USD", "Standard"), OPERATOR, NOW)
    with pytest.raises(Conflict, match="batch_not_ready"):
        shred(db, "Dhaka 5", OPERATOR, NOW)
    with pytest.raises(NotFound, match="batch_not_found"):
        shred(db, "Nobody", OPERATOR, NOW)
