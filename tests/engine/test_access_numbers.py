"""Access numbers: listed, changed, disabled; and what the call path learns of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from engine import house
from engine.actor import Actor
from engine.calls.access_numbers import (
    add_access_number,
    change_access_number,
    disable_access_number,
    enable_access_number,
    list_access_numbers,
)
from engine.db import Database
from engine.errors import Conflict, InvalidInput, NotFound
from engine.house import Access
from engine.schema import AuditRow

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
ANNA = Actor("staff", 3, "Anna", "operator")


def test_a_number_is_kept_as_digits_with_what_it_adds(db: Database) -> None:
    added = add_access_number(
        db,
        "+44 (800) 111-222",
        "Freephone London",
        ANNA,
        NOW,
        country="gb",
        language="pt-BR",
        per_minute=20_000,
        per_call=500_000,
    )
    assert added.number == "44800111222"
    assert (added.country, added.language, added.per_minute, added.per_call) == (
        "GB",
        "pt-BR",
        20_000,
        500_000,
    )
    assert (added.created_at, added.disabled_at) == (NOW, None)
    assert list_access_numbers(db) == [added]
    known = house.refresh(db)
    assert known.access("+44800111222") == Access("44800111222", "GB", "pt-BR", 20_000, 500_000)
    assert audit_of(db) == [
        (
            "access_number.add",
            "access_number:44800111222",
            {
                "number": "44800111222",
                "name": "Freephone London",
                "country": "GB",
                "language": "pt-BR",
                "per_minute": 20_000,
                "per_call": 500_000,
            },
        )
    ]


def test_the_same_number_is_listed_once(db: Database) -> None:
    add_access_number(db, "44800111222", "First", ANNA, NOW)
    with pytest.raises(Conflict) as caught:
        add_access_number(db, "+44 800 111222", "Second", ANNA, NOW)
    assert (caught.value.code, caught.value.data) == ("access_number_exists", {"number": "44800111222"})
    assert [row.name for row in list_access_numbers(db)] == ["First"]
    assert len(audit_of(db)) == 1


@pytest.mark.parametrize(
    ("wrong", "code", "field"),
    [
        ({"number": "12"}, "bad_access_number", "number"),
        ({"number": "1" * 16}, "bad_access_number", "number"),
        ({"number": "44800x"}, "bad_access_number", "number"),
        ({"number": "４４８００"}, "bad_access_number", "number"),
        ({"name": " "}, "empty", "name"),
        ({"country": "UK"}, "bad_country", "country"),
        ({"country": "United Kingdom"}, "bad_country", "country"),
        ({"language": "english!"}, "bad_language", "language"),
        ({"per_minute": -1}, "bad_surcharge", "per_minute"),
        ({"per_call": 10**12 + 1}, "bad_surcharge", "per_call"),
    ],
)
def test_what_makes_no_sense_is_refused_and_leaves_no_trace(
    db: Database, wrong: dict[str, Any], code: str, field: str
) -> None:
    values = {"number": "44800111222", "name": "London"} | wrong
    with pytest.raises(InvalidInput) as caught:
        add_access_number(db, actor=ANNA, now=NOW, **values)
    assert (caught.value.code, caught.value.data["field"]) == (code, field)
    assert list_access_numbers(db) == []
    assert audit_of(db) == []


def test_a_change_leaves_alone_what_is_not_named_and_empties_what_is_empty(db: Database) -> None:
    add_access_number(db, "44800111222", "London", ANNA, NOW, country="GB", language="en", per_minute=20_000)
    before = house.refresh(db).revision
    changed = change_access_number(db, "44800111222", ANNA, NOW, per_minute=0, per_call=7, language="")
    assert (changed.name, changed.country, changed.language) == ("London", "GB", None)
    assert (changed.per_minute, changed.per_call) == (0, 7)
    assert list_access_numbers(db) == [changed]
    assert house.refresh(db).revision > before
    assert audit_of(db)[-1] == (
        "access_number.change",
        "access_number:44800111222",
        {
            "language": None,
            "per_minute": 0,
            "per_call": 7,
            "before": {"language": "en", "per_minute": 20_000, "per_call": 0},
        },
    )
    with pytest.raises(NotFound, match="access_number_not_found"):
        change_access_number(db, "44800999999", ANNA, NOW, name="Leeds")


def test_a_disabled_number_is_as_if_it_were_not_listed(db: Database) -> None:
    add_access_number(db, "44800111222", "London", ANNA, NOW, country="GB", per_minute=20_000)
    later = NOW + timedelta(hours=1)
    assert disable_access_number(db, "44800111222", ANNA, later).disabled_at == later
    assert house.refresh(db).access("44800111222") == Access("44800111222")
    with pytest.raises(Conflict, match="access_number_disabled"):
        disable_access_number(db, "44800111222", ANNA, later)
    assert enable_access_number(db, "44800111222", ANNA, later).disabled_at is None
    assert house.refresh(db).access("44800111222").per_minute == 20_000
    with pytest.raises(Conflict, match="access_number_enabled"):
        enable_access_number(db, "44800111222", ANNA, later)
    assert [action for action, _, _ in audit_of(db)] == [
        "access_number.add",
        "access_number.disable",
        "access_number.enable",
    ]


def audit_of(db: Database) -> list[tuple[str, str, dict[str, object]]]:
    with db.begin() as session:
        rows = session.scalars(select(AuditRow).order_by(AuditRow.id)).all()
    return [(row.action, row.subject, row.data) for row in rows]
