"""Who may use a card: the right password, the state it is in, the caller it is bound to.

Whether a password is right, and what wrong ones bring, is `engine.cards.proving`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import text
from sqlalchemy.orm import Session

from engine.cards import access
from engine.cards.access import NUMBER, Credentials, Presented, SwitchLike
from engine.cards.proving import note_refusal as note_refusal
from engine.cards.proving import prove as prove
from engine.cards.serials import serial_of
from engine.cards.status import grace_end, status_of, validity_end
from engine.cards.timeline import add_event
from engine.db import Database, Statement, reruns
from engine.errors import EngineUnavailable
from engine.refusal import Refusal
from engine.vault import Secret, Vault, new_token, token_digest

MAX_TURNS = 5
MOST_SOURCES = 50
"""As many callers, and as many browsers, are known to a card at most."""

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
    return bool(row.locked_by == "failures" and presented.credentials.how == NUMBER and row.source_known)


def binding_refusal(row: Any, presented: Presented) -> Refusal | None:
    """What the card's binding forbids this caller; one that its holder registered and that waits is let through."""
    if row.binding == "none" or row.caller_bound or row.caller_waits:
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

    A caller that its holder registered binds where a switch that is trusted says that it calls.
    A browser starts no validity.

    One transaction, and none at all where there is nothing to change, as for most calls. Returns a refusal, and
    changes nothing, where another caller bound the last free place or an operator locked the card meanwhile.
    """
    starts = presented.asker.voice and row.first_used_at is None and row.first_use == "authentication"
    lifts = row.locked_at is not None
    settles = _settles(presented, row)
    binds = not settles and presented.caller is not None and not row.caller_bound and row.bound < _rooms(row)
    source = presented.asker.source if presented.credentials.how == NUMBER else ""
    knows = bool(source) and not row.source_known
    if not (starts or lifts or settles or binds or knows):
        return None
    with db.begin() as session:
        session.execute(text("SELECT id FROM card WHERE id = :id FOR NO KEY UPDATE"), {"id": row.id})
        if settles and not _settle(session, presented, row) and row.binding != "none":
            return Refusal("caller_not_bound", serial=serial_of(row.id))
        if binds and not _bind(session, presented, row) and row.binding != "none":
            return Refusal("caller_not_bound", serial=serial_of(row.id))
        if lifts and not _lift_lock(session, row.id, presented.now):
            session.rollback()
            return Refusal("locked", serial=serial_of(row.id))
        if starts:
            start_validity(session, row, presented.house.zone, presented.now, presented.asker.name)
        if knows:
            _know(session, row.id, source, presented.now)
    return None


def _settles(presented: Presented, row: Any) -> bool:
    """Whether this try proves that a phone which waits is in the hand of who knows the card's password."""
    return bool(row.caller_waits and presented.credentials.how == NUMBER and presented.switch.trusted_callers)


def _settle(session: Session, presented: Presented, row: Any) -> bool:
    """Bind a caller that waited, PINless where it was to be; False where its holder or staff changed that meanwhile."""
    values = {"id": row.id, "caller": presented.caller, "now": presented.now, "actor": presented.asker.name}
    waited = session.execute(_WAITED, values).one_or_none()
    if waited is None:
        return session.execute(_IS_BOUND, values).one_or_none() is not None
    if waited.pinless:
        take_turns(session, str(presented.caller))
    for pinless in (True, False):
        if pinless and not (waited.pinless and row.batch_pinless):
            continue
        bound = session.execute(_SETTLE, {**values, "pinless": pinless, "most": max(1, row.max_bound)}).all()
        if bound:
            add_event(
                session,
                row.id,
                presented.now,
                "bind",
                presented.asker.name,
                caller=presented.caller,
                pinless=pinless,
            )
            return True
    return session.execute(_IS_BOUND, values).one_or_none() is not None


def take_turns(session: Session, caller: str) -> None:
    """Let one card at a time become PINless for a caller, until the transaction ends. The card is locked before."""
    session.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": f"pinless:{caller}"}
    )


_WAITED = text(
    "DELETE FROM pending_binding WHERE card_id = :id AND caller = :caller AND expires_at > :now RETURNING pinless"
)
_IS_BOUND = text("SELECT 1 FROM binding WHERE card_id = :id AND caller = :caller")
# PINless for one card at a time: where another has it, the caller binds without.
_SETTLE = text(
    """
    INSERT INTO binding (card_id, caller, pinless, created_at, created_by)
    SELECT :id, CAST(:caller AS varchar), CAST(:pinless AS boolean), CAST(:now AS timestamptz), CAST(:actor AS varchar)
    WHERE (SELECT count(*) FROM binding WHERE card_id = :id AND caller <> :caller) < :most
        AND NOT (CAST(:pinless AS boolean) AND EXISTS (
            SELECT 1 FROM binding WHERE caller = :caller AND pinless AND card_id <> :id))
    ON CONFLICT (card_id, caller) DO UPDATE SET pinless = excluded.pinless, created_by = excluded.created_by
    RETURNING card_id
    """
)


def _know(session: Session, card_id: int, source: str, now: datetime) -> None:
    """Keep a source as known to the card, and the newest of its kind only: a browser can have a new id every time."""
    values = {"id": card_id, "source": source, "now": now, "most": MOST_SOURCES}
    session.execute(_KNOW, values)
    session.execute(_FORGET, values)


_KNOW = text(
    "INSERT INTO known_source (card_id, source, first_right_at) VALUES (:id, :source, :now) ON CONFLICT DO NOTHING"
)
_FORGET = text(
    """
    DELETE FROM known_source WHERE card_id = :id AND source IN (
        SELECT source FROM known_source
        WHERE card_id = :id AND split_part(source, ':', 1) = split_part(:source, ':', 1)
        ORDER BY first_right_at DESC, source = :source DESC OFFSET :most
    )
    """
)


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
        "actor": presented.asker.name,
    }
    for pinless in (True, False):
        if pinless and not (row.batch_pinless and presented.switch.trusted_callers):
            continue
        # PINless for another card already, or becoming so at this moment? Then it binds without.
        bound = session.execute(_BIND, {**values, "pinless": pinless}).one_or_none()
        if bound is not None:
            add_event(session, row.id, presented.now, "bind", presented.asker.name, caller=presented.caller)
            return True
    return True  # bound to this card by a call at the same moment


_BIND = text(
    "INSERT INTO binding (card_id, caller, pinless, created_at, created_by)"
    " VALUES (:id, :caller, :pinless, :now, :actor) ON CONFLICT DO NOTHING RETURNING card_id"
)


PROVEN = """
    SELECT id, damaged_at, locked_at, expires_at, balance, held, first_used_at FROM card
    WHERE id = %(card_id)s AND digest = %(password)s AND locked_at IS NULL AND damaged_at IS NULL FOR SHARE
"""
"""The card's facts as they stand now, where the password that was right still is and nobody locked it meanwhile."""
_NEW_TOKEN = Statement(
    f"""WITH proven AS ({PROVEN}),
    kept AS (
        INSERT INTO card_token (card_id, digest, switch_id, caller, used_at)
        SELECT id, %(digest)s, %(switch_id)s, %(caller)s, %(now)s FROM proven RETURNING card_id
    )
    SELECT proven.* FROM proven, kept
    """
)
_USED_TOKEN = Statement(
    f"""WITH proven AS ({PROVEN}),
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
