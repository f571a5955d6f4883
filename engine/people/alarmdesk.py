"""Somebody looked at an alarm and it needs nobody any more."""

from __future__ import annotations

from datetime import datetime

from engine.actor import Actor
from engine.db import Database, reruns
from engine.errors import NotFound
from engine.names import checked_reason
from engine.people import audit
from engine.permissions import command
from engine.schema import Alarm


@command("alarm.clear")
@reruns
def clear(db: Database, *, alarm_id: int, reason: str | None = None, actor: Actor, now: datetime) -> bool:
    """Close an alarm; what comes back opens a new one. Returns whether it was open.

    Raises `NotFound` ("alarm_not_found") and what `checked_reason` raises.
    """
    why = checked_reason(reason)
    with db.begin() as session:
        alarm = session.get(Alarm, alarm_id, with_for_update=True)
        if alarm is None:
            raise NotFound("alarm_not_found", id=alarm_id)
        if alarm.cleared_at is not None:
            return False
        alarm.cleared_at, alarm.cleared_by = now, str(actor)
        told = {"kind": alarm.kind, "about": alarm.subject, "times": alarm.times}
        audit.record(session, actor, "alarm.clear", f"alarm:{alarm_id}", now, reason=why, **told)
        return True
