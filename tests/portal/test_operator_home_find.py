"""The find box: where it goes at once, what it groups, what it never shows."""

from __future__ import annotations

import pytest

from engine.actor import CONSOLE
from engine.db import Database
from engine.people import resellers, staff
from engine.vault import Secret, Vault
from portal.operator.home.finding import masked
from tests import scenes
from tests.portal.conftest import PASSWORD, Visitor, text_of
from tests.scenes import NOW, OPERATOR, Line, TestCard

MARK = "<img src=x onerror=alert(1)>"
CALLER = "491711234567"


@pytest.fixture
def card(db: Database, vault: Vault) -> TestCard:
    scenes.deck(db)
    return scenes.card(db, vault, name="Spring_10_May", concurrency=2)


def test_one_thing_that_fits_is_gone_to(visitor: Visitor, db: Database, vault: Vault, card: TestCard) -> None:
    shop = resellers.add_reseller(db, "Corner shop", OPERATOR, NOW)
    Line(db, vault, scenes.switch(db)).open(card, ref="ref-1", caller=CALLER)
    for typed, place in (
        (card.serial, f"/cards/{card.serial}"),
        (card.number, f"/cards/{card.serial}"),
        ("spring", "/batches/1"),
        ("corner", f"/resellers/{shop.id}"),
        ("ref-1", f"/cards/{card.serial}#calls"),
        (f"+{CALLER}", f"/cards/{card.serial}#calls"),
    ):
        response = visitor.submit("/find", wanted=typed)
        assert (response.status_code, response.location) == (303, place), typed


def test_several_things_stand_in_groups(visitor: Visitor, db: Database, vault: Vault, card: TestCard) -> None:
    resellers.add_reseller(db, f"Spring {MARK}", OPERATOR, NOW)
    scenes.batch(db, vault, 1, name=f"Spring {MARK}")
    Line(db, vault, scenes.switch(db, f"West {MARK}")).open(card, ref="Spring", caller=CALLER)
    page = visitor.submit("/find", wanted="Spring")
    assert page.status_code == 200
    assert MARK not in page.text
    text = text_of(page.text)
    assert "4 things fit Spring" in text
    for group in ("Calls", "Batches", "Resellers"):
        assert group in text
    assert f"through West {MARK}" in text


def test_a_role_without_resellers_finds_none(visitor: Visitor, db: Database, card: TestCard) -> None:
    resellers.add_reseller(db, "Corner shop", OPERATOR, NOW)
    staff.add_staff(db, "support", "Support", "support", Secret(PASSWORD), CONSOLE, NOW)
    desk = visitor.application.test_client()
    assert isinstance(desk, Visitor)
    desk.log_in("support")
    page = desk.submit("/find", wanted="Corner")
    assert page.status_code == 422
    assert "and resellers" not in page.text


def test_what_may_be_a_card_number_is_never_shown_again(visitor: Visitor) -> None:
    for typed in ("123456789012", "4000 1234 5678 9012", "12-34-56-78"):
        page = visitor.submit("/find", wanted=typed)
        assert page.status_code == 422
        assert typed not in page.text
        assert "".join(filter(str.isdigit, typed)) not in page.text
        assert masked(typed) in text_of(page.text)
        assert "check digit" in page.text


def test_masks_keep_the_last_four_and_what_is_no_number() -> None:
    assert masked("4000 1234 5678") == "•••• •••• 5678"
    assert masked("123456") == "123456"
    assert masked("+491711234567") == "+491711234567"
    assert masked("Spring 10 May 2026") == "Spring 10 May 2026"


def test_nothing_found_says_what_was_looked_for(visitor: Visitor) -> None:
    for typed in ("no such thing", MARK, "' OR 1=1 --", "１２３４５", "x" * 128, "x" * 129, ""):
        page = visitor.submit("/find", wanted=typed)
        assert page.status_code == 422
        assert 'aria-invalid="true"' in page.text
        assert MARK not in page.text
