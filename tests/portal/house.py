"""The shared world behind an app: made once for a module of tests that only look, or that may leave anything behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from flask import Flask
from werkzeug.routing import Rule

from engine.config import Keys
from engine.db import Database
from engine.vault import Vault
from portal import create_app, installation
from portal.operator.console import OPEN
from tests.conftest import Clones
from tests.portal import world
from tests.portal.conftest import Clock, Visitor, config_for
from tests.scenes import NOW

NOWHERE = {
    "serial": "10000999992",
    "key": "nothing",
    "number": "1",
    "what": "changes",
    "job": "nothing",
    "report": "nothing",
    "call_ref": "nothing",
    "month": "nothing",
    "kind": "nothing",
}
"""Arguments that lead to nothing; numbers of rows are `NO_ROW`."""
NO_ROW = 999_999_999


@dataclass
class House:
    """The app, its world, and a browser for each role."""

    app: Flask
    db: Database
    world: world.World
    visitors: dict[str, Visitor] = field(default_factory=dict)

    def visitor(self, role: str | None) -> Visitor:
        """A browser in which somebody of this role is logged in; None: nobody."""
        client = self.app.test_client()
        assert isinstance(client, Visitor)
        if role is None:
            return client
        if role not in self.visitors:
            assert client.log_in(role, world.PASSWORD).status_code == 303
            self.visitors[role] = client
        return self.visitors[role]

    def address(self, rule: Rule, *, nowhere: bool = False) -> str:
        """The address of a page with examples for its arguments, or with what doesn't exist."""
        examples = self.world.arguments
        room = rule.rule.split("<")[0]
        values: dict[str, Any] = {
            name: examples.get(f"{room}{name}", examples[name]) for name in rule.arguments
        }
        if nowhere:
            values = {name: NOWHERE.get(name, NO_ROW) for name in rule.arguments}
        with self.app.test_request_context():
            return str(self.app.url_map.bind("localhost").build(rule.endpoint, values))


def pages(app: Flask) -> list[Rule]:
    """Every address of the console but its log-in."""
    rules = [rule for rule in app.url_map.iter_rules() if rule.endpoint.startswith("operator.")]
    return sorted((rule for rule in rules if rule.endpoint not in OPEN), key=lambda rule: rule.rule)


@contextmanager
def house(clones: Clones, keys: Keys, home: Path) -> Iterator[House]:
    """A house of its own."""
    url = clones.make()
    db = Database(url)
    made = world.build(db, Vault(keys))
    app = create_app(config_for(url, keys, home))
    app.test_client_class = Visitor
    with app.app_context():
        here = installation.installation()
    here.clock = Clock(NOW + timedelta(minutes=10))
    try:
        yield House(app, db, made)
    finally:
        here.db.close()
        db.close()
        clones.drop(url)
