"""What an operator does to one card: lock, unlock, damage, extend, another password, more calls at once.

Every command keeps who did it and why, in the audit trail and on the card's timeline, in its own transaction. Calling
one twice changes nothing the second time. A live call is never cut here: it runs to the end of what was granted.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from engine import idempotency, limits, settings
from engine.actor import Actor
from engine.cards.access import counter_key
from engine.cards.serials import serial_of
from engine.cards.status import grace_end, validity_end
from engine.cards.timeline import add_event, checked_reason
from engine.cards.tokens import log_out
from engine.db import Database, reruns
from engine.errors import Conflict, InvalidInput, NotFound, Refused
from engine.house import zone_of
from engine.people import audit
from engine.permissions import command
from engine.schema import Batch, Binding, Card, KnownSource, PendingBinding
from engine.vault import Secret, Vault

MOST_DAYS = 36_500
MOST_CALLS = 1_000


@dataclass(frozen=True, slots=True)
class Changed:
    """What a command did: `changed` is False where the card was so already."""

    serial: str
    changed: bool


@dataclass(frozen=True, slots=True)
class Extended:
    """A card and the instant (UTC) at which it now expires."""

    serial: str
    expires_at: datetime


@command("card.lock")
@reruns
def lock(db: Database, *, card_id: int, reason: str, actor: Actor, now: datetime) -> Changed:
    """Lock a card: no call, no balance, no recharge, and whoever used it is logged out.

    Who locked it and why is kept from the first lock on; only a lock that wrong passwords brought, and that the right
    one could lift, gives way to this one. Raises `Refused` ("damaged"), `InvalidInput` ("reason_missing"), `NotFound`.
    """
    why = checked_reason(reason, required=True)
    with db.begin() as session:
        card = locked_card(session, card_id)
        _refuse_damaged(card)
        changed = card.locked_at is None or card.locked_by == "failures"
        if changed:
            card.locked_at, card.locked_by, card.lock_reason = now, str(actor), why
            log_out(session, card_id)
            tell(session, card_id, "lock", actor, now, why)
        return Changed(serial_of(card_id), changed)


@command("card.unlock")
@reruns
def unlock(
    db: Database, vault: Vault, *, card_id: int, reason: str | None = None, actor: Actor, now: datetime
) -> Changed:
    """Unlock a card, whoever locked it, and forget the wrong passwords that were counted for its number.

    It shows the status that its other facts give: expired, where its validity passed meanwhile. Raises `Refused`
    ("damaged") and `NotFound`.
    """
    why = checked_reason(reason)
    with db.begin() as session:
        card = locked_card(session, card_id)
        _refuse_damaged(card)
        changed = card.locked_at is not None
        if changed:
            was = {"locked_by": card.locked_by, "lock_reason": card.lock_reason}
            card.locked_at = card.locked_by = card.lock_reason = None
            _forget_failures(session, vault, card)
            tell(session, card_id, "unlock", actor, now, why, **was)
        return Changed(serial_of(card_id), changed)


@command("card.damage")
@reruns
def damage(db: Database, *, card_id: int, reason: str, actor: Actor, now: datetime) -> Changed:
    """Void a card for good (lost, stolen, compromised). What is left on it stays, for a replacement.

    Its callers are PINless no more, so that they can be so for another card. Raises `InvalidInput`
    ("reason_missing") and `NotFound`.
    """
    why = checked_reason(reason, required=True)
    with db.begin() as session:
        card = locked_card(session, card_id)
        changed = card.damaged_at is None
        if changed:
            void(session, card, actor, now, why or "")
            tell(session, card_id, "damage", actor, now, why)
        return Changed(serial_of(card_id), changed)


@command("card.extend")
def extend(
    db: Database,
    *,
    card_id: int,
    days: int,
    key: str | None = None,
    reason: str | None = None,
    actor: Actor,
    now: datetime,
) -> Extended:
    """Let a card expire `days` days later than it would, or, where it has expired, `days` days after today.

    It ends at the end of that day in the operator's zone. The same `key` counts once. Raises `Conflict`
    ("nothing_to_extend": it has no end yet; "key_reused"), `Refused` ("damaged"), `InvalidInput` and `NotFound`.
    """
    check_whole("days", days, MOST_DAYS)
    why = checked_reason(reason)
    return _extend(db, card_id, days, key or idempotency.new_key(), why, actor, now)


@reruns
def _extend(
    db: Database, card_id: int, days: int, key: str, reason: str | None, actor: Actor, now: datetime
) -> Extended:
    asked = idempotency.fingerprint(card_id, days, reason)
    with db.begin() as session:
        first = idempotency.claim(session, "extend", key, asked, now)
        if first is not None:
            return Extended(first["serial"], datetime.fromisoformat(first["expires_at"]))
        card = locked_card(session, card_id)
        _refuse_damaged(card)
        if card.expires_at is None:
            raise Conflict("nothing_to_extend", serial=serial_of(card_id))
        zone = zone_of(settings.load(session))
        before = card.expires_at
        card.expires_at = max(grace_end(before, days, zone), validity_end(now, days, zone))
        answer = {"serial": serial_of(card_id), "expires_at": card.expires_at.isoformat()}
        told = {"days": days, "before": before.isoformat(), "expires_at": answer["expires_at"]}
        tell(session, card_id, "extend", actor, now, reason, **told)
        idempotency.keep(session, "extend", key, answer)
        return Extended(answer["serial"], card.expires_at)


@command("card.set_concurrency")
@reruns
def set_concurrency(
    db: Database, *, card_id: int, calls: int, reason: str | None = None, actor: Actor, now: datetime
) -> Changed:
    """Let a card make up to `calls` calls at once. Calls that are live go on. Raises `InvalidInput` and `NotFound`."""
    check_whole("calls", calls, MOST_CALLS)
    why = checked_reason(reason)
    with db.begin() as session:
        card = locked_card(session, card_id)
        before, card.concurrency = card.concurrency, calls
        if before != calls:
            tell(session, card_id, "set_concurrency", actor, now, why, before=before, calls=calls)
        return Changed(serial_of(card_id), before != calls)


@command("card.reset_password")
@reruns
def reset_password(
    db: Database,
    vault: Vault,
    *,
    card_id: int,
    reason: str | None = None,
    key: str | None = None,
    actor: Actor,
    now: datetime,
) -> Secret:
    """Give a card a new random password, as long as its batch's, and return it: this once, nobody can read it again.

    The sealed copy of the old one is deleted; tokens and sessions die at once, every phone asks for the new one, and
    wrong passwords are forgotten. The same `key` makes no second one, and can't tell the first again. Raises `Conflict`
    ("password_told"), `Refused` ("damaged") and `NotFound`.
    """
    why = checked_reason(reason)
    with db.begin() as session:
        if key is not None:
            asked = idempotency.fingerprint(card_id)
            if idempotency.claim(session, "reset_password", key, asked, now) is not None:
                raise Conflict("password_told", serial=serial_of(card_id))
        card = locked_card(session, card_id)
        _refuse_damaged(card)
        length = session.get_one(Batch, card.batch_id).password_length
        password = Secret("".join(secrets.choice("0123456789") for _ in range(length)))
        card.digest, card.pepper = vault.digest(card.number, password.value), vault.pepper
        card.sealed = None
        log_out(session, card_id)
        ask_again(session, card_id)
        _forget_failures(session, vault, card)
        tell(session, card_id, "reset_password", actor, now, why)
        return password


# --- steps that commands on one card share ---


def ask_again(session: Session, card_id: int) -> None:
    """Have every phone of a card ask for its password, and forget those that wait."""
    session.execute(update(Binding).where(Binding.card_id == card_id).values(pinless=False))
    session.execute(delete(PendingBinding).where(PendingBinding.card_id == card_id))


def locked_card(session: Session, card_id: int) -> Card:
    """The card, its row locked until the transaction ends (as calls lock it, too).

    Raises `NotFound` ("card_not_found"), and `Conflict` ("batch_not_ready", "batch_discarded") for a card that has
    not come to be yet.
    """
    statement = select(Card, Batch).join(Batch, Card.batch_id == Batch.id).where(Card.id == card_id)
    row = session.execute(statement.with_for_update(of=Card, key_share=True)).one_or_none()
    if row is None:
        raise NotFound("card_not_found")
    card: Card = row[0]
    batch: Batch = row[1]
    if batch.discarded_at is not None:
        raise Conflict("batch_discarded", name=batch.name)
    if batch.ready_at is None:
        raise Conflict("batch_not_ready", name=batch.name)
    return card


def void(session: Session, card: Card, actor: Actor, now: datetime, why: str) -> None:
    """Void a locked card: nobody gets in with it any more, and its callers are PINless on it no more."""
    card.damaged_at, card.damaged_by, card.damage_reason = now, str(actor), why
    ask_again(session, card.id)
    log_out(session, card.id)
    session.flush()


def tell(
    session: Session, card_id: int, verb: str, actor: Actor, now: datetime, reason: str | None, **data: Any
) -> None:
    """Write what was done to a card into the audit trail and onto its timeline."""
    audit.record(session, actor, f"card.{verb}", f"card:{serial_of(card_id)}", now, reason=reason, **data)
    told = data if reason is None else {**data, "reason": reason}
    add_event(session, card_id, now, verb, str(actor), **told)


def check_whole(field: str, value: int, high: int) -> None:
    """Raise `InvalidInput` (not_a_number, too_small, too_large) unless the value is a whole number from 1 to `high`."""
    if type(value) is not int:
        raise InvalidInput("not_a_number", field=field)
    if value < 1:
        raise InvalidInput("too_small", field=field, low=1)
    if value > high:
        raise InvalidInput("too_large", field=field, high=high)


def _refuse_damaged(card: Card) -> None:
    if card.damaged_at is not None:
        raise Refused("damaged", serial=serial_of(card.id))


def _forget_failures(session: Session, vault: Vault, card: Card) -> None:
    limits.count_success(session, counter_key(vault, card.number))
    for source in session.scalars(select(KnownSource.source).where(KnownSource.card_id == card.id)):
        limits.count_success(session, counter_key(vault, card.number, source))
