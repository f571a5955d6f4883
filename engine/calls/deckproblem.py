"""What can be wrong with, or worth saying about, a carrier's rate sheet: codes with data, and their plain sentences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

FILE = 0
"""The line of what concerns the whole file."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing found in a rate sheet: where (line 0 is the whole file), in which column (its header, as written),
    a stable code and the data its sentence needs. Warnings and notes have the same form."""

    line: int
    column: str | None
    code: str
    data: Mapping[str, Any] = field(default_factory=dict)


class CellError(Exception):
    """A cell that cannot be read; becomes a `Problem` where its line and column are known."""

    def __init__(self, code: str, **data: Any) -> None:
        super().__init__(code)
        self.code = code
        self.data = data


def describe(problem: Problem) -> str:
    """One plain English sentence, beginning with the line and column it is about."""
    sentence = MESSAGES[problem.code].format_map(problem.data)
    if problem.line == FILE:
        return sentence
    place = f"Line {problem.line}" if problem.column is None else f"Line {problem.line}, {problem.column}"
    return f"{place}: {sentence}"


FIELD_NAMES = {
    "prefix": "the prefix",
    "country_code": "the country code",
    "area_code": "the area code",
    "destination_name": "the destination's name",
    "country": "the country's name",
    "price_per_minute": "the price per minute",
    "connect_fee": "the connect fee",
    "first_increment": "the first increment",
    "increment": "the increment",
    "billing": "both increments",
    "grace": "the grace seconds",
    "effective_from": "the first day",
    "effective_until": "the last day",
    "days": "the days of the week",
    "from_time": "the time it begins",
    "to_time": "the time it ends",
    "time_window": "the time of day",
    "currency": "the currency",
}
"""What each field of a rate sheet is called in a sentence."""


MESSAGES = {
    # The file
    "empty_file": "The file is empty.",
    "too_large": "The file is larger than {limit_mb} MB. Split it, or leave out what is not rates.",
    "too_many_rows": "The file has more than {limit} rows. Split it.",
    "too_many_columns": "A row has more than {limit} columns.",
    "old_excel": "This is an old or password-protected Excel file. Save it as .xlsx or CSV without a password.",
    "xlsx_damaged": "The Excel file cannot be read: it is damaged, or not an Excel file.",
    "xlsx_unpacks_too_large": "The Excel file unpacks to far more than a rate sheet needs, so it was not opened.",
    "xlsx_unsafe": "The Excel file holds definitions that no rate sheet needs, so it was not opened.",
    "not_text": "The file is neither text (CSV) nor an Excel file (.xlsx).",
    "utf16_without_bom": "The file looks like UTF-16 without its byte order mark. Save it as UTF-8.",
    "csv_malformed": "the quotes or the length of this line are wrong ({detail}).",
    "nul": "there is a NUL character, so the file was damaged or is no text.",
    "no_header": "No column names were found in the first {rows} rows. At least a prefix and a price are needed.",
    "column_missing": "There is no column for {what}. The columns are: {headers}.",
    "column_twice": "Several columns could be {what}: {headers}. Say which one it is.",
    "mapping_unknown_field": "“{field}” is not something a rate sheet can hold.",
    "mapping_unknown_header": "There is no column “{header}”.",
    "no_rates": "There is no rate in the file.",
    "price_unit": "The prices are not per minute in units of the currency: “{header}”. Convert them first.",
    "currency_other": "The prices are in {found}, but the deck is in {currency}.",
    "mixed_decimals": "some prices have a decimal point and some a decimal comma, such as “{text}”. Use one of them.",
    # A row
    "too_many_cells": "there are more values than columns; perhaps a comma inside a value is not quoted.",
    "missing": "there is nothing, but a value is needed.",
    "prefix_scientific": "a spreadsheet turned this prefix into “{text}” and lost digits. "
    "Format the column as text and enter it again.",
    "prefix_decimal": "“{text}” has a decimal point. Format the column as text, so that no spreadsheet changes it.",
    "prefix_not_digits": "“{text}” is not a prefix; only digits are.",
    "prefix_zero": "“{text}” begins with 0, but no country code does. Write the country code first.",
    "prefix_too_long": "“{text}” has more than 15 digits.",
    "prefix_comma": "“{text}” could be one prefix or a list. Write one prefix a row, or put a semicolon between them.",
    "prefix_range": "“{text}” is not a range of prefixes that can be written out.",
    "prefix_range_wide": "“{text}” stands for more than {limit} prefixes. Use a shorter prefix.",
    "area_code_zero": "“{text}” begins with 0, which is not dialled from abroad. Leave it out.",
    "not_a_number": "“{text}” is not an amount.",
    "scientific": "a spreadsheet wrote “{text}”. Format the column with enough decimals and save it again.",
    "comma": "“{text}” could mean two different amounts. Use a decimal point.",
    "negative": "“{text}” is negative.",
    "too_fine": "“{text}” has more than six decimals, and nothing is rounded silently.",
    "amount_too_large": "“{text}” is too large.",
    "seconds_invalid": "“{text}” is not a number of whole seconds.",
    "seconds_too_large": "“{text}” is more than a day.",
    "increment_zero": "“{text}”: an increment is at least 1 second.",
    "increment_date": "a spreadsheet turned increments such as 1/1 into the date “{text}”. Format the column as text.",
    "increments_differ": "“{text}” says something else than the column “{other}”.",
    "date_invalid": "“{text}” is not a date. Write it as 2026-12-31.",
    "date_ambiguous": "“{text}” could be two different days. Write it as 2026-12-31.",
    "date_out_of_range": "“{text}” is not a day between {first} and {last}. Leave it empty where there is no limit.",
    "dates_reversed": "the rate ends before it begins.",
    "days_invalid": "“{text}” is not days of the week. Write them as Mon-Fri or 1-5 (1 is Monday).",
    "time_invalid": "“{text}” is not a time of day. Write it as 08:00.",
    "window_invalid": "“{text}” is not a time of day from and to. Write it as 08:00-20:00.",
    "window_empty": "the time of day ends where it begins.",
    "duplicate_prefix": "the prefix {prefix} is on line {other} too.",
    "overlapping_dates": "the prefix {prefix} has another rate on line {other} for some of the same days.",
    "overlapping_windows": "the prefix {prefix} has another rate on line {other} for some of the same hours.",
    "too_many_for_prefix": "the prefix {prefix} has more than {limit} rates.",
    # Warnings
    "zero_price": "the price is zero: calls to {prefix} would be free.",
    "lost_zero": "{prefix} may have lost a zero: numbers there begin with {expected}.",
    # Notes
    "delimiter": "The values are separated by {name}.",
    "encoding": "The text is {encoding}.",
    "encoding_guessed": "The file does not say how its text is encoded; it was read as {encoding}. Look at the names.",
    "sheet": "The rates are on the sheet “{sheet}”.",
    "sheets_ignored": "Other sheets were not read: {sheets}.",
    "preamble_skipped": "The column names are on line {header_line}; {count} lines above them were skipped.",
    "columns_ignored": "Columns that were not read: {headers}.",
    "header_repeated": "The column names come again on line {at} and were skipped there.",
    "prefix_normalised": "{count} prefixes were brought to plain digits, such as “{text}” to {became}.",
    "prefixes_expanded": "{count} cells held several prefixes, such as “{text}”; each became a rate of its own.",
    "decimal_comma": "Commas in prices were read as decimal commas: “{text}” is {became}.",
    "first_missing": "There is no column for the first increment: 1 second was taken.",
    "until_inclusive": "A last day is included: “{text}” ends at midnight after it.",
    "until_cut": "Where the next rate of a prefix begins on the last day of the one before, it begins at midnight.",
    "end_of_day": "“{text}” as the end of a window was read as midnight.",
}
"""A sentence for every code; what stands in braces comes from the data."""
