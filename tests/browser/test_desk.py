"""A day at a reseller's till in a real browser: a code at the door, scan, sell, undo, recharge, print; and staff."""

from __future__ import annotations

from collections.abc import Callable

import pypdfium2
import pytest
from playwright.sync_api import Page, expect

from engine.db import Database
from engine.funds import accounts
from engine.people import resellerpeople, resellers
from engine.stock import resale, shipments
from engine.stock.custody import Range
from engine.stock.printing import designs
from engine.stock.printing.design import Design
from engine.vault import Secret, Vault
from tests import scenes
from tests.browser.conftest import PHONE, Site, assert_accessible, assert_fits, log_in
from tests.browser.test_people import scan as code_of
from tests.browser.test_printing import made
from tests.portal.conftest import PASSWORD
from tests.scenes import NOW, OPERATOR, USD, TestCard

pytestmark = pytest.mark.browser
Opens = Callable[..., Page]


@pytest.fixture
def stock(db: Database, vault: Vault) -> list[TestCard]:
    """Cards of a reseller that wait for activation, with credit for some of them, and a design to print them with."""
    shop = resellers.add_reseller(db, "Corner shop", OPERATOR, NOW, discount_bp=1000)
    account = accounts.open_account(
        db, name="Corner shop", kind="reseller", currency="USD", reseller_id=shop.id, actor=OPERATOR, now=NOW
    )
    accounts.deposit(db, account_id=account.id, amount=USD("50"), actor=OPERATOR, now=NOW)
    resellerpeople.add_person(db, shop.id, "corner", "Sam", "owner", Secret(PASSWORD), OPERATOR, NOW)
    cards = scenes.batch(db, vault, 6, "10.00", name="Dhaka_10", release="activation")
    whole = Range(cards[0].id, cards[-1].id)
    resale.assign(db, whole, OPERATOR, NOW, reseller_id=shop.id)
    shipments.send(db, [whole], None, OPERATOR, NOW, reseller_id=shop.id)
    designs.add(db, "Receipt", Design("receipt-80"), OPERATOR, NOW)
    return cards


def enter(page: Page) -> None:
    """The password at the desk's door."""
    page.goto("/desk")
    page.get_by_label("Log-in name").fill("corner")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()


def scan(page: Page, card: TestCard) -> None:
    """A keyboard scanner types the serial and presses Enter."""
    box = page.get_by_label("Scan or type a serial")
    expect(box).to_be_focused()
    page.keyboard.type(card.serial)
    page.keyboard.press("Enter")
    expect(page.locator(".at-till h2")).to_contain_text(card.serial[:4])


def test_a_day_at_the_till_on_a_phone(
    open_page: Opens, db: Database, vault: Vault, site: Site, stock: list[TestCard]
) -> None:
    scenes.setting(db, "totp_required", True)
    page = open_page(viewport=PHONE, color_scheme="dark")
    enter(page)
    page.get_by_role("button", name="Go on").click()
    page.get_by_label("The code that the app shows").fill(code_of(page, site))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Your recovery codes")).to_be_visible()

    page.goto("/desk")
    expect(page.get_by_text("You can still spend USD 50.00")).to_be_visible()
    scan(page, stock[0])
    assert_accessible(page)
    assert_fits(page)
    page.get_by_role("button", name="Activate and sell").click()
    expect(page.get_by_text("You can still spend USD 41.00")).to_be_visible()
    page.get_by_role("link", name="Undo").click()
    page.get_by_role("button", name="Return: 1 card").click()
    expect(page.get_by_text("You can still spend USD 50.00")).to_be_visible()
    scan(page, stock[1])
    page.get_by_role("button", name="Activate", exact=True).click()
    scan(page, stock[1])
    page.get_by_role("link", name="Recharge", exact=True).click()
    page.get_by_label("Amount").fill("3")
    page.get_by_role("button", name="See what it does").click()
    page.get_by_role("button", name="Put USD 3.00 on the card").click()
    expect(page.get_by_text("You can still spend USD 38.00")).to_be_visible()
    assert scenes.facts(db, stock[1]).balance == USD("13")

    page.goto("/desk/print")
    page.locator("main").get_by_role("link", name="Print cards of Dhaka_10").click()
    page.get_by_label("From serial").fill(stock[2].serial)
    page.get_by_label("To serial").fill(stock[4].serial)
    page.get_by_label("To serial").press("Tab")
    expect(page.locator("#look").get_by_text("3 cards.")).to_be_visible()
    page.get_by_role("button", name="Print these cards").click()
    assert_fits(page)
    made(db, vault, site)
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download the PDF").click()
    with pypdfium2.PdfDocument(waiting.value.path()) as document:
        told = "".join(sheet.get_textpage().get_text_range() for sheet in document).replace(" ", "")
    assert all(card.serial in told and card.number in told and card.password in told for card in stock[2:5])
    page.get_by_role("link", name="Yes, it printed well").click()
    page.get_by_role("button", name="Yes, all of it").click()
    expect(page.get_by_text("3 cards are marked as printed.")).to_be_visible()
    expect(page.get_by_role("link", name="Shred the passwords")).to_have_count(0)

    page.goto("/desk/shipments/1")
    page.get_by_role("link", name="It arrived").click()
    page.get_by_role("button", name="It arrived").click()
    expect(page.get_by_text("The shipment is marked as arrived.")).to_be_visible()
    for path in ("/desk/credit", "/desk/sales", "/desk/statements/1/2026-11", "/desk/stock"):
        page.goto(path)
        assert_fits(page)
        assert_accessible(page)
    expect(page.locator("body")).not_to_contain_text(stock[1].number)


def test_staff_see_a_desk_and_ship_to_it(
    open_page: Opens, db: Database, stock: list[TestCard], site: Site
) -> None:
    page = open_page()
    log_in(page)
    page.goto("/resellers/1")
    page.get_by_role("button", name="See their desk").click()
    expect(page.get_by_text("You see what Corner shop sees.")).to_be_visible()
    page.get_by_role("link", name="Credit").click()
    expect(page.get_by_text("You can still spend")).to_be_visible()
    page.get_by_role("button", name="Leave").click()
    expect(page).to_have_url(f"{site.url}/resellers/1")
    page.get_by_role("link", name="Shipments", exact=True).last.click()
    page.get_by_role("link", name="Shipment 1").click()
    assert_accessible(page)
    with page.expect_download():
        page.get_by_role("link", name="Packing list (PDF)").click()
    page.goto("/shipments/new")
    page.get_by_label("Serials", exact=True).fill(f"{stock[0].serial} to {stock[2].serial}")
    page.get_by_role("button", name="See what is sent").click()
    expect(page.get_by_text("are in shipment 1, which is on the way")).to_be_visible()
    assert_accessible(page)
