"""A trial call on its pages: charged exactly, refused kindly, once for each form, for whom it is."""

from __future__ import annotations

import re

import pytest

from engine.actor import CONSOLE
from engine.cards.serials import serial_of
from engine.db import Database
from engine.people import staff
from engine.vault import Secret, Vault
from tests import scenes
from tests.portal.conftest import PASSWORD, Clock, Visitor, text_of
from tests.scenes import NOW, USD, TestCard

MARK = "<img src=x onerror=alert(1)>"


@pytest.fixture
def card(db: Database, vault: Vault) -> TestCard:
    scenes.deck(db, f"prefix,destination,price,first_increment,increment\n880,Bangladesh {MARK},0.60,30,6\n")
    return scenes.card(db, vault, name=f"May {MARK}")


def call(visitor: Visitor, key: str = "form-1", **fields: str) -> str:
    response = visitor.submit("/trial", key=key, **{"batch": "1", "destination": "+8801712345678", **fields})
    assert response.status_code == 303, text_of(response.text)
    return str(response.location)


def test_it_ticks_and_is_charged(visitor: Visitor, db: Database, card: TestCard, clock: Clock) -> None:
    place = call(visitor)
    clock.later(seconds=31)
    page = visitor.get(place)
    assert MARK not in page.text
    assert 'hx-trigger="every 1s"' in page.text
    part = visitor.part(place).text
    assert part.strip().startswith("<section")
    assert "Hang up" not in part
    assert "0.36" in text_of(part)
    clock.later(seconds=6)
    assert visitor.submit(f"{place}/hang-up").location == place
    ended = visitor.get(place)
    assert 'hx-trigger="every 1s"' not in ended.text
    assert "0.42" in text_of(ended.text)
    assert "billed as 42 s" in text_of(ended.text)
    assert scenes.facts(db, card).balance == USD("5") - USD("0.42")
    assert card.password not in page.text + ended.text
    assert card.number not in page.text + ended.text
    visitor.submit(f"{place}/hang-up")
    assert scenes.facts(db, card).balance == USD("4.58")


def test_the_same_form_twice_is_one_call(visitor: Visitor, db: Database, card: TestCard) -> None:
    assert call(visitor) == call(visitor, serial=card.serial, batch="")
    assert scenes.facts(db, card).live_calls == 1


BAD = (
    ({"batch": ""}, "Choose a batch, or name a card"),
    ({"batch": "9"}, "Choose one of the list"),
    ({"destination": ""}, "Fill this in"),
    ({"destination": MARK}, "not a number that can be called"),
    ({"destination": "+44 20 7946 0000"}, "no rate for this destination"),
    ({"serial": "12345"}, "serial"),
    ({"serial": serial_of(9_876_543_210)}, "no such card"),
    ({"destination": "1" * 41}, "at most 40 characters"),
)


def test_what_does_not_work_is_said_and_can_be_mended(visitor: Visitor, db: Database, card: TestCard) -> None:
    for fields, said in BAD:
        asked = {"batch": "1", "destination": "+8801712345678", **fields}
        response = visitor.submit("/trial", key="form-1", **asked)
        assert response.status_code == 422, said
        assert said.lower() in text_of(response.text).lower()
        assert MARK not in response.text
    assert scenes.facts(db, card).live_calls == 0
    call(visitor)


def test_without_a_batch_it_says_how_to_get_one(visitor: Visitor) -> None:
    assert "Order a batch" in text_of(visitor.get("/trial").text)
    assert visitor.get("/trial/nothing").status_code == 404
    assert visitor.submit("/trial/nothing/hang-up").status_code == 404


def test_it_is_for_those_who_run_the_house(visitor: Visitor, db: Database, card: TestCard) -> None:
    place = call(visitor)
    for role in ("support", "finance", "auditor"):
        staff.add_staff(db, role, role, role, Secret(PASSWORD), CONSOLE, NOW)
        other = visitor.application.test_client()
        assert isinstance(other, Visitor)
        other.log_in(role)
        assert other.get("/trial").status_code == 403
        assert other.get(place).status_code == 403
        assert other.submit(f"{place}/hang-up").status_code == 403
    assert re.fullmatch(r"/trial/trial-[0-9a-f]{20}", place)
