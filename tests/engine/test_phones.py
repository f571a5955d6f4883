"""Phones that a cardholder registers, short numbers, and a password of their own choice."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import text

from engine.actor import Actor
from engine.calls.authorization import Authorized
from engine.cards import binding, lifecycle, passwords, phones, speeddials
from engine.cards.access import Browser
from engine.cards.authentication import Authenticated
from engine.db import Database
from engine.errors import Conflict, EngineError, InvalidInput, NotFound
from engine.refusal import Refusal
from engine.vault import Secret, Vault
from tests import scenes
from tests.scenes import NOW, OPERATOR, Line, TestCard

MINE, OTHER, THIRD = "491711234567", "491717654321", "491719999999"
HERE = Browser("192.0.2.1", "b" * 32)


@pytest.fixture
def card(db: Database, vault: Vault) -> TestCard:
    """A card that works only from its phones, two of them at most."""
    scenes.deck(db)
    return scenes.batch(db, vault, 1, binding="multi", max_bound=2, auto_bind=False, pinless=True)[0]


@pytest.fixture
def trusted(db: Database, vault: Vault, card: TestCard) -> Line:
    return Line(db, vault, scenes.switch(db, "Trusted", trusted_callers=True))


@pytest.fixture
def other(db: Database, vault: Vault, card: TestCard) -> Line:
    return Line(db, vault, scenes.switch(db, "Other", trusted_callers=False))


def holder(card: TestCard) -> Actor:
    return Actor("cardholder", card.id, "its serial")


def add(db: Database, card: TestCard, caller: str = MINE, *, pinless: bool = False, now: Any = NOW) -> bool:
    return phones.add_phone(
        db, card_id=card.id, caller=caller, pinless=pinless, actor=holder(card), now=now
    ).changed


def of(db: Database, card: TestCard, now: Any = NOW) -> list[tuple[str, bool, bool]]:
    """(caller, bound, PINless) of each phone."""
    found = phones.own_phones(db, card.id, now).phones
    return [(one.caller, one.bound_at is not None, one.pinless) for one in found]


def refused(line: Line, card: TestCard, caller: str | None = MINE) -> str | None:
    answer = line.authenticate(card, caller)
    return answer.reason if isinstance(answer, Refusal) else None


def test_a_phone_that_waits_is_let_through_and_bound_by_a_trusted_switch_alone(
    db: Database, card: TestCard, trusted: Line, other: Line
) -> None:
    assert refused(trusted, card) == "caller_not_bound"
    assert add(db, card, "+49 171 1234567")
    assert not add(db, card), "again it changes nothing"
    assert of(db, card) == [(MINE, False, False)]
    assert refused(other, card) is None
    assert of(db, card) == [(MINE, False, False)], "a switch that is not trusted proves no phone"
    assert refused(other, card, OTHER) == "caller_not_bound"
    assert refused(trusted, card) is None
    assert of(db, card) == [(MINE, True, False)]
    assert refused(other, card) is None


def test_a_call_with_a_token_is_let_through_from_a_phone_that_waits(
    db: Database, card: TestCard, other: Line
) -> None:
    add(db, card)
    proven = other.authenticate(card, MINE)
    assert isinstance(proven, Authenticated)
    with_token = scenes.Credentials(token=proven.card_token)
    assert isinstance(other.authorize(with_token, "8801712345678", caller=MINE, ref="a"), Authorized)
    assert of(db, card) == [(MINE, False, False)]


def test_a_phone_waits_for_a_day(db: Database, card: TestCard, trusted: Line) -> None:
    add(db, card)
    late = trusted.later(24 * 3600)
    assert refused(late, card) == "caller_not_bound"
    assert of(db, card, late.now) == []
    assert phones.prune(db, late.now) == 1
    assert add(db, card, now=late.now)


def test_pinless_counts_once_the_phone_was_proven(
    db: Database, card: TestCard, trusted: Line, other: Line
) -> None:
    alone = scenes.Credentials()
    add(db, card, pinless=True)
    assert refused(trusted, card, OTHER) == "caller_not_bound"
    assert isinstance(trusted.authenticate(alone, MINE), Refusal), "not by its number alone"
    assert refused(other, card) is None
    assert isinstance(trusted.authenticate(alone, MINE), Refusal)
    assert refused(trusted, card) is None
    assert of(db, card) == [(MINE, True, True)]
    assert isinstance(trusted.authenticate(alone, MINE), Authenticated)
    assert isinstance(other.authenticate(alone, MINE), Refusal), "a switch that is not trusted names nobody"


def test_pinless_is_on_at_once_only_where_somebody_vouched_for_the_phone(
    db: Database, vault: Vault, trusted: Line, other: Line
) -> None:
    auto = scenes.batch(
        db, vault, 1, name="Auto", binding="multi", max_bound=3, auto_bind=True, pinless=True
    )[0]
    assert refused(other, auto) is None  # bound by itself, through a switch that says whatever it likes
    binding.bind(db, card_id=auto.id, caller=OTHER, actor=OPERATOR, now=NOW)

    def pinless(caller: str, on: bool) -> list[tuple[str, bool, bool]]:
        phones.set_pinless(db, card_id=auto.id, caller=caller, pinless=on, actor=holder(auto), now=NOW)
        return of(db, auto)

    assert pinless(OTHER, True) == [(MINE, True, False), (OTHER, True, True)]
    assert pinless(MINE, True) == [(MINE, True, False), (OTHER, True, True)]
    assert phones.own_phones(db, auto.id, NOW).phones[0].waits_until == NOW + phones.WAITS
    assert refused(trusted, auto) is None
    assert of(db, auto) == [(MINE, True, True), (OTHER, True, True)]
    assert pinless(MINE, False) == [(MINE, True, False), (OTHER, True, True)]
    with pytest.raises(NotFound, match="phone_not_found"):
        pinless(THIRD, True)


def test_a_phone_is_pinless_for_one_card_at_a_time(
    db: Database, vault: Vault, trusted: Line, card: TestCard
) -> None:
    second = scenes.batch(
        db, vault, 1, name="Second", binding="multi", max_bound=2, auto_bind=False, pinless=True
    )[0]
    for one in (card, second):
        add(db, one, pinless=True)
        assert refused(trusted, one) is None
    assert of(db, card) == [(MINE, True, True)]
    assert of(db, second) == [(MINE, True, False)]
    with pytest.raises(Conflict, match="pinless_elsewhere"):
        phones.set_pinless(db, card_id=second.id, caller=MINE, pinless=True, actor=holder(second), now=NOW)


def test_a_new_password_is_asked_for_on_every_phone(
    db: Database, vault: Vault, card: TestCard, trusted: Line
) -> None:
    add(db, card, pinless=True)
    assert refused(trusted, card) is None
    add(db, card, OTHER, pinless=True)
    passwords.change_password(
        db,
        vault,
        card_id=card.id,
        present=Secret(card.password),
        chosen=Secret("83620475"),
        browser=HERE,
        key="k",
        actor=holder(card),
        now=NOW,
    )
    assert of(db, card) == [(MINE, True, False)]
    assert isinstance(trusted.authenticate(scenes.Credentials(), MINE), Refusal)


def test_a_phone_that_is_added_again_waits_another_day(db: Database, card: TestCard) -> None:
    add(db, card)
    later = NOW + phones.WAITS / 2
    assert not add(db, card, now=later)
    assert phones.own_phones(db, card.id, later).phones[0].waits_until == later + phones.WAITS


def test_two_cards_that_settle_one_phone_at_once_share_it_but_for_pinless(
    db: Database, vault: Vault, card: TestCard, trusted: Line
) -> None:
    order = {"binding": "multi", "max_bound": 2, "auto_bind": False, "pinless": True}
    cards = scenes.batch(db, vault, 6, name="Six", **order)
    for one in cards:
        add(db, one, pinless=True)
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(lambda one: refused(trusted, one), cards)) == [None] * 6
    assert sorted(of(db, one)[0][2] for one in cards) == [False] * 5 + [True]


def test_no_more_phones_than_the_batch_allows(db: Database, card: TestCard, trusted: Line) -> None:
    add(db, card)
    add(db, card, OTHER)
    with pytest.raises(Conflict, match="binding_full"):
        add(db, card, THIRD)
    binding.bind(db, card_id=card.id, caller=THIRD, actor=OPERATOR, now=NOW)
    assert refused(trusted, card) is None
    assert refused(trusted, card, OTHER) == "caller_not_bound", "the last place was given away meanwhile"
    assert of(db, card) == [(MINE, True, False), (THIRD, True, False)]


def test_many_calls_at_once_bind_a_phone_once(
    db: Database, vault: Vault, card: TestCard, trusted: Line
) -> None:
    add(db, card, pinless=True)
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: refused(trusted, card), range(12)))
    assert answers == [None] * 12
    assert of(db, card) == [(MINE, True, True)]


def test_a_removed_phone_is_out_at_once(db: Database, card: TestCard, trusted: Line) -> None:
    for caller in (MINE, OTHER):
        add(db, card, caller)
    assert refused(trusted, card) is None
    for caller in (MINE, OTHER):
        assert phones.remove_phone(db, card_id=card.id, caller=caller, actor=holder(card), now=NOW).changed
    assert of(db, card) == []
    assert refused(trusted, card) == refused(trusted, card, OTHER) == "caller_not_bound"


def test_a_voided_card_has_nothing_that_waits(db: Database, card: TestCard) -> None:
    add(db, card)
    lifecycle.damage(db, card_id=card.id, reason="torn", actor=OPERATOR, now=NOW)
    assert of(db, card) == []


BAD: tuple[tuple[dict[str, Any], Callable[..., Any], str], ...] = (
    ({"binding": "none"}, lambda db, c: add(db, c), "binding_off"),
    ({"binding": "single"}, lambda db, c: add(db, c, pinless=True), "pinless_off"),
    ({"binding": "single"}, lambda db, c: add(db, c, "12"), "bad_caller"),
    ({"binding": "single"}, lambda db, c: add(db, c, "anonymous"), "bad_caller"),
)


@pytest.mark.parametrize(("order", "act", "code"), BAD)
def test_what_cannot_be_registered(
    db: Database, vault: Vault, order: dict[str, Any], act: Callable[..., Any], code: str
) -> None:
    one = scenes.batch(db, vault, 1, **order)[0]
    with pytest.raises(EngineError, match=code):
        act(db, one)
    assert of(db, one) == []


def test_a_holder_reaches_no_other_card(db: Database, vault: Vault, card: TestCard) -> None:
    stranger = scenes.batch(db, vault, 1, name="Another")[0]
    with pytest.raises(NotFound, match="card_not_found"):
        phones.add_phone(db, card_id=card.id, caller=MINE, actor=holder(stranger), now=NOW)


# --- short numbers ---


def test_a_short_number_is_called_in_the_place_of_a_long_one(db: Database, vault: Vault) -> None:
    one = scenes.card(db, vault, "5.00")
    line = Line(db, vault, scenes.switch(db))

    def refused_call(ref: str) -> str:
        answer = line.authorize(one, "7", ref=ref)
        assert isinstance(answer, Refusal)
        return answer.reason

    def keep(slot: int, number: str, name: str | None = None) -> bool:
        return speeddials.set_speed_dial(
            db, card_id=one.id, slot=slot, destination=number, name=name, actor=holder(one), now=NOW
        ).changed

    assert refused_call("r") == "destination_invalid"
    assert keep(7, "+880 1712 345678", "Mother")
    assert not keep(7, "+8801712345678", "Mother")
    assert [(d.slot, d.destination, d.name) for d in speeddials.own_dials(db, one.id)] == [
        (7, "8801712345678", "Mother")
    ]
    first = line.authorize(one, "7", ref="a")
    assert isinstance(first, Authorized)
    assert line.authorize(one, "7", ref="a") == first, "a repeat is answered as the first one"
    with db.begin() as session:
        assert session.scalar(text("SELECT destination FROM call")) == "8801712345678"
    line.later(30).end("a", seconds=30)
    assert speeddials.remove_speed_dial(db, card_id=one.id, slot=7, actor=holder(one), now=NOW).changed
    assert refused_call("b") == "destination_invalid"
    for slot, number, code in (
        (0, "+8801712345678", "slot"),
        (100, "+8801712345678", "slot"),
        (1, "911", "dest"),
    ):
        with pytest.raises(InvalidInput, match=code):
            keep(slot, number)


# --- passwords ---


@pytest.mark.parametrize(
    ("chosen", "code"),
    [
        ("1234", "password_length"),
        ("8362047a", "password_not_digits"),
        ("٨٣٦٢٠٤٧٥", "password_not_digits"),
        ("11111111", "password_easy"),
        ("12345678", "password_easy"),
        ("87654321", "password_easy"),
        ("78901234", "password_easy"),
        ("12121212", "password_easy"),
        ("83628362", "password_easy"),
    ],
)
def test_weak_passwords_are_refused(chosen: str, code: str) -> None:
    with pytest.raises(InvalidInput, match=code) as raised:
        passwords.check_password(chosen, "704048450872", 8, 8)
    assert raised.value.data["field"] == "chosen"


def test_a_part_of_the_card_number_is_no_password() -> None:
    for easy in ("04048450", "27805484"):
        with pytest.raises(InvalidInput, match="password_easy"):
            passwords.check_password(easy, "704048450872", 8, 8)
    passwords.check_password("83620475", "704048450872", 8, 8)


def test_a_password_is_changed_with_the_present_one(db: Database, vault: Vault) -> None:
    one = scenes.card(db, vault, "5.00")
    line = Line(db, vault, scenes.switch(db))

    def change(present: str, chosen: str, key: str) -> Refusal | None:
        return passwords.change_password(
            db,
            vault,
            card_id=one.id,
            present=Secret(present),
            chosen=Secret(chosen),
            browser=HERE,
            key=key,
            actor=holder(one),
            now=NOW,
        )

    proven = line.authenticate(one)
    assert isinstance(proven, Authenticated)
    wrong = change("00000000", "83620475", "k1")
    assert isinstance(wrong, Refusal)
    assert wrong.reason == "bad_credentials"
    assert change(one.password, "83620475", "k2") is None
    assert change(one.password, "83620475", "k2") is None, "the form that was sent twice counts once"
    assert refused(line, one, None) == "bad_credentials"
    assert isinstance(line.authenticate(scenes.Credentials(token=proven.card_token)), Refusal)
    new = scenes.Credentials(one.number, Secret("83620475"))
    assert isinstance(line.authenticate(new), Authenticated)
    with pytest.raises(InvalidInput, match="password_same"):
        change("83620475", "83620475", "k3")
    with db.begin() as session:
        assert session.scalar(text("SELECT sealed FROM card WHERE id = :id"), {"id": one.id}) is None
