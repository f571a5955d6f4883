"""A cardholder's errands on an old phone and at a desk, in English and in Arabic, with and without JavaScript."""

from __future__ import annotations

import re
from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Page, expect
from sqlalchemy import text

from engine.db import Database
from engine.people import brands
from engine.vault import Vault
from tests import scenes
from tests.browser.conftest import DESK, PHONE, assert_accessible, assert_fits, violations
from tests.scenes import NOW, OPERATOR, Line, TestCard

MINE, MOTHER = "+49 171 1234567", "+880 1712 345678"
PAGES = (
    "",
    "/prices?q=880",
    "/calls",
    "/money",
    "/recharge",
    "/recharge/transfer",
    "/phones",
    "/security",
    "/help",
)


@pytest.fixture
def card(db: Database, vault: Vault) -> TestCard:
    """A card that has been used, for registered phones alone, in a house with two access numbers."""
    scenes.deck(db)
    scenes.access_number(db, "18005550100", country="US")
    scenes.access_number(db, "12125550199", country="US")
    order = {"binding": "multi", "max_bound": 3, "auto_bind": True, "pinless": True}
    one = scenes.card(db, vault, "5.00", **order)
    line = Line(db, vault, scenes.switch(db))
    line.open(one, caller="447700900123")
    line.answer()
    line.later(95).end(seconds=95)
    return one


@pytest.fixture
def voucher(db: Database, vault: Vault) -> TestCard:
    return scenes.vouchers(db, vault, 1, "10.00")[0]


def press(page: Page, name: str) -> None:
    """Send the form that a field belongs to, as its own button would."""
    page.locator(f"form:has([name={name}]):visible button[type=submit]").last.click()


def act(page: Page, path: str) -> None:
    """Touch what asks first, then agree: the one whose form leads there."""
    sure = page.locator(f"details.sure:has(form[action$='{path}'])")
    sure.locator("summary").click()
    sure.locator("button").click()


def enter(page: Page, card: TestCard, *, by_code: bool = False) -> None:
    """Log in with what is printed on the card."""
    page.goto(f"/card/log-in#{card.number}" if by_code else "/card/log-in")
    if by_code:
        assert card.number not in page.url, "no address keeps it"
    else:
        page.locator("[name=number]").fill(card.number)
    page.locator("[name=password]").fill(card.password)
    press(page, "password")
    page.wait_for_url("**/card")


def look(page: Page) -> None:
    """A page as somebody sees it: whole, readable, and for those who do not see it."""
    assert_fits(page)
    assert_accessible(page)


@pytest.mark.parametrize(
    ("language", "options"),
    [
        ("en-GB", {"viewport": PHONE, "has_touch": True}),
        ("ar", {"viewport": PHONE, "has_touch": True, "color_scheme": "dark"}),
        ("en-GB", {"viewport": PHONE, "java_script_enabled": False}),
        ("ar", {"viewport": DESK}),
    ],
    ids=["phone", "phone-arabic-dark", "no-script", "desk-arabic"],
)
def test_somebody_with_a_card_in_their_hand(
    open_page: Callable[..., Page],
    db: Database,
    vault: Vault,
    card: TestCard,
    voucher: TestCard,
    language: str,
    options: dict[str, Any],
) -> None:
    page = open_page(locale=language, reduced_motion="reduce", **options)
    scripted = options.get("java_script_enabled", True)
    check = look if scripted else lambda _: None
    enter(page, card, by_code=scripted)
    expect(page.locator("html")).to_have_attribute("dir", "rtl" if language == "ar" else "ltr")
    expect(page.locator("html")).to_have_attribute("lang", language[:2])
    assert {link.get_attribute("href") for link in page.locator("a[href^='tel:']").all()} == {
        "tel:+18005550100",
        "tel:+12125550199",
    }
    check(page)

    page.locator("[name=q]").fill("880")
    press(page, "q")
    expect(page.locator(".found h2").or_(page.locator("main h2")).first).to_be_visible()

    page.goto("/card/recharge")
    page.locator("[name=number]").fill(voucher.number)
    page.locator("[name=password]").fill(voucher.password)
    check(page)
    press(page, "password")
    page.wait_for_url(re.compile(r"/card/recharge/rec"))
    check(page)

    page.goto("/card/phones")
    page.locator("[name=caller]").fill("12")
    press(page, "caller")
    expect(page.locator(".error")).to_be_visible()
    expect(page.locator("[name=caller]")).to_have_value("12")
    page.locator("[name=caller]").fill(MINE)
    press(page, "caller")
    page.locator("[name=slot]").fill("7")
    page.locator("[name=destination]").fill(MOTHER)
    page.locator("[name=name]").fill("Mother")
    press(page, "slot")
    expect(page.get_by_text("Mother")).to_be_visible()
    check(page)
    with db.begin() as session:
        assert session.scalar(text("SELECT destination FROM speed_dial")) == "8801712345678"
        assert session.scalar(text("SELECT caller FROM pending_binding")) == "491711234567"

    page.goto("/card/security")
    page.locator("[name=present]").fill(card.password)
    page.locator("[name=chosen]").fill("83620475")
    page.locator("[name=again]").fill("83620475")
    press(page, "present")
    page.wait_for_load_state()
    check(page)
    act(page, "/lost")
    page.wait_for_load_state()
    with db.begin() as session:
        assert session.scalar(text("SELECT lock_reason FROM card WHERE locked_at IS NOT NULL"))
    check(page)
    page.goto("/card/recharge")
    expect(page).to_have_url(re.compile("/card/log-in"))


def test_every_page_with_letters_of_twice_the_size_in_both_themes(
    open_page: Callable[..., Page], db: Database, vault: Vault, card: TestCard
) -> None:
    page = open_page(viewport=PHONE, locale="ar", reduced_motion="reduce")
    enter(page, card)
    for path in PAGES:
        page.goto(f"/card{path}")
        page.emulate_media(color_scheme="dark")
        assert not violations(page, "color-contrast"), path
        page.emulate_media(color_scheme="light")
        assert_accessible(page)
        page.evaluate("document.documentElement.style.fontSize = '200%'")
        assert_fits(page)


def test_without_a_connection_a_page_says_so(open_page: Callable[..., Page], card: TestCard) -> None:
    page = open_page(viewport=PHONE)
    enter(page, card)
    page.evaluate("navigator.serviceWorker.ready.then(() => true)")
    page.context.set_offline(True)
    page.goto("/card/calls")
    expect(page.get_by_role("heading", name="No connection")).to_be_visible()
    expect(page.locator("a[href='tel:+18005550100']")).to_be_visible()
    look(page)
    page.context.set_offline(False)
    page.get_by_role("link", name="Try again").click()
    expect(page.get_by_role("heading", name="Balance", exact=True)).to_be_visible()


def test_a_first_page_is_light(open_page: Callable[..., Page], db: Database, card: TestCard) -> None:
    noise = Image.effect_noise((600, 160), 90).convert("RGB")  # as heavy as a logo can be
    sent = BytesIO()
    noise.save(sent, "PNG")
    brands.set_brand(db, None, "Call Home", "#ffb000", OPERATOR, NOW, logo=sent.getvalue())
    page = open_page(viewport=PHONE)
    wire = page.context.new_cdp_session(page)
    wire.send("Network.enable")
    sizes: list[int] = []
    wire.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
    page.goto("/card/log-in", wait_until="networkidle")
    page.evaluate("navigator.serviceWorker.ready.then(() => true)")
    assert 4 < len(sizes) < 20
    expect(page.get_by_role("img", name="Call Home")).to_be_visible()
    assert sum(sizes) < 60_000, sizes
