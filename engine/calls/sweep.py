"""Calls whose end never came are ended here, flagged, so that no hold is ever left behind.

Where the switch was to ask again: 60 s after its last granted slice ran out, at the last usage it confirmed. Where it
was not: 180 s after authorization and grant, at the first increment if the call was answered, for nothing if not.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from engine.calls import statements as sql
from engine.calls.live import mark_first_use, rate_of
from engine.calls.rating import billed_seconds, charge
from engine.calls.settlement import Usage, settle
from engine.db import Database


@dataclass(frozen=True, slots=True)
class Swept:
    """How many calls were ended with a charge and without, and how many for each switch (by its id)."""

    settled: int
    voided: int
    switches: dict[int, int]


def sweep(db: Database, now: datetime, limit: int = 500) -> Swept:
    """End up to `limit` calls that are overdue. Each is a transaction of its own, and may be swept by anybody once."""
    with db.connection() as conn:
        overdue = sql.SWEEP_READ.all(conn, {"now": now, "limit": limit})
    settled = voided = 0
    switches: Counter[int] = Counter()
    for call in overdue:
        usage = _last_known(call)
        if settle(db, call, usage, duration_ms=None, cause=None, now=now) is None:
            continue  # its end came after all, or somebody else swept it
        switches[call.switch_id] += 1
        if usage.duration_s > 0:
            settled += 1
            mark_first_use(db, call, now)
        else:
            voided += 1
    return Swept(settled, voided, dict(switches))


def _last_known(call: Any) -> Usage:
    if call.one_shot:
        # A progress that came all the same is better evidence than none.
        answered = call.answered_at is not None
        duration_s = max(call.first_increment, call.confirmed_s) if answered else call.confirmed_s
    else:
        duration_s = call.confirmed_s
    duration_s = min(duration_s, call.granted_s)
    rate = rate_of(call)
    return Usage(duration_s, billed_seconds(rate, duration_s), charge(rate, duration_s), ("swept",))
