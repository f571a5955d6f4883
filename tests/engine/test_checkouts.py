"""Online payments: credited once however often and in whatever order the service tells of them, none forgotten."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import text

from engine import alarms
from engine.actor import Actor
from engine.cards import lifecycle
from engine.db import Database
from engine.errors import Conflict, InvalidInput, NotFound, Refused
from engine.funds import bonus, checkouts, recharges
from engine.funds.checkouts import CheckoutView
from engine.vault import Vault
from tests import scenes
from tests.scenes import NOW, OPERATOR, USD, Line, TestCard, facts

LATER = NOW + timedelta(minutes=5)


@pytest.fixture
def card(db: Database, vault: Vault) -> TestCard:
    return scenes.card(db, vault, "5.00")


def begin(db: Database, card: TestCard, amount: str = "10", key: str = "k") -> CheckoutView:
    holder = Actor("cardholder", card.id, card.serial)
    return checkouts.begin(
        db, card_id=card.id, amount=USD(amount), language="en", key=key, actor=holder, now=NOW
    )


def pay(db: Database, begun: CheckoutView, amount: str = "10", currency: str = "USD") -> CheckoutView | None:
    return checkouts.paid(
        db, begun.ref, provider_ref="cs_1", amount=USD(amount), currency=currency, now=LATER
    )


def balance(db: Database, card: TestCard) -> int:
    return facts(db, card).balance


def open_alarms(db: Database) -> list[str]:
    return [alarm.kind for alarm in alarms.open_alarms(db)]


def test_a_payment_is_credited_once_however_often_it_is_told(db: Database, card: TestCard) -> None:
    begun = begin(db, card)
    assert begun.state == "open"
    first, again = pay(db, begun), pay(db, begun)
    assert first is not None
    assert first.state == "credited"
    assert again == first
    assert balance(db, card) == USD("15")


def test_the_same_form_begins_one_payment(db: Database, card: TestCard) -> None:
    assert begin(db, card) == begin(db, card)
    with pytest.raises(Conflict, match="key_reused"):
        begin(db, card, "20")
    assert begin(db, card, key="another").ref != begin(db, card).ref


@pytest.mark.parametrize("amount", ["4.99", "100.01", "0.01"])
def test_an_amount_out_of_range_is_refused(db: Database, card: TestCard, amount: str) -> None:
    with pytest.raises(InvalidInput, match="amount_out_of_range"):
        begin(db, card, amount)


def test_a_card_that_takes_no_money_begins_no_payment(db: Database, card: TestCard) -> None:
    lifecycle.lock(db, card_id=card.id, reason="Lost", actor=OPERATOR, now=NOW)
    with pytest.raises(Refused, match="locked"):
        begin(db, card)


def test_another_cards_payment_is_nowhere(db: Database, vault: Vault, card: TestCard) -> None:
    other = scenes.batch(db, vault, 1, name="Other")[0]
    begun = begin(db, card)
    assert checkouts.find(db, card.id, begun.ref) == begun
    with pytest.raises(NotFound):
        checkouts.find(db, other.id, begun.ref)


def test_messages_that_race_credit_once(db: Database, card: TestCard) -> None:
    begun = begin(db, card)
    with ThreadPoolExecutor(6) as pool:
        told = list(pool.map(lambda _: pay(db, begun), range(12)))
    assert {view.payment_id for view in told if view} == {told[0].payment_id if told[0] else 0}
    assert balance(db, card) == USD("15")


@pytest.mark.parametrize(("amount", "currency"), [("9.99", "USD"), ("100", "USD"), ("10", "EUR")])
def test_what_we_did_not_ask_for_is_not_credited(
    db: Database, card: TestCard, amount: str, currency: str
) -> None:
    begun = begin(db, card)
    assert pay(db, begun, amount, currency) is None
    assert balance(db, card) == USD("5")
    assert open_alarms(db) == ["payment_unknown"]


def test_an_unknown_payment_is_told_to_the_operator(db: Database) -> None:
    assert checkouts.paid(db, "pay_x", provider_ref="cs_9", amount=USD("5"), currency="USD", now=NOW) is None
    assert open_alarms(db) == ["payment_unknown"]
    assert checkouts.refunded(db, "pay_x", USD("5"), "USD", NOW) is None


def test_one_that_was_given_up_counts_if_it_is_paid_late(db: Database, card: TestCard) -> None:
    begun = begin(db, card)
    checkouts.closed(db, begun.ref, NOW)
    assert checkouts.find(db, card.id, begun.ref).state == "closed"
    pay(db, begun)
    assert checkouts.find(db, card.id, begun.ref).state == "credited"
    checkouts.closed(db, begun.ref, LATER)
    assert checkouts.find(db, card.id, begun.ref).state == "credited"


def test_money_for_a_card_that_was_locked_meanwhile_is_owed_until_it_can_be_credited(
    db: Database, vault: Vault, card: TestCard
) -> None:
    begun = begin(db, card)
    lifecycle.lock(db, card_id=card.id, reason="Lost", actor=OPERATOR, now=NOW)
    owed = pay(db, begun)
    assert owed is not None
    assert (owed.state, owed.problem) == ("owed", "locked")
    assert open_alarms(db) == ["payment_not_credited"]
    assert checkouts.list_checkouts(db, owed=True)[0] == (owed,)
    with pytest.raises(Refused, match="locked"):
        checkouts.credit(db, ref=begun.ref, actor=OPERATOR, now=LATER)
    lifecycle.unlock(db, vault, card_id=card.id, actor=OPERATOR, now=LATER)
    assert checkouts.credit(db, ref=begun.ref, actor=OPERATOR, now=LATER).state == "credited"
    assert checkouts.credit(db, ref=begun.ref, actor=OPERATOR, now=LATER).state == "credited"
    assert balance(db, card) == USD("15")
    assert open_alarms(db) == []


def test_nothing_is_credited_that_was_not_paid(db: Database, card: TestCard) -> None:
    begun = begin(db, card)
    with pytest.raises(Conflict, match="payment_not_owed"):
        checkouts.credit(db, ref=begun.ref, actor=OPERATOR, now=LATER)
    with pytest.raises(NotFound):
        checkouts.credit(db, ref="pay_x", actor=OPERATOR, now=LATER)


# --- what goes back ---


def test_a_refund_takes_back_what_is_left_and_the_rest_is_the_operators_loss(
    db: Database, card: TestCard
) -> None:
    begun = begin(db, card)
    pay(db, begun)
    recharges.adjust(db, card_id=card.id, amount=-USD("9"), reason="Spent", actor=OPERATOR, now=LATER)
    checkouts.refunded(db, begun.ref, USD("10"), "USD", LATER)
    assert balance(db, card) == 0
    with db.begin() as session:
        kept = session.execute(text("SELECT amount, taken FROM refund")).one()
    assert tuple(kept) == (USD("10"), USD("6"))
    assert checkouts.find(db, card.id, begun.ref).state == "refunded"
    assert open_alarms(db) == ["refund_not_taken"], "somebody is told"


def test_a_refund_in_another_currency_takes_nothing_and_is_told(db: Database, card: TestCard) -> None:
    begun = begin(db, card)
    pay(db, begun)
    before = balance(db, card)
    assert checkouts.refunded(db, begun.ref, USD("10"), "EUR", LATER) is None
    assert balance(db, card) == before
    assert open_alarms(db) == ["payment_unknown"]


def test_a_payment_that_went_back_whole_before_it_came_is_not_credited(db: Database, card: TestCard) -> None:
    begun = begin(db, card)
    lifecycle.lock(db, card_id=card.id, reason="Lost", actor=OPERATOR, now=NOW)
    checkouts.refunded(db, begun.ref, USD("10"), "USD", LATER)
    pay(db, begun)
    assert balance(db, card) == USD("5")
    assert checkouts.find(db, card.id, begun.ref).state == "refunded"
    assert open_alarms(db) == []


def test_refunds_in_parts_count_once_each_and_take_their_share_of_the_bonus(
    db: Database, card: TestCard
) -> None:
    bonus.add_rule(db, name="Third", currency="USD", percent_bp=3333, actor=OPERATOR, now=NOW)
    begun = begin(db, card)
    pay(db, begun)
    assert balance(db, card) == USD("18.33")
    for total in ("3", "3", "10", "7"):  # the older of two messages may come later
        checkouts.refunded(db, begun.ref, USD(total), "USD", LATER)
    assert balance(db, card) == USD("5")
    with db.begin() as session:
        assert session.scalar(text("SELECT sum(bonus_taken) FROM refund")) == USD("3.33")


def test_a_refund_never_takes_what_a_live_call_holds(db: Database, vault: Vault) -> None:
    scenes.deck(db, {"880": "0.60"})
    card = scenes.batch(db, vault, 1, "5.00")[0]
    begun = begin(db, card)
    pay(db, begun)
    line = Line(db, vault, scenes.switch(db))
    line.open(card, ref="live")
    assert facts(db, card).held == USD("15"), "all of it"
    checkouts.refunded(db, begun.ref, USD("10"), "USD", LATER)
    assert balance(db, card) == USD("15")
    line.later(30).end("live", seconds=30)
    assert balance(db, card) == USD("14.7")


@pytest.mark.parametrize("order", list(itertools.permutations(("paid", "refunded", "closed", "paid")))[::2])
def test_the_order_of_messages_makes_no_difference(
    db: Database, card: TestCard, order: tuple[str, ...]
) -> None:
    begun = begin(db, card)
    tell = {
        "paid": lambda: pay(db, begun),
        "refunded": lambda: checkouts.refunded(db, begun.ref, USD("4"), "USD", LATER),
        "closed": lambda: checkouts.closed(db, begun.ref, LATER),
    }
    for message in order:
        tell[message]()
    assert balance(db, card) == USD("11")
    assert checkouts.find(db, card.id, begun.ref).state == "credited"


def test_what_went_back_before_it_could_be_credited_is_owed_no_more(db: Database, card: TestCard) -> None:
    begun = begin(db, card)
    lifecycle.damage(db, card_id=card.id, reason="Lost", actor=OPERATOR, now=NOW)
    pay(db, begun)
    checkouts.refunded(db, begun.ref, USD("10"), "USD", LATER)
    assert checkouts.find(db, card.id, begun.ref).state == "refunded"
    assert open_alarms(db) == []
    assert checkouts.list_checkouts(db, owed=True)[0] == ()
