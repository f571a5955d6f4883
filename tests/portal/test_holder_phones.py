"""A cardholder's phones and short numbers: by each kind of binding, without script, and never another card's."""

from __future__ import annotations

import pytest
from flask import Flask

from engine.cards import binding
from engine.db import Database
from engine.vault import Vault
from tests import scenes
from tests.portal.conftest import Clock, text_of
from tests.portal.holders import holder_of
from tests.scenes import NOW, OPERATOR, TestCard

MINE, SHOWN = "491711234567", "+49 171 1234567"


def card_of(db: Database, vault: Vault, **order: object) -> TestCard:
    scenes.deck(db)
    return scenes.batch(db, vault, 1, **order)[0]


@pytest.mark.parametrize(
    ("order", "said"),
    [
        ({"binding": "none"}, "This card can be used from every phone. None needs to be registered."),
        ({"binding": "none", "pinless": True}, "From a registered one you can call without typing"),
        ({"binding": "multi", "max_bound": 2, "auto_bind": False}, "works only from its registered phones."),
        ({"binding": "multi", "max_bound": 2, "auto_bind": True}, "The first phone that you call from"),
    ],
)
def test_each_kind_of_binding_explains_itself(
    app: Flask, db: Database, vault: Vault, order: dict[str, object], said: str
) -> None:
    page = text_of(holder_of(app, card_of(db, vault, **order)).get("/card/phones").text)
    assert said in page
    assert ("Add a phone" in page) is (order != {"binding": "none"})


def test_phones_are_added_wait_are_full_and_are_removed(
    app: Flask, db: Database, vault: Vault, clock: Clock
) -> None:
    card = card_of(db, vault, binding="multi", max_bound=1, auto_bind=False)
    holder = holder_of(app, card)
    for _ in range(2):  # sent twice, it counts once
        answer = holder.submit("/card/phones", caller="+49 171 1234567", key="k-1")
        assert (answer.status_code, answer.location) == (303, "/card/phones")
    page = text_of(holder.get("/card/phones").text)
    assert page.count("Waits for its first call") == 1
    assert "1 phone can be registered." in page
    answer = holder.submit("/card/phones", caller="+49 171 7654321", key="k-2")
    assert answer.status_code == 422
    assert "To add another one, remove it first." in text_of(answer.text)
    for _ in range(2):
        assert holder.submit(f"/card/phones/{MINE}/remove").status_code == 303
    assert "No phone is registered yet." in text_of(holder.get("/card/phones").text)
    holder.submit("/card/phones", caller=MINE, key="k-3")
    clock.later(hours=24)
    assert "No phone is registered yet." in text_of(holder_of(app, card).get("/card/phones").text)


@pytest.mark.parametrize("typed", ["", "abc", "12", "9" * 39, "x" * 400, "\u202e", "<b>"])
def test_what_is_no_phone_is_said_at_its_field(app: Flask, db: Database, vault: Vault, typed: str) -> None:
    holder = holder_of(app, card_of(db, vault, binding="multi", max_bound=2, auto_bind=False))
    answer = holder.submit("/card/phones", caller=typed, key="k")
    assert answer.status_code == 422
    assert 'aria-invalid="true"' in answer.text
    assert "No phone is registered yet." in text_of(answer.text)


def test_pinless_is_switched_on_and_off(app: Flask, db: Database, vault: Vault) -> None:
    card = card_of(db, vault, binding="multi", max_bound=2, auto_bind=False, pinless=True)
    binding.bind(db, card_id=card.id, caller=MINE, actor=OPERATOR, now=NOW)
    holder = holder_of(app, card)
    for wanted, said in (
        ("1", "Calls without card number and password."),
        ("0", "Asks for card number and password."),
    ):
        for _ in range(2):
            answer = holder.submit(f"/card/phones/{MINE}/pinless", pinless=wanted)
            assert (answer.status_code, answer.location) == (303, "/card/phones")
        assert said in text_of(holder.get("/card/phones").text)
    holder.submit("/card/phones/4915100000000/pinless", pinless="1")
    assert "This phone is not registered any more." in text_of(holder.get("/card/phones").text)


def test_short_numbers_are_kept_changed_and_cleared(app: Flask, db: Database, vault: Vault) -> None:
    holder = holder_of(app, card_of(db, vault))
    for name in ("Mother", "Mother", "<b>Ma</b>"):
        answer = holder.submit(
            "/card/phones/short", slot="7", destination="+880 1712 345678", name=name, key="k"
        )
        assert answer.status_code == 303, answer.text
    page = holder.get("/card/phones")
    assert "<b>Ma" not in page.text
    assert "Mother" not in page.text
    assert holder.submit("/card/phones/short/7/remove").status_code == 303
    assert "Ma</b>" not in text_of(holder.get("/card/phones").text)


@pytest.mark.parametrize(
    ("slot", "destination"),
    [
        ("0", "8801712345678"),
        ("100", "8801712345678"),
        ("9" * 30, "8801712345678"),
        ("x", "8801712345678"),
        ("7", "12"),
        ("7", ""),
        ("", ""),
    ],
)
def test_what_is_no_short_number_is_said_at_its_field(
    app: Flask, db: Database, vault: Vault, slot: str, destination: str
) -> None:
    answer = holder_of(app, card_of(db, vault)).submit(
        "/card/phones/short", slot=slot, destination=destination, name="", key="k"
    )
    assert answer.status_code == 422
    assert 'aria-invalid="true"' in answer.text
