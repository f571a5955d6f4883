"""One card filter for pages, commands and exports alike: what is looked for, as exact SQL conditions and plain values.

Texts of forms become a filter in `searchform`; `searchpage` reads lists page by page, by index.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Text, case, literal_column, select

from engine.cards.status import STATUSES, status_sql
from engine.db import Database
from engine.errors import InvalidInput
from engine.money import MAX_UNITS, MICROS
from engine.schema import Batch, Binding, Card

CUSTODY = ("made", "printed", "shipped", "sold", "activated")
"""How far a card has come on its way to a customer, in that order."""

_NUMBER = re.compile(r"[0-9]{1,32}", re.ASCII)
_CALLER = re.compile(r"[1-9][0-9]{6,14}", re.ASCII)
_CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII)
_LAST_ID = 2**63 - 1
_MOST_MICROS = MAX_UNITS * MICROS


@dataclass(frozen=True, slots=True)
class CardFilter:
    """Cards that meet everything that is set. Ranges include their first end and not their second, `None` is open.

    `card_id` is what a number or a serial was resolved to: a number is in no filter, so that no URL, log or work row
    can hold one. `serials` are card ids; `balance` is in micro-units; `phone` is a bound caller in E.164 digits. A
    range of `first_used` or `expires` holds no card that was never used or never expires, even one open at both ends.
    """

    card_id: int | None = None
    serials: tuple[int | None, int | None] | None = None
    created: tuple[datetime | None, datetime | None] | None = None
    first_used: tuple[datetime | None, datetime | None] | None = None
    expires: tuple[datetime | None, datetime | None] | None = None
    balance: tuple[int | None, int | None] | None = None
    statuses: tuple[str, ...] = ()
    phone: str | None = None
    batch_id: int | None = None
    reseller_id: int | None = None
    custody: tuple[str, ...] = ()
    released: bool | None = None
    currency: str | None = None


def custody_sql() -> ColumnElement[str]:
    """How far a card has come, one of `CUSTODY`, as an SQL expression over `Card`: that of the index on custody."""
    return case(
        *(
            (column.is_not(None), literal_column(f"'{name}'::text", Text))
            for name, column in (
                ("activated", Card.activated_at),
                ("sold", Card.sold_at),
                ("shipped", Card.shipped_at),
                ("printed", Card.printed_at),
            )
        ),
        else_=literal_column("'made'::text", Text),
    )


def where(card_filter: CardFilter, now: datetime) -> list[ColumnElement[bool]]:
    """The filter as conditions over `Card`, exact at `now`: nothing that is folded in later has a say.

    Only cards of ready batches that were not discarded are found. For freezing targets, counts and exports.
    """
    f = card_filter
    batches = select(Batch.id).where(Batch.ready_at.is_not(None), Batch.discarded_at.is_(None))
    conditions: list[ColumnElement[bool]] = [Card.batch_id.in_(batches), *facts(f, now)]
    if f.phone is not None:
        bound = select(Binding.card_id).where(Binding.card_id == Card.id, Binding.caller == f.phone)
        conditions.append(bound.correlate(Card).exists())
    if f.batch_id is not None:
        # Its serials are contiguous, and the primary key finds them.
        of_batch = select(Batch.id).where(
            Batch.id == f.batch_id, Card.id.between(Batch.first_id, Batch.last_id)
        )
        conditions += [Card.batch_id == f.batch_id, of_batch.correlate(Card).exists()]
    return conditions


def facts(card_filter: CardFilter, now: datetime) -> list[ColumnElement[bool]]:
    """The part of the filter that the card's own row answers."""
    f = card_filter
    conditions: list[ColumnElement[bool]] = []
    if f.card_id is not None:
        conditions.append(Card.id == f.card_id)
    ranges: tuple[tuple[tuple[Any, Any] | None, Any], ...] = (
        (f.serials, Card.id),
        (f.created, Card.created_at),
        (f.first_used, Card.first_used_at),
        (f.expires, Card.expires_at),
        (f.balance, Card.balance),
    )
    for ends, column in ranges:
        if ends is not None:
            conditions += _within(column, *ends)
    if f.statuses:
        conditions.append(status_sql(now).in_(f.statuses))
    if f.reseller_id is not None:
        conditions.append(Card.reseller_id == f.reseller_id)
    if f.custody:
        conditions.append(custody_sql().in_(f.custody))
    if f.released is not None:
        conditions.append(Card.released_at.is_not(None) if f.released else Card.released_at.is_(None))
    if f.currency is not None:
        conditions.append(Card.currency == f.currency)
    return conditions


def _within(column: Any, first: Any, end: Any) -> list[ColumnElement[bool]]:
    found = [column.is_not(None)] if first is None and end is None else []
    if first is not None:
        found.append(column >= first)
    if end is not None:
        found.append(column < end)
    return found


def card_of_number(db: Database, number: str) -> int | None:
    """The id of the card with this number (spaces and hyphens between digits are ignored), or None."""
    plain = number.replace(" ", "").replace("-", "")
    if not _NUMBER.fullmatch(plain):
        return None
    with db.connection() as conn:
        row = conn.execute("SELECT id FROM card WHERE number = %(number)s", {"number": plain}).fetchone()
    return None if row is None else row.id


# --- as plain values ---


def to_json(card_filter: CardFilter) -> dict[str, Any]:
    """The filter as plain values for JSON: only what is set, times as ISO 8601 texts. `from_json` reads it back."""
    plain: dict[str, Any] = {}
    for field in dataclasses.fields(card_filter):
        value = getattr(card_filter, field.name)
        if value is None or value == ():
            continue
        if isinstance(value, tuple):
            value = [end.isoformat() if isinstance(end, datetime) else end for end in value]
        plain[field.name] = value
    return plain


def from_json(plain: Mapping[str, Any]) -> CardFilter:
    """The filter that `to_json` wrote. It may come from a URL: everything is looked at again.

    Raises `InvalidInput("bad_filter")`, `field` naming the part that is none.
    """
    values: dict[str, Any] = {}
    for name, value in plain.items():
        reader = _READERS.get(name)
        try:
            if reader is None:
                raise ValueError
            values[name] = reader(value)
        except (ValueError, TypeError, OverflowError):
            raise InvalidInput("bad_filter", field=name[:40]) from None
    return CardFilter(**values)


def _whole(value: Any, low: int = 0, high: int = _LAST_ID) -> int:
    if type(value) is not int or not low <= value <= high:
        raise ValueError
    return value


def _micros(value: Any) -> int:
    return _whole(value, -_MOST_MICROS - 1, _MOST_MICROS + 1)


def _time(value: Any) -> datetime:
    at = datetime.fromisoformat(value)
    if at.tzinfo is None:
        raise ValueError
    return at


def _range(read: Any) -> Any:
    def ends(value: Any) -> tuple[Any, Any]:
        if not isinstance(value, (list, tuple)):
            raise TypeError
        first, end = (None if part is None else read(part) for part in value)
        return first, end

    return ends


def _some(choices: tuple[str, ...]) -> Any:
    def chosen(value: Any) -> tuple[str, ...]:
        if not isinstance(value, (list, tuple)) or not set(value) <= set(choices):
            raise ValueError
        return tuple(dict.fromkeys(value))

    return chosen


def _like(pattern: re.Pattern[str]) -> Any:
    def text(value: Any) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise ValueError
        return value

    return text


def _yes_or_no(value: Any) -> bool:
    if type(value) is not bool:
        raise TypeError
    return value


_READERS: dict[str, Any] = {
    "card_id": _whole,
    "serials": _range(_whole),
    "created": _range(_time),
    "first_used": _range(_time),
    "expires": _range(_time),
    "balance": _range(_micros),
    "statuses": _some(STATUSES),
    "phone": _like(_CALLER),
    "batch_id": _whole,
    "reseller_id": _whole,
    "custody": _some(CUSTODY),
    "released": _yes_or_no,
    "currency": _like(_CURRENCY),
}
