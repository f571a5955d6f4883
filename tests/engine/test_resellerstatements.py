"""What a reseller is told it sold, earned and owes, to the micro-unit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import text

from engine.actor import Actor
from engine.db import Database
from engine.errors import InvalidInput, NotFound
from engine.funds import accounts
from engine.people import resellerpeople, resellers
from engine.reports import resellerstatements as reports
from engine.reports.resellerstatements import Recharges, Sold
from engine.stock import resale
from engine.stock.custody import Range
from engine.vault import Vault
from tests import scenes
from tests.conftest import Clones
from tests.scenes import OPERATOR, USD

DHAKA = ZoneInfo("Asia/Dhaka")  # UTC+6
MAY = datetime(2026, 5, 10, 12, tzinfo=UTC)
JUNE = datetime(2026, 5, 31, 19, tzinfo=UTC)
"""In Dhaka the first of June, in London still May."""
LATER = datetime(2026, 6, 20, 12, tzinfo=UTC)


@dataclass
class World:
    """A reseller with two months of business."""

    db: Database
    id: int
    other: int
    account: int
    euros: int


@pytest.fixture(scope="module")
def world(clones: Clones, vault: Vault) -> Iterator[World]:
    url = clones.make()
    db = Database(url)
    shop = resellers.add_reseller(db, "Corner", OPERATOR, MAY, discount_bp=1250)
    other = resellers.add_reseller(db, "Harbour", OPERATOR, MAY)
    ids = [
        accounts.open_account(
            db, name=f"{one.name} {currency}", kind="reseller", currency=currency, reseller_id=one.id,
            credit_limit=USD("500"), actor=OPERATOR, now=MAY,
        ).id
        for one, currency in ((shop, "USD"), (shop, "EUR"), (other, "USD"))
    ]  # fmt: skip
    person = resellerpeople.add_person(db, shop.id, "corner", "Corner", "owner", None, OPERATOR, MAY)[0]
    till = Actor("reseller", person.id, person.name, "owner", shop.id)
    cards = scenes.batch(db, vault, 10, "10.00", name="Tens", release="activation", now=MAY)
    whole = Range(cards[0].id, cards[-1].id)
    part = lambda first, last: Range(cards[first].id, cards[last].id)  # noqa: E731
    accounts.deposit(db, account_id=ids[0], amount=USD("100"), actor=OPERATOR, now=MAY)
    resale.assign(db, whole, OPERATOR, MAY, reseller_id=shop.id)
    resale.activate(db, part(0, 3), till, MAY + timedelta(hours=1))
    resale.sell(db, part(2, 5), till, MAY + timedelta(days=1))
    resale.recharge(db, card_id=cards[0].id, amount=USD("3"), actor=till, now=JUNE)
    resale.give_back(db, part(4, 4), till, LATER)
    resale.activate(db, part(9, 9), till, LATER)
    accounts.adjust_account(db, account_id=ids[0], amount=-USD("1"), reason="Fee", actor=OPERATOR, now=LATER)
    yield World(db, shop.id, other.id, ids[0], ids[1])
    db.close()
    clones.drop(url)


def test_a_month_goes_from_its_opening_to_its_closing(world: World) -> None:
    may = reports.statement(world.db, world.id, world.account, date(2026, 5, 31), DHAKA, LATER)
    # Four activated, and of the four sold two were charged before: six cards of 10.00 less 12.5 %.
    assert may.charged == Sold(6, USD("60"), USD("52.50"))
    assert may.earned == USD("7.50")
    assert (may.opening, may.closing) == (0, USD("47.50"))
    assert may.totals == {"deposit": (1, USD("100")), "stock": (2, -USD("52.50"))}
    assert may.recharges == Recharges()
    assert not may.running
    june = reports.statement(world.db, world.id, world.account, date(2026, 6, 1), DHAKA, LATER)
    assert june.opening == may.closing
    assert june.recharges == Recharges(1, USD("3"), 0)
    assert (june.charged, june.given_back) == (
        Sold(1, USD("10"), USD("8.75")),
        Sold(-1, -USD("10"), -USD("8.75")),
    )
    assert june.closing == USD("43.50")
    assert june.running
    midnight = june.end + timedelta(seconds=30)  # a press of before may not have come in
    assert reports.statement(world.db, world.id, world.account, date(2026, 6, 1), DHAKA, midnight).running
    # Where the zone is another one, the recharge was still in May.
    london = reports.statement(
        world.db, world.id, world.account, date(2026, 5, 1), ZoneInfo("Europe/London"), LATER
    )
    assert london.recharges == Recharges(1, USD("3"), 0)


def test_lines_add_up_and_say_what_they_are_about(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    june = reports.statement(world.db, world.id, world.account, date(2026, 6, 1), DHAKA, LATER)
    found = list(reports.lines(world.db, june))
    assert [line.kind for line in found] == ["recharge", "return", "stock", "adjustment"]
    assert june.opening + sum(line.amount for line in found) == found[-1].balance == june.closing
    recharge, back, stock, fee = found
    assert recharge.first == recharge.last
    assert (back.cards, back.face, back.batch) == (1, -USD("10"), "Tens")
    assert (stock.cards, stock.face, stock.amount) == (1, USD("10"), -USD("8.75"))
    assert (fee.reason, fee.first) == ("Fee", None)
    assert [line.kind for line in reports.lines(world.db, june, most=2)] == ["recharge", "return"]
    for page in (1, 2, 3):
        monkeypatch.setattr(reports, "_PAGE", page)
        assert list(reports.lines(world.db, june)) == found
        assert list(reports.lines(world.db, june, most=3)) == found[:3]
    with world.db.begin() as session:
        balance = session.scalar(text("SELECT balance FROM account WHERE id = :id"), {"id": world.account})
    assert june.closing == balance


def test_months_are_listed_with_what_they_came_to(world: World) -> None:
    found = reports.months(world.db, world.id, DHAKA, LATER)
    assert [(line.month, line.entries, line.amount, line.running) for line in found] == [
        (date(2026, 6, 1), 4, -USD("4"), True),
        (date(2026, 5, 1), 3, USD("47.50"), False),
    ]
    assert reports.months(world.db, world.other, DHAKA, LATER) == []


def test_sales_by_day_and_by_batch_are_the_same_sales(world: World) -> None:
    first, last = date(2026, 5, 1), date(2026, 6, 30)
    days = reports.sales_by_day(world.db, world.id, first, last, DHAKA)
    assert [(line.key, line.sold.cards) for line in days] == [
        (date(2026, 6, 20), 0),
        (date(2026, 5, 11), 2),
        (date(2026, 5, 10), 4),
    ]
    (batch,) = reports.sales_by_batch(world.db, world.id, first, last, DHAKA)
    assert (batch.key, batch.currency) == ("Tens", "USD")
    assert batch.sold == Sold(6, USD("60"), USD("52.50"))
    assert sum(line.sold.paid for line in days) == batch.sold.paid
    with pytest.raises(InvalidInput, match="period_too_long"):
        reports.sales_by_day(world.db, world.id, date(2025, 1, 1), last, DHAKA)


def test_the_operator_sees_every_account_of_a_month(world: World) -> None:
    found = {
        (line.reseller, line.currency): line
        for line in reports.all_in_month(world.db, date(2026, 6, 1), DHAKA)
    }
    assert {("Corner", "USD"), ("Corner", "EUR"), ("Harbour", "USD")} <= set(found)
    mine = found["Corner", "USD"]
    assert (mine.opening, mine.closing, mine.recharged) == (USD("47.50"), USD("43.50"), USD("3"))
    assert mine.sold == Sold(0, 0, 0)
    assert found["Harbour", "USD"].closing == 0


def test_a_statement_adds_up_though_a_till_goes_on(world: World) -> None:
    busy = resellers.add_reseller(world.db, "Busy", OPERATOR, MAY)
    account = accounts.open_account(
        world.db, name="Busy", kind="reseller", currency="USD", reseller_id=busy.id, actor=OPERATOR, now=MAY
    )
    accounts.deposit(world.db, account_id=account.id, amount=USD("5"), actor=OPERATOR, now=LATER)
    june = reports.statement(world.db, busy.id, account.id, date(2026, 6, 1), DHAKA, LATER)
    accounts.deposit(world.db, account_id=account.id, amount=USD("7"), actor=OPERATOR, now=LATER)
    assert [line.amount for line in reports.lines(world.db, june)] == [USD("5")]
    assert june.closing == USD("5")


def test_cards_at_a_discount_of_all_of_the_price_are_sales_too(world: World, vault: Vault) -> None:
    gift = resellers.add_reseller(world.db, "Gift", OPERATOR, MAY, discount_bp=10_000)
    account = accounts.open_account(
        world.db, name="Gift", kind="reseller", currency="USD", reseller_id=gift.id, actor=OPERATOR, now=MAY
    )
    cards = scenes.batch(world.db, vault, 2, "10.00", name="Gifts", release="activation", now=MAY)
    both = Range(cards[0].id, cards[1].id)
    resale.assign(world.db, both, OPERATOR, MAY, reseller_id=gift.id)
    resale.activate(world.db, both, OPERATOR, MAY, reseller_id=gift.id)
    sold = Sold(2, USD("20"), 0)
    may = reports.statement(world.db, gift.id, account.id, date(2026, 5, 1), DHAKA, LATER)
    assert (may.charged, may.earned, may.entries) == (sold, USD("20"), 0)
    (day,) = reports.sales_by_day(world.db, gift.id, date(2026, 5, 1), date(2026, 5, 31), DHAKA)
    assert (day.currency, day.sold) == ("USD", sold)
    mine = next(
        line for line in reports.all_in_month(world.db, date(2026, 5, 1), DHAKA) if line.reseller == "Gift"
    )
    assert mine.sold == sold


def test_anothers_account_is_nowhere(world: World) -> None:
    for reseller, account in ((world.other, world.account), (world.id, 99_999), (99_999, world.account)):
        with pytest.raises(NotFound, match="account_not_found"):
            reports.statement(world.db, reseller, account, date(2026, 5, 1), DHAKA, LATER)
    euros = reports.statement(world.db, world.id, world.euros, date(2026, 5, 1), DHAKA, LATER)
    assert (euros.entries, euros.closing) == (0, 0)
