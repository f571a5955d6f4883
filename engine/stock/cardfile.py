"""Card lists of an older system: CSV or XLSX bytes in, cards and everything that is wrong with them out. No database.

A file is taken whole or not at all: where `CardFile.problems` is not empty nothing may be imported. A problem names its
line and column and never quotes a number or a password.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar
from zoneinfo import ZoneInfo

from engine.calls.deckcells import amount, instant
from engine.calls.deckproblem import FILE, CellError, Problem
from engine.calls.deckproblem import MESSAGES as SHEET_MESSAGES
from engine.calls.decksheet import DELIMITERS, HEADER_ROWS, Sheet, open_sheet
from engine.cards.status import end_of_day
from engine.stock.numbers import MAX_DIGITS
from engine.stock.orders import MAX_COUNT, MAX_NUMBER

T = TypeVar("T")

SYNONYMS = {
    "number": "number,card number,card no,cardnumber,card,card id,account,account number,account no,username,login",
    "password": "password,pin,pin code,pincode,card pin,secret,passcode,pass,pwd,card password",
    "balance": "balance,credit,remaining,remaining balance,amount,value,credit left,current balance,face value",
    "expiry": "expiry,expires,expiry date,expires at,expires on,expiration,expiration date,expirationdate,valid until,"
    "valid to,end date",
    "state": "state,status,card status,card state",
    "first_used": "first used,first use,first used at,firstusedate,activation date,activated,used since,start date",
}
"""For each field the column names that mean it, in the order in which they are preferred."""

REQUIRED = ("number", "password", "balance")

STATES = {
    "": "",
    "unused": "unused",
    "new": "unused",
    "fresh": "unused",
    "active": "active",
    "used": "active",
    "activated": "active",
    "in use": "active",
    "locked": "locked",
    "blocked": "locked",
    "disabled": "locked",
    "suspended": "locked",
    "damaged": "damaged",
    "void": "damaged",
    "voided": "damaged",
    "cancelled": "damaged",
    "canceled": "damaged",
    "expired": "expired",
    "empty": "empty",
    "held back": "held back",
    "not activated": "held back",
    "inactive": "held back",
}
"""What an older system calls a state, and what it means here. Nothing: as its other facts say."""

MESSAGES = {
    **SHEET_MESSAGES,
    "no_header": "No column names were found in the first {rows} rows. A number, a password and a balance are needed.",
    "column_missing": "There is no column for the {field}. The columns are: {headers}.",
    "column_twice": "Several columns could be the {field}: {headers}. Say which one it is.",
    "mapping_unknown_field": "“{field}” is not something a card list can hold.",
    "no_cards": "There is no card in the file.",
    "too_many_cards": "The file holds more than {limit} cards. Split it.",
    "digits_lost": "a spreadsheet wrote this as a decimal or with an exponent, and lost digits. "
    "Format the column as text and enter it again.",
    "card_number": "this is not a card number; it has 4 to {high} digits.",
    "card_password": "this is not a password; it has 1 to {high} digits.",
    "zeros_lost": "this has {length} digits where nearly all others have {usual}: a spreadsheet may have dropped "
    "leading zeros. Format the column as text and enter it again; where it is right, import such cards by themselves.",
    "duplicate_number": "the same number is on line {other} too.",
    "number_exists": "a card with this number exists already.",
    "unknown_state": "“{text}” is not a state. Write unused, active, locked, damaged, expired or held back.",
    "not_expired": "the state says expired, but its day has not passed.",
    "not_empty": "the state says empty, but there is a balance.",
    "used_after_now": "it can't have been used first in the future.",
    "balance_needed": "there is nothing, but a balance is needed; write 0 where the card is empty.",
}


@dataclass(frozen=True, slots=True)
class CardRow:
    """A card as the older system knew it. `balance` in micro-units; times in UTC; `state` a value of `STATES`."""

    line: int
    number: str = field(repr=False)
    password: str = field(repr=False)
    balance: int
    expires_at: datetime | None
    state: str
    first_used_at: datetime | None


@dataclass(frozen=True, slots=True)
class CardFile:
    """What a card list holds. `mapping` is {field: column name}; `headers` all column names, `ignored` those that
    nothing is read from."""

    rows: list[CardRow] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    mapping: dict[str, str] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)
    headers: list[str] = field(default_factory=list)


def describe(problem: Problem) -> str:
    """One plain English sentence, beginning with the line and column it is about."""
    sentence = MESSAGES[problem.code].format_map(problem.data)
    if problem.line == FILE:
        return sentence
    place = f"Line {problem.line}" if problem.column is None else f"Line {problem.line}, {problem.column}"
    return f"{place}: {sentence}"


def read_cards(
    data: bytes,
    *,
    zone: ZoneInfo,
    now: datetime,
    mapping: Mapping[str, str] | None = None,
    delimiter: str | None = None,
) -> CardFile:
    """Read a card list; never raises for what is in the file.

    A day is a card's last, in `zone`. `mapping` ({field: column name}) and `delimiter` overrule what is found out.
    """
    chosen = {name: header.strip().casefold() for name, header in (mapping or {}).items()}
    unknown = [name for name in chosen if name not in SYNONYMS]
    if unknown:
        return CardFile(problems=[Problem(FILE, None, "mapping_unknown_field", {"field": unknown[0][:40]})])
    reader = _Reader(zone, now, chosen)
    try:
        reader.read(open_sheet(data, reader.has_header, delimiter))
    except CellError as error:
        facts = dict(error.data)
        reader.found.problems.append(Problem(facts.pop("line", FILE), None, error.code, facts))
    return reader.found


class _Reader:
    def __init__(self, zone: ZoneInfo, now: datetime, chosen: Mapping[str, str]) -> None:
        self.zone, self.now, self.chosen = zone, now, chosen
        self.found = CardFile()
        self._columns: dict[str, int] = {}
        self._names: list[str] = []
        self._lines: dict[str, int] = {}
        self._decimal_comma = False

    def has_header(self, rows: Iterable[list[str]]) -> bool:
        """Whether one of the rows names the columns that a card needs."""
        return any(self._complete(self._read_header(cells)[0]) for cells in rows)

    def read(self, sheet: Sheet) -> None:
        """Everything: column names, rows, and what only the whole file shows."""
        self._decimal_comma = sheet.delimiter != ","
        rows = iter(sheet.rows)
        if not self._find_header(rows):
            return
        for line, cells in rows:
            if any(cell.strip() for cell in cells):
                self._row(line, [cell.strip() for cell in cells])
            if len(self.found.rows) > MAX_COUNT:
                raise CellError("too_many_cards", limit=MAX_COUNT)
        if not self.found.rows and not self.found.problems:
            raise CellError("no_cards")
        self._check_lengths("number")
        self._check_lengths("password")
        self.found.problems.sort(key=lambda problem: problem.line)

    def _find_header(self, rows: Iterable[tuple[int, list[str]]]) -> bool:
        best: tuple[dict[str, int], list[str]] = ({}, [])
        for at, (_, cells) in enumerate(rows):
            columns, twice = self._read_header(cells)
            if self._complete(columns):
                self._take_header(cells, columns, twice)
                return not self.found.problems
            if len(columns) > len(best[0]):
                best = (columns, cells)
            if at + 1 == HEADER_ROWS:
                break
        if not best[0]:
            raise CellError("no_header", rows=HEADER_ROWS)
        self.found.headers.extend(_headers(best[1]))
        missing = [name for name in REQUIRED if name not in best[0]]
        headers = ", ".join(cell.strip() for cell in best[1] if cell.strip())
        raise CellError("column_missing", field=_said(missing[0]), headers=headers[:200])

    def _take_header(self, cells: list[str], columns: dict[str, int], twice: dict[str, list[int]]) -> None:
        self._columns, self._names = columns, [" ".join(cell.split()) for cell in cells]
        self.found.mapping.update({name: self._names[at] for name, at in columns.items()})
        self.found.headers.extend(_headers(cells))
        used = set(columns.values())
        self.found.ignored.extend(name for at, name in enumerate(self._names) if name and at not in used)
        for name, places in twice.items():
            headers = ", ".join(self._names[at] for at in places)
            self.found.problems.append(
                Problem(FILE, None, "column_twice", {"field": _said(name), "headers": headers})
            )

    def _complete(self, columns: Mapping[str, int]) -> bool:
        return all(name in columns for name in REQUIRED)

    def _read_header(self, cells: list[str]) -> tuple[dict[str, int], dict[str, list[int]]]:
        """{field: position} of a row of column names, and the fields that the same name claims twice."""
        columns: dict[str, int] = {}
        twice: dict[str, list[int]] = {}
        written = [" ".join(cell.split()).casefold() for cell in cells]
        keys = [" ".join(re.findall(r"[^\W_]+", name)) for name in written]
        for name, synonyms in SYNONYMS.items():
            if name in self.chosen:
                places = [at for at, cell in enumerate(written) if cell == self.chosen[name]]
            else:
                places = next(
                    (
                        found
                        for synonym in synonyms.split(",")
                        if (found := [at for at, key in enumerate(keys) if key == synonym])
                    ),
                    [],
                )
            if places:
                columns[name] = places[0]
            if len(places) > 1:
                twice[name] = places
        return columns, twice

    def _row(self, line: int, cells: list[str]) -> None:
        problems = len(self.found.problems)
        if len(cells) > len(self._names) and any(cells[len(self._names) :]):
            self._problem(line, None, CellError("too_many_cells"))
        number = self._cell(line, cells, "number", lambda text: _digits(text, "card_number", 4, MAX_NUMBER))
        password = self._cell(
            line, cells, "password", lambda text: _digits(text, "card_password", 1, MAX_DIGITS)
        )
        balance = self._cell(line, cells, "balance", self._balance)
        expires_at = self._cell(line, cells, "expiry", self._expiry)
        state = self._cell(line, cells, "state", _state) or ""
        first_used_at = self._cell(line, cells, "first_used", self._first_used)
        if number is not None:
            other = self._lines.setdefault(number, line)
            if other != line:
                self._problem(line, "number", CellError("duplicate_number", other=other))
        if len(self.found.problems) > problems or number is None or password is None or balance is None:
            return
        card = CardRow(line, number, password, balance, expires_at, state, first_used_at)
        self._check_state(card)
        self.found.rows.append(card)

    def _cell(self, line: int, cells: list[str], name: str, read: Callable[[str], T]) -> T | None:
        at = self._columns.get(name)
        if at is None:
            return None
        try:
            return read(cells[at] if at < len(cells) else "")
        except CellError as error:
            self._problem(line, name, error)
            return None

    def _problem(self, line: int, name: str | None, error: CellError) -> None:
        column = None if name is None else self._names[self._columns[name]]
        self.found.problems.append(Problem(line, column, error.code, error.data))

    def _balance(self, text: str) -> int:
        if not text:
            raise CellError("balance_needed")
        return amount(text, decimal_comma=self._decimal_comma)

    def _expiry(self, text: str) -> datetime | None:
        if not text:
            return None
        begins, only_day = instant(text, self.zone)
        return end_of_day(begins.astimezone(self.zone).date(), self.zone) if only_day else begins

    def _first_used(self, text: str) -> datetime | None:
        if not text:
            return None
        moment, _ = instant(text, self.zone)
        if moment > self.now:
            raise CellError("used_after_now")
        return moment

    def _check_state(self, card: CardRow) -> None:
        if card.state == "expired" and card.expires_at is not None and card.expires_at > self.now:
            self._problem(card.line, "state", CellError("not_expired"))
        if card.state == "empty" and card.balance:
            self._problem(card.line, "state", CellError("not_empty"))

    def _check_lengths(self, name: str) -> None:
        """What is shorter than nearly all others has lost leading zeros, as one in ten would."""
        lengths = Counter(len(getattr(card, name)) for card in self.found.rows)
        if not lengths:
            return
        usual = lengths.most_common(1)[0][0]
        short = [card for card in self.found.rows if len(getattr(card, name)) < usual]
        if 4 * len(short) <= len(self.found.rows):
            for card in short:
                length = len(getattr(card, name))
                self._problem(card.line, name, CellError("zeros_lost", length=length, usual=usual))


def _headers(cells: list[str]) -> list[str]:
    """The names in a row of them, each once."""
    return list(dict.fromkeys(name for cell in cells if (name := " ".join(cell.split()))))


_INEXACT = re.compile(r"[0-9]+([.,][0-9]*)?[eE][+-]?[0-9]+|[0-9]+[.,][0-9]+", re.ASCII)


def _digits(text: str, code: str, low: int, high: int) -> str:
    """Digits, which may be written in groups or behind the apostrophe that keeps a spreadsheet from touching them."""
    plain = text.removeprefix("'").replace(" ", "").replace("-", "")
    if _INEXACT.fullmatch(plain):
        raise CellError("digits_lost")
    if not plain:
        raise CellError("missing")
    if not (plain.isascii() and plain.isdigit() and low <= len(plain) <= high):
        raise CellError(code, high=high)
    return plain


def _state(text: str) -> str:
    state = STATES.get(" ".join(text.replace("_", " ").casefold().split()))
    if state is None:
        raise CellError("unknown_state", text=text[:40])
    return state


def _said(name: str) -> str:
    return name.replace("_", " ")


__all__ = ["DELIMITERS", "CardFile", "CardRow", "describe", "read_cards"]
