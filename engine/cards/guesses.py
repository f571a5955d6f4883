"""What a process remembers of wrong passwords for some seconds, so that good calls and floods of bad ones stay cheap.

The limits themselves are rows (`engine.limits`), the same for all processes. Here is only what may differ a little
between them: who was wrong just now, whether failures over all cards come too fast, and how many throttled tries were
not worth a row each.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text

from engine.alarms import CRITICAL, WARNING, raise_alarm
from engine.db import Database, Statement
from engine.settings import Settings

SUBJECT = "cards"
TIGHTER = 2
"""While failures over all cards come too fast, a caller or an address is allowed so many times less."""
THROTTLED_ROWS = 20
"""Throttled tries that a process keeps one by one in a second; of more it keeps only how many."""
_REMEMBERED = timedelta(seconds=60)
_LOOKED = timedelta(seconds=2)
_MOST_REMEMBERED = 10_000

# The first so many are enough to know; what people type at the doors of staff and resellers is no guess at a card.
_FAILURES = Statement(
    """
    SELECT count(*) AS failures FROM (
        SELECT 1 FROM attempt WHERE at > %(since)s AND at <= %(now)s
            AND reason IN ('wrong_password', 'unknown_number') AND door NOT IN ('staff', 'reseller')
        LIMIT %(enough)s
    ) counted
    """
)


class Guesses:
    """One for each process and database; threads share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wrong: dict[bytes, datetime] = {}
        self._looked: tuple[datetime, bool] | None = None
        self._alarmed: dict[str, datetime] = {}
        self._second: tuple[str, int] = ("", 0)
        self._gathered: dict[str, int] = {}

    def first_look(self, key: bytes, now: datetime, compare: Callable[[], bool]) -> bool | None:
        """Compare a password that no failure stands against; None, and not compared, where one was just now.

        A right password writes nothing, so a first wrong one can be counted only afterwards. Others that were read
        before that count would be free as well: a thread each. Here the first wrong one of a process ends it at once,
        for a minute, which is longer than any count takes.
        """
        with self._lock:
            wrong_at = self._wrong.get(key)
            if wrong_at is not None and abs(now - wrong_at) < _REMEMBERED:
                return None
            right = compare()
            if not right:
                self._wrong.pop(key, None)
                if len(self._wrong) >= _MOST_REMEMBERED:
                    del self._wrong[next(iter(self._wrong))]
                self._wrong[key] = now
            return right

    def too_many(self, db: Database, rules: Settings, now: datetime) -> bool:
        """Whether wrong passwords over all cards come faster than `guessing_per_minute`; looked up every 2 s."""
        looked = self._looked
        if looked is None or abs(now - looked[0]) >= _LOOKED:
            enough = rules.guessing_per_minute + 1
            with db.connection() as conn:
                row: Any = _FAILURES.one(
                    conn, {"since": now - timedelta(seconds=60), "now": now, "enough": enough}
                )
            looked = self._looked = (now, row.failures >= enough)
        return looked[1]

    def watch(self, db: Database, rules: Settings, now: datetime) -> None:
        """Raise the alarm where wrong passwords over all cards come too fast. For after a failure was counted."""
        if self.too_many(db, rules, now):
            self.alarm(db, "guessing", now, WARNING, more_than_a_minute=rules.guessing_per_minute)

    def storm(self, db: Database, rules: Settings, now: datetime) -> None:
        """Raise the alarm that so many cards were locked by wrong passwords that no more are."""
        self.alarm(
            db, "lock_storm", now, CRITICAL, locks=rules.storm_locks, within_seconds=rules.storm_window_s
        )

    def alarm(self, db: Database, kind: str, now: datetime, severity: str, **data: Any) -> None:
        """Raise an alarm, but once a minute at most: its row must not become one that every failure writes."""
        with self._lock:
            before = self._alarmed.get(kind)
            if before is not None and abs(now - before) < _REMEMBERED:
                return
            self._alarmed[kind] = now
        with db.begin() as session:
            raise_alarm(session, kind, SUBJECT, now, severity=severity, **data)

    def gather(self, door: str, now: datetime) -> tuple[bool, int]:
        """Whether a throttled try at a door gets a row of its own, and how many before it got none and are now due."""
        second = now.replace(microsecond=0).isoformat()
        with self._lock:
            begun, rows = self._second
            rows = rows if begun == second else 0
            if rows >= THROTTLED_ROWS:
                self._gathered[door] = self._gathered.get(door, 0) + 1
                return False, 0
            self._second = (second, rows + 1)
            return True, self._gathered.pop(door, 0)


def guesses_of(db: Database) -> Guesses:
    """What this process remembers."""
    found: Guesses = db.cache.setdefault("guesses", Guesses())
    return found


def locks_since(session: Any, since: datetime, most: int) -> int:
    """How many cards wrong passwords have locked since then; counts no further than `most`."""
    counted = text(
        "SELECT count(*) FROM (SELECT 1 FROM card_event WHERE kind = 'lock' AND actor = 'failures' AND at > :since"
        " LIMIT :most) counted"
    )
    return session.scalar(counted, {"since": since, "most": most}) or 0
