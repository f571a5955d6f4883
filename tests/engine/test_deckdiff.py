"""What differs between versions of a deck, a partial sheet laid over one, prices changed at once, and costs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select, text

from engine.calls.deckchange import PriceChange, change_deck, preview_change, source_of
from engine.calls.deckcosts import Cost, costs_of, set_buy_deck, under_cost, worked_out
from engine.calls.deckdiff import (
    Comparison,
    all_differences,
    compare,
    difference_counts,
    differences,
    stored_rates,
)
from engine.calls.deckmerge import merged_rates
from engine.calls.deckrow import DeckRow
from engine.calls.decks import find_deck, import_deck
from engine.calls.destinations import set_group
from engine.db import Database
from engine.errors import Conflict, InvalidInput, NotFound
from engine.money import MICROS
from engine.schema import DeckVersion
from tests import scenes
from tests.scenes import NOW, OPERATOR, USD

DAY = timedelta(days=1)
START = datetime(2026, 12, 1, tzinfo=UTC)


def row(prefix: str, price: str, name: str = "Somewhere", **more: Any) -> DeckRow:
    return DeckRow(0, prefix, name, USD(price), **more)


def kinds(comparison: Comparison) -> dict[str, str]:
    return {change.prefix: change.kind for change in comparison.changes}


BEFORE = [
    row("1", "0.01"),
    row("33", "0.02"),
    row("44", "0.03"),
    row("49", "0.04"),
    row("61", "0.05", days=(1, 2, 3, 4, 5)),
    row("61", "0.03", days=(6, 7)),
    row("880", "0.06"),
]
AFTER = [
    row("1", "0.01"),
    row("33", "0.03"),
    row("44", "0.02"),
    row("49", "0.04", connect_fee=5),
    row("61", "0.03", days=(6, 7)),
    row("61", "0.06", days=(1, 2, 3, 4, 5)),
    row("91", "0.07"),
]
KINDS = {
    "33": "dearer",
    "44": "cheaper",
    "49": "otherwise",
    "61": "dearer",
    "880": "removed",
    "91": "added",
}


def test_every_way_in_which_a_prefix_can_differ_is_told_apart() -> None:
    told = compare(BEFORE, AFTER)
    assert kinds(told) == KINDS
    assert told.counts == {"added": 1, "dearer": 2, "cheaper": 1, "otherwise": 1, "removed": 1}
    assert (told.unchanged, told.changed, told.before) == (1, 4, 6)
    percents = {change.prefix: change.percent for change in told.changes}
    assert percents == {
        "33": Decimal(50),
        "44": pytest.approx(Decimal("-33.3333"), abs=Decimal("0.001")),
        "49": Decimal(0),
        "61": Decimal("12.5"),  # 0.05 and 0.03 to 0.06 and 0.03: from 0.04 on average to 0.045
        "880": None,
        "91": None,
    }
    assert compare([row("1", "0")], [row("1", "1")]).changes[0].percent is None
    capped = compare([], [row(str(prefix), "1") for prefix in range(10, 30)], most=3)
    assert (capped.counts["added"], [one.prefix for one in capped.changes]) == (20, ["10", "11", "12"])


ROWS = st.lists(
    st.builds(
        row,
        st.sampled_from(["1", "12", "2", "44", "447"]),
        st.sampled_from(["0.01", "0.02", "0"]),
        st.sampled_from(["A", "B"]),
        increment=st.sampled_from([1, 60]),
        days=st.sampled_from([None, (1,), (6, 7)]),
    ),
    max_size=8,
)


def _store(db: Database, rows: list[DeckRow]) -> int:
    """A version with these rates, whatever they are."""
    with db.begin() as session:
        deck = find_deck(session, "Standard")
        version = DeckVersion(
            deck_id=deck.id, effective_from=NOW, source="x", rates=len(rows), created_by="x", created_at=NOW
        )
        session.add(version)
        session.flush()
        for one in rows:
            session.execute(
                text(
                    "INSERT INTO deck_rate (version_id, prefix, destination_name, price_per_minute, connect_fee,"
                    " first_increment, increment, grace, days) VALUES (:v, :p, :n, :price, :fee, 1, :step, 0, :days)"
                ),
                {
                    "v": version.id,
                    "p": one.prefix,
                    "n": one.destination_name,
                    "price": one.price_per_minute,
                    "fee": one.connect_fee,
                    "step": one.increment,
                    "days": list(one.days) if one.days else None,
                },
            )
        return version.id


def test_the_database_tells_the_same_differences_as_the_process(db: Database) -> None:
    scenes.deck(db)

    @settings(max_examples=25, deadline=None)
    @given(before=ROWS, after=ROWS)
    def same(before: list[DeckRow], after: list[DeckRow]) -> None:
        # A deck never has the very same rate twice.
        before, after = list(dict.fromkeys(before)), list(dict.fromkeys(after))
        old, new = _store(db, before), _store(db, after)
        told = compare(before, after)
        assert {one.prefix: one.kind for one in all_differences(db, old, new, block=2)} == kinds(told)
        assert difference_counts(db, old, new) == told.counts

    same()


def test_differences_come_page_by_page_of_a_kind_and_by_words(db: Database) -> None:
    scenes.deck(db)
    old, new = _store(db, BEFORE), _store(db, AFTER)
    first = differences(db, old, new, limit=4)
    assert ([one.prefix for one in first.changes], first.more) == (["33", "44", "49", "61"], True)
    rest = differences(db, old, new, place="61", limit=4)
    assert ([one.prefix for one in rest.changes], rest.more) == (["880", "91"], False)
    assert [len(one.before) for one in first.changes] == [1, 1, 1, 2]
    assert [rate.days for rate in first.changes[3].after] == [(1, 2, 3, 4, 5), (6, 7)]
    dearer = differences(db, old, new, kinds=["dearer"])
    assert [one.prefix for one in dearer.changes] == ["33", "61"]
    assert [one.prefix for one in differences(db, old, new, words="+4").changes] == ["44", "49"]
    assert len(differences(db, old, new, words="SOME").changes) == 6
    assert differences(db, old, new, words="_").changes == ()


# A part of a sheet


def test_a_part_of_a_sheet_takes_the_place_of_its_prefixes_alone() -> None:
    whole = merged_rates(BEFORE, [row("44", "0.09"), row("91", "0.01")], START)
    assert kinds(compare(BEFORE, whole)) == {"44": "dearer", "91": "added"}


def test_old_rates_hold_until_the_first_new_one_begins() -> None:
    later = START + 5 * DAY
    before = [
        row("44", "0.03"),
        row("33", "0.02", effective_until=START + DAY),
        row("49", "0.01", effective_from=later + DAY),
        row("1", "0.01"),
    ]
    sheet = [
        row("44", "0.04", effective_from=later),
        row("33", "0.04", effective_from=later),
        row("49", "0.04", effective_from=later),
        row("1", "0.02", effective_from=START - DAY),
    ]
    whole = merged_rates(before, sheet, START)
    assert [(one.prefix, one.price_per_minute, one.effective_until) for one in whole[4:]] == [
        ("44", USD("0.03"), later),
        ("33", USD("0.02"), START + DAY),
    ]


def test_a_merged_import_keeps_the_rest_and_a_key_counts_once(db: Database) -> None:
    scenes.deck(db, {"44": "0.02", "33": "0.03", "880": "0.01"})
    given: dict[str, Any] = {
        "name": "Standard",
        "currency": "USD",
        "data": b"prefix,price\n44,0.05\n91,0.01\n",
        "filename": "part.csv",
        "actor": OPERATOR,
        "now": NOW + DAY,
        "merge": True,
    }
    looked = import_deck(db, dry_run=True, **given)
    assert (looked.rates, looked.total, looked.added, looked.changed, looked.removed) == (2, 4, 1, 1, 0)
    done = import_deck(db, key="k", **given)
    again = import_deck(db, key="k", **{**given, "now": NOW + 2 * DAY})
    assert again.version_id == done.version_id
    assert (again.total, again.added, again.changed) == (4, 1, 1)
    with pytest.raises(Conflict, match="key_reused"):
        import_deck(db, key="k", **{**given, "data": b"prefix,price\n44,0.06\n"})
    with db.begin() as session:
        assert len(session.scalars(select(DeckVersion)).all()) == 2
    with db.connection() as conn:
        stored = {one.prefix: one.price_per_minute for one in stored_rates(conn, done.version_id or 0)}
    assert stored == {"44": USD("0.05"), "91": USD("0.01"), "33": USD("0.03"), "880": USD("0.01")}
    whole = import_deck(db, dry_run=True, **{**given, "merge": False, "now": NOW + 3 * DAY})
    assert (whole.removed, whole.thins) == (2, True)


# Changes


@pytest.fixture
def changing(db: Database) -> int:
    scenes.deck(
        db,
        "prefix,destination,price,connect fee,days\n44,Britain,0.0125,0.05,\n447,Britain mobile,0.03335,0,Mon-Fri\n"
        "33,France,0.000001,0.01,\n",
    )
    with db.begin() as session:
        return find_deck(session, "Standard").id


def test_a_change_is_what_its_preview_said_and_all_else_stays(db: Database, changing: int) -> None:
    change = PriceChange(percent=100_000, decimals=6, fees=True)
    seen = preview_change(db, deck_id=changing, change=change, now=NOW)
    assert (seen.rates, seen.fitting, seen.changed, seen.free) == (3, 3, 3, 0)
    done = change_deck(db, deck_id=changing, base_version=1, change=change, actor=OPERATOR, now=NOW + DAY)
    assert (done.rates, done.changed) == (3, 3)
    changes = {one.prefix: one for one in all_differences(db, 1, done.version_id)}
    assert {prefix: one.after[0].price_per_minute for prefix, one in changes.items()} == {
        "33": 1,  # a tenth of a micro-unit is lost in the rounding
        "44": USD("0.01375"),
        "447": USD("0.036685"),
    }
    assert [(one.old_price, one.new_price, one.old_fee, one.new_fee) for one in seen.first] == [
        (1, 1, USD("0.01"), USD("0.011")),
        (USD("0.0125"), USD("0.01375"), USD("0.05"), USD("0.055")),
        (USD("0.03335"), USD("0.036685"), 0, 0),
    ]
    assert changes["447"].after[0].days == (1, 2, 3, 4, 5)
    with db.begin() as session:
        assert session.get_one(DeckVersion, done.version_id).source == "Prices and connect fees +10 %"


def test_a_price_never_falls_below_zero_and_free_calls_are_told(db: Database, changing: int) -> None:
    seen = preview_change(db, deck_id=changing, change=PriceChange(amount=-USD("0.02")), now=NOW)
    assert (seen.changed, seen.free) == (3, 2)
    assert [one.new_price for one in seen.first] == [0, 0, USD("0.0134")]  # 0.01335, half up
    narrow = PriceChange(percent=-50_000, prefixes=("44",), name="MOB")
    assert preview_change(db, deck_id=changing, change=narrow, now=NOW).fitting == 1


def test_a_group_that_was_edited_since_the_look_holds_the_change(db: Database, changing: int) -> None:
    set_group(db, "Some", ["447"], OPERATOR, NOW)
    order: dict[str, Any] = {"deck_id": changing, "change": PriceChange(percent=100_000, group="Some")}
    seen = preview_change(db, now=NOW, **order)
    # As many rates, yet others.
    set_group(db, "Some", ["33"], OPERATOR, NOW)
    again = preview_change(db, now=NOW, **order)
    assert (again.changed, again.fitting) == (seen.changed, seen.fitting)
    with pytest.raises(Conflict, match="deck_moved_on"):
        change_deck(db, base_version=1, seen=seen.digest, actor=OPERATOR, now=NOW + DAY, key="k", **order)
    assert again.digest == preview_change(db, now=NOW + DAY, **order).digest
    done = change_deck(db, base_version=1, seen=again.digest, actor=OPERATOR, now=NOW + DAY, key="k", **order)
    assert done.changed == again.changed


def test_the_version_that_was_looked_at_must_still_be_the_one(db: Database, changing: int) -> None:
    change = PriceChange(percent=10_000)
    order: dict[str, Any] = {"deck_id": changing, "change": change, "actor": OPERATOR}
    first = change_deck(db, base_version=1, now=NOW, key="k", **order)
    assert change_deck(db, base_version=1, now=NOW + DAY, key="k", **order) == first
    with pytest.raises(Conflict, match="deck_moved_on"):
        change_deck(db, base_version=1, now=NOW + DAY, **order)
    with pytest.raises(NotFound, match="deck_version_not_found"):
        change_deck(db, base_version=99, now=NOW + DAY, **order)
    lost = {**order, "change": PriceChange(amount=1, decimals=2, prefixes=("880",))}
    with pytest.raises(InvalidInput, match="change_fits_nothing"):
        change_deck(db, base_version=first.version_id, now=NOW + DAY, **lost)
    with pytest.raises(InvalidInput, match="price_too_large"):
        preview_change(db, deck_id=changing, change=PriceChange(amount=10**15), now=NOW)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (PriceChange(percent=-25_000), "Prices \u22122.5 %"),
        (PriceChange(percent=100_000, amount=-USD("0.001")), "Prices +10 % and \u22120.001 USD"),
        (PriceChange(amount=USD("0.5"), prefixes=("44", "33")), "Prices +0.50 USD for prefixes 44, 33"),
        (
            PriceChange(percent=10_000, group="Isles", name="mob"),
            "Prices +1 % for the group Isles in names with mob",
        ),
    ],
)
def test_a_change_says_what_it_was(change: PriceChange, said: str) -> None:
    assert source_of(change, "USD") == said


def test_prices_are_rounded_as_decimal_does(db: Database, changing: int) -> None:
    @settings(max_examples=30, deadline=None)
    @given(
        percent=st.integers(-1_000_000, 10_000_000).filter(bool),
        amount=st.integers(-MICROS, MICROS),
        decimals=st.integers(0, 6),
    )
    def exact(percent: int, amount: int, decimals: int) -> None:
        change = PriceChange(percent=percent, amount=amount, decimals=decimals, fees=True)
        unit = Decimal(10 ** (6 - decimals))
        for one in preview_change(db, deck_id=changing, change=change, now=NOW).first:
            for old, new, more in ((one.old_price, one.new_price, amount), (one.old_fee, one.new_fee, 0)):
                wanted = Decimal(old) * (1_000_000 + percent) / 1_000_000 + more
                assert new == max(0, (wanted / unit).quantize(Decimal(1), ROUND_HALF_UP) * unit)

    exact()


# Costs


def test_a_sell_prefix_costs_what_its_own_and_its_dearest_longer_buy_prefix_do() -> None:
    found = worked_out({"44", "4420", "33", "1"}, {"4": 10, "447": 30, "44207": 90, "33": 5, "9": 1})
    assert found == {
        "44": Cost(10, "4", 30, "447"),
        "4420": Cost(10, "4", 90, "44207"),
        "33": Cost(5, "33", 5, "33"),
    }


def test_costs_follow_the_buy_decks_version(db: Database) -> None:
    scenes.deck(db, {"44": "0.02", "33": "0.03"})
    scenes.deck(db, {"44": "0.01", "33": "0.01"}, name="Cost")
    scenes.deck(db, {"44": "0.05", "33": "0.01"}, name="Cost", effective_from=NOW + DAY)
    assert costs_of(db, 1, NOW) is None
    assert set_buy_deck(db, deck_id=1, buy_deck_id=2, actor=OPERATOR, now=NOW) == "Cost"
    today, tomorrow = costs_of(db, 1, NOW), costs_of(db, 1, NOW + DAY)
    assert today is not None
    assert tomorrow is not None
    assert under_cost(db, 1, today) == []
    assert under_cost(db, 1, tomorrow) == ["44"]
    for wrong, code in ((1, "buy_deck_itself"), (99, "deck_not_found")):
        with pytest.raises((InvalidInput, NotFound), match=code):
            set_buy_deck(db, deck_id=1, buy_deck_id=wrong, actor=OPERATOR, now=NOW)
    scenes.deck(db, name="Euro", currency="EUR")
    with pytest.raises(InvalidInput, match="buy_deck_currency"):
        set_buy_deck(db, deck_id=1, buy_deck_id=3, actor=OPERATOR, now=NOW)
    assert set_buy_deck(db, deck_id=1, buy_deck_id=None, actor=OPERATOR, now=NOW) is None
    assert costs_of(db, 1, NOW) is None
