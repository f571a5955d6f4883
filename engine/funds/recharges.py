"""An operator puts money on a card, with or without a bonus, or corrects what is on it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from engine import idempotency, settings
from engine.actor import Actor
from engine.cards.lifecycle import tell
from engine.cards.serials import serial_of
from engine.cards.status import grace_end, validity_end
from engine.cards.timeline import add_event, checked_reason
from engine.db import Database, reruns
from engine.errors import Conflict, InvalidInput, NotFound, Refused
from engine.funds import ledger
from engine.house import zone_of
from engine.money import MAX_UNITS, MICROS, format_amount
from engine.permissions import command

MOST = MAX_UNITS * MICROS
"""The most that one write may move or a card may have, in micro-units."""


@dataclass(frozen=True, slots=True)
class Recharged:
    """A recharge as it stands in the books, in micro-units of `currency`; `balance` and `expires_at` are after it."""

    payment_id: int
    serial: str
    amount: int
    bonus: int
    balance: int
    currency: str
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Adjusted:
    """An adjustment as it stands in the books: `amount` is signed, `balance` the card's after it."""

    serial: str
    amount: int
    balance: int
    currency: str


@command("card.recharge")
def recharge(
    db: Database,
    *,
    card_id: int,
    amount: int,
    bonus: int = 0,
    key: str | None = None,
    actor: Actor,
    reason: str | None = None,
    now: datetime,
) -> Recharged:
    """Put `amount` on a card, and `bonus` as a gift beside it: a payment, and a ledger entry for each.

    An expired card within its grace lives again where its batch has extension days: until the later of what it was
    and the end of that day in the operator's zone. The same `key` with the same facts counts once and gets the first
    answer; with others it raises `Conflict` ("key_reused"). Raises `Refused` (not_activated, damaged, locked, expired,
    voucher_not_allowed), `InvalidInput` (too_small, too_large) and `NotFound`.
    """
    _check_amount("amount", amount, low=1)
    _check_amount("bonus", bonus, low=0)
    why = checked_reason(reason)
    return _recharge(db, card_id, amount, bonus, key or idempotency.new_key(), actor, why, now)


@command("card.adjust")
def adjust(
    db: Database,
    *,
    card_id: int,
    amount: int,
    reason: str,
    key: str | None = None,
    actor: Actor,
    now: datetime,
) -> Adjusted:
    """Correct a card's balance by a signed amount, whatever its status, never to below what its calls hold.

    `key` as in `recharge`. Raises `Refused` ("insufficient_balance"; "voucher_used" where a redeemed voucher would get
    value again), `Conflict` ("key_reused"), `InvalidInput` (reason_missing, amount_zero, too_large) and `NotFound`.
    """
    if amount == 0:
        raise InvalidInput("amount_zero", field="amount")
    _check_amount("amount", abs(amount), low=0)
    why = checked_reason(reason, required=True)
    return _adjust(db, card_id, amount, why or "", key or idempotency.new_key(), actor, now)


@reruns
def _recharge(
    db: Database,
    card_id: int,
    amount: int,
    bonus: int,
    key: str,
    actor: Actor,
    reason: str | None,
    now: datetime,
) -> Recharged:
    asked = idempotency.fingerprint(card_id, amount, bonus, reason)
    with db.begin() as session:
        first = idempotency.claim(session, "recharge", key, asked, now)
        if first is not None:
            return _first_answer(first)
        card = lock_target(session, card_id)
        zone = zone_of(settings.load(session))
        refusal = recharge_refusal(card, now, zone)
        if refusal is not None:
            raise Refused(refusal, serial=serial_of(card_id))
        _check_amount("amount", card.balance + amount + bonus, low=1)
        payment_id = add_payment(
            session, card, "operator", amount, actor, now, bonus=bonus, reason=reason, key=key
        )
        common: dict[str, Any] = {
            "card_id": card_id,
            "reference": f"payment:{payment_id}",
            "actor": actor,
            "now": now,
        }
        entry = ledger.post(
            session, amount=amount, account=ledger.SALES, kind="recharge", reason=reason, **common
        )
        if bonus:
            entry = ledger.post(
                session, amount=bonus, account=ledger.BONUS, kind="bonus", reason=reason, **common
            )
        told = {"amount": amount, "bonus": bonus, "currency": card.currency, "payment": payment_id}
        tell(session, card_id, "recharge", actor, now, reason, **told)
        expires_at = reactivate(session, card, actor, now, zone)
        answer = Recharged(
            payment_id, serial_of(card_id), amount, bonus, entry.balance_after, card.currency, expires_at
        )
        idempotency.keep(session, "recharge", key, _kept(answer))
        return answer


def _kept(answer: Recharged) -> dict[str, Any]:
    return {**asdict(answer), "expires_at": answer.expires_at.isoformat() if answer.expires_at else None}


def _first_answer(kept: dict[str, Any]) -> Recharged:
    expires_at = datetime.fromisoformat(kept["expires_at"]) if kept["expires_at"] else None
    return Recharged(**{**kept, "expires_at": expires_at})


@reruns
def _adjust(
    db: Database, card_id: int, amount: int, reason: str, key: str, actor: Actor, now: datetime
) -> Adjusted:
    asked = idempotency.fingerprint(card_id, amount, reason)
    try:
        with db.begin() as session:
            first = idempotency.claim(session, "adjust", key, asked, now)
            if first is not None:
                return Adjusted(**first)
            card = lock_target(session, card_id)
            if amount > 0 and card.redeemed:
                raise Refused("voucher_used", serial=serial_of(card_id))
            if amount > 0:
                _check_amount("amount", card.balance + amount, low=1)
            entry = ledger.post(
                session,
                card_id=card_id,
                amount=amount,
                account=ledger.ADJUSTMENT,
                kind="adjustment",
                reference="adjustment",
                actor=actor,
                now=now,
                reason=reason,
                key=f"adjust:{key}",
            )
            tell(session, card_id, "adjust", actor, now, reason, amount=amount, currency=card.currency)
            answer = Adjusted(serial_of(card_id), amount, entry.balance_after, card.currency)
            idempotency.keep(session, "adjust", key, asdict(answer))
            return answer
    except IntegrityError as error:
        if "uq_ledger_entry_idempotency" not in str(error.orig):
            raise
        raise Conflict("key_reused") from None  # the ledger remembers a key longer than its answer is kept


# --- steps that every recharge shares, whoever pays ---

_TARGET = text(
    """
    SELECT c.id, c.currency, c.balance, c.held, c.digest, c.released_at, c.damaged_at, c.locked_at, c.expires_at,
        b.kind, b.ready_at, b.grace_days, b.extension_days,
        EXISTS (SELECT 1 FROM payment WHERE voucher_id = c.id) AS redeemed
    FROM card c JOIN batch b ON b.id = c.batch_id
    WHERE c.id = :id
    """
)


def lock_target(session: Session, card_id: int) -> Any:
    """Lock a card and read what a recharge must know of it. Raises `NotFound` ("card_not_found")."""
    # Locked by a statement of its own: what this one reads is then as it was when the lock was had.
    ledger.lock_cards(session, card_id)
    row = session.execute(_TARGET, {"id": card_id}).one_or_none()
    if row is None:
        raise NotFound("card_not_found")
    return row


def recharge_refusal(card: Any, now: datetime, zone: ZoneInfo) -> str | None:
    """Why a card may not be recharged now (a reason of `engine.errors.REASONS`), or None.

    An expired card may where its batch has extension days, while its grace lasts.
    """
    if card.damaged_at is not None:
        return "damaged"
    if card.released_at is None or card.ready_at is None:
        return "not_activated"
    if card.locked_at is not None:
        return "locked"
    if card.kind == "voucher":
        return "voucher_not_allowed"
    if card.expires_at is not None and card.expires_at <= now:
        graced = grace_end(card.expires_at, card.grace_days, zone) > now
        if card.extension_days is None or not graced:
            return "expired"
    return None


def reactivate(session: Session, card: Any, actor: Actor, now: datetime, zone: ZoneInfo) -> datetime | None:
    """Let an expired card that was recharged live again; returns when it expires, now or as before."""
    before: datetime | None = card.expires_at
    if before is None or before > now or card.extension_days is None:
        return before
    until = max(before, validity_end(now, card.extension_days, zone))
    session.execute(
        text("UPDATE card SET expires_at = :until WHERE id = :id"), {"until": until, "id": card.id}
    )
    moved = {"before": before.isoformat(), "expires_at": until.isoformat()}
    add_event(session, card.id, now, "reactivate", str(actor), **moved)
    return until


def add_payment(
    session: Session,
    card: Any,
    method: str,
    amount: int,
    actor: Actor,
    now: datetime,
    *,
    bonus: int = 0,
    voucher_id: int | None = None,
    reason: str | None = None,
    key: str | None = None,
) -> int:
    """Record value that comes onto a card; returns the payment's id. Raises `Conflict` ("key_reused")."""
    payment_id = session.scalar(
        text(
            "INSERT INTO payment"
            " (card_id, method, amount, bonus, currency, voucher_id, actor, reason, idempotency_key, at)"
            " VALUES (:card_id, :method, :amount, :bonus, :currency, :voucher_id, :actor, :reason, :key, :now)"
            " ON CONFLICT (idempotency_key) DO NOTHING RETURNING id"
        ),
        {
            "card_id": card.id,
            "method": method,
            "amount": amount,
            "bonus": bonus,
            "currency": card.currency,
            "voucher_id": voucher_id,
            "actor": str(actor),
            "reason": reason,
            "key": key,
            "now": now,
        },
    )
    if payment_id is None:
        raise Conflict("key_reused")  # the payments remember a key longer than its answer is kept
    return int(payment_id)


def _check_amount(field: str, amount: int, *, low: int) -> None:
    if type(amount) is not int:
        raise InvalidInput("not_a_number", field=field)
    if amount < 0:
        raise InvalidInput("negative", field=field, text=format_amount(amount, 2))
    if amount < low:
        raise InvalidInput("amount_too_small", field=field)
    if amount > MOST:
        raise InvalidInput("amount_too_large", field=field, high=MOST)
