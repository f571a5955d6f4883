"""The list of batches and the page of one."""

from __future__ import annotations

from datetime import timedelta

import pytest
from flask import Flask

from engine import work
from engine.db import Database
from engine.errors import EngineError
from engine.schema import Batch
from engine.stock import generation
from engine.stock.batches import BatchOrder, discard, order_batch
from engine.stock.queries import PAGE, batch_list, batch_page
from engine.vault import Vault
from portal.operator.words import cardtone, sample_deck
from tests import scenes
from tests.portal.conftest import Clock, Visitor, text_of

POLLS = 'hx-trigger="load delay:1s, every 10s"'


def _order(db: Database, vault: Vault, name: str = "Manila_5", count: int = 300) -> tuple[int, int]:
    """An order that nobody has begun: (batch id, work id)."""
    ordered = order_batch(
        db,
        vault,
        BatchOrder(name=name, count=count, denomination=scenes.USD("5.00"), currency="USD", deck="Standard"),
        scenes.OPERATOR,
        scenes.NOW,
    )
    return ordered.batch_id, ordered.work_id


@pytest.fixture
def deck(db: Database) -> None:
    scenes.deck(db)


def test_an_empty_house_teaches_the_first_two_commands(visitor: Visitor) -> None:
    page = visitor.get("/batches").text
    text = text_of(page)
    assert f"{cardtone()} decks import {sample_deck()} --name World --currency USD" in text
    assert (
        f"{cardtone()} batches create --name World-5 --count 50000 --denomination 5.00 --currency USD" in text
    )
    assert "data-copy" in page
    assert "<table" not in page


def test_a_ready_batch_is_listed_and_silent(visitor: Visitor, db: Database, vault: Vault) -> None:
    scenes.batch(db, vault, 3, "12.50", name="Dhaka_12")
    page = visitor.get("/batches").text
    assert "Dhaka_12" in page
    assert "Ready" in page
    assert "12.50" in page
    assert "Standard" in page
    assert POLLS not in page


@pytest.mark.usefixtures("deck")
def test_a_batch_asks_again_until_it_is_ready(
    visitor: Visitor, db: Database, vault: Vault, clock: Clock
) -> None:
    batch_id, work_id = _order(db, vault)
    for path, asks in (("/batches", ""), (f"/batches/{batch_id}", "?whole=1")):
        page = visitor.get(path).text
        assert "Waiting" in page
        assert POLLS in page
        assert f'hx-get="/batches/{batch_id}{asks}"' in page
        assert "<noscript>" in page
    claimed = work.claim(db, "test", ["generate"], clock.now, work_id=work_id)
    assert claimed is not None
    part = visitor.part(f"/batches/{batch_id}").text
    assert part.lstrip().startswith('<div class="state"')
    assert "Generating" in part
    assert "0 of 300" in part
    assert POLLS in part
    generation.run(db, vault, claimed, clock)
    ready = visitor.part(f"/batches/{batch_id}?whole=1")
    assert ready.headers["HX-Redirect"] == f"/batches/{batch_id}", "its own page is shown anew"
    part = visitor.part(f"/batches/{batch_id}").text
    assert "Ready" in part
    assert "hx-" not in part
    assert "<progress" not in part


@pytest.mark.usefixtures("deck")
def test_a_batch_whose_maker_is_gone_says_that_another_goes_on(
    visitor: Visitor, db: Database, vault: Vault, clock: Clock
) -> None:
    batch_id, work_id = _order(db, vault)
    assert work.claim(db, "test", ["generate"], clock.now, work_id=work_id) is not None
    clock.later(seconds=work.LEASE_S + 1)
    page = visitor.get(f"/batches/{batch_id}").text
    assert "Interrupted" in page
    assert "Another one goes on" in page
    assert POLLS in page


@pytest.mark.usefixtures("deck")
def test_a_failed_batch_says_why_and_is_silent(
    visitor: Visitor, db: Database, vault: Vault, clock: Clock
) -> None:
    batch_id, work_id = _order(db, vault)
    claimed = work.claim(db, "test", ["generate"], clock.now, work_id=work_id)
    assert claimed is not None
    work.fail(db, claimed, EngineError("space_full"), clock.now)
    page = visitor.get(f"/batches/{batch_id}").text
    assert "Failed" in page
    assert "None of them can be used." in page
    assert "space_full" not in page
    assert f'href="/batches/{batch_id}/resume"' in page
    assert f'href="/batches/{batch_id}/discard"' in page
    found = batch_page(db, batch_id, clock.now)
    assert found is not None
    assert found.error
    assert POLLS not in page


@pytest.mark.usefixtures("deck")
def test_a_discarded_batch_is_told_as_such(
    visitor: Visitor, db: Database, vault: Vault, clock: Clock
) -> None:
    batch_id, _ = _order(db, vault)
    discard(db, "Manila_5", scenes.OPERATOR, clock.now, "mistyped")
    page = visitor.get(f"/batches/{batch_id}").text
    assert "Discarded" in page
    assert POLLS not in page


def test_the_pace_so_far_tells_what_is_left(db: Database, vault: Vault, clock: Clock) -> None:
    scenes.deck(db)
    batch_id, work_id = _order(db, vault, count=400)
    claimed = work.claim(db, "test", ["generate"], clock.now, work_id=work_id)
    assert claimed is not None
    with db.begin() as session:
        batch = session.get_one(Batch, batch_id)
        batch.generated = 100
    found = batch_page(db, batch_id, clock.now + timedelta(seconds=10))
    assert found is not None
    assert (found.state, found.generated, found.seconds_left) == ("running", 100, 30)
    with db.begin() as session:
        session.get_one(Batch, batch_id).generated = 0


def test_a_batch_page_tells_its_rules(visitor: Visitor, db: Database, vault: Vault) -> None:
    cards = scenes.batch(
        db,
        vault,
        2,
        name="Rules",
        validity_days=30,
        grace_days=7,
        binding="multi",
        max_bound=3,
        number_prefix="88",
    )
    page = visitor.get("/batches/1").text
    text = text_of(page)
    assert "30 days from first use, then 7 days of grace" in text
    assert "up to 3 registered phones" in text
    assert "12 digits, beginning with 88" in text
    assert cards[0].serial in text.replace(" ", "")
    assert 'href="/batches/1/export"' in page
    assert 'href="/cards?batch=1"' in page
    for card in cards:
        assert card.number not in page
        assert card.password not in page


def test_a_name_stays_text(visitor: Visitor, db: Database, vault: Vault) -> None:
    name = """<script>alert("x")</script> '; rm -rf / & co"""
    scenes.batch(db, vault, name=name)
    for path in ("/batches", "/batches/1"):
        page = visitor.get(path).text
        assert "<script>alert" not in page
        assert "&lt;script&gt;alert" in page
    assert "rm -rf / & co" in text_of(visitor.get("/batches/1").text)


def test_a_batch_that_is_not_there(visitor: Visitor) -> None:
    for path in ("/batches/1", "/batches/9223372036854775807", "/batches/9223372036854775808"):
        assert visitor.get(path).status_code == 404


@pytest.mark.usefixtures("deck")
def test_long_lists_go_on_by_key(visitor: Visitor, db: Database, vault: Vault, app: Flask) -> None:
    for number in range(PAGE + 3):
        _order(db, vault, f"B{number:03}", 1)
    first = batch_list(db, scenes.NOW)
    assert len(first.batches) == PAGE
    second = batch_list(db, scenes.NOW, before=first.older)
    names = [line.name for line in (*first.batches, *second.batches)]
    assert names == [f"B{number:03}" for number in reversed(range(PAGE + 3))]
    assert second.older is None
    page = visitor.get("/batches").text
    assert f'href="/batches?before={first.older}"' in page
    assert "B002" in visitor.get(f"/batches?before={first.older}").text
