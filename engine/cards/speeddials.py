"""Short numbers of a card: 1 to 99 stand for telephone numbers that its holder keeps, in every call of the card."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from engine import settings
from engine.actor import Actor
from engine.cards.lifecycle import Changed, locked_card, tell
from engine.cards.serials import serial_of
from engine.db import Database, Statement, reruns
from engine.errors import InvalidInput
from engine.names import checked_name
from engine.permissions import command
from engine.phone import parse_destination
from engine.schema import SpeedDial

MOST = 99
_SHORT = re.compile(r"[1-9][0-9]?", re.ASCII)
_READ = Statement("SELECT destination FROM speed_dial WHERE card_id = %(card_id)s AND slot = %(slot)s")


@dataclass(frozen=True, slots=True)
class OwnDial:
    """A short number, and the destination (E.164 digits) and name that it stands for."""

    slot: int
    destination: str
    name: str | None


def own_dials(db: Database, card_id: int) -> tuple[OwnDial, ...]:
    """A card's short numbers in their order."""
    with db.begin() as session:
        rows = session.scalars(select(SpeedDial).where(SpeedDial.card_id == card_id).order_by(SpeedDial.slot))
        return tuple(OwnDial(row.slot, row.destination, row.name) for row in rows)


def meant(db: Database, card_id: int, dialled: str) -> str:
    """What was dialled, or the number that it is short for on this card."""
    if not _SHORT.fullmatch(dialled):
        return dialled
    with db.connection() as conn:
        row = _READ.one(conn, {"card_id": card_id, "slot": int(dialled)})
    return dialled if row is None else f"+{row.destination}"


@command("card.set_speed_dial")
@reruns
def set_speed_dial(
    db: Database,
    *,
    card_id: int,
    slot: int,
    destination: str,
    name: str | None = None,
    actor: Actor,
    now: datetime,
) -> Changed:
    """Keep a number under a short one (1 to 99), in the place of what was there.

    Raises `InvalidInput` ("slot_out_of_range"; "destination_invalid"; what is wrong with the name).
    """
    if not 1 <= slot <= MOST:
        raise InvalidInput("slot_out_of_range", field="slot", low=1, high=MOST)
    kept_name = checked_name(name) if name else None
    with db.begin() as session:
        locked_card(session, card_id)
        target = parse_destination(destination, settings.load(session).home_country or None)
        if target is None:
            raise InvalidInput("destination_invalid", field="destination")
        row = session.get(SpeedDial, (card_id, slot))
        if row is not None and (row.destination, row.name) == (target.e164, kept_name):
            return Changed(serial_of(card_id), False)
        if row is None:
            row = SpeedDial(card_id=card_id, slot=slot, created_at=now)
            session.add(row)
        row.destination, row.name = target.e164, kept_name
        tell(session, card_id, "set_speed_dial", actor, now, None, slot=slot, to=target.e164)
        return Changed(serial_of(card_id), True)


@command("card.remove_speed_dial")
@reruns
def remove_speed_dial(db: Database, *, card_id: int, slot: int, actor: Actor, now: datetime) -> Changed:
    """Let a short number stand for nothing."""
    with db.begin() as session:
        locked_card(session, card_id)
        row = session.get(SpeedDial, (card_id, slot))
        if row is not None:
            session.delete(row)
            tell(session, card_id, "remove_speed_dial", actor, now, None, slot=slot)
        return Changed(serial_of(card_id), row is not None)
