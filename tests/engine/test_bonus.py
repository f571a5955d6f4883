"""Bonus rules: which one counts, what it gives to the cent, and where it is kept."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from engine.db import Database
from engine.errors import Conflict, InvalidInput, NotFound
from engine.funds import bonus
from engine.funds.bonus import RuleView, add_rule, disable_rule, list_rules, percentage, rule_named
from engine.funds.recharges import Recharged, recharge
from engine.funds.vouchers import Redeemed
from engine.schema import AuditRow, LedgerEntry, Payment
from engine.vault import Vault
from tests import scenes
from tests.scenes import NOW, OPERATOR, USD, Line, TestCard, facts

BY: dict[str, Any] = {"actor": OPERATOR, "now": NOW}


@pytest.fixture
def card(db: Database, vault: Vault) -> TestCard:
    return scenes.card(db, vault, "5.00")


def rule(db: Database, name: str = "Ten percent", **more: Any) -> RuleView:
    given: dict[str, Any] = {"currency": "USD", **BY, **more}
    if "percent_bp" not in more and "fixed" not in more:
        given["percent_bp"] = 1_000
    return add_rule(db, name=name, **given)


def pay(db: Database, card: TestCard, amount: str = "10.00", **more: Any) -> Recharged:
    return recharge(db, card_id=card.id, amount=USD(amount), **{**BY, **more})


@pytest.mark.parametrize(
    ("amount", "bp", "currency", "gift"),
    [
        ("10.00", 1_000, "USD", "1.00"),
        ("0.05", 1_000, "USD", "0.01"),  # half a cent, up
        ("0.049999", 1_000, "USD", "0.00"),
        ("9.99", 333, "USD", "0.33"),  # 0.332667
        ("10.01", 50, "USD", "0.05"),  # 0.05005
        ("1005", 1_000, "JPY", "101"),  # 100.5 yen, up
        ("1004.99", 1_000, "JPY", "100"),
        ("1.005", 1_000, "KWD", "0.101"),  # 0.1005
    ],
)
def test_a_percentage_is_rounded_half_up_to_the_smallest_unit(
    amount: str, bp: int, currency: str, gift: str
) -> None:
    assert percentage(USD(amount), bp, currency) == USD(gift)


def test_a_recharge_without_a_bonus_of_its_own_gets_the_rules(db: Database, card: TestCard) -> None:
    ten = rule(db)
    done = pay(db, card, "10.00")
    assert (done.bonus, done.balance) == (USD("1"), USD("16"))
    assert pay(db, card, bonus=0).bonus == 0
    assert pay(db, card, bonus=USD("3")).bonus == USD("3")
    with db.begin() as session:
        kept = session.scalars(select(Payment.bonus_rule_id).order_by(Payment.id)).all()
        entries = session.scalars(select(LedgerEntry).where(LedgerEntry.kind == "bonus")).all()
    assert kept == [ten.id, None, None]
    assert [(entry.account, entry.amount) for entry in entries] == [("bonus", USD("1")), ("bonus", USD("3"))]


def test_of_many_the_best_counts_alone_and_of_equals_the_oldest(db: Database, card: TestCard) -> None:
    rule(db, "Ten percent")
    fixed = rule(db, "Two", fixed=USD("2"))
    rule(db, "Two again", fixed=USD("2"))
    assert pay(db, card, "10.00").bonus == USD("2")
    assert pay(db, card, "30.00").bonus == USD("3")
    rule(db, "Both", percent_bp=500, fixed=USD("1.50"))
    assert pay(db, card, "10.00").bonus == USD("2")
    assert pay(db, card, "12.00").bonus == USD("2.10")
    with db.begin() as session:
        first = session.scalars(select(Payment).order_by(Payment.id)).first()
    assert first is not None
    assert first.bonus_rule_id == fixed.id


@pytest.mark.parametrize(
    ("terms", "gift"),
    [
        ({"least": USD("10.00")}, "1"),
        ({"least": USD("10.01")}, "0"),
        ({"currency": "EUR"}, "0"),
        ({"methods": ["operator"]}, "1"),
        ({"methods": ["voucher", "auto", "reseller"]}, "0"),
        ({"starts_at": NOW + timedelta(seconds=1)}, "0"),
        ({"starts_at": NOW - timedelta(days=2), "ends_at": NOW}, "0"),
        ({"starts_at": NOW - timedelta(days=2), "ends_at": NOW + timedelta(seconds=1)}, "1"),
        ({"first_only": True}, "1"),
    ],
)
def test_a_rule_counts_only_where_its_terms_hold(
    db: Database, card: TestCard, terms: dict[str, Any], gift: str
) -> None:
    rule(db, **terms)
    assert pay(db, card, "10.00").bonus == USD(gift)


def test_the_first_recharge_is_the_one_that_no_recharge_or_voucher_came_before(
    db: Database, vault: Vault, card: TestCard
) -> None:
    rule(db, first_only=True)
    line = Line(db, vault, scenes.switch(db))
    other = scenes.card(db, vault, "5.00", name="Others")
    first, second = scenes.vouchers(db, vault, 2, "10.00")
    assert line.redeem(other, first) == Redeemed(USD("11"), USD("16"), "USD", USD("1"))
    assert pay(db, other).bonus == 0
    assert pay(db, card, "20").bonus == USD("2")
    assert line.redeem(card, second, key="2") == Redeemed(USD("10"), USD("37"), "USD")
    assert line.redeem(card, second, key="2") == Redeemed(USD("10"), USD("37"), "USD")
    assert facts(db, card).balance == USD("37")


def test_a_disabled_rule_counts_no_more_and_is_still_listed(db: Database, card: TestCard) -> None:
    ten = rule(db)
    off = disable_rule(db, rule_id=ten.id, **BY)
    assert off.disabled_at == NOW
    assert disable_rule(db, rule_id=ten.id, actor=OPERATOR, now=NOW + timedelta(days=1)) == off
    assert pay(db, card).bonus == 0
    assert list_rules(db) == [off] == [rule_named(db, "Ten percent")]
    assert list_rules(db, disabled=False) == []
    with db.begin() as session:
        rows = session.scalars(select(AuditRow.action).where(AuditRow.action.like("bonus%"))).all()
    assert rows == ["bonus_rule.add", "bonus_rule.disable"]


def test_adding_the_same_rule_twice_adds_one(db: Database) -> None:
    assert rule(db) == rule(db)
    with pytest.raises(Conflict, match="name_taken"):
        rule(db, percent_bp=2_000)
    assert len(list_rules(db)) == 1


@pytest.mark.parametrize(
    ("terms", "code"),
    [
        ({"percent_bp": 0}, "bonus_missing"),
        ({"percent_bp": -1}, "negative"),
        ({"percent_bp": bonus.MOST_BP + 1}, "too_large"),
        ({"ends_at": NOW}, "bonus_backwards"),
        ({"methods": []}, "not_a_choice"),
        ({"methods": ["cash"]}, "not_a_choice"),
        ({"currency": "XYZ"}, "currency"),
        ({"name": " "}, "empty"),
    ],
)
def test_a_rule_that_cannot_be_is_refused(db: Database, terms: dict[str, Any], code: str) -> None:
    with pytest.raises(InvalidInput, match=code):
        rule(db, **terms)
    assert list_rules(db) == []


def test_there_must_be_such_a_rule(db: Database) -> None:
    with pytest.raises(NotFound, match="bonus_rule_not_found"):
        disable_rule(db, rule_id=1, **BY)
    with pytest.raises(NotFound, match="bonus_rule_not_found"):
        rule_named(db, "None")
