"""A house for the cardholders' pages: made once for a module of tests that only look, or keep to a card."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from flask import Flask

from engine.config import Keys
from engine.db import Database
from engine.vault import Vault
from portal import create_app, installation
from tests.conftest import Clones
from tests.portal import fakestripe
from tests.portal.conftest import Clock, config_for
from tests.portal.holders import Holder, holder_of
from tests.scenes import TestCard


@dataclass
class HolderHouse:
    """The app, what is behind it, and a browser for each card."""

    app: Flask
    db: Database
    vault: Vault
    clock: Clock
    browsers: dict[int, Holder] = field(default_factory=dict)

    def holder(self, card: TestCard) -> Holder:
        """The browser in which this card is logged in; the same one each time, as passwords take long to check."""
        if card.id not in self.browsers:
            self.browsers[card.id] = holder_of(self.app, card)
        return self.browsers[card.id]


@contextmanager
def holder_house(clones: Clones, keys: Keys, home: Path) -> Iterator[HolderHouse]:
    """A house of its own, where cards can be paid online; nothing is there that would collect."""
    url = clones.make()
    db = Database(url)
    app = create_app(config_for(url, keys, home))
    with app.app_context():
        here = installation.installation()
    here.clock = clock = Clock()
    here.config = replace(
        here.config,
        stripe_secret_key=fakestripe.KEY,
        stripe_webhook_secret=fakestripe.SECRET,
        stripe_api="http://127.0.0.1:9",
        public_url="https://cards.example",
    )
    try:
        yield HolderHouse(app, db, Vault(keys), clock)
    finally:
        here.db.close()
        db.close()
        clones.drop(url)
