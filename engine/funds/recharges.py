"""An operator puts money on a card, with or without a bonus, or corrects what is on it; and the step by which money
comes onto a card whoever pays: the operator's customer, a reseller's account, an auto-recharge's funding account."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
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
from engine.funds import accounts, ledger
from engine.funds.bonus import Bonus, bonus_for
from engine.funds.large import need_consent
from engine.house import zone_of
from engine.money import MAX_UNITS, MICROS, format_amount
from engine.people import audit
from engine.permissions import command

MOST = MAX_UNITS * MICROS
"""The most that one write may move or a card may have, in micro-units."""


@dataclass(frozen=True, slots=True)
class Recharged:
    """A recharge as it stands in the books, in micro-units of `currency`; `balance` and `expires_at` are after it.

    `repeated`: its key had counted before, and nothing was moved now. `balance_now` is what the card has at the moment
    of the answer, which only then may differ from `balance`. Neither is part of what is compared.
    """

    payment_id: int
    serial: str
    amount: int
    bonus: int
    balance: int
    currency: str
    expires_at: datetime | None
    repeated: bool = field(default=False, compare=False)
    balance_now: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Adjusted:
    """An adjustment as it stands in the books: `amount` is signed, `balance` the card's after it.

    `repeated` and `balance_now` as in `Recharged`.
    """

    serial: str
    amount: int
    balance: int
    currency: str
    repeated: bool = field(default=False, compare=False)
    balance_now: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Posted:
    """What `recharge_step` did: the payment, its bonus, the balance after it and when the card now expires."""

    payment_id: int
    bonus: int
    balance: int
    expires_at: datetime | None


@command("card.recharge")
def recharge(
    db: Database,
    *,
    card_id: int,
    amount: int,
    bonus: int | None = None,
    key: str | None = None,
    actor: Actor,
    reason: str | None = None,
    now: datetime,
) -> Recharged:
    """Put `amount` on a card, and `bonus` as a gift beside it: a payment, and a ledger entry for each.

    Without `bonus` the bonus rules say how much it is; 0 gives none. An expired card within its grace lives again
    where its batch has extension days: until the later of what it was and the end of that day in the operator's zone.
    The same `key` with the same facts counts once and gets the first answer, `repeated`; with others it raises
    `Conflict` ("key_reused"). Raises `Refused` (not_activated, damaged, locked, expired, voucher_not_allowed),
    `InvalidInput` (amount_too_small, amount_too_large, negative), `NotFound`, and `ConsentNeeded` where the amount and
    its bonus together are large (`engine.funds.large`) and nobody has consented to these `consent_facts`.
    """
    _check_amount("amount", amount, low=1)
    _check_amount("bonus", bonus or 0, low=0)
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
    value again), `Conflict` ("key_reused"), `InvalidInput` (reason_missing, amount_zero, too_large), `NotFound`, and
    `ConsentNeeded` where a large amount is to come onto the card.
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
    bonus: int | None,
    key: str,
    actor: Actor,
    reason: str | None,
    now: datetime,
) -> Recharged:
    asked = idempotency.fingerprint(card_id, amount, bonus, reason)
    with db.begin() as session:
        first = idempotency.claim(session, "recharge", key, asked, now)
        if first is not None:
            return _first_answer(session, card_id, first)
        card = lock_target(session, card_id)
        # Worked out once: what a second person consents to is what is posted.
        gift = bonus_for(session, card, amount, "operator", now) if bonus is None else Bonus(bonus)
        serial = serial_of(card_id)
        facts = consent_facts(amount, gift.amount, card.currency)
        need_consent(session, actor, "card.recharge", f"card:{serial}", amount + gift.amount, facts, now)
        posted = recharge_step(
            session,
            card,
            amount,
            gift=gift,
            method="operator",
            actor=actor,
            now=now,
            zone=zone_of(settings.load(session)),
            reason=reason,
            key=f"recharge:{key}",
        )
        told = {
            "amount": amount,
            "bonus": posted.bonus,
            "currency": card.currency,
            "payment": posted.payment_id,
        }
        audit.record(session, actor, "card.recharge", f"card:{serial}", now, reason=reason, **told)
        answer = Recharged(
            posted.payment_id,
            serial,
            amount,
            posted.bonus,
            posted.balance,
            card.currency,
            posted.expires_at,
            balance_now=posted.balance,
        )
        idempotency.keep(session, "recharge", key, _kept(answer))
        return answer


def consent_facts(amount: int, bonus: int, currency: str) -> dict[str, Any]:
    """What a second person consents to where a recharge of a card needs it (subject: `card:SERIAL`).

    `bonus` is what is given, whether somebody named it or the rules do.
    """
    return {"amount": amount, "bonus": bonus, "currency": currency}


def _kept(answer: Recharged | Adjusted) -> dict[str, Any]:
    kept = {name: value for name, value in asdict(answer).items() if name not in ("repeated", "balance_now")}
    if kept.get("expires_at") is not None:
        kept["expires_at"] = kept["expires_at"].isoformat()
    return kept


def _first_answer(session: Session, card_id: int, kept: dict[str, Any]) -> Recharged:
    expires_at = datetime.fromisoformat(kept["expires_at"]) if kept["expires_at"] else None
    now_on_it = balance_of(session, card_id)
    return Recharged(**{**kept, "expires_at": expires_at}, repeated=True, balance_now=now_on_it)


def balance_of(session: Session, card_id: int) -> int:
    """What a card has now, in micro-units."""
    return int(session.scalar(text("SELECT balance FROM card WHERE id = :id"), {"id": card_id}) or 0)


@reruns
def _adjust(
    db: Database, card_id: int, amount: int, reason: str, key: str, actor: Actor, now: datetime
) -> Adjusted:
    asked = idempotency.fingerprint(card_id, amount, reason)
    try:
        with db.begin() as session:
            first = idempotency.claim(session, "adjust", key, asked, now)
            if first is not None:
                return Adjusted(**first, repeated=True, balance_now=balance_of(session, card_id))
            card = lock_target(session, card_id)
            if amount > 0 and card.redeemed:
                raise Refused("voucher_used", serial=serial_of(card_id))
            if amount > 0:
                _check_amount("amount", card.balance + amount, low=1)
            facts = {"amount": amount, "currency": card.currency}
            need_consent(session, actor, "card.adjust", f"card:{serial_of(card_id)}", amount, facts, now)
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
            idempotency.keep(session, "adjust", key, _kept(answer))
            return replace(answer, balance_now=answer.balance)
    except IntegrityError as error:
        if "uq_ledger_entry_idempotency" not in str(error.orig):
            raise
        raise Conflict("key_reused") from None  # the ledger remembers a key longer than its answer is kept


# --- steps that every recharge shares, whoever pays ---

_TARGET = text(
    """
    SELECT c.id, c.currency, c.balance, c.held, c.live_calls, c.digest, c.released_at, c.damaged_at, c.locked_at,
        c.expires_at, b.kind, b.ready_at, b.grace_days, b.extension_days,
        EXISTS (SELECT 1 FROM payment WHERE voucher_id = c.id) AS redeemed
    FROM card c JOIN batch b ON b.id = c.batch_id
    WHERE c.id = :id
    """
)


def recharge_step(
    session: Session,
    card: Any,
    amount: int,
    *,
    method: str,
    actor: Actor,
    now: datetime,
    zone: ZoneInfo,
    gift: Bonus | None = None,
    account_id: int | None = None,
    reason: str | None = None,
    key: str | None = None,
) -> Posted:
    """Put `amount` on a card that `lock_target` locked: payment, entries, timeline, and life again where it expired.

    `method`: `operator` (sold for money), `reseller` or `auto`, which are paid from `account_id`. `gift` None: what
    the bonus rules give. `key` makes the payment unique among all, and begins with whose it is (`recharge:`, `auto:`),
    so that nobody takes another's. Never commits, and leaves the audit row to the command. Raises `Refused` (as
    `recharge_refusal` says; currency_mismatch, account_exhausted), `InvalidInput` ("amount_too_large"), `NotFound`
    ("account_not_found") and `Conflict` ("key_reused").
    """
    serial = serial_of(card.id)
    refusal = recharge_refusal(card, now, zone)
    if refusal is not None:
        raise Refused(refusal, serial=serial)
    if gift is None:
        gift = bonus_for(session, card, amount, method, now)
    _check_amount("amount", card.balance + amount + gift.amount, low=1)
    counter = ledger.SALES if account_id is None else accounts.counter_account(session, account_id, card)
    payment_id = add_payment(
        session,
        card,
        method,
        amount,
        actor,
        now,
        bonus=gift.amount,
        bonus_rule_id=gift.rule_id,
        account_id=account_id,
        reason=reason,
        key=key,
    )
    reference = f"payment:{payment_id}"
    common: dict[str, Any] = {"reference": reference, "actor": actor, "now": now, "reason": reason}
    entry = ledger.post(session, card_id=card.id, amount=amount, account=counter, kind="recharge", **common)
    if gift.amount:
        entry = ledger.post(
            session, card_id=card.id, amount=gift.amount, account=ledger.BONUS, kind="bonus", **common
        )
    if account_id is not None:
        accounts.post(session, account_id=account_id, amount=-amount, kind="recharge", **common)
    told = {"amount": amount, "bonus": gift.amount, "currency": card.currency, "payment": payment_id}
    if method != "operator":
        told["method"] = method
    if reason is not None:
        told["reason"] = reason
    add_event(session, card.id, now, "recharge", str(actor), **told)
    return Posted(payment_id, gift.amount, entry.balance_after, reactivate(session, card, actor, now, zone))


def lock_target(session: Session, card_id: int) -> Any:
    """Lock a card and read what a recharge must know of it. Raises `NotFound` ("card_not_found")."""
    # Locked by a statement of its own: what this one reads is then as it was when the lock was had.
    ledger.lock_cards(session, card_id)
    row = read_target(session, card_id)
    if row is None:
        raise NotFound("card_not_found")
    return row


def read_target(session: Session, card_id: int) -> Any | None:
    """The same of a card that is not locked, for looking ahead; None where there is none."""
    return session.execute(_TARGET, {"id": card_id}).one_or_none()


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
    bonus_rule_id: int | None = None,
    voucher_id: int | None = None,
    account_id: int | None = None,
    reason: str | None = None,
    key: str | None = None,
) -> int:
    """Record value that comes onto a card; returns the payment's id. Raises `Conflict` ("key_reused")."""
    payment_id = session.scalar(
        text(
            "INSERT INTO payment"
            " (card_id, method, amount, bonus, bonus_rule_id, currency, voucher_id, account_id, actor, reason,"
            " idempotency_key, at)"
            " VALUES (:card_id, :method, :amount, :bonus, :bonus_rule_id, :currency, :voucher_id, :account_id,"
            " :actor, :reason, :key, :now)"
            " ON CONFLICT (idempotency_key) DO NOTHING RETURNING id"
        ),
        {
            "card_id": card.id,
            "method": method,
            "amount": amount,
            "bonus": bonus,
            "bonus_rule_id": bonus_rule_id,
            "currency": card.currency,
            "voucher_id": voucher_id,
            "account_id": account_id,
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
