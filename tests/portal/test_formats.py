"""How money, times and serials look."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from flask import Flask

from engine import settings
from engine.db import Database
from portal import formats


@pytest.mark.parametrize(
    ("micros", "text"),
    [
        (0, "0.00"),
        (5_000_000, "5.00"),
        (12_345_678, "12.345678"),
        (-250_000, "\u22120.25"),
        (1_234_567_890_000, "1,234,567.89"),
        (1, "0.000001"),
    ],
)
def test_an_amount_keeps_every_digit_it_has(micros: int, text: str) -> None:
    assert formats.amount(micros) == text


def test_amounts_in_a_column_have_as_many_decimals_as_charges() -> None:
    assert [formats.amount(micros, 4) for micros in (17_500, 1_050_000, 1)] == [
        "0.0175",
        "1.0500",
        "0.000001",
    ]
    assert [formats.signed(micros, 4) for micros in (5_000_000, -17_500, 0)] == [
        "+5.0000",
        "\u22120.0175",
        "0.0000",
    ]


def test_money_names_its_currency_and_escapes_it() -> None:
    assert str(formats.money(5_000_000, "USD")) == (
        '<span class="money d2"><span class="currency">USD</span> 5.00</span>'
    )
    assert "<b>" not in formats.money(1, "<b>")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (45, "45 s"), (60, "1 min"), (65, "1 min 5 s"), (3600, "1 h"), (7384, "2 h 3 min 4 s")],
)
def test_a_duration_in_words(seconds: int, text: str) -> None:
    assert formats.duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "a few seconds"), (41, "50 s"), (91, "2 min"), (353, "6 min"), (7000, "2 h")]
)
def test_a_guess_is_no_finer_than_it_can_be(seconds: int, text: str) -> None:
    assert formats.roughly(seconds) == text


def test_a_time_stands_in_the_operators_zone_with_the_instant_on_hover(app: Flask, db: Database) -> None:
    with db.begin() as session:
        settings.put(session, "zone", "Asia/Kathmandu")
    with app.test_request_context():
        shown = formats.when(datetime(2026, 12, 31, 18, 20, 5, 123, tzinfo=UTC))
        assert str(shown) == (
            '<time datetime="2026-12-31T18:20:05Z" title="2026-12-31 18:20:05 UTC">1 Jan 2027, 00:05</time>'
        )
        assert str(formats.when(None, "<never>")) == "&lt;never&gt;"


def test_the_end_of_a_day_is_named_by_that_day(app: Flask, db: Database) -> None:
    with db.begin() as session:
        settings.put(session, "zone", "America/New_York")
    with app.test_request_context():
        assert formats.until(datetime(2026, 7, 1, 4, 0, tzinfo=UTC)).striptags() == "the end of 30 Jun 2026"
        assert formats.until(datetime(2026, 7, 1, 0, 0, tzinfo=UTC)).striptags() == "30 Jun 2026, 20:00"
        assert "2026-07-01 04:00:00 UTC" in formats.until(datetime(2026, 7, 1, 4, 0, tzinfo=UTC))
        assert str(formats.until(None)) == "never"


def test_a_serial_reads_in_groups_and_copies_as_one() -> None:
    shown = formats.serial("10000000017")
    assert shown.striptags() == "10000000017"
    assert shown.count("<span>") == 3
