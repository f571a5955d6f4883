"""The copy that search looks through: folded bit by bit or as a whole, it comes out as the truth."""

from __future__ import annotations

import random
import threading
from contextlib import suppress
from datetime import datetime, timedelta

from sqlalchemy import select, text

from engine.cards import lifecycle, searchcopy
from engine.cards.status import status_of
from engine.db import Database
from engine.errors import EngineError
from engine.funds import recharges
from engine.schema import Batch, Card, CardSearch, JobState
from engine.vault import Vault
from tests import scenes
from tests.proof import scaled
from tests.scenes import NOW, OPERATOR, USD, Line, TestCard

DAY = timedelta(days=1)


def _truth(db: Database, now: datetime) -> dict[int, tuple[str, int]]:
    with db.begin() as session:
        cards = session.scalars(select(Card).join(Batch).where(Batch.ready_at.is_not(None)))
        return {card.id: (status_of(card, now), card.balance) for card in cards}


def _copy(db: Database) -> dict[int, tuple[str, int]]:
    with db.begin() as session:
        return {row.card_id: (row.status, row.balance) for row in session.scalars(select(CardSearch))}


def test_fold_and_refold_and_the_truth_agree_after_whatever_happened(db: Database, vault: Vault) -> None:
    dice = random.Random(17)
    order = {"validity_days": 2, "validity_from": "first_use", "extension_days": 3, "grace_days": 1}
    cards = scenes.batch(db, vault, 12, "1.00", name="First", **order)
    line = Line(db, vault, scenes.switch(db))
    for turn in range(scaled(400, 60)):
        line.later(dice.choice((1, 30, 400, 40_000)))
        _something(db, line, dice, dice.choice(cards), turn)
        if turn % 20 == 19:
            cards += scenes.batch(db, vault, 2, name=f"Batch {turn}", now=line.now, **order)
        if dice.random() < 0.4:
            searchcopy.fold(db, line.now)
            assert _copy(db) == _truth(db, line.now), turn
    searchcopy.fold(db, line.now)
    assert len({status for status, _ in _copy(db).values()}) > 3
    assert searchcopy.fold(db, line.now) == 0
    assert searchcopy.refold(db, line.now) == 0


def _something(db: Database, line: Line, dice: random.Random, card: TestCard, turn: int) -> None:
    does = {
        "lock": lambda: lifecycle.lock(db, card_id=card.id, reason="Lost", actor=OPERATOR, now=line.now),
        "unlock": lambda: lifecycle.unlock(db, line.vault, card_id=card.id, actor=OPERATOR, now=line.now),
        "damage": lambda: lifecycle.damage(db, card_id=card.id, reason="Torn", actor=OPERATOR, now=line.now),
        "recharge": lambda: recharges.recharge(
            db, card_id=card.id, amount=USD("1"), bonus=0, key=None, actor=OPERATOR, reason=None, now=line.now
        ),
        "extend": lambda: lifecycle.extend(db, card_id=card.id, days=1, actor=OPERATOR, now=line.now),
        "empty": lambda: recharges.adjust(
            db,
            card_id=card.id,
            amount=-scenes.facts(db, card).balance,
            reason="All of it",
            actor=OPERATOR,
            now=line.now,
        ),
        "call": lambda: _call(line, card, turn),
    }
    weights = {"call": 8, "damage": 1, "recharge": 2, "extend": 2, "lock": 3, "unlock": 3, "empty": 2}
    name = dice.choices(list(weights), list(weights.values()))[0]
    with suppress(EngineError):  # a card that cannot is a card that doesn't change
        does[name]()


def _call(line: Line, card: TestCard, turn: int) -> None:
    line.authorize(card, ref=f"call-{turn}")
    line.later(45)
    line.end(f"call-{turn}", seconds=45)


def test_a_fold_takes_what_was_dated_before_the_last_one_and_committed_after(
    db: Database, vault: Vault
) -> None:
    card = scenes.card(db, vault)
    searchcopy.fold(db, NOW)
    searchcopy.fold(db, NOW + timedelta(seconds=30))
    lifecycle.lock(db, card_id=card.id, reason="Lost", actor=OPERATOR, now=NOW)
    assert searchcopy.fold(db, NOW + timedelta(seconds=35)) == 1
    # A bulk command that began ten minutes ago is found by the next look far back.
    later = NOW + timedelta(minutes=9)
    searchcopy.fold(db, later)
    lifecycle.unlock(db, vault, card_id=card.id, actor=OPERATOR, now=NOW + timedelta(minutes=1))
    assert searchcopy.fold(db, later + timedelta(seconds=5)) == 0
    assert searchcopy.fold(db, later + timedelta(minutes=5)) == 1
    assert _copy(db) == _truth(db, later)


def test_cards_of_a_batch_are_folded_once_it_is_ready_and_not_before(db: Database, vault: Vault) -> None:
    scenes.card(db, vault, name="Old")
    searchcopy.fold(db, NOW)
    new = scenes.batch(db, vault, 3, name="New", now=NOW + DAY)
    with db.begin() as session:
        session.execute(text("UPDATE batch SET ready_at = NULL WHERE name = 'New'"))
    assert searchcopy.fold(db, NOW + DAY) == 0
    with db.begin() as session:
        session.execute(text("UPDATE batch SET ready_at = :at WHERE name = 'New'"), {"at": NOW + DAY})
    assert searchcopy.fold(db, NOW + DAY) == 3
    assert {card.id for card in new} <= _copy(db).keys()


def test_time_alone_makes_a_card_expired(db: Database, vault: Vault) -> None:
    card = scenes.card(db, vault, validity_days=1, validity_from="generation")
    searchcopy.fold(db, NOW)
    assert searchcopy.fold(db, NOW + timedelta(hours=1)) == 0
    assert searchcopy.fold(db, NOW + 2 * DAY) == 1
    assert _copy(db)[card.id][0] == "expired"


def test_folds_at_once_leave_the_truth_whoever_comes_first(db: Database, vault: Vault) -> None:
    cards = scenes.batch(db, vault, 200)
    done: list[int] = []
    failed: list[BaseException] = []
    start = threading.Barrier(6)

    def folds(what: str) -> None:
        try:
            start.wait()
            for turn in range(15):
                at = NOW + timedelta(seconds=turn)
                done.append(searchcopy.fold(db, at) if what == "fold" else searchcopy.refold(db, at))
        except BaseException as error:
            failed.append(error)

    def locks() -> None:
        start.wait()
        for turn, card in enumerate(cards[:60]):
            at = NOW + timedelta(seconds=turn % 15)
            lifecycle.lock(db, card_id=card.id, reason="Lost", actor=OPERATOR, now=at)

    threads = [threading.Thread(target=folds, args=(what,)) for what in ("fold", "fold", "fold", "refold")]
    threads += [threading.Thread(target=locks)]
    for thread in threads:
        thread.start()
    start.wait()
    for thread in threads:
        thread.join()
    assert failed == []
    searchcopy.fold(db, NOW + timedelta(seconds=20))
    assert _copy(db) == _truth(db, NOW)


def test_a_fold_forgets_nothing_that_the_jobs_keep_beside_its_mark(db: Database, vault: Vault) -> None:
    scenes.card(db, vault)
    with db.begin() as session:
        session.add(JobState(job="fold", paused_at=NOW, paused_by="console", mark=None))
    assert searchcopy.fold(db, NOW) == 1
    with db.begin() as session:
        kept = session.get_one(JobState, "fold")
    assert kept.paused_by == "console"
    assert kept.mark is not None
