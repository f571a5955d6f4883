"""Web sessions: they live as rows, and end by log-out, idleness, age, or because somebody says so."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select

from engine.db import Database
from engine.people import sessions
from engine.schema import WebSession
from engine.vault import Secret

NOW = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)


def later(**span: int) -> datetime:
    return NOW + timedelta(**span)


def opened(db: Database, realm: str = "staff", subject_id: int = 1, at: datetime = NOW) -> Secret:
    return sessions.open_session(db, realm, subject_id, "192.0.2.7", at)


def rows(db: Database) -> int:
    with db.begin() as session:
        return session.scalar(select(func.count()).select_from(WebSession)) or 0


def test_a_token_opens_its_own_session_in_its_own_realm_only(db: Database) -> None:
    ada, bob = opened(db), opened(db, subject_id=2)
    assert sessions.find_session(db, "staff", ada, NOW) == sessions.SessionInfo(
        "staff", 1, "192.0.2.7", NOW, NOW
    )
    found = sessions.find_session(db, "staff", bob, NOW)
    assert found is not None
    assert found.subject_id == 2
    assert sessions.find_session(db, "reseller", ada, NOW) is None
    assert sessions.find_session(db, "staff", Secret("made up"), NOW) is None
    assert sessions.find_session(db, "staff", Secret("\ud800\0"), NOW) is None


def test_each_log_in_has_a_new_token_that_stands_nowhere(db: Database) -> None:
    tokens = [opened(db).value for _ in range(20)]
    assert len(set(tokens)) == 20
    assert all(len(token) == 43 for token in tokens)
    with db.connection() as conn:
        dump = conn.execute("SELECT string_agg(w::text, '') AS all_of_it FROM web_session w").fetchone()
    assert dump is not None
    for token in tokens:
        assert token not in dump.all_of_it
        assert token.encode().hex() not in dump.all_of_it


@pytest.mark.parametrize("realm", sorted(sessions.LIFETIMES))
def test_a_session_dies_when_idle_and_lives_while_used(db: Database, realm: str) -> None:
    idle = timedelta(seconds=sessions.LIFETIMES[realm].idle_s)
    token = opened(db, realm)
    at = NOW
    for _ in range(3):
        at += idle - timedelta(seconds=1)
        assert sessions.find_session(db, realm, token, at) is not None
    assert sessions.find_session(db, realm, token, at + idle) is None
    assert sessions.find_session(db, realm, token, at + idle - timedelta(seconds=1)) is not None


@pytest.mark.parametrize("realm", sorted(sessions.LIFETIMES))
def test_a_session_dies_of_age_however_busy_it_is(db: Database, realm: str) -> None:
    absolute_s = sessions.LIFETIMES[realm].absolute_s
    token = opened(db, realm)
    for passed_s in range(0, absolute_s, 600):
        assert sessions.find_session(db, realm, token, later(seconds=passed_s)) is not None
    assert sessions.find_session(db, realm, token, later(seconds=absolute_s)) is None


def test_being_seen_is_written_at_most_once_a_minute(db: Database) -> None:
    token = opened(db)

    def seen(seconds: int) -> datetime:
        sessions.find_session(db, "staff", token, later(seconds=seconds))
        with db.begin() as session:
            return session.scalars(select(WebSession.last_seen_at)).one()

    assert [seen(seconds) - NOW for seconds in (1, 59, 60, 61, 119, 120, 90)] == [
        timedelta(seconds=written) for written in (0, 0, 60, 60, 60, 120, 120)
    ]


def test_log_out_kills_the_token_at_once_and_only_that_one(db: Database) -> None:
    here, there = opened(db), opened(db)
    sessions.close_session(db, "reseller", here)
    assert sessions.find_session(db, "staff", here, NOW) is not None
    sessions.close_session(db, "staff", here)
    sessions.close_session(db, "staff", here)
    assert sessions.find_session(db, "staff", here, NOW) is None
    assert sessions.find_session(db, "staff", there, NOW) is not None


def test_everywhere_somebody_is_logged_in_ends_together_with_what_ended_it(db: Database) -> None:
    mine = [opened(db) for _ in range(3)]
    others = [opened(db, subject_id=2), opened(db, "cardholder")]

    def end_and_fail() -> None:
        with db.begin() as session:
            sessions.close_all(session, "staff", 1)
            raise RuntimeError("undone")

    with pytest.raises(RuntimeError, match="undone"):
        end_and_fail()
    assert sessions.find_session(db, "staff", mine[0], NOW) is not None
    with db.begin() as session:
        assert sessions.close_all(session, "staff", 1) == 3
    assert [sessions.find_session(db, "staff", token, NOW) for token in mine] == [None] * 3
    assert sessions.find_session(db, "staff", others[0], NOW) is not None
    assert sessions.find_session(db, "cardholder", others[1], NOW) is not None


def test_only_sessions_that_are_over_are_pruned(db: Database) -> None:
    idle, fresh = opened(db), opened(db, at=later(minutes=29))
    assert sessions.find_session(db, "staff", idle, NOW) is not None
    opened(db, "cardholder")
    assert sessions.prune(db, later(minutes=30)) == 2
    assert rows(db) == 1
    assert sessions.find_session(db, "staff", fresh, later(minutes=30)) is not None
