"""What is looked for among the calls that ended: one filter for the list, its sums and its export.

All of it is about the CDR as it was written; what a late end corrected is shown, and not looked for.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.orm import Session

from engine import settings
from engine.cards.searchform import a_range, a_time
from engine.cards.serials import card_id_of
from engine.db import Database
from engine.errors import InvalidInput, NotFound
from engine.money import parse_amount, parse_currency
from engine.names import sought
from engine.phone import parse_caller
from engine.schema import Batch, Reseller, Switch

FLAGS = ("duration_capped", "overrun", "overrun_loss", "swept", "ended_by_operator")
"""What a CDR may be flagged with; a correction adds `late_end`."""
ANY_FLAG = "any"
PERIODS = {
    "last-hour": timedelta(hours=1),
    "last-24-hours": timedelta(hours=24),
    "last-7-days": timedelta(days=7),
    "last-30-days": timedelta(days=30),
}
"""Periods that move with the clock, counted back from now."""
FIELDS = (
    *(
        "serial",
        "caller",
        "destination",
        "prefix",
        "name",
        "ended",
        "ended_from",
        "ended_to",
        "duration_from",
    ),
    *(
        "duration_to",
        "cause",
        "charged_from",
        "charged_to",
        "currency",
        "flag",
        "batch",
        "reseller",
        "switch",
    ),
    "call_ref",
)
"""What a form may ask for."""
LONGEST_DURATION = 10_000_000

_DIGITS = re.compile(r"\+?[0-9]{1,15}", re.ASCII)
_SECONDS = re.compile(r"[0-9]{1,8}", re.ASCII)
_CLOCK = re.compile(r"(?:([0-9]{1,3}):)?([0-9]{1,2}):([0-5][0-9])", re.ASCII)

Range = tuple[Any, Any]


@dataclass(frozen=True, slots=True)
class CallFilter:
    """Calls that meet everything that is set. Ranges include their first end and not their second, None is open.

    `caller` and `destination` are E.164 digits, `prefix` the first digits of the destination, `name` its rate's name.
    `ended` holds instants, `duration` whole seconds, `charged` micro-units. `flag` is one of `FLAGS`, or `ANY_FLAG`.
    """

    card_id: int | None = None
    caller: str | None = None
    destination: str | None = None
    prefix: str | None = None
    name: str | None = None
    ended: Range | None = None
    duration: Range | None = None
    cause: int | None = None
    charged: Range | None = None
    currency: str | None = None
    flag: str | None = None
    batch_id: int | None = None
    reseller_id: int | None = None
    switch_id: int | None = None
    call_ref: str | None = None


def parse(db: Database, now: datetime, zone: ZoneInfo, texts: Mapping[str, str]) -> CallFilter:
    """The filter that texts name (`FIELDS`); what is empty is not looked for.

    Ranges include both of their ends as a person means them: `ended_to="2026-11-30"` is that whole day in `zone`, a
    time is the minute it names. Raises `InvalidInput` with the `field` to blame, and `NotFound` for a batch, reseller
    or switch that nobody knows.
    """
    given = {name: text.strip() for name, text in texts.items() if text.strip()}
    with db.begin() as session:
        rules = settings.load(session)
        found = {
            "batch_id": _named(session, Batch, "batch", given),
            "reseller_id": _named(session, Reseller, "reseller", given),
            "switch_id": _named(session, Switch, "switch", given),
        }
    country = rules.home_country or None
    return CallFilter(
        **found,
        card_id=card_id_of(given["serial"]) if "serial" in given else None,
        caller=_caller(given, country),
        destination=_digits("destination", given),
        prefix=_digits("prefix", given),
        name=sought(given["name"]) if "name" in given else None,
        ended=_ended(given, now, zone),
        duration=_durations(given),
        cause=_cause(given),
        charged=_amounts(given),
        currency=parse_currency(given["currency"], field="currency") if "currency" in given else None,
        flag=_flag(given),
        call_ref=sought_ref(given.get("call_ref")),
    )


def sought_ref(text: str | None) -> str | None:
    """A call reference as it is looked for: any text; what PostgreSQL does not take finds nothing."""
    return None if text is None else text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def _named(session: Session, table: Any, field: str, given: Mapping[str, str]) -> int | None:
    if field not in given:
        return None
    found: int | None = session.scalar(select(table.id).where(table.name == sought(given[field])))
    if found is not None:
        return found
    name = given[field][:100]
    if table is Batch:
        raise NotFound("batch_not_found", name=name, field=field)
    if table is Reseller:
        raise NotFound("unknown_reseller", name=name, field=field)
    raise NotFound("switch_not_found", name=name, field=field)


def _caller(given: Mapping[str, str], country: str | None) -> str | None:
    if "caller" not in given:
        return None
    found = parse_caller(given["caller"], country)
    if found is None:
        raise InvalidInput("bad_caller", field="caller", value=given["caller"][:40])
    return found


def _digits(field: str, given: Mapping[str, str]) -> str | None:
    if field not in given:
        return None
    plain = re.sub(r"[ ().-]", "", given[field])
    if not _DIGITS.fullmatch(plain):
        raise InvalidInput("bad_digits", field=field)
    return plain.removeprefix("+")


def _ended(given: Mapping[str, str], now: datetime, zone: ZoneInfo) -> Range | None:
    if "ended" in given:
        if given["ended"] not in PERIODS:
            raise InvalidInput("not_a_choice", field="ended", allowed=tuple(PERIODS))
        if given.keys() & {"ended_from", "ended_to"}:
            raise InvalidInput("period_or_days", field="ended")
        return now - PERIODS[given["ended"]], None
    first = a_time("ended_from", given["ended_from"], zone, is_end=False) if "ended_from" in given else None
    last = a_time("ended_to", given["ended_to"], zone, is_end=True) if "ended_to" in given else None
    return a_range("ended", first, last)


def _durations(given: Mapping[str, str]) -> Range | None:
    low = _duration("duration_from", given)
    high = _duration("duration_to", given)
    return a_range("duration", low, None if high is None else high + 1)


def _duration(field: str, given: Mapping[str, str]) -> int | None:
    if field not in given:
        return None
    clock = _CLOCK.fullmatch(given[field])
    if clock is not None:
        return int(clock[1] or 0) * 3600 + int(clock[2]) * 60 + int(clock[3])
    if not _SECONDS.fullmatch(given[field]) or int(given[field]) > LONGEST_DURATION:
        raise InvalidInput("bad_duration", field=field)
    return int(given[field])


def _cause(given: Mapping[str, str]) -> int | None:
    text = given.get("cause")
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,3}", text, re.ASCII) or int(text) > 127:
        raise InvalidInput("bad_cause", field="cause")
    return int(text)


def _amounts(given: Mapping[str, str]) -> Range | None:
    low, high = (
        parse_amount(given[name], field=name) if name in given else None
        for name in ("charged_from", "charged_to")
    )
    return a_range("charged", low, None if high is None else high + 1)


def _flag(given: Mapping[str, str]) -> str | None:
    flag = given.get("flag")
    if flag is not None and flag not in (ANY_FLAG, *FLAGS):
        raise InvalidInput("not_a_choice", field="flag", allowed=(ANY_FLAG, *FLAGS))
    return flag


# --- as plain values ---


def to_json(f: CallFilter) -> dict[str, Any]:
    """The filter as plain values for JSON: only what is set, instants as ISO 8601 texts. `from_json` reads it back."""
    plain: dict[str, Any] = {}
    for field in dataclasses.fields(f):
        value = getattr(f, field.name)
        if isinstance(value, tuple):
            value = [end.isoformat() if isinstance(end, datetime) else end for end in value]
        if value is not None:
            plain[field.name] = value
    return plain


def from_json(plain: Mapping[str, Any]) -> CallFilter:
    """The filter that `to_json` wrote."""
    values = dict(plain)
    for name in ("ended", "duration", "charged"):
        if name in values:
            first, end = values[name]
            read = _instant if name == "ended" else int
            values[name] = (None if first is None else read(first), None if end is None else read(end))
    return CallFilter(**values)


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
