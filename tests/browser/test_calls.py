"""A day at the desk: find a call and read why it cost what it cost, end a live one, resolve a flagged one, export."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from playwright.sync_api import Page, expect

from engine.db import Database
from engine.vault import Vault
from tests import scenes
from tests.browser.conftest import PHONE, Site, assert_accessible, assert_fits, log_in
from tests.scenes import Line

PATHS = ("/calls", "/calls/live", "/calls/refused", "/calls/flagged", "/calls/exports")


@pytest.fixture
def line(db: Database, vault: Vault) -> Line:
    """A call that ended, one that was flagged, one that lives, and a try that was refused."""
    card = scenes.card(db, vault, "50.00", concurrency=5)
    line = Line(db, vault, scenes.switch(db))
    line.open(card, ref="plain", caller="491711234567")
    line.later(61).end("plain", seconds=61)
    line.open(card, ref="capped", one_shot=False)
    line.later(10).end("capped", seconds=900)
    line.open(card, ref="live", one_shot=False)
    line.answer("live")
    line.authenticate(card.with_password("00000000"))
    return line


def test_a_day_at_the_desk(open_page: Callable[..., Page], site: Site, line: Line) -> None:
    site.clock.now = line.now + timedelta(seconds=60)
    page = open_page()
    log_in(page)
    page.goto("/calls")
    expect(page.locator("#sums")).to_contain_text("2 calls")
    page.get_by_role("textbox", name="Caller").fill("+49 171 1234567")
    page.get_by_role("button", name="Show").first.click()
    expect(page.locator("tbody tr")).to_have_count(1)
    assert "caller=" in page.url
    page.locator("tbody th a").first.click()
    expect(page.locator(".why")).to_contain_text("1 min 1 s of talk, billed as 1 min 1 s")
    assert_accessible(page)

    page.goto("/calls/live")
    cost = page.locator(".tiles dd .money")
    expect(cost.first).to_contain_text("0.015")
    site.clock.now += timedelta(seconds=60)
    expect(cost.first).to_contain_text("0.03")  # the list asks for itself
    page.get_by_role("link", name="End the call of").click()
    page.get_by_label("Reason").fill("Nobody hangs up")
    page.get_by_role("button", name="End the call").click()
    expect(page.locator("#notices")).to_contain_text("The call has ended: USD 0.03 charged")
    expect(page.get_by_text("Nobody is calling now")).to_be_visible()

    page.goto("/calls/flagged")
    expect(page.locator("tbody tr")).to_have_count(2)
    page.locator("tbody input[type=checkbox]").nth(1).check()
    page.get_by_role("button", name="Resolve", exact=True).click()
    page.get_by_label("What you found out").fill("The clock of the switch was wrong")
    page.get_by_role("button", name="Resolve").click()
    expect(page.locator("#notices")).to_contain_text("The call is resolved.")
    expect(page.locator("tbody tr")).to_have_count(1)

    page.goto("/calls?flag=any")
    page.get_by_role("link", name="Export all of these").click()
    page.get_by_role("button", name="Export", exact=True).click()
    expect(page.locator("#notices")).to_contain_text("The export has begun.")
    expect(page.locator("tbody tr")).to_contain_text("Waiting")


def test_each_page_fits_a_phone_and_is_accessible(
    open_page: Callable[..., Page], site: Site, line: Line
) -> None:
    site.clock.now = line.now + timedelta(seconds=60)
    page = open_page(viewport=PHONE, color_scheme="dark")
    log_in(page)
    for path in PATHS:
        page.goto(path)
        assert_fits(page)
        assert_accessible(page)
