"""One rate of a rate sheet, and the columns it is read from."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, time
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar


class DeckRow(NamedTuple):
    """One rate, ready for the table `deck_rate`: micro-units, seconds, UTC instants, times in the deck's zone.

    `effective_until` is the first instant outside. `days` (ISO weekdays), `from_time` and `to_time` are all set where
    the rate has a time window and all None where it always holds. `line` is where it stands in the file.
    """

    line: int
    prefix: str
    destination_name: str
    price_per_minute: int
    connect_fee: int = 0
    first_increment: int = 1
    increment: int = 1
    grace: int = 0
    effective_from: datetime | None = None
    effective_until: datetime | None = None
    days: tuple[int, ...] | None = None
    from_time: time | None = None
    to_time: time | None = None


Terms: TypeAlias = tuple[
    int,
    int,
    int,
    int,
    int,
    datetime | None,
    datetime | None,
    tuple[int, ...] | None,
    time | None,
    time | None,
    bool,
]
"""`DeckRow` from its price on, and whether the last day was written without a time."""

V = TypeVar("V")


class Memo(dict[str, V], Generic[V]):
    """Values by the text of their cells: a deck of 100,000 rows has a few hundred different prices."""

    def __init__(self, parse: Callable[[str], V]) -> None:
        super().__init__()
        self._parse = parse

    def __missing__(self, text: str) -> V:
        value = self[text] = self._parse(text.strip(" \t\r\n\xa0"))
        return value


class Column(NamedTuple):
    """One column that is read: where it stands, its name, how its cells are parsed, and the value where that fails."""

    at: int
    name: str
    values: Memo[Any]
    fallback: Any
