"""Limits on failures: how many are free, what the further ones cost, and that racers are all counted."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest

from engine import limits
from engine.db import Database

NOW = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
KEY, OTHER = b"k" * 32, b"o" * 32


def fail(
    db: Database,
    at: datetime = NOW,
    key: bytes = KEY,
    free: int = 3,
    max_delay_s: int = 20,
    forget_s: int | None = None,
) -> tuple[int, int]:
    """Count a failure: how many there are now, and the seconds it costs."""
    with db.begin() as session:
        failures = limits.count_failure(
            session, key, at, free=free, first_delay_s=2, max_delay_s=max_delay_s, forget_s=forget_s
        )
        return failures, limits.blocked_for(session, key, at)


def take(db: Database, at: datetime = NOW) -> int:
    with db.begin() as session:
        return limits.take_try(session, KEY, at, free=3, first_delay_s=2, max_delay_s=20)


def test_three_failures_are_free_then_the_delay_doubles_up_to_the_longest(db: Database) -> None:
    told = [fail(db) for _ in range(9)]
    assert told == [(1, 0), (2, 0), (3, 0), (4, 2), (5, 4), (6, 8), (7, 16), (8, 20), (9, 20)]


def test_with_none_free_the_first_failure_costs(db: Database) -> None:
    assert fail(db, free=0) == (1, 2)
    assert fail(db, key=OTHER, free=0, max_delay_s=1) == (1, 1)


def test_a_delay_far_beyond_any_number_stays_the_longest(db: Database) -> None:
    with db.connection() as conn:
        conn.execute(
            "INSERT INTO failure_counter (key, failures, failed_at) VALUES (%s, 1000000, %s)", (KEY, NOW)
        )
    assert fail(db) == (1_000_001, 20)


def test_waiting_is_told_in_seconds_rounded_up_and_ends(db: Database) -> None:
    for _ in range(4):
        fail(db)
    with db.begin() as session:
        at = [NOW + timedelta(milliseconds=ms) for ms in (0, 1, 1000, 1999, 2000, 9000)]
        assert [limits.blocked_for(session, KEY, moment) for moment in at] == [2, 2, 1, 1, 0, 0]


def test_success_forgets_everything_of_one_name_only(db: Database) -> None:
    fail(db)
    fail(db, key=OTHER)
    with db.begin() as session:
        limits.count_success(session, KEY)
    assert fail(db) == (1, 0)
    assert fail(db, key=OTHER) == (2, 0)


def test_failures_far_apart_start_again_at_one_where_they_are_forgotten(db: Database) -> None:
    for _ in range(4):
        fail(db, forget_s=60)
    assert fail(db, NOW + timedelta(seconds=60), forget_s=60) == (5, 4)
    assert fail(db, NOW + timedelta(seconds=121), forget_s=60) == (1, 0)


def test_a_try_is_counted_ahead_and_not_heard_during_a_delay(db: Database) -> None:
    assert [take(db) for _ in range(6)] == [0, 0, 0, 0, 2, 2]
    assert take(db, NOW + timedelta(seconds=2)) == 0
    assert fail(db, NOW + timedelta(seconds=2)) == (6, 8)


def test_a_try_given_back_leaves_what_was_before_it(db: Database) -> None:
    assert [take(db) for _ in range(4)] == [0] * 4
    with db.begin() as session:
        limits.give_back(session, KEY)
    assert take(db) == 0
    assert take(db) == 2


@pytest.mark.parametrize("racers", [8])
def test_racing_failures_are_all_counted(db: Database, racers: int) -> None:
    counted: list[int] = []

    def guess() -> None:
        counted.extend(fail(db)[0] for _ in range(10))

    threads = [threading.Thread(target=guess) for _ in range(racers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(counted) == list(range(1, racers * 10 + 1))


def test_only_counters_without_a_failure_for_long_are_pruned(db: Database) -> None:
    fail(db)
    fail(db, NOW + timedelta(days=2), key=OTHER)
    with db.begin() as session:
        assert limits.prune(session, NOW + timedelta(days=30)) == 0
        assert limits.prune(session, NOW + timedelta(days=31)) == 1
    assert fail(db) == (1, 0)
    assert fail(db, key=OTHER) == (2, 0)
