"""Binding callers to a card, by hand. What a binding means is `engine.cards.authentication`'s to say."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from engine import settings
from engine.actor import Actor
from engine.cards.lifecycle import Changed, locked_card, tell
from engine.cards.serials import serial_of
from engine.cards.timeline import checked_reason
from engine.db import Database, reruns
from engine.errors import Conflict, InvalidInput, Refused
from engine.permissions import command
from engine.phone import parse_caller
from engine.schema import Batch, Binding


@command("card.bind")
@reruns
def bind(
    db: Database,
    *,
    card_id: int,
    caller: str,
    pinless: bool = False,
    reason: str | None = None,
    actor: Actor,
    now: datetime,
) -> Changed:
    """Bind a caller (international, or as dialled in the home country) to a card; `pinless`: it is enough alone.

    Binding it again only changes whether it is PINless. Raises `InvalidInput` ("bad_caller"), `Refused` ("damaged"),
    and `Conflict`: "binding_off" where its batch binds nobody, "pinless_off" where it is never PINless,
    "binding_full" (`high`), "pinless_elsewhere" (`serial`) since a caller is PINless for one card at a time.
    """
    why = checked_reason(reason)
    try:
        with db.begin() as session:
            e164 = _caller(session, caller)
            card = locked_card(session, card_id)
            if card.damaged_at is not None:
                raise Refused("damaged", serial=serial_of(card_id))
            batch = session.get_one(Batch, card.batch_id)
            _check_batch(batch, pinless)
            if pinless:
                _check_elsewhere(session, card_id, e164)
            known = session.get(Binding, (card_id, e164))
            if known is not None and known.pinless == pinless:
                return Changed(serial_of(card_id), False)
            if known is None:
                _check_room(session, card_id, batch)
                known = Binding(card_id=card_id, caller=e164, created_at=now, created_by=str(actor))
                session.add(known)
            known.pinless = pinless
            tell(session, card_id, "bind", actor, now, why, caller=e164, pinless=pinless)
            return Changed(serial_of(card_id), True)
    except IntegrityError as error:
        if "uq_binding_pinless" not in str(error.orig):
            raise
        raise Conflict("pinless_elsewhere") from None


@command("card.unbind")
@reruns
def unbind(
    db: Database, *, card_id: int, caller: str, reason: str | None = None, actor: Actor, now: datetime
) -> Changed:
    """Take a caller off a card. Raises `InvalidInput` ("bad_caller") and `NotFound`."""
    why = checked_reason(reason)
    with db.begin() as session:
        e164 = _caller(session, caller)
        locked_card(session, card_id)
        known = session.get(Binding, (card_id, e164))
        if known is not None:
            session.delete(known)
            tell(session, card_id, "unbind", actor, now, why, caller=e164)
        return Changed(serial_of(card_id), known is not None)


def _caller(session: Session, caller: str) -> str:
    e164 = parse_caller(caller, settings.load(session).home_country or None)
    if e164 is None:
        raise InvalidInput("bad_caller", field="caller", value=caller[:40])
    return e164


def _check_batch(batch: Batch, pinless: bool) -> None:
    if batch.binding == "none" and not batch.pinless:
        raise Conflict("binding_off", name=batch.name)
    if pinless and not batch.pinless:
        raise Conflict("pinless_off", name=batch.name)


def _check_elsewhere(session: Session, card_id: int, e164: str) -> None:
    other = session.scalar(
        select(Binding.card_id).where(Binding.caller == e164, Binding.pinless, Binding.card_id != card_id)
    )
    if other is not None:
        raise Conflict("pinless_elsewhere", serial=serial_of(other))


def _check_room(session: Session, card_id: int, batch: Batch) -> None:
    room = max(1, batch.max_bound)
    bound = session.scalar(select(func.count()).select_from(Binding).where(Binding.card_id == card_id)) or 0
    if bound >= room:
        raise Conflict("binding_full", high=room)
