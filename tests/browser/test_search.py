"""The list of cards in a real browser: searched, sorted, kept as a view, on a desk and on a phone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from engine.cards import lifecycle, searchcopy
from engine.config import Keys
from engine.db import Database
from engine.vault import Vault
from tests import scenes
from tests.browser.conftest import DESK, PHONE, Site, assert_accessible, assert_fits
from tests.portal.conftest import LOGIN, PASSWORD
from tests.scenes import NOW, OPERATOR

Opens = Callable[..., Page]


def log_in_to(page: Page, path: str) -> None:
    page.goto(f"/log-in?next={path}")
    page.get_by_label("Log-in name").fill(LOGIN)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(f"**{path}")


@pytest.mark.parametrize("screen", [DESK, PHONE], ids=["desk", "phone"])
def test_a_search_becomes_a_view(
    open_page: Opens, site: Site, db: Database, keys: Keys, screen: dict[str, int]
) -> None:
    cards = scenes.batch(db, Vault(keys), 30, name="May")
    for card in cards[:3]:
        lifecycle.lock(db, card_id=card.id, reason="lost", actor=OPERATOR, now=NOW)
    searchcopy.refold(db, NOW)
    page = open_page(viewport=screen)
    log_in_to(page, "/cards")
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(30)
    page.get_by_label("Locked").check()
    page.get_by_role("button", name="Show").first.click()
    page.wait_for_url("**/cards?status=locked")
    expect(rows).to_have_count(3)
    assert_accessible(page)
    # A mistake is told at its field, and the address stays as it was.
    page.get_by_role("textbox", name="Batch").fill("June")
    page.keyboard.press("Enter")
    expect(page.get_by_text("There is no batch named June.")).to_be_visible()
    assert page.url.endswith("/cards?status=locked")
    page.get_by_role("textbox", name="Batch").fill("May")
    page.get_by_text("Columns and order").click()
    page.get_by_label("Order").select_option("-serial")
    page.get_by_role("checkbox", name="Reseller").uncheck()
    page.keyboard.press("Enter")
    page.wait_for_url("**/cards?status=locked&batch=May&sort=-serial&columns=*")
    expect(rows.first).to_contain_text(cards[2].serial[-3:])
    assert_fits(page)
    page.get_by_role("link", name="Keep this view").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name", exact=True).fill("Lost in May")
    page.keyboard.press("Enter")
    expect(page.get_by_text("The view Lost in May is kept.")).to_be_visible()
    page.get_by_role("link", name="Locked take away").click()
    page.wait_for_url("**/cards?batch=May&*")
    expect(rows).to_have_count(30)
    page.go_back()
    expect(rows).to_have_count(3)
    page.get_by_role("link", name="Clear all").click()
    page.get_by_role("link", name="Lost in May").click()
    expect(rows).to_have_count(3)
    expect(page.get_by_role("link", name="Lost in May")).to_have_attribute("aria-current", "page")
