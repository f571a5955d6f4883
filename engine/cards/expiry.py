"""Expiry on the timeline: one line for every card when its validity has ended.

It changes no truth: a card has expired when `expires_at` has passed, whether or not this ran. What was told is kept as
a mark in `job_state`, moved on in the transaction that writes the lines, so that a kill tells nothing twice and leaves
nothing out. What fell due behind the mark (a card imported already expired, a batch that was ready late) is found by
`expire_missed`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from psycopg.types.json import Json
from sqlalchemy import text
from sqlalchemy.orm import Session

from engine.cards.status import end_of_day
from engine.db import Database, reruns

JOB = "expiry"
CHUNK = 20_000
"""Cards whose lines are written in one transaction."""

_BEGINNING = datetime(1, 1, 1, tzinfo=UTC)
_LOCK = 0x0CA4D0E1
"""The advisory lock of whoever writes these lines."""


@dataclass(frozen=True, slots=True, order=True)
class _Mark:
    """How far cards have been told of: up to this place in the order of (expires_at, id)."""

    expires_at: datetime
    card_id: int


_LAST_ID = 2**63 - 1


@dataclass(frozen=True, slots=True)
class _Told:
    """A chunk: cards looked at, lines written, and the last card of it."""

    seen: int
    told: int
    last: _Mark


def expire_due(db: Database, now: datetime) -> int:
    """Write a line `expire` for every card whose validity has ended since the last run; returns how many.

    Cards of batches that are not ready are left out. May be run by many at once, killed, and run again.
    """
    told = 0
    while (chunk := _tell_due(db, now)).seen:
        told += chunk.told
    return told


def expire_missed(db: Database, now: datetime) -> int:
    """The same for expired cards that fell due behind what was told already; returns how many lines were missing."""
    told, after = 0, _Mark(_BEGINNING, 0)
    while (chunk := _tell_missed(db, after, now)).seen:
        told, after = told + chunk.told, chunk.last
    return told


def grace_cutoff(now: datetime, days: int, zone: ZoneInfo) -> datetime:
    """The latest `expires_at` whose grace of `days` days has ended at `now`: `status.grace_end` turned round.

    So that a set of cards can be asked for by an index instead of one by one.
    """
    if days == 0:
        return now
    day = now.astimezone(zone).date() + timedelta(days=1)
    while end_of_day(day, zone) > now:
        day -= timedelta(days=1)
    return end_of_day(day - timedelta(days=days), zone)


_DUE = """
    WITH due AS MATERIALIZED (
        SELECT id, batch_id, expires_at FROM card
        WHERE expires_at IS NOT NULL AND (expires_at, id) > (:after, :after_id)
            AND expires_at <= :until AND (expires_at, id) <= (:until, :until_id)
        ORDER BY expires_at, id LIMIT :chunk
    ), told AS (
        INSERT INTO card_event (card_id, at, kind, actor, data)
        SELECT due.id, :now, 'expire', 'system', jsonb_build_object('expires_at', due.expires_at)
        FROM due JOIN batch ON batch.id = due.batch_id AND batch.ready_at IS NOT NULL
        WHERE {condition}
        RETURNING card_id
    ), last AS (
        SELECT expires_at, id FROM due ORDER BY expires_at DESC, id DESC LIMIT 1
    )
    SELECT (SELECT count(*) FROM due) AS seen, (SELECT count(*) FROM told) AS told,
        (SELECT expires_at FROM last) AS expires_at, (SELECT id FROM last) AS id
"""
_TELL = text(_DUE.format(condition="TRUE"))
_TELL_MISSED = text(
    _DUE.format(
        condition="""NOT EXISTS (
            SELECT 1 FROM card_event e WHERE e.card_id = due.id AND e.kind = 'expire'
                AND CAST(e.data ->> 'expires_at' AS timestamptz) = due.expires_at
        )"""
    )
)


@reruns
def _tell_due(db: Database, now: datetime) -> _Told:
    with db.begin() as session:
        mark = _locked_mark(session)
        told = _run(session, _TELL, mark, _Mark(now, _LAST_ID), now)
        # When all is told, the mark stands at `now`: what falls due behind it after all is for `expire_missed`.
        moved = told.last if told.seen else _Mark(now, _LAST_ID)
        if moved > mark:
            _keep_mark(session, moved)
        return told


@reruns
def _tell_missed(db: Database, after: _Mark, now: datetime) -> _Told:
    with db.begin() as session:
        mark = _locked_mark(session)
        # No further than the mark: what lies behind it is for `expire_due` to tell.
        return _run(session, _TELL_MISSED, after, min(mark, _Mark(now, _LAST_ID)), now)


def _run(session: Session, statement: Any, after: _Mark, until: _Mark, now: datetime) -> _Told:
    asked = {
        "after": after.expires_at,
        "after_id": after.card_id,
        "until": until.expires_at,
        "until_id": until.card_id,
        "now": now,
        "chunk": CHUNK,
    }
    row = session.execute(statement, asked).one()
    last = _Mark(row.expires_at, row.id) if row.seen else after
    return _Told(row.seen, row.told, last)


def _locked_mark(session: Session) -> _Mark:
    """How far it was told, for this transaction alone: another that runs at once waits here."""
    session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    kept = session.scalar(text("SELECT mark FROM job_state WHERE job = :job"), {"job": JOB})
    if not kept:
        return _Mark(_BEGINNING, 0)
    return _Mark(datetime.fromisoformat(kept["expires_at"]), kept["card_id"])


def _keep_mark(session: Session, mark: _Mark) -> None:
    value = {"expires_at": mark.expires_at.isoformat(), "card_id": mark.card_id}
    session.execute(
        text(
            "INSERT INTO job_state (job, mark) VALUES (:job, :mark)"
            " ON CONFLICT (job) DO UPDATE SET mark = excluded.mark"
        ),
        {"job": JOB, "mark": Json(value)},
    )
