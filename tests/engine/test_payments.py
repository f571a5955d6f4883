"""The search of payments, against the same question asked of every payment in Python."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select

from engine.cards.serials import card_id_of
from engine.config import Keys
from engine.db import Database
from engine.errors import EngineError, InvalidInput, NotFound
from engine.funds import accounts, bonus, recharges
from engine.people import resellers
from engine.reports import payments
from engine.reports.payments import PaymentFilter
from engine.schema import Card, Payment
from engine.stock import custody, resale
from engine.vault import Vault
from tests import scenes
from tests.conftest import Clones
from tests.scenes import NOW, OPERATOR, USD, Line

UTC_ZONE = ZoneInfo("UTC")
DHAKA = ZoneInfo("Asia/Dhaka")


@pytest.fixture(scope="module")
def shop(clones: Clones, keys: Keys) -> Iterator[Database]:
    """Sixty payments of all kinds over three days, many of them at the same instant."""
    url = clones.make()
    db = Database(url)
    vault = Vault(keys)
    _fill(db, vault)
    yield db
    db.close()
    clones.drop(url)


def _fill(db: Database, vault: Vault) -> None:
    cards = scenes.batch(db, vault, 6, name="May")
    more = scenes.batch(db, vault, 4, name="June")
    held = scenes.batch(db, vault, 2, name="Stock")
    vouchers = scenes.vouchers(db, vault, 8, "2.00")
    bonus.add_rule(db, name="Ten", currency="USD", percent_bp=1000, least=USD("5"), actor=OPERATOR, now=NOW)
    dealer = resellers.add_reseller(db, "Corner", OPERATOR, NOW)
    till = accounts.open_account(
        db, name="Till", kind="reseller", currency="USD", reseller_id=dealer.id, actor=OPERATOR, now=NOW
    )
    accounts.deposit(db, account_id=till.id, amount=USD("500"), actor=OPERATOR, now=NOW)
    resale.assign(db, custody.Range(held[0].id, held[1].id), OPERATOR, NOW, reseller_id=dealer.id)
    boss = scenes.second_person(db)
    dice = random.Random(7)
    line = Line(db, vault, scenes.switch(db))
    for turn in range(52):
        at = NOW + timedelta(hours=dice.randrange(72) // 3 * 3)
        card = dice.choice([*cards, *more])
        if turn % 7 == 0:
            line.now = at
            line.redeem(card, vouchers.pop(), key=f"voucher-{turn}")
            continue
        recharges.recharge(
            db,
            card_id=card.id,
            amount=USD(dice.choice(("1", "2.50", "5", "10"))),
            key=f"pay-{turn}",
            reason="Paid at the counter",
            actor=dice.choice((OPERATOR, boss)),
            now=at,
        )


def everything(db: Database) -> list[Payment]:
    with db.begin() as session:
        return list(session.scalars(select(Payment).order_by(Payment.at.desc(), Payment.id.desc())))


def walked(db: Database, f: PaymentFilter, limit: int) -> list[int]:
    """The numbers of all payments of a filter, page after page."""
    found: list[int] = []
    place = None
    while True:
        page = payments.page(db, f, before=place, limit=limit)
        found += [row.id for row in page.rows]
        if page.older is None:
            return found
        place = page.older


def card_row(db: Database, card_id: int) -> Card:
    with db.begin() as session:
        return session.get_one(Card, card_id)


def batch_id(db: Database, name: str) -> int:
    found = payments.parse(db, UTC_ZONE, {"batch": name}).batch_id
    assert found is not None
    return found


CASES: dict[str, tuple[dict[str, str], Callable[[Database, Payment], Any]]] = {
    "all": ({}, lambda db, p: True),
    "method": ({"method": "voucher"}, lambda db, p: p.method == "voucher"),
    "batch": ({"batch": "May"}, lambda db, p: card_row(db, p.card_id).batch_id == batch_id(db, "May")),
    "who": ({"who": "boss"}, lambda db, p: p.actor == str(scenes.second_person(db))),
    "switch": ({"who": "ASTER"}, lambda db, p: p.actor.startswith("switch:")),
    "from": ({"at_from": "2026-11-21"}, lambda db, p: p.at >= NOW + timedelta(hours=12)),
    "to": ({"at_to": "2026-11-21"}, lambda db, p: p.at < NOW + timedelta(hours=36)),
    "minute": (
        {"at_from": "2026-11-21T12:00", "at_to": "2026-11-21T12:00"},
        lambda db, p: p.at == NOW + timedelta(1),
    ),
    "amounts": (
        {"amount_from": "2.50", "amount_to": "5"},
        lambda db, p: USD("2.50") <= p.amount <= USD("5"),
    ),
    "currency": ({"currency": "usd"}, lambda db, p: p.currency == "USD"),
    "none": ({"currency": "EUR"}, lambda db, p: p.currency == "EUR"),
    "both": (
        {"method": "operator", "amount_from": "10"},
        lambda db, p: p.method == "operator" and p.amount >= USD("10"),
    ),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("step", [payments.STEP, 3])
def test_each_filter_finds_what_it_says_at_any_page_size(
    shop: Database, monkeypatch: pytest.MonkeyPatch, case: str, step: int
) -> None:
    monkeypatch.setattr(payments, "STEP", step)
    monkeypatch.setattr(payments, "GATHERED", step)
    texts, fits = CASES[case]
    f = payments.parse(shop, UTC_ZONE, texts)
    expected = [one for one in everything(shop) if fits(shop, one)]
    for limit in (1, 7, 200):
        assert walked(shop, f, limit) == [one.id for one in expected]
    sums = payments.sums(shop, f)
    assert sums.whole
    assert sum(one.payments for one in sums.sums) == len(expected)
    assert sum(one.amount for one in sums.sums) == sum(one.amount for one in expected)
    assert sum(one.bonus for one in sums.sums) == sum(one.bonus for one in expected)
    assert payments.from_json(payments.to_json(f)) == f


def test_days_are_those_of_the_readers_zone(shop: Database) -> None:
    f = payments.parse(shop, DHAKA, {"at_from": "2026-11-21", "at_to": "2026-11-21"})
    begin = NOW + timedelta(hours=6)  # midnight in Dhaka is 18:00 in UTC
    expected = [one.id for one in everything(shop) if begin <= one.at < begin + timedelta(days=1)]
    assert expected
    assert walked(shop, f, 50) == expected


def test_a_voucher_is_found_by_its_card_and_by_its_own_serial(shop: Database) -> None:
    row = payments.page(shop, PaymentFilter(method="voucher"), limit=1).rows[0]
    assert row.voucher is not None
    for serial in (row.serial, row.voucher):
        f = payments.parse(shop, UTC_ZONE, {"serial": serial})
        expected = [one.id for one in everything(shop) if card_id_of(serial) in (one.card_id, one.voucher_id)]
        assert row.id in expected
        assert walked(shop, f, 50) == expected


def test_a_payment_says_all_that_it_belongs_to(shop: Database) -> None:
    rows = payments.page(shop, PaymentFilter(amount=(USD("10"), None)), limit=200).rows
    assert rows
    assert {row.bonus_rule for row in rows} == {"Ten"}
    assert all(row.bonus == row.amount // 10 for row in rows)
    assert {row.actor for row in rows} <= {"Clerk", "Boss"}
    assert payments.find(shop, rows[0].id) == rows[0]
    with pytest.raises(NotFound):
        payments.find(shop, 10**9)


def test_looking_stops_in_time_and_says_how_far_it_came(
    shop: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(payments, "STEP", 5)
    monkeypatch.setattr(payments, "PATIENCE_S", 0.0)
    page = payments.page(shop, PaymentFilter(method="voucher"), limit=50)
    assert page.partial
    assert page.older is not None
    seen = everything(shop)[:5]
    assert page.older == (seen[-1].at, seen[-1].id)
    assert [row.id for row in page.rows] == [one.id for one in seen if one.method == "voucher"]
    monkeypatch.setattr(payments, "SUMMED_S", 0.0)
    assert payments.sums(shop, PaymentFilter()).since == seen[-1].at


@pytest.mark.parametrize(
    ("texts", "field"),
    [
        ({"method": "cash"}, "method"),
        ({"serial": "1"}, "serial"),
        ({"batch": "Nobody"}, "batch"),
        ({"reseller": "Nobody"}, "reseller"),
        ({"account": "Nobody"}, "account"),
        ({"who": "Nobody at all"}, "who"),
        ({"at_from": "2026-02-30"}, "at_from"),
        ({"at_from": "2026-11-21", "at_to": "2026-11-20"}, "at_to"),
        ({"amount_from": "1,50"}, "amount_from"),
        ({"amount_from": "-5"}, "amount_from"),
        ({"amount_to": "NaN"}, "amount_to"),
        ({"currency": "dollars"}, "currency"),
    ],
)
def test_what_is_wrong_names_its_field(shop: Database, texts: dict[str, str], field: str) -> None:
    with pytest.raises(EngineError) as caught:
        payments.parse(shop, UTC_ZONE, texts)
    assert caught.value.data["field"] == field


def test_a_filter_that_nobody_wrote_is_refused(shop: Database) -> None:
    with pytest.raises(InvalidInput):
        payments.from_json({"password": "x"})
