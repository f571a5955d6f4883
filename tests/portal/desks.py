"""Two resellers with all that a desk shows, and browsers at their desks: made once a run, a copy for each module.

`desks` (a fixture of the module) is a copy of its own, which tests may leave anything behind in; its books must verify
in the end. Tests with it don't use the fixtures `app` and `db`, which are another house.

A new address of the desk has an example for each of its arguments in `_examples`: test_desk_routes.py walks it by that.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from flask import Flask
from werkzeug.routing import Rule

from engine.actor import CONSOLE, Actor
from engine.config import Keys
from engine.db import Database
from engine.funds import accounts, accountviews
from engine.people import resellerpeople, resellers, sessions, staff
from engine.permissions import STAFF_ROLES
from engine.stock import resale, shipments
from engine.stock.custody import Range
from engine.stock.printing import designs, printers
from engine.stock.printing import runs as print_runs
from engine.stock.printing.design import Design
from engine.vault import Secret, Vault
from portal import installation
from portal.reseller.door import OPEN
from tests import scenes
from tests.conftest import Clones, assert_books_verify
from tests.portal.apps import app_of
from tests.portal.conftest import Clock, Visitor, config_for
from tests.scenes import NOW, OPERATOR, USD, TestCard

PASSWORD = "seven quiet harbours"
MARK = "<img src=x onerror=alert(1)>"
"""Stands in the names of resellers, people and batches: none of it may run."""
CORNER, HARBOUR = f"Corner {MARK}", f"Harbour {MARK}"
CREDIT = "500"
_TOKEN = re.compile(r'name="csrf_token"[^>]*value="([^"]+)"')


class Keeper(Visitor):
    """A browser that reads the pages of the desk."""

    def token(self) -> str:
        """The token that the forms of its pages carry."""
        found = _TOKEN.search(self.get("/desk/me", follow_redirects=True).text)
        assert found is not None
        return found[1]

    def enter(self, login: str, password: str = PASSWORD, **more: str) -> None:
        """Log in at the desk."""
        answer = self.submit("/desk/log-in", login=login, password=password, **more)
        assert answer.status_code == 303, answer.text[-2000:]


@dataclass(frozen=True)
class Shop:
    """A reseller as it stands at first. Its discount is 10 %, its account has no limit and `CREDIT` on it.

    `held`: cards of 5.00 that wait for activation; `june`: cards of 10.00 that work already, waiting to be sold. The
    first two of `held` are activated, the third is sold, the last waits to be printed. `owner` and `clerk` log in by
    `<name>-owner`, `<name>-clerk`.
    """

    id: int
    name: str
    account_id: int
    owner: Actor
    clerk: Actor
    held: tuple[TestCard, ...]
    june: tuple[TestCard, ...]

    @property
    def held_range(self) -> Range:
        return Range(self.held[0].id, self.held[-1].id)


@dataclass
class Desks:
    """The app, what is behind it, two resellers, and a browser for each of their people.

    `unassigned`: cards that no reseller has, of the batch of `held`. `own` and `foreign`: an example for each argument
    of the desk's addresses, of the corner shop and of the other one; where one name leads to different things, the
    beginning of the address stands before it, such as `/desk/me/sessions/ref`.
    """

    app: Flask
    db: Database
    vault: Vault
    clock: Clock
    corner: Shop
    harbour: Shop
    unassigned: tuple[TestCard, ...]
    own: dict[str, Any]
    foreign: dict[str, Any]
    visitors: dict[str, Visitor] = field(default_factory=dict)

    def stranger(self) -> Keeper:
        """A browser in which nobody is logged in."""
        return Keeper(self.app, self.app.response_class, use_cookies=True)

    def keeper(self, login: str) -> Keeper:
        """The browser in which `corner-owner`, `corner-clerk`, `harbour-owner` or `harbour-clerk` is logged in."""
        if login not in self.visitors:
            client = self.stranger()
            client.enter(login)
            self.visitors[login] = client
        found = self.visitors[login]
        assert isinstance(found, Keeper)
        return found

    @property
    def owner(self) -> Keeper:
        """The owner of the corner shop at the desk."""
        return self.keeper("corner-owner")

    @property
    def clerk(self) -> Keeper:
        """Its clerk."""
        return self.keeper("corner-clerk")

    def staff(self, role: str = "admin") -> Visitor:
        """The browser in which somebody of the operator's staff is logged in."""
        if role not in self.visitors:
            client = Visitor(self.app, self.app.response_class, use_cookies=True)
            assert client.log_in(role, PASSWORD).status_code == 303
            self.visitors[role] = client
        return self.visitors[role]

    def looking(self, role: str = "auditor") -> Keeper:
        """A browser in which staff look at the desk of the corner shop."""
        name = f"{role} looking"
        if name not in self.visitors:
            client = self.stranger()
            assert Visitor.log_in(client, role, PASSWORD).status_code == 303
            assert client.submit(f"/resellers/{self.corner.id}/look").status_code == 303
            self.visitors[name] = client
        found = self.visitors[name]
        assert isinstance(found, Keeper)
        return found


def build(db: Database, vault: Vault) -> None:
    """Make it: staff of each role, three batches (the last all the harbour's), two resellers with credit and people."""
    for role in STAFF_ROLES:
        staff.add_staff(db, role, f"{role} {MARK}", role, Secret(PASSWORD), CONSOLE, NOW)
    held = scenes.batch(db, vault, 20, name=f"May {MARK}", release="activation")
    june = scenes.batch(db, vault, 8, "10.00", name=f"June {MARK}")
    july = scenes.batch(db, vault, 2, name=f"July {MARK}")
    for login, name, own, working in (
        ("corner", CORNER, held[:10], june[:4]),
        ("harbour", HARBOUR, held[10:16], june[4:7]),
    ):
        made = resellers.add_reseller(db, name, OPERATOR, NOW, discount_bp=1000)
        account = accounts.open_account(
            db, name=name, kind="reseller", currency="USD", reseller_id=made.id, actor=OPERATOR, now=NOW
        )
        accounts.deposit(db, account_id=account.id, amount=USD(CREDIT), actor=OPERATOR, now=NOW)
        for role in resellerpeople.ROLES:
            resellerpeople.add_person(
                db, made.id, f"{login}-{role}", f"{role} {MARK}", role, Secret(PASSWORD), OPERATOR, NOW
            )
        for cards in (own, working):
            resale.assign(db, Range(cards[0].id, cards[-1].id), OPERATOR, NOW, reseller_id=made.id)
        owner = resellerpeople.named(db, f"{login}-owner").actor
        resale.activate(db, Range(own[0].id, own[1].id), owner, NOW, reseller_id=made.id)
        resale.sell(db, Range(own[2].id, own[2].id), owner, NOW, reseller_id=made.id)
        _printing(db, vault, f"{login} {MARK}", own[-1], owner, offered=login == "corner")
        shipments.send(
            db,
            [Range(own[0].id, own[-2].id)],
            None,
            OPERATOR,
            NOW,
            reseller_id=made.id,
            note=f"To {login} {MARK}",
        )
    resale.assign(db, Range(july[0].id, july[1].id), OPERATOR, NOW, reseller_id=owner.reseller_id or 0)


def _printing(db: Database, vault: Vault, name: str, card: TestCard, owner: Actor, *, offered: bool) -> None:
    """A printer, and a run of one card that waits to be made; of the designs only the first is for resellers."""
    printer = printers.add(db, name, (1500, -300), owner, NOW)
    receipt = Design("receipt-58", logo=False, title=name, fields=("serial",))
    design = designs.add(db, name, receipt, OPERATOR, NOW)
    print_runs.order(
        db,
        vault,
        Range(card.id, card.id),
        design.id,
        Path(tempfile.gettempdir()),
        owner,
        NOW,
        log_in_url="https://cards.example/card/log-in",
        printer_id=printer.id,
    )
    if not offered:
        designs.change(db, design.id, OPERATOR, NOW, name=name, design=receipt, for_resellers=False)


@contextmanager
def opened(url: str, keys: Keys, home: Path) -> Iterator[Desks]:
    """The world that `build` made in the database at `url`, behind an app."""
    db, vault = Database(url), Vault(keys)
    app = app_of(config_for(url, keys, home))
    with app.app_context():
        here = installation.installation()
    here.clock = clock = Clock(NOW + timedelta(minutes=10))
    held, june = scenes.cards_of(db, vault, 1), scenes.cards_of(db, vault, 2)
    corner = _shop(db, "corner", held[:10], june[:4])
    harbour = _shop(db, "harbour", held[10:16], june[4:7])
    try:
        yield Desks(
            app,
            db,
            vault,
            clock,
            corner,
            harbour,
            tuple(held[16:]),
            _examples(db, corner, batch_id=1, print_id=1),
            _examples(db, harbour, batch_id=3, print_id=2),
        )
        assert_books_verify(db)
    finally:
        here.db.close()
        db.close()


@contextmanager
def template(clones: Clones, keys: Keys) -> Iterator[str]:
    """The database that copies are made of; nobody works in it."""
    url = clones.make()
    db = Database(url)
    build(db, Vault(keys))
    db.close()
    try:
        yield url
    finally:
        clones.drop(url)


def pages(desks: Desks) -> list[Rule]:
    """Every address of the desk but its log-in."""
    rules = [rule for rule in desks.app.url_map.iter_rules() if rule.endpoint.startswith("reseller.")]
    return sorted((rule for rule in rules if rule.endpoint not in OPEN), key=lambda rule: rule.rule)


def address(desks: Desks, rule: Rule, examples: dict[str, Any]) -> str:
    """The address of a page with these examples for its arguments."""
    room = rule.rule.split("<")[0]
    values = {name: _example(room, name, examples) for name in rule.arguments}
    with desks.app.test_request_context():
        return str(desks.app.url_map.bind("localhost").build(rule.endpoint, values))


def addresses(desks: Desks) -> list[tuple[Rule, str]]:
    """Every page of the desk with its address at the corner shop."""
    return [(rule, address(desks, rule, desks.own)) for rule in pages(desks)]


def _example(room: str, name: str, examples: dict[str, Any]) -> Any:
    found = examples.get(f"{room}{name}", examples.get(name))
    assert found is not None, f"{room} has no example of {name} in tests/portal/desks.py"
    return found


def _examples(db: Database, shop: Shop, batch_id: int, print_id: int) -> dict[str, Any]:
    """What the arguments of the desk's addresses lead to at this shop. `print_id`: of its printer, design and run."""
    return {
        "/desk/print/runs/run_id": print_id,
        "account_id": shop.account_id,
        "shipment_id": print_id,
        "month": f"{NOW:%Y-%m}",
        "kind": "pdf",
        "design_id": print_id,
        "printer_id": print_id,
        "batch_id": batch_id,
        "serial": shop.held[4].serial,
        "person_id": shop.clerk.id,
        "/desk/people/ref": _session(db, shop.clerk),
        "/desk/me/sessions/ref": _session(db, shop.owner),
    }


def _session(db: Database, person: Actor) -> str:
    """A log-in of somebody, as lists name it."""
    assert person.id is not None
    return sessions.ref_of(sessions.open_session(db, "reseller", person.id, "203.0.113.7", NOW))


def _shop(db: Database, login: str, held: list[TestCard], june: list[TestCard]) -> Shop:
    people = {role: resellerpeople.named(db, f"{login}-{role}").actor for role in resellerpeople.ROLES}
    reseller_id = people["owner"].reseller_id
    assert reseller_id is not None
    found = resellers.reseller_page(db, reseller_id)
    assert found is not None
    account = accountviews.list_accounts(db, reseller_id=reseller_id)[0]
    return Shop(
        reseller_id, found.name, account.id, people["owner"], people["clerk"], tuple(held), tuple(june)
    )
