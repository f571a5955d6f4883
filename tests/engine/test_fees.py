"""The maintenance fee: each period once, as far as the card can pay, whenever the clock gets to it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import text

from engine.calls.control import Authorized
from engine.cards import lifecycle
from engine.cards.status import validity_end
from engine.db import Database
from engine.errors import Conflict
from engine.funds import fees, ledger
from engine.funds.fees import charge_due, next_due
from engine.funds.recharges import adjust
from engine.vault import Vault
from tests import scenes
from tests.engine.test_races import at_once
from tests.engine.test_status import ZONES
from tests.scenes import NOW, OPERATOR, USD

DAY = timedelta(days=1)
FEE = USD("0.50")
FIRST = scenes.end_of_utc_day(NOW + 30 * DAY)
"""When the first fee of a card that is used now falls due."""


def kept(db: Database, vault: Vault, count: int = 1, **order: Any) -> list[scenes.TestCard]:
    """Cards that cost 0.50 every 30 days after their first use."""
    more = {"maintenance_fee": FEE, "maintenance_days": 30, "validity_days": None, **order}
    return scenes.batch(db, vault, count, **more)


def used(db: Database, vault: Vault, count: int = 1, **order: Any) -> list[scenes.TestCard]:
    """The same, all used for the first time at NOW."""
    cards = kept(db, vault, count, **order)
    line = scenes.Line(db, vault, scenes.switch(db), order.get("now", NOW))
    for card in cards:
        line.authenticate(card)
    return cards


def rows(db: Database, query: str) -> list[Any]:
    with db.begin() as session:
        return list(session.execute(text(query)))


def taken(db: Database, card: scenes.TestCard | None = None) -> list[int]:
    where = f" AND card_id = {card.id}" if card else ""
    return [
        -row.amount
        for row in rows(db, f"SELECT amount FROM ledger_entry WHERE kind = 'fee'{where} ORDER BY id")
    ]


def test_a_fee_is_taken_at_the_end_of_each_period(db: Database, vault: Vault) -> None:
    card, unused = used(db, vault)[0], kept(db, vault, name="Unused")[0]
    assert scenes.facts(db, card).next_fee_at == FIRST
    assert charge_due(db, FIRST - timedelta(microseconds=1)) == 0
    assert charge_due(db, FIRST) == 1
    assert charge_due(db, FIRST) == 0
    assert charge_due(db, FIRST + 30 * DAY) == 1
    facts = scenes.facts(db, card)
    assert (facts.balance, facts.next_fee_at) == (USD("4.00"), FIRST + 60 * DAY)
    assert scenes.facts(db, unused).balance == USD("5.00")
    entries = rows(db, "SELECT * FROM ledger_entry WHERE kind = 'fee' ORDER BY id")
    assert [entry.idempotency_key for entry in entries] == [
        f"maintenance:{at.isoformat()}" for at in (FIRST, FIRST + 30 * DAY)
    ]
    runs = rows(db, "SELECT * FROM charge_run ORDER BY id")
    assert [(run.kind, run.cards, run.amount) for run in runs] == [("maintenance", 1, FEE)] * 2
    assert [(entry.account, entry.reference) for entry in entries] == [
        ("fees", f"charge:{run.id}") for run in runs
    ]


def test_a_run_that_could_not_post_to_every_card_it_tells_of_is_undone(db: Database, vault: Vault) -> None:
    cards = used(db, vault, 3)
    scenes.frozen_balance(db, cards[1])
    with pytest.raises(Conflict, match="targets_changed"):
        charge_due(db, FIRST)
    assert (taken(db), rows(db, "SELECT * FROM charge_run")) == ([], [])


@pytest.mark.parametrize(("times", "amounts", "marks"), [(2, 2, 2), (1, 2, 1), (1, 1, 2)])
def test_a_card_that_stands_twice_or_without_its_amount_is_not_posted_to(
    db: Database, vault: Vault, times: int, amounts: int, marks: int
) -> None:
    card = kept(db, vault)[0]
    with pytest.raises(ValueError, match="each card once"), db.begin() as session:
        ledger.post_many(
            session,
            [card.id] * times,
            [-FEE] * amounts,
            account=ledger.FEES,
            kind="fee",
            reference="charge:1",
            actor=OPERATOR,
            now=NOW,
            key=[f"fee-{n}" for n in range(marks)],
        )
    assert taken(db) == []


def test_a_batch_without_a_fee_costs_nothing(db: Database, vault: Vault) -> None:
    card = used(db, vault, maintenance_fee=0, maintenance_days=None)[0]
    assert scenes.facts(db, card).next_fee_at is None
    assert charge_due(db, FIRST + 900 * DAY) == 0


def test_periods_that_passed_while_nothing_ran_are_caught_up(db: Database, vault: Vault) -> None:
    used(db, vault, 3)
    assert charge_due(db, FIRST + 90 * DAY) == 12
    assert taken(db) == [FEE] * 12
    assert charge_due(db, FIRST + 90 * DAY) == 0
    assert {row.next_fee_at for row in rows(db, "SELECT next_fee_at FROM card")} == {FIRST + 120 * DAY}


def test_a_first_use_by_an_answered_call_begins_the_periods(db: Database, vault: Vault) -> None:
    card = kept(db, vault, first_use="answered_call")[0]
    line = scenes.Line(db, vault, scenes.switch(db))
    line.open(card)
    assert scenes.facts(db, card).next_fee_at is None
    line.answer()
    assert scenes.facts(db, card).next_fee_at == FIRST
    line.later(10).end(seconds=10)


@pytest.mark.parametrize("zone", ZONES)
def test_periods_follow_the_days_of_the_operators_zone_whenever_clocks_change(
    db: Database, vault: Vault, zone: str
) -> None:
    scenes.setting(db, "zone", zone)
    where = ZoneInfo(zone)
    card = used(db, vault, maintenance_days=7, maintenance_fee=USD("0.01"))[0]
    at = NOW + 366 * DAY
    due = [validity_end(NOW, 7 * period, where) for period in range(1, 60)]
    periods = [instant for instant in due if instant <= at]
    # At once, after a year; a run each day would have taken them at the same instants.
    assert charge_due(db, at) == len(periods)
    keys = rows(db, "SELECT idempotency_key FROM ledger_entry WHERE kind = 'fee' ORDER BY id")
    assert [key.idempotency_key for key in keys] == [
        f"maintenance:{instant.isoformat()}" for instant in periods
    ]
    assert scenes.facts(db, card).next_fee_at == due[len(periods)]
    assert next_due(NOW, 7, at, where) == due[len(periods)]


def test_a_poor_card_gives_what_it_has_and_owes_nothing(db: Database, vault: Vault) -> None:
    card = used(db, vault, denomination="0.70")[0]
    assert charge_due(db, FIRST + 60 * DAY) == 2
    assert taken(db) == [FEE, USD("0.20")]
    adjust(db, card_id=card.id, amount=USD("2"), reason="Goodwill", actor=OPERATOR, now=FIRST + 61 * DAY)
    assert charge_due(db, FIRST + 61 * DAY) == 0
    assert charge_due(db, FIRST + 90 * DAY) == 1
    assert taken(db)[-1] == FEE


def test_what_a_call_holds_is_not_touched(db: Database, vault: Vault) -> None:
    cards = used(db, vault, 2, denomination="1.00")
    line = scenes.Line(db, vault, scenes.switch(db, "Second"), FIRST - timedelta(seconds=10))
    scenes.setting(db, "call_cap_s", 2400)
    line.open(cards[0])  # 40 minutes at 0.015 are held: 0.60
    line.answer()
    assert charge_due(db, FIRST) == 2
    assert [taken(db, card) for card in cards] == [[USD("0.40")], [FEE]]
    line.later(2400).end(seconds=2400)
    assert scenes.facts(db, cards[0]).balance == 0


def test_a_card_stops_paying_when_it_expires_or_is_voided(db: Database, vault: Vault) -> None:
    expired, voided, locked = used(db, vault, 3, validity_days=40)
    lifecycle.lock(db, card_id=locked.id, reason="Lost", actor=OPERATOR, now=NOW)
    lifecycle.damage(db, card_id=voided.id, reason="Stolen", actor=OPERATOR, now=NOW)
    # The period that ended while they were valid is owed, however late it is looked at.
    assert charge_due(db, FIRST + 100 * DAY) == 2
    assert [taken(db, card) for card in (expired, voided, locked)] == [[FEE], [], [FEE]]
    assert {row.next_fee_at for row in rows(db, "SELECT next_fee_at FROM card")} == {None}


def test_a_card_that_lives_again_pays_from_its_next_period_on(db: Database, vault: Vault) -> None:
    card = used(db, vault, validity_days=40)[0]
    charge_due(db, FIRST + 50 * DAY)
    lifecycle.extend(db, card_id=card.id, days=60, actor=OPERATOR, now=FIRST + 50 * DAY)
    assert charge_due(db, FIRST + 50 * DAY) == 0
    assert scenes.facts(db, card).next_fee_at == FIRST + 60 * DAY
    assert charge_due(db, FIRST + 60 * DAY) == 1


def test_cards_of_an_older_system_pay_for_no_period_that_lies_behind(db: Database, vault: Vault) -> None:
    card = kept(db, vault)[0]
    with db.begin() as session:
        session.execute(text("UPDATE card SET first_used_at = :at"), {"at": NOW - 100 * DAY})
    assert charge_due(db, NOW) == 0
    assert scenes.facts(db, card).next_fee_at == FIRST - 10 * DAY
    assert charge_due(db, FIRST - 10 * DAY) == 1


def test_many_at_once_in_small_chunks_take_each_period_once(
    db: Database, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fees, "CHUNK", 7)
    kept(db, vault, 60)
    with db.begin() as session:
        session.execute(
            text("UPDATE card SET first_used_at = :now, next_fee_at = :due"), {"now": NOW, "due": FIRST}
        )
    assert sum(at_once(lambda racer: charge_due(db, FIRST + 60 * DAY), 8)) == 180
    assert taken(db) == [FEE] * 180
    total = rows(db, "SELECT sum(amount) AS amount FROM charge_run")[0]
    assert total.amount == 180 * FEE


def test_fees_and_calls_at_once_never_spend_what_is_not_there(db: Database, vault: Vault) -> None:
    cards = used(db, vault, 4, denomination="0.60", concurrency=8)
    switch = scenes.switch(db, "Second")

    def race(racer: int) -> None:
        if racer % 2:
            charge_due(db, FIRST + racer * 30 * DAY)
            return
        line = scenes.Line(db, vault, switch, FIRST + timedelta(days=1))
        for turn, card in enumerate(cards):
            opened = line.authorize(card, ref=f"{racer}-{turn}")
            if isinstance(opened, Authorized):
                line.later(5).end(f"{racer}-{turn}", seconds=5)

    at_once(race, 8)
    # The last fee clock stood at the eighth period, so that all of 0.60 is gone by fees and calls, and no more.
    assert [scenes.facts(db, card).balance for card in cards] == [0] * 4
    calls = -rows(db, "SELECT coalesce(sum(amount), 0) AS total FROM ledger_entry WHERE kind = 'usage'")[
        0
    ].total
    assert sum(taken(db)) + calls == 4 * USD("0.60")


def test_periods_are_counted_without_counting_through_years() -> None:
    first = datetime.fromisoformat("1999-01-01T12:00:00+00:00")
    assert next_due(first, 30, NOW, ZoneInfo("UTC")) > NOW
    assert next_due(first, 30, NOW, ZoneInfo("UTC")) - NOW <= 31 * DAY
    assert next_due(NOW + 5 * DAY, 30, NOW, ZoneInfo("UTC")) == FIRST + 5 * DAY
