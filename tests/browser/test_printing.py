"""Printing in a real browser: a design with its preview, a printer, a run from the look to the confirmation."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, Route, expect

from engine import work
from engine.db import Database
from engine.stock.printing import designs, making, runs
from engine.stock.printing.design import Design
from engine.vault import Vault
from tests import scenes
from tests.browser.conftest import PHONE, Site, assert_accessible, assert_fits, log_in
from tests.scenes import NOW, OPERATOR

pytestmark = pytest.mark.browser
Opens = Callable[..., Page]


def made(db: Database, vault: Vault, site: Site) -> None:
    """Make the file that somebody ordered, as the jobs process would."""
    claimed = work.claim(db, "test", [runs.KIND], site.clock.now)
    assert claimed is not None
    work.finish(db, claimed, site.clock.now, making.make(db, vault, claimed, site.clock))


def no_look(route: Route) -> None:
    """Let the page go without the look that follows each change."""
    if "hx-request" in route.request.headers:
        route.fulfill(status=204)
    else:
        route.continue_()


def test_from_a_design_to_printed_cards(open_page: Opens, db: Database, vault: Vault, site: Site) -> None:
    scenes.batch(db, vault, 6, name="Dhaka_5")
    page = open_page()
    log_in(page)
    page.goto("/designs")
    page.get_by_role("link", name="A4 sheet, 10 cards").click()
    sheet = page.get_by_alt_text("The front of one sheet, with cards of zeros")
    expect(sheet).to_be_visible()
    first = sheet.get_attribute("src") or ""
    # The preview follows what is typed, and says what is wrong with it.
    page.get_by_label("Title", exact=True).fill("Night owl")
    expect(sheet).not_to_have_attribute("src", first)
    page.get_by_label("Paper", exact=True).select_option("receipt-80")
    page.get_by_label("Sides", exact=True).select_option("2")
    expect(page.locator("#preview").get_by_text("This paper is printed on one side only.")).to_be_visible()
    page.get_by_label("Sides", exact=True).select_option("1")
    page.get_by_label("Paper", exact=True).select_option("a4-10")
    # What is changed while the picture is drawn is seen as well.
    expect(sheet).to_be_visible()
    with page.expect_response("**/designs/preview"):
        page.get_by_label("QR code that opens").uncheck()
        page.wait_for_timeout(700)  # it is being drawn
        with page.expect_request("**/designs/preview"):
            page.get_by_label("QR code that opens").check()
    expect(page.locator("#preview").get_by_text("The QR codes would lead to")).to_be_visible()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_alt_text("A card printed with A4 sheet, 10 cards")).to_be_visible()

    page.goto("/printers")
    page.get_by_role("link", name="Add a printer").click()
    page.get_by_label("Name", exact=True).fill("Office")
    page.get_by_label("Across, in mm").fill("1.5")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_text("1.5 mm right, 0 mm down")).to_be_visible()

    page.goto("/batches/1")
    page.get_by_role("link", name="Print cards").click()
    look = page.locator("#look")
    expect(look.get_by_text("6 cards on 1 sheet.")).to_be_visible()
    # From the eighth place on they need a second sheet; the keyboard stays where it was.
    look.get_by_label("8", exact=True).click()
    expect(look.get_by_text("6 cards on 2 sheets.")).to_be_visible()
    expect(page.locator("#start_at-8")).to_be_focused()
    # Who presses before the look has followed what was chosen, is shown it first.
    page.route("**/batches/1/print", no_look)
    page.get_by_label("Printer", exact=True).select_option("Office")
    page.get_by_role("button", name="Print these cards").click()
    expect(look.get_by_text("Something was changed since you saw this.")).to_be_visible()
    page.unroute("**/batches/1/print")
    assert_accessible(page)
    page.get_by_role("button", name="Print these cards").click()
    expect(page.get_by_text("Waiting", exact=True)).to_be_visible()
    made(db, vault, site)
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download the PDF").click()
    assert waiting.value.suggested_filename == "cards-1.pdf"
    page.get_by_role("link", name="Yes, it printed well").click()
    page.get_by_role("button", name="Yes, all of it").click()
    expect(page.get_by_text("6 cards are marked as printed.")).to_be_visible()
    expect(page.get_by_role("link", name="Shred the passwords")).to_be_visible()


def test_cards_are_printed_without_javascript_on_a_phone(
    open_page: Opens, db: Database, vault: Vault, site: Site
) -> None:
    scenes.batch(db, vault, 3, name="Dhaka_5")
    designs.add(db, "Labels", Design("labels-a4-65", fields=("serial",)), OPERATOR, NOW)
    page = open_page(java_script_enabled=False, viewport=PHONE)
    log_in(page)
    page.goto("/designs/1")
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_alt_text("The front of one sheet, with cards of zeros")).to_be_visible()
    assert_fits(page)
    page.goto("/batches/1/print")
    page.locator("#start_at-64").check(force=True)
    page.get_by_role("button", name="Look what it would print").click()
    expect(page.get_by_text("3 cards on 2 sheets.")).to_be_visible()
    assert_fits(page)
    page.get_by_role("button", name="Print these cards").click()
    made(db, vault, site)
    page.get_by_role("link", name="Show the progress now").click()
    with page.expect_download():
        page.get_by_role("button", name="Download the PDF").click()
    assert_fits(page)
