"""Shipments: what left together, is shipped once, and arrives."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest

from engine.actor import Actor
from engine.cards import lifecycle
from engine.db import Database
from engine.errors import Conflict, EngineError, InvalidInput, NotFound
from engine.people import resellerpeople, resellers
from engine.stock import resale, shipments
from engine.stock.custody import Range
from engine.vault import Vault
from tests import scenes
from tests.conftest import Clones
from tests.scenes import NOW, OPERATOR, USD, TestCard

LATER = NOW + timedelta(days=2)


class Warehouse:
    """Thirty cards of two batches, each test taking some that nobody took."""

    def __init__(self, db: Database, vault: Vault) -> None:
        self.db = db
        tens = scenes.batch(db, vault, 30, "10.00", name="Tens", release="activation")
        fives = scenes.batch(db, vault, 30, "5.00", name="Fives", release="activation")
        self.cards: list[TestCard] = [*tens, *fives]
        shops = [resellers.add_reseller(db, name, OPERATOR, NOW) for name in ("Corner", "Harbour")]
        self.shops = [shop.id for shop in shops]
        self.people: list[Actor] = [
            resellerpeople.add_person(
                db, shop.id, shop.name.lower(), shop.name, "clerk", None, OPERATOR, NOW
            )[0].actor
            for shop in shops
        ]

    def part(self, first: int, last: int) -> Range:
        return Range(self.cards[first].id, self.cards[last].id)


@pytest.fixture(scope="module")
def house(clones: Clones, vault: Vault) -> Iterator[Warehouse]:
    url = clones.make()
    db = Database(url)
    yield Warehouse(db, vault)
    db.close()
    clones.drop(url)


def test_ranges_are_shipped_together_and_arrive(house: Warehouse) -> None:
    db, corner = house.db, house.shops[0]
    resale.assign(db, house.part(0, 4), OPERATOR, NOW, reseller_id=corner)
    ranges = [house.part(27, 32), house.part(0, 4)]
    packed = shipments.packing(db, ranges, reseller_id=corner)
    assert [(one.batch, one.cards, one.face) for one in packed.parcels] == [
        ("Tens", 5, USD("50")),
        ("Tens", 3, USD("30")),
        ("Fives", 3, USD("15")),
    ]
    assert (packed.cards, packed.not_theirs, packed.sums) == (11, 6, {"USD": USD("95")})
    sent = shipments.send(
        db,
        ranges,
        None,
        OPERATOR,
        NOW,
        reseller_id=corner,
        address="1 Quay\n\nPort",
        carrier="Post",
        key="one",
    )
    assert (sent.recipient, sent.reseller, sent.cards) == ("Corner", "Corner", 11)
    again = shipments.send(
        db,
        ranges,
        None,
        OPERATOR,
        NOW,
        reseller_id=corner,
        address="1 Quay\n\nPort",
        carrier="Post",
        key="one",
    )
    assert again == sent
    assert scenes.facts(db, house.cards[30]).shipped_at == NOW
    assert scenes.facts(db, house.cards[5]).shipped_at is None
    shown, parcels = shipments.shipment(db, sent.id, OPERATOR)
    assert (shown, parcels) == (sent, packed.parcels)
    changed = shipments.change(db, sent.id, OPERATOR, NOW, carrier="Courier", tracking="CC 77", note=None)
    assert (changed.carrier, changed.tracking, changed.address) == ("Courier", "CC 77", "1 Quay\n\nPort")
    assert [one.id for one in shipments.shipments(db, house.people[0], on_the_way=True).shipments] == [
        sent.id
    ]
    arrived = shipments.receive(db, sent.id, house.people[0], LATER)
    assert (arrived.received_at, arrived.received_by) == (LATER, "Corner")
    assert shipments.receive(db, sent.id, OPERATOR, NOW) == arrived
    assert shipments.shipments(db, house.people[0], on_the_way=True).shipments == ()


def test_a_card_is_in_one_shipment(house: Warehouse) -> None:
    first = shipments.send(house.db, [house.part(6, 8)], "Fair", OPERATOR, NOW)
    with pytest.raises(Conflict, match="shipped_before") as refused:
        shipments.send(house.db, [house.part(5, 7)], "Fair", OPERATOR, NOW)
    facts = refused.value.data
    assert (facts["shipment"], facts["first"], facts["last"]) == (
        first.id,
        house.cards[6].serial,
        house.cards[7].serial,
    )
    assert scenes.facts(house.db, house.cards[5]).shipped_at is None


def test_what_came_back_or_arrived_before_can_be_shipped_again(house: Warehouse) -> None:
    db, part = house.db, house.part(26, 28)
    first = shipments.send(db, [part], "Fair", OPERATOR, NOW)
    with pytest.raises(InvalidInput, match="reason_missing"):
        shipments.take_back(db, first.id, OPERATOR, LATER, " ")
    back = shipments.take_back(db, first.id, OPERATOR, LATER, "Wrong address")
    assert (back.taken_back_at, back.taken_back_reason) == (LATER, "Wrong address")
    assert shipments.take_back(db, first.id, OPERATOR, NOW, "Again") == back
    assert scenes.facts(db, house.cards[26]).shipped_at is None
    with pytest.raises(Conflict, match="shipment_taken_back"):
        shipments.receive(db, first.id, OPERATOR, LATER)
    assert first.id not in [one.id for one in shipments.shipments(db, OPERATOR, on_the_way=True).shipments]

    second = shipments.send(db, [part], "Fair", OPERATOR, LATER)
    assert scenes.facts(db, house.cards[26]).shipped_at == LATER
    shipments.receive(db, second.id, OPERATOR, LATER)
    packed = shipments.packing(db, [house.part(25, 27)])
    assert (packed.cards, packed.arrived_before, packed.not_printed) == (3, 2, 3)
    third = shipments.send(db, [part], "Market", OPERATOR, LATER + timedelta(days=1))
    shipments.take_back(db, third.id, OPERATOR, LATER + timedelta(days=2), "Closed")
    assert scenes.facts(db, house.cards[26]).shipped_at == LATER, "the second shipment marked it"


def test_of_two_that_pack_the_same_cards_one_ships_them(house: Warehouse) -> None:
    told: list[str] = []
    barrier = threading.Barrier(3)

    def send() -> None:
        barrier.wait()
        try:
            told.append(shipments.send(house.db, [house.part(10, 13)], "Fair", OPERATOR, NOW).recipient)
        except EngineError as error:
            told.append(error.code)

    threads = [threading.Thread(target=send) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(told) == ["Fair", "shipped_before", "shipped_before"]


def test_what_cannot_be_shipped_is_refused_and_nothing_is(house: Warehouse) -> None:
    db = house.db
    lifecycle.damage(db, card_id=house.cards[16].id, reason="torn", actor=OPERATOR, now=NOW)
    beyond = Range(house.cards[-1].id, house.cards[-1].id + 1)
    for ranges, error, code in (
        ([], InvalidInput, "no_ranges"),
        ([house.part(20, 22), house.part(22, 23)], InvalidInput, "ranges_overlap"),
        ([house.part(at, at) for at in range(51)], InvalidInput, "too_many_ranges"),
        ([house.part(20, 20), house.part(15, 17)], Conflict, "cards_unfit"),
        ([beyond], NotFound, "cards_not_found"),
    ):
        with pytest.raises(error, match=code):
            shipments.send(db, ranges, "Fair", OPERATOR, NOW)
        with pytest.raises(error, match=code):
            shipments.packing(db, ranges)
    with pytest.raises(InvalidInput, match="empty"):
        shipments.send(db, [house.part(20, 20)], " ", OPERATOR, NOW)
    with pytest.raises(NotFound, match="reseller_not_found"):
        shipments.send(db, [house.part(20, 20)], None, OPERATOR, NOW, reseller_id=999)
    with pytest.raises(NotFound, match="reseller_not_found"):
        shipments.send(db, [house.part(20, 20)], "Fair", OPERATOR, NOW, reseller_id=999)
    with pytest.raises(InvalidInput, match="too_long"):
        shipments.send(db, [house.part(20, 20)], "Fair", OPERATOR, NOW, note="x" * 501)
    assert scenes.facts(db, house.cards[20]).shipped_at is None


def test_a_reseller_sees_its_own_shipments_only(house: Warehouse) -> None:
    sent = shipments.send(house.db, [house.part(24, 25)], None, OPERATOR, NOW, reseller_id=house.shops[0])
    other = house.people[1]
    assert shipments.shipments(house.db, other).shipments == ()
    with pytest.raises(NotFound, match="shipment_not_found"):
        shipments.shipment(house.db, sent.id, other)
    with pytest.raises(NotFound, match="shipment_not_found"):
        shipments.receive(house.db, sent.id, other, NOW)
    page = shipments.shipments(house.db, OPERATOR, limit=1)
    assert page.shipments[0].id == sent.id
    assert page.older == sent.id
    assert sent.id not in [
        one.id for one in shipments.shipments(house.db, OPERATOR, before=page.older).shipments
    ]
