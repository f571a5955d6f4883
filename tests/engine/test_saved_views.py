"""Views of lists: each person's own, under names that mean one thing."""

from __future__ import annotations

import pytest

from engine.actor import CONSOLE
from engine.db import Database
from engine.errors import Conflict, InvalidInput, NotFound
from engine.people import staff
from engine.people.views import (
    MOST_VIEWS,
    View,
    delete_view,
    find_view,
    list_views,
    rename_view,
    save_view,
)
from engine.vault import Secret
from tests.scenes import NOW


@pytest.fixture
def people(db: Database) -> tuple[int, int]:
    """Two who work here."""
    made = [
        staff.add_staff(db, login, login, "operator", Secret("seven quiet harbours"), CONSOLE, NOW)[0]
        for login in ("anna", "ben")
    ]
    return made[0].id, made[1].id


def test_views_are_listed_by_name_and_only_to_their_keeper(db: Database, people: tuple[int, int]) -> None:
    anna, ben = people
    late = save_view(db, anna, "cards", "  Late  ones ", "status=expired", NOW)
    early = save_view(db, anna, "cards", "early ones", "status=unused", NOW)
    save_view(db, anna, "calls", "Late ones", "cause=busy", NOW)
    assert list_views(db, anna, "cards") == (
        View(early, "early ones", "status=unused"),
        View(late, "Late ones", "status=expired"),
    )
    assert list_views(db, ben, "cards") == ()
    for act in (find_view, delete_view, lambda *asked: rename_view(*asked, "Mine")):
        with pytest.raises(NotFound, match="view_not_found"):
            act(db, ben, late)
    assert find_view(db, anna, late).name == "Late ones"


def test_a_name_means_one_view(db: Database, people: tuple[int, int]) -> None:
    anna, ben = people
    first = save_view(db, anna, "cards", "Late", "status=expired", NOW)
    assert save_view(db, anna, "cards", "Late", "status=expired", NOW) == first
    with pytest.raises(InvalidInput, match="view_name_used"):
        save_view(db, anna, "cards", "Late", "status=locked", NOW)
    assert save_view(db, anna, "cards", "Late", "status=locked", NOW, replace=True) == first
    assert find_view(db, anna, first).query == "status=locked"
    save_view(db, ben, "cards", "Late", "status=empty", NOW)
    other = save_view(db, anna, "cards", "Early", "status=unused", NOW)
    with pytest.raises(InvalidInput, match="view_name_used"):
        rename_view(db, anna, other, "Late")
    rename_view(db, anna, other, "Early")
    rename_view(db, anna, other, "Soon")
    assert [view.name for view in list_views(db, anna, "cards")] == ["Late", "Soon"]
    assert delete_view(db, anna, first) == View(first, "Late", "status=locked")
    with pytest.raises(NotFound):
        delete_view(db, anna, first)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("", "empty"),
        ("x" * 61, "too_long"),
        ("a\x00b", "control_character"),
        ("a\u202eb", "invisible_character"),
    ],
)
def test_bad_names_are_refused(db: Database, people: tuple[int, int], name: str, code: str) -> None:
    kept = save_view(db, people[0], "cards", "Late", "", NOW)
    for act in (
        lambda: save_view(db, people[0], "cards", name, "status=empty", NOW),
        lambda: rename_view(db, people[0], kept, name),
    ):
        with pytest.raises(InvalidInput, match=code):
            act()
    assert [view.name for view in list_views(db, people[0], "cards")] == ["Late"]


def test_nobody_keeps_views_without_end(db: Database, people: tuple[int, int]) -> None:
    for n in range(MOST_VIEWS):
        save_view(db, people[0], "cards", f"View {n}", "", NOW)
    with pytest.raises(Conflict, match="too_many_views"):
        save_view(db, people[0], "cards", "One more", "", NOW)
    save_view(db, people[0], "calls", "One more", "", NOW)
    save_view(db, people[0], "cards", "View 3", "status=empty", NOW, replace=True)
    with pytest.raises(InvalidInput, match="too_long"):
        save_view(db, people[0], "calls", "Long", "x" * 2_001, NOW)
