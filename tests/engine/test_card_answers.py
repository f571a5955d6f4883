"""A card's three answers: why it was refused, where its money went, what a call would cost; against oracles."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from datetime import timedelta
from fractions import Fraction
from math import floor
from typing import Any

import pytest
from sqlalchemy import select, text

from engine.calls import destinations
from engine.calls.answers import TOLD, refusals_of
from engine.calls.control import Authorized
from engine.calls.costs import cost_of, cost_said
from engine.calls.ending import end_call
from engine.calls.rating import charge
from engine.calls.spending import Part, part_said, spending_of, spending_said
from engine.calls.sweep import sweep
from engine.cards import binding, lifecycle
from engine.cards.attempts import attempts_of, guard_of
from engine.db import Database
from engine.errors import InvalidInput, NotFound
from engine.funds import fees, recharges, transfers
from engine.refusal import Refusal
from engine.schema import Cdr, CdrCorrection
from engine.stock import custody
from engine.stock.custody import Range
from engine.vault import Vault
from tests import scenes
from tests.engine.test_card_timeline import plain
from tests.scenes import BANGLADESH, BRITAIN, NOW, OPERATOR, USD, Line, TestCard

RATES = """prefix,destination,price,connect_fee,first_increment,increment,grace
880,Bangladesh,0.0150,0.05,60,60,0
8801,Bangladesh mobile,0.0333,0,30,6,0
44,Britain,0.02,0,1,1,3
"""
CALLER = "447700900123"


@pytest.fixture
def line(db: Database, vault: Vault) -> Line:
    return Line(db, vault, scenes.switch(db, "gw"))


def talk(line: Line, card: TestCard, number: str, seconds: float, ref: str, **more: Any) -> None:
    line.open(card, number, ref=ref, **more)
    if seconds:
        line.answer(ref)
    line.later(seconds)
    line.end(ref, seconds=seconds)
    line.later(5)


# --- where the money went ---


def oracle(db: Database, card: TestCard) -> dict[str, int]:
    """The calls taken apart one by one, with fractions; the rounding is what is left of what was charged."""
    found: dict[str, Fraction] = dict.fromkeys(
        ("talk", "steps", "connect", "access", "post_call", "borne"), Fraction()
    )
    charged = 0
    with db.begin() as session:
        own = (CdrCorrection.card_id == Cdr.card_id) & (CdrCorrection.cdr_id == Cdr.id)
        rows = session.execute(
            select(Cdr, CdrCorrection).outerjoin(CdrCorrection, own).where(Cdr.card_id == card.id)
        )
        for cdr, corrected in rows:
            last = corrected or cdr
            if not last.cost:
                continue
            charged += last.charged
            minutes = Fraction(last.duration_s, 60)
            found["talk"] += (cdr.price_per_minute - cdr.access_per_minute) * minutes
            found["access"] += cdr.access_per_minute * minutes + cdr.access_per_call
            found["steps"] += cdr.price_per_minute * (Fraction(last.billed_s, 60) - minutes)
            found["connect"] += cdr.connect_fee - cdr.access_per_call - cdr.post_call_fee
            found["post_call"] += cdr.post_call_fee
            found["borne"] += last.charged - last.cost
    whole = {name: floor(value + Fraction(1, 2)) for name, value in found.items()}
    whole["rounding"] = charged - sum(whole.values())
    return {name: value for name, value in whole.items() if value}


def check(db: Database, card: TestCard, *, since_recharge: bool = False) -> dict[str, int]:
    """The parts of an answer, which sum to what the card has now."""
    told = spending_of(db, card.serial, since_recharge=since_recharge)
    assert told.left == scenes.facts(db, card).balance
    assert told.had - told.spent == told.left
    amounts = [part.amount for part in told.parts]
    assert amounts == sorted(amounts, reverse=True)
    for said in spending_said(told):
        assert "{" not in said.plain(plain)
    return {part.kind: part.amount for part in told.parts}


def test_parts_are_those_of_an_oracle_and_sum_to_the_whole(db: Database, vault: Vault, line: Line) -> None:
    scenes.deck(db, RATES)
    access = scenes.access_number(db, per_minute="0.0071", per_call="0.013")
    card = scenes.card(db, vault, "40.00", post_call_fee=USD("0.011"))
    chance = random.Random(20261120)
    for number in range(40):
        talk(
            line,
            card,
            chance.choice((BANGLADESH, "88021234567", BRITAIN)),
            chance.choice((0, 1, 2, 7, 31, 59, 60, 61, 333)),
            f"c{number}",
            access_number=chance.choice((None, access)),
        )
    parts = check(db, card)
    assert parts == oracle(db, card)
    assert {"talk", "steps", "connect", "access", "post_call", "rounding"} == parts.keys()


def test_losses_corrections_fees_and_moves_have_their_places(db: Database, vault: Vault, line: Line) -> None:
    scenes.deck(db, RATES)
    order: dict[str, Any] = {"maintenance_fee": USD("0.40"), "maintenance_days": 30, "name": "May"}
    card, other = scenes.batch(db, vault, 2, "5.00", **order)
    talk(line, card, BRITAIN, 120, "a")
    # Nobody told how it ended; then somebody did.
    line.open(card, BRITAIN, ref="lost", one_shot=False)
    line.answer("lost")
    line.later(30).progress(30, "lost")
    line.later(4000)
    sweep(db, line.now)
    line.end("lost", seconds=600)
    line.open(card, BRITAIN, ref="by-hand", one_shot=False)
    line.answer("by-hand")
    line.later(45)
    end_call(db, switch="gw", call_ref="by-hand", reason="Stuck", actor=OPERATOR, now=line.now)
    fees.charge_due(db, line.now + timedelta(days=32))
    transfers.transfer(db, from_id=card.id, to_id=other.id, amount=USD("1"), actor=OPERATOR, now=line.now)
    recharges.adjust(db, card_id=card.id, amount=-USD("0.25"), reason="x", actor=OPERATOR, now=line.now)
    parts = check(db, card)
    assert {name: parts.pop(name) for name in ("fee", "transfer", "adjustment")} == {
        "fee": USD("0.40"),
        "transfer": USD("1"),
        "adjustment": USD("0.25"),
    }
    assert parts == oracle(db, card)
    # The other way round: what came is told apart from what went.
    assert [(part.kind, part.amount) for part in spending_of(db, other.serial).came] == [
        ("opening", USD("5")),
        ("transfer", USD("1")),
    ]


def test_what_the_operator_bore_was_not_the_cards(db: Database, vault: Vault, line: Line) -> None:
    card = scenes.card(db, vault, "0.10")
    line.open(card, BRITAIN, ref="long")
    line.answer("long")
    line.later(4000)
    line.end("long", seconds=3000)
    parts = check(db, card)
    assert parts == oracle(db, card)
    assert parts["borne"] == -(USD("1.00") - USD("0.10"))


def test_since_the_last_recharge_only_what_came_after_counts(db: Database, vault: Vault, line: Line) -> None:
    card = scenes.card(db, vault, "5.00")
    assert spending_of(db, card.serial, since_recharge=True).since is None
    talk(line, card, BRITAIN, 60, "before")
    line.open(card, BRITAIN, ref="over", one_shot=False)
    line.answer("over")
    line.later(20)
    recharges.recharge(db, card_id=card.id, amount=USD("2"), bonus=USD("1"), actor=OPERATOR, now=line.now)
    line.end("over", seconds=20)
    told = spending_of(db, card.serial, since_recharge=True)
    assert (told.since, told.base, told.calls, told.recharges) == (line.now, USD("7.98"), 1, 1)
    assert check(db, card, since_recharge=True) == {"talk": 6667, "rounding": 33}
    assert spending_of(db, card.serial).calls == 2


def test_a_correction_of_an_earlier_call_is_told_apart(db: Database, vault: Vault, line: Line) -> None:
    card = scenes.card(db, vault, "5.00")
    line.open(card, BRITAIN, ref="lost", one_shot=False)
    line.answer("lost")
    line.later(30).progress(30, "lost")
    line.later(4000)
    sweep(db, line.now)
    recharges.recharge(db, card_id=card.id, amount=USD("1"), actor=OPERATOR, now=line.now)
    line.end("lost", seconds=90)
    assert check(db, card, since_recharge=True) == {"earlier_calls": USD("0.02")}
    assert check(db, card) == oracle(db, card)


def test_the_sentence_names_the_biggest_causes_first(db: Database, vault: Vault, line: Line) -> None:
    scenes.deck(db, RATES)
    card = scenes.card(db, vault, "5.00")
    for number in range(3):
        talk(line, card, "88021234567", 20, f"c{number}")
    said = [sentence.plain(plain) for sentence in spending_said(spending_of(db, card.serial))]
    assert said == [
        "Of USD 5.00: USD 0.15 connect fees in 3 calls, USD 0.03 because calls are billed in steps of 60 s,"
        " USD 0.015 talk time in 3 calls.",
        "USD 4.805 are left.",
        "They talked 60 and were billed 180: USD 0.195 a minute talked in all, against a price of USD 0.015.",
    ]


def test_a_card_that_spent_nothing_says_so(db: Database, vault: Vault) -> None:
    card = scenes.card(db, vault, "5.00")
    told = spending_of(db, card.serial)
    assert [said.plain(plain) for said in spending_said(told)] == ["Nothing was spent; USD 5.00 are on it."]
    assert part_said(Part("talk", 1, 1), told).plain(plain) == "USD 0.000001 talk time in 1 call"
    with pytest.raises(NotFound):
        spending_of(db, "98765432103")


# --- what a call would cost ---


def test_a_cost_is_what_a_call_would_be_told(db: Database, vault: Vault, line: Line) -> None:
    scenes.deck(db, RATES + "1,America,0.01,0,1,1,0\n")
    listed = scenes.access_number(db, per_minute="0.0071", per_call="0.013")
    card = scenes.card(db, vault, "1.00", post_call_fee=USD("0.011"))
    numbers = (BANGLADESH, "88021234567", BRITAIN, "+1 900 555 1234", "33123456789", "12")
    through = 0
    for number, access in itertools.product(numbers, (None, listed)):
        told = cost_of(db, card.serial, number, line.now, access_number=access)
        assert all("{" not in said.plain(plain) for said in cost_said(told))
        real = line.authorize(card, number, access_number=access, ref=f"{number} {access}")
        if isinstance(real, Refusal):
            assert told.refused == real.reason
            continue
        through += 1
        assert told.refused is None
        assert told.rate is not None
        assert (told.lasts_s, told.rate.price_per_minute, told.rate.connect_fee) == (
            real.affordable_seconds,
            real.price_per_minute,
            real.connect_fee,
        )
        assert told.charges == tuple((minutes, charge(told.rate, minutes * 60)) for minutes in (1, 5, 10))
        line.end(f"{number} {access}", seconds=0)
    assert through == 6


def test_a_cost_says_why_this_rate_and_no_other(db: Database, vault: Vault) -> None:
    scenes.deck(
        db,
        "prefix,destination,price,effective_from\n880,Bangladesh,0.015,\n8801,Mobile,0.02,2027-01-01\n",
    )
    card = scenes.card(db, vault, "400.00")
    said = [one.plain(plain) for one in cost_said(cost_of(db, card.serial, BANGLADESH, NOW))]
    assert said[0] == f"A call to {BANGLADESH} would go through now."
    assert "the prefix 880 is the longest that fits in the deck Standard, at USD 0.015 a minute." in said[1]
    assert said[2] == "The prefix 8801 (Mobile) fits as well, but begins later."
    assert said[3] == "It could last 14400, the longest a call may; USD 400.00 are available."


@pytest.mark.parametrize(
    ("number", "barred", "allowed", "sentence"),
    [
        ("+19005551234", ["premium"], None, "the destination rules Strict bar premium."),
        (BRITAIN, ["Isles"], None, "the destination rules Strict bar Isles."),
        (BRITAIN, [], ["national"], "it is in none of the groups that the destination rules Strict allow."),
    ],
)
def test_a_barred_number_says_what_bars_it(
    db: Database, vault: Vault, number: str, barred: list[str], allowed: list[str] | None, sentence: str
) -> None:
    destinations.set_group(db, "Isles", ["44"], OPERATOR, NOW)
    rules = destinations.add_rules(db, "Strict", OPERATOR, NOW, barred=barred, allowed=allowed)
    card = scenes.card(db, vault, destination_rules="Strict")
    assert rules.name == "Strict"
    told = cost_of(db, card.serial, number, NOW)
    assert told.barred
    assert cost_said(told)[0].plain(plain).endswith(sentence)


def test_a_locked_card_has_a_price_all_the_same(db: Database, vault: Vault) -> None:
    card = scenes.card(db, vault)
    lifecycle.lock(db, card_id=card.id, reason="Lost", actor=OPERATOR, now=NOW)
    said = [one.plain(plain) for one in cost_said(cost_of(db, card.serial, BRITAIN, NOW))]
    assert said[0] == f"A call to {BRITAIN} would be refused now. The card is locked."
    assert "USD 0.02 a minute" in said[1]


# --- why it was refused ---

Scene = Callable[[Database, Vault, Line, TestCard], None]


def _lock(db: Database, vault: Vault, line: Line, card: TestCard) -> None:
    lifecycle.lock(db, card_id=card.id, reason="Lost", actor=OPERATOR, now=line.now)


def _unlock(db: Database, vault: Vault, line: Line, card: TestCard) -> None:
    lifecycle.unlock(db, vault, card_id=card.id, actor=OPERATOR, now=line.now)


def _expire(db: Database, vault: Vault, line: Line, card: TestCard) -> None:
    line.authorize(card, ref="first", caller=CALLER)
    line.end("first", seconds=0)
    line.later(100 * 86_400)


def _extend(db: Database, vault: Vault, line: Line, card: TestCard) -> None:
    lifecycle.extend(db, card_id=card.id, days=10, actor=OPERATOR, now=line.now)


def _hold_back(db: Database, vault: Vault, line: Line, card: TestCard) -> None:
    custody.hold_back(db, Range(card.id, card.id), OPERATOR, line.now)


def _activate(db: Database, vault: Vault, line: Line, card: TestCard) -> None:
    custody.activate(db, Range(card.id, card.id), OPERATOR, line.now)


def _bind_other(db: Database, vault: Vault, line: Line, card: TestCard) -> None:
    binding.bind(db, card_id=card.id, caller="+491711234567", actor=OPERATOR, now=line.now)


def _bind(db: Database, vault: Vault, line: Line, card: TestCard) -> None:
    binding.unbind(db, card_id=card.id, caller="+491711234567", actor=OPERATOR, now=line.now)
    binding.bind(db, card_id=card.id, caller=f"+{CALLER}", actor=OPERATOR, now=line.now)


def _spend(db: Database, vault: Vault, line: Line, card: TestCard) -> None:
    recharges.adjust(db, card_id=card.id, amount=-USD("4.9999"), reason="x", actor=OPERATOR, now=line.now)


def _empty(db: Database, vault: Vault, line: Line, card: TestCard) -> None:
    recharges.adjust(db, card_id=card.id, amount=-USD("5"), reason="x", actor=OPERATOR, now=line.now)


def _recharge(db: Database, vault: Vault, line: Line, card: TestCard) -> None:
    recharges.recharge(db, card_id=card.id, amount=USD("1"), actor=OPERATOR, now=line.now)


def _bar(db: Database, vault: Vault, line: Line, card: TestCard) -> None:
    destinations.change_rules(db, "Standard", OPERATOR, line.now, barred=["international"])


def _free(db: Database, vault: Vault, line: Line, card: TestCard) -> None:
    destinations.change_rules(db, "Standard", OPERATOR, line.now, barred=["premium"])


def _call(db: Database, vault: Vault, line: Line, card: TestCard) -> None:
    line.open(card, ref="other", caller=CALLER)


def _hang_up(db: Database, vault: Vault, line: Line, card: TestCard) -> None:
    line.end("other", seconds=0)


SCENES: dict[str, tuple[Scene, Scene, str, str]] = {
    "locked": (_lock, _unlock, "It had been locked on", "staff:1: Unlocked."),
    "expired": (_expire, _extend, "Its validity had lasted until 20", "staff:1: Extended by 10 days"),
    "not_activated": (_hold_back, _activate, "held back and not activated", "Now it would be let through."),
    "caller_not_bound": (_bind_other, _bind, f"{CALLER} is not a phone", f"staff:1: Bound to {CALLER}."),
    "insufficient_balance": (
        _spend,
        _recharge,
        "Its balance of USD 0.0001 did not pay",
        "Recharged with USD 1.00.",
    ),
    "empty": (_empty, _recharge, "Its balance was zero.", "Recharged with USD 1.00."),
    "destination_barred": (_bar, _free, "Its destination rules barred", "Now it would be let through."),
    "too_many_calls": (_call, _hang_up, "It was in as many calls", "Now it would be let through."),
}


def test_a_refusal_tells_what_was_so_then_and_what_is_so_now(db: Database, vault: Vault, line: Line) -> None:
    for reason, (before, after, then, now) in SCENES.items():
        bound = {"binding": "single", "auto_bind": False} if reason == "caller_not_bound" else {}
        card = scenes.card(db, vault, "5.00", grace_days=400, name=reason, now=line.now, **bound)
        before(db, vault, line, card)
        answer = line.later(60).authorize(card, ref=f"{reason} refused", caller=CALLER)
        assert answer == Refusal(reason, serial=card.serial)
        told = refusals_of(db, vault, card.serial, line.now).tries[0]
        assert told.attempt.reason == reason
        assert then in told.then.plain(plain)
        assert not told.through
        assert "Now it would be refused as well." in told.now.plain(plain)
        after(db, vault, line.later(60), card)
        told = refusals_of(db, vault, card.serial, line.later(60).now, caller=f"+{CALLER}").tries[0]
        assert told.through, told.now.plain(plain)
        assert now in told.now.plain(plain)
        assert isinstance(line.authorize(card, ref=f"{reason} now", caller=CALLER), Authorized), "and it is"
        line.end(f"{reason} now", seconds=0)


def test_another_reason_is_said_to_be_another(db: Database, vault: Vault, line: Line) -> None:
    card = scenes.card(db, vault)
    _lock(db, vault, line, card)
    line.later(5).authorize(card, caller=CALLER)
    _unlock(db, vault, line, card)
    _empty(db, vault, line, card)
    told = refusals_of(db, vault, card.serial, line.later(5).now).tries[0]
    assert not told.through
    assert told.now.plain(plain).startswith(
        "Now it would be refused for another reason. There is nothing left"
    )


def test_wrong_passwords_wait_as_long_as_the_delay_runs(db: Database, vault: Vault, line: Line) -> None:
    card = scenes.card(db, vault)
    for _ in range(4):
        line.later(1).authenticate(card.with_password("0"), caller=CALLER)
    guard = guard_of(db, vault, card.serial, line.now)
    assert guard is not None
    assert (guard.failures, guard.wait_s, guard.free, guard.locks_at) == (4, 2, 3, 20)
    told = refusals_of(db, vault, card.serial, line.now).tries[0]
    assert told.then.plain(plain) == "The number was right and the password was wrong."
    assert (told.through, told.now.plain(plain)) == (False, "Nobody new is heard for 2 more.")
    told = refusals_of(db, vault, card.serial, line.later(10).now).tries[0]
    assert told.through
    line.authenticate(card)
    after = guard_of(db, vault, card.serial, line.now)
    assert after is not None
    assert (after.failures, after.wait_s) == (0, 0)


def test_nobody_refused_says_what_a_call_would_meet(db: Database, vault: Vault, line: Line) -> None:
    card = scenes.card(db, vault, binding="single", auto_bind=False)

    def today(caller: str | None = None) -> str:
        told = refusals_of(db, vault, card.serial, line.now, caller=caller)
        assert told.tries == ()
        assert told.today is not None
        return told.today.plain(plain)

    assert today() == "With the right password it would be let through now."
    assert today("+447700900123") == "A call would be refused now. The card can't be used from this phone."
    _empty(db, vault, line, card)
    assert "its balance is zero" in today()
    with pytest.raises(InvalidInput, match="bad_caller"):
        refusals_of(db, vault, card.serial, line.now, caller="nobody")


def test_only_the_tries_of_the_caller_that_is_asked_for(db: Database, vault: Vault, line: Line) -> None:
    card = scenes.card(db, vault)
    _lock(db, vault, line, card)
    for caller in (CALLER, "491711234567", CALLER):
        line.later(5).authorize(card, caller=caller)
    mine = refusals_of(db, vault, card.serial, line.now, caller="+44 7700 900123")
    assert (mine.caller, [told.attempt.caller for told in mine.tries]) == (CALLER, [CALLER, CALLER])
    first, older = attempts_of(db, card.serial, limit=2)
    assert len(first) == 2
    assert older is not None
    rest, end = attempts_of(db, card.serial, before=older, limit=2)
    assert (len(rest), end) == (1, None)
    assert {one.source for one in (*first, *rest)} == {"switch gw"}


def test_asking_leaves_no_trace(db: Database, vault: Vault, line: Line) -> None:
    card = scenes.card(db, vault, binding="single")
    line.authorize(card.with_password("0"), caller=CALLER)

    def state() -> Any:
        tables = (
            "card",
            "attempt",
            "call",
            "binding",
            "failure_counter",
            "known_source",
            "card_event",
            "audit",
        )
        with db.begin() as session:
            return [session.execute(text(f"SELECT md5(string_agg(t::text, '|')) FROM {one} t")).scalar() for one in tables]  # fmt: skip  # noqa: E501

    before = state()
    refusals_of(db, vault, card.serial, line.now, caller=f"+{CALLER}")
    cost_of(db, card.serial, BRITAIN, line.now)
    spending_of(db, card.serial)
    assert state() == before


def test_every_reason_that_a_try_may_have_is_told() -> None:
    from engine.errors import REASONS

    inner = {"wrong_password", "token_dead", "caller_unknown"}
    assert (set(REASONS) - {"bad_credentials"}) | inner <= TOLD
