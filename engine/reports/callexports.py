"""Calls that ended, and refused tries, as sources of full exports."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from engine.calls import attempts, callfilter, callsearch
from engine.calls.attempts import AttemptFilter
from engine.calls.cdrs import CallRow, read_calls
from engine.calls.explain import explain
from engine.db import Database
from engine.money import format_amount
from engine.reports.exports import Asked, Block, Source, register

_BLOCK = 2_000

_CALL_COLUMNS = (
    *(
        "ended_at",
        "authorized_at",
        "answered_at",
        "serial",
        "batch",
        "reseller",
        "switch",
        "call_ref",
        "caller",
    ),
    *("destination", "destination_name", "prefix", "access_number", "duration_s", "billed_s", "currency"),
    *("price_per_minute", "connect_fee", "cost", "charged", "balance_after", "cause", "flags", "corrected"),
    *("deck", "deck_version", "explanation"),
)
_TRY_COLUMNS = ("at", "door", "reason", "source", "serial", "caller", "destination", "times")


def _calls(db: Database, given: Mapping[str, Any], asked: Asked) -> Iterator[Block]:
    f = callfilter.from_json(given)
    place = _beginning(asked)
    while place is not None:
        keys, place = callsearch.keys_after(db, f, place, _BLOCK)
        yield [_call(row, asked) for row in read_calls(db, keys)]


def _call(row: CallRow, asked: Asked) -> tuple[str, ...]:
    call = row.call
    told: Any = row.told
    return (
        _instant(call.ended_at, asked),
        _instant(call.authorized_at, asked),
        _instant(call.answered_at, asked),
        row.serial,
        row.batch,
        row.reseller or "",
        call.switch,
        call.call_ref,
        call.caller or "",
        call.destination,
        call.destination_name,
        call.prefix,
        call.access_number or "",
        str(told.duration_s),
        str(told.billed_s),
        call.currency,
        format_amount(call.price_per_minute, 2),
        format_amount(call.connect_fee, 2),
        format_amount(told.cost, 2),
        format_amount(told.charged, 2),
        format_amount(told.balance_after, 2),
        "" if told.cause is None else str(told.cause),
        " ".join(row.flags),
        "yes" if call.correction else "no",
        row.deck,
        str(row.deck_version_id),
        explain(told),
    )


def _tries(db: Database, given: Mapping[str, Any], asked: Asked) -> Iterator[Block]:
    f = try_filter(given)
    place = _beginning(asked)
    while place is not None:
        page = attempts.tries(db, f, before=place, limit=_BLOCK)
        place = page.older
        yield [
            (
                _instant(one.line.at, asked),
                one.line.door,
                one.line.reason,
                one.line.source,
                one.serial or "",
                one.line.caller or "",
                one.line.destination or "",
                str(one.line.times),
            )
            for one in page.tries
        ]


def try_filter(given: Mapping[str, Any]) -> AttemptFilter:
    """The filter of tries that `try_json` wrote."""
    values = dict(given)
    if "at" in values:
        first, end = (None if one is None else datetime.fromisoformat(one) for one in values["at"])
        values["at"] = (first, end)
    return AttemptFilter(**values)


def try_json(f: AttemptFilter) -> dict[str, Any]:
    """A filter of tries as plain values for JSON: only what is set."""
    names = ("door", "reason", "source", "caller", "card_id")
    plain: dict[str, Any] = {name: getattr(f, name) for name in names if getattr(f, name) is not None}
    if f.at is not None:
        plain["at"] = [None if one is None else one.isoformat() for one in f.at]
    return plain


def _beginning(asked: Asked) -> tuple[datetime, int] | None:
    """Where a list begins: what came after it was ordered is left out."""
    return asked.at + timedelta(microseconds=1), 0


def _instant(at: datetime | None, asked: Asked) -> str:
    return "" if at is None else at.astimezone(asked.zone).isoformat(timespec="seconds")


def _counted(db: Database, given: Mapping[str, Any], now: datetime) -> int | None:
    sums = callsearch.sums(db, callfilter.from_json(given))
    return sums.calls if sums.whole else None


CALLS = register(
    Source(
        "calls",
        "Calls that ended",
        "calls.see",
        _CALL_COLUMNS,
        _calls,
        frozenset(
            {"batch", "reseller", "switch", "call_ref", "caller", "destination_name", "deck", "explanation"}
        ),
        callfilter.from_json,
        _counted,
    )
)
TRIES = register(
    Source(
        "refused",
        "Refused tries",
        "calls.see",
        _TRY_COLUMNS,
        _tries,
        frozenset({"source", "caller", "destination"}),
        try_filter,
    )
)
