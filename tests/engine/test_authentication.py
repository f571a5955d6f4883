"""Who may use a card: passwords and what wrong ones bring, tokens, binding, PINless."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, text

from engine.calls.control import Authorized, Credentials
from engine.cards.authentication import Authenticated
from engine.db import Database
from engine.refusal import Refusal
from engine.schema import Attempt, Binding
from engine.vault import Secret, Vault
from tests import scenes
from tests.scenes import NOW, USD, Line, TestCard, facts

HOME, OTHER, THIRD = "15551230001", "15551230002", "15551230003"


@pytest.fixture
def line(db: Database, vault: Vault) -> Line:
    scenes.deck(db)
    return Line(db, vault, scenes.switch(db))


@pytest.fixture
def card(db: Database, vault: Vault, line: Line) -> TestCard:
    return scenes.card(db, vault)


def ok(answer: Authenticated | Refusal) -> Authenticated:
    assert isinstance(answer, Authenticated), answer
    return answer


def reason(answer: Authenticated | Authorized | Refusal) -> str:
    assert isinstance(answer, Refusal), answer
    return answer.reason


def fail(line: Line, card: TestCard, times: int, caller: str | None = None) -> None:
    """Wrong passwords, each as soon as the delay of the one before is over."""
    for _ in range(times):
        while isinstance(answer := line.authenticate(card.with_password("0" * 8), caller), Refusal):
            if answer.reason != "throttled":
                assert answer == Refusal("bad_credentials")
                break
            line.later(answer.retry_after_s or 0)


def inner_reasons(db: Database) -> list[str]:
    with db.begin() as session:
        return list(session.scalars(select(Attempt.reason).order_by(Attempt.id)))


# --- passwords ---


def test_the_first_right_password_makes_a_card_active_and_starts_its_validity(
    db: Database, line: Line, card: TestCard
) -> None:
    answer = ok(line.authenticate(card))
    assert (answer.serial, answer.status, answer.balance) == (card.serial, "active", USD("5"))
    assert answer.expires_at == datetime(2027, 2, 19, tzinfo=UTC)  # the end of day 90, in UTC
    assert facts(db, card).first_used_at == NOW
    assert ok(line.later(86_400).authenticate(card)).expires_at == answer.expires_at


def test_a_batch_may_start_validity_at_the_first_answered_call(
    db: Database, vault: Vault, line: Line
) -> None:
    card = scenes.card(db, vault, first_use="answered_call", name="By call")
    assert ok(line.authenticate(card)).status == "unused"
    line.open(card)
    assert facts(db, card).first_used_at is None
    line.later(5).answer()
    assert facts(db, card).first_used_at == line.now
    other = scenes.card(db, vault, first_use="answered_call", name="By call 2")
    line.open(other, ref="2")
    line.later(60).end("2", seconds=30)
    assert facts(db, other).first_used_at == line.now


def test_an_unknown_number_and_a_wrong_password_look_the_same_outside_and_differ_inside(
    db: Database, line: Line, card: TestCard
) -> None:
    wrong = line.authenticate(card.with_password("00000000"))
    unknown = line.authenticate(Credentials("999999999999", Secret("00000000")))
    assert wrong == unknown == Refusal("bad_credentials")
    assert inner_reasons(db) == ["wrong_password", "unknown_number"]


def test_failures_bring_a_doubling_delay_for_numbers_that_exist_and_those_that_do_not(
    line: Line, card: TestCard
) -> None:
    for who in (card.with_password("00000000"), Credentials("999999999999", Secret("00000000"))):
        answers = [line.authenticate(who) for _ in range(5)]
        assert answers[:4] == [Refusal("bad_credentials")] * 4
        assert answers[4] == Refusal("throttled", retry_after_s=2)
        line.later(2)
        assert line.authenticate(who) == Refusal("bad_credentials")
        assert line.authenticate(who) == Refusal("throttled", retry_after_s=4)


def test_while_a_delay_runs_even_the_right_password_is_not_looked_at(line: Line, card: TestCard) -> None:
    fail(line, card, 4)
    assert reason(line.authenticate(card)) == "throttled"
    ok(line.later(2).authenticate(card))
    fail(line, card, 3)
    ok(line.authenticate(card))  # the count began anew with the success


def test_twenty_wrong_passwords_lock_the_card_until_somebody_helps(
    db: Database, line: Line, card: TestCard
) -> None:
    fail(line, card, 19)
    assert facts(db, card).locked_at is None
    fail(line, card, 1)
    locked = facts(db, card)
    assert (locked.locked_at is not None, locked.locked_by) == (True, "failures")
    line.later(7_200)
    assert line.authenticate(card) == Refusal("locked", serial=card.serial)


def test_the_right_password_from_a_phone_that_was_right_before_lifts_such_a_lock(
    db: Database, line: Line, card: TestCard
) -> None:
    ok(line.authenticate(card, HOME))
    fail(line, card, 20, OTHER)
    assert facts(db, card).locked_by == "failures"
    line.later(7_200)
    assert reason(line.authenticate(card, OTHER)) == "locked"
    ok(line.authenticate(card, HOME))
    assert facts(db, card).locked_at is None


def test_strangers_failures_never_delay_the_owner_on_a_known_phone(line: Line, card: TestCard) -> None:
    ok(line.authenticate(card, HOME))
    fail(line, card, 8, OTHER)
    assert reason(line.authenticate(card, OTHER)) == "throttled"
    ok(line.authenticate(card, HOME))


def test_an_operators_lock_is_not_lifted_by_a_password(db: Database, line: Line, card: TestCard) -> None:
    ok(line.authenticate(card, HOME))
    with db.begin() as session:
        session.execute(text("UPDATE card SET locked_at = :now, locked_by = 'staff:1'"), {"now": NOW})
    assert reason(line.authenticate(card, HOME)) == "locked"


def test_no_reason_that_depends_on_the_card_is_given_before_its_password_was_right(
    db: Database, line: Line, card: TestCard
) -> None:
    for change in (
        "locked_at = :now, locked_by = 'x'",
        "damaged_at = :now, damaged_by = 'x'",
        "expires_at = :now",
    ):
        with db.begin() as session:
            session.execute(text(f"UPDATE card SET {change}"), {"now": NOW})
        assert line.later(8_000).authenticate(card.with_password("00000000")) == Refusal("bad_credentials")


def test_a_card_of_a_batch_that_is_not_ready_is_as_unknown_as_any_number(
    db: Database, line: Line, card: TestCard
) -> None:
    with db.begin() as session:
        session.execute(text("UPDATE batch SET ready_at = NULL"))
    assert line.authenticate(card) == Refusal("bad_credentials")


def test_an_expired_card_answers_within_its_grace_and_then_no_more(
    db: Database, vault: Vault, line: Line
) -> None:
    card = scenes.card(db, vault, name="Grace", validity_days=10, grace_days=3)
    ok(line.authenticate(card))
    line.now = datetime(2026, 12, 1, tzinfo=UTC)
    assert ok(line.authenticate(card)).status == "expired"
    assert reason(line.authorize(card)) == "expired"
    line.now = datetime(2026, 12, 4, tzinfo=UTC)
    assert reason(line.authenticate(card)) == "expired"


def test_an_empty_card_authenticates_and_makes_no_call(db: Database, vault: Vault, line: Line) -> None:
    card = scenes.card(db, vault, "0", name="Empty")
    assert ok(line.authenticate(card)).status == "empty"
    assert reason(line.authorize(card)) == "empty"


def test_a_voucher_makes_no_call(db: Database, vault: Vault, line: Line) -> None:
    voucher = scenes.vouchers(db, vault)[0]
    assert reason(line.authenticate(voucher)) == "voucher_not_allowed"
    assert reason(line.authorize(voucher)) == "voucher_not_allowed"


# --- tokens ---


def token_of(answer: Authenticated | Refusal) -> Credentials:
    return Credentials(token=ok(answer).card_token)


def test_a_token_stands_for_the_password_for_ten_idle_minutes(line: Line, card: TestCard) -> None:
    token = token_of(line.authenticate(card, HOME))
    ok(line.later(599).authenticate(token, HOME))
    ok(line.later(600).authenticate(token, HOME))
    assert line.later(601).authenticate(token, HOME) == Refusal("bad_credentials")


def test_a_token_is_kept_alive_by_its_call(line: Line, card: TestCard) -> None:
    token = token_of(line.authenticate(card, HOME))
    line.open(token, caller=HOME)
    line.later(3_000)
    assert reason(line.authorize(token, ref="2", caller=HOME)) == "too_many_calls"
    line.end(seconds=60)
    line.later(599).open(token, ref="3", caller=HOME)


def test_a_token_is_bound_to_the_switch_and_caller_that_asked(
    db: Database, vault: Vault, line: Line, card: TestCard
) -> None:
    token = token_of(line.authenticate(card, HOME))
    stranger = Line(db, vault, scenes.switch(db, "Other"))
    assert reason(stranger.authorize(token, caller=HOME)) == "bad_credentials"
    assert reason(line.authorize(token, caller=OTHER)) == "bad_credentials"
    assert reason(line.authorize(Credentials(token=Secret("ctt_made-up")), caller=HOME)) == "bad_credentials"
    line.open(token, caller=HOME)


def test_a_token_dies_with_the_lock_that_failures_bring(line: Line, card: TestCard) -> None:
    token = token_of(line.authenticate(card, HOME))
    fail(line, card, 20, OTHER)
    assert reason(line.authorize(token, caller=HOME)) == "bad_credentials"


# --- binding and PINless ---


def test_a_single_binding_takes_the_first_caller_and_refuses_all_others(
    db: Database, vault: Vault, line: Line
) -> None:
    card = scenes.card(db, vault, name="Single", binding="single")
    assert reason(line.authorize(card)) == "caller_required"
    assert reason(line.authorize(card, caller="anonymous")) == "caller_required"
    line.open(card, caller=HOME)
    line.later(60).end(seconds=1)
    assert reason(line.authorize(card, ref="2", caller=OTHER)) == "caller_not_bound"
    assert reason(line.authenticate(card, OTHER)) == "caller_not_bound"
    line.open(card, ref="3", caller="+1 (555) 123-0001")


def test_a_multi_binding_takes_callers_while_there_is_room(db: Database, vault: Vault, line: Line) -> None:
    card = scenes.card(db, vault, name="Multi", binding="multi", max_bound=2)
    ok(line.authenticate(card, HOME))
    ok(line.authenticate(card, OTHER))
    assert reason(line.authenticate(card, THIRD)) == "caller_not_bound"


def test_without_auto_bind_nobody_is_bound_by_calling(db: Database, vault: Vault, line: Line) -> None:
    card = scenes.card(db, vault, name="By hand", binding="single", auto_bind=False)
    assert reason(line.authorize(card, caller=HOME)) == "caller_not_bound"


def test_a_bound_caller_alone_authenticates_only_where_the_batch_allows_pinless(
    db: Database, vault: Vault, line: Line
) -> None:
    card = scenes.card(db, vault, name="Bound", binding="single")
    ok(line.authenticate(card, HOME))
    assert line.authenticate(Credentials(), HOME) == Refusal("bad_credentials")
    pinless = scenes.card(db, vault, name="Pinless", binding="single", pinless=True)
    ok(line.authenticate(pinless, OTHER))
    assert ok(line.authenticate(Credentials(), OTHER)).serial == pinless.serial
    assert line.open(Credentials(), caller=OTHER).serial == pinless.serial


def test_a_switch_that_is_not_trusted_cannot_present_a_caller_instead_of_a_password(
    db: Database, vault: Vault, line: Line
) -> None:
    pinless = scenes.card(db, vault, name="Pinless", binding="single", pinless=True)
    ok(line.authenticate(pinless, HOME))
    spoofer = Line(db, vault, scenes.switch(db, "Open relay", trusted_callers=False))
    assert reason(spoofer.authenticate(Credentials(), HOME)) == "bad_credentials"
    assert reason(spoofer.authorize(Credentials(), caller=HOME)) == "bad_credentials"
    ok(spoofer.authenticate(pinless, HOME))


def test_a_caller_is_pinless_for_one_card_at_a_time(db: Database, vault: Vault, line: Line) -> None:
    one, other = scenes.batch(db, vault, 2, name="Pinless", binding="single", pinless=True)
    ok(line.authenticate(one, HOME))
    ok(line.authenticate(other, HOME))
    assert ok(line.authenticate(Credentials(), HOME)).serial == one.serial
    with db.begin() as session:
        bound = session.execute(select(Binding.card_id, Binding.pinless).order_by(Binding.card_id)).all()
    assert bound == [(one.id, True), (other.id, False)]


def test_a_withheld_number_never_binds(db: Database, vault: Vault, line: Line) -> None:
    card = scenes.card(db, vault, name="Single", binding="single")
    assert reason(line.authenticate(card, "anonymous")) == "caller_required"
    assert reason(line.authenticate(card)) == "caller_required"
    with db.begin() as session:
        assert session.scalar(select(Binding.caller)) is None


def test_validity_counts_days_of_the_operators_zone(db: Database, vault: Vault, line: Line) -> None:
    from engine.people.policy import set_setting

    set_setting(db, "zone", "Asia/Dhaka", scenes.OPERATOR, NOW)
    card = scenes.card(db, vault, name="Dhaka", validity_days=1)
    # Noon UTC is evening in Dhaka; tomorrow there ends at 18:00 UTC.
    assert ok(line.authenticate(card)).expires_at == NOW + timedelta(days=1, hours=6)
