"""A card's page in a real browser: act on it in dialogs, take an act back, ask it its three questions."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from engine.db import Database
from engine.vault import Vault
from tests import scenes
from tests.browser.conftest import DESK, PHONE, Site, assert_accessible, assert_fits
from tests.portal.conftest import LOGIN, PASSWORD
from tests.scenes import BANGLADESH, Line

Opens = Callable[..., Page]
CALLER = "447700900123"


def log_in_to(page: Page, path: str) -> None:
    page.goto(f"/log-in?next={path}")
    page.get_by_label("Log-in name").fill(LOGIN)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(f"**{path}")


@pytest.mark.parametrize("screen", [DESK, PHONE], ids=["desk", "phone"])
def test_a_card_is_helped(
    open_page: Opens, site: Site, db: Database, vault: Vault, screen: dict[str, int]
) -> None:
    scenes.deck(
        db, "prefix,destination,price,connect_fee,first_increment,increment\n880,Dhaka,0.015,0.05,60,60\n"
    )
    card = scenes.card(db, vault, "5.00", name="Dhaka_5", binding="multi", max_bound=2)
    line = Line(db, vault, scenes.switch(db, "gw"))
    line.open(card, ref="a", caller=CALLER)
    line.answer("a")
    line.later(61).end("a", seconds=61)
    line.later(5).authorize(card, "19005551234", caller=CALLER)
    site.clock.now = line.later(60).now
    page = open_page(viewport=screen)
    log_in_to(page, f"/cards/{card.serial}")
    dialog = page.get_by_role("dialog")
    assert_accessible(page)
    assert_fits(page)

    # Lock it: what is missing is told in the dialog; then unlock it by the way back.
    page.get_by_role("link", name="Lock", exact=True).click()
    dialog.get_by_label("Reason").fill("")
    dialog.get_by_role("button", name="Lock").evaluate("(button) => { button.form.noValidate = true; }")
    dialog.get_by_role("button", name="Lock").click()
    expect(dialog.get_by_text("Fill this in.")).to_be_visible()
    assert_accessible(page)
    dialog.get_by_label("Reason").fill("Lost")
    dialog.get_by_role("button", name="Lock").click()
    expect(page.get_by_text("The card is locked.")).to_be_visible()
    expect(page.locator("h1 .pill")).to_have_text("Locked")
    page.get_by_role("link", name="Unlock it again").click()
    page.get_by_role("button", name="Unlock").click()
    expect(page.locator("h1 .pill")).to_have_text("Active")

    # Recharge it, and see what it will be before.
    page.get_by_role("link", name="Recharge", exact=True).click()
    dialog.get_by_label("Amount").fill("2.50")
    expect(dialog.get_by_text("No bonus. Its balance will be")).to_be_visible()
    assert_fits(page)
    dialog.get_by_role("button", name="Recharge").click()
    expect(page.get_by_text("USD 2.50 came onto the card; its balance is USD 7.42.")).to_be_visible()

    # A new password is shown once.
    page.get_by_role("link", name="New password").click()
    dialog.get_by_role("button", name="Make a new password").click()
    secret = dialog.locator("code")
    expect(secret).to_have_text(re.compile(r"^\s*\d{8}\s*$"))
    password = secret.inner_text().strip()
    assert_accessible(page)
    dialog.get_by_role("link", name="Done").click()
    page.wait_for_url(f"**/cards/{card.serial}")
    assert password not in page.content()

    # Ask.
    page.get_by_role("button", name="Why?").click()
    answer = page.get_by_label("Answer")
    expect(answer).to_contain_text("Its destination rules barred 19005551234.")
    page.get_by_role("button", name="Where?").click()
    expect(answer).to_contain_text("talk time in 1 call")
    expect(answer).to_contain_text("because calls are billed in steps of 60 s")
    page.get_by_label("Number to call").fill(f"+{BANGLADESH}")
    page.get_by_role("button", name="How much?").click()
    expect(answer).to_contain_text("would go through now")
    assert_accessible(page)
    assert_fits(page)
    page.get_by_text("More", exact=True).click()
    page.get_by_role("link", name="Void for good").click()
    expect(dialog.get_by_label("Last four digits")).to_be_visible()
    dialog.get_by_role("link", name="Cancel").click()
    expect(dialog).to_be_hidden()


def test_a_card_is_helped_without_javascript(
    open_page: Opens, site: Site, db: Database, vault: Vault
) -> None:
    card = scenes.card(db, vault, "5.00", name="Plain")
    page = open_page(java_script_enabled=False)
    log_in_to(page, f"/cards/{card.serial}")
    page.get_by_role("link", name="Lock", exact=True).click()
    page.get_by_label("Reason").fill("Lost")
    page.get_by_role("button", name="Lock").click()
    expect(page.get_by_text("The card is locked.")).to_be_visible()
    page.get_by_label("Number to call").fill(f"+{BANGLADESH}")
    page.get_by_role("button", name="How much?").click()
    expect(page.get_by_label("Answer")).to_contain_text("would be refused now. The card is locked.")
