"""Ordering a batch and giving one up: what it leaves behind, and when it is refused."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from engine import work
from engine.db import Database
from engine.errors import Conflict, InvalidInput, NotFound
from engine.refusal import Refusal
from engine.stock import generation
from engine.stock.batches import BatchOrder, BatchOrdered, discard, order_batch, resume
from engine.stock.imports import import_cards
from engine.stock.numbers import SpaceFull
from engine.vault import Vault
from tests import scenes
from tests.scenes import NOW, OPERATOR


@pytest.fixture
def decked(db: Database) -> Database:
    """A database with a deck to order by."""
    scenes.deck(db)
    return db


def order(db: Database, vault: Vault, **changes: Any) -> BatchOrdered:
    given = {
        "name": "Dhaka 5",
        "count": 100,
        "denomination": 5_000_000,
        "currency": "USD",
        "deck": "Standard",
    }
    return order_batch(db, vault, BatchOrder(**{**given, **changes}), OPERATOR, NOW)


def generate(db: Database, vault: Vault, ordered: BatchOrdered) -> None:
    claimed = work.claim(db, "test", ["generate"], NOW, work_id=ordered.work_id)
    assert claimed is not None
    try:
        result = generation.run(db, vault, claimed, lambda: NOW)
    except work.EngineError as error:
        work.fail(db, claimed, error, NOW)
        raise
    work.finish(db, claimed, NOW, result)


def one(db: Database, query: str, **values: Any) -> Any:
    with db.begin() as session:
        return session.execute(text(query), values).one()


def test_an_order_leaves_a_batch_a_wrapped_key_work_and_an_audit_row(decked: Database, vault: Vault) -> None:
    ordered = order(decked, vault)
    batch = one(decked, "SELECT * FROM batch")
    assert (batch.name, batch.count, batch.generated, batch.ready_at) == ("Dhaka 5", 100, 0, None)
    assert batch.last_id - batch.first_id == 99
    assert ordered.first_serial.startswith(str(batch.first_id))
    assert ordered.last_serial.startswith(str(batch.last_id))
    key = one(decked, "SELECT * FROM batch_key")
    assert len(vault.unwrap(key.wrapped, key.master)) == 32
    row = work.find_work(decked, ordered.work_id, NOW)
    assert (row.kind, row.state, row.total) == ("generate", "queued", 100)
    assert one(decked, "SELECT params FROM work").params == {"batch_id": batch.id}
    told = one(decked, "SELECT * FROM audit WHERE action = 'batch.create'")
    assert (told.actor, told.subject, told.data["count"]) == ("staff:1", f"batch:{batch.id}", 100)


def test_serials_follow_on_from_batch_to_batch(decked: Database, vault: Vault) -> None:
    first = order(decked, vault)
    second = order(decked, vault, name="Dhaka 10", count=7)
    assert int(second.first_serial[:-1]) == int(first.last_serial[:-1]) + 1
    assert int(second.last_serial[:-1]) == int(second.first_serial[:-1]) + 6


def test_orders_that_race_get_serials_and_names_of_their_own(decked: Database, vault: Vault) -> None:
    def place(at: int) -> BatchOrdered | str:
        try:
            return order(decked, vault, name=f"Batch {at % 4}", count=10)
        except InvalidInput as refusal:
            return refusal.code

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(place, range(16)))
    placed = [answer for answer in answers if isinstance(answer, BatchOrdered)]
    assert len(placed) == 4
    assert [answer for answer in answers if isinstance(answer, str)] == ["name_taken"] * 12
    taken = [set(range(int(one.first_serial[:-1]), int(one.last_serial[:-1]) + 1)) for one in placed]
    assert len(set().union(*taken)) == 40


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", '=HYPERLINK("http://x")'])
def test_a_name_that_looks_like_code_is_kept_as_it_is(decked: Database, vault: Vault, name: str) -> None:
    assert order(decked, vault, name=name).name == name
    assert one(decked, "SELECT name FROM batch").name == name


@pytest.mark.parametrize(
    ("changes", "field", "code"),
    [
        ({"name": " Dhaka  5 "}, "name", "name_taken"),
        ({"deck": "Nowhere"}, "deck", "unknown_deck"),
        ({"deck": "No\0where"}, "deck", "unknown_deck"),
        ({"currency": "EUR"}, "deck", "deck_currency"),
        ({"destination_rules": "Nothing"}, "destination_rules", "unknown_rules"),
        ({"reseller": "Nobody"}, "reseller", "unknown_reseller"),
        ({"number_length": 8, "count": 100_001}, "number_length", "space_too_full"),
        ({"number_prefix": "1234567", "number_length": 12, "count": 101}, "number_length", "space_too_full"),
        ({"range_first": "1000", "range_last": "1099", "count": 101}, "range_last", "range_too_small"),
    ],
)
def test_an_order_that_cannot_be_is_refused_and_leaves_nothing(
    decked: Database, vault: Vault, changes: dict[str, Any], field: str, code: str
) -> None:
    order(decked, vault)
    with pytest.raises(InvalidInput) as refusal:
        order(decked, vault, **{"name": "Another", **changes})
    assert (refusal.value.data["field"], refusal.value.code) == (field, code)
    assert one(decked, "SELECT count(*) AS n FROM batch").n == 1
    assert one(decked, "SELECT count(*) AS n FROM work").n == 1
    assert one(decked, "SELECT count(*) AS n FROM audit WHERE action = 'batch.create'").n == 1


def test_one_number_in_a_thousand_is_the_most_counting_what_is_there_and_what_is_ordered(
    decked: Database, vault: Vault
) -> None:
    space = {"number_prefix": "99", "number_length": 8}  # a million numbers
    generate(decked, vault, order(decked, vault, count=600, **space))
    order(decked, vault, name="Ordered", count=300, **space)
    with pytest.raises(InvalidInput, match="space_too_full") as refusal:
        order(decked, vault, name="Too many", count=101, **space)
    assert refusal.value.data == {"field": "number_length", "count": 101, "free": 100}
    order(decked, vault, name="Just enough", count=100, **space)
    # Other prefixes and lengths are other numbers.
    order(decked, vault, name="Next door", count=1000, number_prefix="98", number_length=8)
    order(decked, vault, name="Longer", count=1000, number_prefix="99", number_length=9)


def test_an_explicit_range_may_be_filled_to_its_last_number_and_is_warned_about(
    decked: Database, vault: Vault
) -> None:
    ends = {"range_first": "880000", "range_last": "880999"}
    ordered = order(decked, vault, count=900, **ends)
    assert ordered.warnings == ("short_number", "dense_range")
    with pytest.raises(InvalidInput, match="space_too_full") as refusal:
        order(decked, vault, name="Too many", count=101, **ends)
    assert refusal.value.data["free"] == 100
    last = order(decked, vault, name="The rest", count=100, **ends)
    generate(decked, vault, ordered)
    generate(decked, vault, last)
    found = one(
        decked, "SELECT count(DISTINCT number) AS n, min(number) AS low, max(number) AS high FROM card"
    )
    assert (found.n, found.low, found.high) == (1000, "880000", "880999")
    with pytest.raises(InvalidInput, match="space_too_full"):
        order(decked, vault, name="One more", count=1, **ends)


def test_a_range_with_check_digits_may_be_filled_too(decked: Database, vault: Vault) -> None:
    ends = {"range_first": "880000", "range_last": "880999", "luhn": True}
    generate(decked, vault, order(decked, vault, count=100, **ends))
    assert one(decked, "SELECT count(DISTINCT number) AS n FROM card").n == 100


def test_a_space_that_fills_up_after_the_order_fails_the_work_and_the_batch_can_be_discarded(
    decked: Database, vault: Vault
) -> None:
    ordered = order(decked, vault, count=60, range_first="880000", range_last="880099")
    taken = "number,password,balance\n" + "".join(f"8800{n:02d},12345678,1\n" for n in range(41))
    older = BatchOrder("Old system", 1, 0, "USD", "Standard")
    import_cards(decked, vault, older, taken.encode(), "old.csv", OPERATOR, NOW)
    with pytest.raises(SpaceFull, match="space_full"):
        generate(decked, vault, ordered)
    failed = work.find_work(decked, ordered.work_id, NOW)
    assert (failed.state, failed.code) == ("failed", "space_full")
    assert one(decked, "SELECT ready_at FROM batch WHERE name = 'Dhaka 5'").ready_at is None
    assert discard(decked, "Dhaka 5", OPERATOR, NOW) == 0


def test_a_failed_batch_can_be_resumed_once_there_is_room(decked: Database, vault: Vault) -> None:
    ordered = order(decked, vault, count=60, range_first="880000", range_last="880099")
    claimed = work.claim(decked, "test", ["generate"], NOW)
    assert claimed is not None
    work.fail(decked, claimed, SpaceFull("space_full", free=1, wanted=2), NOW)
    assert resume(decked, "Dhaka 5", OPERATOR, NOW) == ordered.work_id
    generate(decked, vault, ordered)
    with pytest.raises(Conflict, match="batch_ready"):
        resume(decked, "Dhaka 5", OPERATOR, NOW)


def test_a_discarded_batch_can_never_be_used_generated_or_read(
    decked: Database, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generation, "CHUNK", 10)
    ordered = order(decked, vault)
    claimed = work.claim(decked, "test", ["generate"], NOW)
    assert claimed is not None

    def stop_half_way(progress: int, total: int | None) -> None:
        claimed.interrupted = progress >= 50

    claimed.on_progress = stop_half_way
    with pytest.raises(work.Stopped, match="work_interrupted"):
        generation.run(decked, vault, claimed, lambda: NOW)
    card = scenes.cards_of(decked, vault, ordered.batch_id)[0]
    assert discard(decked, "Dhaka 5", OPERATOR, NOW, "wrong deck") == 50

    line = scenes.Line(decked, vault, scenes.switch(decked))
    assert line.authenticate(card) == Refusal("bad_credentials")
    facts = one(
        decked, "SELECT count(*) AS n, count(released_at) AS released, count(sealed) AS sealed FROM card"
    )
    assert (facts.n, facts.released, facts.sealed) == (50, 0, 0)
    key = one(decked, "SELECT * FROM batch_key")
    assert (key.wrapped, key.shredded_at, key.shredded_by) == (None, NOW, "staff:1")
    later = NOW + timedelta(seconds=61)
    assert work.claim(decked, "test", ["generate"], later) is None
    assert work.find_work(decked, ordered.work_id, later).state == "cancelled"
    claimed.interrupted = False
    with pytest.raises(Conflict, match="batch_moved_on"):
        generation.run(decked, vault, claimed, lambda: NOW)
    for again in (discard, resume):
        with pytest.raises(Conflict, match="batch_discarded"):
            again(decked, "Dhaka 5", OPERATOR, NOW)
    told = one(decked, "SELECT * FROM audit WHERE action = 'batch.discard'")
    assert (told.reason, told.data["generated"]) == ("wrong deck", 50)


def test_a_ready_batch_cannot_be_discarded(db: Database, vault: Vault) -> None:
    scenes.batch(db, vault, name="Dhaka 5")
    with pytest.raises(Conflict, match="batch_ready"):
        discard(db, "Dhaka 5", OPERATOR, NOW)


def test_a_batch_that_does_not_exist_is_not_found(db: Database) -> None:
    for name in ("Nobody", "No\0body", "\ud800"):
        with pytest.raises(NotFound, match="batch_not_found"):
            discard(db, name, OPERATOR, NOW)
