"""The rows of a rate sheet out of a file's bytes: CSV in the encodings and with the separators that spreadsheets
write, and XLSX with a guard against files that unpack without end.

Everything comes out as text; a date becomes ISO 8601 text, a time of day `08:00:00`. What must not be opened or
cannot be read raises `CellError`; its line is the whole file's unless the data names one.
"""

from __future__ import annotations

import codecs
import csv
import io
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, time
from decimal import Decimal
from itertools import islice
from typing import Any

from openpyxl import load_workbook

from engine.calls.deckproblem import CellError

MAX_BYTES = 20 * 1024 * 1024
MAX_ROWS = 1_000_000
MAX_COLUMNS = 256
HEADER_ROWS = 50
"""How far down the column names are looked for: carriers put titles, addresses and dates above them."""

MAX_UNPACKED = 200 * 1024 * 1024
MAX_RATIO = 100
"""How many times larger than packed an XLSX file may be; honest ones stay near 10. Small files are let off."""

_RATIO_MATTERS = 10 * 1024 * 1024
_MAX_PARTS = 1_000
_EXACT_DIGITS = 15

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}

Line = tuple[int, list[str]]
"""A line number as a person counts it, from 1, and the text of the cells."""


@dataclass(slots=True)
class Sheet:
    """The rows of a file, and how they were found. `rows` can be gone through once."""

    rows: Iterator[Line]
    delimiter: str | None = None
    encoding: str | None = None
    encoding_guessed: bool = False
    name: str | None = None
    other_sheets: list[str] = field(default_factory=list)


HasHeader = Callable[[Iterable[list[str]]], bool]
"""Tells whether one of these rows is the row of column names."""


def open_sheet(data: bytes, has_header: HasHeader, delimiter: str | None = None) -> Sheet:
    """The sheet with the rates. `has_header` decides between separators and between sheets; `delimiter` overrules."""
    if len(data) > MAX_BYTES:
        raise CellError("too_large", limit_mb=MAX_BYTES // 1024 // 1024)
    if not data.strip():
        raise CellError("empty_file")
    if data.startswith(b"PK\x03\x04"):
        return _open_xlsx(data, has_header)
    if data.startswith(b"\xd0\xcf\x11\xe0"):
        raise CellError("old_excel")
    return _open_csv(data, has_header, delimiter)


# CSV

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig", "UTF-8"),
    (codecs.BOM_UTF16_LE, "utf-16", "UTF-16"),
    (codecs.BOM_UTF16_BE, "utf-16", "UTF-16"),
)


def _open_csv(data: bytes, has_header: HasHeader, delimiter: str | None) -> Sheet:
    text, encoding, guessed = _decoded(data)
    first = text[:6]
    if first[:4].lower() == "sep=" and first[4:5] in DELIMITERS:  # a line that Excel leaves for itself
        delimiter = delimiter or first[4]
        text = text[5:]
    found = delimiter or _delimiter(text, has_header)
    return Sheet(_csv_rows(text, found), found, encoding, guessed)


def _decoded(data: bytes) -> tuple[str, str, bool]:
    """The text, its encoding, and whether that had to be guessed."""
    for mark, codec, name in _MARKS:
        if data.startswith(mark):
            try:
                return _without_nul(data.decode(codec)), name, False
            except UnicodeDecodeError:
                raise CellError("not_text") from None
    start = data[:2000]
    if (
        b"\0" in start
        and min(start[::2].count(0), start[1::2].count(0)) == 0
        and start.count(0) > len(start) // 4
    ):
        raise CellError("utf16_without_bom")
    try:
        return _without_nul(data.decode("utf-8")), "UTF-8", False
    except UnicodeDecodeError:
        return _without_nul(data.decode("cp1252", errors="replace")), "Windows-1252", True


def _without_nul(text: str) -> str:
    where = text.find("\0")
    if where >= 0:
        raise CellError("nul", line=text.count("\n", 0, where) + 1)
    return text


def _delimiter(text: str, has_header: HasHeader) -> str:
    """The separator with which a row of column names appears; failing that, the one that is there most."""
    for candidate in DELIMITERS:
        start = io.StringIO(text, newline="")
        try:
            rows = list(islice(csv.reader(start, delimiter=candidate), HEADER_ROWS))
        except csv.Error:
            continue
        if has_header(rows):
            return candidate
    start_of_text = text[:20_000]
    return max(DELIMITERS, key=start_of_text.count)


def _csv_rows(text: str, delimiter: str) -> Iterator[Line]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    line = 1
    count = 0
    try:
        for cells in reader:
            yield line, cells
            line = reader.line_num + 1
            count += 1
            if count > MAX_ROWS:
                raise CellError("too_many_rows", limit=MAX_ROWS)
    except csv.Error as error:
        raise CellError("csv_malformed", line=line, detail=str(error)) from None


# XLSX


def _open_xlsx(data: bytes, has_header: HasHeader) -> Sheet:
    _refuse_bombs(data)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about styles and extensions that mean nothing to rates
            book = load_workbook(io.BytesIO(data), read_only=True, data_only=True, keep_links=False)
    except Exception:
        # The reader has no error of its own for damaged files: whatever it stumbles over means the same here.
        raise CellError("xlsx_damaged") from None
    sheets = [sheet for sheet in book.worksheets if sheet.sheet_state == "visible"] or list(book.worksheets)
    if not sheets:
        raise CellError("xlsx_damaged")
    chosen = sheets[0]
    for sheet in sheets:
        if has_header([cells for _, cells in islice(_xlsx_rows(sheet), HEADER_ROWS)]):
            chosen = sheet
            break
    others = [sheet.title for sheet in sheets if sheet is not chosen]
    return Sheet(_xlsx_rows(chosen), name=chosen.title, other_sheets=others)


def _refuse_bombs(data: bytes) -> None:
    """Raises where the parts unpack to too much (no part can unpack to more than it declares) or define entities."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            parts = archive.infolist()
            unpacked = sum(part.file_size for part in parts)
            packed = sum(part.compress_size for part in parts) or 1
            too_dense = unpacked > _RATIO_MATTERS and unpacked > MAX_RATIO * packed
            if len(parts) > _MAX_PARTS or unpacked > MAX_UNPACKED or too_dense:
                raise CellError("xlsx_unpacks_too_large")
            for part in parts:
                with archive.open(part) as stream:
                    if b"<!DOCTYPE" in stream.read(4096):
                        raise CellError("xlsx_unsafe")
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, EOFError):
        raise CellError("xlsx_damaged") from None


def _xlsx_rows(sheet: Any) -> Iterator[Line]:
    # What the file says of its own size can be wrong, or a trap.
    sheet.reset_dimensions()
    try:
        for number, row in enumerate(sheet.iter_rows(values_only=True), start=1):
            if number > MAX_ROWS:
                raise CellError("too_many_rows", limit=MAX_ROWS)
            if len(row) > MAX_COLUMNS:
                raise CellError("too_many_columns", line=number, limit=MAX_COLUMNS)
            yield number, [_text(value) for value in row]
    except CellError:
        raise
    except Exception:
        raise CellError("xlsx_damaged") from None


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _number(value)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    return str(value)


def _number(value: float) -> str:
    """A cell's number as a spreadsheet keeps it: fifteen significant digits, without an exponent where that is all."""
    if abs(value) >= 10**_EXACT_DIGITS:
        return f"{value:.2E}"
    return format(Decimal(f"{value:.{_EXACT_DIGITS}g}"), "f")
