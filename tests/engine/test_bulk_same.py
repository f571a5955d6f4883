"""A bulk command does to each card what the command on one card does: same refusals, facts, timeline and entries."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from engine.bulk.orders import BulkOrder, Listed
from engine.bulk.verbs import CODES
from engine.bulk.views import refused
from engine.cards import binding, lifecycle
from engine.cards.serials import serial_of
from engine.cards.status import end_of_day
from engine.db import Database
from engine.errors import EngineError
from engine.funds import recharges
from engine.house import zone_of
from engine.people.resellers import add_reseller
from engine.settings import Settings
from engine.stock import custody, resale
from engine.vault import Vault
from tests import scenes
from tests.engine.bulkscenes import LATER, bulk, entries, timeline
from tests.proof import scaled
from tests.scenes import NOW, OPERATOR, USD, TestCard

CALLER, OTHER = "491711234567", "447700900123"

FACTS = (
    "balance, concurrency, released_at, first_used_at, expires_at, locked_at, locked_by, lock_reason, damaged_at,"
    " damaged_by, damage_reason, activated_at, deck_id, destination_rules_id, reseller_id"
)

_ACTS: dict[str, tuple[dict[str, Any], Callable[[Database, Vault, int, Any], Any]]] = {
    "lock": ({}, lambda db, vault, card, by: lifecycle.lock(db, card_id=card, **by)),
    "unlock": ({}, lambda db, vault, card, by: lifecycle.unlock(db, vault, card_id=card, **by)),
    "damage": ({}, lambda db, vault, card, by: lifecycle.damage(db, card_id=card, **by)),
    "extend": ({"days": 9}, lambda db, vault, card, by: lifecycle.extend(db, card_id=card, days=9, **by)),
    "set_concurrency": (
        {"calls": 2},
        lambda db, vault, card, by: lifecycle.set_concurrency(db, card_id=card, calls=2, **by),
    ),
    "recharge": (
        {"amount": USD("3"), "bonus": USD("0.25")},
        lambda db, vault, card, by: recharges.recharge(
            db, card_id=card, amount=USD("3"), bonus=USD("0.25"), **by
        ),
    ),
    "bind": (
        {"pinless": False},
        lambda db, vault, card, by: binding.bind(db, card_id=card, caller=f"+{CALLER}", **by),
    ),
    "unbind": (
        {"caller": CALLER},
        lambda db, vault, card, by: binding.unbind(db, card_id=card, caller=f"+{CALLER}", **by),
    ),
    "activate": (
        {},
        lambda db, vault, card, by: custody.activate(db, custody.Range(card, card), by["actor"], by["now"]),
    ),
}


def worlds(db: Database, vault: Vault) -> list[list[TestCard]]:
    """Batches of every kind that matters."""
    half = scaled(200, 8)
    kinds: list[dict[str, Any]] = [
        {"binding": "multi", "max_bound": 1, "extension_days": 5, "grace_days": 4},
        {"binding": "none"},
        {"binding": "multi", "max_bound": 2, "release": "activation", "grace_days": 3},
    ]
    made = [scenes.batch(db, vault, 2 * half, name=f"B{n}", **kind) for n, kind in enumerate(kinds)]
    return [*made, scenes.vouchers(db, vault, 2 * half)]


def disturb(db: Database, dice: random.Random, left: int, right: int) -> None:
    """Give two cards the same chance history."""
    ends = [
        end_of_day((NOW + timedelta(days=days)).date(), zone_of(Settings())) for days in (-9, -3, -1, 0, 8)
    ]
    callers: list[str] = dice.choice([[], [CALLER], [OTHER], [OTHER]])
    values: dict[str, Any] = {
        "locked_by": dice.choice([None, None, "staff:7", "failures"]),
        "damaged": dice.random() < 0.2,
        "expires_at": dice.choice([None, *ends, NOW + timedelta(minutes=7)]),
        "used": dice.random() < 0.5,
        "concurrency": dice.choice([1, 2]),
        "at": NOW,
    }
    with db.begin() as session:
        for card_id in (left, right):
            session.execute(
                text(
                    "UPDATE card SET locked_by = :locked_by, lock_reason = :locked_by, concurrency = :concurrency,"
                    " locked_at = CASE WHEN CAST(:locked_by AS text) IS NOT NULL THEN CAST(:at AS timestamptz) END,"
                    " damaged_at = CASE WHEN :damaged THEN CAST(:at AS timestamptz) END,"
                    " damaged_by = CASE WHEN :damaged THEN 'staff:7' END, expires_at = :expires_at,"
                    " first_used_at = CASE WHEN :used THEN CAST(:at AS timestamptz) END WHERE id = :id"
                ),
                {**values, "id": card_id},
            )
            for caller in callers:
                session.execute(
                    text(
                        "INSERT INTO binding (card_id, caller, created_at, created_by)"
                        " VALUES (:id, :caller, :at, 'staff:7')"
                    ),
                    {"id": card_id, "caller": caller, "at": NOW},
                )


def told(db: Database, card_id: int) -> list[Any]:
    """A timeline without what differs between one and many: which payment, which run."""
    return [
        (kind, {name: value for name, value in data.items() if name not in ("run", "payment")})
        for kind, data in timeline(db, card_id)
    ]


def facts(db: Database, card_id: int) -> Any:
    with db.begin() as session:
        card = session.execute(text(f"SELECT {FACTS} FROM card WHERE id = :id"), {"id": card_id}).one()
        bound = session.execute(
            text(
                "SELECT caller, pinless, created_at, created_by FROM binding WHERE card_id = :id ORDER BY 1"
            ),
            {"id": card_id},
        ).all()
        return tuple(card), [tuple(row) for row in bound]


@pytest.mark.parametrize(
    ("verb", "zone"),
    [*((verb, "UTC") for verb in _ACTS), ("extend", "America/Havana"), ("recharge", "America/Havana")],
)
def test_a_run_does_to_each_card_what_the_command_on_one_does(
    db: Database, vault: Vault, verb: str, zone: str
) -> None:
    scenes.setting(db, "zone", zone)
    dice = random.Random(f"{verb} {zone}")
    pairs: list[tuple[int, int]] = []
    for cards in worlds(db, vault):
        half = len(cards) // 2
        pairs += [(one.id, other.id) for one, other in zip(cards[:half], cards[half:], strict=True)]
    for left, right in pairs:
        disturb(db, dice, left, right)
    params, single = _ACTS[verb]
    outcomes = [outcome(db, vault, single, left, LATER) for left, _ in pairs]

    ids = tuple(right for _, right in pairs)
    targets = Listed(ids, tuple(CALLER for _ in ids) if verb == "bind" else ())
    run = bulk(db, vault, BulkOrder(verb, targets, params, "because"))
    reasons = {line.serial: line.reason for line in refused(db, run.id)}

    for (left, right), code in zip(pairs, outcomes, strict=True):
        if verb == "activate":
            code = "damaged" if facts(db, left)[0][8] is not None else None
        assert reasons.get(serial_of(right)) == code
        assert facts(db, right) == facts(db, left)
        assert entries(db, right) == entries(db, left)
        if verb != "activate":  # of one range nothing is told on the timelines
            assert told(db, right) == told(db, left)
    assert run.changed > 0
    assert run.refused + run.unchanged > 0


@pytest.mark.books_broken  # the histories are made up
def test_a_run_leaves_what_the_command_on_a_range_leaves_when_stock_changes_hands(
    db: Database, vault: Vault
) -> None:
    """Chance histories, the same on two cards: one range of one, and all of the others by a run."""
    dice = random.Random("hands")
    owner, other = (add_reseller(db, name, OPERATOR, NOW).id for name in ("Shop", "Kiosk"))
    half = scaled(400, 60)
    cards = scenes.batch(db, vault, 2 * half, first_use="answered_call")
    for to, transfer in ((owner, False), (other, True), (None, False)):
        with db.begin() as session:
            for left, right in zip(cards[:half], cards[half:], strict=True):
                values = {
                    "damaged": dice.random() < 0.15,
                    "used": dice.random() < 0.15,
                    "sold": dice.random() < 0.15,
                    "price": dice.choice([None, None, None, 0, 4]),
                    "calls": dice.choice([0, 0, 0, 0, 1]),
                    "owner": dice.choice([None, None, owner, other]),
                }
                session.execute(_HISTORY, {**values, "ids": [left.id, right.id], "at": NOW})
        for card in dice.sample(range(half), half // 8):
            for twin in (cards[card], cards[card + half]):
                with suppress(EngineError):  # the damaged ones take none
                    recharges.adjust(db, card_id=twin.id, amount=1, reason="x", actor=OPERATOR, now=NOW)
        expected = {}
        for left, right in zip(cards[:half], cards[half:], strict=True):
            alone = custody.Range(left.id, left.id)
            if to is None:
                done = resale.unassign(db, alone, OPERATOR, LATER)
            else:
                done = resale.assign(db, alone, OPERATOR, LATER, reseller_id=to, transfer=transfer)
            expected[right.serial] = CODES.get(next(iter(done.why), ""))
        ids = Listed(tuple(card.id for card in cards[half:]))
        run = bulk(db, vault, BulkOrder("assign", ids, {"reseller_id": to, "transfer": transfer}))
        reasons = {line.serial: line.reason for line in refused(db, run.id)}
        assert {serial: reasons.get(serial) for serial in expected} == expected
        for left, right in zip(cards[:half], cards[half:], strict=True):
            assert facts(db, right.id) == facts(db, left.id)
        assert min(run.changed, run.unchanged) > 0
        assert {"stock_charged", "stock_used", "stock_in_call"} <= run.reasons.keys()


_HISTORY = text(
    """
    UPDATE card SET damaged_at = CASE WHEN :damaged THEN CAST(:at AS timestamptz) END,
        damaged_by = CASE WHEN :damaged THEN 'staff:7' END, reseller_price = :price, reseller_id = :owner,
        first_used_at = CASE WHEN :used THEN CAST(:at AS timestamptz) END, live_calls = :calls,
        sold_at = CASE WHEN :sold THEN CAST(:at AS timestamptz) END WHERE id = ANY(CAST(:ids AS bigint[]))
    """
)


def outcome(
    db: Database, vault: Vault, single: Callable[..., Any], card_id: int, now: datetime
) -> str | None:
    """The code of the refusal, or None."""
    by = {"actor": OPERATOR, "now": now, "reason": "because"}
    try:
        single(db, vault, card_id, by)
    except EngineError as error:
        return error.code
    return None
