"""Generation: exact, unique, unusable before it is ready, and whole again after a kill at any point."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from engine import settings, work
from engine.config import Keys
from engine.db import Database
from engine.errors import EngineError
from engine.refusal import Refusal
from engine.stock import generation, numbers
from engine.stock.batches import BatchOrder, BatchOrdered, order_batch
from engine.vault import Sealer, Vault
from tests import scenes
from tests.proof import scaled
from tests.scenes import NOW, OPERATOR, USD

ROOT = Path(__file__).parents[2]
LATER = NOW + timedelta(hours=1)


def order(db: Database, vault: Vault, count: int, **changes: Any) -> BatchOrdered:
    given = {"name": "Dhaka 5", "denomination": USD("5.00"), "currency": "USD", "deck": "Standard"}
    return order_batch(db, vault, BatchOrder(count=count, **{**given, **changes}), OPERATOR, NOW)


def claim(db: Database, ordered: BatchOrdered, now: datetime = NOW) -> work.Claimed:
    claimed = work.claim(db, "test", ["generate"], now, work_id=ordered.work_id)
    assert claimed is not None
    return claimed


def generate(db: Database, vault: Vault, ordered: BatchOrdered) -> None:
    generation.run(db, vault, claim(db, ordered), lambda: NOW)


def one(db: Database, query: str, **values: Any) -> Any:
    with db.begin() as session:
        return session.execute(text(query), values).one()


def assert_whole(db: Database, ordered: BatchOrdered, count: int, amount: int = USD("5.00")) -> None:
    """Exactly `count` unique cards with one opening entry each, and the batch says so."""
    batch = one(db, "SELECT * FROM batch WHERE id = :id", id=ordered.batch_id)
    assert (batch.generated, batch.ready_at is not None) == (count, True)
    cards = one(
        db,
        """
        SELECT count(*) AS n, count(DISTINCT number) AS numbers, min(id) AS low, max(id) AS high,
            count(DISTINCT digest) AS digests, count(DISTINCT sealed) AS seals,
            count(*) FILTER (WHERE balance = :amount) AS paid
        FROM card WHERE batch_id = :id
        """,
        id=ordered.batch_id,
        amount=amount,
    )
    assert (cards.n, cards.numbers, cards.digests, cards.seals, cards.paid) == (count,) * 5
    assert (cards.low, cards.high) == (batch.first_id, batch.last_id)
    entries = one(
        db,
        """
        SELECT count(*) AS n, count(DISTINCT card_id) AS cards, sum(amount)::bigint AS total
        FROM ledger_entry WHERE reference = :reference AND kind = 'opening' AND account = 'sales'
            AND amount = :amount AND balance_after = :amount AND card_id BETWEEN :low AND :high
        """,
        reference=f"batch:{ordered.batch_id}",
        amount=amount,
        low=batch.first_id,
        high=batch.last_id,
    )
    assert (entries.n, entries.cards, entries.total) == (count, count, count * amount)


def test_cards_have_the_numbers_passwords_money_and_rules_of_their_order(db: Database, vault: Vault) -> None:
    cards = scenes.batch(
        db,
        vault,
        50,
        "7.25",
        number_prefix="88",
        number_length=14,
        luhn=True,
        password_length=6,
        concurrency=3,
        destination_rules="No bars",
    )
    assert len({card.number for card in cards}) == 50
    for card in cards:
        assert card.number.startswith("88")
        assert len(card.number) == 14
        assert numbers.luhn_digit(card.number[:-1]) == card.number[-1]
        assert len(card.password) == 6
        row = scenes.facts(db, card)
        assert vault.matches(card.number, card.password, row.digest, row.pepper)
        assert (row.balance, row.held, row.currency, row.concurrency) == (USD("7.25"), 0, "USD", 3)
        assert (row.created_at, row.released_at, row.first_used_at, row.expires_at) == (NOW, NOW, None, None)
    rules = one(
        db,
        "SELECT DISTINCT r.name FROM card JOIN destination_rules r ON r.id = destination_rules_id",
    )
    assert rules.name == "No bars"
    line = scenes.Line(db, vault, scenes.switch(db))
    assert not isinstance(line.authenticate(cards[0]), Refusal)


def test_cards_held_back_are_not_released(db: Database, vault: Vault) -> None:
    card = scenes.card(db, vault, release="activation")
    assert scenes.facts(db, card).released_at is None
    line = scenes.Line(db, vault, scenes.switch(db))
    assert line.authenticate(card) == Refusal("not_activated", serial=card.serial)


def test_validity_from_generation_ends_with_the_last_day_in_the_operators_zone(
    db: Database, vault: Vault
) -> None:
    with db.begin() as session:
        settings.put(session, "zone", "Asia/Dhaka")
    card = scenes.card(db, vault, validity_from="generation", validity_days=30)
    # 20 November, noon UTC, is the 20th in Dhaka (UTC+6) too; day 30 is 20 December.
    assert scenes.facts(db, card).expires_at == datetime(2026, 12, 20, 18, 0, tzinfo=UTC)


def test_a_batch_of_worthless_cards_has_its_opening_entries(db: Database, vault: Vault) -> None:
    scenes.deck(db)
    ordered = order(db, vault, 10, denomination=0)
    generate(db, vault, ordered)
    assert_whole(db, ordered, 10, amount=0)


def test_the_rule_of_the_house_says_when_a_batch_will_be_shredded(db: Database, vault: Vault) -> None:
    with db.begin() as session:
        settings.put(session, "shred_days", 14)
    scenes.card(db, vault)
    assert one(db, "SELECT shred_after FROM batch_key").shred_after == NOW + timedelta(days=14)


def test_progress_is_told_with_each_chunk(
    db: Database, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generation, "CHUNK", 40)
    scenes.deck(db)
    claimed = claim(db, order(db, vault, 100))
    told: list[tuple[int, int | None]] = []
    claimed.on_progress = lambda progress, total: told.append((progress, total))
    generation.run(db, vault, claimed, lambda: NOW)
    assert told == [(40, 100), (80, 100), (100, 100)]
    assert work.find_work(db, claimed.id, NOW).progress == 100


def test_a_batch_that_is_ready_is_left_alone(db: Database, vault: Vault) -> None:
    scenes.deck(db)
    ordered = order(db, vault, 10)
    claimed = claim(db, ordered)
    # As when a process dies between the last step and the word that the work is done.
    for _ in range(2):
        generation.run(db, vault, claimed, lambda: NOW)
    assert_whole(db, ordered, 10)


def test_of_two_that_generate_one_batch_only_the_holder_of_the_work_goes_on(
    db: Database, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generation, "CHUNK", 50)
    scenes.deck(db)
    ordered = order(db, vault, 2000)
    # The first one's lease ran out while it still worked, as on a machine that was asleep.
    claims = [claim(db, ordered), claim(db, ordered, LATER)]

    def go(claimed: work.Claimed) -> str:
        try:
            generation.run(db, vault, claimed, lambda: LATER)
        except EngineError as error:
            return error.code
        return "done"

    with ThreadPoolExecutor(2) as pool:
        endings = list(pool.map(go, claims))
    assert endings[0] in ("work_lost", "batch_moved_on")
    if endings[1] != "done":
        # It found the other one's last chunk: whoever takes the work up again goes on from there.
        assert endings[1] == "batch_moved_on"
        assert go(claims[1]) == "done"
    assert_whole(db, ordered, 2000)


@pytest.mark.parametrize("look_first", [True, False])
def test_collisions_are_replaced(
    db: Database, vault: Vault, monkeypatch: pytest.MonkeyPatch, look_first: bool
) -> None:
    monkeypatch.setattr(numbers, "DENSE_SIZE", 0)
    monkeypatch.setattr(generation, "CHUNK", 500)
    monkeypatch.setattr(generation, "_LOOK_FIRST", 0 if look_first else 1e9)
    scenes.deck(db)
    ends = {"range_first": "880000", "range_last": "889999"}
    # Of the second batch half, of the third nearly all numbers that are drawn are taken.
    for count in (5000, 4500, 500):
        ordered = order(db, vault, count, name=f"Batch of {count}", **ends)
        generate(db, vault, ordered)
        assert_whole(db, ordered, count)
    assert one(db, "SELECT count(DISTINCT number) AS n FROM card").n == 10_000


def test_batches_that_fill_one_space_at_once_stay_apart(
    db: Database, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numbers, "DENSE_SIZE", 0)
    monkeypatch.setattr(generation, "CHUNK", 200)
    scenes.deck(db)
    ends = {"range_first": "880000", "range_last": "889999"}
    orders = [order(db, vault, 3000, name=f"Batch {at}", **ends) for at in range(3)]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda ordered: generate(db, vault, ordered), orders))
    for ordered in orders:
        assert_whole(db, ordered, 3000)
    assert one(db, "SELECT count(DISTINCT number) AS n FROM card").n == 9000


def test_many_cards_and_then_a_space_that_is_nearly_full(db: Database, vault: Vault) -> None:
    scenes.deck(db)
    many = scaled(300_000, 20_000)
    ordered = order(db, vault, many, number_length=9)
    generate(db, vault, ordered)
    assert_whole(db, ordered, many)
    ends = {"range_first": "88000000", "range_last": "88009999"}
    for count in (9_000, 990, 10):
        ordered = order(db, vault, count, name=f"Range {count}", **ends)
        generate(db, vault, ordered)
        assert_whole(db, ordered, count)
    with pytest.raises(EngineError, match="space_too_full"):
        order(db, vault, 1, name="One more", **ends)
    found = one(db, "SELECT count(*) AS n, count(DISTINCT number) AS numbers FROM card")
    assert (found.n, found.numbers) == (many + 10_000, many + 10_000)


CHILD = """
    import sys
    from datetime import UTC, datetime
    from engine import work
    from engine.config import Keys
    from engine.db import Database
    from engine.stock import generation
    from engine.vault import Vault

    url, pepper, master, work_id, hours = sys.argv[1:]
    generation.CHUNK = 2_000
    db, vault = Database(url), Vault(Keys({1: bytes.fromhex(pepper)}, {1: bytes.fromhex(master)}, b""))
    now = datetime.fromtimestamp(1_800_000_000 + 3600 * int(hours), UTC)
    claimed = work.claim(db, "child", ["generate"], now, work_id=int(work_id))
    assert claimed is not None
    generation.run(db, vault, claimed, lambda: now)
"""


class Child:
    """A process that generates a batch. Each one comes an hour after the last, when that one's lease is over."""

    def __init__(self, database_url: str, keys: Keys, ordered: BatchOrdered, turn: int) -> None:
        given = [database_url, keys.peppers[1].hex(), keys.masters[1].hex(), str(ordered.work_id), str(turn)]
        self.process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(CHILD), *given],
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
        )

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        _, errors = self.process.communicate()
        assert self.process.returncode == -signal.SIGKILL, errors

    def finish(self) -> None:
        _, errors = self.process.communicate(timeout=300)
        assert self.process.returncode == 0, errors


def points(count: int, kills: int) -> Iterator[int]:
    """Random numbers of cards at which to kill, rising."""
    yield from sorted(random.sample(range(1, count * 9 // 10), kills))


def test_killed_at_random_points_a_batch_completes_and_none_of_it_is_usable_before(
    db: Database, database_url: str, keys: Keys, vault: Vault
) -> None:
    count, kills = scaled(200_000, 60_000), scaled(10, 3)
    scenes.deck(db)
    line = scenes.Line(db, vault, scenes.switch(db))
    ordered = order(db, vault, count)
    turn = 0
    for turn, point in enumerate(points(count, kills)):
        child = Child(database_url, keys, ordered, turn)
        while one(db, "SELECT generated FROM batch").generated < point:
            assert child.process.poll() is None, child.process.communicate()
            time.sleep(0.002)
        time.sleep(random.random() * 0.1)
        child.kill()
        found = one(db, "SELECT generated, ready_at, (SELECT count(*) FROM card) AS cards FROM batch")
        assert found.ready_at is None
        assert found.cards == found.generated >= point
        card = card_of(db, vault, ordered)
        assert line.authenticate(card) == Refusal("bad_credentials")
        assert line.authorize(card) == Refusal("bad_credentials")
    Child(database_url, keys, ordered, turn + 1).finish()
    assert_whole(db, ordered, count)
    line.later(7200)
    assert not isinstance(line.authenticate(card), Refusal)


def card_of(db: Database, vault: Vault, ordered: BatchOrdered) -> scenes.TestCard:
    """The last card that has been made, with its right password."""
    key = one(db, "SELECT wrapped, master FROM batch_key")
    sealer = Sealer(vault.unwrap(key.wrapped, key.master), ordered.batch_id)
    row = one(db, "SELECT id, number, sealed FROM card ORDER BY id DESC LIMIT 1")
    return scenes.TestCard(row.id, row.number, sealer.open(row.id, row.sealed).decode())
