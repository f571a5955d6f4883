"""The price search: what a reader is told for countries, numbers and whatever else is typed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask import Flask

from engine.config import Keys
from tests import scenes
from tests.conftest import Clones
from tests.portal.conftest import text_of
from tests.portal.holderhouse import HolderHouse, holder_house
from tests.portal.holders import Holder, holder_of
from tests.scenes import TestCard

RATES = {"880": "0.015", "44": "0.02", "4990": "0.00"}


@pytest.fixture(scope="module")
def house(clones: Clones, keys: Keys, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HolderHouse]:
    with holder_house(clones, keys, tmp_path_factory.mktemp("home")) as made:
        scenes.deck(made.db, RATES)
        scenes.deck(made.db, {"880": "0.10"}, name="Dear")
        scenes.batch(made.db, made.vault, 1, deck="Dear", name="Dear cards")
        scenes.batch(made.db, made.vault, 1)  # the newest, whose prices all may see
        yield made


@pytest.fixture(scope="module")
def card(house: HolderHouse) -> TestCard:
    """A card with dearer prices than those that all may see."""
    return scenes.cards_of(house.db, house.vault, 1)[0]


@pytest.fixture(scope="module")
def stranger(house: HolderHouse) -> Holder:
    return holder_of(house.app)


def told(browser: Holder, typed: str) -> str:
    answer = browser.get("/card/prices", query_string={"q": typed})
    assert answer.status_code == 200
    return text_of(answer.text)


def test_prices_are_open_to_all_and_a_cards_own_are_its_own(
    house: HolderHouse, stranger: Holder, card: TestCard
) -> None:
    own = house.holder(card)
    assert "$0.015 a minute" in told(stranger, "Bangladesh")
    assert "$0.10 a minute" in told(own, "Bangladesh")
    assert "Your balance lasts about 50 minutes." in told(own, "Bangladesh")
    assert "Log in to see those of yours." in told(stranger, "")
    assert "Log in to see those of yours." not in told(own, "")


@pytest.mark.parametrize(
    "typed",
    ["8801712345678", "+880 1712-345678", "00880 1712 345678", "\u0668\u0668\u0660\u0661\u0667\u0661\u0662"],
)
def test_a_number_is_understood_as_it_is_typed(stranger: Holder, typed: str) -> None:
    found = told(stranger, typed)
    assert "Calls to" in found
    assert "$0.015 a minute" in found


def test_where_a_card_can_not_call_is_said(house: HolderHouse, card: TestCard) -> None:
    assert "can't be called with this card" in told(house.holder(card), "United Kingdom")


@pytest.mark.parametrize(
    "typed",
    [
        "a" * 1000,
        "9" * 1000,
        "%",
        "_",
        "%%%",
        "\\",
        "'; DROP TABLE card --",
        "\u202eBangladesh",
        "\U0001f1e7\U0001f1e9",
        "\u09ac\u09be\u0982\u09b2\u09be\u09a6\u09c7\u09b6",
        "<script>alert(1)</script>",
        "{{7*7}}",
        "   ",
    ],
)
def test_whatever_is_typed_gets_a_page(stranger: Holder, typed: str) -> None:
    answer = stranger.get("/card/prices", query_string={"q": typed})
    assert answer.status_code == 200
    assert "<script>alert" not in answer.text
    if typed in ("%", "_", "%%%", "\\"):
        assert "a minute" not in text_of(answer.text), "it is no wildcard"


def test_looking_for_a_price_needs_no_script(stranger: Holder) -> None:
    page = stranger.get("/card/prices").text
    assert 'name="q"' in page
    assert 'method="post"' not in page.split("<main")[1].split("</main>")[0]


def test_a_character_that_no_keyboard_has_is_refused(app: Flask) -> None:
    assert holder_of(app).get("/card/prices?q=%00").status_code == 400
