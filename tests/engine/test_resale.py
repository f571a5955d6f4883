"""Resale: whose stock it is, what it costs whom and when, and what comes back; by races and by hand."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from engine.actor import Actor
from engine.cards import authentication, lifecycle
from engine.db import Database
from engine.errors import Conflict, Forbidden, InvalidInput, NotFound, Refused
from engine.funds import accounts
from engine.funds.recharges import adjust
from engine.funds.transfers import transfer
from engine.people import resellers
from engine.refusal import Refusal
from engine.stock import custody, moves, resale
from engine.stock.custody import Range
from engine.stock.moves import Resold
from engine.stock.stockviews import moves_of, stock_of
from engine.vault import Vault
from tests import scenes
from tests.engine.test_races import at_once, meanwhile
from tests.proof import scaled
from tests.scenes import NOW, OPERATOR, USD, TestCard, facts

LATER = NOW + timedelta(days=1)
PRICE = USD("4.375")
"""5.00 less 12.5 %."""


@dataclass(frozen=True)
class Shop:
    """A reseller with an account, and somebody at its till."""

    id: int
    account_id: int
    till: Actor


def shop(db: Database, name: str = "Bazaar", credit: str = "100", discount_bp: int = 1250) -> Shop:
    one = resellers.add_reseller(db, name, OPERATOR, NOW, discount_bp=discount_bp)
    account = accounts.open_account(
        db, name=name, kind="reseller", currency="USD", reseller_id=one.id, actor=OPERATOR, now=NOW
    )
    if USD(credit):
        accounts.deposit(db, account_id=account.id, amount=USD(credit), actor=OPERATOR, now=NOW)
    return Shop(one.id, account.id, Actor("reseller", 10 + one.id, f"{name}'s clerk", "clerk", one.id))


def span(cards: list[TestCard]) -> Range:
    return Range(cards[0].id, cards[-1].id)


def stocked(db: Database, vault: Vault, owner: Shop, count: int = 10, **order: Any) -> list[TestCard]:
    """Cards held back until activated, in the hands of a reseller."""
    order = {"release": "activation", **order}
    cards = scenes.batch(db, vault, count, **order)
    resale.assign(db, span(cards), OPERATOR, NOW, reseller_id=owner.id)
    return cards


def rows(db: Database, query: str, **values: Any) -> list[Any]:
    with db.begin() as session:
        return list(session.execute(text(query), values))


def credit(db: Database, owner: Shop) -> int:
    return rows(db, "SELECT balance FROM account WHERE id = :id", id=owner.account_id)[0].balance


def told(db: Database, kind: str) -> list[Any]:
    return rows(db, "SELECT * FROM card_event WHERE kind = :kind ORDER BY id", kind=kind)


# --- assigning ---


def test_a_range_is_given_to_a_reseller_with_a_document(db: Database, vault: Vault) -> None:
    owner, cards = shop(db), scenes.batch(db, vault, 10)
    done = resale.assign(db, span(cards[2:5]), OPERATOR, NOW, reseller_id=owner.id, reason="First delivery")
    assert (done.changed, done.left, done.batches, done.amount) == (3, 0, ("Batch 000000",), 0)
    assert [facts(db, card).reseller_id for card in cards[1:6]] == [None, *[owner.id] * 3, None]
    again = resale.assign(db, span(cards), OPERATOR, LATER, reseller_id=owner.id)
    assert (again.changed, again.left, again.why) == (7, 3, {"assigned": 3})
    lines = told(db, "assign")
    assert [line.card_id for line in lines[:3]] == [card.id for card in cards[2:5]]
    assert len(lines) == 10
    assert lines[0].data == {"move": done.move, "reseller": owner.id, "reason": "First delivery"}
    documents = moves_of(db, owner.id).moves
    assert [(one.kind, one.cards, one.amount) for one in documents] == [("assign", 7, 0), ("assign", 3, 0)]
    stock = stock_of(db, owner.id)
    assert [(line.batch, line.cards, line.held_back, line.charged) for line in stock] == [
        ("Batch 000000", 10, 0, 0)
    ]
    audit = rows(db, "SELECT * FROM audit WHERE action = 'stock.assign' ORDER BY id")[0]
    assert audit.subject == f"cards:{cards[2].serial}-{cards[4].serial}"
    assert (audit.data["changed"], audit.data["reseller"]) == (3, "Bazaar")


def test_what_is_used_sold_charged_or_anothers_is_left_and_said_why(db: Database, vault: Vault) -> None:
    owner, other = shop(db), shop(db, "Corner Shop")
    cards = scenes.batch(db, vault, 7)
    line = scenes.Line(db, vault, scenes.switch(db))
    line.authenticate(cards[0])
    adjust(db, card_id=cards[1].id, amount=-1, reason="x", actor=OPERATOR, now=NOW)
    lifecycle.damage(db, card_id=cards[2].id, reason="x", actor=OPERATOR, now=NOW)
    custody.mark_sold(db, span(cards[3:4]), OPERATOR, NOW)
    resale.assign(db, span(cards[4:6]), OPERATOR, NOW, reseller_id=other.id)
    resale.sell(db, span(cards[5:6]), other.till, NOW)
    done = resale.assign(db, span(cards), OPERATOR, NOW, reseller_id=owner.id)
    assert (done.changed, done.why) == (1, {"used": 2, "damaged": 1, "sold": 1, "other_reseller": 2})
    moved = resale.assign(db, span(cards), OPERATOR, LATER, reseller_id=owner.id, transfer=True)
    assert (moved.changed, moved.why["charged"], moved.why["assigned"]) == (1, 1, 1)
    assert facts(db, cards[4]).reseller_id == owner.id
    documents = [(one.kind, one.cards) for one in moves_of(db, other.id).moves]
    assert documents == [("unassign", 1), ("sell", 1), ("assign", 2)]
    assert told(db, "assign")[-1].data["before"] == other.id


def test_stock_is_taken_back_while_it_was_not_charged(db: Database, vault: Vault) -> None:
    owner = shop(db)
    cards = stocked(db, vault, owner, 4)
    resale.activate(db, span(cards[:1]), owner.till, NOW)
    done = resale.unassign(db, span(cards), OPERATOR, NOW)
    assert (done.changed, done.why) == (3, {"charged": 1})
    assert [facts(db, card).reseller_id for card in cards] == [owner.id, None, None, None]
    assert resale.unassign(db, span(cards[1:]), OPERATOR, NOW).why == {"unassigned": 3}
    other = shop(db, "Corner Shop")
    resale.assign(db, span(cards[1:]), OPERATOR, NOW, reseller_id=other.id)
    assert resale.unassign(db, span(cards[1:]), OPERATOR, NOW, reseller_id=owner.id).why == {
        "other_reseller": 3
    }


def test_nothing_is_given_to_a_disabled_reseller_but_stock_is_taken_back(db: Database, vault: Vault) -> None:
    owner = shop(db)
    cards = stocked(db, vault, owner, 3)
    resale.sell(db, span(cards[:1]), owner.till, NOW)
    resellers.disable_reseller(db, owner.id, OPERATOR, NOW)
    for act in (resale.activate, resale.sell, resale.give_back):
        with pytest.raises(Conflict, match="reseller_disabled"):
            act(db, span(cards), owner.till, NOW)
    with pytest.raises(Conflict, match="reseller_disabled"):
        resale.assign(db, span(cards), OPERATOR, NOW, reseller_id=owner.id)
    with pytest.raises(Conflict, match="reseller_disabled"):
        resale.sell(db, span(cards), OPERATOR, NOW, reseller_id=owner.id)
    done = resale.give_back(db, span(cards), OPERATOR, NOW, reseller_id=owner.id, to_operator=True)
    assert (done.changed, credit(db, owner)) == (3, USD("100"))


# --- activating and selling ---


def test_a_card_is_charged_once_at_its_activation_or_its_sale(db: Database, vault: Vault) -> None:
    owner = shop(db)
    cards = stocked(db, vault, owner)
    done = resale.activate(db, span(cards[:4]), owner.till, NOW)
    assert (done.changed, done.amount, done.currency) == (4, 4 * PRICE, "USD")
    assert done.balance == credit(db, owner) == USD("100") - 4 * PRICE
    sold = resale.sell(db, span(cards), owner.till, LATER)
    assert (sold.changed, sold.amount) == (10, 6 * PRICE)
    last = resale.activate(db, span(cards), owner.till, LATER)
    assert (last.changed, last.why, last.amount, last.balance) == (6, {"released": 4}, 0, None)
    assert credit(db, owner) == USD("100") - 10 * PRICE
    one = facts(db, cards[0])
    assert (one.activated_at, one.released_at, one.sold_at, one.reseller_price) == (NOW, NOW, LATER, PRICE)
    entries = rows(db, "SELECT * FROM account_entry WHERE kind = 'stock' ORDER BY id")
    assert [(e.amount, e.reference, e.actor) for e in entries] == [
        (-4 * PRICE, f"move:{done.move}", str(owner.till)),
        (-6 * PRICE, f"move:{sold.move}", str(owner.till)),
    ]
    assert [line.data.get("price") for line in told(db, "sell")] == [None] * 4 + [PRICE] * 6
    assert [(one.kind, one.amount, one.currency) for one in moves_of(db, owner.id).moves[:3]] == [
        ("activate", 0, None),
        ("sell", 6 * PRICE, "USD"),
        ("activate", 4 * PRICE, "USD"),
    ]


def test_staff_neither_sell_nor_release_a_resellers_stock_past_its_account(
    db: Database, vault: Vault
) -> None:
    owner = shop(db)
    cards = stocked(db, vault, owner, 4)
    resale.sell(db, span(cards[:1]), owner.till, NOW)
    resale.activate(db, span(cards[1:2]), owner.till, NOW)
    marked = custody.mark_sold(db, span(cards), OPERATOR, LATER)
    assert (marked.changed, marked.why) == (1, {"sold": 1, "resellers_stock": 2})
    activated = custody.activate(db, span(cards), OPERATOR, LATER)
    assert (activated.changed, activated.why) == (1, {"released": 1, "resellers_stock": 2})
    audit = rows(db, "SELECT data FROM audit WHERE action = 'cards.sold'")[0]
    assert audit.data == {"changed": 1, "left": 3, "why": {"sold": 1, "resellers_stock": 2}}
    assert [facts(db, card).released_at for card in cards] == [LATER, NOW, None, None]
    assert resale.sell(db, span(cards), owner.till, LATER).amount == 2 * PRICE


def test_what_is_released_or_marked_sold_already_is_charged_all_the_same(db: Database, vault: Vault) -> None:
    owner = shop(db)
    cards = stocked(db, vault, owner, 4, release="generation")
    with db.begin() as session:  # as if the operator had marked them before they were the reseller's
        session.execute(text("UPDATE card SET sold_at = :now"), {"now": NOW})
    sold = resale.sell(db, span(cards[:2]), owner.till, LATER)
    assert (sold.changed, sold.amount) == (2, 2 * PRICE)
    activated = resale.activate(db, span(cards), owner.till, LATER)
    assert (activated.changed, activated.why, activated.amount) == (2, {"released": 2}, 2 * PRICE)
    assert resale.sell(db, span(cards), owner.till, LATER).why == {"sold": 4}
    assert credit(db, owner) == USD("100") - 4 * PRICE
    # A fact that stood keeps its time.
    times = [(facts(db, card).sold_at, facts(db, card).released_at) for card in cards]
    assert times == [(NOW, NOW)] * 4


def test_an_activated_card_works_and_a_sold_one_waits_for_its_activation(db: Database, vault: Vault) -> None:
    owner = shop(db)
    cards = stocked(db, vault, owner, 2)
    resale.sell(db, span(cards), owner.till, NOW)
    line = scenes.Line(db, vault, scenes.switch(db))
    assert line.authenticate(cards[0]) == Refusal("not_activated", serial=cards[0].serial)
    resale.activate(db, span(cards[:1]), owner.till, NOW)
    assert not isinstance(line.authenticate(cards[0]), Refusal)


@pytest.mark.parametrize(
    ("denomination", "discount_bp", "price"),
    [
        ("5.00", 0, "5.00"),
        ("5.00", 10_000, "0"),
        ("9.99", 333, "9.657333"),
        ("0.000001", 5_000, "0.000001"),  # half a millionth is rounded up
        ("0.000003", 5_001, "0.000001"),
        ("123456789.99", 1, "123444444.311001"),
    ],
)
def test_the_price_is_the_face_value_less_the_discount(
    db: Database, vault: Vault, denomination: str, discount_bp: int, price: str
) -> None:
    owner = shop(db, credit="1000000000", discount_bp=discount_bp)
    card = stocked(db, vault, owner, 1, denomination=denomination)[0]
    done = resale.activate(db, span([card]), owner.till, NOW)
    assert done.amount == facts(db, card).reseller_price == USD(price)
    assert credit(db, owner) == USD("1000000000") - USD(price)
    assert resale.give_back(db, span([card]), owner.till, NOW).amount == -USD(price)
    assert credit(db, owner) == USD("1000000000")


def test_a_price_that_was_paid_stays_when_the_discount_changes(db: Database, vault: Vault) -> None:
    owner = shop(db)
    cards = stocked(db, vault, owner, 2)
    resale.sell(db, span(cards[:1]), owner.till, NOW)
    resellers.change_reseller(db, owner.id, OPERATOR, NOW, discount_bp=0)
    assert resale.activate(db, span(cards), owner.till, NOW).amount == USD("5")
    assert resale.give_back(db, span(cards), owner.till, NOW).amount == -(PRICE + USD("5"))


def test_cards_that_cannot_be_sold_are_left_and_cost_nothing(db: Database, vault: Vault) -> None:
    owner = shop(db)
    cards = stocked(db, vault, owner, 4, validity_from="generation", validity_days=10)
    lifecycle.damage(db, card_id=cards[0].id, reason="x", actor=OPERATOR, now=NOW)
    lifecycle.lock(db, card_id=cards[1].id, reason="x", actor=OPERATOR, now=NOW)
    done = resale.sell(db, span(cards), owner.till, NOW)
    assert (done.changed, done.why, done.amount) == (2, {"damaged": 1, "locked": 1}, 2 * PRICE)
    late = NOW + timedelta(days=30)
    expired = resale.activate(db, span(cards), owner.till, late)
    assert (expired.changed, expired.why, expired.move) == (0, {"damaged": 1, "expired": 3}, None)
    assert rows(db, "SELECT count(*) AS n FROM audit WHERE action = 'stock.activate'")[0].n == 1


def test_where_the_credit_does_not_suffice_nothing_happens(db: Database, vault: Vault) -> None:
    owner = shop(db, credit="20")
    cards = stocked(db, vault, owner, 5)
    for act in (resale.activate, resale.sell):
        with pytest.raises(Refused, match="account_exhausted"):
            act(db, span(cards), owner.till, NOW, key="k")
    assert facts(db, cards[0]).reseller_price is None
    assert resale.activate(db, span(cards[:4]), owner.till, NOW, key="k").changed == 4
    accounts.change_account(db, account_id=owner.account_id, credit_limit=USD("5"), actor=OPERATOR, now=NOW)
    resale.sell(db, span(cards), owner.till, NOW)
    assert credit(db, owner) == USD("20") - 5 * PRICE < 0


def test_without_an_account_nothing_is_sold(db: Database, vault: Vault) -> None:
    one = resellers.add_reseller(db, "Bazaar", OPERATOR, NOW)
    cards = scenes.batch(db, vault, 2)
    resale.assign(db, span(cards), OPERATOR, NOW, reseller_id=one.id)
    with pytest.raises(Conflict, match="no_reseller_account") as refusal:
        resale.sell(db, span(cards), OPERATOR, NOW, reseller_id=one.id)
    assert refusal.value.data == {"name": "Bazaar", "currency": "USD"}


def test_a_range_in_two_currencies_is_refused(db: Database, vault: Vault) -> None:
    owner = shop(db)
    dollars = scenes.batch(db, vault, 2, name="Dollars")
    euros = scenes.batch(db, vault, 2, name="Euros", currency="EUR", deck="In euros")
    whole = Range(dollars[0].id, euros[-1].id)
    assert resale.assign(db, whole, OPERATOR, NOW, reseller_id=owner.id).batches == ("Dollars", "Euros")
    with pytest.raises(Conflict, match="mixed_currencies"):
        resale.sell(db, whole, owner.till, NOW)
    with pytest.raises(Conflict, match="no_reseller_account"):
        resale.sell(db, span(euros), owner.till, NOW)


def test_imported_cards_cost_what_they_were_born_with(db: Database, vault: Vault) -> None:
    owner = shop(db)
    cards = stocked(db, vault, owner, 2)
    with db.begin() as session:
        session.execute(text("UPDATE batch SET imported = true, denomination = 0"))
    assert resale.sell(db, span(cards), owner.till, NOW).amount == 2 * PRICE


def test_the_same_key_counts_once(db: Database, vault: Vault) -> None:
    owner = shop(db)
    cards = stocked(db, vault, owner)
    first = resale.activate(db, span(cards[:3]), owner.till, NOW, key="till-1")
    again = resale.activate(db, span(cards[:3]), owner.till, LATER, key="till-1")
    assert (again, again.repeated, first.repeated) == (first, True, False)
    with pytest.raises(Conflict, match="key_reused"):
        resale.activate(db, span(cards[:4]), owner.till, NOW, key="till-1")
    assert credit(db, owner) == USD("100") - 3 * PRICE
    with db.begin() as session:
        session.execute(text("DELETE FROM idempotent_request"))
    with pytest.raises(Conflict, match="key_reused"):
        resale.activate(db, span(cards[4:5]), owner.till, LATER, key="till-1")


def test_keys_of_two_resellers_do_not_meet(db: Database, vault: Vault) -> None:
    one, other = shop(db), shop(db, "Corner Shop")
    ours, theirs = stocked(db, vault, one, 2), stocked(db, vault, other, 2, name="Theirs")
    assert resale.activate(db, span(ours), one.till, NOW, key="1").changed == 2
    assert resale.activate(db, span(theirs), other.till, NOW, key="1").changed == 2


# --- own stock only ---


def test_anothers_serial_does_not_exist(db: Database, vault: Vault) -> None:
    owner, other = shop(db), shop(db, "Corner Shop")
    theirs = stocked(db, vault, other, 3)
    nobodys = scenes.batch(db, vault, 3, name="Nobody's")
    unknown = Range(nobodys[-1].id + 1, nobodys[-1].id + 3)
    for act in (resale.activate, resale.sell, resale.give_back):
        answers = []
        for cards in (span(theirs), span(nobodys), unknown):
            with pytest.raises(NotFound) as refusal:
                act(db, cards, owner.till, NOW)
            answers.append((refusal.value.code, refusal.value.data))
            # Asking as if one were the other reseller changes nothing.
            with pytest.raises(NotFound, match="cards_not_found"):
                act(db, cards, owner.till, NOW, reseller_id=other.id)
        assert answers == [("cards_not_found", {"count": 3})] * 3
    own = stocked(db, vault, owner, 2, name="Own")
    with pytest.raises(NotFound, match="cards_not_found"):
        resale.sell(db, Range(nobodys[-1].id, own[-1].id), owner.till, NOW)
    assert credit(db, owner) == credit(db, other) == USD("100")
    assert rows(db, "SELECT count(*) AS n FROM card WHERE sold_at IS NOT NULL")[0].n == 0


def test_a_batch_that_is_not_ready_does_not_exist_for_its_reseller(db: Database, vault: Vault) -> None:
    owner = shop(db)
    cards = stocked(db, vault, owner, 2)
    with db.begin() as session:
        session.execute(text("UPDATE batch SET ready_at = NULL"))
    with pytest.raises(NotFound, match="cards_not_found"):
        resale.sell(db, span(cards), owner.till, NOW)
    with pytest.raises(Conflict, match="batch_not_ready"):
        resale.sell(db, span(cards), OPERATOR, NOW, reseller_id=owner.id)


def test_staff_act_for_the_reseller_they_name_and_are_told_what_is_not_its(
    db: Database, vault: Vault
) -> None:
    owner, other = shop(db), shop(db, "Corner Shop")
    cards = stocked(db, vault, owner, 2)
    with pytest.raises(InvalidInput, match="reseller_unnamed"):
        resale.activate(db, span(cards), OPERATOR, NOW)
    with pytest.raises(Conflict, match="not_their_stock") as refusal:
        resale.activate(db, span(cards), OPERATOR, NOW, reseller_id=other.id)
    assert refusal.value.data == {"count": 2, "name": "Corner Shop"}
    assert resale.activate(db, span(cards), OPERATOR, NOW, reseller_id=owner.id).amount == 2 * PRICE
    with pytest.raises(NotFound, match="reseller_not_found"):
        resale.activate(db, span(cards), OPERATOR, NOW, reseller_id=99)


def test_clerks_do_not_assign_and_support_does_not_sell(db: Database, vault: Vault) -> None:
    owner = shop(db)
    cards = stocked(db, vault, owner, 2)
    support = Actor("staff", 5, "Support", "support")
    with pytest.raises(Forbidden):
        resale.assign(db, span(cards), owner.till, NOW, reseller_id=owner.id)
    with pytest.raises(Forbidden):
        resale.unassign(db, span(cards), owner.till, NOW)
    with pytest.raises(Forbidden):
        resale.sell(db, span(cards), support, NOW, reseller_id=owner.id)


# --- returning ---


def test_what_nobody_used_comes_back_for_its_price(db: Database, vault: Vault) -> None:
    owner = shop(db)
    cards = stocked(db, vault, owner, 5)
    resale.activate(db, span(cards[:4]), owner.till, NOW)
    resale.sell(db, span(cards[:4]), owner.till, NOW)
    line = scenes.Line(db, vault, scenes.switch(db))
    line.authenticate(cards[0])
    done = resale.give_back(db, span(cards), owner.till, LATER, reason="Unsold")
    assert (done.changed, done.why, done.amount) == (3, {"used": 1, "not_sold": 1}, -3 * PRICE)
    assert done.balance == credit(db, owner) == USD("100") - PRICE
    back = facts(db, cards[1])
    assert (back.sold_at, back.activated_at, back.released_at, back.reseller_price) == (None,) * 4
    assert back.reseller_id == owner.id
    assert line.authenticate(cards[1]) == Refusal("not_activated", serial=cards[1].serial)
    entry = rows(db, "SELECT * FROM account_entry WHERE kind = 'return'")[0]
    assert (entry.amount, entry.reference, entry.reason) == (3 * PRICE, f"move:{done.move}", "Unsold")
    assert [line.data["price"] for line in told(db, "return")] == [PRICE] * 3
    # And may be sold again.
    assert resale.sell(db, span(cards[1:4]), owner.till, LATER).amount == 3 * PRICE


def test_an_undo_takes_back_what_one_press_charged_and_nothing_else(db: Database, vault: Vault) -> None:
    owner = shop(db)
    cards = stocked(db, vault, owner, 6)
    resale.activate_and_sell(db, span(cards[:2]), owner.till, NOW, key="last week")
    both = resale.activate_and_sell(db, span(cards[:5]), owner.till, NOW, key="today")
    press = [one.move or 0 for one in both]
    # Returned and sold once more since: that is another sale.
    resale.give_back(db, span(cards[4:5]), owner.till, NOW)
    resale.activate_and_sell(db, span(cards[4:5]), owner.till, NOW, key="again")
    # Marked as sold since, and charged by the press all the same.
    undone = resale.give_back(db, span(cards), owner.till, LATER, undoes=press, key="undo")
    assert (undone.changed, undone.why) == (2, {"not_sold": 1, "other_press": 3})
    assert undone.amount == -2 * PRICE
    assert [facts(db, card).sold_at is not None for card in cards] == [True, True, False, False, True, False]
    assert resale.give_back(db, span(cards), owner.till, LATER, undoes=press).changed == 0

    activated = resale.activate(db, span(cards[5:]), owner.till, NOW)
    sold = resale.sell(db, span(cards[5:]), owner.till, NOW)
    for moves_of_one in ([activated.move], [sold.move]):
        left = resale.give_back(
            db, span(cards[5:]), owner.till, NOW, undoes=[one or 0 for one in moves_of_one]
        )
        assert left.why == {"other_press": 1}, "sold since, or charged before"


def test_a_locked_card_costs_nothing(db: Database, vault: Vault) -> None:
    owner = shop(db)
    cards = stocked(db, vault, owner, 2)
    lifecycle.lock(db, card_id=cards[0].id, actor=OPERATOR, now=NOW, reason="Lost")
    activated, sold = resale.activate_and_sell(db, span(cards), owner.till, NOW, key="both")
    assert (activated.why, sold.why, activated.amount) == ({"locked": 1}, {"locked": 1}, PRICE)


def test_what_was_charged_and_came_back_is_held_back_until_it_is_sold_again(
    db: Database, vault: Vault
) -> None:
    owner = shop(db)
    cards = stocked(db, vault, owner, 3, release="generation")
    resale.sell(db, span(cards), owner.till, NOW)
    assert resale.give_back(db, span(cards[:2]), owner.till, NOW).changed == 2
    assert resale.give_back(db, span(cards[2:]), owner.till, NOW, to_operator=True).changed == 1
    back = facts(db, cards[2])
    assert (back.released_at, back.reseller_id, back.sold_at) == (None, None, None)
    assert told(db, "return")[2].data["reseller"] == owner.id
    line = scenes.Line(db, vault, scenes.switch(db))
    assert line.authenticate(cards[0]) == Refusal("not_activated", serial=cards[0].serial)
    again = resale.sell(db, span(cards[:1]), owner.till, LATER)
    activated = resale.activate(db, span(cards[1:2]), owner.till, LATER)
    assert (again.amount, activated.amount) == (PRICE, PRICE)
    assert [facts(db, card).released_at for card in cards] == [LATER, LATER, None]
    assert custody.activate(db, span(cards[2:]), OPERATOR, LATER).changed == 1


def test_a_sale_releases_nothing_that_was_charged_and_held_back_since(db: Database, vault: Vault) -> None:
    owner = shop(db)
    cards = stocked(db, vault, owner, 1, release="generation")
    resale.activate(db, span(cards), owner.till, NOW)
    custody.hold_back(db, span(cards), OPERATOR, NOW)
    assert resale.sell(db, span(cards), owner.till, LATER).changed == 1
    assert facts(db, cards[0]).released_at is None


def test_stock_that_was_never_charged_comes_back_as_it_is(db: Database, vault: Vault) -> None:
    owner = shop(db)
    cards = stocked(db, vault, owner, 2, release="generation")
    assert resale.give_back(db, span(cards), owner.till, NOW, to_operator=True).amount == 0
    assert [facts(db, card).released_at for card in cards] == [NOW, NOW]


def went_and_came_back(db: Database, cards: list[TestCard]) -> None:
    """All value of the first card goes to the second, and as much back."""
    transfer(db, from_id=cards[0].id, to_id=cards[1].id, actor=OPERATOR, now=NOW)
    transfer(db, from_id=cards[1].id, to_id=cards[0].id, amount=USD("5"), actor=OPERATOR, now=NOW)


def test_a_card_whose_value_went_and_came_back_is_used(db: Database, vault: Vault) -> None:
    owner = shop(db)
    cards = stocked(db, vault, owner, 3)
    resale.activate(db, span(cards), owner.till, NOW)
    went_and_came_back(db, cards)
    assert [(facts(db, card).balance, facts(db, card).first_used_at) for card in cards] == [
        (USD("5"), None)
    ] * 3
    done = resale.give_back(db, span(cards), owner.till, NOW)
    assert (done.changed, done.why, done.amount) == (1, {"used": 2}, -PRICE)
    assert custody.hold_back(db, span(cards), OPERATOR, NOW).why == {"used": 2, "held_back": 1}


def test_a_card_whose_value_went_and_came_back_changes_hands_no_more(db: Database, vault: Vault) -> None:
    owner, other = shop(db), shop(db, "Corner Shop")
    cards = stocked(db, vault, owner, 3, release="generation")
    went_and_came_back(db, cards)
    moved = resale.assign(db, span(cards), OPERATOR, NOW, reseller_id=other.id, transfer=True)
    assert (moved.changed, moved.why) == (1, {"used": 2})
    taken = resale.unassign(db, span(cards), OPERATOR, NOW)
    assert (taken.changed, taken.why) == (1, {"used": 2})


@pytest.mark.parametrize("fact", ["recharged", "adjusted"])
def test_a_card_that_value_came_onto_is_used(db: Database, vault: Vault, fact: str) -> None:
    owner = shop(db)
    cards = stocked(db, vault, owner, 1)
    resale.activate(db, span(cards), owner.till, NOW)
    if fact == "recharged":
        resale.recharge(db, card_id=cards[0].id, amount=USD("1"), actor=owner.till, now=NOW)
    for amount in (-USD("1"),) if fact == "recharged" else (-1, 1):
        adjust(db, card_id=cards[0].id, amount=amount, reason="x", actor=OPERATOR, now=NOW)
    assert facts(db, cards[0]).balance == USD("5")
    assert resale.give_back(db, span(cards), owner.till, NOW).why == {"used": 1}


def test_a_card_in_a_call_is_not_returned(db: Database, vault: Vault) -> None:
    owner = shop(db)
    cards = stocked(db, vault, owner, 2, first_use="answered_call")
    resale.activate(db, span(cards), owner.till, NOW)
    line = scenes.Line(db, vault, scenes.switch(db))
    line.open(cards[0])
    assert resale.give_back(db, span(cards), owner.till, NOW).why == {"in_call": 1}
    line.end(seconds=0)
    assert resale.give_back(db, span(cards), owner.till, NOW).changed == 1


# --- recharging ---


def test_a_customers_card_is_recharged_from_the_resellers_credit(db: Database, vault: Vault) -> None:
    owner = shop(db)
    card = stocked(db, vault, owner, 1)[0]
    resale.activate(db, span([card]), owner.till, NOW)
    more = {"card_id": card.id, "amount": USD("10"), "key": "1", "actor": owner.till}
    done = resale.recharge(db, now=NOW, **more)
    assert (done.amount, done.balance, done.currency) == (USD("10"), USD("15"), "USD")
    again = resale.recharge(db, now=LATER, **more)
    assert (again, again.repeated) == (done, True)
    assert credit(db, owner) == USD("90") - PRICE
    payment = rows(db, "SELECT * FROM payment")[0]
    assert (payment.method, payment.account_id, payment.actor) == (
        "reseller",
        owner.account_id,
        str(owner.till),
    )
    with pytest.raises(Conflict, match="key_reused"):
        resale.recharge(db, now=NOW, **{**more, "amount": 1})
    audit = rows(db, "SELECT * FROM audit WHERE action = 'stock.recharge'")
    assert [row.subject for row in audit] == [f"card:{card.serial}"]


def test_only_own_cards_are_recharged_and_only_as_far_as_the_credit_goes(db: Database, vault: Vault) -> None:
    owner, other = shop(db), shop(db, "Corner Shop")
    ours, theirs = stocked(db, vault, owner, 1)[0], stocked(db, vault, other, 1, name="Theirs")[0]
    asked = {"amount": USD("10"), "actor": owner.till, "now": NOW}
    with pytest.raises(Refused, match="not_activated"):
        resale.recharge(db, card_id=ours.id, **asked)
    resale.activate(db, span([ours]), owner.till, NOW)
    for stranger in (theirs.id, 1):
        with pytest.raises(NotFound, match="card_not_found") as refusal:
            resale.recharge(db, card_id=stranger, **asked)
        assert refusal.value.data == {}
    with pytest.raises(Refused, match="account_exhausted"):
        resale.recharge(db, card_id=ours.id, **{**asked, "amount": USD("96")})
    with pytest.raises(InvalidInput, match="amount_too_small"):
        resale.recharge(db, card_id=ours.id, **{**asked, "amount": 0})
    resellers.disable_reseller(db, owner.id, OPERATOR, NOW)
    with pytest.raises(Conflict, match="reseller_disabled"):
        resale.recharge(db, card_id=ours.id, **asked)
    assert credit(db, owner) == USD("100") - PRICE


# --- races ---


def test_eight_tills_never_spend_more_than_the_credit(db: Database, vault: Vault) -> None:
    owner = shop(db, credit="43.75")  # ten cards
    count = scaled(400, 80)
    cards = stocked(db, vault, owner, count)

    def till(racer: int) -> int:
        sold = 0
        for card in cards[racer::8]:
            act = resale.activate if card.id % 2 else resale.sell
            with suppress(Refused):
                sold += act(db, span([card]), owner.till, NOW).changed
        return sold

    assert sum(at_once(till, 8)) == 10
    assert credit(db, owner) == 0
    assert rows(db, "SELECT count(*) AS n FROM card WHERE reseller_price IS NOT NULL")[0].n == 10


def test_many_tills_that_activate_and_sell_one_range_pay_for_it_once(db: Database, vault: Vault) -> None:
    owner = shop(db, credit="1000")
    cards = stocked(db, vault, owner, 50)

    def till(racer: int) -> Resold:
        act = resale.activate if racer % 2 else resale.sell
        return act(db, span(cards), owner.till, NOW)

    done = at_once(till, 8)
    assert sum(one.amount for one in done) == 50 * PRICE
    assert sorted(one.changed for one in done) == [0] * 6 + [50] * 2
    assert credit(db, owner) == USD("1000") - 50 * PRICE


def test_the_same_key_at_once_counts_once(db: Database, vault: Vault) -> None:
    owner = shop(db)
    cards = stocked(db, vault, owner, 5)
    done = at_once(lambda racer: resale.sell(db, span(cards), owner.till, NOW, key="k"), 8)
    assert len({one.move for one in done}) == 1
    assert sum(not one.repeated for one in done) == 1
    assert credit(db, owner) == USD("100") - 5 * PRICE


def test_overlapping_ranges_of_sales_and_returns_leave_the_account_right(db: Database, vault: Vault) -> None:
    owner = shop(db, credit="1000")
    cards = stocked(db, vault, owner, 30)

    def till(racer: int) -> None:
        for turn in range(scaled(40, 6)):
            first = (racer * 7 + turn * 5) % 20
            act = resale.give_back if (racer + turn) % 3 == 0 else resale.sell
            act(db, span(cards[first : first + 10]), owner.till, NOW)

    at_once(till, 8)
    charged = rows(db, "SELECT coalesce(sum(reseller_price), 0) AS n FROM card")[0].n
    assert credit(db, owner) == USD("1000") - charged
    documents = rows(db, "SELECT sum(amount) AS n FROM stock_move")[0].n
    assert documents == charged


@pytest.mark.parametrize("winner", ["use", "return"])
def test_a_return_against_a_first_use_at_the_same_instant(db: Database, vault: Vault, winner: str) -> None:
    owner = shop(db)
    cards = stocked(db, vault, owner, 1)
    resale.activate(db, span(cards), owner.till, NOW)
    line = scenes.Line(db, vault, scenes.switch(db))

    def give_back() -> Resold:
        return resale.give_back(db, span(cards), owner.till, NOW)

    if winner == "use":
        with meanwhile(moves, "lock_range", lambda: line.authenticate(cards[0])):
            done = give_back()
        assert (done.changed, done.why) == (0, {"used": 1})
        assert credit(db, owner) == USD("100") - PRICE
        return
    # The card was read as released, and came back before its first use was noted: that is noted no more.
    with meanwhile(authentication, "admit", give_back):
        line.authenticate(cards[0])
    assert facts(db, cards[0]).first_used_at is None
    assert line.authenticate(cards[0]) == Refusal("not_activated", serial=cards[0].serial)
    assert credit(db, owner) == USD("100")
