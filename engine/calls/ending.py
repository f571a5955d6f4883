"""A call that the operator ends: its switch will not, or the card must stop talking at once.

The switch is not told; where it asks for more it hears that the call has ended. An end that it sends after all corrects
what was charged here, as after a sweep.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from engine.actor import Actor
from engine.calls import statements as sql
from engine.calls.live import MAX_TURNS, mark_first_use, milliseconds, rate_of, settings_for
from engine.calls.rating import billed_seconds, charge, seconds_from_ms
from engine.calls.settlement import Ended, Usage, settle
from engine.cards.serials import serial_of
from engine.cards.timeline import add_event, checked_reason
from engine.db import Database, reruns
from engine.errors import EngineUnavailable, NotFound
from engine.people import audit
from engine.permissions import command
from engine.schema import Call, Switch


@dataclass(frozen=True, slots=True)
class LiveCallView:
    """A live call in the operator's list; `hold` in micro-units of `currency`."""

    switch: str
    call_ref: str
    serial: str
    caller: str | None
    destination: str
    destination_name: str
    authorized_at: datetime
    answered_at: datetime | None
    granted_s: int
    hold: int
    sweep_after: datetime


def live_calls(db: Database, *, limit: int = 200) -> list[LiveCallView]:
    """The calls that go on, the longest first."""
    statement = (
        select(Call, Switch.name)
        .join(Switch, Call.switch_id == Switch.id)
        .order_by(Call.authorized_at, Call.id)
        .limit(limit)
    )
    with db.begin() as session:
        return [_view(call, switch) for call, switch in session.execute(statement)]


@command("call.end")
@reruns
def end_call(db: Database, *, switch: str, call_ref: str, reason: str, actor: Actor, now: datetime) -> Ended:
    """End a live call at once: charge it from its answer until now, or for nothing where it was not answered.

    Never more than it was granted. Its CDR is flagged `swept` and `ended_by_operator`. Raises `NotFound`
    ("call_not_found": there is no such call, or it has ended) and `InvalidInput` ("reason_missing").
    """
    why = checked_reason(reason, required=True)
    for _ in range(MAX_TURNS):
        call = _find(db, switch, call_ref)
        usage = _usage(db, call, now)
        with db.begin() as session:
            conn: Any = session.connection().connection.driver_connection
            ended = settle(db, call, usage, duration_ms=None, cause=None, now=now, actor=actor, conn=conn)
            if ended is None:
                continue  # its switch said something about it meanwhile: look again
            _tell(session, call, switch, usage, ended, actor, now, why)
        if usage.duration_s > 0:
            mark_first_use(db, call, now)
        return ended
    raise EngineUnavailable("busy")


def _find(db: Database, switch: str, call_ref: str) -> Any:
    with db.begin() as session:
        switch_id = session.scalar(select(Switch.id).where(Switch.name == switch))
    if switch_id is None:
        raise NotFound("switch_not_found", name=switch)
    with db.connection() as conn:
        call = sql.FIND_LIVE.one(conn, {"switch_id": switch_id, "call_ref": call_ref})
    if call is None:
        raise NotFound("call_not_found")
    return call


def _usage(db: Database, call: Any, now: datetime) -> Usage:
    return usage_now(call, settings_for(db, call.revision).tolerance_ms, now)


def usage_now(call: Any, tolerance_ms: int, now: datetime) -> Usage:
    """What a live call has used if it ends at this instant: from its answer on, never more than it was granted."""
    duration_s = call.confirmed_s
    if call.answered_at is not None:
        talked_ms = max(0, milliseconds(now - call.answered_at))
        duration_s = max(duration_s, seconds_from_ms(talked_ms, tolerance_ms))
    duration_s = min(duration_s, call.granted_s)
    rate = rate_of(call)
    flags = ("swept", "ended_by_operator")
    return Usage(duration_s, billed_seconds(rate, duration_s), charge(rate, duration_s), flags)


def _tell(
    session: Session,
    call: Any,
    switch: str,
    usage: Usage,
    ended: Ended,
    actor: Actor,
    now: datetime,
    reason: str | None,
) -> None:
    told = {
        "switch": switch,
        "call_ref": call.call_ref,
        "seconds": usage.duration_s,
        "charged": ended.charged,
        "currency": ended.currency,
    }
    serial = serial_of(call.card_id)
    audit.record(session, actor, "call.end", f"card:{serial}", now, reason=reason, **told)
    add_event(session, call.card_id, now, "end_call", str(actor), reason=reason, **told)


def _view(call: Call, switch: str) -> LiveCallView:
    same = {name: getattr(call, name) for name in LiveCallView.__dataclass_fields__ if hasattr(call, name)}
    return LiveCallView(switch=switch, serial=serial_of(call.card_id), **same)
