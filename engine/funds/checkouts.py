"""Recharges that a cardholder pays online: what we ask a payment service to collect, and what it tells us of it.

The service tells in its own time: late, twice, in any order. Each of its messages is one transaction here that locks
the card and its checkout, compares, and does what is left to do: the money counts once, what went back to the payer is
taken off once, and nothing that was paid is forgotten, though the card may take no money any more by then.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from engine import alarms, settings
from engine.actor import SYSTEM, Actor
from engine.cards.serials import serial_of
from engine.db import Database, reruns
from engine.errors import Conflict, InvalidInput, NotFound, Refused
from engine.funds import ledger, refunds
from engine.funds.recharges import lock_target, recharge_refusal, recharge_step
from engine.house import zone_of
from engine.idempotency import checked
from engine.money import MICROS
from engine.people import audit
from engine.permissions import command
from engine.schema import Checkout

ALARM = "payment_not_credited"
PAGE = 50


@dataclass(frozen=True, slots=True)
class CheckoutView:
    """A payment that was begun. Amounts in micro-units of `currency`; `refunded`: what went back to the payer in all.

    `url` is the service's page to pay on, once it is known; `problem` why the card could not take what was paid.
    """

    ref: str
    card_id: int
    serial: str
    amount: int
    currency: str
    language: str
    url: str | None
    created_at: datetime
    closed_at: datetime | None
    paid_at: datetime | None
    payment_id: int | None
    problem: str | None
    refunded: int

    @property
    def state(self) -> str:
        """`refunded` (all of it), `credited`, `owed` (paid, and the card could not take it), `closed` or `open`."""
        if self.refunded == self.amount:
            return "refunded"
        if self.payment_id is not None:
            return "credited"
        if self.paid_at is not None:
            return "owed"
        return "open" if self.closed_at is None else "closed"


@command("checkout.begin")
@reruns
def begin(
    db: Database, *, card_id: int, amount: int, language: str, key: str, actor: Actor, now: datetime
) -> CheckoutView:
    """Begin a payment of `amount` micro-units onto a card; the same `key` of the card gets the same one.

    Raises `InvalidInput` ("amount_out_of_range" with `low` and `high` in micro-units, bad_idempotency_key), `Refused`
    as a recharge would now, `Conflict` ("key_reused") and `NotFound`.
    """
    with db.begin() as session:
        rules = settings.load(session)
        low, high = rules.online_least * MICROS, rules.online_most * MICROS
        if not low <= amount <= high:
            raise InvalidInput("amount_out_of_range", field="amount", low=low, high=high)
        card = lock_target(session, card_id)
        known = session.scalar(
            select(Checkout).where(Checkout.card_id == card_id, Checkout.idempotency_key == checked(key))
        )
        if known is not None:
            if known.amount != amount:
                raise Conflict("key_reused")
            return _view(known)
        refusal = recharge_refusal(card, now, zone_of(rules))
        if refusal is not None:
            raise Refused(refusal, serial=serial_of(card_id))
        row = Checkout(
            ref=f"pay_{secrets.token_hex(12)}",
            card_id=card_id,
            amount=amount,
            currency=card.currency,
            language=language,
            idempotency_key=key,
            created_at=now,
            refunded=0,
        )
        session.add(row)
        told: dict[str, Any] = {"amount": amount, "currency": card.currency, "checkout": row.ref}
        audit.record(session, actor, "checkout.begin", f"card:{serial_of(card_id)}", now, **told)
        session.flush()
        return _view(row)


@reruns
def opened(db: Database, ref: str, provider_ref: str, url: str) -> None:
    """Keep where the service collects it; what is kept already stays."""
    with db.begin() as session:
        session.execute(
            update(Checkout)
            .where(Checkout.ref == ref, Checkout.url.is_(None))
            .values(provider_ref=provider_ref, url=url)
        )


def find(db: Database, card_id: int, ref: str) -> CheckoutView:
    """A card's own payment. Raises `NotFound` ("payment_not_found"), for another card's, too."""
    with db.begin() as session:
        row = session.scalar(select(Checkout).where(Checkout.ref == ref, Checkout.card_id == card_id))
        if row is None:
            raise NotFound("payment_not_found")
        return _view(row)


def find_any(db: Database, ref: str) -> CheckoutView:
    """A payment of any card, for the operator. Raises `NotFound` as `find`."""
    with db.begin() as session:
        row = session.scalar(select(Checkout).where(Checkout.ref == ref))
        if row is None:
            raise NotFound("payment_not_found")
        return _view(row)


@reruns
def paid(
    db: Database, ref: str, *, provider_ref: str, amount: int, currency: str, now: datetime
) -> CheckoutView | None:
    """What the service collected, in micro-units: onto the card, once.

    Where the card can take no money any more it stays owed, with an alarm. None, with an alarm, where we asked for no
    such payment or for another amount.
    """
    with db.begin() as session:
        row = _locked(session, ref)
        if row is None or (row.amount, row.currency) != (amount, currency):
            told: dict[str, Any] = {"amount": amount, "currency": currency, "checkout": ref[:80]}
            alarms.raise_alarm(session, "payment_unknown", f"payment:{provider_ref[:80]}", now, **told)
            return None
        if row.paid_at is None:
            row.paid_at, row.provider_ref = now, row.provider_ref or provider_ref
        if row.payment_id is None and row.refunded < row.amount:
            _credit(session, row, SYSTEM, now)
        return _view(row)


@reruns
def closed(db: Database, ref: str, now: datetime) -> None:
    """The payer gave up, or their bank refused. A payment that comes nevertheless counts all the same."""
    with db.begin() as session:
        session.execute(
            update(Checkout)
            .where(Checkout.ref == ref, Checkout.closed_at.is_(None), Checkout.paid_at.is_(None))
            .values(closed_at=now)
        )


@reruns
def refunded(db: Database, ref: str, total: int, currency: str, now: datetime) -> CheckoutView | None:
    """What of a payment went back to the payer in all by now, in micro-units; what is new of it is taken off the card.

    It may be told before the payment itself; of one that went back whole before it came nothing is credited. None where
    we know of no such payment; with an alarm where it is told in another currency.
    """
    with db.begin() as session:
        row = _locked(session, ref)
        if row is None:
            return None
        if row.currency != currency:
            told: dict[str, Any] = {"amount": total, "currency": currency, "checkout": ref[:80]}
            alarms.raise_alarm(session, "payment_unknown", f"refund:{ref[:80]}", now, **told)
            return None
        row.refunded = max(row.refunded, min(total, row.amount))
        if row.payment_id is not None:
            refunds.settle(session, row, now)
        elif row.refunded == row.amount:
            alarms.clear_alarm(session, ALARM, f"payment:{ref}", SYSTEM, now)
        return _view(row)


@command("checkout.credit")
@reruns
def credit(db: Database, *, ref: str, actor: Actor, now: datetime) -> CheckoutView:
    """Try again to put onto its card what was paid; one that was credited meanwhile stays so.

    Raises `NotFound` ("payment_not_found"), `Conflict` ("payment_not_owed") where nothing was paid or all went back,
    and `Refused` as a recharge would.
    """
    with db.begin() as session:
        row = _locked(session, ref)
        if row is None:
            raise NotFound("payment_not_found")
        if row.payment_id is not None:
            return _view(row)
        if row.paid_at is None or row.refunded == row.amount:
            raise Conflict("payment_not_owed")
        serial = serial_of(row.card_id)
        refusal = _credit(session, row, actor, now)
        if refusal is not None:
            raise Refused(refusal, serial=serial)
        told: dict[str, Any] = {"amount": row.amount, "currency": row.currency, "checkout": row.ref}
        audit.record(session, actor, "checkout.credit", f"card:{serial}", now, **told)
        return _view(row)


def list_checkouts(
    db: Database, *, owed: bool = False, before: int | None = None, limit: int = PAGE
) -> tuple[tuple[CheckoutView, ...], int | None]:
    """Payments, the newest first, and where the next page begins; `owed`: only those that their card could not take."""
    wanted = select(Checkout).order_by(Checkout.id.desc()).limit(limit + 1)
    if owed:
        wanted = wanted.where(
            Checkout.paid_at.is_not(None), Checkout.payment_id.is_(None), Checkout.refunded < Checkout.amount
        )
    if before is not None:
        wanted = wanted.where(Checkout.id < before)
    with db.begin() as session:
        rows = session.scalars(wanted).all()
        return tuple(map(_view, rows[:limit])), rows[limit - 1].id if len(rows) > limit else None


def _locked(session: Session, ref: str) -> Checkout | None:
    """The checkout with its card locked before it, in the order of all money."""
    card_id = session.scalar(select(Checkout.card_id).where(Checkout.ref == ref))
    if card_id is None:
        return None
    ledger.lock_cards(session, card_id)
    return session.scalar(select(Checkout).where(Checkout.ref == ref).with_for_update())


def _credit(session: Session, row: Checkout, actor: Actor, now: datetime) -> str | None:
    """Put a paid one onto its card; where that can't be, keep why and tell the operator. Returns why."""
    card: Any = lock_target(session, row.card_id)
    try:
        with session.begin_nested():
            posted = recharge_step(
                session,
                card,
                row.amount,
                method="online",
                actor=actor,
                now=now,
                zone=zone_of(settings.load(session)),
                key=f"checkout:{row.ref}",
            )
    except (Refused, InvalidInput) as error:
        row.problem = error.code
        told: dict[str, Any] = {
            "amount": row.amount,
            "currency": row.currency,
            "serial": serial_of(row.card_id),
        }
        alarms.raise_alarm(session, ALARM, f"payment:{row.ref}", now, reason=row.problem, **told)
        return row.problem
    row.payment_id, row.problem = posted.payment_id, None
    alarms.clear_alarm(session, ALARM, f"payment:{row.ref}", actor, now)
    session.flush()
    refunds.settle(session, row, now)
    return None


def _view(row: Checkout) -> CheckoutView:
    return CheckoutView(
        row.ref,
        row.card_id,
        serial_of(row.card_id),
        row.amount,
        row.currency,
        row.language,
        row.url,
        row.created_at,
        row.closed_at,
        row.paid_at,
        row.payment_id,
        row.problem,
        row.refunded,
    )
