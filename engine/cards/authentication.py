"""Who may use a card: the right password, the state it is in, the caller it is bound to.

What is limited is failures, never an authenticated switch. After some wrong passwords each further one brings a
delay that doubles, and many lock the card; the password is compared only while no delay runs. A caller that was
right on this card before has a counter of its own, so that a stranger's failures never keep the owner out.
"""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import text
from sqlalchemy.orm import Session

from engine import limits
from engine.cards import access
from engine.cards.access import CALLER, NUMBER, TOKEN, Credentials, Presented, SwitchLike
from engine.cards.serials import serial_of
from engine.cards.status import grace_end, status_of, validity_end
from engine.cards.timeline import add_event
from engine.cards.tokens import log_out
from engine.db import Database, Statement, reruns
from engine.errors import EngineUnavailable
from engine.refusal import Refusal
from engine.vault import Secret, Vault, new_token, token_digest

_NOBODY = bytes(32)
MAX_TURNS = 5
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]")

_FIND = access.card_queries()


@dataclass(frozen=True, slots=True)
class Authenticated:
    """A card whose password was right. Amounts in micro-units of `currency`; `card_token` opens it for a while."""

    card_id: int
    serial: str
    status: str
    balance: int
    available: int
    currency: str
    expires_at: datetime | None
    language: str
    card_token: Secret


@reruns
def authenticate(
    db: Database,
    vault: Vault,
    *,
    switch: SwitchLike,
    credentials: Credentials,
    caller: str | None,
    access_number: str | None,
    now: datetime,
) -> Authenticated | Refusal:
    """Prove a card to a switch, by number and password, by token, or by the caller alone (PINless).

    Ok for unused, active, empty and expired cards within grace. The first success starts the validity of a card whose
    batch says so, and binds the caller where the batch binds. Returns a `Refusal` otherwise, and counts the failure.
    """
    for _ in range(MAX_TURNS):
        with db.connection() as conn:
            presented, row = access.read_card(
                conn,
                db,
                vault,
                _FIND,
                switch=switch,
                credentials=credentials,
                caller=caller,
                access_number=access_number,
                now=now,
            )
        refusal = (
            prove(db, vault, presented, row)
            or state_refusal(row, presented, inquiry=True)
            or binding_refusal(row, presented)
            or admit(db, presented, row)
        )
        if refusal is not None:
            note_refusal(db, presented, row, refusal)
            return refusal
        issued = _issue_token(db, presented, row)
        if issued is None:
            continue  # locked, or its password changed, since it was read: look again
        token, card = issued
        return Authenticated(
            card_id=row.id,
            serial=serial_of(row.id),
            status=status_of(card, now),
            balance=card.balance,
            available=card.balance - card.held,
            currency=row.currency,
            expires_at=card.expires_at,
            language=presented.access.language or row.language,
            card_token=token,
        )
    raise EngineUnavailable("busy")


def prove(db: Database, vault: Vault, presented: Presented, row: Any) -> Refusal | None:
    """Whether the presented credentials are right for the card that was read; counts a failure if not.

    From outside, an unknown number and a wrong password look the same, and take the same time.
    """
    how = presented.credentials.how
    if how == TOKEN:
        good = row.id is not None and row.ready_at is not None and access.token_is_live(row, presented)
        return None if good else _failed(db, presented, row, "token_dead")
    if how == CALLER:
        trusted = presented.switch.trusted_callers and presented.caller is not None
        good = trusted and row.id is not None and row.ready_at is not None and row.batch_pinless
        return None if good else _failed(db, presented, row, "caller_unknown")
    blocked_until = row.own_blocked_until if row.source_known else row.blocked_until
    if blocked_until is not None and blocked_until > presented.now:
        return _throttled(-int((presented.now - blocked_until).total_seconds() // 1))
    # After a first failure a try is counted before its password is looked at, so that tries in parallel get no more
    # guesses than tries in a row. Before it, one look is free: good calls need no write.
    failed_before = bool(row.own_failures if row.source_known else row.failures)
    if failed_before:
        wait_s = _take_try(db, vault, presented, row)
        if wait_s:
            return _throttled(wait_s)
    if _password_is_right(vault, presented.credentials, row):
        if row.failures or row.own_failures:
            _forget_failures(db, vault, presented)
        return None
    if not failed_before:
        wait_s = _take_try(db, vault, presented, row)
        if wait_s:
            return _throttled(wait_s)
    return _wrong_password(db, vault, presented, row)


def _throttled(wait_s: int) -> Refusal:
    return Refusal("throttled", retry_after_s=max(1, wait_s))


def _counter(vault: Vault, presented: Presented, row: Any) -> bytes:
    known = row.id is not None and row.source_known
    return access.counter_key(vault, presented.credentials.number, presented.source if known else "")


def _take_try(db: Database, vault: Vault, presented: Presented, row: Any) -> int:
    rules = presented.house.settings
    with db.begin() as session:
        return limits.take_try(
            session,
            _counter(vault, presented, row),
            presented.now,
            free=rules.free_failures,
            first_delay_s=rules.first_delay_s,
            max_delay_s=rules.max_delay_s,
        )


def _forget_failures(db: Database, vault: Vault, presented: Presented) -> None:
    """The right password begins the count anew, for strangers and for this source."""
    with db.begin() as session:
        for source in sorted({"", presented.source}):
            limits.count_success(session, access.counter_key(vault, presented.credentials.number, source))


def _password_is_right(vault: Vault, credentials: Credentials, row: Any) -> bool:
    number = credentials.number or ""
    password = credentials.password.value if credentials.password else ""
    known = row.id is not None and row.ready_at is not None
    digest = vault.digest(number, password, row.pepper if known else None)
    return hmac.compare_digest(digest, row.digest if known else _NOBODY) and known


def state_refusal(row: Any, presented: Presented, *, inquiry: bool) -> Refusal | None:
    """What the state of a proven card forbids, by the table of its life from top to bottom.

    `inquiry`: balance and recharge are asked for, which an empty card may, and an expired one within its grace.
    """
    serial = serial_of(row.id)
    now = presented.now
    if row.released_at is None and row.damaged_at is None:
        return Refusal("not_activated", serial=serial)
    if row.damaged_at is not None:
        return Refusal("damaged", serial=serial)
    if row.locked_at is not None and not _lifts_lock(row, presented):
        return Refusal("locked", serial=serial)
    if row.expires_at is not None and row.expires_at <= now:
        zone = presented.house.zone
        if not inquiry or grace_end(row.expires_at, row.grace_days, zone) <= now:
            return Refusal("expired", serial=serial)
    if row.kind == "voucher":
        return Refusal("voucher_not_allowed", serial=serial)
    if not inquiry and row.balance == 0:
        return Refusal("empty", serial=serial)
    return None


def _lifts_lock(row: Any, presented: Presented) -> bool:
    """A lock that wrong passwords brought is lifted by the right one from where it was right before."""
    return bool(row.locked_by == "failures" and row.source_known and presented.credentials.how == NUMBER)


def binding_refusal(row: Any, presented: Presented) -> Refusal | None:
    """What the card's binding forbids this caller."""
    if row.binding == "none" or row.caller_bound:
        return None
    if presented.caller is None:
        return Refusal("caller_required", serial=serial_of(row.id))
    if row.auto_bind and row.bound < row.max_bound:
        return None
    return Refusal("caller_not_bound", serial=serial_of(row.id))


def _rooms(row: Any) -> int:
    """How many callers bind by themselves: as many as the binding allows, and one where only PINless asks for it."""
    if not row.auto_bind:
        return 0
    return int(row.max_bound) if row.binding != "none" else int(row.batch_pinless)


def admit(db: Database, presented: Presented, row: Any) -> Refusal | None:
    """What the first right password from here changes: the caller binds, validity starts, a lock by failures goes.

    One transaction, and none at all where there is nothing to change, as for most calls. Returns a refusal, and
    changes nothing, where another caller bound the last free place or an operator locked the card meanwhile.
    """
    starts = row.first_used_at is None and row.first_use == "authentication"
    lifts = row.locked_at is not None
    binds = presented.caller is not None and not row.caller_bound and row.bound < _rooms(row)
    knows = bool(presented.source) and not row.source_known and presented.credentials.how == NUMBER
    if not (starts or lifts or binds or knows):
        return None
    with db.begin() as session:
        session.execute(text("SELECT id FROM card WHERE id = :id FOR NO KEY UPDATE"), {"id": row.id})
        if binds and not _bind(session, presented, row) and row.binding != "none":
            return Refusal("caller_not_bound", serial=serial_of(row.id))
        if lifts and not _lift_lock(session, row.id, presented.now):
            session.rollback()
            return Refusal("locked", serial=serial_of(row.id))
        if starts:
            start_validity(session, row, presented.house.zone, presented.now, _actor(presented))
        if knows:
            session.execute(
                text(
                    "INSERT INTO known_source (card_id, source, first_right_at) VALUES (:id, :source, :now)"
                    " ON CONFLICT DO NOTHING"
                ),
                {"id": row.id, "source": presented.source, "now": presented.now},
            )
    return None


def _lift_lock(session: Session, card_id: int, now: datetime) -> bool:
    """Lift a lock that failures brought, and no other; False where it is another's by now."""
    lifted = session.execute(
        text(
            "UPDATE card SET locked_at = NULL, locked_by = NULL, lock_reason = NULL"
            " WHERE id = :id AND (locked_at IS NULL OR locked_by = 'failures') RETURNING id"
        ),
        {"id": card_id},
    ).one_or_none()
    if lifted is not None:
        add_event(session, card_id, now, "unlock", "cardholder", by="right password")
    return lifted is not None


def start_validity(session: Session, row: Any, zone: ZoneInfo, now: datetime, actor: str) -> None:
    """Mark a card's first use; its validity starts now where its batch counts from first use.

    The days to its first maintenance fee count from now, too. A card that was taken back since it was read is not used.
    """
    expires_at = row.expires_at
    if row.validity_from == "first_use" and row.validity_days is not None and expires_at is None:
        expires_at = validity_end(now, row.validity_days, zone)
    fee = row.maintenance_fee and row.maintenance_days
    next_fee_at = validity_end(now, row.maintenance_days, zone) if fee else None
    done = session.execute(
        text(
            "UPDATE card SET first_used_at = :now, expires_at = :expires_at, next_fee_at = :next_fee_at"
            " WHERE id = :id AND first_used_at IS NULL AND released_at IS NOT NULL RETURNING id"
        ),
        {"id": row.id, "now": now, "expires_at": expires_at, "next_fee_at": next_fee_at},
    ).one_or_none()
    if done is not None:
        add_event(session, row.id, now, "first_use", actor)


def _bind(session: Session, presented: Presented, row: Any) -> bool:
    """Bind the caller while there is room; PINless where batch and switch allow it and no other card has it so."""
    taken = session.scalar(text("SELECT count(*) FROM binding WHERE card_id = :id"), {"id": row.id}) or 0
    if taken >= _rooms(row):
        found = session.scalar(
            text("SELECT 1 FROM binding WHERE card_id = :id AND caller = :caller"),
            {"id": row.id, "caller": presented.caller},
        )
        return found is not None
    values = {
        "id": row.id,
        "caller": presented.caller,
        "now": presented.now,
        "actor": _actor(presented),
    }
    for pinless in (True, False):
        if pinless and not (row.batch_pinless and presented.switch.trusted_callers):
            continue
        # PINless for another card already, or becoming so at this moment? Then it binds without.
        bound = session.execute(_BIND, {**values, "pinless": pinless}).one_or_none()
        if bound is not None:
            add_event(session, row.id, presented.now, "bind", _actor(presented), caller=presented.caller)
            return True
    return True  # bound to this card by a call at the same moment


_BIND = text(
    "INSERT INTO binding (card_id, caller, pinless, created_at, created_by)"
    " VALUES (:id, :caller, :pinless, :now, :actor) ON CONFLICT DO NOTHING RETURNING card_id"
)


_PROVEN = """
    WITH proven AS (
        SELECT id, damaged_at, locked_at, expires_at, balance, held, first_used_at FROM card
        WHERE id = %(card_id)s AND digest = %(password)s AND locked_at IS NULL AND damaged_at IS NULL FOR SHARE
    ),
"""
_NEW_TOKEN = Statement(
    f"""{_PROVEN}
    kept AS (
        INSERT INTO card_token (card_id, digest, switch_id, caller, used_at)
        SELECT id, %(digest)s, %(switch_id)s, %(caller)s, %(now)s FROM proven RETURNING card_id
    )
    SELECT proven.* FROM proven, kept
    """
)
_USED_TOKEN = Statement(
    f"""{_PROVEN}
    kept AS (
        UPDATE card_token SET used_at = %(now)s FROM proven
        WHERE card_token.card_id = proven.id AND card_token.digest = %(digest)s RETURNING card_id
    )
    SELECT proven.* FROM proven, kept
    """
)


def _issue_token(db: Database, presented: Presented, row: Any) -> tuple[Secret, Any] | None:
    """A fresh token, or the one that was presented, and the card's facts as they stand now.

    None where the card was locked or its password changed since it was read: no token may outlive that.
    """
    presented_token = presented.credentials.token
    token = presented_token or Secret(new_token("ctt_"))
    with db.connection() as conn:
        card = (_USED_TOKEN if presented_token else _NEW_TOKEN).one(
            conn,
            {
                "card_id": row.id,
                "password": row.digest,
                "digest": token_digest(token.value),
                "switch_id": presented.switch.id,
                "caller": presented.caller,
                "now": presented.now,
            },
        )
    return None if card is None else (token, card)


def _wrong_password(db: Database, vault: Vault, presented: Presented, row: Any) -> Refusal:
    """A wrong password was counted: lock the card where it was one too many, and keep the attempt."""
    rules = presented.house.settings
    known = row.id is not None and row.ready_at is not None
    with db.begin() as session:
        # Read without its lock, which comes after the card's everywhere.
        failures = limits.failures_of(session, _counter(vault, presented, row))
        if known and failures >= rules.lock_failures:
            locked = session.execute(
                text(
                    "UPDATE card SET locked_at = :now, locked_by = 'failures', lock_reason = :reason"
                    " WHERE id = :id AND locked_at IS NULL RETURNING id"
                ),
                {"id": row.id, "now": presented.now, "reason": f"{failures} wrong passwords"},
            ).one_or_none()
            if locked is not None:
                log_out(session, row.id)
                add_event(session, row.id, presented.now, "lock", "failures", failures=failures)
        _keep_attempt(session, presented, row, "wrong_password" if known else "unknown_number")
    return Refusal("bad_credentials")


def _failed(db: Database, presented: Presented, row: Any, inner: str) -> Refusal:
    with db.begin() as session:
        _keep_attempt(session, presented, row, inner)
    return Refusal("bad_credentials")


def note_refusal(
    db: Database, presented: Presented, row: Any, refusal: Refusal, destination: str | None = None
) -> None:
    """Keep an attempt that a proven card's state or rules refused; failures to prove one keep their own."""
    if refusal.reason == "bad_credentials":
        return
    with db.begin() as session:
        _keep_attempt(session, presented, row, refusal.reason, destination)


def _keep_attempt(
    session: Session, presented: Presented, row: Any, reason: str, destination: str | None = None
) -> None:
    session.execute(
        text(
            "INSERT INTO attempt (at, door, source, card_id, caller, destination, reason)"
            " VALUES (:at, :door, :source, :card_id, :caller, :destination, :reason)"
        ),
        {
            "at": presented.now,
            "door": presented.door,
            "source": f"switch:{presented.switch.id}",
            "card_id": row.id,
            "caller": presented.caller,
            "destination": None if destination is None else _UNPRINTABLE.sub("?", destination)[:32],
            "reason": reason,
        },
    )


def _actor(presented: Presented) -> str:
    return f"switch:{presented.switch.id}"
