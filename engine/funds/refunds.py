"""Online payments that went back to who paid them: the card gives back what it still has.

The bonus that came with a payment goes back in the same proportion. What had been spent already is the operator's loss:
a card's balance is never taken below what its calls hold.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from engine import alarms
from engine.actor import SYSTEM
from engine.cards.serials import serial_of
from engine.cards.timeline import add_event
from engine.funds import ledger
from engine.schema import Checkout, Refund


def settle(session: Session, checkout: Checkout, now: datetime) -> None:
    """Take off the card what of a credited checkout went back and wasn't taken off yet. A shared step: never commits.

    The caller has locked the card.
    """
    payment: Any = session.execute(_PAYMENT, {"id": checkout.payment_id}).one()
    amount = checkout.refunded - payment.already
    if amount <= 0:
        return
    bonus = _share(payment, checkout.refunded) - _share(payment, payment.already)
    available: int = session.execute(_AVAILABLE, {"id": checkout.card_id}).scalar_one()
    taken = min(available, amount)
    bonus_taken = min(available - taken, bonus)
    refund = Refund(
        payment_id=checkout.payment_id,
        card_id=checkout.card_id,
        amount=amount,
        taken=taken,
        bonus_taken=bonus_taken,
        at=now,
    )
    session.add(refund)
    session.flush()
    common: dict[str, Any] = {
        "card_id": checkout.card_id,
        "kind": "refund",
        "reference": f"refund:{refund.id}",
        "actor": SYSTEM,
        "now": now,
    }
    for value, account in ((taken, ledger.SALES), (bonus_taken, ledger.BONUS)):
        if value:
            ledger.post(session, amount=-value, account=account, **common)
    told = {"amount": amount, "taken": taken + bonus_taken, "currency": checkout.currency}
    if taken < amount:
        # It was spent, or went to the card that replaced this one: that is for a person to see.
        alarms.raise_alarm(
            session,
            "refund_not_taken",
            f"payment:{checkout.ref}",
            now,
            serial=serial_of(checkout.card_id),
            **told,
        )
    add_event(session, checkout.card_id, now, "refund", str(SYSTEM), payment=checkout.payment_id, **told)


def _share(payment: Any, refunded: int) -> int:
    """How much of the bonus goes back with so much of the payment, rounded down."""
    return int(payment.bonus * refunded // payment.amount)


_PAYMENT = text(
    "SELECT amount, bonus,"
    " coalesce((SELECT sum(amount) FROM refund WHERE payment_id = payment.id), 0)::bigint AS already"
    " FROM payment WHERE id = :id"
)
_AVAILABLE = text("SELECT balance - held FROM card WHERE id = :id")
