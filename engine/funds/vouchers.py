"""A voucher pays its whole value into another card, once. The cardholder proves both, through a switch."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from engine import idempotency
from engine.actor import Actor
from engine.cards import access, authentication
from engine.cards.access import Credentials, Presented, SwitchLike
from engine.cards.serials import serial_of
from engine.cards.timeline import add_event
from engine.db import Database, reruns
from engine.errors import EngineUnavailable
from engine.funds import ledger
from engine.funds.recharges import add_payment, lock_target, reactivate, recharge_refusal
from engine.refusal import Refusal
from engine.vault import Secret, Vault

MAX_TURNS = 8
"""How often cards are looked at again when they move between the look and the lock."""

_FIND = access.card_queries(columns=", b.extension_days")


@dataclass(frozen=True, slots=True)
class Redeemed:
    """What a voucher credited and what the card has now, in micro-units of `currency`."""

    credited: int
    balance: int
    currency: str


@reruns
def redeem_voucher(
    db: Database,
    vault: Vault,
    *,
    switch: SwitchLike,
    credentials: Credentials,
    caller: str | None,
    voucher_number: str,
    voucher_password: Secret,
    key: str,
    now: datetime,
) -> Redeemed | Refusal:
    """Pay all that is on a voucher into the card of `credentials`, both proven here, in one transaction.

    The voucher's number has the limits of any card's: wrong passwords are counted, delayed and lock it. An expired
    card within its grace lives again where its batch has extension days. Returns a `Refusal` otherwise, which leaves
    its trace: voucher_used, voucher_not_allowed (not a voucher, or into one), currency_mismatch, and what a card's
    password, state and binding refuse.

    The same `key` of this switch with the same facts gets the first answer, without being proven again; of what was
    asked only a keyed digest is kept. Raises `Conflict` ("key_reused") for other facts.
    """
    voucher = Credentials(voucher_number, voucher_password)
    asked = _fingerprint(vault, credentials, voucher, caller)
    scope = f"switch:{switch.id}"
    with db.begin() as session:
        first = idempotency.find(session, scope, key, asked)
    if first is not None:
        return Redeemed(**first)
    for _ in range(MAX_TURNS):
        target = _target(db, vault, switch, credentials, caller, now)
        if isinstance(target, Refusal):
            return target
        source = _voucher(db, vault, target, switch, voucher, caller, now)
        if isinstance(source, Refusal):
            return source
        redeemed = _redeem(db, target, source, scope, key, asked)
        if redeemed is not None:
            return redeemed
    raise EngineUnavailable("busy")


def _fingerprint(vault: Vault, target: Credentials, voucher: Credentials, caller: str | None) -> bytes:
    """A keyed digest of what was asked, so that no password can be searched for in it."""
    secrets = [
        secret.value if secret else None for secret in (target.password, target.token, voucher.password)
    ]
    return vault.name("redeem", idempotency.canonical(target.number, voucher.number, caller, *secrets))


@dataclass(frozen=True, slots=True)
class _Target:
    presented: Presented
    row: Any


def _target(
    db: Database,
    vault: Vault,
    switch: SwitchLike,
    credentials: Credentials,
    caller: str | None,
    now: datetime,
) -> _Target | Refusal:
    """The card that is to be recharged, proven and fit for it."""
    presented, row = _read(db, vault, switch, credentials, caller, now)
    refusal = (
        authentication.prove(db, vault, presented, row)
        or authentication.state_refusal(row, presented, inquiry=True)
        or authentication.binding_refusal(row, presented)
        or authentication.admit(db, presented, row)
    )
    # A lock that was just lifted is still in this row; the next look is without it.
    if refusal is None and row.locked_at is None:
        reason = recharge_refusal(row, now, presented.house.zone)
        refusal = Refusal(reason, serial=serial_of(row.id)) if reason else None
    if refusal is not None:
        authentication.note_refusal(db, presented, row, refusal)
        return refusal
    return _Target(presented, row)


def _voucher(
    db: Database,
    vault: Vault,
    target: _Target,
    switch: SwitchLike,
    voucher: Credentials,
    caller: str | None,
    now: datetime,
) -> Any:
    """The voucher's row, proven and good for this card, or a `Refusal`."""
    presented, row = _read(db, vault, switch, voucher, caller, now)
    refusal = authentication.prove(db, vault, presented, row)
    if refusal is not None:
        authentication.note_refusal(db, presented, row, refusal)
        return refusal
    refusal = authentication.state_refusal(row, presented, inquiry=False)
    if refusal is not None and refusal.reason not in ("voucher_not_allowed", "empty"):
        pass
    elif row.kind != "voucher":
        refusal = Refusal("voucher_not_allowed", serial=serial_of(row.id))
    elif row.balance == 0:
        refusal = Refusal("voucher_used", serial=serial_of(row.id))
    elif row.currency != target.row.currency:
        refusal = Refusal("currency_mismatch", serial=serial_of(row.id))
    else:
        return row
    authentication.note_refusal(db, presented, row, refusal)
    return refusal


def _read(
    db: Database,
    vault: Vault,
    switch: SwitchLike,
    credentials: Credentials,
    caller: str | None,
    now: datetime,
) -> tuple[Presented, Any]:
    with db.connection() as conn:
        return access.read_card(
            conn,
            db,
            vault,
            _FIND,
            switch=switch,
            credentials=credentials,
            caller=caller,
            access_number=None,
            now=now,
        )


def _redeem(
    db: Database, target: _Target, source: Any, scope: str, key: str, asked: bytes
) -> Redeemed | None:
    """Move the value, if both cards still are as they were proven; None where they moved meanwhile."""
    now, switch = target.presented.now, target.presented.switch
    actor = Actor("switch", switch.id, switch.name)
    with db.begin() as session:
        first = idempotency.claim(session, scope, key, asked, now)
        if first is not None:
            return Redeemed(**first)
        ledger.lock_cards(session, target.row.id, source.id)
        card, paper = lock_target(session, target.row.id), lock_target(session, source.id)
        if _moved(card, target.row) or _moved(paper, source) or paper.balance != source.balance:
            session.rollback()
            return None
        value: int = paper.balance
        payment_id = add_payment(session, card, "voucher", value, actor, now, voucher_id=paper.id)
        common: dict[str, Any] = {
            "account": ledger.TRANSFER,
            "kind": "voucher",
            "reference": f"payment:{payment_id}",
            "actor": actor,
            "now": now,
        }
        ledger.post(session, card_id=paper.id, amount=-value, **common)
        balance = ledger.post(session, card_id=card.id, amount=value, **common).balance_after
        _tell(session, card, paper, value, actor, now)
        reactivate(session, card, actor, now, target.presented.house.zone)
        answer = {"credited": value, "balance": balance, "currency": card.currency}
        idempotency.keep(session, scope, key, answer)
        return Redeemed(value, balance, card.currency)


def _moved(locked: Any, read: Any) -> bool:
    """Whether what the proof stood on is no longer so: password, state, validity."""
    facts = ("digest", "released_at", "damaged_at", "locked_at", "expires_at")
    return any(getattr(locked, fact) != getattr(read, fact) for fact in facts)


def _tell(session: Session, card: Any, paper: Any, value: int, actor: Actor, now: datetime) -> None:
    session.execute(
        text("UPDATE card SET first_used_at = :now WHERE id = :id AND first_used_at IS NULL"),
        {"id": paper.id, "now": now},
    )
    told = {"amount": value, "currency": card.currency}
    add_event(session, paper.id, now, "redeem", str(actor), into=serial_of(card.id), **told)
    add_event(session, card.id, now, "voucher", str(actor), voucher=serial_of(paper.id), **told)
