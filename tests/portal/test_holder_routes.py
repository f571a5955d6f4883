"""Whom each of the cardholder's pages opens to, made from their own list of addresses: a new page is walked as well."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text
from structlog.testing import capture_logs
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from engine.actor import CONSOLE, SYSTEM, Actor
from engine.cards import binding, speeddials
from engine.config import Keys
from engine.funds import checkouts, recharges, transfers
from engine.people import sessions, staff
from engine.vault import Secret
from portal.cardholder.door import is_open
from tests import proof, scenes
from tests.conftest import Clones
from tests.portal.conftest import LOGIN, PASSWORD, Visitor
from tests.portal.holderhouse import HolderHouse, holder_house
from tests.portal.holders import Holder, holder_of
from tests.scenes import NOW, OPERATOR, USD, Line, TestCard

PUBLIC = {
    "choose_language",
    "help_page",
    "icon",
    "log_in",
    "log_in_post",
    "manifest",
    "offline",
    "prices",
    "worker",
}
"""What may be seen without a card: each was decided, and a new one is decided here."""
MY_PHONE, THEIR_PHONE = "491711234567", "4915112345678"
THEIR_FRIEND, THEIR_CALLED = "8801999888777", "8801755555555"
UNTOUCHED = {"remove_phone", "set_pinless", "remove_dial"}
"""What names a thing of the own card by what anybody may type: another's is simply not there, and stays as it is."""
PAYLOADS = ("' OR 1=1; drop table card --", "<script>alert(1)</script>", "9" * 30, "\x00\uff11\u202e")
MORE_PAYLOADS = ("-5", "NaN", "2026-02-30", "%27%20OR", "=HYPERLINK(1)", "\ud83d\ude00", "a" * 5_000)
NAMES = [
    "q",
    "first",
    "last",
    "to",
    "way",
    "before",
    "after",
    "next",
    "given_up",
    "number",
    "password",
    "amount",
    "key",
    "caller",
    "pinless",
    "slot",
    "destination",
    "name",
    "present",
    "chosen",
    "again",
    "ref",
    "language",
]


@dataclass(kw_only=True)
class World(HolderHouse):
    """Two cards that have everything, and examples of what is the other's."""

    mine: TestCard
    theirs: TestCard
    arguments: dict[str, tuple[Any, Any]]

    def address(self, rule: Rule, *, foreign: bool = False) -> str:
        values = {arg: self.arguments[f"{name(rule)}.{arg}"][foreign] for arg in rule.arguments}
        with self.app.test_request_context():
            return str(self.app.url_map.bind("localhost").build(rule.endpoint, values))

    def secrets(self) -> tuple[str, ...]:
        """What must be in no answer to another card."""
        return (self.theirs.number, self.theirs.serial, "23.45", THEIR_PHONE, THEIR_FRIEND, THEIR_CALLED)


def name(rule: Rule) -> str:
    return rule.endpoint.removeprefix("cardholder.")


def pages(app: Flask) -> list[Rule]:
    """Every address of the cardholder's pages."""
    found = [rule for rule in app.url_map.iter_rules() if rule.endpoint.startswith("cardholder.")]
    return sorted(found, key=lambda rule: (rule.rule, rule.endpoint))


def methods(rule: Rule) -> list[str]:
    return [method for method in ("GET", "POST") if method in (rule.methods or ())]


def walk(app: Flask, *, only: str | None = None, open_too: bool = True) -> Iterator[tuple[Rule, str]]:
    """Each address with each of its methods."""
    for rule in pages(app):
        with app.app_context():
            if is_open(rule.endpoint) and not open_too:
                continue
        for method in methods(rule):
            if only in (None, method):
                yield rule, method


@pytest.fixture(scope="module")
def world(clones: Clones, keys: Keys, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The house that these tests walk through."""
    with holder_house(clones, keys, tmp_path_factory.mktemp("home")) as house:
        yield _furnished(house)


def _furnished(house: HolderHouse) -> World:
    db, vault = house.db, house.vault
    scenes.deck(db)
    mine, theirs = scenes.batch(db, vault, 2, pinless=True, max_bound=3)
    line = Line(db, vault, scenes.switch(db))
    made: dict[str, list[Any]] = {}
    for card, phone, friend, called in (
        (mine, MY_PHONE, "8801700000001", "8801711111111"),
        (theirs, THEIR_PHONE, THEIR_FRIEND, THEIR_CALLED),
    ):
        actor = Actor("cardholder", card.id, card.serial)
        binding.bind(db, card_id=card.id, caller=phone, actor=OPERATOR, now=NOW)
        slot = 7 if card is mine else 8
        speeddials.set_speed_dial(
            db, card_id=card.id, slot=slot, destination=friend, name="Friend", actor=actor, now=NOW
        )
        ref = f"call-{card.id}"
        line.open(card, called, ref=ref)
        line.end(ref, seconds=0)
        more = USD("11.10" if card is mine else "18.45")
        paid = recharges.recharge(
            db, card_id=card.id, amount=more, key=f"p{card.id}", actor=OPERATOR, now=NOW
        )
        begun = checkouts.begin(
            db, card_id=card.id, amount=USD("10"), language="en", key="online", actor=SYSTEM, now=NOW
        )
        _keep(made, "receipt.payment_id", paid.payment_id)
        _keep(made, "online_payment.ref", begun.ref)
        _keep(made, "remove_phone.caller", phone)
        _keep(made, "set_pinless.caller", phone)
        _keep(made, "remove_dial.slot", slot)
    given = scenes.batch(db, vault, 2, "1.00", name="Given", pinless=True, max_bound=3)
    for source, card in zip(given, (mine, theirs), strict=True):
        moved = transfers.transfer(
            db, from_id=source.id, to_id=card.id, key=f"t{card.id}", actor=OPERATOR, now=NOW
        )
        _keep(made, "received.transfer_id", moved.transfer_id)
        recharges.adjust(db, card_id=card.id, amount=-USD("1"), reason="Even", actor=OPERATOR, now=NOW)
    for file in ("calls_file", "money_file"):
        made[f"{file}.kind"] = ["csv", "csv"]
    made |= {"icon.size": [192, 192], "icon.look": ["any", "any"]}
    arguments = {argument: (own, other) for argument, (own, other) in made.items()}
    return World(
        **vars(house),
        mine=mine,
        theirs=theirs,
        arguments=arguments,
    )


def _keep(made: dict[str, list[Any]], argument: str, value: Any) -> None:
    made.setdefault(argument, []).append(value)


def ask(
    browser: Visitor, method: str, path: str, token: str, fields: dict[str, str] | None = None
) -> TestResponse:
    """Ask for a page, or send a form to it."""
    data = {"csrf_token": token, **(fields or {})} if method == "POST" else None
    return browser.open(path, method=method, data=data)


def test_every_argument_has_an_example_of_the_own_card_and_of_another(world: World) -> None:
    found = pages(world.app)
    assert len(found) > 30
    for rule in found:
        for argument in rule.arguments:
            assert f"{name(rule)}.{argument}" in world.arguments, (
                f"{rule.rule}: what does {argument} stand for?"
            )


def test_only_what_was_decided_is_open_to_all(world: World) -> None:
    with world.app.app_context():
        assert {name(rule) for rule in pages(world.app) if is_open(rule.endpoint)} == PUBLIC


def test_without_a_log_in_there_is_the_log_in(world: World) -> None:
    stranger = holder_of(world.app)
    token = stranger.token()
    for rule, method in walk(world.app, open_too=False):
        answer = ask(stranger, method, world.address(rule), token)
        assert answer.status_code == 303, rule
        assert answer.location.startswith("/card/log-in"), rule
    for rule, method in walk(world.app, only="GET"):
        if name(rule) in PUBLIC:
            answer = stranger.open(world.address(rule), method=method)
            assert answer.status_code == 200, rule
            assert (
                "Set-Cookie" not in answer.headers or "cardtone-browser" not in answer.headers["Set-Cookie"]
            )


def test_no_write_without_the_token_of_the_session_and_none_from_elsewhere(world: World) -> None:
    browser = world.holder(world.mine)
    token = browser.token()
    before = written(world)
    for rule, _ in walk(world.app, only="POST"):
        path = world.address(rule)
        assert browser.post(path).status_code == 403, rule
        foreign = browser.post(path, data={"csrf_token": token}, headers={"Sec-Fetch-Site": "cross-site"})
        assert foreign.status_code == 403, rule
        assert browser.post(path, data={"csrf_token": "x" * 60}).status_code == 403, rule
    assert written(world) == before


def test_another_cards_things_are_nowhere(world: World) -> None:
    browser = world.holder(world.mine)
    token = browser.token()
    before = theirs(world)
    wrong = []
    for rule, method in walk(world.app, open_too=False):
        if not rule.arguments or "kind" in rule.arguments:
            continue
        answer = ask(browser, method, world.address(rule, foreign=True), token, {"pinless": "1"})
        allowed = (404, 303) if name(rule) in UNTOUCHED else (404,)
        if answer.status_code not in allowed or any(one.encode() in answer.data for one in world.secrets()):
            wrong.append((method, rule.rule, answer.status_code))
    browser.get("/card")  # whatever was said is said on the next page
    assert not wrong
    assert theirs(world) == before


def theirs(world: World) -> list[Any]:
    """All that the other card has."""
    tables = "binding", "pending_binding", "speed_dial", "checkout", "ledger_entry"
    with world.db.begin() as session:
        return [
            session.execute(
                text(f"SELECT t.*::text FROM {table} t WHERE card_id = {world.theirs.id} ORDER BY 1")
            )
            .scalars()
            .all()
            for table in tables
        ] + [session.scalar(text(f"SELECT t.*::text FROM card t WHERE id = {world.theirs.id}"))]


def test_no_page_has_anything_of_another_card_nor_any_card_number(world: World) -> None:
    their_home = world.holder(world.theirs).get("/card").text
    assert "23.45" in their_home, "what is looked for below would be seen"
    browser = world.holder(world.mine)
    for rule, method in walk(world.app, only="GET"):
        answer = browser.open(world.address(rule), method=method)
        assert answer.status_code in (200, 303), rule
        for one in (*world.secrets(), world.mine.number, world.mine.password):
            assert one.encode() not in answer.data, rule
        assert answer.headers.get("Cache-Control"), rule


def test_another_cards_log_in_can_not_be_ended(world: World) -> None:
    there = world.holder(world.theirs)
    ref = sessions.list_sessions(world.db, "cardholder", world.theirs.id, NOW)[0].ref
    answer = world.holder(world.mine).submit("/card/security/log-outs", ref=ref)
    assert answer.status_code == 303
    assert "There was nothing to end." in world.holder(world.mine).get("/card/security").text
    assert there.get("/card").status_code == 200


def test_a_field_that_no_form_has_changes_nothing_of_whose_it_is(world: World) -> None:
    """Mass assignment: ids and amounts beside a form's own fields."""
    before = theirs(world)
    more = {"card_id": str(world.theirs.id), "balance": "999", "reseller_id": "1", "actor": "staff:1"}
    browser = world.holder(world.mine)
    browser.submit("/card/phones", caller="491700000000", **more)
    browser.submit("/card/phones/short", slot="9", destination="8801712345678", **more)
    browser.submit("/card/security/log-outs", ref="nothing", **more)
    assert theirs(world) == before
    assert world.holder(world.theirs).get("/card").status_code == 200


def test_looking_writes_nothing(world: World) -> None:
    browser = world.holder(world.mine)
    before = written(world)
    for rule, method in walk(world.app, only="GET"):
        browser.open(world.address(rule), method=method)
    assert written(world) == before


def written(world: World) -> dict[str, int]:
    """A sum over the rows of every table."""
    with world.db.begin() as session:
        names = session.scalars(
            text(
                "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
                " AND relname <> 'web_session'"
            )
        ).all()
        sums = "SELECT coalesce(sum(hashtext(t.*::text)::bigint), 0) FROM {} t"
        return {table: session.scalar(text(sums.format(table))) or 0 for table in names}


def test_whatever_an_address_or_a_form_holds_is_answered(world: World) -> None:
    browser = holder_of(world.app, scenes.batch(world.db, world.vault, 1, name="Odd", pinless=True)[0])
    browser.strict = False  # that pages are well formed say the others
    token = browser.token()
    wrong = []
    for rule, method in walk(world.app):
        if name(rule) in ("log_out", "report_lost", "icon"):
            continue  # ask for nothing
        for payload in PAYLOADS + (MORE_PAYLOADS if proof.proving() else ()):
            odd = dict.fromkeys(NAMES, payload)
            path = world.address(rule)
            query = odd if method == "GET" else None
            data = None if method == "GET" else {"csrf_token": token, **odd}
            answer = browser.open(path, method=method, query_string=query, data=data)
            if answer.status_code >= 500 or b"<script>alert" in answer.data:
                wrong.append((method, rule.rule, payload[:20], answer.status_code))
    assert not wrong


@pytest.mark.parametrize(
    "path",
    [
        "/card/phones/%00/remove",
        "/card/phones/" + "9" * 400 + "/remove",
        "/card/phones/\u0664\u0669/pinless",
        "/card/phones/short/0/remove",
        "/card/phones/short/99999999999999999999/remove",
        "/card/recharge/receipt/99999999999999999999",
        "/card/recharge/received/99999999999999999999",
        "/card/recharge/online/%00",
        "/card/recharge/online/" + "x" * 500,
        "/card/calls.exe",
        "/card/nothing",
    ],
)
def test_an_odd_address_is_answered(world: World, path: str) -> None:
    browser = world.holder(world.mine)
    method = "POST" if path.endswith(("remove", "pinless")) else "GET"
    answer = ask(browser, method, path, browser.token())
    assert answer.status_code in (303, 404), answer.status_code


def test_other_methods_do_nothing(world: World) -> None:
    browser = world.holder(world.mine)
    before = written(world)
    for rule in pages(world.app):
        path = world.address(rule)
        if "GET" in methods(rule):
            head = browser.open(path, method="HEAD")
            assert head.status_code in (200, 303), rule
            assert head.data == b""
        assert browser.open(path, method="OPTIONS").status_code < 500, rule
        for method in ("PUT", "DELETE", "PATCH"):
            assert browser.open(path, method=method).status_code in (403, 405), (method, rule)
    assert written(world) == before


def test_staff_and_resellers_are_no_cardholders_and_the_other_way(world: World) -> None:
    staff.add_staff(world.db, LOGIN, "Front desk", "admin", Secret(PASSWORD), CONSOLE, NOW)
    desk = Visitor(world.app, world.app.response_class, use_cookies=True)
    assert desk.log_in().status_code == 303
    token = desk.token()
    for rule, method in walk(world.app, open_too=False):
        answer = ask(desk, method, world.address(rule), token)
        assert answer.status_code == 303, rule
        assert answer.location.startswith("/card/log-in"), rule
    holder = world.holder(world.mine)
    for console in ("/", "/batches", "/cards", "/money", "/people", "/rates"):
        answer = holder.get(console)
        assert (answer.status_code, "/log-in" in (answer.location or "")) != (200, False), console
        assert world.mine.serial not in answer.text
    shopkeeper = _with_realm(world, "reseller")
    assert shopkeeper.get("/card").status_code == 303
    swapped = _with_realm(world, "cardholder", of="staff")
    assert swapped.get("/card").status_code == 303, "a staff member's log-in called a cardholder's is none"


def _with_realm(world: World, realm: str, of: str | None = None) -> Holder:
    """A browser whose cookie says `realm` and holds a log-in of the realm `of`."""
    token = sessions.open_session(world.db, of or realm, world.mine.id, "203.0.113.7", NOW)
    browser = holder_of(world.app)
    with browser.session_transaction() as kept:
        kept["realm"], kept["token"] = realm, token.value
    return browser


def test_no_log_line_and_no_address_has_a_number_or_a_password(world: World) -> None:
    browser, secrets = world.holder(world.mine), (world.mine.number, world.mine.password, MY_PHONE)
    with capture_logs() as lines:
        for path in ("/card", "/card/calls", "/card/money", "/card/phones", "/card/security"):
            browser.get(path)
        browser.submit(
            "/card/recharge/transfer", number=world.mine.number, password=world.mine.password, key="k"
        )
        browser.submit("/card/recharge", number=world.theirs.number, password="00000000", key="k")
    assert lines
    for secret in (*secrets[:2], world.theirs.number):
        assert secret not in str(lines)
    for rule in pages(world.app):
        assert not rule.arguments & {"number", "password", "card_id", "serial"}, rule
