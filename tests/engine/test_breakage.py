"""Breakage: what is left when the grace has ended, written off once, and only where the operator wants it so."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import text

from engine.cards import lifecycle
from engine.cards.status import grace_end, validity_end
from engine.db import Database
from engine.errors import Conflict
from engine.funds import breakage
from engine.funds.breakage import write_off_due
from engine.funds.recharges import adjust
from engine.vault import Vault
from tests import scenes
from tests.engine.test_races import at_once
from tests.scenes import NOW, OPERATOR, USD

DAY = timedelta(days=1)
FIVE = USD("5.00")


@pytest.fixture(autouse=True)
def wanted(db: Database) -> None:
    scenes.setting(db, "breakage", True)


def expiring(db: Database, vault: Vault, count: int = 1, **order: Any) -> list[scenes.TestCard]:
    """Cards with 10 days of validity from now and 5 of grace."""
    more = {"validity_from": "generation", "validity_days": 10, "grace_days": 5, **order}
    return scenes.batch(db, vault, count, **more)


END = scenes.end_of_utc_day(NOW + 15 * DAY)
"""When their grace ends, in UTC."""


def rows(db: Database, query: str) -> list[Any]:
    with db.begin() as session:
        return list(session.execute(text(query)))


def written(db: Database) -> list[Any]:
    return rows(db, "SELECT * FROM ledger_entry WHERE kind = 'breakage' ORDER BY card_id, id")


def test_what_is_left_is_written_off_when_the_grace_has_ended(db: Database, vault: Vault) -> None:
    cards = expiring(db, vault, 3)
    adjust(db, card_id=cards[1].id, amount=-USD("4.9999"), reason="Used", actor=OPERATOR, now=NOW)
    adjust(db, card_id=cards[2].id, amount=-FIVE, reason="Used", actor=OPERATOR, now=NOW)
    assert write_off_due(db, END - timedelta(microseconds=1)) == 0
    assert write_off_due(db, END) == 2
    assert write_off_due(db, END + DAY) == 0
    entries = written(db)
    assert [(e.card_id, e.amount, e.balance_after) for e in entries] == [
        (cards[0].id, -FIVE, 0),
        (cards[1].id, -USD("0.0001"), 0),
    ]
    run = rows(db, "SELECT * FROM charge_run")[0]
    assert (run.kind, run.currency, run.cards, run.amount) == ("breakage", "USD", 2, USD("5.0001"))
    assert {(e.account, e.reference, e.actor) for e in entries} == {
        ("breakage", f"charge:{run.id}", "system")
    }
    told = rows(db, "SELECT * FROM card_event WHERE kind = 'breakage' ORDER BY card_id")
    assert [line.card_id for line in told] == [cards[0].id, cards[1].id]
    assert told[0].data == {"amount": FIVE, "currency": "USD"}


def test_a_run_that_could_not_post_to_every_card_it_tells_of_is_undone(db: Database, vault: Vault) -> None:
    cards = expiring(db, vault, 3)
    scenes.frozen_balance(db, cards[1])
    with pytest.raises(Conflict, match="targets_changed"):
        write_off_due(db, END)
    assert (written(db), rows(db, "SELECT * FROM charge_run")) == ([], [])


def test_nothing_is_written_off_where_nobody_asked_for_it(db: Database, vault: Vault) -> None:
    expiring(db, vault)
    scenes.setting(db, "breakage", None)
    assert write_off_due(db, END + 900 * DAY) == 0


def test_only_what_was_owed_is_written_off(db: Database, vault: Vault) -> None:
    held_back, released = (
        expiring(db, vault, name=name, release=name)[0] for name in ("activation", "generation")
    )
    never = scenes.card(db, vault, name="Never used")
    lifecycle.lock(db, card_id=released.id, reason="Lost", actor=OPERATOR, now=NOW)
    assert write_off_due(db, END) == 1
    assert [entry.card_id for entry in written(db)] == [released.id]
    assert scenes.facts(db, held_back).balance == scenes.facts(db, never).balance == FIVE


def test_a_voucher_that_nobody_redeemed_is_written_off_too(db: Database, vault: Vault) -> None:
    used, left = scenes.vouchers(db, vault, 2, validity_from="generation", validity_days=10, grace_days=5)
    card = scenes.card(db, vault)
    line = scenes.Line(db, vault, scenes.switch(db))
    line.redeem(card, used)
    assert write_off_due(db, END) == 1
    assert [entry.card_id for entry in written(db)] == [left.id]


def test_a_card_with_a_call_waits_until_the_call_has_ended(db: Database, vault: Vault) -> None:
    card = expiring(db, vault, grace_days=0)[0]
    end = scenes.end_of_utc_day(NOW + 10 * DAY)
    line = scenes.Line(db, vault, scenes.switch(db), end - timedelta(seconds=30))
    line.open(card)
    line.answer()
    assert write_off_due(db, end) == 0
    line.later(60).end(seconds=60)
    assert write_off_due(db, end + DAY) == 1
    assert written(db)[0].amount == -(FIVE - USD("0.015"))


def test_the_rest_of_a_replaced_card_is_left_for_its_replacement(db: Database, vault: Vault) -> None:
    old, new = expiring(db, vault, 2)
    with db.begin() as session:
        session.execute(
            text(
                "INSERT INTO replacement (old_id, new_id, actor, reason, at)"
                " VALUES (:old, :new, 'staff:1', 'Lost', :now)"
            ),
            {"old": old.id, "new": new.id, "now": NOW},
        )
    lifecycle.damage(db, card_id=old.id, reason="Lost", actor=OPERATOR, now=NOW)
    assert write_off_due(db, END) == 1
    assert [entry.card_id for entry in written(db)] == [new.id]


def test_one_write_off_for_each_expiry(db: Database, vault: Vault) -> None:
    card = expiring(db, vault)[0]
    assert write_off_due(db, END) == 1
    # What an operator puts back stays, while the card has not lived again.
    adjust(db, card_id=card.id, amount=FIVE, reason="Goodwill", actor=OPERATOR, now=END)
    assert write_off_due(db, END + DAY) == 0
    lifecycle.extend(db, card_id=card.id, days=1, actor=OPERATOR, now=END)
    assert write_off_due(db, END + 6 * DAY) == 0
    assert write_off_due(db, END + 7 * DAY) == 1


@pytest.mark.parametrize(
    ("zone", "made"),
    [
        ("Europe/London", datetime.fromisoformat("2026-10-18T12:00:00+00:00")),  # clocks go back in the grace
        ("America/New_York", datetime.fromisoformat("2027-03-01T12:00:00+00:00")),  # forward, in the grace
        ("Asia/Beirut", datetime.fromisoformat("2027-03-14T12:00:00+00:00")),  # forward, at midnight
        ("Pacific/Apia", NOW),
    ],
)
def test_grace_ends_with_a_day_of_the_operators_zone(
    db: Database, vault: Vault, zone: str, made: datetime
) -> None:
    scenes.setting(db, "zone", zone)
    where = ZoneInfo(zone)
    card = expiring(db, vault, now=made)[0]
    end = grace_end(validity_end(made, 10, where), 5, where)
    assert end.astimezone(where).time().hour in (0, 1)
    assert write_off_due(db, end - timedelta(microseconds=1)) == 0
    assert write_off_due(db, end) == 1
    assert scenes.facts(db, card).balance == 0


def test_currencies_have_documents_of_their_own(db: Database, vault: Vault) -> None:
    expiring(db, vault, 2)
    expiring(db, vault, 3, name="Euros", currency="EUR", deck="In euros")
    assert write_off_due(db, END) == 5
    runs = rows(db, "SELECT currency, cards, amount FROM charge_run ORDER BY currency")
    assert [tuple(run) for run in runs] == [("EUR", 3, 3 * FIVE), ("USD", 2, 2 * FIVE)]


def test_many_at_once_in_small_chunks_write_off_once(
    db: Database, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breakage, "CHUNK", 7)
    expiring(db, vault, 100)
    assert sum(at_once(lambda racer: write_off_due(db, END), 8)) == 100
    assert len(written(db)) == 100
    total = rows(db, "SELECT sum(amount) AS amount, sum(cards) AS cards FROM charge_run")[0]
    assert (total.amount, total.cards) == (100 * FIVE, 100)
