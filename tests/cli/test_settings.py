"""`cardtone settings` as an administrator types it."""

from __future__ import annotations

import dataclasses

import pytest

from engine import settings
from engine.db import Database
from engine.settings import DEFAULTS, Settings
from engine.settings_en import WORDS

from .conftest import Cardtone


def in_force(db: Database) -> Settings:
    with db.begin() as session:
        return settings.load(session)


def test_every_setting_has_its_words_and_every_number_its_unit() -> None:
    assert list(WORDS) == [field.name for field in dataclasses.fields(Settings)]
    for key, words in WORDS.items():
        assert words.meaning.endswith(".")
        assert bool(words.unit) == (type(getattr(DEFAULTS, key)) is int), key
        if key.endswith("_s"):
            assert words.unit == "seconds"
        if key.endswith("_ms"):
            assert words.unit == "milliseconds"


def test_settings_are_listed_with_units_and_what_differs_from_the_default(cardtone: Cardtone) -> None:
    cardtone("settings", "set", "slice_s", "300")
    lines = cardtone("settings", "list").out.splitlines()
    assert len(lines) == 2 * len(WORDS)
    assert "slice_s = 300 seconds (default 600 seconds), 1 to 86400" in lines
    assert "call_cap_s = 14400 seconds, 1 to 604800" in lines
    assert "home_country = none" in lines
    assert all(len(line) <= 110 for line in lines)
    listed = cardtone("settings", "list", "--json").json["settings"]
    assert listed[list(WORDS).index("slice_s")] == {
        "key": "slice_s",
        "value": 300,
        "default": 600,
        "low": 1,
        "high": 86_400,
        "unit": "seconds",
        "meaning": WORDS["slice_s"].meaning,
    }


def test_a_setting_is_set_and_reset(cardtone: Cardtone, db: Database) -> None:
    assert cardtone("settings", "set", "zone", "Asia/Dhaka").status == 0
    assert cardtone("settings", "set", "tolerance_ms", "0").status == 0
    assert (in_force(db).zone, in_force(db).tolerance_ms) == ("Asia/Dhaka", 0)
    assert cardtone("settings", "reset", "zone", "--json").json["value"] == "UTC"
    assert in_force(db) == dataclasses.replace(DEFAULTS, tolerance_ms=0)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["set", "nonsense", "1"], "There is no setting named nonsense."),
        (["reset", "nonsense"], "There is no setting named nonsense."),
        (["set", "slice_s", "ten"], "The setting slice_s can't be ten."),
        (["set", "slice_s", "-5"], "The setting slice_s must be between 1 and 86,400."),
        (["set", "slice_s", "0"], "The setting slice_s must be between 1 and 86,400."),
        (["set", "slice_s", "9" * 40], "The setting slice_s must be between 1 and 86,400."),
        (["set", "slice_s", "1.5"], "The setting slice_s can't be 1.5."),
        (["set", "slice_s", "１２"], "The setting slice_s can't be １２."),
        (["set", "zone", "Mars/Base"], "There is no time zone Mars/Base"),
        (["set", "home_country", "Britain"], "Britain is not a country"),
        (["set", "slice_s"], "Missing argument 'VALUE'."),
    ],
)
def test_what_is_wrong_is_one_sentence_and_changes_nothing(
    cardtone: Cardtone, db: Database, arguments: list[str], sentence: str
) -> None:
    ran = cardtone("settings", *arguments)
    assert (ran.status, ran.out) == (1, "")
    assert sentence in ran.err
    assert len(ran.err.splitlines()) == 1
    assert in_force(db) == DEFAULTS
