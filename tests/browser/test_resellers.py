"""Resellers in a real browser: added, given cards, seen on a phone."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Page, expect

from engine.db import Database
from engine.vault import Vault
from tests import scenes
from tests.browser.conftest import PHONE, Site, assert_accessible, assert_fits, log_in

Opens = Callable[..., Page]


def test_a_reseller_gets_cards_and_somebody_to_sell_them(
    open_page: Opens, site: Site, db: Database, vault: Vault
) -> None:
    scenes.deck(db)
    cards = scenes.batch(db, vault, 4, release="activation")
    page = open_page(viewport=PHONE)
    log_in(page)
    page.goto("/resellers")
    page.get_by_role("link", name="Add a reseller").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("Corner shop")
    dialog.get_by_label("Discount in percent").fill("ten")
    dialog.get_by_role("button", name="Add it").click()
    expect(dialog.get_by_text("Type a percentage between 0 and 100")).to_be_visible()
    dialog.get_by_label("Discount in percent").fill("10")
    dialog.get_by_role("button", name="Add it").click()
    expect(page.get_by_text("Corner shop is added.")).to_be_visible()
    page.get_by_role("link", name="Give cards").click()
    dialog.get_by_label("From serial").fill(cards[0].serial)
    dialog.get_by_label("To serial").fill(cards[2].serial)
    assert_accessible(page)
    dialog.get_by_role("button", name="See what it does").click()
    expect(dialog.get_by_text("3 of 3 cards would be given to Corner shop.")).to_be_visible()
    assert_accessible(page)
    dialog.get_by_role("button", name="Give the cards").click()
    expect(page.get_by_text("3 cards given to Corner shop.")).to_be_visible()
    page.get_by_role("link", name="Add somebody").click()
    dialog.get_by_label("Log-in name").fill("till.1")
    dialog.get_by_label("Name", exact=True).fill("Till one")
    dialog.get_by_role("button", name="Add them").click()
    expect(dialog.get_by_text("It is shown this once")).to_be_visible()
    dialog.get_by_role("link", name="Done").click()
    expect(page.get_by_role("link", name="Till one")).to_be_visible()
    assert_accessible(page)
    assert_fits(page)
