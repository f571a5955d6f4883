"""Rules in a real browser: the first switch, its key once, an access number, a setting changed and put back."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from engine.actor import CONSOLE
from engine.db import Database
from engine.people import staff
from engine.vault import Secret
from tests import scenes
from tests.browser.conftest import DESK, PHONE, Site, assert_accessible, assert_fits
from tests.portal.conftest import PASSWORD

Opens = Callable[..., Page]


def log_in_as_head(page: Page) -> None:
    page.goto("/log-in?next=/settings/switches")
    page.get_by_label("Log-in name").fill("head")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url("**/settings/switches")


@pytest.mark.parametrize("screen", [DESK, PHONE], ids=["desk", "phone"])
def test_a_switch_and_the_rules_around_it(
    open_page: Opens, site: Site, db: Database, screen: dict[str, int]
) -> None:
    staff.add_staff(db, "head", "Head office", "admin", Secret(PASSWORD), CONSOLE, scenes.NOW)
    page = open_page(viewport=screen)
    log_in_as_head(page)
    expect(page.get_by_text("No switch yet")).to_be_visible()
    page.get_by_role("link", name="Add a switch").click()
    dialog = page.get_by_role("dialog")
    # What is wrong is told in the dialog, and what was typed stays.
    dialog.get_by_label("Name").fill("Asterisk")
    dialog.get_by_label("Asks from").fill("10.0.0.300")
    assert_accessible(page)
    dialog.get_by_role("button", name="Add it").click()
    expect(dialog.get_by_text("10.0.0.300").first).to_be_visible()
    expect(dialog.get_by_label("Name")).to_have_value("Asterisk")
    dialog.get_by_label("Asks from").fill("10.0.0.0/8")
    dialog.get_by_role("button", name="Add it").click()
    expect(dialog.locator("code")).to_contain_text("ctsw_")
    assert_fits(page)
    dialog.get_by_role("link", name="Done").click()
    expect(page.get_by_text("10.0.0.0/8")).to_be_visible()
    assert_fits(page)
    page.goto("/settings")
    page.get_by_role("link", name="Change Lock after").click()
    dialog.get_by_label("Wrong passwords").fill("10")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Lock after: 10 wrong passwords.")).to_be_visible()
    page.get_by_role("link", name="Put back Lock after").click()
    dialog.get_by_role("button", name="Put it back").click()
    expect(page.get_by_text("Lock after is back to 20 wrong passwords.")).to_be_visible()
    # Escape leaves a dialog, and nothing was done.
    page.get_by_role("link", name="Change Longest call").click()
    expect(dialog).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()


def test_the_same_without_javascript(open_page: Opens, site: Site, db: Database) -> None:
    staff.add_staff(db, "head", "Head office", "admin", Secret(PASSWORD), CONSOLE, scenes.NOW)
    page = open_page(java_script_enabled=False, viewport=PHONE)
    log_in_as_head(page)
    page.get_by_role("link", name="Access numbers").click()
    page.get_by_role("link", name="Add an access number").click()
    page.get_by_label("Number", exact=True).fill("+44 20 7946 0000")
    page.get_by_label("Name").fill("London")
    page.get_by_label("Surcharge per call").fill("1,50")
    page.get_by_role("button", name="Add it").click()
    expect(page.get_by_label("Surcharge per call")).to_have_value("1,50")
    page.get_by_label("Surcharge per call").fill("0.05")
    page.get_by_role("button", name="Add it").click()
    page.wait_for_url("**/settings/access-numbers")
    expect(page.get_by_text("+442079460000 is listed.")).to_be_visible()
