"""Rate sheets as carriers send them: what is understood, what is refused, and what is said about it."""

from __future__ import annotations

import io
import re
import struct
import zipfile
from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from pathlib import Path

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.calls import deckfile
from engine.calls.deckfile import DeckFile, DeckRow, describe, read_deck
from engine.calls.deckproblem import MESSAGES

NEW_YEAR = datetime(2026, 1, 1)  # noqa: DTZ001 - as a spreadsheet has it, without a zone
HEADER = "Prefix,Destination,Price\n"


def csv_deck(text: str, **options: object) -> DeckFile:
    return read_deck(text.encode(), **options)  # type: ignore[arg-type]


def xlsx(rows: Sequence[Sequence[object]], title: str = "Rates") -> bytes:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.title = title
    for row in rows:
        sheet.append(list(row))
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def only_row(deck: DeckFile) -> DeckRow:
    assert deck.problems == [], [describe(problem) for problem in deck.problems]
    (row,) = deck.rows
    return row


def found(deck: DeckFile) -> list[tuple[int, str | None, str]]:
    for problem in (*deck.problems, *deck.warnings, *deck.notes):
        assert "{" not in describe(problem)
    return [(problem.line, problem.column, problem.code) for problem in deck.problems]


def notes(deck: DeckFile) -> dict[str, str]:
    return {note.code: describe(note) for note in deck.notes}


# What carriers send


def test_a_plain_sheet() -> None:
    deck = csv_deck(
        "Prefix,Destination,Price,Connect fee\n44,United Kingdom,0.0123,0.05\n447,UK mobile,0.25,\n"
    )
    assert deck.ok
    assert deck.rows == [
        DeckRow(2, "44", "United Kingdom", 12_300, 50_000),
        DeckRow(3, "447", "UK mobile", 250_000),
    ]
    assert (deck.delimiter, deck.encoding, deck.sheet, deck.header_line) == (",", "UTF-8", None, 1)
    assert deck.mapping == {
        "prefix": "Prefix",
        "destination_name": "Destination",
        "price_per_minute": "Price",
        "connect_fee": "Connect fee",
    }


@pytest.mark.parametrize(
    ("header", "values", "expected"),
    [
        ("Code,Rate", "44,0.5", {}),
        ("Dial Code,Rate/min (USD)", "44,0.5", {}),
        ("dialcode,PRICE PER MINUTE", "44,0.5", {}),
        ("Destination code;Voice rate", "44;0.5", {}),
        ("DIALING_CODE,USD/min", "44,0.5", {}),
        ("Prefix,Price USD", "44,0.5", {}),
        ("Country code,Area code,Rate", "44,20,0.5", {"prefix": "4420"}),
        ("Country code,Area code,Rate", "44,,0.5", {}),
        ("Code,Rate,Min,Increment", "44,0.5,60,6", {"first_increment": 60, "increment": 6}),
        ("Code,Rate,Initial,Interval", "44,0.5,30,6", {"first_increment": 30, "increment": 6}),
        ("Code,Rate,Interval 1,Interval N", "44,0.5,60,1", {"first_increment": 60, "increment": 1}),
        (
            "Code,Rate,Initial increment (sec),Subsequent increment (sec)",
            "44,0.5,60 s,1 sec",
            {"first_increment": 60, "increment": 1},
        ),
        (
            "Code,Rate,Minimum duration,Next interval",
            "44,0.5,60,30",
            {"first_increment": 60, "increment": 30},
        ),
        ("Code,Rate,First interval", "44,0.5,60", {"first_increment": 60, "increment": 1}),
        ("Code,Rate,Increment", "44,0.5,6", {"first_increment": 1, "increment": 6}),
        ("Code,Rate,Billing increment", "44,0.5,1/1", {}),
        ("Code,Rate,Billing increment", "44,0.5,60/1", {"first_increment": 60, "increment": 1}),
        ("Code,Rate,Billing increment", "44,0.5,30/6", {"first_increment": 30, "increment": 6}),
        ("Code,Rate,Billing", "44,0.5,60+60", {"first_increment": 60, "increment": 60}),
        ("Code,Rate,Billing", "44,0.5,60", {"first_increment": 60, "increment": 60}),
        ("Code,Rate,Increment", "44,0.5,30/6", {"first_increment": 30, "increment": 6}),
        ("Code,Rate,Connection", "44,0.5,0.05", {"connect_fee": 50_000}),
        ("Code,Rate,Setup", "44,0.5,0.05", {"connect_fee": 50_000}),
        ("Code,Rate,Connection charge", "44,0.5,0.05", {"connect_fee": 50_000}),
        ("Code,Rate,Setup", "44,0.5,", {}),
        ("Code,Rate,Grace seconds", "44,0.5,3", {"grace": 3}),
        ("Code,Rate,Name", "44,0.5, United  Kingdom ", {"destination_name": "United Kingdom"}),
        ("Code,Rate,Country,Description", "44,0.5,UK,Mobile", {"destination_name": "UK Mobile"}),
        ("Code,Rate,Country,Destination", "44,0.5,UK,UK mobile", {"destination_name": "UK mobile"}),
        (
            "Code,Rate,Effective date",
            "44,0.5,2026-12-01",
            {"effective_from": datetime(2026, 12, 1, tzinfo=UTC)},
        ),
        ("Code,Rate,Valid to", "44,0.5,2026-12-31", {"effective_until": datetime(2027, 1, 1, tzinfo=UTC)}),
        (
            "Code,Rate,Valid from,Until",
            "44,0.5,2026-12-01 06:30,2026-12-31T12:00:00+02:00",
            {
                "effective_from": datetime(2026, 12, 1, 6, 30, tzinfo=UTC),
                "effective_until": datetime(2026, 12, 31, 10, 0, tzinfo=UTC),
            },
        ),
        (
            "Code,Rate,Days",
            "44,0.5,Mon-Fri",
            {"days": (1, 2, 3, 4, 5), "from_time": time(0), "to_time": time(0)},
        ),
        (
            "Code,Rate,From time,To time",
            "44,0.5,08:00,20:00",
            {"days": (1, 2, 3, 4, 5, 6, 7), "from_time": time(8), "to_time": time(20)},
        ),
        (
            "Code,Rate,Days,Time window",
            '44,0.5,"Sat, Sun",22:00 - 6:00',
            {"days": (6, 7), "from_time": time(22), "to_time": time(6)},
        ),
        ("Code,Rate,Days,Time window", "44,0.5,daily,00:00-24:00", {}),
        ("Code,Rate,Old rate", "44,0.5,0.9", {}),
        ("Code,Rate,Currency", "44,0.5,usd", {}),
    ],
)
def test_column_names_as_carriers_write_them(header: str, values: str, expected: dict[str, object]) -> None:
    row = only_row(csv_deck(f"{header}\n{values}\n", currency="USD"))
    plain = DeckRow(2, "44", "44", 500_000)._replace(**expected)
    if "destination_name" not in expected:
        plain = plain._replace(destination_name=plain.prefix)
    assert row == plain


def test_titles_above_the_column_names_blank_lines_and_page_breaks_are_skipped_and_said() -> None:
    deck = csv_deck(
        'Acme Wholesale Voice,,\n"Valid from, and until further notice",,\n,,\n\n'
        "Code,Destination,Rate\n44,UK,0.01\n,,\nCode,Destination,Rate\n33,France,0.02\n\n"
    )
    assert [(row.line, row.prefix) for row in deck.rows] == [(6, "44"), (9, "33")]
    assert deck.header_line == 5
    said = notes(deck)
    assert said["preamble_skipped"] == "The column names are on line 5; 2 lines above them were skipped."
    assert "line 8" in said["header_repeated"]


def test_columns_that_mean_nothing_are_named() -> None:
    deck = csv_deck("Code,Rate,Old rate,Comment\n44,0.5,0.4,new\n")
    assert notes(deck)["columns_ignored"] == "Columns that were not read: Old rate, Comment."


@pytest.mark.parametrize(
    ("delimiter", "name"), [(",", "commas"), (";", "semicolons"), ("\t", "tabs"), ("|", "bars")]
)
def test_the_separator_is_found_and_said(delimiter: str, name: str) -> None:
    deck = csv_deck(f"Some title\nPrefix{delimiter}Price\n44{delimiter}0.5\n")
    assert only_row(deck).price_per_minute == 500_000
    assert deck.delimiter == delimiter
    assert name in notes(deck)["delimiter"]


def test_the_line_that_excel_leaves_for_itself_is_understood() -> None:
    assert only_row(csv_deck("sep=;\r\nPrefix;Price\r\n44;0.5\r\n")).line == 3


@pytest.mark.parametrize(
    ("codec", "said", "guessed"),
    [
        ("utf-8", "UTF-8", False),
        ("utf-8-sig", "UTF-8", False),
        ("utf-16", "UTF-16", False),
        ("cp1252", "Windows-1252", True),
    ],
)
def test_encodings(codec: str, said: str, guessed: bool) -> None:
    deck = read_deck("Prefix;Name;Price\r\n225;Côte d’Ivoire;0,5\r\n".encode(codec))
    assert only_row(deck).destination_name == "Côte d’Ivoire"
    assert deck.encoding == said
    assert ("encoding_guessed" in notes(deck)) == guessed
    assert ("encoding" in notes(deck)) != guessed


def test_utf16_of_either_byte_order() -> None:
    for mark, codec in ((b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be")):
        deck = read_deck(mark + "Prefix\tPrice\n44\t0.5\n".encode(codec))
        assert only_row(deck).prefix == "44"


# Prefixes


@pytest.mark.parametrize(
    ("text", "prefixes"),
    [
        ("44", ["44"]),
        ("0044", ["44"]),
        ("+44 ", ["44"]),
        ("00 44", ["44"]),
        ("44-20", ["4420"]),
        ("44 20", ["4420"]),
        ("44 (20)", ["4420"]),
        ("'44", ["44"]),
        ("44.0", ["44"]),
        ("880171;880172", ["880171", "880172"]),
        ('"880171,880172"', ["880171", "880172"]),
        ("880171;880173-880175", ["880171", "880173", "880174", "880175"]),
        ("4420 - 4422", ["4420", "4421", "4422"]),
    ],
)
def test_prefixes_are_normalised_and_that_is_shown(text: str, prefixes: list[str]) -> None:
    deck = csv_deck(f"Prefix,Price\n{text},0.5\n")
    assert found(deck) == []
    assert [row.prefix for row in deck.rows] == prefixes
    assert {row.line for row in deck.rows} == {2}
    shown = text.strip('"').strip()
    if len(prefixes) > 1:
        assert shown in notes(deck)["prefixes_expanded"]
    elif shown != prefixes[0]:
        assert f"“{shown}” to {prefixes[0]}" in notes(deck)["prefix_normalised"]


def test_codes_in_two_columns_may_list_several_areas() -> None:
    deck = csv_deck('Country code,Area codes,Rate\n+44,"20,121, 161",0.5\n39,"06",0.5\n')
    assert [row.prefix for row in deck.rows] == ["4420", "44121", "44161", "3906"]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("4.47E+11", "prefix_scientific"),
        ("8.80171e11", "prefix_scientific"),
        ('"4,47E+11"', "prefix_scientific"),
        ("44.5", "prefix_decimal"),
        ('"880,171"', "prefix_comma"),
        ('"44,20"', "prefix_comma"),
        ("", "missing"),
        (";", "missing"),
        ("044", "prefix_zero"),
        ("0", "prefix_zero"),
        ("00", "prefix_zero"),
        ("44x", "prefix_not_digits"),
        ("-44", "prefix_not_digits"),
        ("UK", "prefix_not_digits"),
        ("\uff14\uff14", "prefix_not_digits"),
        ("44²", "prefix_not_digits"),
        ("4" * 16, "prefix_too_long"),
        ("880175-880171", "prefix_range"),
        ("8801-88099", "prefix_not_digits_or_range"),
        ("1000-9999", "prefix_range_wide"),
        ("10000000-99999999", "prefix_range_wide"),
        (";".join(str(n) for n in range(10_000, 11_200)), "prefix_range_wide"),
    ],
)
def test_what_is_no_prefix_is_named_with_line_and_column(text: str, code: str) -> None:
    deck = csv_deck(f"Dial code,Name,Price\n33,France,0.1\n{text},x,0.5\n")
    expected = "prefix_range" if code == "prefix_not_digits_or_range" else code
    assert found(deck) == [(3, "Dial code", expected)]
    assert not deck.ok


def test_a_spreadsheet_is_named_as_the_culprit() -> None:
    deck = csv_deck("Prefix,Price\n4.47E+11,0.5\n")
    assert describe(deck.problems[0]) == (
        "Line 2, Prefix: a spreadsheet turned this prefix into “4.47E+11” and lost digits. "
        "Format the column as text and enter it again."
    )


@pytest.mark.parametrize(
    ("prefix", "expected"), [("396", "3906"), ("2257", "22507"), ("24206", None), ("393", None)]
)
def test_a_zero_that_a_spreadsheet_took_is_missed(prefix: str, expected: str | None) -> None:
    deck = csv_deck(f"Prefix,Price\n{prefix},0.5\n")
    assert deck.ok
    assert [describe(warning) for warning in deck.warnings] == (
        [f"Line 2, Prefix: {prefix} may have lost a zero: numbers there begin with {expected}."]
        if expected
        else []
    )


def test_an_area_code_with_its_trunk_zero_is_refused() -> None:
    deck = csv_deck("Country code,Area code,Rate\n44,020,0.5\n44,abc,0.5\n")
    assert [problem.code for problem in deck.problems] == ["area_code_zero", "prefix_not_digits"]


# Amounts


@pytest.mark.parametrize(
    ("text", "micros"),
    [("0.0123", 12_300), ("1", 1_000_000), (".5", 500_000), ("$0.5", 500_000), ("0.0100000000", 10_000)],
)
def test_prices(text: str, micros: int) -> None:
    assert only_row(csv_deck(f"Prefix,Price\n44,{text}\n")).price_per_minute == micros


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "missing"),
        ("-0.01", "negative"),
        ("1e-5", "scientific"),
        ("1.2E-05", "scientific"),
        ("NaN", "not_a_number"),
        ("free", "not_a_number"),
        ("#REF!", "not_a_number"),
        ("\uff11\uff12", "not_a_number"),
        ("0.00000005", "too_fine"),
        ("1" + "0" * 30, "amount_too_large"),
        ("2000000000", "amount_too_large"),
        ('"0,0123"', "comma"),
        ('"1,234.50"', "comma"),
    ],
)
def test_what_is_no_price_is_named(text: str, code: str) -> None:
    assert found(csv_deck(f"Prefix,Rate/min\n44,{text}\n")) == [(2, "Rate/min", code)]
    assert found(csv_deck(f"Prefix,Rate,Setup\n44,0.5,{text or '-'}\n"))[0][1] == "Setup"


def test_a_decimal_comma_is_read_where_it_separates_nothing_else_and_said() -> None:
    deck = csv_deck("Prefix;Price;Setup\n44;0,0123;0,5\n33;1,50;0\n1;0,125;0\n")
    assert found(deck) == []
    assert [row.price_per_minute for row in deck.rows] == [12_300, 1_500_000, 125_000]
    assert notes(deck)["decimal_comma"] == "Commas in prices were read as decimal commas: “0,0123” is 0.0123."


def test_a_comma_that_could_be_either_is_refused() -> None:
    assert found(csv_deck("Prefix;Price\n44;1,500\n")) == [(2, "Price", "comma")]
    assert found(csv_deck("Prefix;Price\n44;1.234,50\n")) == [(2, "Price", "comma")]
    assert found(csv_deck("Prefix;Price\n44;0,5\n33;0.5\n")) == [(0, None, "mixed_decimals")]


def test_an_unquoted_decimal_comma_in_a_comma_file_does_not_shift_the_columns() -> None:
    assert found(csv_deck("Prefix,Price,Name\n44,0,0123,UK\n")) == [(2, None, "too_many_cells")]


def test_a_zero_price_is_a_warning_and_no_problem() -> None:
    deck = csv_deck("Prefix,Price\n1800,0.00\n")
    assert deck.ok
    assert [describe(warning) for warning in deck.warnings] == [
        "Line 2, Price: the price is zero: calls to 1800 would be free."
    ]


@pytest.mark.parametrize(
    "name", ["Rate (US cents)", "Price/sec", "Price per second", "Rate (ct)", "Rate (¢)"]
)
def test_prices_in_other_units_are_refused(name: str) -> None:
    assert [problem.code for problem in csv_deck(f"Prefix,{name}\n44,1.5\n").problems] == ["price_unit"]


def test_prices_in_another_currency_are_refused() -> None:
    assert found(csv_deck("Prefix,Price (EUR)\n44,1\n", currency="USD")) == [(1, None, "currency_other")]
    assert found(csv_deck("Prefix,Price,Currency\n44,1,EUR\n", currency="USD")) == [
        (2, "Currency", "currency_other")
    ]
    assert csv_deck("Prefix,Price (EUR)\n44,1\n", currency="EUR").ok
    assert csv_deck("Prefix,Price (EUR)\n44,1\n").ok


# Increments


@pytest.mark.parametrize(
    ("header", "text", "code"),
    [
        ("Min", "0", "increment_zero"),
        ("Increment", "0", "increment_zero"),
        ("Billing increment", "0/1", "increment_zero"),
        ("Billing increment", "60/0", "increment_zero"),
        ("Billing increment", "1-Jan", "increment_date"),
        ("Billing increment", "Jan-60", "increment_date"),
        ("Billing increment", "2026-01-01", "increment_date"),
        ("Increment", "-6", "negative"),
        ("Increment", "6.5", "seconds_invalid"),
        ("Increment", "one", "seconds_invalid"),
        ("Increment", "86401", "seconds_too_large"),
        ("Grace", "-1", "negative"),
        ("Billing", "60/1/1", "seconds_invalid"),
    ],
)
def test_increments_that_make_no_sense_are_named(header: str, text: str, code: str) -> None:
    assert found(csv_deck(f"Prefix,Price,{header}\n44,0.5,{text}\n")) == [(2, header, code)]


def test_columns_that_disagree_about_the_first_increment_are_named() -> None:
    deck = csv_deck("Prefix,Price,Min,Billing\n44,0.5,30,60/1\n33,0.5,60,60/1\n")
    assert found(deck) == [(2, "Billing", "increments_differ")]


# Dates, days and times


@pytest.mark.parametrize(
    "text",
    [
        "2026-12-01",
        "2026/12/01",
        "20261201",
        "01.12.2026",
        "1-Dec-2026",
        "1 December 2026",
        '"Dec 1, 2026"',
        "2026-12-01T00:00:00Z",
        "2026-12-01 00:00:00",
    ],
)
def test_dates_that_can_be_only_one_day(text: str) -> None:
    row = only_row(csv_deck(f"Prefix,Price,Effective\n44,0.5,{text}\n"))
    assert row.effective_from == datetime(2026, 12, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "day"), [("25/12/2026", 25), ("12/25/2026", 25), ("12/12/2026", 12), ("25-12-2026", 25)]
)
def test_slashes_are_read_where_only_one_order_is_possible(text: str, day: int) -> None:
    row = only_row(csv_deck(f"Prefix,Price,Effective\n44,0.5,{text}\n"))
    assert row.effective_from == datetime(2026, 12, day, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("2026-02-30", "date_invalid"),
        ("30 February 2026", "date_invalid"),
        ("30.02.2026", "date_invalid"),
        ("9999-12-31", "date_out_of_range"),
        ("9999-12-31T23:59:59", "date_out_of_range"),
        ("1999-12-31", "date_out_of_range"),
        ("01/02/2026", "date_ambiguous"),
        ("13/13/2026", "date_invalid"),
        ("46000", "date_invalid"),
        ("soon", "date_invalid"),
        ("1 Foo 2026", "date_invalid"),
    ],
)
def test_dates_that_are_none_are_named(text: str, code: str) -> None:
    assert found(csv_deck(f"Prefix,Price,Valid from\n44,0.5,{text}\n")) == [(2, "Valid from", code)]


def test_days_begin_and_end_at_midnight_in_the_decks_zone() -> None:
    """Berlin, over the night in which clocks go back."""
    deck = csv_deck("Prefix,Price,From,Until\n44,0.5,2026-10-25,2026-10-25\n", zone="Europe/Berlin")
    row = only_row(deck)
    assert row.effective_from == datetime(2026, 10, 24, 22, 0, tzinfo=UTC)
    assert row.effective_until == datetime(2026, 10, 25, 23, 0, tzinfo=UTC)
    assert "2026-10-25" in notes(deck)["until_inclusive"]


def test_a_rate_that_ends_before_it_begins_is_named() -> None:
    deck = csv_deck("Prefix,Price,From,Until\n44,0.5,2026-10-25,2026-10-24\n")
    assert found(deck) == [(2, "Until", "dates_reversed")]


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("Mon-Fri", (1, 2, 3, 4, 5)),
        ("monday - friday", (1, 2, 3, 4, 5)),
        ("1-5", (1, 2, 3, 4, 5)),
        ("Sat;Sun", (6, 7)),
        ("Sa Su", (6, 7)),
        ("Fri-Mon", (1, 5, 6, 7)),
        ("weekend", (6, 7)),
        ("Weekdays", (1, 2, 3, 4, 5)),
        ("3", (3,)),
        ("Mon-Sun", None),
        ("all", None),
        ("", None),
    ],
)
def test_days_of_the_week(text: str, days: tuple[int, ...] | None) -> None:
    assert only_row(csv_deck(f"Prefix,Price,Days\n44,0.5,{text}\n")).days == days


@pytest.mark.parametrize(
    ("header", "text", "code"),
    [
        ("Days", "0-6", "days_invalid"),
        ("Days", "8", "days_invalid"),
        ("Days", "M", "days_invalid"),
        ("Days", "someday", "days_invalid"),
        ("From time", "8", "time_invalid"),
        ("From time", "24:00", "time_invalid"),
        ("To time", "25:00", "time_invalid"),
        ("Time window", "peak", "window_invalid"),
        ("Time window", "08:00-2000", "time_invalid"),
    ],
)
def test_windows_that_are_none_are_named(header: str, text: str, code: str) -> None:
    assert found(csv_deck(f"Prefix,Price,{header}\n44,0.5,{text}\n")) == [(2, header, code)]


def test_a_window_that_ends_where_it_begins_is_refused() -> None:
    assert found(csv_deck("Prefix,Price,Window\n44,0.5,08:00-08:00\n")) == [(2, None, "window_empty")]


def test_one_minute_to_midnight_means_midnight() -> None:
    deck = csv_deck("Prefix,Price,From time,To time\n44,0.5,18:00,23:59\n")
    assert only_row(deck).to_time == time(0)
    assert "23:59" in notes(deck)["end_of_day"]


# Rates that would hold at once


@pytest.mark.parametrize(
    ("header", "rows", "code"),
    [
        ("Prefix,Price", ["44,1", "44,1"], "duplicate_prefix"),
        ("Prefix,Price", ["44,1", "0044,2"], "duplicate_prefix"),
        ("Prefix,Price", ["44,1", "43;44,2"], "duplicate_prefix"),
        ("Prefix,Price,From", ["44,1,2026-01-01", "44,2,2026-01-01"], "duplicate_prefix"),
        ("Prefix,Price,From", ["44,1,", "44,2,2026-01-01"], "overlapping_dates"),
        (
            "Prefix,Price,From,Until",
            ["44,1,2026-01-01,2026-06-30", "44,2,2026-06-15,2026-12-31"],
            "overlapping_dates",
        ),
        (
            "Prefix,Price,From,Until",
            ["44,1,2026-06-15,2026-12-31", "44,2,2026-01-01,2026-06-30"],
            "overlapping_dates",
        ),
        ("Prefix,Price,Window", ["44,1,08:00-20:00", "44,2,18:00-09:00"], "overlapping_windows"),
        ("Prefix,Price,Days", ["44,1,Mon-Fri", "44,2,Fri-Sun"], "overlapping_windows"),
        ("Prefix,Price,Days", ["44,1,", "44,2,Sun"], "overlapping_windows"),
    ],
)
def test_two_rates_at_once_are_refused_and_both_lines_named(header: str, rows: list[str], code: str) -> None:
    deck = csv_deck("\n".join([header, "33,1", *rows]) + "\n")
    assert found(deck) == [(4, None, code)]
    assert "line 3" in describe(deck.problems[0])
    assert "44" in describe(deck.problems[0])


@pytest.mark.parametrize(
    ("header", "rows"),
    [
        ("Prefix,Price,From,Until", ["44,1,,2026-06-30", "44,2,2026-07-01,"]),
        ("Prefix,Price,Days", ["44,1,Mon-Fri", "44,2,Sat-Sun"]),
        ("Prefix,Price,Window", ["44,1,08:00-20:00", "44,2,20:00-08:00"]),
        ("Prefix,Price,Days,Window", ["44,1,Fri,22:00-06:00", "44,2,Sat,06:00-22:00"]),
    ],
)
def test_rates_that_take_turns_are_taken(header: str, rows: list[str]) -> None:
    assert found(csv_deck("\n".join([header, *rows]) + "\n")) == []


def test_a_new_price_from_the_last_day_of_the_old_one_begins_at_midnight() -> None:
    deck = csv_deck("Prefix,Price,From,Until\n44,1,2026-01-01,2026-07-01\n44,2,2026-07-01,\n")
    assert found(deck) == []
    assert deck.rows[0].effective_until == deck.rows[1].effective_from == datetime(2026, 7, 1, tzinfo=UTC)
    assert "until_cut" in notes(deck)


def test_hundreds_of_rates_for_one_prefix_are_refused_quickly() -> None:
    deck = csv_deck(HEADER + "44,UK,1\n" * 5_000)
    assert found(deck) == [(2, None, "too_many_for_prefix")]


# The file


def test_every_bad_row_is_named_and_the_good_ones_are_still_shown() -> None:
    deck = csv_deck(
        "Prefix,Name,Price,Increment\n"
        "44,UK,0.01,1\n"
        "4.47E+11,UK mobile,0.02,1\n"
        "33,France,-0.02,0\n"
        "1,USA,0.01\n"
        ",,,\n"
        "49,Germany,,1\n"
        "Total,4 rates,,\n"
    )
    assert found(deck) == [
        (3, "Prefix", "prefix_scientific"),
        (4, "Price", "negative"),
        (4, "Increment", "increment_zero"),
        (7, "Price", "missing"),
        (8, "Prefix", "prefix_not_digits"),
        (8, "Price", "missing"),
    ]
    assert [row.prefix for row in deck.rows] == ["44", "1"]


@pytest.mark.parametrize(
    ("data", "line", "code"),
    [
        (b"", 0, "empty_file"),
        (b"  \r\n ", 0, "empty_file"),
        (b"Prefix,Price\n", 0, "no_rates"),
        (b"44,United Kingdom,0.01\n33,France,0.02\n", 0, "no_header"),
        (b"Prefix,Destination\n44,UK\n", 1, "column_missing"),
        (b"Price,Destination\n44,UK\n", 1, "column_missing"),
        (b"Prefix,Code,Price\n44,44,1\n", 0, "column_twice"),
        (b"Prefix,Rate,Price\n44,1,1\n", 0, "column_twice"),
        (b"Prefix,Price\n44,0.5\n33\x00,0.5\n", 3, "nul"),
        (b'Prefix,Price\n44,0.5\n33,"0.5\n', 3, "csv_malformed"),
        (b'Prefix,Price\n44,"0.5"x\n', 2, "csv_malformed"),
        (b"Prefix,Name,Price\n44," + b"x" * 200_000 + b",1\n", 2, "csv_malformed"),
        ("Prefix,Price\n44,1\n".encode("utf-16-le"), 0, "utf16_without_bom"),
        (b"\xff\xfe\x00", 0, "not_text"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, 0, "old_excel"),
        (b"PK\x03\x04 and no more", 0, "xlsx_damaged"),
    ],
)
def test_files_that_cannot_be_taken(data: bytes, line: int, code: str) -> None:
    deck = read_deck(data)
    assert [(problem.line, problem.code) for problem in deck.problems][:1] == [(line, code)]
    assert not deck.ok
    assert "{" not in describe(deck.problems[0])


def test_a_file_over_twenty_megabytes_is_refused_unread() -> None:
    data = HEADER.encode() + b"44,UK,1\n" * 2_700_000
    assert len(data) > deckfile.MAX_BYTES
    assert found(read_deck(data)) == [(0, None, "too_large")]


def test_columns_can_be_chosen_by_name() -> None:
    text = "Code,Prefix,Rate,Price,When\n44,020,1,2,2026-01-01\n"
    assert "column_twice" in [problem.code for problem in csv_deck(text).problems]
    deck = csv_deck(text, mapping={"prefix": "Code", "price_per_minute": " price ", "effective_from": "When"})
    row = only_row(deck)
    assert (row.prefix, row.price_per_minute) == ("44", 2_000_000)
    assert row.effective_from == datetime(2026, 1, 1, tzinfo=UTC)
    assert deck.mapping["effective_from"] == "When"


def test_a_choice_that_cannot_be_met_is_said() -> None:
    assert [p.code for p in csv_deck("Code,Rate\n44,1\n", mapping={"price": "Rate"}).problems] == [
        "mapping_unknown_field"
    ]
    assert [p.code for p in csv_deck("Code,Rate\n44,1\n", mapping={"grace": "Free"}).problems] == [
        "mapping_unknown_header"
    ]


def test_the_separator_can_be_chosen() -> None:
    deck = csv_deck("Prefix:Price\n44:0.5\n", delimiter=":")
    assert only_row(deck).prefix == "44"


# XLSX


def test_a_spreadsheet_with_text_and_number_cells() -> None:
    data = xlsx(
        [
            ["Acme rates", None, None],
            [],
            [
                "Code",
                "Destination",
                "Rate/min (USD)",
                "Min",
                "Increment",
                "Effective date",
                "From time",
                "To time",
            ],
            ["44", "United Kingdom", 0.0123, 60, 1.0, NEW_YEAR, time(8), time(20)],
            [447, "UK mobile", "0.25", "60", 6, date(2026, 1, 1), "08:00", "20:00"],
            [880171.0, "Bangladesh", 0.1 + 0.2, None, None, "2026-01-01", None, None],
            [33, "France", 1e-05, None, None, None, None, None],
        ]
    )
    deck = read_deck(data, currency="USD")
    assert found(deck) == []
    assert deck.sheet == "Rates"
    assert deck.delimiter is None
    assert deck.header_line == 3
    since = NEW_YEAR.replace(tzinfo=UTC)
    everyday = (1, 2, 3, 4, 5, 6, 7)
    assert deck.rows == [
        DeckRow(4, "44", "United Kingdom", 12_300, 0, 60, 1, 0, since, None, everyday, time(8), time(20)),
        DeckRow(5, "447", "UK mobile", 250_000, 0, 60, 6, 0, since, None, everyday, time(8), time(20)),
        DeckRow(6, "880171", "Bangladesh", 300_000, 0, 1, 1, 0, since),
        DeckRow(7, "33", "France", 10),
    ]


def test_what_a_spreadsheet_did_to_its_cells_is_named() -> None:
    data = xlsx(
        [
            ["Code", "Rate", "Billing"],
            [4.47e15, 0.5, None],
            ["4.47E+11", 0.5, None],
            [44.5, 0.5, None],
            [44, 0.123456789, None],
            [45, -1, None],
            [46, 0.5, NEW_YEAR],
            [47, True, None],
            [NEW_YEAR, 1, None],
        ]
    )
    assert found(read_deck(data)) == [
        (2, "Code", "prefix_scientific"),
        (3, "Code", "prefix_scientific"),
        (4, "Code", "prefix_decimal"),
        (5, "Rate", "too_fine"),
        (6, "Rate", "negative"),
        (7, "Billing", "increment_date"),
        (8, "Rate", "not_a_number"),
        (9, "Code", "prefix_not_digits"),
    ]


def test_the_sheet_with_the_rates_is_found_and_the_others_are_named() -> None:
    book = openpyxl.Workbook()
    cover = book.active
    assert cover is not None
    cover.title = "Cover"
    cover.append(["Dear customer"])
    rates = book.create_sheet("A-Z")
    rates.append(["Prefix", "Price"])
    rates.append([44, 0.5])
    out = io.BytesIO()
    book.save(out)
    deck = read_deck(out.getvalue())
    assert only_row(deck).prefix == "44"
    assert deck.sheet == "A-Z"
    assert notes(deck)["sheets_ignored"] == "Other sheets were not read: Cover."


def repacked(data: bytes, **parts: bytes) -> bytes:
    """The XLSX file with some parts replaced; `sheet` is the first worksheet."""
    out = io.BytesIO()
    names = {"sheet": "xl/worksheets/sheet1.xml", "extra": "xl/extra.xml"}
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            if name not in {names[part] for part in parts}:
                new.writestr(name, old.read(name))
        for part, content in parts.items():
            new.writestr(names[part], content)
    return out.getvalue()


def test_a_zip_bomb_is_not_opened() -> None:
    honest = xlsx([["Prefix", "Price"], [44, 0.5]])
    bomb = repacked(honest, extra=b" " * 30_000_000)
    assert len(bomb) < 100_000
    assert found(read_deck(bomb)) == [(0, None, "xlsx_unpacks_too_large")]


def test_a_zip_that_lies_about_its_size_yields_no_more_than_it_declares() -> None:
    honest = xlsx([["Prefix", "Price"], [44, 0.5]])
    bomb = bytearray(repacked(honest, sheet=b"<a>" + b" " * 50_000_000 + b"</a>"))
    real = struct.pack("<I", 50_000_007)
    assert bomb.count(real) >= 1
    lying = bytes(bomb).replace(real, struct.pack("<I", 1_000))
    assert found(read_deck(lying)) == [(0, None, "xlsx_damaged")]


def test_entities_are_not_expanded() -> None:
    evil = b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x "' + b"x" * 1000 + b'">]><a>&x;</a>'
    assert found(read_deck(repacked(xlsx([["Prefix", "Price"]]), sheet=evil))) == [(0, None, "xlsx_unsafe")]


def test_a_cell_far_to_the_right_is_no_way_to_fill_the_memory() -> None:
    sheet = (
        b'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
        b'<row r="1"><c r="XFD1"><v>1</v></c></row></sheetData></worksheet>'
    )
    assert found(read_deck(repacked(xlsx([["Prefix"]]), sheet=sheet))) == [(1, None, "too_many_columns")]


def test_other_zips_and_broken_parts_are_damaged_files() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("hello.txt", "hello")
    assert found(read_deck(out.getvalue())) == [(0, None, "xlsx_damaged")]
    honest = xlsx([["Prefix", "Price"], [44, 0.5]])
    assert found(read_deck(repacked(honest, sheet=b"<worksheet><sheetData><row>"))) == [
        (0, None, "xlsx_damaged")
    ]
    assert found(read_deck(honest[: len(honest) // 2])) == [(0, None, "xlsx_damaged")]


# All of it


def test_every_code_that_is_used_has_a_sentence_and_every_sentence_is_used() -> None:
    here = Path(deckfile.__file__).parent
    sources = [here / f"deck{part}.py" for part in ("cells", "sheet", "header", "overlap", "file")]
    text = "".join(path.read_text() for path in sources)
    raised = set(re.findall(r'(?:CellError|_note)\(\s*"(\w+)"', text))
    raised |= set(re.findall(r'Problem\([^"]*?, "(\w+)"', text))
    assert len(raised) > 40
    assert raised <= MESSAGES.keys()
    assert MESSAGES.keys() <= set(re.findall(r'"(\w+)"', text))


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.lists(
            st.one_of(
                st.sampled_from(
                    ["44", "+44", "0044", "4.47E+11", "0.5", "0,5", "1/1", "2026-01-01", "Mon-Fri", "08:00"]
                ),
                st.text(max_size=12),
            ),
            min_size=1,
            max_size=9,
        ),
        max_size=6,
    ),
    st.sampled_from([",", ";", "\t", "|"]),
)
def test_nothing_in_a_row_makes_the_reader_fail(rows: list[list[str]], delimiter: str) -> None:
    header = delimiter.join(
        ["Prefix", "Name", "Price", "Setup", "Billing", "From", "Until", "Days", "Time window"]
    )
    text = "\n".join([header, *(delimiter.join(row) for row in rows)])
    deck = csv_deck(text.encode("utf-8", "replace").decode())
    for problem in (*deck.problems, *deck.warnings, *deck.notes):
        assert describe(problem)
    for row in deck.rows:
        assert re.fullmatch("[1-9][0-9]{0,14}", row.prefix, re.ASCII)
        assert row.price_per_minute >= 0
        assert row.first_increment >= 1
        assert row.increment >= 1


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.binary(max_size=400), st.binary(max_size=200).map(lambda tail: b"PK\x03\x04" + tail)))
def test_nothing_in_a_file_makes_the_reader_fail(data: bytes) -> None:
    deck = read_deck(data)
    assert deck.problems
    assert all(describe(problem) for problem in deck.problems)
