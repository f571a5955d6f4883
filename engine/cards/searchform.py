"""A card filter from the texts of a form or of the command line, each looked at by itself."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.orm import Session

from engine import settings
from engine.cards.search import CUSTODY, CardFilter, card_of_number
from engine.cards.serials import card_id_of
from engine.cards.status import STATUSES, end_of_day
from engine.db import Database
from engine.errors import InvalidInput, NotFound
from engine.house import zone_of
from engine.money import parse_amount, parse_currency
from engine.names import sought
from engine.phone import parse_caller
from engine.schema import Batch, Reseller

Given = str | Sequence[str] | None

FIELDS = (
    "number",
    "serial",
    *(
        f"{name}_{end}"
        for name in ("serial", "created", "first_used", "expires", "balance")
        for end in ("from", "to")
    ),
    "status",
    "phone",
    "batch",
    "reseller",
    "custody",
    "released",
    "currency",
)
"""What a form may ask for. `status` and `custody` take several, in a list or with commas."""

_DATE = re.compile(r"([12][0-9]{3}-[0-9]{2}-[0-9]{2})(?:[ T]([0-9]{2}:[0-9]{2}))?", re.ASCII)
_YES = {"yes": True, "no": False}


def parse_filter(db: Database, *, zone: ZoneInfo | None = None, **texts: Given) -> CardFilter:
    """The filter that texts name; what is empty or None is not looked for.

    Names as in `FIELDS`; every range includes both of its ends as a person means them: `created_to="2026-11-30"` is
    that whole day in `zone` (the operator's where none is given), a time is the minute it names. A card that is valid
    until the end of a day expires on that day. `number` and `serial` become the card's id.

    Raises `InvalidInput` with the `field` to blame (bad_serial, bad_date, range_backwards, not_a_choice, bad_caller,
    number_or_serial, and those of amounts and currencies) and `NotFound` for a card, batch or reseller nobody knows.
    """
    unknown = texts.keys() - set(FIELDS)
    if unknown:
        raise TypeError(f"no such field: {', '.join(sorted(unknown))}")
    given = {name: _one(text) for name, text in texts.items() if name not in ("status", "custody")}
    given = {name: text for name, text in given.items() if text}
    with db.begin() as session:
        rules = settings.load(session)
        zone = zone or zone_of(rules)
        values: dict[str, Any] = {
            "statuses": _chosen("status", texts.get("status"), STATUSES),
            "custody": _chosen("custody", texts.get("custody"), CUSTODY),
            "batch_id": _named(session, Batch, given.get("batch")),
            "reseller_id": _named(session, Reseller, given.get("reseller")),
        }
    for name in ("created", "first_used", "expires"):
        values[name] = _dates(name, given, zone)
    values["serials"] = _serials(given)
    values["balance"] = _balances(given)
    if "phone" in given:
        values["phone"] = parse_caller(given["phone"], rules.home_country or None)
        if values["phone"] is None:
            raise InvalidInput("bad_caller", field="phone", value=given["phone"][:40])
    if "released" in given:
        if given["released"] not in _YES:
            raise InvalidInput("not_a_choice", field="released", allowed=tuple(_YES))
        values["released"] = _YES[given["released"]]
    if "currency" in given:
        values["currency"] = parse_currency(given["currency"], field="currency")
    values["card_id"] = _card(db, given)
    return CardFilter(**values)


def _one(text: Given) -> str:
    return (text if isinstance(text, str) else ",".join(text or ())).strip()


def _chosen(field: str, text: Given, allowed: tuple[str, ...]) -> tuple[str, ...]:
    words = tuple(dict.fromkeys(word.strip() for word in _one(text).split(",") if word.strip()))
    if not set(words) <= set(allowed):
        raise InvalidInput("not_a_choice", field=field, allowed=allowed)
    return words


def _named(session: Session, table: Any, name: str | None) -> int | None:
    if name is None:
        return None
    found: int | None = session.scalar(select(table.id).where(table.name == sought(name)))
    if found is None:
        code = "batch_not_found" if table is Batch else "unknown_reseller"
        raise NotFound(code, field="batch" if table is Batch else "reseller", name=name[:100])
    return found


def _card(db: Database, given: dict[str, str]) -> int | None:
    if "number" in given:
        if given.keys() & {"serial", "serial_from", "serial_to"}:
            raise InvalidInput("number_or_serial", field="number")
        card_id = card_of_number(db, given["number"])
        if card_id is None:
            raise NotFound("card_not_found", field="number")
        return card_id
    return card_id_of(given["serial"]) if "serial" in given else None


def _serial(field: str, text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return card_id_of(text)
    except InvalidInput as error:
        raise InvalidInput("bad_serial", **{**error.data, "field": field}) from None


def _serials(given: dict[str, str]) -> tuple[int | None, int | None] | None:
    last = _serial("serial_to", given.get("serial_to"))
    return a_range(
        "serial", _serial("serial_from", given.get("serial_from")), None if last is None else last + 1
    )


def _balances(given: dict[str, str]) -> tuple[int | None, int | None] | None:
    low, high = (
        parse_amount(given[name], field=name) if name in given else None
        for name in ("balance_from", "balance_to")
    )
    return a_range("balance", low, None if high is None else high + 1)


def _dates(
    name: str, given: dict[str, str], zone: ZoneInfo
) -> tuple[datetime | None, datetime | None] | None:
    first, last = f"{name}_from", f"{name}_to"
    begin = a_time(first, given[first], zone, is_end=False) if first in given else None
    end = a_time(last, given[last], zone, is_end=True) if last in given else None
    if name == "expires":
        # A validity ends with the instant after its last day, which belongs to that day and not to the next.
        begin = begin and begin + timedelta(microseconds=1 if _is_day(given[first]) else 0)
        end = end and end + timedelta(microseconds=1 if _is_day(given[last]) else 0)
    return a_range(name, begin, end)


def _is_day(text: str) -> bool:
    return ":" not in text


def a_time(field: str, text: str, zone: ZoneInfo, *, is_end: bool) -> datetime:
    """The first instant of a day or minute of the zone, or the one after its last."""
    match = _DATE.fullmatch(text)
    try:
        if match is None:
            raise ValueError
        day = datetime.fromisoformat(match[1])
        if match[2] is None:
            ordinal = day.date().toordinal() - (0 if is_end else 1)
            return end_of_day(datetime.fromordinal(ordinal).date(), zone)
        at = datetime.fromisoformat(f"{match[1]}T{match[2]}").replace(tzinfo=zone).astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidInput("bad_date", field=field, value=text[:40]) from None
    return at + timedelta(minutes=1) if is_end else at


def a_range(name: str, first: Any, end: Any) -> tuple[Any, Any] | None:
    """Both ends of a range, the second not included; None where neither is given. Raises `InvalidInput`."""
    if first is None and end is None:
        return None
    if first is not None and end is not None and end <= first:
        raise InvalidInput("range_backwards", field=f"{name}_to")
    return first, end
