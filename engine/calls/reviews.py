"""Flagged calls: what was not ordinary about a call, and what a person found out about it.

A call stays open until somebody resolves it with a note. CDRs are never rewritten or deleted, and only flagged calls
are resolved, so that what is open is what is flagged less what is resolved.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from engine.actor import Actor
from engine.calls.callfilter import FLAGS
from engine.calls.cdrs import CallRow, read_calls
from engine.cards.names import actor_names
from engine.cards.serials import card_id_of, serial_of
from engine.cards.timeline import checked_reason
from engine.db import Database, reruns
from engine.errors import Conflict, InvalidInput, NotFound
from engine.people import audit
from engine.permissions import command

__all__ = ["FLAGS", "FlaggedCall", "FlaggedPage", "Review", "flagged", "open_count", "resolve", "review_of"]

STATES = ("open", "resolved")
PAGE = 50
MOST = 200
"""Calls that may be resolved at once."""


@dataclass(frozen=True, slots=True)
class Review:
    """What was found out about a flagged call: when, by whom (a name people know), and their note."""

    at: datetime
    by: str
    note: str


@dataclass(frozen=True, slots=True)
class FlaggedCall:
    """A flagged call, and what somebody found out about it, if anybody did."""

    row: CallRow
    review: Review | None


@dataclass(frozen=True, slots=True)
class FlaggedPage:
    """Some flagged calls; `older` is where the next page begins, None at the end."""

    calls: tuple[FlaggedCall, ...]
    older: tuple[datetime, int] | None


def open_count(db: Database, now: datetime) -> int:
    """How many flagged calls nobody has resolved."""
    with db.connection() as conn:
        row: Any = conn.execute(_OPEN).fetchone()
    return int(row.open)


_OPEN = """
    SELECT (SELECT count(*) FROM cdr WHERE flags <> '{}') - (SELECT count(*) FROM call_review) AS open
"""


def flagged(
    db: Database,
    *,
    state: str = "open",
    flag: str | None = None,
    switch_id: int | None = None,
    before: tuple[datetime, int] | None = None,
    limit: int = PAGE,
) -> FlaggedPage:
    """Flagged calls in a state of `STATES`, newest first: by when they ended, or by when they were resolved.

    `before`: the place of the last one on the page before: that time, and the number of the call.
    """
    key = "d.ended_at" if state == "open" else "r.at"
    conditions = ["d.flags <> '{}'"]
    given: dict[str, Any] = {"limit": limit + 1}
    if flag is not None:
        conditions.append("d.flags @> ARRAY[%(flag)s]")
        given["flag"] = flag
    if switch_id is not None:
        conditions.append("d.switch_id = %(switch)s")
        given["switch"] = switch_id
    if before is not None:
        conditions.append(f"({key}, d.id) < (%(before_at)s, %(before_id)s)")
        given |= {"before_at": before[0], "before_id": before[1]}
    reviewed = "call_review r WHERE r.card_id = d.card_id AND r.cdr_id = d.id"
    if state == "open":
        source, shown = "cdr d", f"{key} AS key"
        conditions.append(f"NOT EXISTS (SELECT FROM {reviewed})")
    else:
        source = "call_review r JOIN cdr d ON d.card_id = r.card_id AND d.id = r.cdr_id"
        shown = f"{key} AS key"
    statement = (
        f"SELECT d.card_id, d.ended_at, d.id, {shown} FROM {source} WHERE {' AND '.join(conditions)}"
        f" ORDER BY {key} DESC, d.id DESC LIMIT %(limit)s"
    )
    with db.connection() as conn:
        found = conn.execute(statement, given).fetchall()
    keys = [(row.card_id, row.ended_at, row.id) for row in found[:limit]]
    last = found[limit - 1] if len(found) > limit else None
    return FlaggedPage(_with_reviews(db, keys), None if last is None else (last.key, last.id))


def review_of(db: Database, serial: str, call_id: int) -> Review | None:
    """What was found out about a call. Raises `InvalidInput` ("bad_serial")."""
    with db.begin() as session:
        return _reviews(session, [(card_id_of(serial), call_id)]).get(call_id)


@command("call.resolve")
@reruns
def resolve(
    db: Database, *, calls: Sequence[tuple[str, int]], reason: str, actor: Actor, now: datetime
) -> int:
    """Say what was found out about flagged calls (their card's serial, their number); how many of them were open.

    What somebody resolved before stays as they did. Raises `InvalidInput` (reason_missing, no_calls_chosen,
    too_many_calls_chosen, bad_serial), `NotFound` ("call_not_found") and `Conflict` ("call_not_flagged"); then none of
    them is resolved.
    """
    wanted = sorted({(card_id_of(serial), call_id) for serial, call_id in calls})
    if not wanted:
        raise InvalidInput("no_calls_chosen", field="calls")
    if len(wanted) > MOST:
        raise InvalidInput("too_many_calls_chosen", field="calls", high=MOST)
    told = checked_reason(reason, required=True)
    with db.begin() as session:
        for card_id, call_id in wanted:
            flags = session.scalar(_FLAGS_OF, {"card": card_id, "id": call_id})
            if flags is None:
                raise NotFound("call_not_found")
            if not flags:
                raise Conflict("call_not_flagged")
        facts = {"now": now, "actor": str(actor), "name": actor.name, "note": told}
        resolved = [
            (card_id, call_id)
            for card_id, call_id in wanted
            if session.execute(_RESOLVE, {"card": card_id, "id": call_id, **facts}).rowcount  # type: ignore[attr-defined]
        ]
        if resolved:
            listed = [f"{serial_of(card_id)}-{call_id}" for card_id, call_id in resolved]
            subject = f"card:{serial_of(resolved[0][0])}" if len(resolved) == 1 else "calls"
            audit.record(session, actor, "call.resolve", subject, now, reason=told, calls=listed)
        return len(resolved)


_FLAGS_OF = text("SELECT flags FROM cdr WHERE card_id = :card AND id = :id")
_RESOLVE = text(
    "INSERT INTO call_review (card_id, cdr_id, at, actor, actor_name, note)"
    " VALUES (:card, :id, :now, :actor, :name, :note) ON CONFLICT DO NOTHING"
)
_REVIEWS = text(
    "SELECT r.cdr_id, r.at, r.actor, r.actor_name, r.note FROM call_review r"
    " JOIN unnest(CAST(:cards AS bigint[]), CAST(:ids AS bigint[])) AS wanted (card_id, id)"
    " ON r.card_id = wanted.card_id AND r.cdr_id = wanted.id"
)


def _with_reviews(db: Database, keys: list[tuple[int, datetime, int]]) -> tuple[FlaggedCall, ...]:
    rows = read_calls(db, keys)
    with db.begin() as session:
        reviews = _reviews(session, [(card_id, call_id) for card_id, _, call_id in keys])
    return tuple(FlaggedCall(row, reviews.get(row.id)) for row in rows)


def _reviews(session: Session, calls: list[tuple[int, int]]) -> dict[int, Review]:
    given = {"cards": [card_id for card_id, _ in calls], "ids": [call_id for _, call_id in calls]}
    found = session.execute(_REVIEWS, given).all()
    names = actor_names(session, (row.actor for row in found))
    return {row.cdr_id: Review(row.at, row.actor_name or names[row.actor], row.note) for row in found}
