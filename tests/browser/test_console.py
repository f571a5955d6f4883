"""The console as a person meets it: with and without JavaScript, light and dark, on a desk and on a phone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from engine import work
from engine.db import Database
from engine.stock import generation
from engine.stock.batches import BatchOrder, order_batch
from engine.vault import Vault
from tests import scenes
from tests.browser.conftest import PHONE, Site, assert_accessible, assert_fits, log_in
from tests.portal.conftest import LOGIN
from tests.scenes import Line, TestCard

pytestmark = pytest.mark.browser
Opens = Callable[..., Page]


@pytest.fixture
def card(db: Database, vault: Vault, site: Site) -> Iterator[TestCard]:
    """A card with a history: calls, one of them live."""
    made = scenes.batch(db, vault, 3, name="Dhaka_5_November_with_a_name_that_does_not_end_soon_at_all")[0]
    line = Line(db, vault, scenes.switch(db, "gw-london"))
    for number, seconds in enumerate((61, 0, 754.4)):
        line.open(made, ref=f"c{number}", caller="447700900123")
        line.later(seconds + 5).end(f"c{number}", seconds=seconds)
    line.open(made, ref="live", one_shot=False)
    site.clock.now = line.now
    yield made
    line.end("live", seconds=0)


def _running(db: Database, vault: Vault, site: Site) -> tuple[int, work.Claimed]:
    """A batch that is being generated."""
    order = BatchOrder(
        name="Manila_5", count=500, denomination=scenes.USD("5.00"), currency="USD", deck="Standard"
    )
    ordered = order_batch(db, vault, order, scenes.OPERATOR, site.clock.now)
    claimed = work.claim(db, "test", ["generate"], site.clock.now, work_id=ordered.work_id)
    assert claimed is not None
    return ordered.batch_id, claimed


def test_from_the_log_in_to_a_call_explained(open_page: Opens, card: TestCard) -> None:
    page = open_page()
    page.goto("/")
    expect(page).to_have_url(re.compile(r"/log-in"))
    expect(page.get_by_label("Log-in name")).to_be_focused()
    page.keyboard.type(LOGIN)
    page.keyboard.press("Tab")
    page.keyboard.type("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("That log-in name and password don't fit together.")
    expect(page.get_by_label("Log-in name")).to_have_value(LOGIN)
    log_in(page)
    expect(page.get_by_role("link", name="Home", exact=True)).to_have_attribute("aria-current", "page")
    # By the keyboard alone: "/" finds, and a typed number never reaches the address.
    page.keyboard.press("/")
    expect(page.get_by_label("Find", exact=True)).to_be_focused()
    page.keyboard.type(card.number)
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/cards/{card.serial}")
    assert card.number not in page.content()
    expect(page.get_by_role("heading", level=1)).to_contain_text("1000")
    expect(page.get_by_text("billed as 1 min 1 s at USD 0.015 a minute = USD 0.0153")).to_be_visible()
    expect(page.get_by_role("heading", name="Live now")).to_be_visible()
    page.get_by_role("link", name="Call", exact=True).first.click()
    expect(page).to_have_url(re.compile(r"#call-\d+$"))
    page.get_by_role("button", name="Log out").click()
    page.wait_for_url("**/log-in")
    page.goto("/batches")
    expect(page).to_have_url(re.compile(r"/log-in"))


def test_progress_moves_by_itself_and_then_is_silent(
    open_page: Opens, db: Database, vault: Vault, site: Site
) -> None:
    scenes.deck(db)
    batch_id, claimed = _running(db, vault, site)
    page = open_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    log_in(page)
    page.goto("/batches")
    expect(page.get_by_text("Generating")).to_be_visible()
    polled = page.expect_response(f"**/batches/{batch_id}")
    with polled as answer:
        assert answer.value.request.headers["hx-request-type"] == "partial"
    generation.run(db, vault, claimed, site.clock)
    expect(page.locator("#list").get_by_text("Ready", exact=True)).to_be_visible()
    expect(page.get_by_role("progressbar")).to_have_count(0)
    asked.clear()
    page.wait_for_timeout(2500)
    assert asked == []


def test_progress_outlives_an_answer_that_failed(
    open_page: Opens, db: Database, vault: Vault, site: Site
) -> None:
    """One refused poll neither spoils the page nor ends the polling."""
    scenes.deck(db)
    batch_id, claimed = _running(db, vault, site)
    page = open_page()
    page.route(
        f"**/batches/{batch_id}", lambda route: route.fulfill(status=403, body="<p>broken</p>"), times=1
    )
    log_in(page)
    with page.expect_response(lambda answer: answer.status == 403):
        page.goto("/batches")
    expect(page.get_by_text("Generating")).to_be_visible()
    expect(page.get_by_text("broken")).to_have_count(0)
    generation.run(db, vault, claimed, site.clock)
    expect(page.locator("#list").get_by_text("Ready", exact=True)).to_be_visible(timeout=20_000)


def test_a_session_that_ended_leads_a_polling_page_to_the_log_in(
    open_page: Opens, db: Database, vault: Vault, site: Site
) -> None:
    scenes.deck(db)
    _running(db, vault, site)
    page = open_page()
    log_in(page)
    page.goto("/batches")
    site.clock.later(hours=13)
    page.wait_for_url("**/log-in")


def test_all_of_it_works_without_javascript(
    open_page: Opens, card: TestCard, db: Database, vault: Vault, site: Site
) -> None:
    _, claimed = _running(db, vault, site)
    page = open_page(java_script_enabled=False, viewport=PHONE)
    log_in(page)
    page.goto("/batches")
    expect(page.get_by_text("Generating")).to_be_visible()
    generation.run(db, vault, claimed, site.clock)
    page.get_by_role("link", name="Show the progress now").click()
    expect(page.get_by_text("Generating")).to_have_count(0)
    page.get_by_label("Find", exact=True).fill(card.serial)
    page.get_by_role("button", name="Find").click()
    page.wait_for_url(f"**/cards/{card.serial}")
    expect(page.get_by_text("billed as 1 min 1 s")).to_be_visible()
    # The menu is the browser's own.
    expect(page.get_by_role("navigation", name="Sections")).to_be_hidden()
    page.get_by_role("button", name="Menu").click()
    expect(page.get_by_role("navigation", name="Sections")).to_be_visible()
    page.get_by_role("button", name="Dark").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert page.url.endswith(f"/cards/{card.serial}")
    expect(page.get_by_role("button", name="Copy")).to_have_count(0)
    page.get_by_role("button", name="Menu").click()
    page.get_by_role("button", name="Log out").click()
    page.wait_for_url("**/log-in")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_log_in_and_the_menu_are_accessible_on_a_phone(open_page: Opens, site: Site, scheme: str) -> None:
    page = open_page(color_scheme=scheme, viewport=PHONE)
    page.goto("/log-in")
    assert_accessible(page)
    assert_fits(page)
    log_in(page)
    page.get_by_role("button", name="Menu").click()
    assert_accessible(page)
    page.goto("/nowhere")
    assert_accessible(page)
    assert_fits(page)


def test_a_command_can_be_copied(open_page: Opens, site: Site) -> None:
    page = open_page(permissions=["clipboard-read", "clipboard-write"], viewport=PHONE)
    page.goto("/log-in")
    page.get_by_text("No log-in yet?").click()
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    copied = page.evaluate("() => navigator.clipboard.readText()")
    assert copied == 'cardtone staff add LOGIN --name "Full name" --role operator'


def test_nothing_is_cut_off_between_phone_and_desk(open_page: Opens, card: TestCard) -> None:
    page = open_page()
    log_in(page)
    for width in (320, 480, 768, 833, 900, 1024, 1105, 1920):
        page.set_viewport_size({"width": width, "height": 800})
        for path in ("/batches", f"/cards/{card.serial}"):
            page.goto(path)
            assert_fits(page)


def test_the_first_stop_of_the_keyboard_skips_to_the_content(open_page: Opens, site: Site) -> None:
    page = open_page()
    log_in(page)
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the content")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()


def test_a_name_with_markup_runs_nothing(open_page: Opens, db: Database, vault: Vault, site: Site) -> None:
    marker = "<img src=x onerror=document.title='taken'><script>document.title='taken'</script>"
    card = scenes.card(db, vault, name=marker)
    page = open_page()
    log_in(page)
    for path in ("/batches", "/batches/1", f"/cards/{card.serial}"):
        page.goto(path)
        expect(page.get_by_text("onerror=document.title").first).to_be_visible()
        assert "taken" not in page.title().replace(marker, "")
        assert page.locator("main img").count() == 0
