"""Refused and failed tries at every door, newest first, by their inner reason; and how many there were of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, func, select, tuple_
from sqlalchemy.orm import Session

from engine.cards.attempts import AttemptLine
from engine.cards.names import actor_names
from engine.cards.serials import serial_of
from engine.db import Database
from engine.schema import Attempt, AttemptBucket

Place = tuple[datetime, int]
LOOKED_AT = 20_000
"""Tries that are looked at for one page."""


@dataclass(frozen=True, slots=True)
class AttemptFilter:
    """Tries that meet everything that is set. `at` includes its first end and not its second; None is open.

    `source` is who asked, as it is written (`switch:2`, `address:192.0.2.1`); `caller` E.164 digits.
    """

    at: tuple[datetime | None, datetime | None] | None = None
    door: str | None = None
    reason: str | None = None
    source: str | None = None
    caller: str | None = None
    card_id: int | None = None


@dataclass(frozen=True, slots=True)
class Try:
    """A try, and the card that it was made with, where that is known."""

    line: AttemptLine
    serial: str | None


@dataclass(frozen=True, slots=True)
class TryList:
    """One page; `older` is where the next begins. `partial`: it isn't full, yet more may be found further back."""

    tries: tuple[Try, ...]
    older: Place | None
    partial: bool


def tries(db: Database, f: AttemptFilter, *, before: Place | None = None, limit: int = 50) -> TryList:
    """Up to `limit` tries that meet the filter, newest first, behind the place `before`."""
    with db.begin() as session:
        rows, stopped = _read(session, f, before, limit + 1)
        names = actor_names(session, (row.source for row in rows))
    shown = tuple(_try(row, names) for row in rows[:limit])
    if len(rows) > limit:
        return TryList(shown, (rows[limit - 1].at, rows[limit - 1].id), False)
    return TryList(shown, stopped, stopped is not None)


def counts(db: Database, at: tuple[datetime | None, datetime | None]) -> tuple[tuple[str, str, int], ...]:
    """How many tries there were (door, reason, tries), the most frequent first; told in whole quarters of an hour."""
    wanted = select(AttemptBucket.door, AttemptBucket.reason, func.sum(AttemptBucket.attempts))
    for condition in _within(AttemptBucket.at, at):
        wanted = wanted.where(condition)
    wanted = wanted.group_by(AttemptBucket.door, AttemptBucket.reason)
    with db.begin() as session:
        found = [(door, reason, int(number)) for door, reason, number in session.execute(wanted)]
    return tuple(sorted(found, key=lambda one: (-one[2], one[0], one[1])))


def _read(
    session: Session, f: AttemptFilter, before: Place | None, limit: int
) -> tuple[list[Any], Place | None]:
    """Tries among the next that were made, and the last one looked at where nothing else ended the look."""
    reached = [*_within(Attempt.at, f.at or (None, None))]
    if before is not None:
        reached += [Attempt.at <= before[0], tuple_(Attempt.at, Attempt.id) < tuple_(*before)]
    order = (Attempt.at.desc(), Attempt.id.desc())
    if f.card_id is not None:
        own = select(Attempt).where(Attempt.card_id == f.card_id, *reached, *_checks(Attempt, f))
        return list(session.scalars(own.order_by(*order).limit(limit))), None
    walked = select(Attempt).where(*reached).order_by(*order)
    checks = _checks(Attempt, f)
    if not checks:
        return list(session.scalars(walked.limit(limit))), None
    fenced = walked.limit(LOOKED_AT).subquery()
    found = list(
        session.execute(
            select(fenced)
            .where(*_checks(fenced.c, f))
            .order_by(fenced.c.at.desc(), fenced.c.id.desc())
            .limit(limit)
        )
    )
    if len(found) >= limit:
        return found, None
    last = session.execute(
        select(Attempt.at, Attempt.id).where(*reached).order_by(*order).offset(LOOKED_AT - 1).limit(1)
    ).one_or_none()
    return found, None if last is None else (last.at, last.id)


def _checks(columns: Any, f: AttemptFilter) -> list[ColumnElement[bool]]:
    asked = {"door": f.door, "reason": f.reason, "source": f.source, "caller": f.caller}
    return [getattr(columns, name) == value for name, value in asked.items() if value is not None]


def _within(column: Any, at: tuple[datetime | None, datetime | None]) -> list[ColumnElement[bool]]:
    first, end = at
    return [*([column >= first] if first is not None else []), *([column < end] if end is not None else [])]


def _try(row: Any, names: Mapping[str, str]) -> Try:
    line = AttemptLine(
        row.id,
        row.at,
        row.door,
        names[row.source].removeprefix("address:") if row.source else "",
        row.caller,
        row.destination,
        row.reason,
        row.times,
    )
    return Try(line, None if row.card_id is None else serial_of(row.card_id))
