"""Calls whose end never came are ended here, flagged, so that no hold is ever left behind.

Where the switch was to ask again: 60 s after its last granted slice ran out, at the last usage it confirmed. Where it
was not: 180 s after authorization and grant, at the first increment if the call was answered, for nothing if not.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg

from engine.calls import statements as sql
from engine.calls.live import mark_first_use, rate_of
from engine.calls.rating import billed_seconds, charge
from engine.calls.settlement import Usage, settle
from engine.db import Database
from engine.errors import EngineUnavailable


@dataclass(frozen=True, slots=True)
class Swept:
    """How many calls were ended with a charge and without, how many could not be, and how many of each switch."""

    settled: int
    voided: int
    failed: int
    switches: dict[int, int]

    @property
    def seen(self) -> int:
        """All that were looked at and counted."""
        return self.settled + self.voided + self.failed


def sweep(db: Database, now: datetime, limit: int = 500) -> Swept:
    """End up to `limit` calls that are overdue. Each is a transaction of its own, and may be swept by anybody once.

    One that cannot be ended now (its card is locked by somebody for too long) keeps no other waiting.
    """
    with db.connection() as conn:
        overdue = sql.SWEEP_READ.all(conn, {"now": now, "limit": limit})
    settled = voided = failed = 0
    switches: Counter[int] = Counter()
    for call in overdue:
        usage = _last_known(call)
        try:
            ended = settle(db, call, usage, duration_ms=None, cause=None, now=now, swept=True)
            if ended is not None and usage.duration_s > 0:
                mark_first_use(db, call, now)
        except (EngineUnavailable, psycopg.Error):
            failed += 1
            continue
        if ended is None:
            continue  # something was heard of it after all, or somebody else swept it
        switches[call.switch_id] += 1
        if usage.cost > 0:
            settled += 1
        else:
            voided += 1
    return Swept(settled, voided, failed, dict(switches))


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
