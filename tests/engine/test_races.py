"""What happens between a read and its write: a guess, a lock, a reset, an answer, a sweep at the wrong moment.

Races by luck would pass by luck, so each one is made to happen: `meanwhile` acts once at the very instant between.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, text

from engine.calls import authorization, live
from engine.calls import sweep as sweeping
from engine.calls.control import Authorized, Credentials
from engine.calls.sweep import sweep
from engine.cards import access, authentication, lifecycle, proving
from engine.cards.authentication import Authenticated
from engine.db import Database, reruns
from engine.errors import EngineUnavailable
from engine.refusal import Refusal
from engine.schema import Binding, Call, CardEvent, Cdr, KnownSource
from engine.vault import Vault
from tests import scenes
from tests.scenes import NOW, OPERATOR, USD, Line, TestCard, facts

HOME, OTHER = "15551230001", "15551230002"
RACERS = 12


@pytest.fixture
def line(db: Database, vault: Vault) -> Line:
    scenes.deck(db)
    return Line(db, vault, scenes.switch(db))


@pytest.fixture
def card(db: Database, vault: Vault, line: Line) -> TestCard:
    return scenes.card(db, vault)


@contextmanager
def meanwhile(module: Any, name: str, act: Callable[[], object]) -> Iterator[None]:
    """`act` happens once, just before the first run of `module.name`; it fails where it never comes to that."""
    real, acted = getattr(module, name), []
    with pytest.MonkeyPatch.context() as patch:

        def gate(*args: Any, **more: Any) -> Any:
            patch.setattr(module, name, real)
            acted.append(True)
            act()
            return real(*args, **more)

        patch.setattr(module, name, gate)
        yield
    assert acted, f"{name} never ran"


def at_once(act: Callable[[int], Any], racers: int = RACERS) -> list[Any]:
    """`act` of each racer, all at the same instant."""
    gate = threading.Barrier(racers)

    def race(racer: int) -> Any:
        gate.wait(20)
        return act(racer)

    with ThreadPoolExecutor(racers) as pool:
        return list(pool.map(race, range(racers)))


def reason(answer: Authenticated | Authorized | Refusal) -> str:
    assert isinstance(answer, Refusal), answer
    return answer.reason


def ok(answer: Authenticated | Refusal) -> Authenticated:
    assert isinstance(answer, Authenticated), answer
    return answer


def count_failures(db: Database, vault: Vault, card: TestCard, failures: int) -> None:
    """As if so many wrong passwords had come, and the delay of the last were just over."""
    with db.begin() as session:
        session.execute(
            text(
                "INSERT INTO failure_counter (key, failures, failed_at, blocked_until)"
                " VALUES (:key, :failures, :now, :now)"
            ),
            {"key": access.counter_key(vault, card.number), "failures": failures, "now": NOW},
        )


def lock_by_failures(db: Database, card: TestCard) -> None:
    with db.begin() as session:
        session.execute(
            text(
                "UPDATE card SET locked_at = :now, locked_by = 'failures', lock_reason = 'x' WHERE id = :id"
            ),
            {"now": NOW, "id": card.id},
        )


def lock(db: Database, card: TestCard) -> None:
    lifecycle.lock(db, card_id=card.id, reason="Stolen", actor=OPERATOR, now=NOW)


# --- passwords ---


@pytest.mark.parametrize(("failures", "compared"), [(1, 3), (3, 1), (15, 1)])
def test_guesses_in_parallel_are_compared_no_more_than_guesses_in_a_row(
    db: Database,
    vault: Vault,
    line: Line,
    card: TestCard,
    monkeypatch: pytest.MonkeyPatch,
    failures: int,
    compared: int,
) -> None:
    # Three failures are free and each one after them brings a delay. Whether a password was compared shows in no
    # answer, so the comparison is watched (and runs as it is).
    count_failures(db, vault, card, failures)
    real, seen = proving._password_is_right, []

    def watched(*args: Any) -> bool:
        seen.append(True)
        return real(*args)

    monkeypatch.setattr(proving, "_password_is_right", watched)
    answers = at_once(lambda racer: reason(line.authenticate(card.with_password(f"{racer:08}"))))
    assert len(seen) == compared
    assert sorted(answers) == ["bad_credentials"] * compared + ["throttled"] * (RACERS - compared)


def test_a_right_password_that_another_guess_overtook_waits_like_any_other(
    db: Database, vault: Vault, line: Line, card: TestCard
) -> None:
    # Both read that no delay runs; were the second one compared, guesses at once would be free.
    count_failures(db, vault, card, 15)
    guess = card.with_password("0" * 8)
    with meanwhile(proving, "_take_turn", lambda: line.authenticate(guess)):
        assert reason(line.authenticate(card)) == "throttled"


def test_an_operators_lock_is_not_lifted_by_a_right_password_that_raced_it(
    db: Database, line: Line, card: TestCard
) -> None:
    ok(line.authenticate(card, HOME))
    lock_by_failures(db, card)
    with meanwhile(authentication, "admit", lambda: lock(db, card)):
        answer = line.authenticate(card, HOME)
    assert answer == Refusal("locked", serial=card.serial)
    assert facts(db, card).locked_by == str(OPERATOR)


def test_a_refused_admission_changes_nothing(db: Database, vault: Vault, line: Line) -> None:
    bound = scenes.card(db, vault, name="Single", binding="single")

    def another_caller_binds() -> None:
        with db.begin() as session:
            session.add(
                Binding(card_id=bound.id, caller=OTHER, pinless=False, created_at=NOW, created_by="x")
            )

    with meanwhile(authentication, "admit", another_caller_binds):
        assert reason(line.authenticate(bound, HOME)) == "caller_not_bound"
    after = facts(db, bound)
    assert (after.first_used_at, after.expires_at) == (None, None)
    with db.begin() as session:
        assert session.scalars(select(Binding.caller)).all() == [OTHER]
        assert session.scalars(select(KnownSource.source)).all() == []
        kinds = session.scalars(select(CardEvent.kind).where(CardEvent.card_id == bound.id)).all()
    assert not {"first_use", "bind"} & set(kinds)


def test_two_cards_that_want_one_caller_pinless_both_answer_and_one_has_it(
    db: Database, vault: Vault, line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    cards = scenes.batch(db, vault, 2, name="Pinless", binding="single", pinless=True)
    # Both stand at the binding's door together: neither can see the other's.
    real, gate = authentication._bind, threading.Barrier(2)

    def together(*args: Any) -> bool:
        gate.wait(20)
        return real(*args)

    monkeypatch.setattr(authentication, "_bind", together)
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda card: ok(line.authenticate(card, HOME)), cards))
    assert [answer.serial for answer in answers] == [card.serial for card in cards]
    with db.begin() as session:
        assert sorted(session.scalars(select(Binding.pinless))) == [False, True]


# --- tokens ---


def test_no_token_is_minted_after_a_reset(db: Database, vault: Vault, line: Line, card: TestCard) -> None:
    def reset() -> None:
        lifecycle.reset_password(db, vault, card_id=card.id, actor=OPERATOR, now=NOW)

    with meanwhile(authentication, "_issue_token", reset):
        answer = line.authenticate(card, HOME)
    assert answer == Refusal("bad_credentials")
    with db.begin() as session:
        assert session.scalar(text("SELECT count(*) FROM card_token")) == 0


def test_no_token_is_minted_after_a_lock(db: Database, line: Line, card: TestCard) -> None:
    with meanwhile(authentication, "_issue_token", lambda: lock(db, card)):
        assert reason(line.authenticate(card, HOME)) == "locked"
    with db.begin() as session:
        assert session.scalar(text("SELECT count(*) FROM card_token")) == 0


def test_a_token_in_use_is_not_revived_after_a_lock(
    db: Database, vault: Vault, line: Line, card: TestCard
) -> None:
    token = Credentials(token=ok(line.authenticate(card, HOME)).card_token)
    with meanwhile(authentication, "_issue_token", lambda: lock(db, card)):
        assert reason(line.authenticate(token, HOME)) == "bad_credentials"
    lifecycle.unlock(db, vault, card_id=card.id, actor=OPERATOR, now=NOW)
    assert reason(line.authorize(token, caller=HOME)) == "bad_credentials"


# --- calls ---


def test_a_duplicate_of_authorize_that_was_delayed_for_the_whole_call_opens_no_second_one(
    db: Database, line: Line, card: TestCard
) -> None:
    first: list[Authorized] = []

    def the_whole_call() -> None:
        first.append(line.open(card))
        line.later(65).end(seconds=60)

    with meanwhile(authorization, "_open", the_whole_call):
        assert line.authorize(card) == first[0]
    assert (facts(db, card).live_calls, facts(db, card).held) == (0, 0)
    line.later(65).end(seconds=60)
    assert facts(db, card).balance == USD("4.985")
    with db.begin() as session:
        assert len(session.scalars(select(Cdr.id)).all()) == 1


def cut_links(db: Database) -> None:
    """End every other backend of this database, as a restart of the server would."""
    with db.raw() as conn:
        conn.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


@pytest.mark.parametrize("message", ["answer", "end"])
def test_a_link_lost_after_the_message_counted_and_before_its_first_use_is_marked_loses_neither(
    db: Database, vault: Vault, line: Line, monkeypatch: pytest.MonkeyPatch, message: str
) -> None:
    card = scenes.card(db, vault, name="By call", first_use="answered_call", validity_days=30)
    line.open(card)
    line.later(70)
    real, lost = live.start_validity, []

    def cut(session: Any, *args: Any) -> None:
        if not lost:
            session.connection()  # the link is in use, so that nobody notices and dials anew
            cut_links(db)
        lost.append(True)
        real(session, *args)

    monkeypatch.setattr(live, "start_validity", cut)
    if message == "answer":
        line.answer()
    else:
        assert line.end(seconds=60).charged == USD("0.015")
    assert len(lost) == 2
    after = facts(db, card)
    assert after.first_used_at == line.now
    assert after.expires_at is not None


@pytest.mark.parametrize("message", ["answer", "end"])
def test_a_repeated_message_marks_the_first_use_that_a_dying_process_left_out(
    db: Database, vault: Vault, line: Line, message: str
) -> None:
    card = scenes.card(db, vault, name="By call", first_use="answered_call")
    line.open(card)
    line.later(70)

    def send() -> None:
        if message == "answer":
            line.answer()
        else:
            line.end(seconds=60)

    def die() -> None:
        raise SystemExit

    with meanwhile(live, "start_validity", die), pytest.raises(SystemExit):
        send()
    assert facts(db, card).first_used_at is None
    line.later(3)
    send()
    assert facts(db, card).first_used_at is not None


# --- the sweep ---


def test_a_call_on_a_free_rate_that_is_heard_of_while_it_is_swept_goes_on(db: Database, vault: Vault) -> None:
    scenes.deck(db, {"880": "0"})
    line = Line(db, vault, scenes.switch(db))
    line.open(scenes.card(db, vault), one_shot=False)
    line.answer()
    line.later(661)
    # No hold moves at a price of nothing, so the hold cannot tell that something was heard.
    with meanwhile(sweeping, "settle", lambda: line.progress(661)):
        swept = sweep(db, line.now)
    assert (swept.settled, swept.voided, swept.failed) == (0, 0, 0)
    assert (line.show().state, line.show().max_seconds) == ("answered", 1_261)


def test_a_call_that_is_answered_while_it_is_swept_is_not_ended_for_nothing(
    db: Database, line: Line, card: TestCard
) -> None:
    line.open(card)
    line.later(14_400 + 180)
    with meanwhile(sweeping, "settle", lambda: line.answer(at=NOW + timedelta(seconds=20))):
        swept = sweep(db, line.now)
    assert (swept.settled, swept.voided) == (0, 0)
    assert line.show().state == "answered"
    assert sweep(db, line.now).settled == 1
    assert line.show().charged == USD("0.0003")  # one second, the deck's first increment, at 0.015 a minute


def test_a_call_that_cannot_be_locked_keeps_no_other_waiting_in_the_sweep(
    db: Database, vault: Vault, line: Line
) -> None:
    stuck, free = scenes.batch(db, vault, 2)
    line.open(stuck, ref="stuck")
    line.later(1).open(free, ref="free")
    line.later(20_000)
    with db.raw() as other:
        other.execute("SELECT id FROM card WHERE id = %s FOR UPDATE", (stuck.id,))
        with db.connection() as conn:
            conn.execute("SET lock_timeout = '50ms'")
        swept = sweep(db, line.now)
    assert (swept.settled, swept.voided, swept.failed) == (0, 1, 1)
    assert (line.show("stuck").state, line.show("free").state) == ("authorized", "ended")
    assert sweep(db, line.now).voided == 1
    with db.begin() as session:
        assert session.scalar(select(Call.id)) is None


@pytest.mark.parametrize("way", ["connection", "begin"])
def test_a_lock_that_is_not_had_in_time_is_unavailable_and_no_lost_link(
    db: Database, card: TestCard, way: str
) -> None:
    wanted = f"SELECT id FROM card WHERE id = {card.id} FOR UPDATE"
    runs = []

    @reruns
    def command(db: Database) -> None:
        runs.append(True)
        if way == "connection":
            with db.connection() as conn:
                conn.execute("SET lock_timeout = '50ms'")
                conn.execute(wanted)
        else:
            with db.begin() as session:
                session.execute(text("SET LOCAL lock_timeout = '50ms'"))
                session.execute(text(wanted))

    with db.raw() as other:
        other.execute(wanted)
        with pytest.raises(EngineUnavailable) as refused:
            command(db)
    assert refused.value.code == "busy"
    assert len(runs) == 1  # a lost link would be run again, and wait five times
