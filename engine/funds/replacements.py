"""A new card in the place of one that was lost, stolen or broken: what is on the old one goes to the new one.

What is available goes at once. What a live call holds stays until that call has ended; then its remainder follows
(`settle_due`). Each movement is a `card_transfer` and one entry on either card.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from engine import settings
from engine.actor import SYSTEM, Actor
from engine.cards.lifecycle import locked_card, void
from engine.cards.serials import serial_of
from engine.cards.status import grace_end, validity_end
from engine.cards.timeline import add_event, checked_reason
from engine.db import Database, reruns
from engine.errors import Conflict, InvalidInput, Refused
from engine.funds import ledger
from engine.funds.recharges import balance_of
from engine.funds.transfers import check_room, move
from engine.house import zone_of
from engine.people import audit
from engine.permissions import command
from engine.schema import Batch, Binding, Card, Replacement


@dataclass(frozen=True, slots=True)
class Replaced:
    """A replacement as it was made: what went to the new card at once, what live calls still held on the old one.

    Amounts in micro-units of `currency`; `expires_at` is when the new card expires. `repeated`: it had been made
    before, and nothing was moved now; `balance_now` is what the new card has. Neither is part of what is compared.
    """

    old_serial: str
    new_serial: str
    currency: str
    amount: int
    held: int
    expires_at: datetime | None
    repeated: bool = field(default=False, compare=False)
    balance_now: int = field(default=0, compare=False)


@command("card.replace")
@reruns
def replace_card(
    db: Database,
    *,
    old_id: int,
    new_id: int,
    reason: str,
    move_callers: bool = False,
    actor: Actor,
    now: datetime,
) -> Replaced:
    """Put the card `new_id` in the place of `old_id`, which is voided by it where it wasn't yet, for good.

    The new card must be released, neither void, locked nor expired, no voucher, and of the same currency. What is on it
    stays. The customer loses no time: the new card expires when the old one would have, where that is later than its
    own end (or than the end that its first use now would give it); where the old one has no end, neither has the new
    one. With `move_callers` the callers that are bound to the old card are bound to the new one, as far as its batch
    allows. Auto-recharge goes with it. The old card may have expired while its grace lasts.

    Asking again for the same two cards changes nothing. Raises `Conflict` ("already_replaced"), `Refused`
    (not_activated, damaged, locked, expired, voucher_not_allowed, currency_mismatch), `InvalidInput` (reason_missing,
    same_card) and `NotFound`.
    """
    why = checked_reason(reason, required=True)
    if old_id == new_id:
        raise InvalidInput("same_card", field="new")
    with db.begin() as session:
        ledger.lock_cards(session, old_id, new_id)
        old, new = locked_card(session, old_id), locked_card(session, new_id)
        known = session.get(Replacement, old_id)
        if known is not None:
            if known.new_id != new_id:
                raise Conflict("already_replaced", serial=serial_of(known.new_id))
            return _made_before(session, known, old, new)
        zone = zone_of(settings.load(session))
        batches = session.get_one(Batch, old.batch_id), session.get_one(Batch, new.batch_id)
        _check(session, old, new, batches, now, zone)
        expires_at = _keep_time(session, old, new, batches, now, zone)
        callers = _move_callers(session, old, new, batches[1], actor, now) if move_callers else 0
        if old.damaged_at is None:
            void(session, old, actor, now, why or "")
            add_event(session, old_id, now, "damage", str(actor), reason=why)
        amount, held = old.balance - old.held, old.held
        serials = {"old": serial_of(old_id), "new": serial_of(new_id)}
        told = {"amount": amount, "held": held, "currency": old.currency}
        session.add(
            Replacement(
                old_id=old_id,
                new_id=new_id,
                actor=str(actor),
                reason=why,
                at=now,
                settled_at=None if old.live_calls else now,
            )
        )
        session.flush()
        if amount:
            check_room(new.balance, amount)
            move(session, "replace", old_id, new_id, amount, actor, now, reason=why)
            _follow(session, new_id)
        _move_dials(session, old_id, new_id)
        _move_memberships(session, old_id, new_id, now)
        audit.record(
            session,
            actor,
            "card.replace",
            f"card:{serials['old']}",
            now,
            reason=why,
            new=serials["new"],
            callers=callers,
            **told,
        )
        add_event(session, old_id, now, "replaced", str(actor), by=serials["new"], reason=why, **told)
        add_event(session, new_id, now, "replaces", str(actor), card=serials["old"], reason=why, **told)
        return Replaced(
            serials["old"],
            serials["new"],
            old.currency,
            amount,
            held,
            expires_at,
            balance_now=balance_of(session, new_id),
        )


def _made_before(session: Session, known: Replacement, old: Card, new: Card) -> Replaced:
    first = session.execute(
        text(
            "SELECT data FROM card_event WHERE card_id = :old AND kind = 'replaced' AND data ->> 'by' = :new"
            " ORDER BY id LIMIT 1"
        ),
        {"old": old.id, "new": serial_of(new.id)},
    ).scalar_one()
    return Replaced(
        serial_of(old.id),
        serial_of(new.id),
        old.currency,
        first["amount"],
        first["held"],
        new.expires_at,
        repeated=True,
        balance_now=new.balance,
    )


def _check(
    session: Session, old: Card, new: Card, batches: tuple[Batch, Batch], now: datetime, zone: ZoneInfo
) -> None:
    was, will = batches
    for card, batch in ((old, was), (new, will)):
        if card.released_at is None:
            raise Refused("not_activated", serial=serial_of(card.id))
        if batch.kind == "voucher":
            raise Refused("voucher_not_allowed", serial=serial_of(card.id))
    if old.expires_at is not None and grace_end(old.expires_at, was.grace_days, zone) <= now:
        raise Refused("expired", serial=serial_of(old.id))
    if new.damaged_at is not None:
        raise Refused("damaged", serial=serial_of(new.id))
    if new.locked_at is not None:
        raise Refused("locked", serial=serial_of(new.id))
    if new.expires_at is not None and new.expires_at <= now:
        raise Refused("expired", serial=serial_of(new.id))
    if old.currency != new.currency:
        raise Refused("currency_mismatch", serial=serial_of(new.id))


def _keep_time(
    session: Session, old: Card, new: Card, batches: tuple[Batch, Batch], now: datetime, zone: ZoneInfo
) -> datetime | None:
    """Let the new card expire no sooner than the old one would have; returns when it does."""
    was, will = batches
    if new.expires_at is None and (new.first_used_at is not None or will.validity_days is None):
        return None  # it never expires
    old_end = old.expires_at
    if old_end is None and old.first_used_at is None and was.validity_days is not None:
        old_end = validity_end(now, was.validity_days, zone)  # its first use could have been now
    new_end = new.expires_at or validity_end(now, will.validity_days or 0, zone)
    if old_end is None:
        # Nor must a first use begin a validity: it counts as used from now on.
        new.expires_at, new.first_used_at = None, new.first_used_at or now
    elif old_end > new_end:
        new.expires_at = old_end
    session.flush()
    return new.expires_at


def _move_callers(session: Session, old: Card, new: Card, batch: Batch, actor: Actor, now: datetime) -> int:
    """Bind the old card's callers to the new one, the first ones first; returns how many."""
    if batch.binding == "none" and not batch.pinless:
        return 0
    there = set(session.scalars(select(Binding.caller).where(Binding.card_id == new.id)))
    room = max(1, batch.max_bound) - len(there)
    mine = select(Binding).where(Binding.card_id == old.id).order_by(Binding.created_at, Binding.caller)
    moved = 0
    for binding in list(session.scalars(mine)):
        pinless, binding.pinless = binding.pinless and batch.pinless, False
        session.flush()  # a caller is PINless for one card at a time
        if moved < room and binding.caller not in there:
            moved += 1
            bound = {"caller": binding.caller, "pinless": pinless}
            session.add(Binding(card_id=new.id, created_at=now, created_by=str(actor), **bound))
            add_event(session, new.id, now, "bind", str(actor), **bound)
    return moved


def _move_dials(session: Session, old_id: int, new_id: int) -> None:
    """The old card's short numbers go on with the new one, but where that has its own."""
    session.execute(
        text(
            "INSERT INTO speed_dial (card_id, slot, destination, name, created_at)"
            " SELECT :new, slot, destination, name, created_at FROM speed_dial WHERE card_id = :old"
            " ON CONFLICT DO NOTHING"
        ),
        {"old": old_id, "new": new_id},
    )


def _move_memberships(session: Session, old_id: int, new_id: int, now: datetime) -> None:
    session.execute(
        text(
            "WITH gone AS (DELETE FROM auto_recharge_member WHERE card_id = :old RETURNING rule_id)"
            " INSERT INTO auto_recharge_member (card_id, rule_id, since) SELECT :new, rule_id, :now FROM gone"
            " ON CONFLICT DO NOTHING"
        ),
        {"old": old_id, "new": new_id, "now": now},
    )


# --- what came free later ---

_FREE = text(
    """
    SELECT r.old_id, r.new_id FROM replacement r JOIN card c ON c.id = r.old_id
    WHERE r.settled_at IS NULL AND (c.balance > c.held OR c.live_calls = 0) ORDER BY r.old_id
    """
)


def settle_due(db: Database, now: datetime) -> int:
    """Move what came free on replaced cards since, and close those whose calls have all ended; returns how many moved.

    May be run by many at once, killed, and run again. One look into an index of the open ones where nothing is due.
    """
    return sum(_settle(db, row.old_id, row.new_id, now) for row in _free(db))


@reruns
def _free(db: Database) -> Sequence[Any]:
    with db.begin() as session:
        return session.execute(_FREE).all()


@reruns
def _settle(db: Database, old_id: int, new_id: int, now: datetime) -> int:
    with db.begin() as session:
        ledger.lock_cards(session, old_id, new_id)
        free, live = session.execute(
            text("SELECT balance - held, live_calls FROM card WHERE id = :id"), {"id": old_id}
        ).one()
        open_ = session.execute(
            text("SELECT 1 FROM replacement WHERE old_id = :id AND settled_at IS NULL"), {"id": old_id}
        ).one_or_none()
        if open_ is None:
            return 0  # somebody else did it meanwhile
        if free:
            move(session, "replace", old_id, new_id, free, SYSTEM, now)
            told: dict[str, Any] = {"amount": free}
            add_event(session, old_id, now, "replaced", "system", by=serial_of(new_id), **told)
            add_event(session, new_id, now, "replaces", "system", card=serial_of(old_id), **told)
            _follow(session, new_id)
        if not live:
            session.execute(
                text("UPDATE replacement SET settled_at = :now WHERE old_id = :id"),
                {"id": old_id, "now": now},
            )
        return int(bool(free))


def reopen(session: Session, card_id: int) -> None:
    """A replaced card got something after all (a late end of call gave back): let it follow to the new card."""
    session.execute(
        text("UPDATE replacement SET settled_at = NULL WHERE old_id = :id AND settled_at IS NOT NULL"),
        {"id": card_id},
    )


_follow = reopen  # the new card may have been replaced in its turn
