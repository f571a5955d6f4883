"""Durable limits on failures: what is counted is wrong tries for one name, in the table `failure_counter`.

A name (a presented card number, a log-in, an address) is known here only by a keyed digest (`Vault.name`), and one that
does not exist is counted like one that does. The first `free` failures cost nothing; each further one brings a delay,
`first_delay_s` and then doubling up to `max_delay_s`, during which no password is compared.

Three ways to use it. Compare, then `count_failure`; or, where tries in parallel must not slip through together,
`take_try` before comparing, and `count_success` or `give_back` when the password was right; or, where a right try
must write nothing, take turns: `hold` the names, compare, and `count_in_turn` in the same transaction.

A name may also be limited by the time, as a caller or an address is: `count_in_window` counts its failures in windows
that begin with a failure. A success clears no window, or one's own card would clear the way to everybody's.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg import Connection
from sqlalchemy import text
from sqlalchemy.orm import Session

from engine.db import Statement

KEPT_S = 30 * 86_400
"""A counter without a new failure for this long is forgotten (30 days)."""

# The number of failures with this one. `forgotten` is the time before which an earlier failure no longer counts.
_COUNT = "CASE WHEN c.failed_at < :forgotten THEN 1 ELSE c.failures + 1 END"
_UPSERT = f"""
    INSERT INTO failure_counter AS c (key, failures, failed_at, blocked_until)
    VALUES (:key, 1, :now, CASE WHEN :free < 1 THEN :now + least(:first, :max) * interval '1 second' END)
    ON CONFLICT (key) DO UPDATE SET
        failures = {_COUNT},
        failed_at = excluded.failed_at,
        blocked_until = CASE WHEN {_COUNT} > :free THEN
            :now + least(:first * power(2, least({_COUNT} - :free - 1, 30)), :max) * interval '1 second' END
"""
_COUNT_FAILURE = text(_UPSERT + " RETURNING c.failures")
_TAKE_TRY = text(_UPSERT + " WHERE c.blocked_until IS NULL OR c.blocked_until <= :now RETURNING c.failures")
_BLOCKED_UNTIL = text("SELECT blocked_until FROM failure_counter WHERE key = :key")
# The same on the thread's own connection, where the call path takes turns.
_COUNT_IN_TURN = Statement(re.sub(r":([a-z]+)", r"%(\1)s", _UPSERT) + " RETURNING c.failures")
_COUNT_IN_WINDOW = Statement(
    """
    INSERT INTO failure_counter AS c (key, failures, failed_at, window_ends_at)
    VALUES (%(key)s, 1, %(now)s, %(now)s + %(window)s * interval '1 second')
    ON CONFLICT (key) DO UPDATE SET
        failures = CASE WHEN c.window_ends_at > %(now)s THEN c.failures + 1 ELSE 1 END,
        window_ends_at = CASE WHEN c.window_ends_at > %(now)s THEN c.window_ends_at ELSE excluded.window_ends_at END,
        failed_at = excluded.failed_at
    RETURNING c.failures
    """
)
# In the order of the array.
_HOLD = Statement("SELECT pg_advisory_xact_lock(name) FROM unnest(%(names)s::bigint[]) AS n (name)")
_READ = Statement(
    "SELECT key, failures, blocked_until, window_ends_at FROM failure_counter WHERE key = ANY (%(keys)s::bytea[])"
)
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Counter:
    """What is counted for one name; all of it empty for one without failures."""

    failures: int = 0
    blocked_until: datetime | None = None
    window_ends_at: datetime | None = None

    def wait_s(self, now: datetime) -> int:
        """Seconds until the delay is over, rounded up; 0 where none runs."""
        return _seconds_left(self.blocked_until, now)

    def window_wait_s(self, now: datetime, allowed: int) -> int:
        """Seconds until the window is over, rounded up; 0 where it is, or holds less than `allowed` failures."""
        return _seconds_left(self.window_ends_at, now) if self.failures >= allowed else 0

    def in_window(self, now: datetime) -> int:
        """The failures of the window that is open now."""
        return self.failures if _seconds_left(self.window_ends_at, now) else 0


def line_of(address: str) -> str:
    """What is limited where an address is: the network of one line, a single IPv4 address or an IPv6 /64.

    Whoever has one line of IPv6 has all the addresses of its /64. What is no address is itself.
    """
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return address
    if known.version == 6 and known.ipv4_mapped is not None:
        known = known.ipv4_mapped
    return str(ipaddress.ip_network((known, 64 if known.version == 6 else 32), strict=False))


def hold(conn: Connection[Any], keys: Iterable[bytes]) -> dict[bytes, Counter]:
    """Let nobody else, in any process, hold one of these names until the transaction ends; gives what is counted.

    Writes nothing. The names are taken in one order by all, so that none deadlock; what the one before has counted is
    seen, since the counters are read once the names are held.
    """
    wanted = list(keys)
    names = sorted({int.from_bytes(key[:8], signed=True) for key in wanted})
    _HOLD.all(conn, {"names": names})
    found = {key: Counter() for key in wanted}
    for row in _READ.all(conn, {"keys": wanted}):
        found[row.key] = Counter(row.failures, row.blocked_until, row.window_ends_at)
    return found


def count_in_turn(
    conn: Connection[Any], key: bytes, now: datetime, *, free: int, first_delay_s: int, max_delay_s: int
) -> int:
    """`count_failure` of a name that is held."""
    row: Any = _COUNT_IN_TURN.one(conn, _values(key, now, free, first_delay_s, max_delay_s, None))
    return int(row.failures)


def count_in_window(conn: Connection[Any], key: bytes, now: datetime, window_s: int) -> int:
    """Count one failure of a name that is limited by the time; returns how many there are in its open window."""
    row: Any = _COUNT_IN_WINDOW.one(conn, {"key": key, "now": now, "window": window_s})
    return int(row.failures)


def blocked_for(session: Session, key: bytes, now: datetime) -> int:
    """Seconds until a try for `key` is heard again, rounded up; 0 where it is heard now."""
    return _seconds_left(session.scalar(_BLOCKED_UNTIL, {"key": key}), now)


def count_failure(
    session: Session,
    key: bytes,
    now: datetime,
    *,
    free: int,
    first_delay_s: int,
    max_delay_s: int,
    forget_s: int | None = None,
) -> int:
    """Count one failure, set the delay it brings, and return how many there are since the last success.

    `forget_s`: after this long without a failure counting starts again at one. Racing failures are all counted.
    """
    values = _values(key, now, free, first_delay_s, max_delay_s, forget_s)
    return int(session.execute(_COUNT_FAILURE, values).scalar_one())


def take_try(
    session: Session,
    key: bytes,
    now: datetime,
    *,
    free: int,
    first_delay_s: int,
    max_delay_s: int,
    forget_s: int | None = None,
) -> int:
    """Count a try as a failure before its outcome is known; returns 0, or the seconds to wait where it is not heard.

    So tries in parallel get no more guesses than tries in a row. After a right one call `count_success`, or
    `give_back` where one success must not clear the failures of others.
    """
    values = _values(key, now, free, first_delay_s, max_delay_s, forget_s)
    if session.execute(_TAKE_TRY, values).one_or_none() is not None:
        return 0
    return max(1, blocked_for(session, key, now))


def count_success(session: Session, key: bytes) -> None:
    """Forget all failures of `key`."""
    session.execute(text("DELETE FROM failure_counter WHERE key = :key"), {"key": key})


def give_back(session: Session, key: bytes) -> None:
    """Undo one `take_try`, and the delay it brought."""
    session.execute(
        text(
            "UPDATE failure_counter SET failures = greatest(failures - 1, 0), blocked_until = NULL"
            " WHERE key = :key"
        ),
        {"key": key},
    )


def prune(session: Session, now: datetime, *, kept_s: int = KEPT_S, limit: int = 10_000) -> int:
    """Delete up to `limit` counters without a failure for `kept_s`, or whose window is over; returns how many.

    Skips those in use.
    """
    deleted = session.execute(
        text(
            "WITH old AS (SELECT key FROM failure_counter WHERE failed_at < :before"
            "  ORDER BY failed_at LIMIT :limit FOR UPDATE SKIP LOCKED),"
            " over AS (SELECT key FROM failure_counter WHERE window_ends_at <= :now"
            "  ORDER BY window_ends_at LIMIT :limit FOR UPDATE SKIP LOCKED)"
            " DELETE FROM failure_counter WHERE key IN"
            "  (SELECT key FROM old UNION SELECT key FROM over LIMIT :limit) RETURNING 1"
        ),
        {"before": now - timedelta(seconds=kept_s), "now": now, "limit": limit},
    )
    return len(deleted.all())


def _values(
    key: bytes, now: datetime, free: int, first_delay_s: int, max_delay_s: int, forget_s: int | None
) -> dict[str, object]:
    forgotten = _LONG_AGO if forget_s is None else now - timedelta(seconds=forget_s)
    return {
        "key": key,
        "now": now,
        "free": free,
        "first": first_delay_s,
        "max": max_delay_s,
        "forgotten": forgotten,
    }


def _seconds_left(blocked_until: datetime | None, now: datetime) -> int:
    if blocked_until is None or blocked_until <= now:
        return 0
    return -int((now - blocked_until) // timedelta(seconds=1))
