"""Stock in the hands of resellers: assigned, activated, sold and returned by ranges of serials, on its credit.

A card is charged to its reseller's account once, at its activation or sale, whichever comes first: its face value less
the reseller's discount, rounded half up to a whole micro-unit (exact wherever the face value has at most two decimals).
The card remembers the price, and a return gives back as much. Each command is one transaction: the cards of the range
in ascending order, then the account, then the document (`stock_move`), a line on each card's timeline, the audit row.

A reseller's own people act on its own stock only. A serial that is not theirs does not exist for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from engine import idempotency, settings
from engine.actor import Actor
from engine.cards.serials import serial_of
from engine.cards.timeline import checked_reason
from engine.db import Database, reruns
from engine.errors import Conflict, InvalidInput, NotFound
from engine.funds import recharges
from engine.house import zone_of
from engine.people import audit
from engine.people.resellers import trading
from engine.permissions import command
from engine.stock.custody import Range, missing_of
from engine.stock.moves import Resold, Wanted, account_of, acting_for, move, scope_of

__all__ = [
    "Resold",
    "activate",
    "activate_and_sell",
    "assign",
    "check_recharge",
    "give_back",
    "recharge",
    "sell",
    "unassign",
]


@command("stock.assign")
def assign(
    db: Database,
    cards: Range,
    actor: Actor,
    now: datetime,
    *,
    reseller_id: int,
    transfer: bool = False,
    key: str | None = None,
    reason: str | None = None,
) -> Resold:
    """Give a range to a reseller. Left are cards that are used, sold, charged or voided, another's without `transfer`,
    and those whose password another reseller printed.

    Raises `NotFound` (cards_not_found, reseller_not_found) and `Conflict` (batch_not_ready, batch_discarded,
    reseller_disabled, key_reused).
    """
    values = {"reseller_id": reseller_id, "transfer": transfer}
    return _run(db, "assign", cards, actor, now, reseller_id, key, reason, values)


@command("stock.unassign")
def unassign(
    db: Database,
    cards: Range,
    actor: Actor,
    now: datetime,
    *,
    reseller_id: int | None = None,
    key: str | None = None,
    reason: str | None = None,
) -> Resold:
    """Take a range back from whoever has it, or only from this reseller. Left are cards that are used or charged, and
    those whose password it printed: they are voided, or their passwords reset.

    What was charged is to be returned first (`give_back`). Raises as `assign`.
    """
    return _run(db, "unassign", cards, actor, now, reseller_id, key, reason, {"reseller_id": reseller_id})


@command("stock.activate")
def activate(
    db: Database,
    cards: Range,
    actor: Actor,
    now: datetime,
    *,
    reseller_id: int | None = None,
    key: str | None = None,
    reason: str | None = None,
) -> Resold:
    """Release a reseller's cards that are held back, and charge those that were not charged yet, released or not.

    Staff say whose they are; a reseller's people act for their own. Left are cards released and charged already,
    expired, locked or voided. Raises `Refused` ("account_exhausted"), `Conflict` (no_reseller_account,
    mixed_currencies, not_their_stock for staff, and as `assign`), `NotFound` (cards_not_found: also for serials that
    are not theirs).
    """
    owner = acting_for(actor, reseller_id)
    return _run(db, "activate", cards, actor, now, owner, key, reason, {})


@command("stock.sell")
def sell(
    db: Database,
    cards: Range,
    actor: Actor,
    now: datetime,
    *,
    reseller_id: int | None = None,
    key: str | None = None,
    reason: str | None = None,
) -> Resold:
    """Note that a reseller sold cards, and charge those that were not charged yet, marked as sold or not.

    Whether they may be used is `activate`'s to say, but of batches released at generation: those are released. Left are
    cards sold and charged already, expired, locked or voided. Raises as `activate`.
    """
    owner = acting_for(actor, reseller_id)
    return _run(db, "sell", cards, actor, now, owner, key, reason, {})


@command("stock.return")
def give_back(
    db: Database,
    cards: Range,
    actor: Actor,
    now: datetime,
    *,
    reseller_id: int | None = None,
    to_operator: bool = False,
    undoes: Sequence[int] | None = None,
    key: str | None = None,
    reason: str | None = None,
) -> Resold:
    """Undo sale and activation of cards that nobody used, and give back what they were charged.

    They are the reseller's still, or with `to_operator` nobody's; a card whose password the reseller printed can't be
    nobody's before it was reset. What was charged is held back from then on, whatever its batch says, until it is
    activated or sold again: somebody may have read its password. `undoes`: only cards that these documents (`move`)
    charged, and with which nothing was done since. Raises as `activate`, but a disabled reseller's are returned where
    staff do it.
    """
    owner = acting_for(actor, reseller_id)
    values = {"to_operator": to_operator, "undoes": None if undoes is None else sorted(undoes)}
    return _run(db, "return", cards, actor, now, owner, key, reason, values)


def activate_and_sell(
    db: Database,
    cards: Range,
    actor: Actor,
    now: datetime,
    *,
    reseller_id: int | None = None,
    key: str,
    reason: str | None = None,
) -> tuple[Resold, Resold]:
    """Activate a range, then note that it was sold: two commands, each once for the key. The first one charges.

    Where it ends between them, as by a lost connection, the cards are activated and charged and not marked as sold; the
    same again with the same key does the rest. Raises as `activate`.
    """
    activated = activate(db, cards, actor, now, reseller_id=reseller_id, key=key, reason=reason)
    return activated, sell(db, cards, actor, now, reseller_id=reseller_id, key=key, reason=reason)


@command("stock.recharge")
def recharge(
    db: Database,
    *,
    card_id: int,
    amount: int,
    reseller_id: int | None = None,
    key: str | None = None,
    reason: str | None = None,
    actor: Actor,
    now: datetime,
) -> recharges.Recharged:
    """Put `amount` on a card of the reseller's own stock, from its own credit; the bonus rules give what they give.

    The same `key` with the same facts counts once. Raises as `recharges.recharge`, and `Refused`
    ("account_exhausted"), `Conflict` (no_reseller_account, reseller_disabled), `NotFound` ("card_not_found": also for
    another's card).
    """
    check_recharge(amount)
    owner = acting_for(actor, reseller_id)
    return _recharge(
        db, card_id, amount, owner, key or idempotency.new_key(), checked_reason(reason), actor, now
    )


def check_recharge(amount: int) -> None:
    """What may be asked to put on a card. Raises `InvalidInput` (amount_too_small, amount_too_large)."""
    if type(amount) is not int or amount < 1:
        raise InvalidInput("amount_too_small", field="amount")
    if amount > recharges.MOST:
        raise InvalidInput("amount_too_large", field="amount", high=recharges.MOST)


@reruns
def _recharge(
    db: Database,
    card_id: int,
    amount: int,
    reseller_id: int,
    key: str,
    reason: str | None,
    actor: Actor,
    now: datetime,
) -> recharges.Recharged:
    scope, asked = scope_of("recharge", actor), idempotency.fingerprint(card_id, amount, reseller_id, reason)
    with db.begin() as session:
        first = idempotency.claim(session, scope, key, asked, now)
        if first is not None:
            until = datetime.fromisoformat(first["expires_at"]) if first["expires_at"] else None
            balance = recharges.balance_of(session, card_id)
            return recharges.Recharged(**{**first, "expires_at": until}, repeated=True, balance_now=balance)
        reseller = trading(session, reseller_id)
        # Before the lock too, so that nobody can keep another's card waiting.
        _require_own(session, card_id, reseller_id)
        card = recharges.lock_target(session, card_id)
        _require_own(session, card_id, reseller_id)
        account_id = account_of(session, reseller, card.currency)
        posted = recharges.recharge_step(
            session,
            card,
            amount,
            method="reseller",
            account_id=account_id,
            actor=actor,
            now=now,
            zone=zone_of(settings.load(session)),
            reason=reason,
            key=f"{scope}:{key}",
        )
        serial = serial_of(card_id)
        told = {
            "amount": amount,
            "bonus": posted.bonus,
            "currency": card.currency,
            "payment": posted.payment_id,
        }
        subject = f"card:{serial}"
        audit.record(
            session, actor, "stock.recharge", subject, now, reason=reason, **told, reseller=reseller.id
        )
        answer = recharges.Recharged(
            posted.payment_id,
            serial,
            amount,
            posted.bonus,
            posted.balance,
            card.currency,
            posted.expires_at,
            balance_now=posted.balance,
        )
        kept = {
            name: value for name, value in asdict(answer).items() if name not in ("repeated", "balance_now")
        }
        until_text = posted.expires_at.isoformat() if posted.expires_at else None
        idempotency.keep(session, scope, key, {**kept, "expires_at": until_text})
        return answer


def _require_own(session: Session, card_id: int, reseller_id: int) -> None:
    if missing_of(session, Range(card_id, card_id), reseller_id):
        raise NotFound("card_not_found")


def _run(
    db: Database,
    kind: str,
    cards: Range,
    actor: Actor,
    now: datetime,
    reseller_id: int | None,
    key: str | None,
    reason: str | None,
    values: dict[str, Any],
) -> Resold:
    why = checked_reason(reason)
    asked = Wanted(kind, cards, actor, now, reseller_id, key or idempotency.new_key(), why, values)
    try:
        return move(db, asked)
    except IntegrityError as error:
        if "uq_stock_move_idempotency_key" not in str(error.orig):
            raise
        raise Conflict("key_reused") from None  # the documents remember a key longer than its answer is kept
