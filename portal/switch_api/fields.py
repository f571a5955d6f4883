"""What a field of a request may hold: one check, and the JSON Schema that says the same to programs.

Nothing is converted on the quiet: `"5"` is no number, `1` is not true, and nothing is cut to fit.
"""

from __future__ import annotations

import decimal
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import cached_property
from typing import Any

from engine.vault import Secret

MAX_SECONDS = 10**9

# Control characters, what has no width, what turns the direction of writing; and the halves of surrogate pairs, which
# UTF-8 cannot hold but JSON can smuggle in as \ud800.
_UNSEEN = r"\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
_CONTROL = re.compile(rf"[{_UNSEEN}\ud800-\udfff]")
_NO_CONTROL = f"^[^{_UNSEEN}]*$"
_TIME = (
    r"20[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])[Tt]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
    r"(\.[0-9]{1,9})?([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
)
# Each step rounds up, so that a fraction of any length still counts at the last one.
_UP = decimal.Context(prec=28, rounding=decimal.ROUND_CEILING)


class WrongError(Exception):
    """A value that a field cannot hold, by its code."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, kw_only=True)
class Field(ABC):
    """A field's name and meaning. `nullable`: null says the same as leaving it out.

    `key` is the engine's name for the value, where it has another.
    """

    name: str
    description: str
    example: Any = None
    required: bool = False
    nullable: bool = False
    default: Any = None
    key: str = ""

    def read(self, value: Any) -> Any:
        """The value as the engine takes it. Raises `WrongError`."""
        if value is None and self.nullable:
            return self.default
        return self.check(value)

    @abstractmethod
    def check(self, value: Any) -> Any:
        """The same for a value that is not null."""

    @abstractmethod
    def kind(self) -> dict[str, Any]:
        """The part of the schema that says what is accepted."""

    def schema(self) -> dict[str, Any]:
        """Its JSON Schema, as OpenAPI 3.0 writes it."""
        made: dict[str, Any] = {**self.kind(), "description": self.description}
        if self.example is not None:
            made["example"] = self.example
        if self.nullable:
            made["nullable"] = True
        if self.default is not None:
            made["default"] = self.default
        return made


@dataclass(frozen=True, kw_only=True)
class Text(Field):
    """Text of `shortest` to `longest` characters, none of them invisible."""

    longest: int
    shortest: int = 1

    def check(self, value: Any) -> str:
        if type(value) is not str:
            raise WrongError("wrong_type")
        if not self.shortest <= len(value) <= self.longest:
            raise WrongError("too_short" if len(value) < self.shortest else "too_long")
        if not (value.isascii() and value.isprintable()) and _CONTROL.search(value):
            raise WrongError("control_character")
        return value

    def kind(self) -> dict[str, Any]:
        return {
            "type": "string",
            "minLength": self.shortest,
            "maxLength": self.longest,
            "pattern": _NO_CONTROL,
        }


@dataclass(frozen=True, kw_only=True)
class Hidden(Text):
    """Text that must never be shown: read as a `Secret`."""

    def check(self, value: Any) -> Secret:  # type: ignore[override]
        return Secret(super().check(value))


@dataclass(frozen=True, kw_only=True)
class Shaped(Field):
    """Text that a regular expression describes, whole; anything else is refused as `otherwise`."""

    pattern: str
    otherwise: str

    @cached_property
    def _compiled(self) -> re.Pattern[str]:
        return re.compile(self.pattern)

    def check(self, value: Any) -> str:
        if type(value) is not str:
            raise WrongError("wrong_type")
        if not self._compiled.fullmatch(value):
            raise WrongError(self.otherwise)
        return value

    def kind(self) -> dict[str, Any]:
        return {"type": "string", "pattern": f"^{self.pattern}$"}


@dataclass(frozen=True, kw_only=True)
class Flag(Field):
    """True or false, and nothing that merely looks like it."""

    def check(self, value: Any) -> bool:
        if type(value) is not bool:
            raise WrongError("wrong_type")
        return value

    def kind(self) -> dict[str, Any]:
        return {"type": "boolean"}


@dataclass(frozen=True, kw_only=True)
class Whole(Field):
    """A whole number in a range."""

    low: int
    high: int

    def check(self, value: Any) -> int:
        value = _number(value, self.low, self.high)
        if value != int(value):
            raise WrongError("wrong_type")
        return int(value)

    def kind(self) -> dict[str, Any]:
        return {"type": "integer", "minimum": self.low, "maximum": self.high}


@dataclass(frozen=True, kw_only=True)
class Seconds(Field):
    """A duration in seconds, fractions allowed; read as whole milliseconds, rounded up."""

    def check(self, value: Any) -> int:
        value = _number(value, 0, MAX_SECONDS)
        if type(value) is int:
            return value * 1000
        return int(_UP.multiply(value, Decimal(1000)).to_integral_value(decimal.ROUND_CEILING))

    def kind(self) -> dict[str, Any]:
        return {"type": "number", "minimum": 0, "maximum": MAX_SECONDS}


@dataclass(frozen=True, kw_only=True)
class Time(Field):
    """An instant as RFC 3339 writes it, with its zone, in the years 2000 to 2099; read as UTC."""

    _shape = re.compile(_TIME)

    def check(self, value: Any) -> datetime:
        if type(value) is not str:
            raise WrongError("wrong_type")
        if not self._shape.fullmatch(value):
            raise WrongError("bad_time")
        try:
            return datetime.fromisoformat(value.upper()).astimezone(UTC)
        except ValueError:  # 30 February
            raise WrongError("bad_time") from None

    def kind(self) -> dict[str, Any]:
        return {"type": "string", "format": "date-time", "pattern": f"^{_TIME}$"}


def _number(value: Any, low: int, high: int) -> int | Decimal:
    """A JSON number in a range; booleans are none."""
    if type(value) is not int and type(value) is not Decimal:
        raise WrongError("wrong_type")
    if type(value) is Decimal and not value.is_finite():
        raise WrongError("out_of_range")
    if not low <= value <= high:
        raise WrongError("out_of_range")
    return value
