"""Limits on failures: by number, by caller, over all cards; what a try costs, and what of a flood is kept."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from sqlalchemy import func, select, text

from engine import limits
from engine.alarms import clear_alarm, open_alarms
from engine.calls.control import Authorized, Credentials
from engine.cards.authentication import Authenticated
from engine.cards.guesses import THROTTLED_ROWS
from engine.config import Keys
from engine.db import Database
from engine.errors import InvalidInput
from engine.refusal import Refusal
from engine.schema import Attempt, FailureCounter
from engine.vault import Secret, Vault
from tests import scenes
from tests.scenes import NOW, OPERATOR, Line, TestCard, facts

HOME, OTHER, THIRD = "15551230001", "15551230002", "15551230003"
WRONG = "0" * 8
BAD = Refusal("bad_credentials")
RACERS = 12


class CountingVault(Vault):
    """A vault that counts the digests of passwords that it computes."""

    def __init__(self, keys: Keys) -> None:
        super().__init__(keys)
        self.digests = 0
        self._counting = threading.Lock()

    def digest(self, number: str, password: str, version: int | None = None) -> bytes:
        with self._counting:
            self.digests += 1
        return super().digest(number, password, version)


@pytest.fixture
def counting(keys: Keys) -> CountingVault:
    return CountingVault(keys)


@pytest.fixture
def line(db: Database, counting: CountingVault) -> Line:
    scenes.deck(db)
    return Line(db, counting, scenes.switch(db))


@pytest.fixture
def card(db: Database, vault: Vault, line: Line) -> TestCard:
    return scenes.card(db, vault)


def nobody(n: int = 0) -> Credentials:
    """A number that no card has."""
    return Credentials(f"99{n:010}", Secret(WRONG))


def reason(answer: Any) -> str:
    assert isinstance(answer, Refusal), answer
    return answer.reason


def ok(answer: Authenticated | Authorized | Refusal) -> None:
    assert not isinstance(answer, Refusal), answer


def kinds(db: Database) -> Counter[str]:
    return Counter(alarm.kind for alarm in open_alarms(db))


def kept(db: Database) -> dict[str, int]:
    """Tries by their inner reason."""
    with db.begin() as session:
        rows = session.execute(select(Attempt.reason, func.sum(Attempt.times)).group_by(Attempt.reason)).all()
    return {row[0]: int(row[1]) for row in rows}


def rows_of(db: Database, table: str) -> int:
    with db.begin() as session:
        return session.scalar(text(f"SELECT count(*) FROM {table}")) or 0


@contextmanager
def watched_sql() -> Iterator[list[str]]:
    """Everything that is sent to the database meanwhile."""
    sent: list[str] = []
    real = psycopg.Cursor.execute

    def execute(cursor: Any, query: Any, *args: Any, **more: Any) -> Any:
        sent.append(str(query))
        return real(cursor, query, *args, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(psycopg.Cursor, "execute", execute)
        yield sent


def at_once(act: Callable[[int], Any], racers: int = RACERS) -> list[Any]:
    """`act` of each racer, all at the same instant."""
    gate = threading.Barrier(racers)

    def race(racer: int) -> Any:
        gate.wait(20)
        return act(racer)

    with ThreadPoolExecutor(racers) as pool:
        return list(pool.map(race, range(racers)))


# --- callers ---


def test_a_caller_may_fail_six_times_in_ten_minutes_on_whatever_numbers(
    db: Database, vault: Vault, line: Line, counting: CountingVault
) -> None:
    cards = scenes.batch(db, vault, 4)
    tries = [card.with_password(WRONG) for card in cards] + [nobody(n) for n in range(4)]
    answers = [line.authenticate(who, HOME) for who in tries]
    assert answers == [BAD] * 6 + [Refusal("throttled", retry_after_s=600)] * 2
    assert counting.digests == 6, "what is not heard is not compared"
    assert line.later(300).authorize(cards[0], caller=HOME) == Refusal("throttled", retry_after_s=300)
    ok(line.authenticate(cards[0], OTHER))
    ok(line.later(300).authenticate(cards[0], HOME))


def test_the_next_window_begins_with_the_next_failure(line: Line) -> None:
    line.authenticate(nobody(), HOME)
    line.later(599)
    assert [line.authenticate(nobody(n), HOME) for n in range(1, 6)] == [BAD] * 5
    assert line.authenticate(nobody(6), HOME) == Refusal("throttled", retry_after_s=1)
    line.later(1)
    assert [line.authenticate(nobody(n), HOME) for n in range(10, 16)] == [BAD] * 6
    assert line.authenticate(nobody(16), HOME) == Refusal("throttled", retry_after_s=600)


def test_a_caller_who_was_right_on_a_card_before_is_not_held_up_by_others_on_the_same_phone(
    db: Database, vault: Vault, line: Line
) -> None:
    mine, other = scenes.batch(db, vault, 2)
    ok(line.authenticate(mine, HOME))
    for n in range(6):
        line.authenticate(nobody(n), HOME)
    assert reason(line.authenticate(other, HOME)) == "throttled"
    ok(line.authenticate(mine, HOME))
    answers = [reason(line.authenticate(mine.with_password(WRONG), HOME)) for _ in range(5)]
    assert answers == ["bad_credentials"] * 4 + ["throttled"]


def test_what_a_known_caller_gets_wrong_on_its_card_counts_against_nobody_else(
    db: Database, vault: Vault, line: Line
) -> None:
    mine, other = scenes.batch(db, vault, 2)
    ok(line.authenticate(mine, HOME))
    for _ in range(8):
        line.later(300).authenticate(mine.with_password(WRONG), HOME)
    ok(line.authenticate(other, HOME))


def test_a_right_password_clears_no_callers_window(db: Database, vault: Vault, line: Line) -> None:
    mine = scenes.card(db, vault)
    for n in range(6):
        line.authenticate(nobody(n), HOME)
        if n < 5:
            ok(line.authenticate(mine, HOME))
    assert reason(line.authenticate(nobody(7), HOME)) == "throttled"


def test_a_withheld_caller_is_nobody_to_limit_but_the_number_still_is(line: Line, card: TestCard) -> None:
    assert [line.authenticate(nobody(n), "anonymous") for n in range(20)] == [BAD] * 20
    assert [line.authenticate(nobody(n)) for n in range(20, 40)] == [BAD] * 20
    answers = [reason(line.authenticate(card.with_password(WRONG))) for _ in range(6)]
    assert answers == ["bad_credentials"] * 4 + ["throttled"] * 2


def test_no_switch_is_throttled_whatever_its_callers_do(db: Database, vault: Vault, line: Line) -> None:
    cards = scenes.batch(db, vault, 5)
    for n in range(200):
        assert line.authenticate(nobody(n), f"1555{n % 50:07}") == BAD
    for n, card in enumerate(cards):
        ok(line.authenticate(card))
        line.open(card, ref=f"call-{n}", caller=f"1666{n:07}")


def test_dead_tokens_and_callers_that_are_not_pinless_are_no_guesses(line: Line, card: TestCard) -> None:
    for _ in range(20):
        assert line.authenticate(Credentials(token=Secret("ctt_dead")), HOME) == BAD
        assert line.authenticate(Credentials(), HOME) == BAD
    ok(line.authenticate(card, HOME))


def test_a_vouchers_tries_are_its_callers_too(db: Database, vault: Vault, line: Line) -> None:
    card = scenes.card(db, vault)
    vouchers = scenes.vouchers(db, vault, 8)
    ok(line.authenticate(card, HOME))
    answers = [
        reason(line.redeem(card, voucher, key=f"key-{n}", password=WRONG, caller=HOME))
        for n, voucher in enumerate(vouchers)
    ]
    assert answers == ["bad_credentials"] * 6 + ["throttled"] * 2
    assert reason(line.redeem(card, vouchers[7], key="right", caller=HOME)) == "throttled"
    assert not isinstance(line.redeem(card, vouchers[7], key="other", caller=OTHER), Refusal)


def test_nobody_fails_on_anothers_own_counter_by_a_number_that_looks_like_it(
    db: Database, line: Line, card: TestCard
) -> None:
    ok(line.authenticate(card, HOME))
    for made_up in (f"{card.number}:caller:{HOME}", f"caller:{HOME}/{card.number}"):
        for _ in range(6):
            line.authenticate(Credentials(made_up, Secret(WRONG)))
    with db.begin() as session:
        assert session.scalar(select(func.count()).select_from(FailureCounter)) == 2
    assert line.authenticate(card.with_password(WRONG), HOME) == BAD


# --- what a try costs ---


def test_a_good_call_of_a_known_or_a_withheld_caller_costs_no_query_for_the_limits(
    db: Database, line: Line, card: TestCard
) -> None:
    ok(line.authenticate(card, HOME))
    for caller in (HOME, None):
        ok(line.authenticate(card, caller))
        with watched_sql() as sent:
            ok(line.authenticate(card, caller))
        assert len(sent) == 2, sent  # the read, and the token
    line.open(card, caller=HOME)  # reads the rates, once in a process
    line.end(seconds=0)
    with watched_sql() as sent:
        line.open(card, ref="call-2", caller=HOME)
    assert len(sent) == 2, sent


def test_a_right_password_leaves_no_row_of_the_limits(db: Database, line: Line, card: TestCard) -> None:
    for caller in (HOME, OTHER, None):
        ok(line.authenticate(card, caller))
    assert (rows_of(db, "failure_counter"), rows_of(db, "attempt")) == (0, 0)


@pytest.mark.parametrize("caller", [HOME, None])
def test_an_unknown_number_and_a_wrong_password_cost_the_same(
    db: Database, line: Line, card: TestCard, counting: CountingVault, caller: str | None
) -> None:
    scenes.setting(db, "lock_failures", 6)
    scenes.setting(db, "caller_failures", 1_000)
    line.authenticate(nobody(1), caller)
    spent = []
    for who in (card.with_password(WRONG), nobody()):
        line.later(10_000)
        answers, costs = [], []
        for _ in range(8):
            before = (counting.digests, rows_of(db, "failure_counter"), rows_of(db, "attempt"))
            with watched_sql() as sent:
                answers.append(line.authenticate(who, caller))
            after = (counting.digests, rows_of(db, "failure_counter"), rows_of(db, "attempt"))
            costs.append((Counter(sent), tuple(now - then for now, then in zip(after, before, strict=True))))
            line.later(60)
        spent.append((answers, [cost[1] for cost in costs], [sum(cost[0].values()) for cost in costs]))
    # What locks a card (its tokens, its timeline) is written for a card only; up to there all is the same.
    (answers, rows, queries), (answers_of_nobody, rows_of_nobody, queries_of_nobody) = spent
    assert (answers, rows) == (answers_of_nobody, rows_of_nobody)
    assert queries[:5] == queries_of_nobody[:5]
    assert queries[6:] == queries_of_nobody[6:]
    assert facts(db, card).locked_by == "failures"


# --- many at once ---


def test_callers_who_are_new_to_a_card_get_no_more_guesses_at_once_than_in_a_row(
    line: Line, card: TestCard, counting: CountingVault
) -> None:
    answers = at_once(
        lambda racer: reason(line.authenticate(card.with_password(f"{racer:08}"), f"1555{racer:07}"))
    )
    assert counting.digests == 4
    assert Counter(answers) == {"bad_credentials": 4, "throttled": RACERS - 4}


def test_one_caller_gets_no_more_guesses_at_once_on_many_numbers_than_in_a_row(
    line: Line, counting: CountingVault
) -> None:
    answers = at_once(lambda racer: reason(line.authenticate(nobody(racer), HOME)))
    assert counting.digests == 6
    assert Counter(answers) == {"bad_credentials": 6, "throttled": RACERS - 6}


def test_withheld_callers_get_one_look_more_at_once_however_many_threads_there_are(
    line: Line, card: TestCard, counting: CountingVault
) -> None:
    answers = at_once(lambda racer: reason(line.authenticate(card.with_password(f"{racer:08}"))))
    assert counting.digests <= 5
    assert Counter(answers)["bad_credentials"] <= 4, "the look ahead is not told its outcome"


def test_many_good_calls_at_once_from_one_phone_that_is_new_to_their_cards_are_all_heard(
    db: Database, vault: Vault, line: Line
) -> None:
    cards = scenes.batch(db, vault, RACERS)
    for answer in at_once(lambda racer: line.authenticate(cards[racer], HOME)):
        ok(answer)


# --- over all cards ---


def guess_much(line: Line, failures: int, first: int = 0) -> None:
    for n in range(first, first + failures):
        assert line.authenticate(nobody(n)) == BAD


def test_failures_that_come_too_fast_raise_one_alarm_and_halve_what_a_caller_may(
    db: Database, line: Line, card: TestCard
) -> None:
    guess_much(line, 60)
    assert kinds(db) == {}
    guess_much(line.later(3), 5, 60)
    assert kinds(db) == {"guessing": 1}
    answers = [reason(line.authenticate(nobody(1_000 + n), HOME)) for n in range(5)]
    assert answers == ["bad_credentials"] * 3 + ["throttled"] * 2
    ok(line.authenticate(card, OTHER))
    ok(line.authenticate(card))  # it never refuses everybody
    line.later(61)
    assert [line.authenticate(nobody(2_000 + n), HOME) for n in range(3)] == [BAD] * 3


def test_an_alarm_is_counted_once_a_minute_and_comes_back_when_cleared_too_early(
    db: Database, line: Line
) -> None:
    scenes.setting(db, "guessing_per_minute", 5)
    for n in range(40):
        line.later(2)
        line.authenticate(nobody(n))
    (alarm,) = open_alarms(db)
    assert (alarm.kind, alarm.severity, alarm.data) == ("guessing", "warning", {"more_than_a_minute": 5})
    assert alarm.times == 2
    with db.begin() as session:
        clear_alarm(session, "guessing", "cards", OPERATOR, line.now)
    for n in range(40):
        line.later(2)
        line.authenticate(nobody(100 + n))
    assert kinds(db) == {"guessing": 1}


def test_what_staff_mistype_at_their_own_door_is_no_guess_at_a_card(db: Database, line: Line) -> None:
    with db.begin() as session:
        session.add_all(
            Attempt(at=NOW, door=door, source="address:x", reason="wrong_password")
            for door in ("staff", "reseller")
            for _ in range(100)
        )
    guess_much(line, 2)
    assert kinds(db) == {}


def lock_out(line: Line, card: TestCard) -> None:
    """One wrong password more than a card may have where one locks it."""
    assert line.authenticate(card.with_password(WRONG)) == BAD


def test_so_many_locks_that_somebody_seems_to_want_them_lock_no_more_cards(
    db: Database, vault: Vault, line: Line
) -> None:
    cards = scenes.batch(db, vault, 8)
    scenes.setting(db, "lock_failures", 1)
    scenes.setting(db, "storm_locks", 5)
    for card in cards:
        lock_out(line.later(1), card)
    locked = [facts(db, card).locked_by for card in cards]
    assert locked == ["failures"] * 5 + [None] * 3
    (alarm,) = open_alarms(db)
    assert (alarm.kind, alarm.severity, alarm.data) == (
        "lock_storm",
        "critical",
        {"locks": 5, "within_seconds": 600},
    )
    ok(line.authenticate(cards[7]))
    for _ in range(4):
        line.authenticate(cards[6].with_password(WRONG))
    assert reason(line.authenticate(cards[6])) == "throttled", "delays stay"
    lock_out(line.later(600), cards[5])
    assert facts(db, cards[5]).locked_by == "failures"


def test_locks_at_once_are_no_more_than_the_house_allows(db: Database, vault: Vault, line: Line) -> None:
    cards = scenes.batch(db, vault, RACERS)
    scenes.setting(db, "lock_failures", 1)
    scenes.setting(db, "storm_locks", 5)
    at_once(lambda racer: lock_out(line, cards[racer]))
    assert sum(facts(db, card).locked_at is not None for card in cards) == 5
    assert kinds(db) == {"lock_storm": 1}


# --- what is kept of tries ---


def test_of_a_flood_of_throttled_tries_as_many_are_counted_as_came_and_few_rows_written(
    db: Database, line: Line
) -> None:
    for _ in range(4):
        line.authenticate(nobody())
    for _ in range(300):
        assert reason(line.authenticate(nobody())) == "throttled"
    assert rows_of(db, "attempt") == 4 + THROTTLED_ROWS
    line.later(1)
    line.authenticate(nobody())
    assert kept(db) == {"unknown_number": 4, "throttled": 301}
    assert rows_of(db, "attempt") == 4 + THROTTLED_ROWS + 2
    with db.begin() as session:
        gathered = session.execute(
            select(Attempt.door, Attempt.source, Attempt.card_id, Attempt.times).where(Attempt.times > 1)
        ).all()
    assert gathered == [("http", "gathered", None, 300 - THROTTLED_ROWS)]


# --- settings and pruning ---


def test_callers_that_failed_are_forgotten_when_their_window_is_over(db: Database, line: Line) -> None:
    line.authenticate(nobody(), HOME)
    line.authenticate(nobody(), OTHER)
    assert rows_of(db, "failure_counter") == 3
    line.later(300).authenticate(nobody(), OTHER)
    line.authenticate(nobody(), THIRD)
    with db.begin() as session:
        assert limits.prune(session, line.now) == 0
        assert limits.prune(session, NOW + timedelta(seconds=600), limit=1) == 1
        assert limits.prune(session, NOW + timedelta(seconds=600)) == 1
    assert rows_of(db, "failure_counter") == 2


@pytest.mark.parametrize(
    "key",
    [
        "caller_failures",
        "caller_window_s",
        "address_failures",
        "address_window_s",
        "guessing_per_minute",
        "storm_locks",
        "storm_window_s",
    ],
)
def test_no_limit_may_be_nothing(db: Database, key: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        scenes.setting(db, key, 0)
    assert refused.value.code == "setting_out_of_range"
    scenes.setting(db, key, 1)


def test_a_changed_limit_counts_from_the_next_try_on(db: Database, line: Line) -> None:
    for n in range(4):
        assert line.authenticate(nobody(n), HOME) == BAD
    scenes.setting(db, "caller_failures", 4)
    assert reason(line.authenticate(nobody(9), HOME)) == "throttled"
