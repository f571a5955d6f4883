"""Durable limits on failures: what is counted is wrong tries for one name, in the table `failure_counter`.

A name (a presented card number, a log-in, an address) is known here only by a keyed digest (`Vault.name`), and one that
does not exist is counted like one that does. The first `free` failures cost nothing; each further one brings a delay,
`first_delay_s` and then doubling up to `max_delay_s`, during which no password is compared.

Two ways to use it. Compare, then `count_failure`; or, where tries in parallel must not slip through together,
`take_try` before comparing, and `count_success` or `give_back` when the password was right.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import text
from sqlalchemy.orm import Session

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
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


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


def failures_of(session: Session, key: bytes) -> int:
    """The failures of `key` since its last success."""
    return session.scalar(text("SELECT failures FROM failure_counter WHERE key = :key"), {"key": key}) or 0


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
    """Delete up to `limit` counters without a failure for `kept_s`; returns how many. Skips those in use."""
    deleted = session.execute(
        text(
            "DELETE FROM failure_counter WHERE key IN (SELECT key FROM failure_counter WHERE failed_at < :before"
            " ORDER BY failed_at LIMIT :limit FOR UPDATE SKIP LOCKED) RETURNING 1"
        ),
        {"before": now - timedelta(seconds=kept_s), "limit": limit},
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
