"""Batches in a real browser: ordered by a preset, watched, handed out by a template, activated, shredded."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from engine import work
from engine.actor import CONSOLE
from engine.db import Database
from engine.schema import Batch
from engine.stock import generation, handover, templates
from engine.stock.forms import Form
from engine.vault import Vault
from tests import scenes
from tests.browser.conftest import PHONE, Site, assert_accessible, assert_fits, log_in

pytestmark = pytest.mark.browser
Opens = Callable[..., Page]


def made(db: Database, vault: Vault, site: Site) -> None:
    """Make the cards that somebody ordered, as the jobs process would."""
    claimed = work.claim(db, "test", ["generate"], site.clock.now)
    assert claimed is not None
    generation.run(db, vault, claimed, site.clock)


def test_from_the_order_to_the_shredder(
    open_page: Opens, db: Database, vault: Vault, site: Site, tmp_path: Path
) -> None:
    scenes.deck(db)
    templates.add(
        db,
        "Printer A",
        Form(columns=("serial", "number", "password"), delimiter=";", grouping=4),
        CONSOLE,
        site.clock.now,
    )
    page = open_page()
    log_in(page)
    page.goto("/batches")
    page.get_by_role("link", name="New batch").click()
    page.get_by_role("button", name="Bind high-value cards").click()
    expect(page.get_by_text("Filled in: one registered phone")).to_be_visible()
    page.get_by_label("Region").fill("Dhaka")
    page.get_by_label("Number of cards").fill("50")
    page.get_by_label("Face value", exact=True).press_sequentially("50")
    # The outlook follows what is typed.
    outlook = page.get_by_label("What it would become")
    expect(outlook.get_by_text("Dhaka_50_November")).to_be_visible()
    expect(outlook.get_by_text("One blind try in 200 million million million")).to_be_visible()
    assert_accessible(page)
    page.get_by_text("Numbers and passwords", exact=True).click()
    page.get_by_label("Digits of a card number").fill("11")
    expect(outlook.get_by_text("fewer than 12 digits are easier to guess")).to_be_visible()
    page.get_by_label("Digits of a card number").fill("12")
    page.get_by_label("Face value", exact=True).press("Enter")
    expect(page.get_by_role("heading", name="A last look")).to_be_visible()
    expect(page.get_by_text("USD 2,500.00")).to_be_visible()
    page.get_by_role("button", name="Order 50 cards").click()
    expect(page.get_by_text("The batch is ordered.")).to_be_visible()
    expect(page.get_by_text("Waiting")).to_be_visible()
    made(db, vault, site)
    expect(page.get_by_text("Ready", exact=True).first).to_be_visible()
    page.goto("/batches/1")
    _hands_out(page, tmp_path)
    _activates(page, db)
    _shreds(page)


def _hands_out(page: Page, tmp_path: Path) -> None:
    page.get_by_role("link", name="Hand them to the printer").click()
    expect(page.get_by_text("serial,number,password,denomination")).to_be_visible()
    page.get_by_label("Form of the file").select_option("Printer A")
    expect(page.get_by_text(re.compile(r"^serial;number;password\s"))).to_be_visible()
    assert_accessible(page)
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download").click()
    assert waiting.value.suggested_filename == "Dhaka_50_November.csv"
    waiting.value.save_as(tmp_path / "cards.csv")
    lines = (tmp_path / "cards.csv").read_text().splitlines()
    assert len(lines) == 51
    assert re.fullmatch(r"\d{11};\d{4} \d{4} \d{4};\d{10}", lines[1])
    page.get_by_role("link", name="Back to the batch").click()
    expect(page.get_by_role("cell", name="Printer A")).to_be_visible()


def _activates(page: Page, db: Database) -> None:
    page.get_by_role("link", name="Activate a range").click()
    with db.begin() as session:
        first = session.query(Batch).one().first_id
    page.get_by_label("To serial").fill(scenes.serial_of(first + 19))
    page.get_by_role("button", name="Look what it would change").click()
    expect(page.get_by_text("20 of 20 cards would be activated.")).to_be_visible()
    page.get_by_role("button", name="Activate 20 cards").click()
    expect(page.get_by_text("20 cards activated.")).to_be_visible()
    expect(page.get_by_text("USD 1,000.00 is owed on the 20 that can be used.")).to_be_visible()
    assert_accessible(page)


def _shreds(page: Page) -> None:
    page.get_by_role("link", name="Shred the passwords").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("They were handed out last on")).to_be_visible()
    dialog.get_by_label("The name of the batch").fill("Dhaka")
    dialog.get_by_role("button", name="Shred for good").click()
    expect(dialog.get_by_text("That is not the name of this batch.")).to_be_visible()
    dialog.get_by_label("The name of the batch").fill("Dhaka_50_November")
    dialog.get_by_role("button", name="Shred for good").click()
    expect(page.get_by_text("The passwords are shredded")).to_be_visible()
    expect(page.get_by_text("shredded 20 Nov 2026, 12:00 by Front desk")).to_be_visible()


def test_a_large_file_gets_ready_by_itself_and_is_fetched_on_a_phone(
    open_page: Opens, db: Database, vault: Vault, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenes.batch(db, vault, 5, name="Dhaka_5")
    monkeypatch.setattr(handover, "AT_ONCE", 2)
    page = open_page(viewport=PHONE)
    log_in(page)
    for path in ("/batches/new", "/batches/1", "/batches/1/range", "/batches/import", "/templates/new"):
        page.goto(path)
        assert_fits(page)
    page.goto("/batches/1/export")
    page.get_by_role("button", name="Make the file").click()
    expect(page.get_by_text("Waiting", exact=True)).to_be_visible()
    claimed = work.claim(db, "test", [handover.KIND], site.clock.now)
    assert claimed is not None
    work.finish(db, claimed, site.clock.now, handover.run(db, vault, claimed, site.clock))
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download").click()
    assert waiting.value.suggested_filename == "Dhaka_5.csv"
    assert_fits(page)


def test_cards_are_imported_without_javascript(
    open_page: Opens, db: Database, site: Site, tmp_path: Path
) -> None:
    scenes.deck(db)
    (tmp_path / "old.csv").write_text("PIN,Card No,Rest\n12345678,990000000001,5.00\n")
    page = open_page(java_script_enabled=False, viewport=PHONE)
    log_in(page)
    page.goto("/batches/import")
    page.get_by_label("The list of cards").set_input_files(tmp_path / "old.csv")
    page.get_by_role("button", name="Look at it").click()
    expect(page.get_by_text("There is no column for the balance")).to_be_visible()
    page.get_by_label("Balance").select_option("Rest")
    page.get_by_role("button", name="Look again").click()
    expect(page.get_by_text("…0001")).to_be_visible()
    assert_fits(page)
    page.get_by_role("button", name="Import 1 card").click()
    expect(page.get_by_text("1 card is imported.")).to_be_visible()
