"""Whether what was presented is right for a card, and what it brings when it is not.

What is limited is failures, never an authenticated switch. On a number, existing or not, some wrong passwords are free,
each further one brings a delay that doubles, and many lock the card. A caller may fail so often in a while on whatever
numbers, and so may the address of browsers. A caller or browser that was right on this card before is held by neither:
it has a counter of its own, so that no stranger, not even one behind the same address, keeps an owner out. A password's
digest is computed only where these allow.

Limits on a caller need a caller: where it is withheld only those of the number hold. Dead tokens and callers that are
not PINless are no guesses (the one has 256 bits, the other is asked of everybody who calls in) and count nowhere.
"""

from __future__ import annotations

import hmac
from datetime import datetime, timedelta
from typing import Any

from psycopg import Connection
from sqlalchemy import text
from sqlalchemy.orm import Session

from engine import limits
from engine.cards import access
from engine.cards.access import CALLER, TOKEN, Credentials, Phone, Presented
from engine.cards.guesses import TIGHTER, guesses_of, locks_since
from engine.cards.timeline import add_event
from engine.cards.tokens import log_out
from engine.db import Database, Statement
from engine.limits import Counter
from engine.refusal import Refusal
from engine.vault import Vault

_NOBODY = bytes(32)
_HOLD_LOCKING = text("SELECT pg_advisory_xact_lock(hashtextextended('locks by wrong passwords', 0))")
"""Held while one more card is locked, so that all processes together lock no more than the house allows."""

_ADD_ATTEMPT = Statement(
    """
    INSERT INTO attempt (at, door, source, card_id, caller, destination, reason, times)
    VALUES (%(at)s, %(door)s, %(source)s, %(card_id)s, %(caller)s, %(destination)s, %(reason)s, %(times)s)
    RETURNING id
    """
)


def prove(db: Database, vault: Vault, presented: Presented, row: Any) -> Refusal | None:
    """Whether the presented credentials are right for the card that was read; counts a failure if not.

    From outside, an unknown number and a wrong password look the same, and take the same time.
    """
    how = presented.credentials.how
    if how == TOKEN:
        good = row.id is not None and row.ready_at is not None and access.token_is_live(row, presented)
        return None if good else _failed(db, presented, row, "token_dead")
    if how == CALLER:
        asker = presented.asker
        trusted = isinstance(asker, Phone) and asker.switch.trusted_callers and asker.caller is not None
        good = trusted and row.id is not None and row.ready_at is not None and row.batch_pinless
        return None if good else _failed(db, presented, row, "caller_unknown")
    return _prove_password(db, vault, presented, row)


def _prove_password(db: Database, vault: Vault, presented: Presented, row: Any) -> Refusal | None:
    number, shared = _standing(row)
    wait_s = _wait_s(db, presented, row, number, shared)
    if wait_s:
        return _throttled(wait_s)
    # Good calls must write nothing, and need no query of their own: with no failure on its number, a withheld caller
    # or a source that was right before gets one look ahead of any count, one at a time in each process. Everybody
    # else takes turns; a source that is new to the card costs a query on its first right password, which writes
    # anyway that it is known from then on.
    if not number.failures and (_is_known(row) or presented.counters.shared is None):
        right = guesses_of(db).first_look(
            _number_key(presented, row),
            presented.now,
            lambda: _password_is_right(vault, presented.credentials, row),
        )
        if right:
            if row.failures:
                with db.connection() as conn, conn.transaction():
                    _forget_failures(conn, presented)
            return None
        if right is not None:
            return _take_turn(db, vault, presented, row, looked=True)
    return _take_turn(db, vault, presented, row)


def _take_turn(
    db: Database, vault: Vault, presented: Presented, row: Any, *, looked: bool = False
) -> Refusal | None:
    """Compare and count while nobody else, in any process, does so for this number or this source.

    So tries in parallel get no more guesses than tries in a row, and a right one writes nothing. `looked`: it was
    compared already, and wrong. Where others made this number or source wait meanwhile, it is told so, too: whoever
    guesses in parallel learns no more than those who were not compared.
    """
    rules, now = presented.house.settings, presented.now
    number_key = _number_key(presented, row)
    shared_key = None if _is_known(row) else presented.counters.shared
    keys = [key for key in (number_key, shared_key) if key is not None]
    tight = shared_key is not None and guesses_of(db).too_many(db, rules, now)
    # On the thread's own connection: who waits for a turn takes none from the pool that all others need.
    with db.connection() as conn, conn.transaction():
        counters = limits.hold(conn, keys)
        shared = Counter() if shared_key is None else counters[shared_key]
        wait_s = max(counters[number_key].wait_s(now), shared.window_wait_s(now, _allowed(presented, tight)))
        if wait_s and not looked:
            return _throttled(wait_s)
        if not looked and _password_is_right(vault, presented.credentials, row):
            if counters[number_key].failures or row.failures or row.own_failures:
                _forget_failures(conn, presented)
            return None
        failures = limits.count_in_turn(
            conn,
            number_key,
            now,
            free=rules.free_failures,
            first_delay_s=rules.first_delay_s,
            max_delay_s=rules.max_delay_s,
        )
        if shared_key is not None:
            window_s = presented.asker.allowance(rules).window_s
            limits.count_in_window(conn, shared_key, now, window_s)
        _keep_attempt(conn, presented, row, "wrong_password" if _exists(row) else "unknown_number")
    guesses_of(db).watch(db, rules, now)
    if failures >= rules.lock_failures:
        _lock_out(db, presented, row, failures)
    return _throttled(wait_s) if wait_s else Refusal("bad_credentials")


def _standing(row: Any) -> tuple[Counter, Counter]:
    """What the row that was read says of this number, as this source has it, and of the source on whatever numbers."""
    if _is_known(row):
        return Counter(row.own_failures, row.own_blocked_until), Counter()
    shared = Counter(row.shared_failures, None, row.shared_window)
    return Counter(row.failures, row.blocked_until), shared


def _wait_s(db: Database, presented: Presented, row: Any, number: Counter, shared: Counter) -> int:
    """Seconds to wait by what was read; whether limits are tighter now is asked only where it matters."""
    now = presented.now
    tight = False
    if shared.in_window(now) >= _allowed(presented, True):
        tight = guesses_of(db).too_many(db, presented.house.settings, now)
    return max(number.wait_s(now), shared.window_wait_s(now, _allowed(presented, tight)))


def _allowed(presented: Presented, tight: bool) -> int:
    """How many failures of its window the source may have."""
    allowed = presented.asker.allowance(presented.house.settings).failures
    return max(1, allowed // TIGHTER) if tight else allowed


def _throttled(wait_s: int) -> Refusal:
    return Refusal("throttled", retry_after_s=max(1, wait_s))


def _exists(row: Any) -> bool:
    """Whether there is such a card to the outside; one of a batch that is being made is not there yet."""
    return row.id is not None and row.ready_at is not None


def _is_known(row: Any) -> bool:
    """Whether the source was right on this card before."""
    return row.id is not None and bool(row.source_known)


def _number_key(presented: Presented, row: Any) -> bytes:
    """The counter that failures on this number go to: the source's own if it was right there before, or strangers'."""
    key = presented.counters.own if _is_known(row) else presented.counters.strangers
    assert key is not None  # noqa: S101  (a number was presented)
    return key


def _forget_failures(conn: Connection[Any], presented: Presented) -> None:
    """The right password begins the count of its number anew, for strangers and for this source."""
    for key in sorted(key for key in (presented.counters.strangers, presented.counters.own) if key):
        conn.execute("DELETE FROM failure_counter WHERE key = %s", (key,))


def _password_is_right(vault: Vault, credentials: Credentials, row: Any) -> bool:
    number = credentials.number or ""
    password = credentials.password.value if credentials.password else ""
    known = _exists(row)
    digest = vault.digest(number, password, row.pepper if known else None)
    return hmac.compare_digest(digest, row.digest if known else _NOBODY) and known


def _lock_out(db: Database, presented: Presented, row: Any, failures: int) -> None:
    """Lock a card that was guessed at too often, unless so many were locked that somebody seems to want just that.

    For a number without a card the same is done to none, so that it takes as long.
    """
    rules, now = presented.house.settings, presented.now
    card_id = row.id if _exists(row) else None
    with db.begin() as session:
        session.execute(text("SELECT id FROM card WHERE id = :id FOR NO KEY UPDATE"), {"id": card_id})
        session.execute(_HOLD_LOCKING)
        since = now - timedelta(seconds=rules.storm_window_s)
        calm = locks_since(session, since, rules.storm_locks) < rules.storm_locks
        if calm:
            _lock(session, card_id, failures, now)
    if not calm:
        guesses_of(db).storm(db, rules, now)


def _lock(session: Session, card_id: int | None, failures: int, now: datetime) -> None:
    locked = session.execute(
        text(
            "UPDATE card SET locked_at = :now, locked_by = 'failures', lock_reason = :reason"
            " WHERE id = :id AND locked_at IS NULL RETURNING id"
        ),
        {"id": card_id, "now": now, "reason": f"{failures} wrong passwords"},
    ).one_or_none()
    if locked is not None:
        log_out(session, locked.id)
        add_event(session, locked.id, now, "lock", "failures", failures=failures)


def _failed(db: Database, presented: Presented, row: Any, inner: str) -> Refusal:
    with db.connection() as conn:
        _keep_attempt(conn, presented, row, inner)
    return Refusal("bad_credentials")


def note_refusal(
    db: Database, presented: Presented, row: Any, refusal: Refusal, destination: str | None = None
) -> None:
    """Keep an attempt that a proven card's state or rules refused; failures to prove one keep their own.

    Throttled tries in a flood get no row each: beyond 20 a second in a process they are gathered, without their
    particulars, into one row that says how many there were, written with the next one that gets a row.
    """
    if refusal.reason == "bad_credentials":
        return
    gathered = 0
    if refusal.reason == "throttled":
        kept, gathered = guesses_of(db).gather(presented.asker.door, presented.now)
        if not kept:
            return
    with db.connection() as conn:
        if gathered:
            _insert_attempt(conn, presented, source="gathered", reason="throttled", times=gathered)
        _keep_attempt(conn, presented, row, refusal.reason, destination)


def _keep_attempt(
    conn: Connection[Any], presented: Presented, row: Any, reason: str, destination: str | None = None
) -> None:
    _insert_attempt(
        conn,
        presented,
        source=presented.asker.name,
        card_id=row.id,
        caller=presented.caller,
        destination=None if destination is None else access.printable(destination, 32),
        reason=reason,
    )


def _insert_attempt(conn: Connection[Any], presented: Presented, **values: Any) -> None:
    blank = {"card_id": None, "caller": None, "destination": None, "times": 1}
    _ADD_ATTEMPT.one(conn, {"at": presented.now, "door": presented.asker.door, **blank, **values})
