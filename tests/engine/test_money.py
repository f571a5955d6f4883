"""Amounts in and out: nothing is rounded, nothing is guessed."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import InvalidInput
from engine.money import (
    MAX_UNITS,
    MICROS,
    AmountError,
    Money,
    format_amount,
    format_money,
    parse_amount,
    parse_currency,
)


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("5", 5_000_000),
        ("5.00", 5_000_000),
        (" 5.00 ", 5_000_000),
        ("0.0123", 12_300),
        (".5", 500_000),
        ("0.000001", 1),
        ("0", 0),
        ("007", 7_000_000),
        ("1000000000000", MAX_UNITS * MICROS),
    ],
)
def test_parse_amount_takes_plain_decimals(text: str, micros: int) -> None:
    assert parse_amount(text) == micros


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "empty"),
        ("   ", "empty"),
        ("-5", "negative"),
        ("+5", "not_a_number"),
        ("1e9", "not_a_number"),
        ("4.47E+11", "not_a_number"),
        ("NaN", "not_a_number"),
        ("inf", "not_a_number"),
        ("5.", "not_a_number"),
        (".", "not_a_number"),
        ("1_000", "not_a_number"),
        ("$5", "not_a_number"),
        ("\uff11\uff12", "not_a_number"),
        ("\u0663", "not_a_number"),
        ("5\n", "not_a_number"),
        ("5\x00", "not_a_number"),
        ("1,50", "comma"),
        ("1,000.00", "comma"),
        ("0.00000005", "too_fine"),
        ("0.1000000", "too_fine"),
        ("1000000000000.000001", "too_large"),
        ("1" + "0" * 30, "too_large"),
        ("9" * 100_000, "too_large"),
    ],
)
def test_parse_amount_refuses_and_says_why(text: str, code: str) -> None:
    with pytest.raises(AmountError) as caught:
        parse_amount(text, field="amount")
    assert caught.value.code == code
    assert caught.value.data["field"] == "amount"
    assert len(caught.value.text) <= 40
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, InvalidInput)


def test_parse_amount_takes_a_sign_only_where_asked() -> None:
    assert parse_amount("-5.25", allow_negative=True) == -5_250_000
    assert parse_amount("+5.25", allow_negative=True) == 5_250_000
    with pytest.raises(AmountError):
        parse_amount("--5", allow_negative=True)


@pytest.mark.parametrize(
    ("micros", "json_text", "people"),
    [
        (0, "0.0000", "USD 0.00"),
        (1_250_000, "1.2500", "USD 1.25"),
        (123, "0.000123", "USD 0.000123"),
        (5_000_000, "5.0000", "USD 5.00"),
        (-12_300, "-0.0123", "USD -0.0123"),
        (1_234_567_000_000, "1234567.0000", "USD 1,234,567.00"),
    ],
)
def test_amounts_are_written_whole(micros: int, json_text: str, people: str) -> None:
    assert format_amount(micros) == json_text
    assert format_money(micros, "USD") == people
    assert str(Money(micros, "USD")) == people


def test_format_amount_without_decimals_shows_only_what_is_there() -> None:
    assert format_amount(5_000_000, 0) == "5"
    assert format_amount(5_100_000, 0) == "5.1"


@given(st.integers(-MAX_UNITS * MICROS, MAX_UNITS * MICROS), st.integers(0, 6))
def test_what_is_written_reads_back_the_same(micros: int, decimals: int) -> None:
    assert parse_amount(format_amount(micros, decimals), allow_negative=True) == micros


@given(st.text(max_size=30))
def test_parse_amount_never_raises_anything_else(text: str) -> None:
    with contextlib.suppress(AmountError):
        assert 0 <= parse_amount(text) <= MAX_UNITS * MICROS


def test_money_of_two_currencies_is_never_added() -> None:
    assert Money(5, "USD") + Money(7, "USD") - Money(2, "USD") == Money(10, "USD")
    assert -Money(5, "USD") == Money(-5, "USD")
    with pytest.raises(AmountError) as caught:
        Money(5, "USD") + Money(5, "EUR")
    assert caught.value.code == "currency_mismatch"


def test_parse_currency_takes_codes_in_use_only() -> None:
    assert parse_currency("USD") == "USD"
    for text in ("usd", "XXX", "DEM", "US", "USDT", "", "\uff35\uff33\uff24"):
        with pytest.raises(AmountError) as caught:
            parse_currency(text)
        assert caught.value.code == "currency"
