"""Expiry on the timeline: one line for each card and each end of validity, whoever runs it, however often."""

from __future__ import annotations

import os
import random
import signal
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import text

from engine.cards import expiry, lifecycle
from engine.cards.expiry import expire_due, expire_missed, grace_cutoff
from engine.cards.status import grace_end
from engine.db import Database
from engine.stock.batches import BatchOrder, order_batch
from engine.vault import Vault
from tests import scenes
from tests.engine.test_races import at_once
from tests.engine.test_status import ZONES
from tests.processes import preload, start
from tests.proof import scaled
from tests.scenes import NOW, OPERATOR, USD

preload(__name__)

DAY = timedelta(days=1)


def expiring(db: Database, vault: Vault, count: int, days: int = 10, **order: Any) -> list[scenes.TestCard]:
    """Cards whose validity began when they were made."""
    return scenes.batch(db, vault, count, validity_from="generation", validity_days=days, **order)


def lines(db: Database) -> list[Any]:
    with db.begin() as session:
        query = "SELECT card_id, at, actor, data FROM card_event WHERE kind = 'expire' ORDER BY card_id, id"
        return list(session.execute(text(query)))


def fall_due(db: Database) -> None:
    """Spread the ends of validity of all cards: card by card a little later, so that no two chunks are alike."""
    with db.begin() as session:
        session.execute(
            text("UPDATE card SET expires_at = :now + (id % 97) * interval '1 minute'"), {"now": NOW - DAY}
        )


def test_a_card_that_falls_due_is_told_of_once(db: Database, vault: Vault) -> None:
    cards = expiring(db, vault, 3)
    end = scenes.end_of_utc_day(NOW + 10 * DAY)
    assert expire_due(db, end - timedelta(microseconds=1)) == 0
    assert expire_due(db, end) == 3
    assert expire_due(db, end) == 0
    assert expire_due(db, end + DAY) == 0
    told = lines(db)
    assert [line.card_id for line in told] == [card.id for card in cards]
    assert {(line.at, line.actor) for line in told} == {(end, "system")}
    assert datetime.fromisoformat(told[0].data["expires_at"]) == end


def test_held_back_and_voided_cards_expire_too_but_none_of_a_batch_that_is_not_ready(
    db: Database, vault: Vault
) -> None:
    held_back = expiring(db, vault, 1, release="activation")[0]
    voided = expiring(db, vault, 1, name="Voided")[0]
    lifecycle.damage(db, card_id=voided.id, reason="Stolen", actor=OPERATOR, now=NOW)
    unready = expiring(db, vault, 1, name="Late")[0]
    ready(db, "Late", None)
    after = NOW + 20 * DAY
    assert expire_due(db, after) == 2
    assert [line.card_id for line in lines(db)] == [held_back.id, voided.id]
    ready(db, "Late", after)
    assert expire_due(db, after + DAY) == 0
    assert expire_missed(db, after + DAY) == 1
    assert lines(db)[-1].card_id == unready.id


def ready(db: Database, name: str, at: datetime | None) -> None:
    with db.begin() as session:
        session.execute(text("UPDATE batch SET ready_at = :at WHERE name = :name"), {"at": at, "name": name})


def test_a_card_that_was_extended_is_told_of_at_its_new_end(db: Database, vault: Vault) -> None:
    early, late = expiring(db, vault, 2)
    end = scenes.end_of_utc_day(NOW + 10 * DAY)
    # Before it ended: there is one end, the later one.
    lifecycle.extend(db, card_id=early.id, days=5, actor=OPERATOR, now=NOW)
    assert expire_due(db, end) == 1
    # After it ended: there are two.
    lifecycle.extend(db, card_id=late.id, days=1, actor=OPERATOR, now=end)
    assert expire_due(db, end + 30 * DAY) == 2
    assert expire_missed(db, end + 30 * DAY) == 0
    assert [line.card_id for line in lines(db)] == [early.id, late.id, late.id]


def test_what_fell_due_behind_the_mark_is_found(db: Database, vault: Vault) -> None:
    expiring(db, vault, 2)
    assert expire_due(db, NOW + 20 * DAY) == 2
    imported = expiring(db, vault, 3, name="Of the older system", days=1)
    assert expire_due(db, NOW + 21 * DAY) == 0
    assert expire_missed(db, NOW + 21 * DAY) == 3
    assert expire_missed(db, NOW + 22 * DAY) == 0
    assert {line.card_id for line in lines(db)[2:]} == {card.id for card in imported}


def test_a_clock_that_goes_back_tells_nothing_twice(db: Database, vault: Vault) -> None:
    expiring(db, vault, 2)
    end = scenes.end_of_utc_day(NOW + 10 * DAY)
    assert expire_due(db, end + DAY) == 2
    assert expire_due(db, end - DAY) == 0
    assert expire_missed(db, end - DAY) == 0
    assert expire_due(db, end + DAY) == 0


def test_what_is_missing_is_looked_for_only_behind_the_mark(db: Database, vault: Vault) -> None:
    # The nightly look comes first: it must not tell what the run after it tells.
    expiring(db, vault, 2)
    assert expire_missed(db, NOW + 20 * DAY) == 0
    assert expire_due(db, NOW + 20 * DAY) == 2


def test_two_at_once_tell_each_card_once(db: Database, vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expiry, "CHUNK", 7)
    expiring(db, vault, 200)
    fall_due(db)
    told = at_once(lambda racer: (expire_missed if racer % 4 == 3 else expire_due)(db, NOW), 8)
    assert sum(told) == 200
    assert len({line.card_id for line in lines(db)}) == len(lines(db)) == 200


def _tell_until_killed(url: str, chunk: int) -> None:
    expiry.CHUNK = chunk
    db = Database(url)
    real, left = expiry._keep_mark, [random.Random(chunk).randint(1, 8)]

    def keep(*args: Any) -> None:
        real(*args)
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)  # the lines and the mark are written, and not committed

    expiry._keep_mark = keep
    expire_due(db, NOW)


def test_a_killed_run_is_gone_on_with(
    db: Database, vault: Vault, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = scaled(20_000, 500)
    expiring(db, vault, count)
    fall_due(db)
    for kill in range(scaled(10, 3)):
        process = start(_tell_until_killed, database_url, count // 100 + kill)
        process.join(30)
        assert process.exitcode == -signal.SIGKILL
    monkeypatch.setattr(expiry, "CHUNK", 100)
    assert 0 < expire_due(db, NOW) < count
    told = [line.card_id for line in lines(db)]
    assert len(told) == len(set(told)) == count


def test_a_card_found_by_its_end_of_grace_is_one_whose_grace_ended() -> None:
    chance = random.Random(7)
    for name in ZONES:
        zone = ZoneInfo(name)
        for _ in range(scaled(20_000, 400)):
            end = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(minutes=chance.randrange(7 * 365 * 24 * 60))
            days = chance.choice((0, 1, 2, 7, 30))
            over = grace_end(end, days, zone)
            assert end <= grace_cutoff(over, days, zone), (name, end, days)
            assert end > grace_cutoff(over - timedelta(microseconds=1), days, zone), (name, end, days)


def test_an_order_that_was_never_made_expires_nothing(db: Database, vault: Vault) -> None:
    scenes.deck(db)
    order = BatchOrder("Ordered", 5, USD("5"), "USD", "Standard", validity_from="generation", validity_days=1)
    order_batch(db, vault, order, OPERATOR, NOW)
    assert expire_due(db, NOW + 30 * DAY) == 0
