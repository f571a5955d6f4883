"""Fields that only printing has: lengths in millimetres, and texts of several lines."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from wtforms import TextAreaField
from wtforms.validators import StopValidation

from portal.forms import MISSING, ChoiceField, WholeField

_LENGTH = re.compile(r"[0-9]{1,6}(?:[.,][0-9]{1,4})?", re.ASCII)


class LengthField(WholeField):
    """A length in millimetres, such as `1.5`: `data` in whole micrometres, at most `most` millimetres."""

    def __init__(self, label: str, *, most: int, **more: Any) -> None:
        super().__init__(label, most=most, render_kw={"inputmode": "decimal"}, **more)

    def read(self, text: str) -> int:
        if not _LENGTH.fullmatch(text):
            raise ValueError("Type millimetres in plain digits, such as 1.5.")
        length = Decimal(text.replace(",", "."))
        if length > self.most:
            raise ValueError(f"It must be at most {self.most} mm.")
        return round(length * 1000)

    def write(self, value: int) -> str:
        return f"{value / 1000:g}"


class LinesField(TextAreaField):
    """Text of several lines; none is an empty text."""

    def process_formdata(self, valuelist: list[Any]) -> None:
        self.data = str(valuelist[0]).replace("\r\n", "\n") if valuelist else ""


class PlacesField(ChoiceField):
    """A place on a sheet, as radio buttons in the sheet's own rows and columns. `data` is a number from 1."""

    def of(self, up: int) -> None:
        """Offer the places of a sheet; one that this sheet doesn't have becomes the first."""
        self.choices = [(str(place), str(place)) for place in range(1, up + 1)]
        if not (self.data or "").isdecimal() or not 1 <= int(self.data) <= up:
            self.data = "1"

    def pre_validate(self, form: Any) -> None:
        if not self.data:
            raise StopValidation(str(MISSING))
