"""How a file of cards is written: its format, columns and signs. No database; `engine.stock.writing` writes it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from engine.errors import InvalidInput
from engine.stock.rows import COLUMNS

FORMATS = ("csv", "tsv", "fixed", "xlsx")
DELIMITERS = (",", ";", "|")
LINE_ENDS = {"crlf": "\r\n", "lf": "\n"}
ENCODINGS = {"utf-8": "utf-8", "utf-8-bom": "utf-8-sig", "latin-1": "latin-1", "utf-16": "utf-16"}
"""What an encoding is called here and in Python."""
GROUPINGS = (0, 3, 4, 5)
"""Digits of a card number between two spaces; 0: none."""
WIDTHS = {
    "serial": 11,
    "number": 20,
    "password": 10,
    "denomination": 12,
    "currency": 3,
    "expires_on": 10,
    "validity_days": 5,
    "batch": 40,
}
"""Characters of a column of fixed width where nobody says otherwise."""
WIDEST = 200
_CHOICES: dict[str, tuple[Any, ...]] = {
    "format": FORMATS,
    "delimiter": DELIMITERS,
    "line_end": tuple(LINE_ENDS),
    "encoding": tuple(ENCODINGS),
    "grouping": GROUPINGS,
}


@dataclass(frozen=True, slots=True)
class Form:
    """How a file of cards is written. `columns` are some of `COLUMNS`, each once, in the order of the file.

    `delimiter` is CSV's (TSV has tabs, fixed width nothing); `grouping` sets spaces into card numbers; `widths` are
    those of a file of fixed width, a column each. An XLSX file looks at columns, grouping and header only.
    """

    format: str = "csv"
    columns: tuple[str, ...] = COLUMNS
    delimiter: str = ","
    line_end: str = "crlf"
    encoding: str = "utf-8"
    grouping: int = 0
    header: bool = True
    widths: tuple[int, ...] = ()

    @property
    def extension(self) -> str:
        """What a file's name ends in."""
        return {"fixed": "txt"}.get(self.format, self.format)

    @property
    def has_secrets(self) -> bool:
        """Whether a column for passwords is among them."""
        return "password" in self.columns

    def width(self, column: str) -> int:
        """The characters of a column of fixed width."""
        return dict(zip(self.columns, self.widths, strict=False)).get(column) or WIDTHS[column]


BUILT_IN = {"csv": Form(), "txt": Form(format="tsv", line_end="lf"), "xlsx": Form(format="xlsx")}
"""What needs no template: all columns, by the name that orders and hand-outs know them by."""


def problems(form: Form) -> Iterator[InvalidInput]:
    """Everything that is wrong with a form, each with its `field`: for a page that shows all at once."""
    for field, allowed in _CHOICES.items():
        value = getattr(form, field)
        # 0 and False are equal, but only one of them is a number of digits.
        if value not in allowed or isinstance(value, bool):
            yield InvalidInput("not_a_choice", field=field, allowed=", ".join(map(str, allowed)))
    if not form.columns:
        yield InvalidInput("no_columns", field="columns")
    for column in form.columns:
        if column not in COLUMNS:
            yield InvalidInput("unknown_column", field="columns", value=str(column)[:40])
    if len(set(form.columns)) < len(form.columns):
        yield InvalidInput("column_repeated", field="columns")
    if form.widths and len(form.widths) != len(form.columns):
        yield InvalidInput("widths_incomplete", field="widths")
    for width in form.widths:
        if type(width) is not int or not 1 <= width <= WIDEST:
            yield InvalidInput("bad_width", field="widths", high=WIDEST)


def checked(form: Form) -> Form:
    """The form itself where nothing is wrong with it. Raises the first `InvalidInput` of `problems`."""
    for problem in problems(form):
        raise problem
    return form


def as_settings(form: Form) -> dict[str, Any]:
    """Plain values, as a template's row and a row of work keep them."""
    plain = asdict(form)
    return {**plain, "columns": list(form.columns), "widths": list(form.widths)}


def from_settings(kept: Mapping[str, Any]) -> Form:
    """The form that plain values stand for. What a later version added is left out; raises as `checked`."""
    known: dict[str, Any] = {name: value for name, value in kept.items() if name in Form.__dataclass_fields__}
    for name in ("columns", "widths"):
        if name in known:
            known[name] = tuple(known[name])
    return checked(Form(**known))
