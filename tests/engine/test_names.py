"""Names that people give to things."""

from __future__ import annotations

import unicodedata

import pytest

from engine.errors import InvalidInput
from engine.names import LONGEST, checked_name, sought


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("  Retail   A-Z ", "Retail A-Z"),
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("=HYPERLINK(1)", "=HYPERLINK(1)"),
        (unicodedata.normalize("NFD", "Québec"), "Québec"),
        ("Розница", "Розница"),
        ("قائمة", "قائمة"),
        ("x" * LONGEST, "x" * LONGEST),
    ],
)
def test_a_name_is_kept_with_every_visible_sign(typed: str, kept: str) -> None:
    assert checked_name(typed) == kept
    assert sought(typed) == kept


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        ("", "empty"),
        ("   ", "empty"),
        ("x" * (LONGEST + 1), "too_long"),
        ("A\nB", "control_character"),
        ("A\tB", "control_character"),
        ("A\x00B", "control_character"),
        ("A\u2028B", "control_character"),
        ("A\u200bB", "invisible_character"),
        ("A\u202eB", "invisible_character"),
        ("A\ufeffB", "invisible_character"),
        ("\u3164", "invisible_character"),
        ("A\ud800", "invisible_character"),
        ("A\ufffdB", "invisible_character"),
    ],
)
def test_what_cannot_be_seen_is_refused(typed: str, code: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        checked_name(typed, field="deck")
    assert (caught.value.code, caught.value.data["field"]) == (code, "deck")


def test_what_is_looked_for_can_be_asked_of_postgresql() -> None:
    assert sought("A\0B\ud800C") == "A\ufffdB\ufffdC"
