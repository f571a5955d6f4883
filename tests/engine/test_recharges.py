"""Recharges and adjustments by an operator: what they post, whom they refuse, and that each counts once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select, text

from engine.cards import lifecycle
from engine.cards.status import end_of_day, status_of
from engine.db import Database
from engine.errors import Conflict, ConsentNeeded, InvalidInput, NotFound, Refused
from engine.funds.bonus import add_rule as add_bonus
from engine.funds.recharges import MOST, Adjusted, Recharged, adjust, consent_facts, recharge
from engine.schema import AuditRow, CardEvent, LedgerEntry, Payment
from engine.vault import Vault
from tests import scenes
from tests.proof import scaled
from tests.scenes import NOW, OPERATOR, USD, Line, TestCard, facts


@pytest.fixture
def card(db: Database, vault: Vault) -> TestCard:
    return scenes.card(db, vault, "5.00")


def pay(
    db: Database, card: TestCard, amount: str = "2.00", bonus: str | None = "0", **more: Any
) -> Recharged:
    """With `bonus` None the rules say how much it is."""
    given: dict[str, Any] = {
        "bonus": None if bonus is None else USD(bonus),
        "actor": OPERATOR,
        "now": NOW,
        **more,
    }
    return recharge(db, card_id=card.id, amount=USD(amount), **given)


def correct(db: Database, card: TestCard, amount: str, **more: Any) -> Adjusted:
    given: dict[str, Any] = {"actor": OPERATOR, "now": NOW, "reason": "A mistake", **more}
    return adjust(db, card_id=card.id, amount=USD(amount), **given)


def entries(db: Database, card: TestCard) -> list[tuple[str, str, int, int]]:
    with db.begin() as session:
        rows = session.scalars(
            select(LedgerEntry).where(LedgerEntry.card_id == card.id).order_by(LedgerEntry.id)
        )
        return [(row.kind, row.account, row.amount, row.balance_after) for row in rows]


def count(db: Database, table: type) -> int:
    with db.begin() as session:
        return len(session.scalars(select(table)).all())


# --- recharge ---


def test_a_recharge_with_a_bonus_is_one_payment_and_two_entries(db: Database, card: TestCard) -> None:
    done = pay(db, card, "10.00", "1.50", reason="At the counter")
    assert (done.serial, done.amount, done.bonus) == (card.serial, USD("10"), USD("1.5"))
    assert (done.balance, done.currency, done.expires_at) == (USD("16.5"), "USD", None)
    assert entries(db, card)[1:] == [
        ("recharge", "sales", USD("10"), USD("15")),
        ("bonus", "bonus", USD("1.5"), USD("16.5")),
    ]
    with db.begin() as session:
        payment = session.scalars(select(Payment)).one()
        assert (payment.id, payment.method, payment.amount, payment.bonus) == (
            done.payment_id,
            "operator",
            USD("10"),
            USD("1.5"),
        )
        posted = session.scalars(select(LedgerEntry).where(LedgerEntry.kind != "opening")).all()
        assert {entry.reference for entry in posted} == {f"payment:{payment.id}"}
        assert {(entry.actor, entry.reason) for entry in posted} == {("staff:1", "At the counter")}


def test_a_recharge_leaves_an_audit_row_and_a_line_on_the_timeline(db: Database, card: TestCard) -> None:
    done = pay(db, card, "2.00", reason="At the counter")
    with db.begin() as session:
        row = session.scalars(select(AuditRow).where(AuditRow.action == "card.recharge")).one()
        event = session.scalars(select(CardEvent).where(CardEvent.kind == "recharge")).one()
    assert (row.subject, row.actor, row.actor_name) == (f"card:{card.serial}", "staff:1", "Operator")
    assert (row.reason, row.data["amount"], row.data["payment"]) == (
        "At the counter",
        USD("2"),
        done.payment_id,
    )
    assert (event.card_id, event.actor, event.data["amount"]) == (card.id, "staff:1", USD("2"))
    assert card.number not in str(row.data) + str(event.data)


def test_an_empty_card_is_active_again_and_an_unused_one_stays_unused(db: Database, vault: Vault) -> None:
    empty = scenes.card(db, vault, "0")
    assert status_of(facts(db, empty), NOW) == "empty"
    pay(db, empty)
    assert status_of(facts(db, empty), NOW) == "unused"


def test_the_same_key_and_facts_get_the_first_answer(db: Database, card: TestCard) -> None:
    first = pay(db, card, "2.00", "0.50", key="counter-7")
    pay(db, card, "1.00", key="counter-8")
    again = pay(db, card, "2.00", "0.50", key="counter-7", now=NOW + timedelta(days=1))
    assert again == first
    assert (first.repeated, first.balance, first.balance_now) == (False, USD("7.5"), USD("7.5"))
    assert (again.repeated, again.balance, again.balance_now) == (True, USD("7.5"), USD("8.5"))
    assert facts(db, card).balance == USD("8.5")
    assert count(db, Payment) == 2


def test_the_same_key_with_other_facts_is_a_conflict(db: Database, vault: Vault) -> None:
    card, other = scenes.batch(db, vault, 2)
    pay(db, card, "2.00", key="counter-7")
    for who, amount, bonus in ((card, "2.01", "0"), (card, "2.00", "0.10"), (other, "2.00", "0")):
        with pytest.raises(Conflict, match="key_reused"):
            pay(db, who, amount, bonus, key="counter-7")
    with pytest.raises(Conflict, match="key_reused"):
        pay(db, card, "2.00", key="counter-7", reason="Another one")
    assert (facts(db, card).balance, facts(db, other).balance) == (USD("7"), USD("5"))


def test_a_key_is_known_as_long_as_its_payment_is(db: Database, card: TestCard) -> None:
    pay(db, card, key="counter-7")
    correct(db, card, "-1.00", key="desk-1")
    with db.begin() as session:
        session.execute(text("DELETE FROM idempotent_request"))
    with pytest.raises(Conflict, match="key_reused"):
        pay(db, card, key="counter-7")
    with pytest.raises(Conflict, match="key_reused"):
        correct(db, card, "-1.00", key="desk-1")
    assert facts(db, card).balance == USD("6")


@pytest.mark.parametrize("key", ["x" * 256, "line\nbreak", "\0", "\ud800"])
def test_a_key_must_be_a_short_visible_text(db: Database, card: TestCard, key: str) -> None:
    with pytest.raises(InvalidInput, match="bad_idempotency_key"):
        pay(db, card, key=key)


def test_two_recharges_at_once_both_count_and_a_double_click_counts_once(
    db: Database, card: TestCard
) -> None:
    turns = scaled(500, 25)
    keys = [f"key-{turn}" for turn in range(turns) for _ in range(2)]
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda key: pay(db, card, "0.01", key=key), keys))
    assert len({one.payment_id for one in done}) == turns
    assert all(done[at] == done[at + 1] for at in range(0, 2 * turns, 2))
    assert facts(db, card).balance == USD("5") + turns * USD("0.01")


@pytest.mark.parametrize("state", ["damaged", "locked", "not_activated", "voucher_not_allowed", "expired"])
def test_a_card_that_takes_no_recharge_says_why_and_nothing_is_left_of_it(
    db: Database, vault: Vault, state: str
) -> None:
    card = scenes.card(db, vault, "5.00", **_order_for(state))
    _bring_into(db, card, state)
    with pytest.raises(Refused) as refused:
        pay(db, card, key="counter-7")
    assert (refused.value.code, refused.value.data["serial"]) == (state, card.serial)
    assert facts(db, card).balance == USD("5")
    assert count(db, Payment) == 0
    assert scenes.kept_requests(db) == []  # the key is free for the next try


def _order_for(state: str) -> dict[str, Any]:
    orders: dict[str, dict[str, Any]] = {
        "not_activated": {"release": "activation"},
        "voucher_not_allowed": {"kind": "voucher", "deck": None},
        "expired": {"validity_from": "generation", "validity_days": 1},
    }
    return orders.get(state, {})


def _bring_into(db: Database, card: TestCard, state: str) -> None:
    if state == "expired":
        with db.begin() as session:
            session.execute(
                text("UPDATE card SET expires_at = :now WHERE id = :id"), {"id": card.id, "now": NOW}
            )
    elif state in ("damaged", "locked"):
        change = lifecycle.damage if state == "damaged" else lifecycle.lock
        change(db, card_id=card.id, reason="Stolen", actor=OPERATOR, now=NOW)


def test_a_card_of_a_batch_that_is_not_ready_takes_no_recharge(db: Database, card: TestCard) -> None:
    with db.begin() as session:
        session.execute(text("UPDATE batch SET ready_at = NULL"))
    with pytest.raises(Refused, match="not_activated"):
        pay(db, card)


def test_there_must_be_a_card_and_an_amount(db: Database, card: TestCard) -> None:
    with pytest.raises(NotFound, match="card_not_found"):
        recharge(db, card_id=card.id + 1, amount=1, actor=OPERATOR, now=NOW)
    for amount, bonus, code in (
        (0, 0, "amount_too_small"),
        (-1, 0, "negative"),
        (1, -1, "negative"),
        (MOST + 1, 0, "amount_too_large"),
        (MOST, 0, "amount_too_large"),  # with what is on the card
        (1.5, 0, "not_a_number"),
    ):
        with pytest.raises(InvalidInput) as refused:
            recharge(db, card_id=card.id, amount=amount, bonus=bonus, actor=OPERATOR, now=NOW)  # type: ignore[arg-type]
        assert refused.value.code == code
    assert facts(db, card).balance == USD("5")


# --- a second person's consent ---


def test_a_recharge_over_the_limit_needs_a_second_persons_consent_to_exactly_that(
    db: Database, card: TestCard
) -> None:
    scenes.setting(db, "consent_recharge_over", 10)
    assert pay(db, card, "9.00", "1.00").balance == USD("15")
    for amount, bonus in (("10.01", "0"), ("10.00", "0.01")):
        with pytest.raises(ConsentNeeded) as needed:
            pay(db, card, amount, bonus)
        assert needed.value.data["action"] == "card.recharge"
    wanted = consent_facts(USD("50"), USD("0"), "USD")
    about: dict[str, Any] = {"action": "card.recharge", "subject": f"card:{card.serial}", "facts": wanted}
    scenes.consented(db, ConsentNeeded("consent_needed", **about))
    with pytest.raises(ConsentNeeded):
        pay(db, card, "51.00")
    assert pay(db, card, "50.00", key="big").balance == USD("65")
    assert pay(db, card, "50.00", key="big").repeated
    with pytest.raises(ConsentNeeded):
        pay(db, card, "50.00", key="again")
    assert facts(db, card).balance == USD("65")


def test_a_bonus_that_the_rules_give_counts_towards_the_limit(db: Database, card: TestCard) -> None:
    scenes.setting(db, "consent_recharge_over", 10)
    add_bonus(db, name="Present", currency="USD", fixed=USD("1000"), actor=OPERATOR, now=NOW)
    with pytest.raises(ConsentNeeded) as needed:
        pay(db, card, "9.00", bonus=None)
    assert needed.value.data["facts"] == consent_facts(USD("9"), USD("1000"), "USD")
    scenes.consented(db, needed.value)
    assert pay(db, card, "9.00", bonus=None).balance == USD("1014")
    assert pay(db, card, "9.00", bonus="0").balance == USD("1023")


def test_what_was_consented_to_is_the_bonus_that_is_given(db: Database, card: TestCard) -> None:
    scenes.setting(db, "consent_recharge_over", 10)
    with pytest.raises(ConsentNeeded) as needed:
        pay(db, card, "11.00", bonus=None)
    scenes.consented(db, needed.value)
    add_bonus(db, name="Present", currency="USD", fixed=USD("1000"), actor=OPERATOR, now=NOW)
    with pytest.raises(ConsentNeeded):
        pay(db, card, "11.00", bonus=None)


def test_an_adjustment_upwards_is_as_large_as_a_recharge(db: Database, card: TestCard) -> None:
    scenes.setting(db, "consent_recharge_over", 10)
    asked: dict[str, Any] = {"card_id": card.id, "reason": "x", "actor": OPERATOR, "now": NOW}
    assert adjust(db, amount=USD("10"), **asked).balance == USD("15")
    with pytest.raises(ConsentNeeded) as needed:
        adjust(db, amount=USD("5000"), **asked)
    assert needed.value.data == {
        "action": "card.adjust",
        "subject": f"card:{card.serial}",
        "facts": {"amount": USD("5000"), "currency": "USD"},
    }
    scenes.consented(db, needed.value)
    assert adjust(db, amount=USD("5000"), key="right", **asked).balance == USD("5015")
    assert adjust(db, amount=USD("5000"), key="right", **asked).repeated
    assert adjust(db, amount=-USD("5000"), **asked).balance == USD("15")


def test_the_key_of_a_recharge_is_kept_as_its_own(db: Database, card: TestCard) -> None:
    done = pay(db, card, key="till-1")
    with db.begin() as session:
        assert session.get_one(Payment, done.payment_id).idempotency_key == "recharge:till-1"


# --- reactivation ---

DHAKA = ZoneInfo("Asia/Dhaka")


def _expired(db: Database, vault: Vault, **order: Any) -> tuple[TestCard, datetime]:
    """A card that expired yesterday, in Dhaka."""
    scenes.setting(db, "zone", "Asia/Dhaka")
    terms = {
        "validity_from": "generation",
        "validity_days": 1,
        "grace_days": 5,
        "extension_days": 30,
        **order,
    }
    card = scenes.card(db, vault, "5.00", now=NOW - timedelta(days=2), **terms)
    expires_at = facts(db, card).expires_at
    assert expires_at == datetime(2026, 11, 19, 18, 0, tzinfo=UTC)
    return card, expires_at


def test_a_recharge_within_grace_lets_an_expired_card_live_again_to_the_end_of_a_day_of_the_operator(
    db: Database, vault: Vault
) -> None:
    card, before = _expired(db, vault)
    assert status_of(facts(db, card), NOW) == "expired"
    done = pay(db, card, key="counter-7")
    # 30 days after 20 November in Dhaka: the 20 December is its last day.
    assert done.expires_at == end_of_day(datetime(2026, 12, 20, tzinfo=DHAKA).date(), DHAKA)
    assert done.expires_at == datetime(2026, 12, 20, 18, 0, tzinfo=UTC) == facts(db, card).expires_at
    assert status_of(facts(db, card), NOW) == "unused"
    with db.begin() as session:
        event = session.scalars(select(CardEvent).where(CardEvent.kind == "reactivate")).one()
    assert event.data == {"before": before.isoformat(), "expires_at": done.expires_at.isoformat()}
    assert pay(db, card, key="counter-7") == done


def test_reactivation_ends_with_the_grace(db: Database, vault: Vault) -> None:
    card, _ = _expired(db, vault)
    grace_ends = datetime(2026, 11, 24, 18, 0, tzinfo=UTC)
    with pytest.raises(Refused, match="expired"):
        pay(db, card, now=grace_ends)
    pay(db, card, now=grace_ends - timedelta(microseconds=1))


@pytest.mark.parametrize("order", [{"extension_days": None}, {"grace_days": 0}])
def test_an_expired_card_whose_batch_does_not_allow_it_stays_expired(
    db: Database, vault: Vault, order: dict[str, Any]
) -> None:
    card, before = _expired(db, vault, **order)
    with pytest.raises(Refused, match="expired"):
        pay(db, card)
    assert facts(db, card).expires_at == before


def test_a_recharge_of_a_valid_card_does_not_touch_its_validity(db: Database, vault: Vault) -> None:
    card, before = _expired(db, vault)
    assert pay(db, card, now=before - timedelta(hours=1)).expires_at == before
    assert facts(db, card).expires_at == before


# --- adjustment ---


def test_an_adjustment_moves_a_balance_up_and_down_with_a_reason(db: Database, card: TestCard) -> None:
    up = correct(db, card, "0.000001", reason="  Paid \n twice ")
    down = correct(db, card, "-5.000001")
    assert (up.balance, down.balance, down.currency) == (USD("5.000001"), 0, "USD")
    assert entries(db, card)[1:] == [
        ("adjustment", "adjustment", 1, USD("5.000001")),
        ("adjustment", "adjustment", USD("-5.000001"), 0),
    ]
    with db.begin() as session:
        rows = session.scalars(
            select(AuditRow).where(AuditRow.action == "card.adjust").order_by(AuditRow.id)
        ).all()
    assert [(row.reason, row.data["amount"]) for row in rows] == [
        ("Paid twice", 1),
        ("A mistake", USD("-5.000001")),
    ]
    assert count(db, Payment) == 0  # no money changed hands


def test_an_adjustment_never_takes_what_a_call_holds(db: Database, vault: Vault) -> None:
    scenes.deck(db, {"880": "0.30"})
    card = scenes.card(db, vault, "5.00")
    Line(db, vault, scenes.switch(db)).open(card, one_shot=False)  # a slice of ten minutes
    with pytest.raises(Refused, match="insufficient_balance"):
        correct(db, card, "-2.000001")
    assert correct(db, card, "-2.00").balance == USD("3") == facts(db, card).held


def test_a_repeated_adjustment_counts_once_and_another_with_its_key_is_a_conflict(
    db: Database, vault: Vault
) -> None:
    card, other = scenes.batch(db, vault, 2)
    first = correct(db, card, "-1.00", key="desk-1")
    assert correct(db, card, "-1.00", key="desk-1") == first
    for who, amount, reason in (
        (card, "-1.01", "A mistake"),
        (other, "-1.00", "A mistake"),
        (card, "-1.00", "Another"),
    ):
        with pytest.raises(Conflict, match="key_reused"):
            correct(db, who, amount, key="desk-1", reason=reason)
    assert (facts(db, card).balance, facts(db, other).balance) == (USD("4"), USD("5"))


def test_a_damaged_card_may_still_be_adjusted(db: Database, card: TestCard) -> None:
    lifecycle.damage(db, card_id=card.id, reason="Stolen", actor=OPERATOR, now=NOW)
    assert correct(db, card, "-5.00").balance == 0


def test_a_redeemed_voucher_never_gets_value_again(db: Database, vault: Vault, card: TestCard) -> None:
    voucher = scenes.vouchers(db, vault)[0]
    correct(db, voucher, "1.00")
    Line(db, vault, scenes.switch(db)).redeem(card, voucher)
    with pytest.raises(Refused, match="voucher_used"):
        correct(db, voucher, "1.00")
    assert facts(db, card).balance == USD("11")


@pytest.mark.parametrize(
    ("amount", "reason", "code"),
    [
        ("0", "A mistake", "amount_zero"),
        ("1", " ", "reason_missing"),
        ("1", "x" * 501, "too_long"),
        ("1", "a\0b", "control_character"),
    ],
)
def test_an_adjustment_needs_an_amount_and_a_reason(
    db: Database, card: TestCard, amount: str, reason: str, code: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        correct(db, card, amount, reason=reason)
    assert refused.value.code == code
