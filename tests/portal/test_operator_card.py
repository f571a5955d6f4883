"""Finding a card, and its page: what it is, why it is so, its calls explained, its ledger."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import delete, update

from engine.actor import Actor
from engine.cards import phones
from engine.cards.queries import PAGE, card_page, find_cards
from engine.cards.serials import serial_of
from engine.db import Database
from engine.schema import Batch, Binding, Card
from engine.vault import Vault
from tests import scenes
from tests.portal.conftest import Clock, Visitor, text_of
from tests.scenes import Line, TestCard


def change(db: Database, card: TestCard, **facts: Any) -> None:
    with db.begin() as session:
        session.execute(update(Card).where(Card.id == card.id).values(**facts))


@pytest.fixture
def card(db: Database, vault: Vault) -> TestCard:
    """A card that nobody has used."""
    return scenes.card(db, vault, name="Dhaka_5")


@pytest.fixture
def line(db: Database, vault: Vault) -> Line:
    """A switch that calls."""
    return Line(db, vault, scenes.switch(db, "gw-london"))


def talk(line: Line, card: TestCard, seconds: float, ref: str, destination: str = scenes.BANGLADESH) -> None:
    """One whole call."""
    line.open(card, destination, ref=ref, caller="447700900123")
    line.answer(ref)
    line.later(seconds)
    line.end(ref, seconds=seconds)
    line.later(10)


# Finding


def test_a_serial_leads_to_its_card(visitor: Visitor, card: TestCard) -> None:
    spaced = f" {card.serial[:4]} {card.serial[4:8]}-{card.serial[8:]} "
    for typed in (card.serial, spaced):
        response = visitor.submit("/find", wanted=typed)
        assert (response.status_code, response.location) == (303, f"/cards/{card.serial}")
        assert visitor.get("/find", query_string={"serial": typed}).location == f"/cards/{card.serial}"
    assert visitor.get(f"/cards/{spaced.strip()}").location == f"/cards/{card.serial}"


def test_a_number_leads_to_the_card_by_its_serial_alone(visitor: Visitor, card: TestCard) -> None:
    number = card.number
    for typed in (number, f"{number[:4]} {number[4:8]} {number[8:]}"):
        response = visitor.submit("/find", wanted=typed)
        assert (response.status_code, response.location) == (303, f"/cards/{card.serial}")
        assert number not in str(response.headers)
    page = visitor.get(f"/cards/{card.serial}").text
    assert number not in page
    assert card.password not in page
    assert f"ends in {number[-4:]}" in text_of(page)


def test_a_number_in_an_address_leads_nowhere(visitor: Visitor, card: TestCard) -> None:
    for path in (f"/cards/{card.number}", f"/find?serial={card.number}"):
        response = visitor.get(path)
        assert response.status_code == 404
        assert card.number not in response.text.replace(f'value="{path}"', "")
        assert "Location" not in response.headers


@pytest.mark.parametrize(
    "typed", ["1", "10000000017", "999999999999", "abc", "１２３", "<script>", "'; DROP"]
)
def test_what_is_not_found_is_said_at_the_field(visitor: Visitor, typed: str) -> None:
    response = visitor.submit("/find", wanted=typed)
    assert response.status_code == 422
    assert 'class="error"' in response.text
    assert "<script>" not in response.text


@pytest.mark.parametrize("typed", ["", "1" * 65])
def test_an_unfit_find_says_so(visitor: Visitor, typed: str) -> None:
    response = visitor.submit("/find", wanted=typed)
    assert response.status_code == 422
    assert 'aria-invalid="true"' in response.text


def test_digits_that_fit_two_cards_offer_both(visitor: Visitor, db: Database, vault: Vault) -> None:
    one, other = scenes.batch(db, vault, 2, number_length=11)
    change(db, other, number=one.serial)
    assert [match.by for match in find_cards(db, one.serial)] == ["serial", "number"]
    page = visitor.submit("/find", wanted=one.serial)
    assert page.status_code == 200
    assert f'href="/cards/{one.serial}"' in page.text
    assert f'href="/cards/{other.serial}"' in page.text
    change(db, other, number="1" * 11)


@pytest.mark.parametrize(
    ("serial", "advice"),
    [
        ("10000000018", "check digit"),
        ("123", "exactly 11 digits"),
        ("١٠٠٠٠٠٠٠٠١٧", "check digit"),
        ("x" * 300, "exactly 11 digits"),
        (serial_of(9_876_543_210), "no batch holds it"),
    ],
)
def test_a_serial_that_leads_nowhere_says_how_to_check_it(visitor: Visitor, serial: str, advice: str) -> None:
    response = visitor.get(f"/cards/{serial}")
    assert response.status_code == 404
    assert advice in text_of(response.text)
    assert 'href="/find"' in response.text


# Status and why


def why(visitor: Visitor, card: TestCard) -> str:
    return text_of(visitor.get(f"/cards/{card.serial}").text)


def test_an_unused_card_says_when_its_days_begin(visitor: Visitor, card: TestCard) -> None:
    page = why(visitor, card)
    assert "Unused" in page
    assert "Never used. Its 90 days begin with its first use." in page
    assert "No calls yet." in page
    assert "Face value" in page


def test_a_locked_card_says_who_and_why(visitor: Visitor, db: Database, card: TestCard) -> None:
    change(db, card, locked_at=scenes.NOW, locked_by="console", lock_reason="Lost <b>twice</b>")
    page = why(visitor, card)
    assert "Locked since 20 Nov 2026, 12:00 by the command line: Lost <b>twice</b>." in page
    assert "It takes no calls" in page


def test_a_damaged_card_is_so_for_good(visitor: Visitor, db: Database, card: TestCard) -> None:
    change(db, card, damaged_at=scenes.NOW, damaged_by="staff:1", locked_at=scenes.NOW, locked_by="system")
    page = why(visitor, card)
    assert "Damaged" in page
    assert "Voided for good on 20 Nov 2026, 12:00" in page


def test_an_expired_card_says_until_when_it_can_be_revived(
    visitor: Visitor, db: Database, vault: Vault
) -> None:
    card = scenes.card(db, vault, name="Old", grace_days=30)
    change(db, card, expires_at=scenes.NOW - timedelta(hours=12))
    page = why(visitor, card)
    assert "Its validity lasted until the end of 19 Nov 2026, so it takes no calls." in page
    assert "it may be revived, until the end of 19 Dec 2026." in page


def test_a_card_that_is_held_back_says_so(visitor: Visitor, db: Database, vault: Vault) -> None:
    card = scenes.card(db, vault, name="Held", release="activation")
    page = why(visitor, card)
    assert "Held back" in page
    assert "every door refuses it until it is activated" in page


def test_a_card_of_an_unready_batch_says_so(visitor: Visitor, db: Database, card: TestCard) -> None:
    with db.begin() as session:
        session.execute(update(Batch).values(ready_at=None))
    assert "Its batch is not ready, so nobody can use it yet." in why(visitor, card)


def test_a_voucher_says_what_it_is(visitor: Visitor, db: Database, vault: Vault) -> None:
    assert "A recharge voucher" in why(visitor, scenes.vouchers(db, vault)[0])


def test_bound_phones_are_shown(visitor: Visitor, db: Database, vault: Vault) -> None:
    card = scenes.card(db, vault, name="Bound", binding="single")
    with db.begin() as session:
        session.add(
            Binding(card_id=card.id, caller="447700900123", created_at=scenes.NOW, created_by="system")
        )
    assert "one registered phone +447700900123" in why(visitor, card)
    holder = Actor("cardholder", card.id, card.serial)
    with db.begin() as session:
        session.execute(delete(Binding))
    phones.add_phone(db, card_id=card.id, caller="+447700900456", actor=holder, now=scenes.NOW)
    assert "+447700900456, registered by its holder; waits for a call until 21 Nov 2026, 12:00" in why(
        visitor, card
    )


# Calls and ledger


def test_a_call_is_explained_and_stands_in_the_ledger(
    visitor: Visitor, db: Database, card: TestCard, line: Line, clock: Clock
) -> None:
    talk(line, card, 61, "a")
    clock.now = line.now
    page = why(visitor, card)
    found = card_page(db, card.serial, clock.now)
    assert found is not None
    assert "Active" in page
    assert "In use since 20 Nov 2026, 12:00. It is valid until the end of 18 Feb 2027." in page
    assert (
        "Destination 880 (prefix 880): 1 min 1 s of talk, billed as 1 min 1 s at USD 0.015 a minute = USD 0.0153"
        in page
    )
    assert "−0.0153" in page
    assert "4.9847" in page
    assert "switch gw-london" in page
    raw = visitor.get(f"/cards/{card.serial}").text
    assert f'id="call-{found.calls[0].id}"' in raw
    assert f'href="#call-{found.calls[0].id}"' in raw
    assert found.calls[0].caller == "447700900123"


def test_a_live_call_shows_what_it_holds(visitor: Visitor, card: TestCard, line: Line) -> None:
    line.open(card, ref="live", one_shot=False)
    page = why(visitor, card)
    assert "Live now" in page
    assert "not answered yet" in page
    assert "10 min" in page
    assert "0.1500" in page
    assert "USD 4.85" in page
    line.end("live", seconds=0)
    assert "Live now" not in why(visitor, card)
    assert "not answered, so nothing was charged" in why(visitor, card)


def test_a_swept_call_and_its_late_end_are_both_told(
    visitor: Visitor, db: Database, card: TestCard, line: Line
) -> None:
    from engine.calls.sweep import sweep

    line.open(card, ref="lost", one_shot=False)
    line.answer("lost")
    line.later(300).progress(300, "lost")
    line.later(2000)
    sweep(db, line.now)
    assert "No end The switch never said that this call ended." in why(visitor, card)
    line.later(60)
    line.end("lost", seconds=400)
    page = why(visitor, card)
    assert "Late end" in page
    assert "6 min 40 s of talk" in page
    assert "Charged in all: USD 0.10." in page


def test_long_histories_go_on_by_key(
    visitor: Visitor, db: Database, vault: Vault, line: Line, clock: Clock
) -> None:
    card = scenes.card(db, vault, "50.00", name="Busy")
    total = PAGE + 4
    for number in range(total):
        talk(line, card, 30, f"c{number}")
    clock.now = line.now
    first = card_page(db, card.serial, clock.now)
    assert first is not None
    assert first.older_calls is not None
    assert first.older_entries is not None
    rest = card_page(
        db, card.serial, clock.now, calls_before=first.older_calls, entries_before=first.older_entries
    )
    assert rest is not None
    refs = [call.call_ref for call in (*first.calls, *rest.calls)]
    assert refs == [f"c{number}" for number in reversed(range(total))]
    entries = (*first.entries, *rest.entries)
    assert len(entries) == total + 1
    assert entries[0].balance_after == first.balance
    assert entries[-1].kind == "opening"
    assert (rest.older_calls, rest.older_entries) == (None, None)

    page = visitor.get(f"/cards/{card.serial}").text
    older = [part.split('"')[0] for part in page.split('rel="next" href="')[1:]]
    assert len(older) == 2
    for address in older:
        response = visitor.get(address.replace("&amp;", "&"))
        assert response.status_code == 200
        assert ">Newest<" in response.text


def test_what_people_typed_is_shown_as_text(
    visitor: Visitor, db: Database, vault: Vault, app: Flask, line: Line
) -> None:
    marker = "<img src=x onerror=alert(1)>"
    scenes.deck(db, f'prefix,destination,price\n880,"{marker}",0.01\n', name="Odd")
    card = scenes.card(db, vault, name="Odd names", deck="Odd")
    talk(line, card, 30, "x")
    change(db, card, locked_at=scenes.NOW, locked_by="console", lock_reason=marker)
    page = visitor.get(f"/cards/{card.serial}").text
    assert "<img src=x" not in page
    assert page.count("&lt;img src=x") >= 2
