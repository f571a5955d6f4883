"""Carriers' rate sheets: CSV or XLSX bytes in, rates and everything that is wrong with them out. Pure: no database.

A file is taken whole or not at all: where `DeckFile.problems` is not empty nothing may be imported, and every bad row
is named with its line, column and reason. `describe` says each in a sentence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, time
from operator import itemgetter
from typing import Any
from zoneinfo import ZoneInfo

from engine.calls import deckcells as cells_of
from engine.calls.deckheader import SYNONYMS, Header, is_header, read_header
from engine.calls.deckoverlap import check_overlaps
from engine.calls.deckproblem import FIELD_NAMES, FILE, CellError, Problem, describe
from engine.calls.deckrow import Column, DeckRow, Memo, Terms
from engine.calls.decksheet import DELIMITERS, HEADER_ROWS, MAX_BYTES, Sheet, open_sheet
from engine.money import format_amount

__all__ = ["MAX_BYTES", "DeckFile", "DeckRow", "Problem", "describe", "read_deck"]

MIDNIGHT = time(0)
LONGEST_NAME = 200

_OWN = frozenset({"prefix", "country_code", "area_code", "destination_name", "country"})
"""The fields in which each row is itself."""


@dataclass(frozen=True, slots=True)
class DeckFile:
    """What a rate sheet holds. `rows` are the rates that could be read, by line; `problems` must be empty before they
    are used; `warnings` and `notes` are to be shown. `mapping` is {field: column name}; `delimiter` and `encoding`
    are a CSV file's, `sheet` an XLSX file's; `header_line` is where the column names stand (0: not found);
    `headers` are those names, or what may be them; `currency` is what they name."""

    rows: list[DeckRow] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    notes: list[Problem] = field(default_factory=list)
    mapping: dict[str, str] = field(default_factory=dict)
    delimiter: str | None = None
    encoding: str | None = None
    sheet: str | None = None
    header_line: int = 0
    headers: list[str] = field(default_factory=list)
    currency: str | None = None

    @property
    def ok(self) -> bool:
        """Whether the file may be imported."""
        return not self.problems


def read_deck(
    data: bytes,
    *,
    zone: str = "UTC",
    currency: str | None = None,
    mapping: Mapping[str, str] | None = None,
    delimiter: str | None = None,
    header_only: bool = False,
) -> DeckFile:
    """Reads a rate sheet, or its column names alone; never raises for what is in the file.

    Days in it begin and end at midnight in `zone`. Where `currency` is given and the sheet names another, that is a
    problem. `mapping` ({field: column name}) and `delimiter` overrule what is found out by itself.
    """
    chosen = dict(mapping or {})
    unknown = [name for name in chosen if name not in SYNONYMS]
    if unknown:
        return DeckFile(problems=[Problem(FILE, None, "mapping_unknown_field", {"field": unknown[0]})])
    try:
        sheet = open_sheet(data, lambda rows: is_header(rows, chosen), delimiter)
    except CellError as error:
        return DeckFile(problems=[_file_problem(error)])
    reader = _Reader(sheet, ZoneInfo(zone), currency, chosen)
    try:
        reader.read(header_only)
    except CellError as error:
        reader.problems.append(_file_problem(error))
    return reader.result()


def _file_problem(error: CellError) -> Problem:
    data = dict(error.data)
    return Problem(data.pop("line", FILE), None, error.code, data)


class _Reader:
    """Reads one sheet from its header to its last row, collecting rates, problems, warnings and notes."""

    def __init__(self, sheet: Sheet, zone: ZoneInfo, currency: str | None, chosen: Mapping[str, str]) -> None:
        self.sheet = sheet
        self.zone = zone
        self.currency = currency
        self.chosen = chosen
        self.rows: list[DeckRow] = []
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self.header = Header(FILE, [])
        self._likely: list[str] = []  # the fullest row of the first, where no row is one of column names
        self._notes: dict[str, dict[str, Any]] = {}
        self._columns: dict[str, Column] = {}
        self._whole_days: set[int] = set()  # indexes of rows whose last day was written without a time
        self._decimal_point = self._decimal_comma = False
        self._dated = self._timed = False
        self._rest: Callable[[list[str]], Any] = tuple
        self._terms: dict[Any, Terms] = {}

    def result(self) -> DeckFile:
        return DeckFile(
            rows=self.rows,
            problems=self.problems,
            warnings=self.warnings,
            notes=[Problem(FILE, None, code, data) for code, data in self._notes.items()],
            mapping=self.header.mapping,
            delimiter=self.sheet.delimiter,
            encoding=self.sheet.encoding,
            sheet=self.sheet.name,
            header_line=self.header.line,
            headers=[name for name in (self.header.names or self._likely) if name],
            currency=self.header.currency,
        )

    def read(self, header_only: bool) -> None:
        self._note_the_source()
        if not self._find_header() or header_only:
            return
        self._choose_columns()
        for line, texts in self.sheet.rows:
            self._read_row(line, texts)
        if not self.rows and not self.problems:
            self.problems.append(Problem(FILE, None, "no_rates"))
        if self._decimal_comma and self._decimal_point:
            text = self._notes["decimal_comma"]["text"]
            self.problems.append(Problem(FILE, None, "mixed_decimals", {"text": text}))
        check_overlaps(self.rows, self._whole_days, self.zone, self.problems, self._note)

    def _note(self, code: str, **data: Any) -> None:
        """Notes something once, with its first example; data named `count` counts how often."""
        known = self._notes.setdefault(code, data)
        if known is not data and "count" in data:
            known["count"] += data["count"]

    def _note_the_source(self) -> None:
        sheet = self.sheet
        if sheet.delimiter is not None:
            self._note("delimiter", name=DELIMITERS.get(sheet.delimiter, repr(sheet.delimiter)))
        if sheet.encoding is not None:
            self._note("encoding_guessed" if sheet.encoding_guessed else "encoding", encoding=sheet.encoding)
        if sheet.name is not None:
            self._note("sheet", sheet=sheet.name)
        if sheet.other_sheets:
            self._note("sheets_ignored", sheets=", ".join(sheet.other_sheets))

    # The header

    def _find_header(self) -> bool:
        """Takes the first row that names a prefix and a price; where there is none, says what is missing."""
        best: Header | None = None
        above = 0
        for _, (line, texts) in zip(range(HEADER_ROWS), self.sheet.rows, strict=False):
            header = read_header(line, texts, self.chosen)
            if header.complete:
                self.header = header
                if above:
                    self._note("preamble_skipped", header_line=line, count=above)
                if header.ignored:
                    self._note("columns_ignored", headers=", ".join(header.ignored))
                self.problems.extend(header.problems)
                self._check_choice()
                return True
            above += any(texts)
            if sum(map(bool, header.names)) > sum(map(bool, self._likely)):
                self._likely = header.names
            if best is None or len(header.columns) > len(best.columns):
                best = header
        if best is not None and best.columns:
            self._likely = best.names
        if best is None or not best.columns:
            self.problems.append(Problem(FILE, None, "no_header", {"rows": HEADER_ROWS}))
        else:
            needed = {"price_per_minute"} if "prefix" in best.columns else {"prefix", "price_per_minute"}
            headers = ", ".join(name for name in best.names if name)
            for name in sorted(needed - best.columns.keys()):
                data = {"what": FIELD_NAMES[name], "headers": headers}
                self.problems.append(Problem(best.line, None, "column_missing", data))
        return False

    def _check_choice(self) -> None:
        for name, wanted in self.chosen.items():
            if wanted.strip() and name not in self.header.columns:
                self.problems.append(Problem(FILE, None, "mapping_unknown_header", {"header": wanted}))
        found = self.header.currency
        if self.currency is not None and found not in (None, self.currency):
            self._other_currency(self.header.line, None, str(found))

    def _other_currency(self, line: int, column: str | None, found: str) -> None:
        data = {"found": found, "currency": self.currency}
        self.problems.append(Problem(line, column, "currency_other", data))

    def _choose_columns(self) -> None:
        parsers: dict[str, tuple[Callable[[str], Any], Any]] = {
            "prefix": (str, ""),
            "country_code": (str, ""),
            "area_code": (str, ""),
            "destination_name": (_name, ""),
            "country": (_name, ""),
            "price_per_minute": (self._amount, None),
            "connect_fee": (lambda text: self._amount(text) if text else 0, 0),
            "first_increment": (lambda text: cells_of.seconds(text, 1) if text else None, None),
            "increment": (lambda text: cells_of.increments(text) if text else None, None),
            "billing": (lambda text: cells_of.increments(text) if text else None, None),
            "grace": (lambda text: cells_of.seconds(text) if text else 0, 0),
            "effective_from": (lambda text: cells_of.instant(text, self.zone) if text else None, None),
            "effective_until": (self._until, None),
            "days": (lambda text: cells_of.weekdays(text) if text else None, None),
            "from_time": (lambda text: cells_of.clock(text) if text else None, None),
            "to_time": (self._to_time, None),
            "time_window": (lambda text: cells_of.window(text) if text else None, None),
            "currency": (str.upper, ""),
        }
        for name, index in self.header.columns.items():
            parse, fallback = parsers[name]
            self._columns[name] = Column(index, self.header.names[index], Memo(parse), fallback)
        self._dated = not self._columns.keys().isdisjoint({"effective_from", "effective_until"})
        self._timed = not self._columns.keys().isdisjoint({"days", "from_time", "to_time", "time_window"})
        self._rest = itemgetter(*(column.at for name, column in self._columns.items() if name not in _OWN))
        if "increment" in self._columns and "first_increment" not in self._columns:
            self._note("first_missing")

    # The rows

    def _read_row(self, line: int, texts: list[str]) -> None:
        width = len(self.header.names)
        if len(texts) != width:
            if any(texts[width:]):
                self.problems.append(Problem(line, None, "too_many_cells"))
                return
            texts = texts[:width] + [""] * (width - len(texts))
        if not any(texts):
            return
        prefixes = self._prefixes(line, texts)
        if prefixes == []:
            return
        terms = self._terms.get(self._rest(texts)) or self._read_terms(line, texts)
        if prefixes is None or terms is None:
            return
        price, whole_day = terms[0], terms[-1]
        name = self._destination_name(line, texts)
        if price == 0:
            column = self._columns["price_per_minute"].name
            self.warnings.append(Problem(line, column, "zero_price", {"prefix": prefixes[0]}))
        for prefix in prefixes:
            if whole_day:
                self._whole_days.add(len(self.rows))
            self.rows.append(DeckRow(line, prefix, name or prefix, *terms[:-1]))

    def _read_terms(self, line: int, texts: list[str]) -> Terms | None:
        """What a row says besides prefix and name; None, and problems, where some of it cannot be read.

        Kept by the text of its cells: hundreds of prefixes of a deck share their terms.
        """
        before = len(self.problems)
        price = self._value("price_per_minute", line, texts)
        connect_fee = self._value("connect_fee", line, texts) or 0
        grace = self._value("grace", line, texts) or 0
        first, increment = self._increments(line, texts)
        since, until, whole_day = self._dates(line, texts) if self._dated else (None, None, False)
        days, start, end = self._window(line, texts) if self._timed else (None, None, None)
        self._check_currency(line, texts)
        if len(self.problems) > before:
            return None
        terms = (price, connect_fee, first, increment, grace, since, until, days, start, end, whole_day)
        self._terms[self._rest(texts)] = terms
        return terms

    def _value(self, name: str, line: int, texts: list[str]) -> Any:
        """The value of a cell; the column's fallback, and a problem, where it cannot be read."""
        column = self._columns.get(name)
        if column is None:
            return None
        try:
            return column.values[texts[column.at]]
        except CellError as error:
            self.problems.append(Problem(line, column.name, error.code, error.data))
            return column.fallback

    def _prefixes(self, line: int, texts: list[str]) -> list[str] | None:
        """The prefixes of a row: none where it is blank or the header once more; None where there is a problem."""
        column = self._columns.get("prefix") or self._columns["country_code"]
        text = texts[column.at]
        if (
            "prefix" in self._columns
            and text.isascii()
            and text.isdigit()
            and text[0] != "0"
            and len(text) <= 15
        ):
            if text[0] in "23":
                self._look_for_lost_zero(line, column.name, text)
            return [text]
        text = text.strip(" \t\r\n\xa0")
        if not text and not any(cell.strip() for cell in texts):
            return []
        area = self._value("area_code", line, texts) or ""
        try:
            prefixes = cells_of.joined_prefixes(text, area) if area else cells_of.prefixes_in(text)
        except CellError as error:
            if [" ".join(cell.split()) for cell in texts] == self.header.names:
                self._note("header_repeated", at=line)
                return []
            self.problems.append(Problem(line, column.name, error.code, error.data))
            return None
        if len(prefixes) > 1:
            self._note("prefixes_expanded", count=1, text=area or text)
        elif text != prefixes[0] and not area:
            self._note("prefix_normalised", count=1, text=text, became=prefixes[0])
        for prefix in prefixes:
            self._look_for_lost_zero(line, column.name, prefix)
        return prefixes

    def _look_for_lost_zero(self, line: int, column: str, prefix: str) -> None:
        expected = cells_of.zero_lost_from(prefix)
        if expected is not None:
            self.warnings.append(Problem(line, column, "lost_zero", {"prefix": prefix, "expected": expected}))

    def _amount(self, text: str) -> int:
        comma_is_free = self.sheet.delimiter != ","
        micros = cells_of.amount(text, decimal_comma=comma_is_free)
        if "," in text:
            self._decimal_comma = True
            self._note("decimal_comma", text=text, became=format_amount(micros, 0))
        elif "." in text:
            self._decimal_point = True
        return micros

    def _increments(self, line: int, texts: list[str]) -> tuple[int, int]:
        """First increment and increment, from columns of their own or from one that holds `60/1`."""
        first = self._value("first_increment", line, texts)
        for name in ("billing", "increment"):
            both = self._value(name, line, texts)
            if isinstance(both, tuple):
                if first not in (None, both[0]):
                    column, other = self._columns[name], self._columns["first_increment"].name
                    data = {"text": texts[column.at].strip(), "other": other}
                    self.problems.append(Problem(line, column.name, "increments_differ", data))
                return both
            if both is not None and name == "billing":
                return first or both, self._value("increment", line, texts) or both
            if both is not None:
                return first or 1, both
        return first or 1, 1

    def _until(self, text: str) -> tuple[datetime, bool] | None:
        if not text:
            return None
        moment, only_day = cells_of.instant(text, self.zone)
        if not only_day:
            return moment, False
        self._note("until_inclusive", text=text)
        return cells_of.end_of_day(moment, self.zone), True

    def _dates(self, line: int, texts: list[str]) -> tuple[datetime | None, datetime | None, bool]:
        since = self._value("effective_from", line, texts)
        until = self._value("effective_until", line, texts)
        if since is not None and until is not None and until[0] <= since[0]:
            name = self._columns["effective_until"].name
            self.problems.append(Problem(line, name, "dates_reversed"))
        return since and since[0], until and until[0], bool(until and until[1])

    def _to_time(self, text: str) -> time | None:
        if not text:
            return None
        if text.startswith("23:59"):
            self._note("end_of_day", text=text)
        return cells_of.clock(text, ends=True)

    def _window(self, line: int, texts: list[str]) -> tuple[tuple[int, ...] | None, time | None, time | None]:
        """Days and hours; three times None where the rate always holds."""
        days = self._value("days", line, texts)
        start, end = self._value("from_time", line, texts), self._value("to_time", line, texts)
        both = self._value("time_window", line, texts)
        if both is not None and start is None and end is None:
            start, end = both
        start, end = start or MIDNIGHT, end or MIDNIGHT
        if start == end != MIDNIGHT:
            self.problems.append(Problem(line, None, "window_empty"))
        every_day = days is None or len(days) == 7
        if every_day and start == end:
            return None, None, None
        return days or tuple(range(1, 8)), start, end

    def _check_currency(self, line: int, texts: list[str]) -> None:
        found = self._value("currency", line, texts)
        if found and self.currency is not None and found != self.currency:
            self._other_currency(line, self._columns["currency"].name, found)

    def _destination_name(self, line: int, texts: list[str]) -> str:
        name: str = self._value("destination_name", line, texts) or ""
        country: str = self._value("country", line, texts) or ""
        if not name or not country:
            return name or country
        return name if name.casefold().startswith(country.casefold()) else f"{country} {name}"


def _name(text: str) -> str:
    """A destination's name on one line, without characters that are no text."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:LONGEST_NAME]
