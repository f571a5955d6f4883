"""Transfers: value from one card to another, by the holder who proves both, or by staff.

A transfer is a `card_transfer` and one entry on either card, against the account `transfer`. Cards are locked in
ascending order, so that transfers in a circle wait for each other and never deadlock.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import text
from sqlalchemy.orm import Session

from engine import idempotency, settings
from engine.actor import Actor
from engine.cards import authentication
from engine.cards.access import Browser, Credentials, SwitchLike
from engine.cards.serials import serial_of
from engine.cards.timeline import add_event, checked_reason
from engine.db import Database, reruns
from engine.errors import Conflict, EngineUnavailable, InvalidInput, Refused
from engine.funds import ledger, proven
from engine.funds.proven import AtBrowser, AtSwitch, Door, OwnCard, Proven, Shown
from engine.funds.recharges import MOST, balance_of, lock_target, reactivate, recharge_refusal
from engine.house import zone_of
from engine.money import format_amount
from engine.people import audit
from engine.permissions import command
from engine.refusal import Refusal
from engine.vault import Vault

MAX_TURNS = 8
"""How often cards are looked at again when they move between the look and the lock."""


@dataclass(frozen=True, slots=True)
class Transferred:
    """A transfer as it stands in the books: both balances are those after it, in micro-units of `currency`.

    `repeated`: its key had counted before, and nothing was moved now; `balance_now` is what the source has at the
    moment of the answer. Neither is part of what is compared.
    """

    transfer_id: int
    from_serial: str
    to_serial: str
    amount: int
    from_balance: int
    to_balance: int
    currency: str
    repeated: bool = field(default=False, compare=False)
    balance_now: int = field(default=0, compare=False)


@command("card.transfer")
def transfer(
    db: Database,
    *,
    from_id: int,
    to_id: int,
    amount: int | None = None,
    key: str | None = None,
    reason: str | None = None,
    actor: Actor,
    now: datetime,
) -> Transferred:
    """Move `amount` micro-units (None: all there is) from one card to another, by their ids.

    The source must be released, no voucher, not void, locked or expired, and in no call; the target fit for a recharge,
    which may let it live again. The same `key` with the same facts counts once and gets the first answer, `repeated`.
    Raises `Refused` (too_many_calls: a call is live on the source; insufficient_balance, empty, currency_mismatch,
    not_activated, damaged, locked, expired, voucher_not_allowed), `InvalidInput` (same_card, amounts), `Conflict`
    ("key_reused") and `NotFound`.
    """
    _check_amount(amount)
    if from_id == to_id:
        raise InvalidInput("same_card", field="to")
    why = checked_reason(reason)
    return _transfer(db, from_id, to_id, amount, key or idempotency.new_key(), why, actor, now)


@reruns
def _transfer(
    db: Database,
    from_id: int,
    to_id: int,
    amount: int | None,
    key: str,
    reason: str | None,
    actor: Actor,
    now: datetime,
) -> Transferred:
    asked = idempotency.fingerprint(from_id, to_id, amount, reason)
    with db.begin() as session:
        first = idempotency.claim(session, "transfer", key, asked, now)
        if first is not None:
            return Transferred(**first, repeated=True, balance_now=balance_of(session, from_id))
        ledger.lock_cards(session, from_id, to_id)
        source, target = lock_target(session, from_id), lock_target(session, to_id)
        zone = zone_of(settings.load(session))
        refused = refusal(source, target, amount, now, zone)
        if refused is not None:
            raise Refused(refused.reason, serial=refused.serial)
        own = f"transfer:{key}"
        answer = _post(session, source, target, amount, actor, now, zone, reason=reason, key=own)
        idempotency.keep(session, "transfer", key, _kept(answer))
        return answer


def transfer_by_holder(
    db: Database,
    vault: Vault,
    *,
    switch: SwitchLike,
    source: Credentials,
    target: Credentials,
    caller: str | None,
    amount: int | None = None,
    key: str,
    now: datetime,
) -> Transferred | Refusal:
    """Move `amount` (None: all there is) from one card to another, both proven here by their holder; see `transfer`.

    Wrong passwords are counted, delayed and lock as at every door. Returns a `Refusal` otherwise, which leaves its
    trace. The same `key` of this switch with the same facts gets the first answer, without being proven again; of what
    was asked only a keyed digest is kept. Raises `Conflict` ("key_reused") for other facts, and `InvalidInput`.
    """
    _check_amount(amount)
    return _transfer_at(db, vault, AtSwitch(switch, caller), source, target, amount, key, now)


def transfer_into_own(
    db: Database,
    vault: Vault,
    *,
    card_id: int,
    browser: Browser,
    source: Credentials,
    amount: int | None = None,
    key: str,
    actor: Actor,
    now: datetime,
) -> Transferred | Refusal:
    """The same at a browser: from a card that is proven here into the one that is logged in (`actor` its holder)."""
    _check_amount(amount)
    door = AtBrowser(browser, actor)
    return _transfer_at(db, vault, door, source, OwnCard(card_id), amount, key, now)


@reruns
def _transfer_at(
    db: Database,
    vault: Vault,
    door: Door,
    source: Credentials,
    target: Shown,
    amount: int | None,
    key: str,
    now: datetime,
) -> Transferred | Refusal:
    asked = _fingerprint(vault, source, target, door.caller, amount)
    scope = str(door.actor)
    for _ in range(MAX_TURNS):
        with db.begin() as session:
            first = idempotency.find(session, scope, key, asked)
        if first is not None:
            return _again(db, first)
        giver = proven.holder(db, vault, door, source, now)
        taker = giver if giver.refusal else proven.target(db, vault, door, target, now)
        for one in (giver, taker):
            if one.refusal is not None:
                authentication.note_refusal(db, one.presented, one.row, one.refusal)
                return one.refusal
        if giver.row.id == taker.row.id:
            raise InvalidInput("same_card", field="to")
        done = _transfer_proven(db, door.actor, giver, taker, amount, scope, key, asked)
        if isinstance(done, Refusal):
            authentication.note_refusal(db, giver.presented, giver.row, done)
        if done is not None:
            return done
    raise EngineUnavailable("busy")


def _transfer_proven(
    db: Database,
    actor: Actor,
    giver: Proven,
    taker: Proven,
    amount: int | None,
    scope: str,
    key: str,
    asked: bytes,
) -> Transferred | Refusal | None:
    """Move it, if both cards still are as they were proven; None where they moved meanwhile."""
    now, zone = giver.presented.now, giver.presented.house.zone
    with db.begin() as session:
        first = idempotency.claim(session, scope, key, asked, now)
        if first is not None:
            return Transferred(**first, repeated=True, balance_now=first["from_balance"])
        ledger.lock_cards(session, giver.row.id, taker.row.id)
        source, target = lock_target(session, giver.row.id), lock_target(session, taker.row.id)
        if proven.moved(source, giver.row) or proven.moved(target, taker.row):
            session.rollback()
            return None
        refused = refusal(source, target, amount, now, zone)
        if refused is not None:
            session.rollback()
            return refused
        answer = _post(session, source, target, amount, actor, now, zone)
        idempotency.keep(session, scope, key, _kept(answer))
        return answer


def refusal(source: Any, target: Any, amount: int | None, now: datetime, zone: ZoneInfo) -> Refusal | None:
    """Why so much (None: all) may not go from one locked card (`recharges.lock_target`) to another now, or None."""
    reason = recharge_refusal(source, now, zone)
    if reason is None and source.expires_at is not None and source.expires_at <= now:
        reason = "expired"
    if reason is None and source.live_calls:
        reason = "too_many_calls"
    if reason is None and source.balance == 0:
        reason = "empty"
    if reason is None and amount is not None and amount > source.balance:
        reason = "insufficient_balance"
    if reason is not None:
        return Refusal(reason, serial=serial_of(source.id))
    reason = recharge_refusal(target, now, zone)
    if reason is None and source.currency != target.currency:
        reason = "currency_mismatch"
    return None if reason is None else Refusal(reason, serial=serial_of(target.id))


def _post(
    session: Session,
    source: Any,
    target: Any,
    amount: int | None,
    actor: Actor,
    now: datetime,
    zone: ZoneInfo,
    *,
    reason: str | None = None,
    key: str | None = None,
) -> Transferred:
    value: int = source.balance if amount is None else amount
    check_room(target.balance, value)
    transfer_id, left, there = move(
        session, "transfer", source.id, target.id, value, actor, now, reason=reason, key=key
    )
    giver, taker = serial_of(source.id), serial_of(target.id)
    told: dict[str, Any] = {"amount": value, "currency": source.currency}
    subject = f"card:{giver}"
    audit.record(session, actor, "card.transfer", subject, now, reason=reason, to=taker, **told)
    why = {} if reason is None else {"reason": reason}
    add_event(session, source.id, now, "transfer_out", str(actor), into=taker, **told, **why)
    add_event(session, target.id, now, "transfer_in", str(actor), card=giver, **told, **why)
    reactivate(session, target, actor, now, zone)
    return Transferred(transfer_id, giver, taker, value, left, there, source.currency, balance_now=left)


# --- steps that transfers and replacements share ---


def move(
    session: Session,
    kind: str,
    from_id: int,
    to_id: int,
    amount: int,
    actor: Actor,
    now: datetime,
    *,
    reason: str | None = None,
    key: str | None = None,
) -> tuple[int, int, int]:
    """Move an amount between two cards that the caller has locked: the document (`kind`: transfer or replace) and both
    entries. Returns the document's id and both balances after it. Raises `Conflict` ("key_reused") and `Refused`."""
    transfer_id = session.scalar(
        text(
            "INSERT INTO card_transfer (kind, from_id, to_id, amount, actor, reason, idempotency_key, at)"
            " VALUES (:kind, :from_id, :to_id, :amount, :actor, :reason, :key, :now)"
            " ON CONFLICT (idempotency_key) DO NOTHING RETURNING id"
        ),
        {
            "kind": kind,
            "from_id": from_id,
            "to_id": to_id,
            "amount": amount,
            "actor": str(actor),
            "reason": reason,
            "key": key,
            "now": now,
        },
    )
    if transfer_id is None:
        raise Conflict("key_reused")  # the transfers remember a key longer than its answer is kept
    common: dict[str, Any] = {
        "account": ledger.TRANSFER,
        "kind": "transfer",
        "reference": f"transfer:{transfer_id}",
        "actor": actor,
        "now": now,
        "reason": reason,
    }
    left = ledger.post(session, card_id=from_id, amount=-amount, **common).balance_after
    there = ledger.post(session, card_id=to_id, amount=amount, **common).balance_after
    return int(transfer_id), left, there


def check_room(balance: int, amount: int) -> None:
    """Raise `InvalidInput` ("amount_too_large") where a card would get more than a card can have."""
    if balance + amount > MOST:
        raise InvalidInput("amount_too_large", field="amount", high=MOST)


def _check_amount(amount: int | None) -> None:
    if amount is None:
        return
    if type(amount) is not int:
        raise InvalidInput("not_a_number", field="amount")
    if amount < 0:
        raise InvalidInput("negative", field="amount", text=format_amount(amount, 2))
    if amount == 0:
        raise InvalidInput("amount_too_small", field="amount")
    if amount > MOST:
        raise InvalidInput("amount_too_large", field="amount", high=MOST)


def _kept(answer: Transferred) -> dict[str, Any]:
    return {name: value for name, value in asdict(answer).items() if name not in ("repeated", "balance_now")}


def _again(db: Database, first: dict[str, Any]) -> Transferred:
    with db.begin() as session:
        balance = session.scalar(
            text("SELECT balance FROM card c JOIN card_transfer t ON t.from_id = c.id WHERE t.id = :id"),
            {"id": first["transfer_id"]},
        )
    return Transferred(**first, repeated=True, balance_now=int(balance or 0))


def _fingerprint(
    vault: Vault, source: Credentials, target: Shown, caller: str | None, amount: int | None
) -> bytes:
    """A keyed digest of what was asked, so that no password can be searched for in it."""
    facts = idempotency.canonical(proven.facts_of(source), proven.facts_of(target), caller, amount)
    return vault.name("transfer", facts)
