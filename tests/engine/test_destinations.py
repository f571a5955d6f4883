"""Destination rules: what they let through, and the commands that make and change them."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from sqlalchemy import select

from engine import house
from engine.actor import Actor
from engine.calls.destinations import (
    add_rules,
    allowed,
    change_rules,
    list_groups,
    list_rules,
    remove_group,
    set_group,
)
from engine.db import Database
from engine.errors import Conflict, InvalidInput, NotFound
from engine.house import Rules
from engine.phone import GROUPS, parse_destination
from engine.schema import AuditRow

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
ANNA = Actor("staff", 3, "Anna", "operator")

LONDON = "442079460000"
BRITISH_PREMIUM = "449098790000"
PARIS = "33142685300"
IRIDIUM = "881612345678"
OWN = {"Balkans": ("381", "3856"), "Costly": ("33", "8")}


def lets(number: str, barred: set[str], only: set[str] | None = None, country: str | None = "GB") -> bool:
    destination = parse_destination("+" + number, country)
    assert destination is not None
    rules = Rules(frozenset(barred), None if only is None else frozenset(only))
    return allowed(rules, destination.groups, destination.e164, OWN)


@pytest.mark.parametrize(
    ("number", "barred", "only", "expected"),
    [
        (LONDON, set(), None, True),
        (LONDON, {"premium", "satellite"}, None, True),
        (BRITISH_PREMIUM, {"premium", "satellite"}, None, False),
        (IRIDIUM, {"premium", "satellite"}, None, False),
        (IRIDIUM, {"premium"}, None, True),
        (LONDON, set(), {"national"}, True),
        (PARIS, set(), {"national"}, False),
        (PARIS, set(), {"national", "international"}, True),
        (PARIS, {"international"}, None, False),
        # A bar wins over an allowance.
        (BRITISH_PREMIUM, {"premium"}, {"national"}, False),
        # The operator's own groups.
        (PARIS, {"Costly"}, None, False),
        (LONDON, {"Costly"}, None, True),
        (PARIS, set(), {"Costly"}, True),
        (LONDON, set(), {"Costly"}, False),
        ("38161234567", {"Balkans"}, None, False),
        ("38561234567", {"Balkans"}, None, False),
        ("38511234567", {"Balkans"}, None, True),
        # A group that is gone holds no number.
        (LONDON, {"Gone"}, None, True),
        (LONDON, set(), {"Gone"}, False),
    ],
)
def test_rules_let_through(number: str, barred: set[str], only: set[str] | None, expected: bool) -> None:
    assert lets(number, barred, only) is expected


def test_national_is_a_matter_of_where_one_calls_from() -> None:
    assert lets(PARIS, set(), {"national"}, country="FR")
    assert not lets(PARIS, set(), {"national"}, country="GB")
    assert not lets(PARIS, set(), {"national"}, country=None)


def test_the_rules_of_a_new_installation(db: Database) -> None:
    assert [(rules.name, rules.barred, rules.allowed) for rules in list_rules(db)] == [
        ("Standard", ("premium", "satellite"), None),
        ("No bars", (), None),
        ("National only", ("premium", "satellite"), ("national",)),
    ]


def test_a_group_is_kept_sorted_without_signs_and_replaced_whole(db: Database) -> None:
    group = set_group(db, " Balkans ", ["+381", "00387", "381", " 385 "], ANNA, NOW)
    assert (group.name, group.prefixes) == ("Balkans", ("381", "385", "387"))
    set_group(db, "Balkans", ["383"], ANNA, NOW)
    assert [(group.name, group.prefixes) for group in list_groups(db)] == [("Balkans", ("383",))]
    assert audit_of(db) == [
        (
            "destination_group.set",
            "destination_group:Balkans",
            {"prefixes": ["381", "385", "387"], "before": None},
        ),
        (
            "destination_group.set",
            "destination_group:Balkans",
            {"prefixes": ["383"], "before": ["381", "385", "387"]},
        ),
    ]


@pytest.mark.parametrize(
    ("name", "prefixes", "code"),
    [
        ("premium", ["44"], "group_is_built_in"),
        ("", ["44"], "empty"),
        ("Right\u202eto left", ["44"], "invisible_character"),
        ("A", [], "prefixes_missing"),
        ("A", ["44x"], "bad_prefix"),
        ("A", ["٤٤"], "bad_prefix"),
        ("A", ["1" * 16], "bad_prefix"),
        ("A", ["00"], "bad_prefix"),
    ],
)
def test_a_group_that_makes_no_sense_is_refused(
    db: Database, name: str, prefixes: list[str], code: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        set_group(db, name, prefixes, ANNA, NOW)
    assert caught.value.code == code
    assert list_groups(db) == []
    assert audit_of(db) == []


def test_a_group_in_use_stays_until_no_rules_name_it(db: Database) -> None:
    set_group(db, "Balkans", ["381"], ANNA, NOW)
    add_rules(db, "Careful", ANNA, NOW, barred=["premium", "Balkans"])
    with pytest.raises(Conflict) as caught:
        remove_group(db, "Balkans", ANNA, NOW)
    assert (caught.value.code, caught.value.data["rules"]) == ("group_in_use", ["Careful"])
    change_rules(db, "Careful", ANNA, NOW, barred=["premium"], allowed=["Balkans"])
    with pytest.raises(Conflict, match="group_in_use"):
        remove_group(db, "Balkans", ANNA, NOW)
    change_rules(db, "Careful", ANNA, NOW, barred=["premium"])
    remove_group(db, "Balkans", ANNA, NOW)
    assert list_groups(db) == []
    with pytest.raises(NotFound, match="group_not_found"):
        remove_group(db, "Balkans", ANNA, NOW)


def test_rules_name_groups_that_exist_and_have_a_name_of_their_own(db: Database) -> None:
    rules = add_rules(
        db, "Careful", ANNA, NOW, barred=["premium", "premium", "toll_free"], allowed=["national"]
    )
    assert (rules.barred, rules.allowed) == (("premium", "toll_free"), ("national",))
    assert list_rules(db)[-1] == rules
    with pytest.raises(Conflict, match="rules_exist"):
        add_rules(db, "Careful", ANNA, NOW)
    for barred, only, code in [
        (["Balkans"], None, "unknown_group"),
        ([], ["Balkans"], "unknown_group"),
        ([], [], "nothing_allowed"),
    ]:
        with pytest.raises(InvalidInput) as caught:
            add_rules(db, "Other", ANNA, NOW, barred=barred, allowed=only)
        assert caught.value.code == code
    with pytest.raises(NotFound, match="rules_not_found"):
        change_rules(db, "Other", ANNA, NOW)
    set_group(db, "Balkans", ["381"], ANNA, NOW)
    with pytest.raises(InvalidInput) as caught:
        add_rules(db, "Other", ANNA, NOW, barred=["balkans"])
    assert caught.value.data["known"][:2] == ["Balkans", "international"]
    assert [action for action, _, _ in audit_of(db)] == [
        "destination_rules.add",
        "destination_group.set",
    ]


def test_rules_never_name_a_group_that_is_removed_at_the_same_time(db: Database) -> None:
    start = threading.Barrier(2)

    def remove(name: str) -> bool:
        start.wait()
        try:
            remove_group(db, name, ANNA, NOW)
        except Conflict:
            return False
        return True

    def use(name: str) -> bool:
        start.wait()
        try:
            add_rules(db, f"Rules of {name}", ANNA, NOW, barred=[name])
        except InvalidInput:
            return False
        return True

    with ThreadPoolExecutor(2) as pool:
        for turn in range(20):
            set_group(db, f"Group {turn}", ["381"], ANNA, NOW)
            removed = pool.submit(remove, f"Group {turn}")
            used = pool.submit(use, f"Group {turn}")
            assert removed.result() != used.result()
    there = {group.name for group in list_groups(db)}
    assert {name for rules in list_rules(db) for name in rules.barred} - set(GROUPS) == there


def test_a_change_moves_the_revision_by_which_processes_know(db: Database) -> None:
    before = house.refresh(db)
    set_group(db, "Balkans", ["381"], ANNA, NOW)
    rules = add_rules(db, "Careful", ANNA, NOW, barred=["Balkans"])
    after = house.refresh(db)
    assert after.revision > before.revision
    assert after.groups == {"Balkans": ("381",)}
    assert after.rules[rules.id] == Rules(frozenset({"Balkans"}), None)
    change_rules(db, "Careful", ANNA, NOW, barred=[])
    changed = house.refresh(db)
    assert changed.revision > after.revision
    assert changed.rules[rules.id] == Rules(frozenset(), None)
    assert audit_of(db)[-1][2]["before"] == {"barred": ["Balkans"], "allowed": None}


def audit_of(db: Database) -> list[tuple[str, str, dict[str, object]]]:
    with db.begin() as session:
        rows = session.scalars(select(AuditRow).order_by(AuditRow.id)).all()
    assert all((row.actor, row.actor_name, row.at) == ("staff:3", "Anna", NOW) for row in rows)
    return [(row.action, row.subject, row.data) for row in rows]
