"""Corners of the engine that once were open: messages out of order, mixed proofs, stray rows, unfit input."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select, text

from engine.calls.control import Authorized, Credentials
from engine.calls.sweep import sweep
from engine.cards import lifecycle
from engine.cards.authentication import Authenticated
from engine.db import Database
from engine.errors import Conflict
from engine.funds.vouchers import Redeemed
from engine.migrations.partitions import ensure_partitions, month_start
from engine.people import sessions
from engine.refusal import Refusal
from engine.schema import Attempt
from engine.vault import Secret, Vault
from tests import scenes
from tests.scenes import NOW, OPERATOR, USD, Line, TestCard, facts

HOME, OTHER = "15551230001", "15551230002"
WRONG = "0" * 8


@pytest.fixture
def line(db: Database, vault: Vault) -> Line:
    scenes.deck(db)
    return Line(db, vault, scenes.switch(db))


@pytest.fixture
def card(db: Database, vault: Vault, line: Line) -> TestCard:
    return scenes.card(db, vault)


def reason(answer: Authenticated | Authorized | Redeemed | Refusal) -> str:
    assert isinstance(answer, Refusal), answer
    return answer.reason


def token_of(line: Line, card: TestCard, caller: str) -> Credentials:
    answer = line.authenticate(card, caller)
    assert isinstance(answer, Authenticated), answer
    return Credentials(token=answer.card_token)


def inner_reasons(db: Database) -> list[str]:
    with db.begin() as session:
        return list(session.scalars(select(Attempt.reason).order_by(Attempt.id)))


# --- messages out of order ---


def test_an_answer_from_a_clock_that_runs_fast_counts_now_and_may_be_repeated(
    line: Line, card: TestCard
) -> None:
    line.open(card)
    answered = line.later(10).now
    line.answer(at=answered + timedelta(seconds=2))
    line.later(3).answer(at=answered + timedelta(seconds=2))
    assert line.show().answered_at == answered


def test_an_answer_that_progress_overtook_changes_nothing(db: Database, line: Line, card: TestCard) -> None:
    line.open(card, one_shot=False)
    answered = line.later(10).now
    line.later(60).progress(58)
    before = line.show()
    line.answer(at=answered)
    assert line.show() == before
    assert before.answered_at == line.now - timedelta(seconds=58)
    assert facts(db, card).held == before.held


def test_an_answer_that_the_end_overtook_changes_nothing(db: Database, line: Line, card: TestCard) -> None:
    line.open(card)
    answered = line.later(10).now
    line.later(60).end(seconds=58)
    before = line.show()
    line.answer(at=answered)
    assert line.show() == before
    assert facts(db, card).balance == USD("4.9855")


def test_an_answer_to_a_call_that_ended_unanswered_is_a_conflict(line: Line, card: TestCard) -> None:
    line.open(card)
    line.later(60).end(seconds=0)
    with pytest.raises(Conflict) as refused:
        line.answer()
    assert refused.value.code == "call_ended"


def test_an_end_after_the_sweep_marks_the_first_use(db: Database, vault: Vault, line: Line) -> None:
    card = scenes.card(db, vault, name="By call", first_use="answered_call", validity_days=30)
    line.open(card)
    assert sweep(db, line.later(20_000).now).voided == 1
    assert facts(db, card).first_used_at is None
    assert line.end(seconds=60).charged == USD("0.015")
    after = facts(db, card)
    assert after.first_used_at == line.now
    assert after.expires_at is not None


def test_an_end_after_the_sweep_that_says_unanswered_is_no_first_use(
    db: Database, vault: Vault, line: Line
) -> None:
    card = scenes.card(db, vault, name="By call", first_use="answered_call")
    line.open(card)
    sweep(db, line.later(20_000).now)
    assert line.end(seconds=0).charged == 0
    assert facts(db, card).first_used_at is None


def test_authorize_by_a_token_that_a_lock_has_killed_gets_the_first_answer_again_and_no_other_call(
    db: Database, line: Line, card: TestCard
) -> None:
    token = token_of(line, card, HOME)
    first = line.open(token, caller=HOME)
    lifecycle.lock(db, card_id=card.id, reason="Lost", actor=OPERATOR, now=line.now)
    assert line.authorize(token, caller=HOME) == first
    assert reason(line.authorize(token, caller=HOME, ref="call-2")) == "bad_credentials"
    other = Credentials(token=Secret("ctt_another"))
    assert reason(line.authorize(other, caller=HOME)) == "bad_credentials"
    assert facts(db, card).live_calls == 1


# --- explanations ---


def test_a_call_that_was_answered_and_hung_up_at_once_is_not_explained_as_unanswered(
    line: Line, card: TestCard
) -> None:
    line.open(card)
    line.later(5).answer()
    assert line.later(5).end(seconds=0.1).charged == 0
    said = line.show().explanation or ""
    assert said.endswith("answered, but no second of talk is known, so nothing was charged.")


def test_a_call_within_the_free_seconds_is_explained_by_them(db: Database, vault: Vault) -> None:
    scenes.deck(db, "prefix,destination,price,connect fee,grace\n880,Bangladesh,0.6,0.1,5\n")
    line = Line(db, vault, scenes.switch(db))
    line.open(scenes.card(db, vault))
    line.later(5).answer()
    assert line.later(5).end(seconds=4).charged == 0
    said = line.show().explanation or ""
    assert said.endswith("4 s of talk, within the 5 free seconds, so nothing was charged.")


# --- proofs and what failures bring ---


def test_a_token_beside_another_cards_number_clears_nothing_of_that_number(
    db: Database, vault: Vault, line: Line
) -> None:
    mine, victim = scenes.batch(db, vault, 2)
    token = token_of(line, mine, OTHER).token
    mixed = Credentials(number=victim.number, password=Secret("x"), token=token)
    answers = []
    for _ in range(5):
        answers.append(reason(line.authenticate(victim.with_password(WRONG))))
        opened = line.authenticate(mixed, OTHER)
        assert isinstance(opened, Authenticated)
        assert opened.serial == mine.serial
    assert answers == ["bad_credentials"] * 4 + ["throttled"]
    assert reason(line.authenticate(victim)) == "throttled"


def test_a_token_with_the_right_password_of_another_locked_card_lifts_no_lock(
    db: Database, vault: Vault, line: Line
) -> None:
    mine, locked = scenes.batch(db, vault, 2)
    token_of(line, locked, HOME)
    token = token_of(line, mine, HOME).token
    scenes.setting(db, "lock_failures", 1)
    line.authenticate(locked.with_password(WRONG))
    mixed = Credentials(number=locked.number, password=Secret(locked.password), token=token)
    assert isinstance(line.authenticate(mixed, HOME), Authenticated)
    assert facts(db, locked).locked_by == "failures"


def test_a_password_without_a_number_is_no_more_than_the_caller_and_lifts_no_lock(
    db: Database, vault: Vault, line: Line
) -> None:
    pinless = scenes.card(db, vault, name="Pinless", binding="single", pinless=True)
    token_of(line, pinless, HOME)
    scenes.setting(db, "lock_failures", 1)
    line.authenticate(pinless.with_password(WRONG))
    assert reason(line.authenticate(Credentials(password=Secret(pinless.password)), HOME)) == "locked"
    assert facts(db, pinless).locked_by == "failures"


def test_every_try_of_a_voucher_leaves_an_attempt_the_throttled_ones_too(
    db: Database, vault: Vault, line: Line, card: TestCard
) -> None:
    voucher = scenes.vouchers(db, vault)[0]
    answers = [reason(line.redeem(card, voucher, key=f"key-{i}", password=WRONG)) for i in range(6)]
    assert answers == ["bad_credentials"] * 4 + ["throttled"] * 2
    assert inner_reasons(db) == ["wrong_password"] * 4 + ["throttled"] * 2


def test_a_lock_by_failures_ends_the_cards_web_sessions_and_no_others(
    db: Database, vault: Vault, line: Line
) -> None:
    guessed, other = scenes.batch(db, vault, 2)
    scenes.setting(db, "lock_failures", 1)
    cookies = [sessions.open_session(db, "cardholder", card.id, None, NOW) for card in (guessed, other)]
    staff = sessions.open_session(db, "staff", guessed.id, None, NOW)
    line.authenticate(guessed.with_password(WRONG))
    assert facts(db, guessed).locked_by == "failures"
    assert [sessions.find_session(db, "cardholder", cookie, NOW) is None for cookie in cookies] == [
        True,
        False,
    ]
    assert sessions.find_session(db, "staff", staff, NOW) is not None


# --- rows of a month that has no partition yet ---


def homes(db: Database, table: str) -> list[str]:
    """The partition that each row lives in."""
    with db.begin() as session:
        return list(session.scalars(text(f"SELECT tableoid::regclass::text FROM {table} ORDER BY 1")))


def make_partitions(db: Database, line: Line) -> None:
    with db.engine.begin() as connection:
        ensure_partitions(connection, line.now)


def test_rows_that_waited_in_the_default_partition_move_into_their_month(
    db: Database, line: Line, card: TestCard
) -> None:
    # A hundred years on, so that no run of these tests has made the month's partitions already.
    line.now = month_start(NOW, 1_200)
    month = f"{line.now:%Y_%m}"
    line.authorize(card.with_password(WRONG))
    line.open(card)
    line.later(65).end(seconds=60)
    shown = line.show()
    assert homes(db, "cdr") == ["cdr_default"]
    assert homes(db, "attempt") == ["attempt_default"]
    make_partitions(db, line)
    assert homes(db, "cdr") == [f"cdr_{month}"]
    assert homes(db, "attempt") == [f"attempt_{month}"]
    assert line.show() == shown
    make_partitions(db, line)
    line.now = month_start(NOW, 1_300)
    line.authorize(card.with_password(WRONG))
    assert homes(db, "attempt") == [f"attempt_{month}", "attempt_default"]


# --- input that nobody means ---


@pytest.mark.parametrize("destination", ["88\x00", "\x00", "9" * 10_000, "৮৮০১৭", "8801712345678\ud83d"])
def test_an_unfit_destination_is_refused_and_its_attempt_kept(
    db: Database, line: Line, card: TestCard, destination: str
) -> None:
    assert reason(line.authorize(card, destination)) == "destination_invalid"
    assert inner_reasons(db) == ["destination_invalid"]


@pytest.mark.parametrize("number", ["1\x00", "\x00", "9" * 10_000, "৮৮০১৭", ""])
def test_an_unfit_card_number_is_a_number_that_does_not_exist(db: Database, line: Line, number: str) -> None:
    asked = Credentials(number, Secret("x"))
    assert line.authenticate(asked) == Refusal("bad_credentials")
    assert line.authorize(asked) == Refusal("bad_credentials")
    assert inner_reasons(db) == ["unknown_number"] * 2


@pytest.mark.parametrize("password", ["\x00", "9" * 10_000, ""])
def test_an_unfit_password_is_a_wrong_one(db: Database, line: Line, card: TestCard, password: str) -> None:
    assert line.authenticate(card.with_password(password)) == Refusal("bad_credentials")
    assert inner_reasons(db) == ["wrong_password"]


@pytest.mark.parametrize("token", ["\x00", "ctt_" + "9" * 10_000, ""])
def test_an_unfit_token_is_a_dead_one(db: Database, line: Line, token: str) -> None:
    assert line.authenticate(Credentials(token=Secret(token))) == Refusal("bad_credentials")
    assert inner_reasons(db) == ["token_dead"]


@pytest.mark.parametrize("unfit", ["\x00", "1555\x00", "9" * 10_000, "sip:anonymous@x"])
def test_an_unfit_caller_is_a_withheld_one_and_an_unfit_access_number_no_listed_one(
    line: Line, card: TestCard, unfit: str
) -> None:
    line.open(card, caller=unfit, access_number=unfit)
    assert line.show().caller is None
    line.later(65)
    assert line.end(seconds=60).charged == USD("0.015")
