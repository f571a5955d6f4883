"""Audit rows stand or fall with what they tell of, and never change; rules of the house are changed with one."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError, StatementError

from engine import settings
from engine.actor import SYSTEM, Actor
from engine.db import Database
from engine.errors import InvalidInput
from engine.messages import sentence
from engine.people import audit, consents, staff
from engine.people.policy import set_setting
from engine.reports import pruning
from engine.schema import AuditRow, Setting
from engine.settings import DEFAULTS
from engine.vault import Secret, Vault

NOW = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
ADA = Actor("staff", 3, "Ada Moss", "admin")


def rows(db: Database) -> list[AuditRow]:
    with db.begin() as session:
        return list(session.scalars(select(AuditRow).order_by(AuditRow.id)))


def test_a_row_tells_who_did_what_to_what_when_and_why(db: Database) -> None:
    with db.begin() as session:
        audit.record(session, ADA, "card.lock", "card:10000000017", NOW, reason="stolen", calls=2)
    (row,) = rows(db)
    assert (row.at, row.actor, row.actor_name, row.action, row.subject, row.reason, row.data) == (
        NOW,
        "staff:3",
        "Ada Moss",
        "card.lock",
        "card:10000000017",
        "stolen",
        {"calls": 2},
    )


def test_a_row_goes_with_the_command_that_failed(db: Database) -> None:
    def lock_and_fail() -> None:
        with db.begin() as session:
            audit.record(session, ADA, "card.lock", "card:10000000017", NOW)
            session.flush()
            raise RuntimeError("undone")

    with pytest.raises(RuntimeError, match="undone"):
        lock_and_fail()
    assert rows(db) == []


def test_a_secret_cannot_be_recorded(db: Database) -> None:
    with pytest.raises((TypeError, StatementError)), db.begin() as session:
        audit.record(session, ADA, "card.lock", "card:10000000017", NOW, password=Secret("hush"))
    assert rows(db) == []


@pytest.mark.parametrize("change", ["UPDATE audit SET action = 'none'", "DELETE FROM audit"])
def test_a_row_is_never_changed(db: Database, change: str) -> None:
    with db.begin() as session:
        audit.record(session, ADA, "card.lock", "card:10000000017", NOW)
    with pytest.raises(DBAPIError, match="never changed"), db.begin() as session:
        session.connection().exec_driver_sql(change)
    assert [row.action for row in rows(db)] == ["card.lock"]


def test_a_setting_counts_at_once_and_tells_what_it_was(db: Database) -> None:
    assert set_setting(db, "slice_s", 300, ADA, NOW).slice_s == 300
    assert set_setting(db, "slice_s", 900, ADA, NOW).slice_s == 900
    assert set_setting(db, "slice_s", None, ADA, NOW) == DEFAULTS
    assert [(row.action, row.subject, row.data["before"], row.data["after"]) for row in rows(db)] == [
        ("setting.set", "setting:slice_s", 600, 300),
        ("setting.set", "setting:slice_s", 300, 900),
        ("setting.set", "setting:slice_s", 900, 600),
    ]


@pytest.mark.parametrize("key", settings.RANGES)
def test_every_number_has_a_low_and_a_high(db: Database, key: str) -> None:
    low, high = settings.RANGES[key]
    for value in (low, high):
        assert getattr(set_setting(db, key, value, SYSTEM, NOW), key) == value
    for value in (low - 1, high + 1):
        with pytest.raises(InvalidInput, match="setting_out_of_range") as refused:
            set_setting(db, key, value, SYSTEM, NOW)
        assert sentence(refused.value) == f"The setting {key} must be between {low:,} and {high:,}."
    with db.begin() as session:
        assert getattr(settings.load(session), key) == high


def test_no_number_is_without_a_range_and_every_default_is_in_it() -> None:
    numbers = {key: value for key, value in dataclasses.asdict(DEFAULTS).items() if type(value) is int}
    assert set(settings.RANGES) == set(numbers)
    assert all(low <= numbers[key] <= high for key, (low, high) in settings.RANGES.items())


def test_a_number_of_before_there_were_ranges_counts_as_the_nearest_end(db: Database, vault: Vault) -> None:
    """What was put in force then must not stop the jobs, nor asking for a consent."""
    with db.begin() as session:
        for key in ("attempts_days", "consent_hours"):
            session.add(Setting(key=key, value=10**9))
        session.add(Setting(key="slice_s", value=0))
    staff.log_in(db, vault, "nobody", Secret("wrong wrong"), "192.0.2.1", NOW)
    pruning.prune(db, NOW)
    asked = {"action": "batch.export", "subject": "batch:1", "facts": {}, "reason": "x"}
    number = consents.ask(db, actor=ADA, now=NOW, **asked)  # type: ignore[arg-type]
    assert consents.show(db, number, NOW).expires_at == NOW + timedelta(hours=720)
    with db.begin() as session:
        assert settings.load(session).slice_s == 1


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("nonsense", 1),
        ("slice_s", "300"),
        ("slice_s", True),
        ("slice_s", 1.5),
        ("zone", "Mars/Base"),
        ("home_country", "Britain"),
        ("home_country", "XX"),
    ],
)
def test_a_setting_the_house_could_not_live_with_changes_nothing(
    db: Database, key: str, value: object
) -> None:
    with pytest.raises(InvalidInput):
        set_setting(db, key, value, ADA, NOW)
    assert rows(db) == []
    with db.begin() as session:
        assert settings.load(session) == DEFAULTS
