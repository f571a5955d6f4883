"""The search of the ledger, against the same question asked of every entry in Python."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select

from engine.config import Keys
from engine.db import Database
from engine.errors import EngineError
from engine.funds import accounts, recharges, transfers
from engine.reports import exports, ledgersearch, moneyexports
from engine.reports.ledgersearch import LedgerFilter
from engine.schema import Card, LedgerEntry
from engine.vault import Vault
from tests import scenes
from tests.conftest import Clones
from tests.scenes import NOW, OPERATOR, USD, Line

UTC_ZONE = ZoneInfo("UTC")
LATER = NOW + timedelta(days=40)


@pytest.fixture(scope="module")
def books(clones: Clones, keys: Keys) -> Iterator[Database]:
    """Entries of many kinds: two batches born at one instant each, calls, recharges, a transfer, a voucher."""
    url = clones.make()
    db = Database(url)
    vault = Vault(keys)
    _fill(db, vault)
    yield db
    db.close()
    clones.drop(url)


def _fill(db: Database, vault: Vault) -> None:
    cards = scenes.batch(db, vault, 30, name="May")
    scenes.batch(db, vault, 25, name="June", now=NOW + timedelta(days=20))
    vouchers = scenes.vouchers(db, vault, 2, "2.00", now=NOW + timedelta(days=1))
    line = Line(db, vault, scenes.switch(db), NOW + timedelta(hours=1))
    for turn in range(8):
        line.open(cards[turn % 3], ref=f"call-{turn}")
        line.later(70).end(f"call-{turn}", seconds=60)
        line.later(4000)
    line.redeem(cards[4], vouchers[0])
    boss = scenes.second_person(db)
    for turn in range(6):
        recharges.recharge(
            db,
            card_id=cards[5].id,
            amount=USD("1"),
            bonus=USD("0.25"),
            key=f"pay-{turn}",
            actor=boss,
            now=line.now,
        )
    transfers.transfer(
        db, from_id=cards[6].id, to_id=cards[7].id, amount=USD("2"), key="t", actor=OPERATOR, now=line.now
    )
    recharges.adjust(
        db,
        card_id=cards[8].id,
        amount=-USD("1"),
        reason="=1+1",
        key="a",
        actor=OPERATOR,
        now=line.later(60).now,
    )


def everything(db: Database) -> list[LedgerEntry]:
    with db.begin() as session:
        found = select(LedgerEntry).order_by(LedgerEntry.at.desc(), LedgerEntry.id.desc())
        return list(session.scalars(found))


def walked(db: Database, f: LedgerFilter, limit: int) -> list[int]:
    found: list[int] = []
    place = None
    while True:
        page = ledgersearch.page(db, f, LATER, before=place, limit=limit)
        found += [row.line.id for row in page.rows]
        if page.older is None:
            return found
        place = page.older


def batch_of(db: Database, card_id: int) -> str:
    with db.begin() as session:
        card = session.get_one(Card, card_id)
    return {1: "May", 2: "June"}.get(card.batch_id, "")


CASES: dict[str, tuple[dict[str, str], Callable[[Database, LedgerEntry], Any]]] = {
    "all": ({}, lambda db, e: True),
    "kind": ({"kind": "usage"}, lambda db, e: e.kind == "usage"),
    "account": ({"account": "bonus"}, lambda db, e: e.account == "bonus"),
    "batch": ({"batch": "June"}, lambda db, e: batch_of(db, e.card_id) == "June"),
    "who": ({"who": "boss"}, lambda db, e: e.actor == str(scenes.second_person(db))),
    "payment": ({"reference": "payment:1"}, lambda db, e: e.reference == "payment:1"),
    "call": ({"reference": "call:3"}, lambda db, e: e.reference == "call:3"),
    "transfer": ({"reference": "transfer:1"}, lambda db, e: e.reference == "transfer:1"),
    "nothing": ({"reference": "payment:999"}, lambda db, e: False),
    "from": ({"at_from": "2026-11-21"}, lambda db, e: e.at >= NOW + timedelta(hours=12)),
    "to": ({"at_to": "2026-11-20T13:30"}, lambda db, e: e.at < NOW + timedelta(minutes=91)),
    "amounts": (
        {"amount_from": "-2", "amount_to": "-0.01"},
        lambda db, e: -USD("2") <= e.amount <= -USD("0.01"),
    ),
    "currency": ({"currency": "EUR"}, lambda db, e: False),
    "both": (
        {"kind": "opening", "batch": "May", "at_to": "2026-11-20"},
        lambda db, e: e.kind == "opening" and batch_of(db, e.card_id) == "May",
    ),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("slice_", [ledgersearch.SLICE, 4])
def test_each_filter_finds_what_it_says_at_any_page_and_slice_size(
    books: Database, monkeypatch: pytest.MonkeyPatch, case: str, slice_: int
) -> None:
    monkeypatch.setattr(ledgersearch, "SLICE", slice_)
    # However busy the machine is: what is cut short by time has tests of its own.
    monkeypatch.setattr(ledgersearch, "PATIENCE_S", 60.0)
    monkeypatch.setattr(ledgersearch, "SUMMED_S", 60.0)
    texts, fits = CASES[case]
    f = ledgersearch.parse(books, UTC_ZONE, texts)
    expected = [one for one in everything(books) if fits(books, one)]
    for limit in (9, 200):
        assert walked(books, f, limit) == [one.id for one in expected]
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for one in expected:
        sums[one.kind][0] += 1
        sums[one.kind][1] += one.amount
    told = ledgersearch.sums(books, f, LATER)
    assert told.whole
    assert {one.kind: [one.entries, one.amount] for one in told.sums} == sums
    assert ledgersearch.from_json(ledgersearch.to_json(f)) == f


def test_a_card_of_its_own_is_gathered(books: Database) -> None:
    row = ledgersearch.page(books, LedgerFilter(kind="adjustment"), LATER).rows[0]
    f = ledgersearch.parse(books, UTC_ZONE, {"serial": row.serial})
    assert [one.line.kind for one in ledgersearch.page(books, f, LATER).rows] == ["adjustment", "opening"]
    both = ledgersearch.parse(books, UTC_ZONE, {"serial": row.serial, "reference": "payment:1"})
    assert ledgersearch.page(books, both, LATER).rows == ()
    times = ledgersearch.parse(books, UTC_ZONE, {"serial": row.serial, "at_to": "2026-11-20T12:00"})
    assert [one.kind for one in ledgersearch.sums(books, times, LATER).sums] == ["opening"]


def test_both_sides_of_an_entry_are_named(books: Database) -> None:
    moved = ledgersearch.page(books, LedgerFilter(kind="transfer"), LATER).rows
    assert [row.line.other for row in moved] == [row.serial for row in reversed(moved)]
    paid = ledgersearch.page(books, LedgerFilter(kind="voucher"), LATER).rows
    assert {row.line.other for row in paid} == {row.serial for row in paid}
    assert len(paid) == 2


def test_an_account_is_found_by_its_name(books: Database) -> None:
    made = accounts.open_account(books, name="Fund", kind="funding", currency="USD", actor=OPERATOR, now=NOW)
    assert ledgersearch.parse(books, UTC_ZONE, {"account": "Fund"}).account == f"funding:{made.id}"


def test_looking_stops_in_time_and_goes_on_where_it_stopped(
    books: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledgersearch, "PATIENCE_S", 0.0)
    monkeypatch.setattr(ledgersearch, "SLICE", 4)
    page = ledgersearch.page(books, LedgerFilter(kind="adjustment"), LATER)
    assert page.partial
    assert page.rows == ()
    assert page.older is not None
    assert len(walked(books, LedgerFilter(kind="adjustment"), 50)) == 1
    monkeypatch.setattr(ledgersearch, "SUMMED_S", 0.0)
    assert not ledgersearch.sums(books, LedgerFilter(), LATER).whole


@pytest.mark.parametrize(
    ("texts", "field"),
    [
        ({"kind": "gift"}, "kind"),
        ({"account": "nowhere"}, "account"),
        ({"serial": "12"}, "serial"),
        ({"batch": "Nobody"}, "batch"),
        ({"who": "Nobody at all"}, "who"),
        ({"at_to": "yesterday"}, "at_to"),
        ({"amount_from": "1e9"}, "amount_from"),
        ({"amount_from": "2", "amount_to": "1"}, "amount_to"),
    ],
)
def test_what_is_wrong_names_its_field(books: Database, texts: dict[str, str], field: str) -> None:
    with pytest.raises(EngineError) as caught:
        ledgersearch.parse(books, UTC_ZONE, texts)
    assert caught.value.data["field"] == field


def test_exports_hold_every_row_and_leave_out_what_came_later(books: Database) -> None:
    asked = exports.Asked(UTC_ZONE, NOW + timedelta(days=30))
    rows = [row for block in moneyexports.LEDGER.iterate(books, {}, asked) for row in block]
    assert len(rows) == len(everything(books))
    assert all(len(row) == len(moneyexports.LEDGER.columns) for row in rows)
    early = exports.Asked(UTC_ZONE, NOW + timedelta(days=10))
    kept = [row for block in moneyexports.LEDGER.iterate(books, {}, early) for row in block]
    assert len(kept) == sum(one.at < early.at for one in everything(books))
    paid = [row for block in moneyexports.PAYMENTS.iterate(books, {}, asked) for row in block]
    assert len(paid) == 7
    assert all(datetime.fromisoformat(row[1]) for row in paid)
