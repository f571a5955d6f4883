"""Alarms: what a person should look at, as rows that the console shows until somebody clears them.

One row is open for each kind and subject; raising it again counts and keeps the newest facts. What was cleared and
comes back opens a new one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Json
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from engine.actor import Actor
from engine.db import Database
from engine.schema import Alarm

NOTICE, WARNING, CRITICAL = "notice", "warning", "critical"


@dataclass(frozen=True, slots=True)
class AlarmView:
    """An alarm as it may be shown. `times`: how often it was raised; `data`: the facts of the last time."""

    id: int
    kind: str
    subject: str
    severity: str
    data: dict[str, Any]
    opened_at: datetime
    last_at: datetime
    times: int
    cleared_at: datetime | None
    cleared_by: str | None


_RAISE = text(
    """
    INSERT INTO alarm (kind, subject, severity, data, opened_at, last_at)
    VALUES (:kind, :subject, :severity, :data, :now, :now)
    ON CONFLICT (kind, subject) WHERE cleared_at IS NULL DO UPDATE SET
        times = alarm.times + 1, last_at = greatest(alarm.last_at, excluded.last_at),
        severity = excluded.severity, data = excluded.data
    """
)


def raise_alarm(
    session: Session, kind: str, subject: str, now: datetime, *, severity: str = WARNING, **data: Any
) -> None:
    """Open an alarm, or count it once more, in the caller's transaction. `data`: plain values, never a secret."""
    values = {"kind": kind, "subject": subject, "severity": severity, "data": Json(data), "now": now}
    session.execute(_RAISE, values)


def clear_alarm(session: Session, kind: str, subject: str, actor: Actor, now: datetime) -> bool:
    """Close an alarm, in the caller's transaction; returns whether it was open."""
    cleared = session.execute(
        text(
            "UPDATE alarm SET cleared_at = :now, cleared_by = :actor"
            " WHERE kind = :kind AND subject = :subject AND cleared_at IS NULL RETURNING id"
        ),
        {"kind": kind, "subject": subject, "actor": str(actor), "now": now},
    ).one_or_none()
    return cleared is not None


def open_alarms(db: Database) -> list[AlarmView]:
    """All that are open, the gravest first, then the newest."""
    order = text(
        "CASE severity WHEN 'critical' THEN 0 WHEN 'warning' THEN 1 ELSE 2 END, last_at DESC, id DESC"
    )
    with db.begin() as session:
        rows = session.scalars(select(Alarm).where(Alarm.cleared_at.is_(None)).order_by(order))
        return [view_of(row) for row in rows]


def view_of(row: Alarm) -> AlarmView:
    """A row that was read already, as it may be shown."""
    return AlarmView(**{name: getattr(row, name) for name in AlarmView.__dataclass_fields__})
