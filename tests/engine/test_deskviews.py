"""What a till and the stock of a desk show: a card by its serial, a look before an act, ranges in the same state."""

from __future__ import annotations

from datetime import timedelta

import pytest

from engine.cards import lifecycle
from engine.db import Database
from engine.errors import Conflict, InvalidInput, NotFound, Refused
from engine.funds import accounts
from engine.funds.bonus import add_rule
from engine.people import resellers
from engine.stock import custody, deskstock, resale
from engine.stock.custody import Range
from engine.stock.deskviews import Told, card_at_till, look, look_recharge, scanned, scanned_range
from engine.vault import Vault
from tests import scenes
from tests.engine.test_resale import LATER, PRICE, credit, shop, span, stocked
from tests.scenes import NOW, OPERATOR, USD, facts


def test_a_scanned_serial_is_read_without_what_a_scanner_adds(db: Database, vault: Vault) -> None:
    owner = shop(db)
    serial = stocked(db, vault, owner, 1)[0].serial
    for typed in (f" {serial}\r\n", f"{serial}\t", f"{serial[:4]}-{serial[4:8]} {serial[8:]}"):
        assert scanned(typed) == serial
        assert card_at_till(db, typed, owner.id, NOW).serial == serial


def test_a_card_at_the_till_says_what_it_is_and_what_may_be_done(db: Database, vault: Vault) -> None:
    owner = shop(db)
    card = stocked(db, vault, owner, 1, name="May")[0]
    found = card_at_till(db, card.serial, owner.id, NOW)
    assert (found.batch, found.kind, found.state) == ("May", "calling", "held_back")
    assert (found.face, found.currency, found.price, found.charged) == (USD("5"), "USD", PRICE, False)
    assert (found.credit, found.missing, found.expires_at) == (USD("100"), 0, None)
    assert found.keeps_from == {
        "activate": None,
        "sell": None,
        "both": None,
        "return": "not_sold",
        "recharge": "not_activated",
    }
    assert card.number not in repr(found)

    resale.activate(db, span([card]), owner.till, NOW)
    found = card_at_till(db, card.serial, owner.id, NOW)
    assert (found.state, found.price, found.charged, found.sold) == ("activated", PRICE, True, None)
    assert found.activated is not None
    assert found.activated.at == NOW
    assert [act for act in found.keeps_from if found.can(act)] == ["sell", "return", "recharge"]

    resale.sell(db, span([card]), OPERATOR, LATER, reseller_id=owner.id)
    found = card_at_till(db, card.serial, owner.id, LATER)
    assert (found.state, found.sold) == ("sold", Told(LATER, "the operator"))
    assert [act for act in found.keeps_from if found.can(act)] == ["return", "recharge"]
    assert found.keeps_from["sell"] == "sold"

    scenes.Line(db, vault, scenes.switch(db)).authenticate(card)
    found = card_at_till(db, card.serial, owner.id, LATER)
    assert (found.state, found.keeps_from["return"]) == ("in_use", "used")


def test_anothers_card_and_a_mistyped_serial_are_no_cards(db: Database, vault: Vault) -> None:
    owner, other = shop(db), shop(db, "Corner Shop")
    theirs = stocked(db, vault, other, 2)
    nobodys = scenes.batch(db, vault, 1, name="Nobody's")[0]
    for serial in (theirs[0].serial, nobodys.serial):
        with pytest.raises(NotFound, match="card_not_found"):
            card_at_till(db, serial, owner.id, NOW)
        with pytest.raises(NotFound, match="card_not_found"):
            look_recharge(db, serial, USD("1"), owner.id, NOW)
        with pytest.raises(NotFound, match="cards_not_found"):
            look(db, "sell", scanned_range(serial, serial), owner.id, NOW)
    with pytest.raises(InvalidInput, match="bad_serial"):
        card_at_till(db, "123", owner.id, NOW)
    with pytest.raises(InvalidInput, match="bad_serial") as refusal:
        scanned_range(theirs[0].serial, "12345678901")
    assert refusal.value.data["field"] == "last"
    batch_id = facts(db, theirs[0]).batch_id
    assert deskstock.stock(db, owner.id, NOW).batches == ()
    assert deskstock.ranges(db, owner.id, batch_id, NOW).ranges == ()
    assert list(deskstock.serials(db, owner.id, batch_id, NOW)) == []
    with pytest.raises(NotFound, match="batch_not_found"):
        deskstock.batch_stock(db, owner.id, batch_id, NOW)


def test_a_look_costs_exactly_what_the_command_charges(db: Database, vault: Vault) -> None:
    owner = shop(db, discount_bp=333)
    cards = stocked(db, vault, owner, 8, denomination="9.99")
    lifecycle.damage(db, card_id=cards[0].id, reason="x", actor=OPERATOR, now=NOW)
    lifecycle.lock(db, card_id=cards[1].id, reason="x", actor=OPERATOR, now=NOW)
    resale.sell(db, span(cards[2:4]), owner.till, NOW)
    whole = span(cards)
    before = credit(db, owner)

    ahead = look(db, "both", whole, owner.id, NOW)
    assert [(step.kind, step.changed, step.why) for step in ahead.steps] == [
        ("activate", 6, {"damaged": 1, "locked": 1}),
        ("sell", 4, {"damaged": 1, "locked": 1, "sold": 2}),
    ]
    assert (ahead.cards, ahead.changed, ahead.credit, ahead.missing) == (8, 6, before, 0)
    activated, sold = resale.activate_and_sell(db, whole, owner.till, NOW, key="k")
    assert (activated.amount, sold.amount) == (ahead.amount, 0) == (4 * USD("9.657333"), 0)
    assert (activated.changed, sold.changed) == (6, 4)
    assert credit(db, owner) == ahead.credit_after
    again = resale.activate_and_sell(db, whole, owner.till, LATER, key="k")
    assert [one.repeated for one in again] == [True, True]

    scenes.Line(db, vault, scenes.switch(db)).authenticate(cards[4])
    ahead = look(db, "return", whole, owner.id, NOW)
    done = resale.give_back(db, whole, owner.till, NOW)
    (step,) = ahead.steps
    assert (step.changed, step.why, ahead.amount) == (done.changed, done.why, done.amount)
    assert credit(db, owner) == ahead.credit_after
    nothing = look(db, "return", span(cards[5:]), owner.id, NOW)
    assert (nothing.changed, nothing.amount, nothing.credit, nothing.credit_after) == (0, 0, None, None)


def test_a_look_says_how_much_credit_is_missing_and_raises_what_the_command_would(
    db: Database, vault: Vault
) -> None:
    owner = shop(db, credit="10")
    cards = stocked(db, vault, owner, 4)
    ahead = look(db, "activate", span(cards), owner.id, NOW)
    assert (ahead.missing, ahead.changed) == (4 * PRICE - USD("10"), 4)
    accounts.change_account(db, account_id=owner.account_id, credit_limit=USD("7"), actor=OPERATOR, now=NOW)
    assert look(db, "activate", span(cards), owner.id, NOW).missing == USD("0.5")
    assert card_at_till(db, cards[0].serial, owner.id, NOW).credit == USD("17")
    euros = scenes.batch(db, vault, 2, name="Euros", currency="EUR", deck="In euros", release="activation")
    resale.assign(db, span(euros), OPERATOR, NOW, reseller_id=owner.id)
    with pytest.raises(Conflict, match="no_reseller_account"):
        look(db, "sell", span(euros), owner.id, NOW)
    with pytest.raises(Conflict, match="mixed_currencies"):
        look(db, "sell", Range(cards[0].id, euros[-1].id), owner.id, NOW)
    assert card_at_till(db, euros[0].serial, owner.id, NOW).credit is None
    resellers.disable_reseller(db, owner.id, OPERATOR, NOW)
    with pytest.raises(Conflict, match="reseller_disabled"):
        look(db, "sell", span(cards), owner.id, NOW)


def test_a_look_at_a_recharge_says_bonus_balance_and_credit(db: Database, vault: Vault) -> None:
    owner = shop(db)
    card = stocked(db, vault, owner, 1)[0]
    with pytest.raises(Refused, match="not_activated"):
        look_recharge(db, card.serial, USD("1"), owner.id, NOW)
    resale.activate(db, span([card]), owner.till, NOW)
    add_rule(db, name="Ten", currency="USD", percent_bp=1000, methods=["reseller"], actor=OPERATOR, now=NOW)
    ahead = look_recharge(db, card.serial, USD("50"), owner.id, LATER)
    assert (ahead.bonus, ahead.balance, ahead.large, ahead.missing) == (USD("5"), USD("60"), False, 0)
    dear = look_recharge(db, card.serial, USD("100"), owner.id, LATER)
    assert (dear.large, dear.missing) == (True, PRICE)
    for amount in (0, 10**18):
        with pytest.raises(InvalidInput, match="amount_too"):
            look_recharge(db, card.serial, amount, owner.id, LATER)
    done = resale.recharge(db, card_id=card.id, amount=USD("50"), actor=owner.till, now=LATER)
    assert (done.bonus, done.balance) == (ahead.bonus, ahead.balance)
    assert credit(db, owner) == ahead.credit_after


def test_stock_is_shown_by_batch_and_by_ranges_in_the_same_state(db: Database, vault: Vault) -> None:
    owner, other = shop(db), shop(db, "Corner Shop")
    cards = scenes.batch(db, vault, 14, release="activation", name="May")
    resale.assign(db, span(cards[:12]), OPERATOR, NOW, reseller_id=owner.id)
    resale.assign(db, span(cards[12:]), OPERATOR, NOW, reseller_id=other.id)
    resale.unassign(db, span(cards[8:9]), OPERATOR, NOW)  # a hole in the range
    resale.activate(db, span(cards[2:5]), owner.till, NOW)
    resale.sell(db, span(cards[4:6]), owner.till, NOW)
    lifecycle.lock(db, card_id=cards[11].id, reason="x", actor=OPERATOR, now=NOW)
    scenes.Line(db, vault, scenes.switch(db)).authenticate(cards[3])
    june = stocked(db, vault, owner, 2, name="June", release="generation")

    page = deskstock.stock(db, owner.id, NOW)
    assert [(line.name, line.cards) for line in page.batches] == [("June", 2), ("May", 11)]
    assert page.older is None
    assert deskstock.stock(db, owner.id, NOW, before=page.batches[0].id).batches == page.batches[1:]
    may = deskstock.batch_stock(db, owner.id, page.batches[1].id, NOW)
    assert may == page.batches[1]
    assert (may.first_serial, may.last_serial) == (cards[0].serial, cards[11].serial)
    assert may.states == {
        "held_back": 6,
        "activated": 1,
        "waiting": 1,
        "sold": 1,
        "in_use": 1,
        "locked": 1,
    }
    found = deskstock.figures(db, owner.id, NOW)
    assert (found.on_the_shelf, found.held_back, found.ready, found.charged_this_month) == (8, 6, 2, 4)
    assert deskstock.figures(db, owner.id, NOW + timedelta(days=31)).charged_this_month == 0

    expected = [
        ("held_back", 0, 1),
        ("activated", 2, 2),
        ("in_use", 3, 3),
        ("sold", 4, 4),
        ("waiting", 5, 5),
        ("held_back", 6, 7),
        ("held_back", 9, 10),
        ("locked", 11, 11),
    ]
    told, after = [], None
    while True:
        one = deskstock.ranges(db, owner.id, may.id, NOW, after=after, limit=3)
        told += one.ranges
        after = one.after
        if after is None:
            break
    assert [(line.state, line.first_serial, line.last_serial, line.cards) for line in told] == [
        (state, cards[a].serial, cards[b].serial, b - a + 1) for state, a, b in expected
    ]
    held = deskstock.ranges(db, owner.id, may.id, NOW, state="held_back")
    assert [line.cards for line in held.ranges] == [2, 2, 2]

    lines = list(deskstock.serials(db, owner.id, may.id, NOW, state="held_back", cards=span(cards[1:])))
    assert [line.serial for line in lines] == [cards[at].serial for at in (1, 6, 7, 9, 10)]
    assert {(line.state, line.currency, line.denomination) for line in lines} == {
        ("held_back", "USD", USD("5"))
    }
    assert len(list(deskstock.serials(db, owner.id, may.id, NOW))) == 11
    assert len(june) == len(list(deskstock.serials(db, owner.id, page.batches[0].id, NOW, state="ready")))


def test_the_figures_of_a_month_are_those_of_its_documents(db: Database, vault: Vault) -> None:
    owner, october = shop(db), NOW - timedelta(days=30)
    released = scenes.batch(db, vault, 4, now=october, release="activation")
    custody.activate(db, span(released), OPERATOR, october)
    resale.assign(db, span(released), OPERATOR, NOW, reseller_id=owner.id)
    assert deskstock.figures(db, owner.id, NOW) == deskstock.Figures(4, 0, 4, 0)
    resale.sell(db, span(released), owner.till, NOW)
    resale.give_back(db, span(released[:1]), owner.till, NOW)
    assert deskstock.figures(db, owner.id, NOW) == deskstock.Figures(1, 1, 0, 3)

    old = stocked(db, vault, owner, 3, name="Old")
    resale.activate(db, span(old), owner.till, october)
    custody.hold_back(db, span(old), OPERATOR, NOW)
    held = deskstock.figures(db, owner.id, NOW)
    assert (held.on_the_shelf, held.charged_this_month) == (1, 3), "they were charged, in October"
    resale.activate(db, span(old), owner.till, NOW)
    assert deskstock.figures(db, owner.id, NOW).charged_this_month == 3


def test_a_till_names_nobody_of_another_reseller(db: Database, vault: Vault) -> None:
    one, two = shop(db, "Alpha"), shop(db, "Beta")
    cards = stocked(db, vault, one, 2)
    resale.activate(db, span(cards), one.till, NOW)
    resale.give_back(db, span(cards), OPERATOR, NOW, reseller_id=one.id, to_operator=True)
    custody.activate(db, span(cards[:1]), OPERATOR, LATER)
    resale.assign(db, span(cards), OPERATOR, LATER, reseller_id=two.id)
    assert card_at_till(db, cards[0].serial, two.id, LATER).activated == Told(LATER, "the operator")
    resale.activate(db, span(cards[1:]), two.till, LATER)
    told = card_at_till(db, cards[1].serial, two.id, LATER).activated
    assert told is not None
    assert told.by


def test_what_a_return_took_back_and_what_expired_is_told_apart(db: Database, vault: Vault) -> None:
    owner = shop(db)
    cards = stocked(db, vault, owner, 2, release="generation", validity_from="generation", validity_days=10)
    batch_id = facts(db, cards[0]).batch_id
    resale.sell(db, span(cards[:1]), owner.till, NOW)
    resale.give_back(db, span(cards[:1]), owner.till, NOW)
    states = deskstock.batch_stock(db, owner.id, batch_id, NOW).states
    assert states == {"held_back": 1, "ready": 1}
    late = NOW + timedelta(days=30)
    assert deskstock.batch_stock(db, owner.id, batch_id, late).states == {"expired": 2}
    found = card_at_till(db, cards[0].serial, owner.id, late)
    assert (found.keeps_from["activate"], found.keeps_from["sell"]) == ("expired", "expired")
    custody.mark_sold(db, span(cards), OPERATOR, NOW)
    assert deskstock.figures(db, owner.id, late).on_the_shelf == 0
