"""Calls are found by every criterion, alone and together, page by page, none twice and none missing."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select, text

from engine.calls import callfilter, callsearch
from engine.calls.callfilter import CallFilter
from engine.config import Keys
from engine.db import Database
from engine.errors import InvalidInput, NotFound
from engine.migrations.partitions import ensure_partition, month_start
from engine.schema import Batch, Card, Cdr
from engine.vault import Vault
from tests import scenes
from tests.conftest import Clones
from tests.scenes import NOW, Line

CALLS = 1_500
UTC_ZONE = ZoneInfo("UTC")


@pytest.fixture(scope="module")
def world(clones: Clones, keys: Keys) -> Iterator[Database]:
    """A call made through the doors, and many like it with drawn facts, over three months."""
    url = clones.make()
    db = Database(url)
    vault = Vault(keys)
    cards = [
        *scenes.batch(db, vault, 5, name="One", concurrency=9),
        *scenes.batch(db, vault, 5, name="Two", concurrency=9),
    ]
    line = Line(db, vault, scenes.switch(db))
    scenes.switch(db, "Second")
    line.open(cards[0])
    line.later(60).end(seconds=60)
    with db.begin() as session:
        session.execute(text("INSERT INTO reseller (name, created_at) VALUES ('Shop', :now)"), {"now": NOW})
        session.execute(text("UPDATE card SET reseller_id = 1 WHERE id % 3 = 0"))
        for months in range(-3, 1):
            ensure_partition(session.connection(), "cdr", month_start(NOW, months))
    _draw(db, [card.id for card in cards])
    yield db
    db.close()
    clones.drop(url)


def _draw(db: Database, cards: list[int]) -> None:
    dice = random.Random(4)
    with db.begin() as session:
        first = session.scalars(select(Cdr)).one()
        same = {column.name: getattr(first, column.name) for column in Cdr.__table__.columns}
        session.add_all(
            Cdr(
                **{
                    **same,
                    "card_id": dice.choice(cards),
                    "id": 1_000 + n,
                    # Some end at the same instant, and some at the very end of a month.
                    "ended_at": dice.choice([NOW, datetime(2026, 11, 1, tzinfo=UTC)])
                    if n % 50 == 0
                    else NOW - timedelta(seconds=dice.randrange(80 * 86_400)),
                    "switch_id": 2 if dice.random() < 0.1 else 1,
                    "call_ref": f"ref-{n}",
                    "caller": dice.choice([None, "491711234567", f"4417{n:08}"]),
                    "destination": dice.choice(["8801712345678", "442079460000", f"8801{n:09}"]),
                    "destination_name": "Rare" if n % 400 == 1 else dice.choice(["Bangladesh", "Britain"]),
                    "duration_s": dice.randrange(900),
                    "cost": 5_000_000,
                    "charged": dice.randrange(5_000_000),
                    "cause": dice.choice([16, 16, 16, 17, 19, None]),
                    "flags": dice.choice([[], [], [], ["swept"], ["overrun", "overrun_loss"]]),
                    "currency": "EUR" if dice.random() < 0.02 else "USD",
                }
            )
            for n in range(CALLS)
        )


def oracle(db: Database, f: CallFilter) -> list[tuple[datetime, int]]:
    """All calls that meet the filter, newest first, by a look at each of them."""
    with db.begin() as session:
        cards = {card.id: card for card in session.scalars(select(Card))}
        spans = {batch.id: (batch.first_id, batch.last_id) for batch in session.scalars(select(Batch))}
        calls = session.scalars(select(Cdr)).all()
    tests: dict[str, Callable[[Cdr, Any], bool]] = {
        "card_id": lambda call, value: call.card_id == value,
        "caller": lambda call, value: call.caller == value,
        "destination": lambda call, value: call.destination == value,
        "prefix": lambda call, value: call.destination.startswith(value),
        "name": lambda call, value: call.destination_name == value,
        "ended": lambda call, value: within(call.ended_at, value),
        "duration": lambda call, value: within(call.duration_s, value),
        "cause": lambda call, value: call.cause == value,
        "charged": lambda call, value: within(call.charged, value),
        "currency": lambda call, value: call.currency == value,
        "flag": lambda call, value: bool(call.flags) if value == "any" else value in call.flags,
        "batch_id": lambda call, value: spans[value][0] <= call.card_id <= spans[value][1],
        "reseller_id": lambda call, value: cards[call.card_id].reseller_id == value,
        "switch_id": lambda call, value: call.switch_id == value,
        "call_ref": lambda call, value: call.call_ref == value,
    }
    asked = {name: value for name in tests if (value := getattr(f, name)) is not None}
    found = [call for call in calls if all(tests[name](call, value) for name, value in asked.items())]
    return sorted(((call.ended_at, call.id) for call in found), reverse=True)


def within(value: Any, ends: tuple[Any, Any]) -> bool:
    return (ends[0] is None or value >= ends[0]) and (ends[1] is None or value < ends[1])


def walked(db: Database, f: CallFilter, limit: int = 40) -> list[tuple[datetime, int]]:
    """All pages, one after the other."""
    found: list[tuple[datetime, int]] = []
    before = None
    for _ in range(200):
        page = callsearch.page(db, f, before=before, limit=limit)
        assert len(page.rows) <= limit
        found += [(row.call.ended_at, row.id) for row in page.rows]
        before = page.older
        if before is None:
            return found
    pytest.fail("the pages never end")


WEEK = (NOW - timedelta(days=30), NOW - timedelta(days=23))
FILTERS = [
    CallFilter(),
    CallFilter(card_id=1_000_000_002),
    CallFilter(caller="491711234567"),
    CallFilter(caller="441700000007"),
    CallFilter(destination="442079460000"),
    CallFilter(destination="8801000000100"),
    CallFilter(prefix="8801"),
    CallFilter(prefix="88010000001"),
    CallFilter(name="Rare"),
    CallFilter(name="Britain"),
    CallFilter(ended=WEEK),
    CallFilter(ended=(None, WEEK[0])),
    CallFilter(ended=(NOW, None)),
    CallFilter(duration=(600, None)),
    CallFilter(duration=(0, 3)),
    CallFilter(cause=17),
    CallFilter(cause=99),
    CallFilter(charged=(4_990_000, None)),
    CallFilter(charged=(None, 2_000_000)),
    CallFilter(currency="EUR"),
    CallFilter(flag="any"),
    CallFilter(flag="swept"),
    CallFilter(flag="ended_by_operator"),
    CallFilter(batch_id=2),
    CallFilter(reseller_id=1),
    CallFilter(switch_id=2),
    CallFilter(call_ref="ref-77"),
    CallFilter(call_ref="ref-77", switch_id=99),
]


@pytest.mark.parametrize("f", FILTERS, ids=lambda f: ",".join(callfilter.to_json(f)) or "all")
@pytest.mark.parametrize("walk", [2_000, 30], ids=["common", "rare"])
def test_every_filter_finds_all_its_calls_once(world: Database, f: CallFilter, walk: int) -> None:
    """With a short first walk everything is rare, and found by its narrowest criterion or month by month."""
    with patch.object(callsearch, "FIRST_WALK", walk), patch.object(callsearch, "STEP", walk):
        assert walked(world, f) == oracle(world, f)


def test_filters_are_met_together(world: Database) -> None:
    dice = random.Random(9)
    for _ in range(40):
        parts = dice.sample(FILTERS[1:26], dice.choice((2, 3)))
        both = replace(CallFilter(), **{k: v for part in parts for k, v in _set(part).items()})
        with patch.object(callsearch, "FIRST_WALK", dice.choice((10, 2_000))):
            assert walked(world, both, dice.choice((7, 200))) == oracle(world, both), both


def _set(f: CallFilter) -> dict[str, Any]:
    return {
        name: getattr(f, name) for name in CallFilter.__dataclass_fields__ if getattr(f, name) is not None
    }


def test_large_months_are_walked_along_and_a_page_says_how_far_it_looked(world: Database) -> None:
    nothing = CallFilter(cause=99)
    with (
        patch.object(callsearch, "SWEPT_BYTES", 0),
        patch.object(callsearch, "FIRST_WALK", 50),
        patch.object(callsearch, "STEP", 50),
        patch.object(callsearch, "PATIENCE_S", 0.0),
    ):
        page = callsearch.page(world, nothing)
        assert page.partial
        assert page.rows == ()
        assert page.older == oracle(world, CallFilter())[49]
        assert walked(world, CallFilter(cause=17)) == oracle(world, CallFilter(cause=17))
        assert not callsearch.sums(world, CallFilter(cause=17)).whole


def test_sums_are_those_of_all_calls(world: Database) -> None:
    with world.begin() as session:
        calls = [call for call in session.scalars(select(Cdr)) if call.cause == 17]
    sums = callsearch.sums(world, CallFilter(cause=17))
    assert sums.whole
    assert sums.calls == len(calls)
    assert [one.currency for one in sums.sums] == ["EUR", "USD"]
    for one in sums.sums:
        own = [call for call in calls if call.currency == one.currency]
        assert one.calls == len(own)
        assert one.answered == sum(call.duration_s > 0 for call in own)
        assert one.talked_s == sum(call.duration_s for call in own)
        assert one.charged == sum(call.charged for call in own)
        assert one.lost == sum(call.cost - call.charged for call in own)
    with patch.object(callsearch, "SUMMED", 100):
        part = callsearch.sums(world, CallFilter())
    newest = oracle(world, CallFilter())
    assert (part.calls, part.whole, part.since) == (100, False, newest[99][0])


def test_calls_that_end_while_a_list_is_read_bring_none_twice(world: Database) -> None:
    f = CallFilter(cause=16)
    for nth, read in enumerate((_keys_read, _calls_summed)):
        known = oracle(world, f)
        with patch.object(callsearch, "FIRST_WALK", 50), world.connection() as conn:
            plain, arrived = conn.execute, False

            def execute(statement: Any, *given: Any, plain: Any = plain, nth: int = nth) -> Any:
                nonlocal arrived
                found = plain(statement, *given)
                if "FROM cdr" in statement and not arrived:
                    arrived = True
                    _arrive(world, 30 * nth)
                return found

            with patch.object(conn, "execute", execute):
                read(world, f, known)
        assert arrived


def _arrive(db: Database, first: int) -> None:
    """More calls end, from another connection: the newest of all."""
    with db.begin() as session:
        call = session.scalars(select(Cdr).where(Cdr.cause == 16).limit(1)).one()
        same = {column.name: getattr(call, column.name) for column in Cdr.__table__.columns}
        late = (
            {"id": 100_000 + n, "ended_at": NOW + timedelta(seconds=100 + n)}
            for n in range(first, first + 30)
        )
        session.add_all(Cdr(**{**same, **facts}) for facts in late)


def _keys_read(db: Database, f: CallFilter, known: list[tuple[datetime, int]]) -> None:
    keys, _ = callsearch.keys_after(db, f, None, len(known) + 50)
    assert [(at, number) for _, at, number in keys] == known


def _calls_summed(db: Database, f: CallFilter, known: list[tuple[datetime, int]]) -> None:
    assert callsearch.sums(db, f).calls == len(known)


def test_a_filter_goes_through_json_and_back() -> None:
    for f in FILTERS:
        assert callfilter.from_json(callfilter.to_json(f)) == f


def test_texts_become_a_filter_as_people_mean_them(world: Database) -> None:
    def parsed(**texts: str) -> CallFilter:
        return callfilter.parse(world, NOW, ZoneInfo("Asia/Dhaka"), texts)

    assert parsed() == parsed(caller=" ", batch="") == CallFilter()
    assert parsed(destination="+880 17-12").destination == "8801712"
    assert parsed(duration_from="1:30", duration_to="1:00:00").duration == (90, 3_601)
    assert parsed(charged_from="0.5", charged_to="2").charged == (500_000, 2_000_001)
    assert parsed(ended="last-24-hours").ended == (NOW - timedelta(hours=24), None)
    day = datetime(2026, 11, 19, 18, tzinfo=UTC)
    assert parsed(ended_from="2026-11-20", ended_to="2026-11-20").ended == (day, day + timedelta(days=1))
    minute = datetime(2026, 11, 20, 8, 30, tzinfo=UTC)
    asked = parsed(ended_from="2026-11-20T14:30", ended_to="2026-11-20 14:30")
    assert asked.ended == (minute, minute + timedelta(minutes=1))
    assert parsed(batch="Two", reseller="Shop", switch="Second") == CallFilter(
        batch_id=2, reseller_id=1, switch_id=2
    )
    assert walked(world, parsed(call_ref="a\0b")) == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("destination", "８８０"),
        ("prefix", "x"),
        ("duration_from", "1:75"),
        ("duration_to", "10" * 9),
        ("cause", "-1"),
        ("cause", "１６"),
        ("ended", "soon"),
        ("ended_to", "2026-02-30"),
        ("flag", "odd"),
        ("currency", "dollars"),
        ("serial", "1"),
        ("caller", "';--"),
    ],
)
def test_what_makes_no_sense_is_blamed_on_its_field(world: Database, field: str, value: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        callfilter.parse(world, NOW, UTC_ZONE, {field: value})
    assert refused.value.data["field"] == field


@pytest.mark.parametrize("field", ["batch", "reseller", "switch"])
def test_names_that_nobody_knows_are_not_found(world: Database, field: str) -> None:
    with pytest.raises(NotFound) as refused:
        callfilter.parse(world, NOW, UTC_ZONE, {field: "Nobody\0"})
    assert refused.value.data["field"] == field
