"""Replacing a card: what goes over at once, what follows when a call has ended, and that the customer loses nothing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, text

from engine.calls.sweep import sweep
from engine.cards import binding, lifecycle
from engine.db import Database
from engine.errors import Conflict, InvalidInput, Refused
from engine.funds.replacements import Replaced, replace_card, settle_due
from engine.schema import AuditRow, Binding, CardEvent, CardTransfer, Replacement
from engine.vault import Vault
from tests import scenes
from tests.scenes import NOW, OPERATOR, USD, Line, TestCard, facts

BY: dict[str, Any] = {"actor": OPERATOR, "now": NOW}


@pytest.fixture
def line(db: Database, vault: Vault) -> Line:
    scenes.deck(db, {"880": "0.60"})
    scenes.setting(db, "slice_s", 60)
    return Line(db, vault, scenes.switch(db))


@pytest.fixture
def cards(db: Database, vault: Vault, line: Line) -> list[TestCard]:
    return scenes.batch(db, vault, 3, "5.00")


def swap(db: Database, old: TestCard, new: TestCard, **more: Any) -> Replaced:
    given: dict[str, Any] = {"reason": "Lost on a bus", **BY, **more}
    return replace_card(db, old_id=old.id, new_id=new.id, **given)


def balances(db: Database, *cards: TestCard) -> list[int]:
    return [facts(db, card).balance for card in cards]


def test_all_that_is_there_goes_over_and_the_old_card_is_void(db: Database, cards: list[TestCard]) -> None:
    old, new, _ = cards
    done = swap(db, old, new)
    assert (done.amount, done.held, done.balance_now, done.currency) == (USD("5"), 0, USD("10"), "USD")
    assert balances(db, old, new) == [0, USD("10")]
    was = facts(db, old)
    assert (was.damaged_at, was.damaged_by, was.damage_reason) == (NOW, "staff:1", "Lost on a bus")
    with db.begin() as session:
        row = session.scalars(select(Replacement)).one()
        moved = session.scalars(select(CardTransfer)).one()
        told = session.scalars(select(AuditRow).where(AuditRow.action == "card.replace")).one()
        kinds = session.execute(
            select(CardEvent.card_id, CardEvent.kind)
            .where(CardEvent.kind != "generate")
            .order_by(CardEvent.id)
        ).all()
    assert (row.old_id, row.new_id, row.settled_at) == (old.id, new.id, NOW)
    assert (moved.kind, moved.amount) == ("replace", USD("5"))
    assert (told.subject, told.data["new"], told.reason) == (
        f"card:{old.serial}",
        new.serial,
        "Lost on a bus",
    )
    assert {(old.id, "damage"), (old.id, "replaced"), (new.id, "replaces")} <= {tuple(kind) for kind in kinds}
    assert settle_due(db, NOW) == 0


def test_asking_again_changes_nothing_and_another_card_is_a_conflict(
    db: Database, cards: list[TestCard]
) -> None:
    first = swap(db, cards[0], cards[1])
    again = swap(db, cards[0], cards[1], now=NOW + timedelta(days=1))
    assert again == first
    assert (first.repeated, again.repeated, again.balance_now) == (False, True, USD("10"))
    with pytest.raises(Conflict, match="already_replaced"):
        swap(db, cards[0], cards[2])
    assert balances(db, *cards) == [0, USD("10"), USD("5")]


def test_a_card_that_was_void_or_locked_before_is_replaced_all_the_same(
    db: Database, cards: list[TestCard]
) -> None:
    lifecycle.damage(db, card_id=cards[0].id, reason="Stolen", **BY)
    lifecycle.lock(db, card_id=cards[1].id, reason="Lost", **BY)
    swap(db, cards[0], cards[2])
    swap(db, cards[1], cards[2])
    assert balances(db, *cards) == [0, 0, USD("15")]
    assert facts(db, cards[0]).damage_reason == "Stolen"


@pytest.mark.parametrize("how", ["damaged", "locked", "expired", "not_activated"])
def test_the_new_card_must_be_usable(db: Database, cards: list[TestCard], how: str) -> None:
    old, new, _ = cards
    column = {"expired": "expires_at", "not_activated": "released_at"}.get(how)
    if column is not None:
        value = None if how == "not_activated" else NOW
        with db.begin() as session:
            session.execute(text(f"UPDATE card SET {column} = :v WHERE id = :id"), {"v": value, "id": new.id})
    else:
        change = lifecycle.damage if how == "damaged" else lifecycle.lock
        change(db, card_id=new.id, reason="x", **BY)
    with pytest.raises(Refused) as refused:
        swap(db, old, new)
    assert (refused.value.code, refused.value.data["serial"]) == (how, new.serial)
    assert facts(db, old).damaged_at is None


def test_what_cannot_be_replaced_or_replace(db: Database, vault: Vault, cards: list[TestCard]) -> None:
    voucher = scenes.vouchers(db, vault, 1)[0]
    euro = scenes.card(db, vault, name="Euro", deck="Euro", currency="EUR")
    held_back = scenes.card(db, vault, name="Held back", release="activation")
    for old, new, code in (
        (voucher, cards[0], "voucher_not_allowed"),
        (cards[0], voucher, "voucher_not_allowed"),
        (cards[0], euro, "currency_mismatch"),
        (held_back, cards[0], "not_activated"),
    ):
        with pytest.raises(Refused, match=code):
            swap(db, old, new)
    with pytest.raises(InvalidInput, match="same_card"):
        swap(db, cards[0], cards[0])
    with pytest.raises(InvalidInput, match="reason_missing"):
        swap(db, cards[0], cards[1], reason="  ")


def test_an_expired_card_is_replaced_while_its_grace_lasts(db: Database, vault: Vault, line: Line) -> None:
    old, new, late = scenes.batch(db, vault, 3, "5.00", grace_days=5, validity_from="first_use")
    for card, days in ((old, 5), (late, 6)):
        with db.begin() as session:
            session.execute(
                text("UPDATE card SET expires_at = :at WHERE id = :id"),
                {"at": NOW - timedelta(days=days), "id": card.id},
            )
    swap(db, old, new)
    with pytest.raises(Refused, match="expired"):
        swap(db, late, new)


# --- time ---

SHORT = scenes.end_of_utc_day(NOW + timedelta(days=10))
LONG = scenes.end_of_utc_day(NOW + timedelta(days=200))


def _set(db: Database, card: TestCard, end: datetime | None, used: bool) -> None:
    with db.begin() as session:
        session.execute(
            text("UPDATE card SET expires_at = :end, first_used_at = :used WHERE id = :id"),
            {"end": end, "used": NOW if used else None, "id": card.id},
        )


@pytest.mark.parametrize(
    ("old", "new", "after"),
    [
        # (end, used) of the old, of the new, and (end, used) of the new one afterwards; 90 days from first use
        ((LONG, True), (SHORT, True), (LONG, True)),
        ((SHORT, True), (LONG, True), (LONG, True)),
        ((LONG, True), (None, False), (LONG, False)),  # 90 days from now on would be less
        ((SHORT, True), (None, False), (None, False)),  # and here they are more, whenever they begin
        ((None, False), (SHORT, True), (scenes.end_of_utc_day(NOW + timedelta(days=90)), True)),
        ((None, False), (None, False), (None, False)),
        ((None, True), (SHORT, True), (None, True)),  # it had no end
        ((None, True), (None, False), (None, True)),
        ((SHORT, True), (None, True), (None, True)),
    ],
)
def test_the_customer_loses_no_time(
    db: Database, cards: list[TestCard], old: Any, new: Any, after: Any
) -> None:
    _set(db, cards[0], *old)
    _set(db, cards[1], *new)
    done = swap(db, cards[0], cards[1])
    card = facts(db, cards[1])
    assert (card.expires_at, card.first_used_at is not None) == after
    assert done.expires_at == after[0]


# --- callers ---


def test_callers_go_over_where_it_is_asked_for(db: Database, vault: Vault, line: Line) -> None:
    bound: dict[str, Any] = {"binding": "multi", "max_bound": 2, "pinless": True}
    old, new = scenes.batch(db, vault, 2, "5.00", **bound)
    for caller, pinless in (("+15551230001", True), ("+15551230002", False)):
        binding.bind(db, card_id=old.id, caller=caller, pinless=pinless, **BY)
    binding.bind(db, card_id=new.id, caller="+15551230009", **BY)
    swap(db, old, new, move_callers=True)
    with db.begin() as session:
        there = session.execute(
            select(Binding.caller, Binding.pinless).where(Binding.card_id == new.id).order_by(Binding.caller)
        )
        assert [tuple(row) for row in there] == [("15551230001", True), ("15551230009", False)]
    assert not isinstance(line.authenticate(scenes.Credentials(), "+15551230001"), scenes.Refusal)


def test_callers_stay_where_it_is_not_asked_for(db: Database, vault: Vault, line: Line) -> None:
    old, new = scenes.batch(db, vault, 2, "5.00", binding="single", max_bound=1)
    binding.bind(db, card_id=old.id, caller="+15551230001", **BY)
    swap(db, old, new)
    with db.begin() as session:
        assert session.scalars(select(Binding.card_id)).all() == [old.id]


# --- while a call is live ---


def test_what_a_live_call_holds_follows_when_it_has_ended(
    db: Database, line: Line, cards: list[TestCard]
) -> None:
    old, new, _ = cards
    line.open(old, one_shot=False)  # holds 0.60
    done = swap(db, old, new)
    assert (done.amount, done.held) == (USD("4.40"), USD("0.60"))
    assert balances(db, old, new) == [USD("0.60"), USD("9.40")]
    assert settle_due(db, line.now) == 0
    line.later(40).end(seconds=30)
    assert settle_due(db, line.now) == 1
    assert settle_due(db, line.now) == 0
    assert balances(db, old, new) == [0, USD("9.70")]
    with db.begin() as session:
        assert session.scalars(select(Replacement.settled_at)).all() == [line.now]
    assert swap(db, old, new) == done


def test_of_two_live_calls_each_remainder_follows(db: Database, vault: Vault, line: Line) -> None:
    old, new = scenes.batch(db, vault, 2, "5.00", concurrency=2)
    line.open(old, ref="a", one_shot=False)
    line.open(old, ref="b", one_shot=False)
    swap(db, old, new)
    line.later(60).end("a", seconds=60)
    assert settle_due(db, line.now) == 0
    line.end("b", seconds=10)
    assert settle_due(db, line.now) == 1
    assert balances(db, old, new) == [0, USD("9.30")]


def test_what_a_late_end_gives_back_follows_too(db: Database, line: Line, cards: list[TestCard]) -> None:
    old, new, _ = cards
    line.open(old, one_shot=False)
    line.later(50).progress(50)
    swap(db, old, new)
    sweep(db, line.later(1_000).now)
    settle_due(db, line.now)
    assert balances(db, old, new) == [0, USD("9.50")]
    line.end(seconds=20)
    assert balances(db, old, new) == [USD("0.30"), USD("9.50")]
    assert settle_due(db, line.now) == 1
    assert balances(db, old, new) == [0, USD("9.80")]


def test_it_follows_along_a_chain_of_replacements(db: Database, line: Line, cards: list[TestCard]) -> None:
    first, second, third = cards
    line.open(first, one_shot=False)
    swap(db, first, second)
    swap(db, second, third)
    line.later(60).end(seconds=10)
    while settle_due(db, line.now):
        pass
    assert balances(db, *cards) == [0, 0, USD("14.90")]


def test_settled_by_many_at_once_it_moves_once(db: Database, vault: Vault, line: Line) -> None:
    pairs = scenes.batch(db, vault, 12, "5.00", name="Pairs")
    for n in range(0, 12, 2):
        line.open(pairs[n], ref=str(n), one_shot=False)
        swap(db, pairs[n], pairs[n + 1])
    line.later(60)
    for n in range(0, 12, 2):
        line.end(str(n), seconds=10)
    with ThreadPoolExecutor(4) as pool:
        moved = sum(pool.map(lambda _: settle_due(db, line.now), range(4)))
    assert moved == 6
    assert {facts(db, card).balance for card in pairs[1::2]} == {USD("9.90")}


def test_replaced_while_its_call_ends_nothing_is_lost(db: Database, vault: Vault, line: Line) -> None:
    for turn in range(8):
        old, new = scenes.batch(db, vault, 2, "5.00", name=f"Turn {turn}")
        line.open(old, ref=str(turn), one_shot=False)
        line.later(60)
        acts = [
            lambda old=old, new=new: swap(db, old, new),
            lambda turn=turn: line.end(str(turn), seconds=60),
        ]
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda act: act(), acts))
        settle_due(db, line.now)
        assert balances(db, old, new) == [0, USD("9.40")]
