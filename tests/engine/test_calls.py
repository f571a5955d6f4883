"""A call from authorize to end: what is held, what is charged, and what a repeated or late message does."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, text

from engine.calls.access_numbers import add_access_number
from engine.calls.control import Authorized
from engine.calls.sweep import sweep
from engine.db import Database
from engine.errors import Conflict, InvalidInput, NotFound
from engine.refusal import Refusal
from engine.schema import Call, Cdr, LedgerEntry
from engine.vault import Vault
from tests import scenes
from tests.scenes import BRITAIN, NOW, OPERATOR, USD, Line, TestCard, facts

MINUTES = """prefix,destination,price,connect fee,first increment,increment
880,Bangladesh,0.0150,0,60,60
44,United Kingdom,0.0200,0.0500,30,6
"""


@pytest.fixture
def line(db: Database, vault: Vault) -> Line:
    """A switch, before a deck that bills Bangladesh by the minute and Britain by 30 and 6 seconds."""
    scenes.deck(db, MINUTES)
    return Line(db, vault, scenes.switch(db))


@pytest.fixture
def card(db: Database, vault: Vault, line: Line) -> TestCard:
    return scenes.card(db, vault, "5.00")


def cdr(db: Database, ref: str = "call-1") -> Cdr:
    with db.begin() as session:
        return session.scalars(select(Cdr).where(Cdr.call_ref == ref)).one()


def entries(db: Database, card: TestCard) -> list[tuple[str, str, int]]:
    with db.begin() as session:
        rows = session.scalars(
            select(LedgerEntry).where(LedgerEntry.card_id == card.id).order_by(LedgerEntry.id)
        )
        return [(row.kind, row.account, row.amount) for row in rows]


def reason(answer: Authorized | Refusal) -> str:
    assert isinstance(answer, Refusal), answer
    return answer.reason


# --- the ordinary call ---


def test_authorize_holds_the_charge_of_all_that_is_affordable_where_the_switch_will_not_ask_again(
    db: Database, line: Line, card: TestCard
) -> None:
    answer = line.open(card)
    assert (answer.max_seconds, answer.affordable_seconds) == (14_400, 14_400)
    assert (answer.price_per_minute, answer.connect_fee) == (USD("0.015"), 0)
    assert (answer.destination_name, answer.balance, answer.currency) == ("Bangladesh", USD("5"), "USD")
    assert facts(db, card).held == USD("3.60")


def test_authorize_grants_a_slice_where_the_switch_will_ask_again(
    db: Database, line: Line, card: TestCard
) -> None:
    answer = line.open(card, one_shot=False)
    assert (answer.max_seconds, answer.affordable_seconds) == (600, 14_400)
    assert facts(db, card).held == USD("0.15")


def test_end_call_charges_whole_increments_and_releases_the_rest(
    db: Database, line: Line, card: TestCard
) -> None:
    line.open(card)
    line.later(5).answer()
    ended = line.later(61).end(seconds=61)
    assert (ended.charged, ended.billed_seconds, ended.balance) == (USD("0.03"), 120, USD("4.97"))
    after = facts(db, card)
    assert (after.balance, after.held, after.live_calls) == (USD("4.97"), 0, 0)
    assert entries(db, card) == [("opening", "sales", USD("5")), ("usage", "usage", USD("-0.03"))]
    kept = cdr(db)
    assert (kept.duration_ms, kept.duration_s, kept.billed_s, kept.cost) == (61_000, 61, 120, USD("0.03"))
    assert (kept.balance_after, kept.cause, kept.flags) == (USD("4.97"), 16, [])
    with db.begin() as session:
        assert session.scalar(select(Call.id)) is None


def test_a_call_that_was_not_answered_costs_nothing(db: Database, line: Line, card: TestCard) -> None:
    line.open(card, BRITAIN)
    ended = line.later(20).end(seconds=0, cause=19)
    assert (ended.charged, ended.billed_seconds, ended.balance) == (0, 0, USD("5"))
    assert cdr(db).answered_at is None


@pytest.mark.parametrize(("reported", "billed"), [(7.004, 7), (7.2, 7), (7.201, 8), (0.1, 0), (59.9, 60)])
def test_a_fraction_of_up_to_a_fifth_of_a_second_is_not_billed(
    db: Database, vault: Vault, reported: float, billed: int
) -> None:
    scenes.deck(db, {"880": "0.60"})
    line = Line(db, vault, scenes.switch(db))
    line.open(scenes.card(db, vault))
    assert line.later(120).end(seconds=reported).billed_seconds == billed


def test_fees_of_access_number_and_batch_are_announced_charged_and_explained(
    db: Database, vault: Vault, line: Line
) -> None:
    add_access_number(
        db,
        "18005550100",
        name="Toll-free",
        country="US",
        per_minute=USD("0.01"),
        per_call=USD("0.02"),
        actor=OPERATOR,
        now=NOW,
    )
    card = scenes.card(db, vault, "1.00", post_call_fee=USD("0.03"))
    answer = line.open(card, BRITAIN, access_number="18005550100")
    assert (answer.price_per_minute, answer.connect_fee) == (USD("0.03"), USD("0.10"))
    # 0.10 of fees leave 0.90 at 0.03 a minute: half an hour.
    assert answer.affordable_seconds == 1_800
    ended = line.later(40).end(seconds=31)
    assert ended.charged == USD("0.118")
    sentence = line.show().explanation or ""
    for part in ("31 s of talk", "36 s", "access number fee", "post-call fee", "connect fee USD 0.05"):
        assert part in sentence


# --- refusals ---


def test_refusals_that_the_destination_causes(db: Database, vault: Vault, line: Line) -> None:
    card = scenes.card(db, vault)
    assert reason(line.authorize(card, "12")) == "destination_invalid"
    assert reason(line.authorize(card, "911")) == "destination_invalid"
    assert reason(line.authorize(card, "500&PJSIP/x")) == "destination_invalid"
    assert reason(line.authorize(card, "4930901820000")) == "destination_unknown"
    assert reason(line.authorize(card, "449098790000")) == "destination_barred"
    assert reason(line.authorize(card, "881612345678")) == "destination_barred"
    with db.begin() as session:
        kept = session.execute(text("SELECT reason, count(*) FROM attempt GROUP BY 1 ORDER BY 1")).all()
    assert kept == [("destination_barred", 2), ("destination_invalid", 3), ("destination_unknown", 1)]


def test_a_balance_that_does_not_cover_the_first_increment_is_refused_before_the_phone_rings(
    db: Database, vault: Vault, line: Line
) -> None:
    card = scenes.card(db, vault, "0.0149")
    assert reason(line.authorize(card)) == "insufficient_balance"
    assert facts(db, card).held == 0
    assert reason(line.authorize(scenes.card(db, vault, "0", name="Nothing"))) == "empty"


def test_one_call_at_a_time_and_ten_parallel_authorizations_open_one(
    db: Database, line: Line, card: TestCard
) -> None:
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda n: line.authorize(card, ref=f"call-{n}", one_shot=False), range(10)))
    opened = [answer for answer in answers if isinstance(answer, Authorized)]
    assert len(opened) == 1
    assert {answer.reason for answer in answers if isinstance(answer, Refusal)} == {"too_many_calls"}


def test_two_calls_can_never_spend_the_same_cent(db: Database, vault: Vault, line: Line) -> None:
    card = scenes.card(db, vault, "0.03", concurrency=8)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: line.authorize(card, ref=f"call-{n}"), range(8)))
    held = sum(answer.max_seconds // 60 for answer in answers if isinstance(answer, Authorized))
    assert held == 2  # two minutes are all that three cents buy
    assert facts(db, card).held == USD("0.03")


def test_a_card_that_is_locked_damaged_expired_or_held_back_makes_no_call(
    db: Database, vault: Vault, line: Line
) -> None:
    cards = scenes.batch(db, vault, 3)
    changes = {
        "locked": "locked_at = :now, locked_by = 'staff:1'",
        "damaged": "damaged_at = :now, damaged_by = 'staff:1'",
        "expired": "expires_at = :now",
    }
    for card, (expected, change) in zip(cards, changes.items(), strict=True):
        with db.begin() as session:
            session.execute(text(f"UPDATE card SET {change} WHERE id = :id"), {"id": card.id, "now": NOW})
        assert reason(line.authorize(card, ref=expected)) == expected
    held_back = scenes.card(db, vault, name="Held back", release="activation")
    assert reason(line.authorize(held_back, ref="x")) == "not_activated"


# --- repeated and conflicting messages ---


def test_a_repeated_message_gets_the_first_answer(db: Database, line: Line, card: TestCard) -> None:
    first = line.open(card)
    assert line.later(1).open(card) == first
    line.answer()
    line.later(3).answer()
    ended = line.later(60).end(seconds=60)
    assert line.later(5).end(seconds=60) == ended
    assert line.open(card) == first
    with pytest.raises(Conflict, match="call_ended"):
        line.progress(60)
    assert len(entries(db, card)) == 2
    assert facts(db, card).live_calls == 0


def test_the_same_call_ref_with_other_facts_is_a_conflict(db: Database, vault: Vault, line: Line) -> None:
    one, other = scenes.batch(db, vault, 2)
    line.open(one)
    with pytest.raises(Conflict, match="call_ref_conflict"):
        line.authorize(other)
    with pytest.raises(Conflict, match="call_ref_conflict"):
        line.authorize(one, BRITAIN)
    line.later(60).end(seconds=50)
    with pytest.raises(Conflict, match="call_ref_conflict"):
        line.end(seconds=51)
    with pytest.raises(Conflict, match="call_ref_conflict"):
        line.authorize(one, BRITAIN)


def test_racing_duplicates_of_every_message_count_once(db: Database, line: Line, card: TestCard) -> None:
    with ThreadPoolExecutor(8) as pool:
        opened = list(pool.map(lambda _: line.authorize(card), range(8)))
        line.later(61)
        list(pool.map(lambda _: line.answer(at=NOW + timedelta(seconds=1)), range(8)))
        ended = list(pool.map(lambda _: line.end(seconds=60), range(8)))
    assert len(set(opened)) == 1
    assert isinstance(opened[0], Authorized)
    assert len(set(ended)) == 1
    assert entries(db, card)[1:] == [("usage", "usage", USD("-0.015"))]


def test_switches_do_not_see_each_others_calls(
    db: Database, vault: Vault, line: Line, card: TestCard
) -> None:
    line.open(card)
    stranger = Line(db, vault, scenes.switch(db, "Other"))
    for message in (
        stranger.answer,
        stranger.show,
        lambda: stranger.end(seconds=1),
        lambda: stranger.progress(1),
    ):
        with pytest.raises(NotFound, match="call_not_found"):
            message()


def test_an_answer_long_before_the_call_began_is_an_error(line: Line, card: TestCard) -> None:
    line.open(card)
    with pytest.raises(InvalidInput, match="answered_before_start"):
        line.answer(at=NOW - timedelta(hours=1))


# --- slices ---


def test_progress_extends_the_slice_while_the_balance_lasts_and_warns_before_it_ends(
    db: Database, vault: Vault, line: Line
) -> None:
    card = scenes.card(db, vault, "0.24")  # sixteen minutes
    line.open(card, one_shot=False)
    line.answer()
    half = line.later(540).progress(540)
    assert (half.max_seconds, half.low_balance, half.remaining_seconds) == (960, False, 420)
    assert facts(db, card).held == USD("0.24")
    late = line.later(361).progress(901)
    assert (late.max_seconds, late.low_balance, late.remaining_seconds) == (960, True, 59)
    assert line.later(59).end(seconds=960).balance == 0


def test_a_recharge_during_the_call_extends_it_at_the_next_progress(
    db: Database, vault: Vault, line: Line
) -> None:
    from engine.funds import ledger

    card = scenes.card(db, vault, "0.015")
    assert line.open(card).max_seconds == 60
    with db.begin() as session:
        ledger.post(
            session,
            card_id=card.id,
            amount=USD("0.015"),
            account=ledger.ADJUSTMENT,
            kind="adjustment",
            reference="test",
            actor=OPERATOR,
            now=NOW,
        )
    assert line.later(30).progress(30).max_seconds == 120


def test_a_lock_lets_a_live_call_run_to_the_end_of_what_was_granted(
    db: Database, line: Line, card: TestCard
) -> None:
    line.open(card, one_shot=False)
    with db.begin() as session:
        session.execute(text("UPDATE card SET locked_at = :now, locked_by = 'staff:1'"), {"now": NOW})
    progress = line.later(500).progress(500)
    assert (progress.max_seconds, progress.remaining_seconds) == (600, 100)
    assert line.later(100).end(seconds=600).charged == USD("0.15")


def test_expiry_does_not_cut_a_live_call(db: Database, line: Line, card: TestCard) -> None:
    line.open(card, one_shot=False)
    with db.begin() as session:
        session.execute(text("UPDATE card SET expires_at = :now"), {"now": NOW})
    assert line.later(500).progress(500).max_seconds == 1_100


def test_late_and_repeated_progress_never_shrinks_a_grant(line: Line, card: TestCard) -> None:
    line.open(card, one_shot=False)
    line.later(600)
    assert line.progress(590).max_seconds == 1_190
    assert line.progress(300).max_seconds == 1_190
    assert line.progress(590).max_seconds == 1_190


# --- overruns and forged durations ---


def test_a_call_cut_two_seconds_late_bills_as_its_grant(db: Database, vault: Vault, line: Line) -> None:
    card = scenes.card(db, vault, "0.03")
    assert line.open(card).max_seconds == 120
    ended = line.later(130).end(seconds=121.9)
    assert (ended.charged, ended.balance) == (USD("0.03"), 0)
    assert cdr(db).flags == []


def test_an_overrun_is_paid_as_far_as_the_card_can_and_the_rest_is_the_operators_loss(
    db: Database, vault: Vault, line: Line
) -> None:
    card = scenes.card(db, vault, "0.04")
    assert line.open(card).max_seconds == 120
    ended = line.later(310).end(seconds=300)
    assert (ended.charged, ended.balance) == (USD("0.04"), 0)
    kept = cdr(db)
    assert (kept.cost, kept.charged) == (USD("0.075"), USD("0.04"))
    assert set(kept.flags) == {"overrun", "overrun_loss"}
    assert entries(db, card)[1:] == [
        ("overrun", "overrun_loss", USD("0.035")),
        ("usage", "usage", USD("-0.075")),
    ]


def test_a_forged_duration_is_capped_at_the_time_that_passed_and_flagged(
    db: Database, line: Line, card: TestCard
) -> None:
    line.open(card, one_shot=False)
    ended = line.later(100).end(seconds=10**9)
    assert ended.billed_seconds == 120  # 105 seconds, by the minute
    assert "duration_capped" in cdr(db).flags


# --- the sweep ---


def test_a_one_shot_call_is_swept_at_its_first_increment_if_answered_and_for_nothing_if_not(
    db: Database, vault: Vault, line: Line
) -> None:
    answered, silent = scenes.batch(db, vault, 2, "0.06")
    line.open(answered, ref="answered")
    line.open(silent, ref="silent")
    line.answer("answered")
    assert sweep(db, line.later(240 + 179).now).switches == {}
    swept = sweep(db, line.later(1).now)
    assert (swept.settled, swept.voided, swept.switches) == (1, 1, {line.switch.id: 2})
    assert facts(db, answered).balance == USD("0.045")
    assert facts(db, silent).balance == USD("0.06")
    assert cdr(db, "silent").flags == ["swept"]
    assert sweep(db, line.later(9_999).now).switches == {}


def test_a_sliced_call_is_swept_at_its_last_confirmed_usage(db: Database, line: Line, card: TestCard) -> None:
    line.open(card, one_shot=False)
    line.answer()
    line.later(300).progress(300)
    assert sweep(db, line.later(600 + 59).now).switches == {}
    sweep(db, line.later(1).now)
    assert facts(db, card).balance == USD("4.925")
    assert cdr(db).duration_s == 300


@pytest.mark.parametrize(("seconds", "balance"), [(120, "4.97"), (0, "5"), (60, "4.985")])
def test_an_end_after_the_sweep_corrects_it_by_an_adjusting_entry(
    db: Database, line: Line, card: TestCard, seconds: int, balance: str
) -> None:
    line.open(card)
    line.answer()
    sweep(db, line.later(14_400 + 180).now)
    assert facts(db, card).balance == USD("4.985")
    ended = line.later(3_600).end(seconds=seconds)
    assert ended.balance == USD(balance)
    assert line.end(seconds=seconds) == ended
    assert facts(db, card).balance == USD(balance)
    assert cdr(db).flags == ["swept"]
    shown = line.show()
    assert (shown.duration_seconds, shown.charged) == (seconds, USD("5") - USD(balance))
    with pytest.raises(Conflict, match="call_ref_conflict"):
        line.end(seconds=seconds + 1)


def test_a_late_end_that_the_card_cannot_pay_is_the_operators_loss(
    db: Database, vault: Vault, line: Line
) -> None:
    card = scenes.card(db, vault, "0.03")
    line.open(card, ref="a")
    line.answer("a")
    sweep(db, line.later(120 + 180).now)
    line.open(card, ref="b")  # holds what is left
    ended = line.later(10).end("a", seconds=120)
    assert (ended.charged, ended.balance) == (USD("0.015"), USD("0.015"))
    assert line.later(50).end("b", seconds=60).balance == 0


def test_an_end_more_than_a_day_after_the_sweep_changes_nothing(
    db: Database, line: Line, card: TestCard
) -> None:
    line.open(card)
    sweep(db, line.later(20_000).now)
    with pytest.raises(Conflict, match="end_too_late"):
        line.later(86_401).end(seconds=60)
    assert facts(db, card).balance == USD("5")


def test_a_rate_is_fixed_at_authorization_whatever_is_imported_meanwhile(
    db: Database, line: Line, card: TestCard
) -> None:
    line.open(card)
    scenes.deck(db, {"880": "9"}, now=NOW + timedelta(seconds=10))
    assert line.later(60).end(seconds=60).charged == USD("0.015")
    assert line.open(card, ref="call-2").price_per_minute == USD("9")


def test_every_message_of_a_call_that_never_was_is_not_found(line: Line) -> None:
    messages: list[Any] = [line.answer, line.show, lambda: line.end(seconds=1), lambda: line.progress(1)]
    for message in messages:
        with pytest.raises(NotFound, match="call_not_found"):
            message()
