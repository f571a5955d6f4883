"""People in a real browser: somebody is added, logs in, gets a second factor; a consent; the trail is verified."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from engine.actor import CONSOLE, Actor
from engine.db import Database
from engine.people import consents, staff, totp
from engine.vault import Secret
from tests import scenes
from tests.browser.conftest import DESK, PHONE, Site, assert_accessible, assert_fits
from tests.portal.conftest import PASSWORD
from tests.scenes import USD

Opens = Callable[..., Page]


def log_in_as(page: Page, login: str, password: str, wanted: str) -> None:
    page.goto(f"/log-in?next={wanted}")
    page.get_by_label("Log-in name").fill(login)
    page.get_by_label("Password", exact=True).fill(password)
    page.get_by_role("button", name="Log in").click()


def scan(page: Page, site: Site) -> str:
    """The code that a phone shows which scanned this page."""
    page.get_by_text("No camera? Type the secret").click()
    secret = base64.b32decode(page.locator("#second-secret").inner_text().replace(" ", ""))
    return totp.hotp(secret, totp.step_at(site.clock()))


@pytest.mark.parametrize(
    "screen",
    [{"viewport": DESK}, {"viewport": PHONE, "java_script_enabled": False}],
    ids=["desk", "phone without JavaScript"],
)
def test_somebody_is_added_and_makes_their_log_in_their_own(
    open_page: Opens, site: Site, db: Database, screen: dict[str, Any]
) -> None:
    scripted = "java_script_enabled" not in screen
    staff.add_staff(
        db, "head", "Head office", "admin", Secret(PASSWORD), CONSOLE, scenes.NOW - timedelta(days=30)
    )
    head = open_page(**screen)
    log_in_as(head, "head", PASSWORD, "/people")
    head.get_by_role("link", name="Add somebody").click()
    head.get_by_label("Log-in name").fill("nadia")
    head.get_by_label("Name", exact=True).fill("Nadia Rahman")
    head.get_by_label("Role").select_option("finance")
    head.get_by_role("button", name="Add them").click()
    password = head.locator("#secret-2").inner_text()
    assert_fits(head)
    head.get_by_role("link", name="Done").click()
    expect(head.get_by_role("link", name="Nadia Rahman")).to_be_visible()

    page = open_page(**screen)
    log_in_as(page, "nadia", password, "/me")
    page.get_by_role("link", name="Set it up").click()
    page.get_by_label("Your password").fill(password)
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_alt_text("QR code with the secret for your authenticator app")).to_be_visible()
    if scripted:
        assert_accessible(page)
    assert_fits(page)
    code = scan(page, site)
    page.get_by_label("The code that the app shows").fill("0")
    page.get_by_role("button", name="Confirm").click()
    expect(page.get_by_text("That code is not right")).to_be_visible()
    assert scan(page, site) == code
    page.get_by_label("The code that the app shows").fill(code)
    page.get_by_role("button", name="Confirm").click()
    codes = page.locator("#recovery-codes").inner_text().split()
    assert len(codes) == 10
    assert_fits(page)
    page.get_by_role("link", name="Done").click()
    expect(page.get_by_text("10 recovery codes left")).to_be_visible()
    if scripted:
        assert_accessible(page)
    assert_fits(page)


def test_a_second_factor_that_the_house_wants_is_set_up_at_the_door(
    open_page: Opens, site: Site, db: Database
) -> None:
    staff.add_staff(db, "nadia", "Nadia", "finance", Secret(PASSWORD), CONSOLE, scenes.NOW)
    scenes.setting(db, "totp_required", True)
    page = open_page(viewport=PHONE)
    log_in_as(page, "nadia", PASSWORD, "/me")
    page.get_by_role("button", name="Go on").click()
    code = scan(page, site)
    assert_accessible(page)
    assert_fits(page)
    page.get_by_label("The code that the app shows").fill(code)
    page.get_by_role("button", name="Confirm").click()
    expect(page.get_by_role("heading", name="Your recovery codes")).to_be_visible()
    assert_fits(page)
    page.get_by_role("link", name="Done").click()
    expect(page.get_by_text("10 recovery codes left")).to_be_visible()


def test_a_consent_is_given_and_the_trail_tells_of_it(open_page: Opens, site: Site, db: Database) -> None:
    staff.add_staff(db, "head", "Head office", "admin", Secret(PASSWORD), CONSOLE, scenes.NOW)
    desk = staff.named(db, "desk")
    consents.ask(
        db,
        action="card.recharge",
        subject="card:10000000017",
        facts={"amount": USD("500"), "currency": "USD"},
        reason="A good customer",
        actor=Actor("staff", desk.id, desk.name, desk.role),
        now=scenes.NOW,
    )
    page = open_page(viewport=PHONE)
    log_in_as(page, "head", PASSWORD, "/people/consents")
    expect(page.get_by_text("USD 500.00").first).to_be_visible()
    page.get_by_role("link", name="Agree").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Reason").fill("Known for years")
    assert_accessible(page)
    dialog.get_by_role("button", name="Agree").click()
    expect(page.get_by_text("Front desk can do it now")).to_be_visible()
    page.goto("/audit")
    page.get_by_label("Words of the reason").fill("known for")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_text("Why: Known for years")).to_be_visible()
    expect(page.get_by_text("Why: A good customer")).to_have_count(0)
    assert "reason=known+for" in page.url
    assert_fits(page)
    page.get_by_role("link", name="Verify the trail").click()
    page.get_by_role("button", name="Verify the chain").click()
    expect(page.get_by_text("The trail is whole")).to_be_visible()
    assert_accessible(page)
    assert_fits(page)
