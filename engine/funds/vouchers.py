"""A voucher pays its whole value into another card, once. The cardholder proves both, by phone or at a browser."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from engine import idempotency
from engine.actor import Actor
from engine.cards import authentication
from engine.cards.access import Browser, Credentials, SwitchLike
from engine.cards.serials import serial_of
from engine.cards.timeline import add_event
from engine.db import Database, reruns
from engine.errors import EngineUnavailable
from engine.funds import ledger, proven
from engine.funds.bonus import bonus_for
from engine.funds.proven import AtBrowser, AtSwitch, Door, OwnCard, Proven, Shown, moved
from engine.funds.recharges import add_payment, lock_target, reactivate
from engine.refusal import Refusal
from engine.vault import Secret, Vault

MAX_TURNS = 8
"""How often cards are looked at again when they move between the look and the lock."""


@dataclass(frozen=True, slots=True)
class Redeemed:
    """What a voucher credited, `bonus` included, and what the card had then, in micro-units of `currency`.

    `payment_id`: of the payment that it became; answers that were kept before it was told have none.
    """

    credited: int
    balance: int
    currency: str
    bonus: int = 0
    payment_id: int | None = field(default=None, compare=False)


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
    """Pay all that is on a voucher into the card of `credentials`, both proven here, with what the bonus rules add.

    The voucher's number has the limits of any card's: wrong passwords are counted, delayed and lock it. An expired
    card within its grace lives again where its batch has extension days. Returns a `Refusal` otherwise, which leaves
    its trace: voucher_used, voucher_not_allowed (not a voucher, or into one), currency_mismatch, and what a card's
    password, state and binding refuse.

    The same `key` of this switch with the same facts gets the first answer, without being proven again; of what was
    asked only a keyed digest is kept. Raises `Conflict` ("key_reused") for other facts.
    """
    voucher = Credentials(voucher_number, voucher_password)
    return _redeem_at(db, vault, AtSwitch(switch, caller), credentials, voucher, key, now)


def redeem_own(
    db: Database,
    vault: Vault,
    *,
    card_id: int,
    browser: Browser,
    voucher_number: str,
    voucher_password: Secret,
    key: str,
    actor: Actor,
    now: datetime,
) -> Redeemed | Refusal:
    """The same at a browser: into the card that is logged in there (`actor` its holder), the voucher proven here."""
    voucher = Credentials(voucher_number, voucher_password)
    return _redeem_at(db, vault, AtBrowser(browser, actor), OwnCard(card_id), voucher, key, now)


@reruns
def _redeem_at(
    db: Database, vault: Vault, door: Door, shown: Shown, voucher: Credentials, key: str, now: datetime
) -> Redeemed | Refusal:
    asked = _fingerprint(vault, shown, voucher, door.caller)
    scope = str(door.actor)
    first = _first_answer(db, scope, key, asked)
    if first is not None:
        return first
    for _ in range(MAX_TURNS):
        target = proven.target(db, vault, door, shown, now)
        source = target if target.refusal else _voucher(db, vault, door, voucher, now, target.row)
        if source.refusal is not None:
            # Used, perhaps, by this very request, which came twice at once.
            first = _first_answer(db, scope, key, asked)
            if first is None:
                authentication.note_refusal(db, source.presented, source.row, source.refusal)
            return first or source.refusal
        redeemed = _redeem(db, door.actor, target, source, scope, key, asked)
        if redeemed is not None:
            return redeemed
    raise EngineUnavailable("busy")


def _first_answer(db: Database, scope: str, key: str, asked: bytes) -> Redeemed | None:
    with db.begin() as session:
        first = idempotency.find(session, scope, key, asked)
    return None if first is None else Redeemed(**first)


def _fingerprint(vault: Vault, shown: Shown, voucher: Credentials, caller: str | None) -> bytes:
    """A keyed digest of what was asked, so that no password can be searched for in it."""
    facts = idempotency.canonical(proven.facts_of(shown), proven.facts_of(voucher), caller)
    return vault.name("redeem", facts)


def _voucher(
    db: Database, vault: Vault, door: Door, voucher: Credentials, now: datetime, target: Any
) -> Proven:
    """The voucher, proven and good for the card `target`."""
    presented, row = door.read(db, vault, voucher, now)
    refusal = authentication.prove(db, vault, presented, row)
    if refusal is None:
        refusal = authentication.state_refusal(row, presented, inquiry=False)
        if refusal is None or refusal.reason in ("voucher_not_allowed", "empty"):
            reason = _voucher_reason(row, target)
            refusal = Refusal(reason, serial=serial_of(row.id)) if reason else None
    return Proven(presented, row, refusal)


def _voucher_reason(row: Any, target: Any) -> str | None:
    if row.kind != "voucher":
        return "voucher_not_allowed"
    if row.balance == 0:
        return "voucher_used"
    return "currency_mismatch" if row.currency != target.currency else None


def _redeem(
    db: Database, actor: Actor, target: Proven, source: Proven, scope: str, key: str, asked: bytes
) -> Redeemed | None:
    """Move the value, if both cards still are as they were proven; None where they moved meanwhile."""
    now = target.presented.now
    with db.begin() as session:
        first = idempotency.claim(session, scope, key, asked, now)
        if first is not None:
            return Redeemed(**first)
        ledger.lock_cards(session, target.row.id, source.row.id)
        card, paper = lock_target(session, target.row.id), lock_target(session, source.row.id)
        if moved(card, target.row) or moved(paper, source.row) or paper.balance != source.row.balance:
            session.rollback()
            return None
        value: int = paper.balance
        gift = bonus_for(session, card, value, "voucher", now)
        payment_id = add_payment(
            session,
            card,
            "voucher",
            value,
            actor,
            now,
            bonus=gift.amount,
            bonus_rule_id=gift.rule_id,
            voucher_id=paper.id,
        )
        common: dict[str, Any] = {"reference": f"payment:{payment_id}", "actor": actor, "now": now}
        moving: dict[str, Any] = {"account": ledger.TRANSFER, "kind": "voucher", **common}
        ledger.post(session, card_id=paper.id, amount=-value, **moving)
        balance = ledger.post(session, card_id=card.id, amount=value, **moving).balance_after
        if gift.amount:
            balance = ledger.post(
                session, card_id=card.id, amount=gift.amount, account=ledger.BONUS, kind="bonus", **common
            ).balance_after
        _tell(session, card, paper, value, gift.amount, actor, now)
        reactivate(session, card, actor, now, target.presented.house.zone)
        answer = Redeemed(value + gift.amount, balance, card.currency, gift.amount, payment_id)
        idempotency.keep(session, scope, key, asdict(answer))
        return answer


def _tell(
    session: Session, card: Any, paper: Any, value: int, bonus: int, actor: Actor, now: datetime
) -> None:
    session.execute(
        text("UPDATE card SET first_used_at = :now WHERE id = :id AND first_used_at IS NULL"),
        {"id": paper.id, "now": now},
    )
    told = {"amount": value, "currency": card.currency}
    add_event(session, paper.id, now, "redeem", str(actor), into=serial_of(card.id), **told)
    add_event(session, card.id, now, "voucher", str(actor), voucher=serial_of(paper.id), **told, bonus=bonus)
