"""Replays: calls that were made, priced once more at another version of their deck or at what they cost."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import work
from engine.calls.deckcosts import set_buy_deck
from engine.calls.decks import find_deck
from engine.calls.ratetable import RateTable
from engine.calls.rating import charge, with_fees
from engine.calls.sweep import sweep
from engine.db import Database
from engine.errors import Conflict, InvalidInput, NotFound
from engine.reports import replay as handler
from engine.reports.replay import Call, Pricing, replay
from engine.reports.replays import (
    all_lines,
    cancel_replay,
    find_replay,
    last_month,
    lines_of,
    period,
    replays_of,
    start_replay,
)
from engine.schema import DeckVersion
from engine.vault import Vault
from tests import scenes
from tests.scenes import NOW, OPERATOR, USD, Line

HOUR = timedelta(hours=1)
FRANCE = "33142685300"
OLD = """prefix,destination,price,first increment,increment
880,Bangladesh,0.015,1,1
44,United Kingdom,0.02,1,1
33,France,0.10,1,1
"""
NEW = """prefix,destination,price,connect fee,first increment,increment
880,Bangladesh,0.02,0.01,60,60
442,United Kingdom,0.03,0,1,1
"""


def decks(db: Database) -> tuple[int, int, int]:
    """A deck with a version in force and one that comes in a week: its id and theirs."""
    scenes.deck(db, OLD)
    scenes.deck(db, NEW, effective_from=NOW + timedelta(days=7))
    with db.begin() as session:
        deck_id = find_deck(session, "Standard").id
    return deck_id, 1, 2


def calls(db: Database, vault: Vault) -> Line:
    """Six calls of an hour: three answered, one that was not, one swept and corrected, one of another deck."""
    line = Line(db, vault, scenes.switch(db))
    plain, poor, fees = (
        scenes.card(db, vault, "5.00", name="Plain"),
        scenes.card(db, vault, "5.00", name="Other", deck="Elsewhere"),
        scenes.card(db, vault, "5.00", name="Fees", post_call_fee=USD("0.03")),
    )
    gate = scenes.access_number(db, per_minute="0.01", per_call="0.05")
    line.open(plain, ref="a")
    line.later(61).end("a", seconds=61)
    line.open(fees, scenes.BRITAIN, ref="b", access_number=gate)
    line.later(30).end("b", seconds=30)
    line.open(plain, FRANCE, ref="c")
    line.later(10).end("c", seconds=10)
    line.open(plain, FRANCE, ref="never answered")
    line.later(10).end("never answered", seconds=0, cause=19)
    line.open(poor, ref="elsewhere")
    line.later(10).end("elsewhere", seconds=10)
    line.open(plain, ref="late", one_shot=False)
    line.answer("late")
    sweep(db, line.later(2 * 3600).now)
    line.end("late", seconds=120)
    return line


def run(db: Database, vault: Vault, work_id: int, now: datetime) -> dict[str, Any]:
    """Do the work as a jobs process does."""
    claimed = work.claim(db, "test", ["replay"], now, work_id=work_id)
    assert claimed is not None
    result = handler.run(db, vault, claimed, lambda: now)
    work.finish(db, claimed, now, result)
    return result


def ask(db: Database, deck_id: int, version: int | None, now: datetime, **more: Any) -> int:
    given = {"begins": NOW - HOUR, "ends": NOW + 24 * HOUR, **more}
    return start_replay(db, deck_id=deck_id, version_id=version, actor=OPERATOR, now=now, **given)


def found(db: Database, work_id: int) -> dict[str, tuple[int, ...]]:
    """By destination: calls, billed seconds, charged, replayed seconds, replayed, unrated."""
    return {
        one.destination_name: (
            one.calls,
            one.billed_s,
            one.charged,
            one.replayed_s,
            one.replayed,
            one.unrated,
        )
        for one in all_lines(db, work_id)
    }


def test_calls_are_priced_at_the_other_version_as_by_hand(db: Database, vault: Vault) -> None:
    deck_id, _, new = decks(db)
    line = calls(db, vault)
    work_id = ask(db, deck_id, new, line.now)
    result = run(db, vault, work_id, line.now)
    assert found(db, work_id) == {
        # 61 s at 0.015 = 0.01525, rounded 0.0153, and the late end of 120 s: 0.03. Now 120 s each, and 0.01 to connect.
        "Bangladesh": (2, 181, USD("0.0453"), 240, USD("0.1"), 0),
        # 30 s at 0.02 + 0.01 a minute, 0.05 + 0.03 a call; now 0.03 + 0.01 a minute, and the same fees.
        "United Kingdom": (1, 30, USD("0.095"), 30, USD("0.1"), 0),
        # 10 s at 0.10: no rate any more.
        "France": (1, 10, USD("0.0167"), 0, 0, 1),
    }
    assert result == {
        "calls": 4,
        "billed_s": 221,
        "charged": USD("0.157"),
        "replayed_s": 270,
        "replayed": USD("0.2"),
        "unrated": 1,
        "borne": 0,
    }
    shown = find_replay(db, work_id, line.now)
    assert (shown.work.state, shown.work.progress, shown.work.total) == ("done", 4, 4)
    assert (shown.deck, shown.currency, shown.version_id, shown.of_costs) == ("Standard", "USD", new, False)
    assert [one.work.id for one in replays_of(db, deck_id, line.now)] == [work_id]


def test_the_version_that_charged_them_brings_the_same_once_more(db: Database, vault: Vault) -> None:
    deck_id, old, _ = decks(db)
    line = calls(db, vault)
    result = run(db, vault, ask(db, deck_id, old, line.now), line.now)
    assert (result["replayed"], result["replayed_s"]) == (result["charged"], result["billed_s"])


def test_what_a_card_could_not_pay_is_told_and_is_no_difference_of_prices(db: Database, vault: Vault) -> None:
    deck_id, old, _ = decks(db)
    line = Line(db, vault, scenes.switch(db))
    card = scenes.card(db, vault, "0.01", name="Poor")
    line.open(card)
    line.later(80).end(seconds=80)  # 0.02, and the card had a half of it
    result = run(db, vault, ask(db, deck_id, old, line.now), line.now)
    assert (result["charged"], result["replayed"], result["borne"]) == (USD("0.01"), USD("0.02"), USD("0.01"))


def test_only_calls_that_ended_in_the_period_count(db: Database, vault: Vault) -> None:
    deck_id, old, _ = decks(db)
    line = calls(db, vault)
    first_end = NOW + timedelta(seconds=61)
    before = run(db, vault, ask(db, deck_id, old, line.now, ends=first_end), line.now)
    at_it = run(
        db, vault, ask(db, deck_id, old, line.now, begins=first_end, ends=first_end + HOUR / 60), line.now
    )
    assert (before["calls"], at_it["calls"]) == (0, 3)


def test_what_calls_cost_us_is_told_at_the_buy_decks_versions_of_those_days(
    db: Database, vault: Vault
) -> None:
    deck_id, _, _ = decks(db)
    line = calls(db, vault)
    with pytest.raises(InvalidInput, match="buy_deck_missing"):
        ask(db, deck_id, None, line.now)
    scenes.deck(
        db, {"880": "0.01", "44": "0.005", "33": "0.05"}, name="Cost", now=line.now
    )  # after the calls
    with db.begin() as session:
        cost = find_deck(session, "Cost").id
    set_buy_deck(db, deck_id=deck_id, buy_deck_id=cost, actor=OPERATOR, now=line.now)
    work_id = ask(db, deck_id, None, line.now)
    result = run(db, vault, work_id, line.now)
    # 61 s and 120 s at 0.01 (0.0102 and 0.02), 30 s at 0.005 without any fee of ours (0.0025), 10 s at 0.05 (0.0083).
    assert result["replayed"] == USD("0.041")
    assert find_replay(db, work_id, line.now).of_costs
    scenes.deck(db, {"880": "1"}, name="Cost", now=line.now + HOUR)
    assert run(db, vault, ask(db, deck_id, None, line.now), line.now)["replayed"] == USD("0.041")
    again = line.now + 2 * HOUR
    line.now = again
    line.open(scenes.card(db, vault, name="Later"), ref="later")
    line.later(60).end("later", seconds=60)
    late = ask(db, deck_id, None, line.now, begins=again)
    assert run(db, vault, late, line.now)["replayed"] == USD("1")


def test_rates_of_a_version_that_is_still_to_come_hold_for_calls_of_the_past(
    db: Database, vault: Vault
) -> None:
    """Its dates are those of the time when it begins; its hours those of the call: 12:00 is day, 13:01 is night."""
    scenes.deck(db, OLD)
    scenes.deck(
        db,
        "prefix,destination,price,effective from,effective until,from time,to time\n"
        "880,Bangladesh,0.10,2026-12-01,,12:00,13:00\n880,Bangladesh,0.20,2026-12-01,,13:00,12:00\n"
        "880,Bangladesh,9,,2026-11-30,,\n",
        effective_from=date(2026, 12, 1),
    )
    line = Line(db, vault, scenes.switch(db))
    card = scenes.card(db, vault, name="Plain")
    for ref, start in (("day", 0), ("night", 3600)):
        line.later(start)
        line.open(card, ref=ref)
        line.later(60).end(ref, seconds=60)
    assert run(db, vault, ask(db, 1, 2, line.now), line.now)["replayed"] == USD("0.3")


def test_a_replay_that_was_interrupted_begins_anew_and_one_that_is_stopped_leaves_nothing(
    db: Database, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    deck_id, _, new = decks(db)
    line = calls(db, vault)
    work_id = ask(db, deck_id, new, line.now)
    monkeypatch.setattr(handler, "BLOCK", 1)
    claimed = work.claim(db, "first", ["replay"], line.now, work_id=work_id)
    assert claimed is not None
    claimed.on_progress = lambda progress, _: setattr(claimed, "interrupted", progress >= 2)
    with pytest.raises(work.Stopped, match="work_interrupted"):
        handler.run(db, vault, claimed, lambda: line.now)
    assert found(db, work_id) == {}
    work.release(db, claimed)
    assert run(db, vault, work_id, line.now)["calls"] == 4
    other = ask(db, deck_id, new, line.now)
    claimed = work.claim(db, "second", ["replay"], line.now, work_id=other)
    assert claimed is not None
    assert cancel_replay(db, work_id=other, actor=OPERATOR, now=line.now)
    with pytest.raises(work.Stopped, match="work_cancelled"):
        handler.run(db, vault, claimed, lambda: line.now)
    assert found(db, other) == {}
    assert not cancel_replay(db, work_id=work_id, actor=OPERATOR, now=line.now)


def test_lines_come_in_the_order_that_is_asked_for_page_by_page(db: Database, vault: Vault) -> None:
    deck_id, _, new = decks(db)
    line = calls(db, vault)
    work_id = ask(db, deck_id, new, line.now)
    run(db, vault, work_id, line.now)
    expected = {
        "name": ["Bangladesh", "France", "United Kingdom"],
        "charged": ["United Kingdom", "Bangladesh", "France"],
        "replayed": ["Bangladesh", "United Kingdom", "France"],
        "difference": ["Bangladesh", "United Kingdom", "France"],
        "calls": ["Bangladesh", "France", "United Kingdom"],
        "unrated": ["France", "Bangladesh", "United Kingdom"],
    }
    for order, names in expected.items():
        seen, place = [], None
        while True:
            lines, place = lines_of(db, work_id, order=order, place=place, limit=1)
            seen += [one.destination_name for one in lines]
            if place is None:
                break
        assert seen == names, order


def test_a_key_counts_once_and_what_makes_no_sense_is_refused(db: Database, vault: Vault) -> None:
    deck_id, old, new = decks(db)
    now = NOW + HOUR
    assert ask(db, deck_id, old, now, key="k") == ask(db, deck_id, old, now, key="k")
    with pytest.raises(Conflict, match="key_reused"):
        ask(db, deck_id, new, now, key="k")
    for code, wrong in (
        ("period_reversed", {"begins": NOW, "ends": NOW}),
        ("period_too_long", {"begins": NOW - timedelta(days=367), "ends": NOW}),
        ("period_in_future", {"begins": now, "ends": now + HOUR}),
    ):
        with pytest.raises(InvalidInput, match=code):
            ask(db, deck_id, old, now, **wrong)
    scenes.deck(db, name="Other")
    with pytest.raises(NotFound, match="deck_version_not_found"):
        ask(db, deck_id, 3, now)
    with pytest.raises(NotFound, match="deck_not_found"):
        ask(db, 99, old, now)
    with pytest.raises(NotFound, match="replay_not_found"):
        find_replay(db, 99, now)
    with db.begin() as session:
        assert session.get(DeckVersion, 3) is not None


def test_last_month_is_a_month_of_the_operators_calendar() -> None:
    new_york = ZoneInfo("America/New_York")
    first_of_march = datetime(2027, 3, 1, 3, tzinfo=UTC)  # still February there
    assert last_month(first_of_march, new_york) == (date(2027, 1, 1), date(2027, 1, 31))
    assert last_month(first_of_march, ZoneInfo("UTC")) == (date(2027, 2, 1), date(2027, 2, 28))
    begins, ends = period(
        date(2026, 11, 1), date(2026, 11, 1), new_york
    )  # the clocks go back: a day of 25 hours
    assert (begins, ends - begins) == (datetime(2026, 11, 1, 4, tzinfo=UTC), 25 * HOUR)


PRICES = st.integers(0, 10**7)


@settings(max_examples=60, deadline=None)
@given(
    rates=st.dictionaries(
        st.sampled_from(["1", "12", "123", "2", "44"]),
        st.tuples(PRICES, PRICES, st.integers(1, 90), st.integers(1, 90), st.integers(0, 20)),
        min_size=1,
    ),
    made=st.lists(
        st.tuples(
            st.sampled_from(["1234567", "1299999", "4400000", "9999999"]),
            st.integers(1, 4000),
            st.sampled_from([0, 5_000]),
            st.sampled_from([0, 30_000]),
        ),
        max_size=30,
    ),
    fees=st.booleans(),
)
def test_the_sums_are_those_of_every_call_on_its_own(
    rates: dict[str, tuple[int, ...]], made: list[tuple[str, int, int, int]], fees: bool
) -> None:
    rows: list[Any] = [
        (number, prefix, f"Place {prefix}", *terms, None, None, None, None, None)
        for number, (prefix, terms) in enumerate(rates.items())
    ]
    table = RateTable(rows)
    told: list[Call] = [
        (to, to, NOW, seconds, seconds, 7, 9, minute, call) for to, seconds, minute, call in made
    ]
    lines = replay(told, Pricing([NOW + HOUR], [RateTable([])], table), fees=fees)
    replayed = unrated = 0
    for to, seconds, minute, call in made:
        hit = table.find(to, NOW)
        if hit is None:
            unrated += 1
        else:
            replayed += charge(with_fees(hit.rate, minute, call) if fees else hit.rate, seconds)
    assert sum(line.replayed for line in lines.values()) == replayed
    assert sum(line.unrated for line in lines.values()) == unrated
    assert sum(line.calls for line in lines.values()) == len(made)
    assert sum(line.borne for line in lines.values()) == 2 * len(made)
