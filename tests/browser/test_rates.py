"""The section Rates in a real browser: from the sample deck to a replay."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from playwright.sync_api import Page, expect

from engine import work
from engine.db import Database
from engine.reports import replay
from engine.vault import Vault
from tests import scenes
from tests.browser.conftest import PHONE, Site, assert_accessible, assert_fits, log_in
from tests.scenes import NOW, Line

pytestmark = pytest.mark.browser
Opens = Callable[..., Page]


def _checked(page: Page) -> None:
    assert_accessible(page)
    assert_fits(page)


def test_from_the_sample_deck_to_a_replay(open_page: Opens, db: Database, vault: Vault, site: Site) -> None:
    page = open_page()
    log_in(page)
    page.goto("/rates")
    page.get_by_role("button", name="Use the sample deck").click()
    expect(page.get_by_text("The deck Sample has 495 rates")).to_be_visible()
    line = Line(db, vault, scenes.switch(db))
    line.open(scenes.card(db, vault, name="Plain", deck="Sample"))
    line.later(60).end(seconds=60)
    site.clock.later(minutes=5)
    # Look a number up.
    page.get_by_role("link", name="Look a number up").click()
    page.get_by_label("Number").fill("+880 1712-345678")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_text("is the longest prefix that matches")).to_be_visible()
    # Raise prices by 10 % from tomorrow.
    page.goto("/rates/1")
    page.get_by_role("link", name="Change prices").click()
    page.get_by_label("Percent", exact=True).fill("10")
    page.get_by_label("In force from", exact=True).fill((NOW + timedelta(days=1)).strftime("%Y-%m-%d"))
    page.get_by_role("button", name="Look at it first").click()
    _checked(page)
    page.get_by_role("button", name=re.compile("^Change [0-9,]+ prices")).click()
    page.get_by_role("link", name="See the differences").click()
    expect(page.get_by_role("heading", name="What changes")).to_be_visible()
    page.get_by_label("Prefix or destination").fill("Bangladesh")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("tbody tr").first).to_contain_text("Bangladesh")
    expect(page).to_have_url(re.compile("q=Bangladesh"))
    # Replay today's calls against it, and see the result come by itself.
    page.goto("/rates/1/versions/2")
    page.get_by_role("link", name="Replay calls against it").click()
    for label in ("Calls from", "To"):
        page.get_by_label(label, exact=True).fill(NOW.strftime("%Y-%m-%d"))
    page.get_by_role("button", name="Replay").click()
    expect(page.get_by_text("Waiting")).to_be_visible()
    claimed = work.claim(db, "test", ["replay"], site.clock.now)
    assert claimed is not None
    work.finish(db, claimed, site.clock.now, replay.run(db, vault, claimed, site.clock))
    expect(page.get_by_text("1 minutes billed")).to_be_visible()
    _checked(page)


def test_a_sheet_is_imported_on_a_phone_and_without_javascript(
    open_page: Opens, db: Database, site: Site
) -> None:
    scenes.deck(db, {"44": "0.02", "33": "0.03", "880": "0.01", "91": "0.05"})
    scenes.deck(db, {"44": "0.01", "33": "0.05"}, name="Carrier")
    site.clock.later(minutes=5)
    page = open_page(viewport=PHONE, color_scheme="dark", java_script_enabled=False)
    log_in(page)
    page.goto("/rates/1")
    page.get_by_role("link", name="Import the next version").click()
    sheet = {"name": "part.csv", "mimeType": "text/csv", "buffer": b"Code;Price\n44;0,025\n91;0,04\n"}
    page.get_by_label("Rate sheet").set_input_files([sheet])
    page.get_by_role("button", name="Look at it").click()
    expect(page.get_by_text("2 of 4 prefixes would go")).to_be_visible()
    page.get_by_label("The file holds").select_option("part")
    page.get_by_role("button", name="Look again").click()
    page.get_by_role("button", name="Import 2 rates").click()
    expect(page.get_by_text("Imported 4 rates for Standard")).to_be_visible()
    # Name the buy deck: the act is a page of its own here.
    page.get_by_role("link", name="Buy deck").click()
    page.get_by_label("Buy deck").select_option("Carrier (USD)")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("1 prefix is sold under cost")).to_be_visible()


def test_a_bad_sheet_is_told_line_by_line_and_a_group_is_made_in_a_dialog(
    open_page: Opens, db: Database, site: Site
) -> None:
    scenes.deck(db, {"44": "0.02", "33": "0.03", "880": "0.01", "91": "0.05"})
    page = open_page(viewport=PHONE, color_scheme="dark")
    log_in(page)
    page.goto("/rates/import?deck=1")
    sheet = {"name": "bad.csv", "mimeType": "text/csv", "buffer": b"Code,Price\n44,0.01\n44,x\n4.4E+11,1\n"}
    page.get_by_label("Rate sheet").set_input_files([sheet])
    page.get_by_role("button", name="Look at it").click()
    expect(page.get_by_text("2 problems: the file can't be imported")).to_be_visible()
    _checked(page)
    page.goto("/rates/groups")
    page.get_by_role("link", name="New group").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    page.get_by_label("Name").fill("Islands")
    page.get_by_label("Prefixes").fill("12x")
    page.get_by_role("dialog").get_by_role("button", name="Add").click()
    expect(page.get_by_text("12x is not a prefix")).to_be_visible()
    page.get_by_label("Prefixes").fill("1246, 1264")
    page.get_by_role("dialog").get_by_role("button", name="Add").click()
    expect(page.get_by_role("row", name="Islands").get_by_text("1246, 1264")).to_be_visible()
