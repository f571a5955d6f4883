"""Money in a real browser: find a payment, open its card, fill an account, add a rule, read a report and keep it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from engine.actor import CONSOLE
from engine.db import Database
from engine.funds import accounts, recharges
from engine.people import staff
from engine.reports import buckets
from engine.vault import Secret, Vault
from tests import scenes
from tests.browser.conftest import DESK, PHONE, Site, assert_accessible, assert_fits
from tests.portal.conftest import PASSWORD
from tests.scenes import NOW, OPERATOR, USD, TestCard

Opens = Callable[..., Page]


def a_shop(db: Database, vault: Vault) -> TestCard:
    """A card that was recharged, an account with nothing in it, and somebody for the money."""
    staff.add_staff(db, "till", "The till", "finance", Secret(PASSWORD), CONSOLE, NOW)
    cards = scenes.batch(db, vault, 3, "5.00", name="Dhaka_5")
    for turn, card in enumerate(cards):
        recharges.recharge(
            db,
            card_id=card.id,
            amount=USD(f"{turn + 1}"),
            key=f"pay-{turn}",
            reason="Paid",
            actor=OPERATOR,
            now=NOW,
        )
    accounts.open_account(db, name="Fund", kind="funding", currency="USD", actor=OPERATOR, now=NOW)
    buckets.aggregate(db, NOW)
    return cards[1]


def log_in_to(page: Page, path: str) -> None:
    page.goto(f"/log-in?next={path}")
    page.get_by_label("Log-in name").fill("till")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(f"**{path}")


@pytest.mark.parametrize("screen", [DESK, PHONE], ids=["desk", "phone"])
def test_a_day_at_the_till(
    open_page: Opens, site: Site, db: Database, vault: Vault, screen: dict[str, int], tmp_path: Path
) -> None:
    card = a_shop(db, vault)
    page = open_page(viewport=screen)
    log_in_to(page, "/money")
    expect(page.locator("#sums")).to_contain_text("3 payments of USD 6.00 in all")
    assert_accessible(page)
    assert_fits(page)

    # A filter narrows the list in its place; a mistake is told at its field.
    page.get_by_text("More to search by").click()
    page.get_by_label("Amount from").fill("two")
    page.get_by_role("button", name="Show").first.click()
    expect(page.get_by_text("Look at what is marked above")).to_be_visible()
    page.get_by_label("Amount from").fill("2")
    page.get_by_label("Amount to").fill("2")
    page.get_by_role("button", name="Show").first.click()
    expect(page.locator("#sums")).to_contain_text("1 payment of USD 2.00")
    assert "amount_from=2" in page.url
    assert_fits(page)
    page.locator("#list tbody").get_by_role("link").last.click()
    page.wait_for_url(f"**/cards/{card.serial}")
    page.go_back()

    # Into an account.
    page.get_by_role("link", name="Accounts").click()
    page.get_by_role("link", name="Fund").click()
    page.get_by_role("link", name="Deposit").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Amount").fill("250")
    assert_accessible(page)
    dialog.get_by_role("button", name="Deposit").click()
    expect(page.get_by_text("USD 250.00 went into Fund; it has USD 250.00.")).to_be_visible()
    assert_fits(page)

    # A rule that pays from it.
    page.goto("/settings/auto-recharge")
    page.get_by_role("link", name="Add a rule").click()
    dialog.get_by_label("Name").fill("Never empty")
    dialog.get_by_label("When the balance falls under").fill("1")
    dialog.get_by_label("Recharge it by").fill("5")
    dialog.get_by_label("All cards of batch").fill("Dhaka_5")
    dialog.get_by_role("button", name="Add it").click()
    expect(page.get_by_text("Never empty is in force")).to_be_visible()
    assert_accessible(page)
    assert_fits(page)

    # What is owed, and the file of it.
    page.goto("/money/reports")
    page.get_by_role("link", name="Liability").click()
    expect(page.get_by_role("row", name="Dhaka_5")).to_contain_text("21.00")
    assert_accessible(page)
    assert_fits(page)
    with page.expect_download() as made:
        page.get_by_role("link", name="Download as CSV").click()
    saved = tmp_path / "liability.csv"
    made.value.save_as(saved)
    assert saved.read_text().splitlines()[1] == "Dhaka_5,,USD,3,21.00,0.00"


def test_the_same_without_javascript(open_page: Opens, site: Site, db: Database, vault: Vault) -> None:
    a_shop(db, vault)
    page = open_page(java_script_enabled=False, viewport=PHONE)
    log_in_to(page, "/money/ledger")
    page.get_by_label("Kind").select_option("recharge")
    page.get_by_role("button", name="Show").first.click()
    page.wait_for_url("**/money/ledger?kind=recharge")
    page.get_by_role("link", name="Sum these up").click()
    page.get_by_text("Summed up by kind").click()
    expect(page.get_by_role("row", name="Recharge")).to_contain_text("+6.0000")
    page.goto("/settings/bonus")
    page.get_by_role("link", name="Add a rule").click()
    page.get_by_label("Name").fill("Ten")
    page.get_by_label("Percent of the amount").fill("10")
    page.get_by_role("button", name="Add it").click()
    expect(page.get_by_text("A recharge of USD 10.00 now gets USD 1.00 by Ten")).to_be_visible()
