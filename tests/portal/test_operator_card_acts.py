"""Acts on a card: whom each is offered to, what is wrong at its field, that it counts once and leaves its audit row.

That a page refuses whom it isn't for is walked for all pages at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy import func, select

from engine import settings
from engine.actor import Actor
from engine.cards import binding, lifecycle
from engine.cards.acts import possible
from engine.cards.queries import card_page
from engine.cards.serials import serial_of
from engine.config import Keys
from engine.db import Database
from engine.funds import accounts, bonus
from engine.money import format_money
from engine.people import consents, resellers
from engine.permissions import STAFF_ROLES, may
from engine.schema import AuditRow, Card, LedgerEntry
from engine.stock import custody, resale
from engine.stock.custody import Range
from engine.vault import Vault
from portal.operator.card.words import ACTS, endpoint_of
from tests import scenes
from tests.conftest import Clones
from tests.portal.conftest import Visitor, text_of
from tests.portal.house import House, house
from tests.scenes import NOW, OPERATOR, USD, TestCard

MARK = "<img src=x onerror=alert(1)>"
CALLER = "+447700900123"


@dataclass
class Shop:
    """The shared world with cards of our own, each used by one test."""

    home: House
    vault: Vault
    cards: list[TestCard]
    held: list[TestCard]
    reseller: int

    @property
    def db(self) -> Database:
        return self.home.db

    def take(self) -> TestCard:
        """A card that nobody has touched."""
        return self.cards.pop()

    def visitor(self, role: str = "admin") -> Visitor:
        return self.home.visitor(role)


@pytest.fixture(scope="module")
def shop(clones: Clones, keys: Keys, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    vault = Vault(keys)
    with house(clones, keys, tmp_path_factory.mktemp("acts")) as home:
        db = home.db
        order: dict[str, Any] = {"binding": "multi", "max_bound": 3, "pinless": True, "grace_days": 30}
        cards = scenes.batch(db, vault, 60, "5.00", name="Acts", validity_from="generation", **order)
        held = scenes.batch(db, vault, 20, "5.00", name="Acts held", release="activation")
        reseller = resellers.add_reseller(db, "Till", OPERATOR, NOW, discount_bp=1000).id
        account = accounts.open_account(
            db, name="Till", kind="reseller", currency="USD", reseller_id=reseller, actor=OPERATOR, now=NOW
        )
        accounts.deposit(db, account_id=account.id, amount=USD("1000"), actor=OPERATOR, now=NOW)
        yield Shop(home, vault, cards, held, reseller)


@dataclass
class Act:
    """An act as it is tried: the fields that do it, the audit row it leaves, values that are refused at a field."""

    good: Callable[[Shop, TestCard], dict[str, str]]
    audit: str
    bad: dict[str, dict[str, str]] = field(default_factory=dict)
    """What is sent instead, by the sentence that it brings."""
    before: Callable[[Shop, TestCard], Any] = lambda shop, card: None
    held: bool = False


def reason(shop: Shop, card: TestCard) -> dict[str, str]:
    return {"reason": "Asked for"}


def confirmed(shop: Shop, card: TestCard) -> dict[str, str]:
    return {"reason": "Torn", "confirm": card.serial[-4:]}


def locked(shop: Shop, card: TestCard) -> None:
    lifecycle.lock(shop.db, card_id=card.id, reason="Lost", actor=OPERATOR, now=NOW)


def bound(shop: Shop, card: TestCard) -> None:
    binding.bind(shop.db, card_id=card.id, caller=CALLER, actor=OPERATOR, now=NOW)


def one(card: TestCard) -> Range:
    return Range(card.id, card.id)


def assigned(shop: Shop, card: TestCard) -> None:
    resale.assign(shop.db, one(card), OPERATOR, NOW, reseller_id=shop.reseller)


def sold(shop: Shop, card: TestCard) -> None:
    assigned(shop, card)
    resale.sell(shop.db, one(card), OPERATOR, NOW, reseller_id=shop.reseller)


def other(shop: Shop, card: TestCard) -> str:
    return shop.take().serial


LONG = {"reason": "x" * 501}
TOO_LONG = "too long"
AMOUNTS = {
    "-5": "is negative; that can't be",
    "1e9": "is not a plain number",
    "NaN": "is not a plain number",
    "1,50": "with a point for the decimals",
    "0.00000005": "has more than six decimals",
    "１２": "is not a plain number",
    "9" * 30: "too large",
    "0": "more than zero",
    "": "Fill this in",
}

TRIED: dict[str, Act] = {
    "lock": Act(reason, "card.lock", {"Fill this in": {"reason": ""}, TOO_LONG: LONG}),
    "unlock": Act(reason, "card.unlock", {TOO_LONG: LONG}, locked),
    "recharge": Act(
        lambda shop, card: {"amount": "2.50", "reason": "Paid"},
        "card.recharge",
        {sentence: {"amount": amount} for amount, sentence in AMOUNTS.items()},
    ),
    "extend": Act(
        lambda shop, card: {"days": "10"},
        "card.extend",
        {
            "between 1 and 36,500": {"days": "0"},
            "plain digits": {"days": "1e9"},
            "It must be between": {"days": "-1"},
        },
    ),
    "reset_password": Act(reason, "card.reset_password", {TOO_LONG: LONG}),
    "bind": Act(
        lambda shop, card: {"caller": CALLER},
        "card.bind",
        {"is not a caller": {"caller": "12"}, "Fill this in": {"caller": ""}},
    ),
    "concurrency": Act(
        lambda shop, card: {"calls": "3"}, "card.set_concurrency", {"between 1 and 1,000": {"calls": "0"}}
    ),
    "adjust": Act(
        lambda shop, card: {"amount": "-1.25", "reason": "A mistake"},
        "card.adjust",
        {
            "can't be zero": {"amount": "0", "reason": "x"},
            "is not a plain number": {"amount": "five", "reason": "x"},
            "Fill this in": {"amount": "1", "reason": ""},
            "balance is too low": {"amount": "-500", "reason": "x"},
        },
    ),
    "transfer": Act(
        lambda shop, card: {"to": other(shop, card), "amount": "1"},
        "card.transfer",
        {
            "does not fit the others": {"to": "10000000018"},
            "There is no such card": {"to": serial_of(9_876_543_210)},
            "has 11 digits": {"to": "<b>"},
            "balance is too low": {"to": "OTHER", "amount": "999"},
        },
    ),
    "replace": Act(
        lambda shop, card: {"new": other(shop, card), **confirmed(shop, card)},
        "card.replace",
        {
            "There is no such card": {"new": serial_of(9_876_543_210), "reason": "x", "confirm": "END"},
            "Type the last 4 digits": {"new": "OTHER", "reason": "x", "confirm": "0000"},
            "Both are the same card": {"new": "OWN", "reason": "x", "confirm": "END"},
        },
    ),
    "damage": Act(
        confirmed,
        "card.damage",
        {"Type the last 4 digits": {"reason": "x", "confirm": "12"}, "Fill this in": {"confirm": "END"}},
    ),
    "activate": Act(reason, "cards.activate", {TOO_LONG: LONG}, held=True),
    "hold_back": Act(reason, "cards.hold_back", {TOO_LONG: LONG}),
    "sold": Act(reason, "cards.sold", {TOO_LONG: LONG}),
    "assign": Act(
        lambda shop, card: {"reseller": str(shop.reseller)},
        "stock.assign",
        {"Choose": {"reseller": ""}, "of the list.": {"reseller": "999", "reason": "Kept"}},
    ),
    "unassign": Act(reason, "stock.unassign", {TOO_LONG: LONG}, assigned),
    "reseller_activate": Act(reason, "stock.activate", {TOO_LONG: LONG}, assigned, held=True),
    "sell": Act(reason, "stock.sell", {TOO_LONG: LONG}, assigned),
    "return": Act(reason, "stock.return", {TOO_LONG: LONG}, sold),
}
PERMISSIONS = {name: act.audit for name, act in TRIED.items()}


def address(shop: Shop, name: str, card: TestCard) -> str:
    with shop.home.app.test_request_context():
        return str(shop.home.app.url_map.bind("localhost").build(endpoint_of(name), {"serial": card.serial}))


def ready(shop: Shop, name: str) -> tuple[TestCard, str]:
    """A card that the act fits, and its address."""
    act = TRIED[name]
    card = shop.held.pop() if act.held else shop.take()
    act.before(shop, card)
    return card, address(shop, name, card)


def rows(db: Database, action: str) -> int:
    with db.begin() as session:
        return (
            session.scalar(select(func.count()).select_from(AuditRow).where(AuditRow.action == action)) or 0
        )


def row_of(db: Database, card: TestCard) -> Any:
    with db.begin() as session:
        return session.get_one(Card, card.id)


def key_of(page: str) -> str:
    found = re.search(r'name="key"[^>]*value="([^"]+)"', page)
    assert found is not None
    return found[1]


def test_every_act_is_tried_here() -> None:
    assert TRIED.keys() == ACTS.keys()


@pytest.mark.parametrize("name", sorted(TRIED))
def test_an_act_is_done_once_however_often_it_is_sent(shop: Shop, name: str) -> None:
    card, path = ready(shop, name)
    visitor, act = shop.visitor(), TRIED[name]
    whole = visitor.get(path)
    assert whole.status_code == 200
    assert f'action="{path}"' in whole.text
    part = visitor.part(path)
    assert "<html" not in part.text
    assert "<form" in part.text
    before = rows(shop.db, act.audit)
    fields = {"key": key_of(whole.text), **act.good(shop, card)}
    first = visitor.submit(path, **fields)
    facts = vars(row_of(shop.db, card)).copy()
    assert rows(shop.db, act.audit) == before + 1
    if name == "reset_password":
        assert first.status_code == 200
    else:
        assert (first.status_code, first.location) == (303, f"/cards/{card.serial}")
        assert 'class="notice good"' in visitor.get(first.location).text
    again = visitor.submit(path, **fields)
    assert again.status_code == (422 if name == "reset_password" else 303)
    facts.pop("_sa_instance_state")
    now = vars(row_of(shop.db, card))
    assert {name: now[name] for name in facts} == facts
    custody_act = act.audit.startswith("cards.")
    assert rows(shop.db, act.audit) - before == 1 or custody_act
    if name == "reset_password":
        visitor.get("/find")


@pytest.mark.parametrize("name", sorted(TRIED))
def test_what_is_wrong_is_told_at_its_field_and_kept(shop: Shop, name: str) -> None:
    card, path = ready(shop, name)
    visitor, act = shop.visitor(), TRIED[name]
    facts = vars(row_of(shop.db, card)).copy()
    before = rows(shop.db, act.audit)
    for sentence, fields in act.bad.items():
        sent = {
            key: {"END": card.serial[-4:], "OWN": card.serial, "OTHER": shop.cards[0].serial}.get(
                value, value
            )
            for key, value in fields.items()
        }
        answer = visitor.submit(path, **sent)
        assert answer.status_code == 422, sentence
        assert sentence in text_of(answer.text), sentence
        told = 'class="error"' in answer.text or 'role="alert"' in answer.text
        assert told
        for value in (value for name, value in sent.items() if name != "reseller"):
            assert str(value)[:60].replace("<", "&lt;").replace(">", "&gt;") in answer.text
    facts.pop("_sa_instance_state")
    now = vars(row_of(shop.db, card))
    assert {one: now[one] for one in facts} == facts
    assert rows(shop.db, act.audit) == before


@pytest.mark.parametrize("role", STAFF_ROLES)
def test_an_act_is_offered_to_those_who_may_and_to_no_other(shop: Shop, role: str) -> None:
    visitor = shop.visitor(role)
    for card in (shop.cards[0], shop.held[0]):
        page = visitor.get(f"/cards/{card.serial}").text
        known = card_page(shop.db, card.serial, shop.home.app.extensions["cardtone"].clock())
        assert known is not None
        offered = possible(known, NOW)
        for name, permission in PERMISSIONS.items():
            path = address(shop, name, card)
            allowed = may(Actor("staff", 1, role, role), permission)
            assert (f'href="{path}"' in page) == (allowed and name in offered), (name, role)


def test_only_acts_that_fit_are_offered(shop: Shop) -> None:
    def offered(card: TestCard) -> set[str]:
        page = shop.visitor().get(f"/cards/{card.serial}").text
        return {name for name in ACTS if f'href="{address(shop, name, card)}"' in page}

    card = shop.take()
    assert {"lock", "recharge", "extend", "reset_password", "bind", "transfer", "damage"} <= offered(card)
    assert not {"unlock", "activate", "unassign", "return"} & offered(card)
    locked(shop, card)
    assert "unlock" in offered(card)
    assert not {"lock", "recharge", "transfer"} & offered(card)
    lifecycle.damage(shop.db, card_id=card.id, reason="Torn", actor=OPERATOR, now=NOW)
    assert offered(card) == {"replace"}
    held = shop.held.pop()
    assert "activate" in offered(held)
    assert not {"recharge", "transfer", "replace"} & offered(held)


def test_lock_and_unlock_lead_back_to_each_other(shop: Shop) -> None:
    card, visitor = shop.take(), shop.visitor()
    visitor.submit(f"/cards/{card.serial}/lock", reason="Lost")
    page = visitor.get(f"/cards/{card.serial}")
    assert "The card is locked. Unlock it again" in text_of(page.text)
    assert f'href="/cards/{card.serial}/unlock"' in page.text
    visitor.submit(f"/cards/{card.serial}/unlock")
    assert "The card is unlocked. Lock it again" in text_of(visitor.get(f"/cards/{card.serial}").text)
    visitor.submit(f"/cards/{card.serial}/unlock")
    assert "The card was not locked." in text_of(visitor.get(f"/cards/{card.serial}").text)


def test_a_new_password_is_shown_once_and_nowhere_else(shop: Shop) -> None:
    card, visitor = shop.take(), shop.visitor("support")
    path = f"/cards/{card.serial}/password"
    fields = {"key": key_of(visitor.get(path).text), "reason": "Forgotten"}
    answer = visitor.submit(path, **fields)
    found = re.search(r'<code id="secret-1"[^>]*>(\d{8})</code>', answer.text)
    assert found is not None
    assert answer.headers["Cache-Control"] == "no-store"
    row = row_of(shop.db, card)
    assert row.digest == shop.vault.digest(card.number, found[1])
    assert row.sealed is None
    again = visitor.submit(path, **fields)
    assert again.status_code == 422
    assert "A new password was made already, and shown then." in text_of(again.text)
    assert row_of(shop.db, card).digest == row.digest
    for page in (again.text, visitor.get(f"/cards/{card.serial}").text, str(visitor.get("/find").headers)):
        assert found[1] not in page
    with shop.db.begin() as session:
        told = session.scalars(select(AuditRow).where(AuditRow.subject == f"card:{card.serial}")).all()
        assert found[1] not in str([(row.reason, row.data) for row in told])


def test_a_phone_is_bound_without_a_password_and_taken_off_again(shop: Shop) -> None:
    card, visitor = shop.take(), shop.visitor()
    visitor.submit(f"/cards/{card.serial}/bind", caller="+491711234599", pinless="y")
    page = visitor.get(f"/cards/{card.serial}")
    assert "+491711234599, no password" in text_of(page.text)
    path = f"/cards/{card.serial}/unbind"
    assert f'href="{path}?caller=491711234599"' in page.text
    assert 'selected value="491711234599"' in visitor.get(f"{path}?caller=491711234599").text
    assert visitor.submit(path, caller="491700000000").status_code == 422
    assert visitor.submit(path, caller="491711234599").status_code == 303
    assert (
        "+491711234599"
        not in visitor.get(f"/cards/{card.serial}").text.split('id="timeline"')[0].split("facts")[1]
    )


def test_a_recharge_shows_what_it_brings_before_it_is_made(shop: Shop) -> None:
    card, visitor = shop.take(), shop.visitor()
    look = f"/cards/{card.serial}/recharge/outlook"
    bonus.add_rule(shop.db, name="A tenth", currency="USD", percent_bp=2000, actor=OPERATOR, now=NOW)
    told = text_of(visitor.part(f"{look}?amount=10.00").text)
    assert (
        "With a bonus of USD 2.00 by the rule A tenth, its balance will be USD 17.00 instead of USD 5.00."
        in told
    )
    assert "It stays valid until" in told
    assert "No bonus. Its balance will be USD 15.00" in text_of(
        visitor.part(f"{look}?amount=10&bonus=0").text
    )
    assert "bonus of USD 3.00, its" in text_of(visitor.part(f"{look}?amount=10&bonus=3").text)
    for amount in ("", "x", "0", "１", "-5", "1e9"):
        assert "Type an amount to see" in text_of(visitor.get(look, query_string={"amount": amount}).text)
    assert row_of(shop.db, card).balance == USD("5")
    wrong = visitor.submit(f"/cards/{card.serial}/recharge", amount="10.00", bonus="x")
    assert "With a bonus" in text_of(wrong.text)
    visitor.submit(f"/cards/{card.serial}/recharge", amount="10.00")
    assert row_of(shop.db, card).balance == USD("17")
    locked(shop, card)
    assert "The card is locked." in text_of(visitor.part(f"{look}?amount=10").text)


def test_a_large_recharge_asks_a_second_person_and_is_made_when_they_agreed(shop: Shop) -> None:
    card, visitor = shop.take(), shop.visitor("operator")
    with shop.db.begin() as session:
        settings.put(session, "consent_recharge_over", 50)
    try:
        path = f"/cards/{card.serial}/recharge"
        assert "needs a second person" in text_of(visitor.part(f"{path}/outlook?amount=60&bonus=0").text)
        fields = {
            "key": key_of(visitor.get(path).text),
            "amount": "60",
            "bonus": "0",
            "reason": "A good customer",
        }
        asked = visitor.submit(path, **fields)
        assert asked.status_code == 422
        assert "A second person has to agree first." in text_of(asked.text)
        assert row_of(shop.db, card).balance == USD("5")
        waiting = [one for one in consents.list_open(shop.db, NOW) if one.subject == f"card:{card.serial}"]
        assert [one.reason for one in waiting] == ["A good customer"]
        boss = shop.home.world.people["finance"]
        consents.decide(
            shop.db,
            consent_id=waiting[0].id,
            approve=True,
            actor=Actor("staff", boss.id, boss.name, "finance"),
            now=NOW,
        )
        assert visitor.submit(path, **fields).status_code == 303
        assert row_of(shop.db, card).balance == USD("65")
    finally:
        with shop.db.begin() as session:
            settings.put(session, "consent_recharge_over", None)


def test_more_than_the_fields_is_not_taken(shop: Shop) -> None:
    card, visitor = shop.take(), shop.visitor()
    extra = {"balance": "999", "card_id": "1", "reseller_id": "1", "actor": "system", "serial": "10000000017"}
    visitor.submit(f"/cards/{card.serial}/recharge", amount="1", bonus="0", **extra)
    facts = row_of(shop.db, card)
    assert (facts.balance, facts.reseller_id) == (USD("6"), None)
    with shop.db.begin() as session:
        entries = session.scalars(select(LedgerEntry).where(LedgerEntry.card_id == card.id)).all()
    assert [entry.actor.split(":")[0] for entry in entries][-1] == "staff"


def test_a_card_that_stays_as_it_is_says_why(shop: Shop) -> None:
    card, visitor = shop.take(), shop.visitor()
    assigned(shop, card)
    answer = visitor.submit(f"/cards/{card.serial}/sold")
    assert answer.status_code == 422
    assert "The card is a reseller's and not charged yet" in text_of(answer.text)
    other_card = shop.take()
    custody.mark_sold(shop.db, one(other_card), OPERATOR, NOW)
    visitor.submit(f"/cards/{other_card.serial}/sold")
    assert "It was so already; nothing was changed." in text_of(
        visitor.get(f"/cards/{other_card.serial}").text
    )


def test_what_people_typed_is_shown_as_text_everywhere(shop: Shop) -> None:
    card, visitor = shop.take(), shop.visitor()
    for path, fields in (
        ("lock", {"reason": MARK}),
        ("unlock", {"reason": MARK}),
        ("recharge", {"amount": "1", "reason": MARK}),
        ("adjust", {"amount": "-1", "reason": MARK}),
        ("extend", {"days": "1", "reason": MARK}),
    ):
        visitor.submit(f"/cards/{card.serial}/{path}", **fields)
    asked = f"/cards/{card.serial}?ask="
    for page in (
        visitor.get(f"/cards/{card.serial}").text,
        visitor.get(f"{asked}refused&caller=" + MARK).text,
        visitor.get(f"{asked}cost&number={MARK}&access={MARK}").text,
        visitor.submit(f"/cards/{card.serial}/bind", caller=MARK).text,
        visitor.submit(f"/cards/{card.serial}/transfer", to=MARK).text,
    ):
        assert "<img src=x" not in page
        assert "&lt;img src=x" in page


def test_money_is_told_in_words_afterwards(shop: Shop) -> None:
    card, visitor = shop.take(), shop.visitor()
    visitor.submit(f"/cards/{card.serial}/adjust", amount="-0.50", reason="x")
    said = text_of(visitor.get(f"/cards/{card.serial}").text)
    assert f"corrected by {format_money(-USD('0.50'), 'USD')} and is USD 4.50." in said
