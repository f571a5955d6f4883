"""From an empty installation to a charged trial call, and a morning's first look, in a real Chromium."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from playwright.sync_api import Page, expect
from sqlalchemy import text

from engine import alarms
from engine.db import Database
from engine.vault import Vault
from tests import scenes
from tests.browser.conftest import PHONE, Site, assert_accessible, assert_fits, log_in
from tests.scenes import NOW, Line


def test_from_nothing_to_the_first_charged_call(
    site: Site, open_page: Callable[..., Page], db: Database, vault: Vault
) -> None:
    page = open_page()
    log_in(page)
    expect(page.get_by_role("heading", name="From nothing to the first charged call")).to_be_visible()
    assert_accessible(page)
    page.get_by_role("button", name="Use the sample deck").click()
    page.wait_for_url("**/rates/1")
    page.get_by_role("link", name="Home", exact=True).click()
    page.get_by_role("link", name="Order a batch").click()
    page.wait_for_url("**/batches/new")
    page.goto("/")
    scenes.batch(db, vault, 3, name="First", deck="Sample")  # the form is another journey's
    page.reload()
    page.get_by_role("link", name="Make a trial call").click()
    page.get_by_label("Number to call").fill("12")
    page.get_by_role("button", name="Call", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("not a number that can be called")
    page.get_by_label("Number to call").fill("+93 20 123 4567")
    page.get_by_role("button", name="Call", exact=True).click()
    expect(page.get_by_text("Talking")).to_be_visible()
    assert_accessible(page)
    site.clock.later(seconds=61)
    expect(page.get_by_text("1 min 1 s").first).to_be_visible()  # by itself, within a second
    page.set_viewport_size(PHONE)
    assert_fits(page)
    page.get_by_role("button", name="Hang up").click()
    expect(page.get_by_text("billed as 1 min 1 s")).to_be_visible()
    assert_accessible(page)
    assert_fits(page)
    with db.begin() as session:
        (charged,) = session.execute(text("SELECT charged FROM cdr")).one()
    assert charged == 283_700  # 0.2790 a minute for 61 s, rounded to 4 decimals
    page.goto("/")
    expect(page.get_by_role("heading", name="Almost set up")).to_be_visible()
    assert_fits(page)


def test_a_first_look_in_the_morning(
    site: Site, open_page: Callable[..., Page], db: Database, vault: Vault
) -> None:
    scenes.deck(db, {"880": "0.60"})
    card = scenes.card(db, vault, name="May")
    line = Line(db, vault, scenes.switch(db))
    line.open(card, ref="a")
    line.later(60).end("a", seconds=60)
    with db.begin() as session:
        alarms.raise_alarm(session, "lost_calls", "switch:Asterisk", NOW, calls=1, switch_id=1)
    site.clock.now = line.now + timedelta(seconds=5)
    page = open_page()
    log_in(page)
    expect(page.get_by_text("never said that a call ended")).to_be_visible()
    expect(page.get_by_role("img", name="Calls by the hour")).to_be_visible()
    assert_accessible(page)
    page.keyboard.press("/")
    page.keyboard.type("may")
    page.keyboard.press("Enter")
    page.wait_for_url("**/batches/1")
    page.goto("/alarms")
    page.get_by_role("link", name="Clear alarm 1").click()
    page.get_by_role("dialog").get_by_label("What was done").fill("The switch was mended")
    page.get_by_role("dialog").get_by_role("button", name="Clear it").click()
    expect(page.get_by_text("The alarm is cleared.")).to_be_visible()
    page.set_viewport_size(PHONE)
    for path in ("/", "/work/timetable", "/work", "/find", "/trial", "/guide"):
        page.goto(path)
        assert_fits(page)
