"""Acting on many cards in a real browser: what a search finds is locked and unlocked; money wants a typed count."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from engine import work
from engine.bulk import handler, views
from engine.cards import searchcopy
from engine.config import Keys
from engine.db import Database
from engine.vault import Vault
from tests import scenes
from tests.browser.conftest import DESK, PHONE, Site, assert_accessible, assert_fits
from tests.browser.test_search import log_in_to
from tests.scenes import NOW, USD, facts

Opens = Callable[..., Page]


def do(db: Database, keys: Keys, site: Site, page: Page) -> None:
    """Work off the run whose page is open, as a jobs process does."""
    run = views.show(db, int(page.url.rsplit("/", 1)[1]))
    site.clock.later(seconds=5)
    claimed = work.claim(db, "test", ["bulk"], site.clock(), work_id=run.work_id)
    assert claimed is not None
    work.finish(db, claimed, site.clock(), handler.run(db, Vault(keys), claimed, site.clock))


@pytest.mark.parametrize("screen", [DESK, PHONE], ids=["desk", "phone"])
def test_thirty_cards_are_locked_and_unlocked_again(
    open_page: Opens, site: Site, db: Database, keys: Keys, screen: dict[str, int]
) -> None:
    cards = scenes.batch(db, Vault(keys), 30, name="May")
    scenes.batch(db, Vault(keys), 3, name="June")
    searchcopy.refold(db, NOW)
    page = open_page(viewport=screen)
    log_in_to(page, "/cards")
    page.get_by_role("textbox", name="Batch").fill("May")
    page.keyboard.press("Enter")
    page.wait_for_url("**/cards?batch=May")
    page.get_by_label("All on this page").check()
    expect(page.get_by_text("30 ticked")).to_be_visible()
    page.get_by_label("Do with them").select_option("lock")
    page.get_by_role("button", name="Go on", exact=True).click()
    expect(page.get_by_text("The 30 cards that you ticked.")).to_be_visible()
    assert_accessible(page)
    assert_fits(page)
    page.get_by_label("Reason").fill("Stolen box")
    page.get_by_role("button", name="Lock: 30 cards").click()
    page.wait_for_url("**/bulk/1")
    expect(page.get_by_text("Waiting")).to_be_visible()
    assert_accessible(page)
    do(db, keys, site, page)
    # The page asks for itself until it is over.
    expect(page.get_by_text("30 cards were locked.")).to_be_visible()
    assert_fits(page)
    page.get_by_role("link", name="Undo: unlock").click()
    page.get_by_role("button", name="Unlock: 30 cards").click()
    page.wait_for_url("**/bulk/2")
    do(db, keys, site, page)
    expect(page.get_by_text("30 cards were unlocked.")).to_be_visible()
    assert all(facts(db, card).locked_at is None for card in cards)


def test_money_by_a_typed_count_without_javascript(
    open_page: Opens, site: Site, db: Database, keys: Keys
) -> None:
    cards = scenes.batch(db, Vault(keys), 60, name="May")
    searchcopy.refold(db, NOW)
    page = open_page(java_script_enabled=False, viewport=PHONE)
    log_in_to(page, "/cards")
    page.get_by_label("Unused").check()
    page.get_by_role("button", name="Show").first.click()
    page.wait_for_url("**/cards?status=unused")
    page.get_by_role("link", name="Count them").click()
    page.get_by_label("All 60 found").check()
    page.get_by_label("Do with them").select_option("recharge")
    page.get_by_role("button", name="Go on", exact=True).click()
    page.get_by_label("Amount for each card").fill("1,50")
    page.get_by_role("button", name="Look what it would do").click()
    expect(page.get_by_label("Amount for each card")).to_have_value("1,50")
    page.get_by_label("Amount for each card").fill("1.50")
    page.get_by_role("button", name="Look what it would do").click()
    expect(page.get_by_text("USD 90.00")).to_be_visible()
    page.get_by_label("How many cards").fill("50")
    page.get_by_role("button", name="Recharge: 60 cards").click()
    expect(page.get_by_text("It is 60 cards.")).to_be_visible()
    page.get_by_label("How many cards").fill("60")
    page.get_by_role("button", name="Recharge: 60 cards").click()
    page.wait_for_url("**/bulk/1")
    do(db, keys, site, page)
    page.get_by_role("link", name="Show how far it is now").click()
    expect(page.get_by_text("60 cards were recharged.")).to_be_visible()
    assert facts(db, cards[0]).balance == USD("6.50")
