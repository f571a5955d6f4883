"""Whatever the OpenAPI document allows, and whatever it doesn't, thrown at the real API over a real database.

The examples of the document meet cards that exist, so that its happy paths are walked, too. The app is made before
there is a database, because its document says which tests there are; `house` gives it one.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from sqlalchemy import text

from engine.config import Config
from engine.db import Database
from engine.people.switches import add_switch
from engine.vault import Vault
from portal import create_app
from portal.switch_api import EXTENSION, bodies
from tests import scenes
from tests.conftest import Clones, assert_books_verify
from tests.portal.conftest import Clock
from tests.scenes import OPERATOR

PROVE = os.environ.get("CARDTONE_PROVE", "") not in ("", "0")
EXAMPLES = 500 if PROVE else 25

# Times at which the example's call can have been answered.
_zones = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
schemathesis.openapi.format(
    "date-time",
    st.datetimes(datetime(2026, 11, 21), datetime(2099, 12, 30), timezones=_zones).map(  # noqa: DTZ001
        lambda when: when.isoformat()
    ),
)


_KEY = base64.urlsafe_b64encode(bytes(32)).decode()
_SETTINGS = dict.fromkeys(("CARDTONE_PEPPER", "CARDTONE_MASTER_KEY", "CARDTONE_SECRET_KEY"), _KEY)
app = create_app(Config(Path("nowhere"), database_url="postgresql://localhost/none", key_settings=_SETTINGS))
schema = schemathesis.openapi.from_wsgi("/api/openapi.json", app.extensions[EXTENSION])


@pytest.fixture(scope="module")
def house(clones: Clones, vault: Vault) -> Iterator[dict[str, str]]:
    """A house with the cards, the call, the voucher and the deck of the examples; gives the headers of a switch."""
    url = clones.make()
    db = Database(url)
    cards = scenes.batch(db, vault, 2, "1000000", concurrency=1000)
    pinless = scenes.card(db, vault, name="Pinless", pinless=True, binding="single", auto_bind=True)
    voucher = scenes.vouchers(db, vault)[0]
    _rename(db, vault, cards[0], bodies.NUMBER.example, bodies.PASSWORD.example)
    _rename(db, vault, voucher, bodies.VOUCHER_NUMBER.example, bodies.VOUCHER_PASSWORD.example)
    switch, key = add_switch(db, "Fuzzer", OPERATOR, scenes.NOW)
    line = scenes.Line(db, vault, switch)
    line.authenticate(pinless, caller=bodies.CALLER.example)
    line.open(cards[1], ref=bodies.CALL_REF.example)
    here = app.extensions["cardtone"]
    here.db, here.vault, here.clock = db, vault, Clock()
    yield {"Authorization": f"Bearer {key.value}"}
    assert_books_verify(db)
    db.close()
    clones.drop(url)


def _rename(db: Database, vault: Vault, card: scenes.TestCard, number: str, password: str) -> None:
    """Give a card the number and password of an example."""
    with db.begin() as session:
        session.execute(
            text("UPDATE card SET number = :number, digest = :digest, pepper = :pepper WHERE id = :id"),
            {
                "id": card.id,
                "number": number,
                "digest": vault.digest(number, password),
                "pepper": vault.pepper,
            },
        )


@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=not PROVE,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
def test_the_api_keeps_its_word(case: schemathesis.Case, house: dict[str, str]) -> None:
    case.call_and_validate(headers=house)
