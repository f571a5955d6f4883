"""The phones that a cardholder registers for their card, by themselves.

A phone that they add waits: for a day it is let through what the binding forbids, with the card's password, and once a
trusted switch saw the card come from there with its password it is bound (`engine.cards.authentication.admit`). So
nobody binds a phone that they don't hold. A phone becomes PINless at once only where it was bound by staff or through
a trusted switch; else it waits for the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, func, select, text
from sqlalchemy.orm import Session

from engine import settings
from engine.actor import Actor
from engine.cards.authentication import take_turns
from engine.cards.lifecycle import Changed, locked_card, tell
from engine.cards.serials import serial_of
from engine.db import Database, reruns
from engine.errors import Conflict, InvalidInput, NotFound, Refused
from engine.permissions import command
from engine.phone import parse_caller
from engine.schema import Batch, Binding, Card, PendingBinding, Switch

WAITS = timedelta(hours=24)
"""How long a phone that was added waits for its first call."""


@dataclass(frozen=True, slots=True)
class OwnPhone:
    """A phone of a card: its caller (E.164 digits), bound since `bound_at` or, where that is None, waiting.

    `waits_until`: until when a first call must come, for the phone itself or for what it is to be: PINless.
    """

    caller: str
    pinless: bool
    bound_at: datetime | None
    waits_until: datetime | None


@dataclass(frozen=True, slots=True)
class OwnPhones:
    """The phones of a card; `room`: how many it may have, 0 where its batch binds nobody."""

    phones: tuple[OwnPhone, ...]
    room: int

    @property
    def full(self) -> bool:
        """Whether no more can be added."""
        return len(self.phones) >= self.room


def own_phones(db: Database, card_id: int, now: datetime) -> OwnPhones:
    """A card's phones, the bound ones first, each in the order in which they came. Raises `NotFound`."""
    with db.begin() as session:
        card = session.get(Card, card_id)
        if card is None:
            raise NotFound("card_not_found")
        batch = session.get_one(Batch, card.batch_id)
        waiting = {
            one.caller: one
            for one in session.scalars(
                select(PendingBinding)
                .where(PendingBinding.card_id == card_id, PendingBinding.expires_at > now)
                .order_by(PendingBinding.created_at, PendingBinding.caller)
            )
        }
        bound = session.scalars(
            select(Binding).where(Binding.card_id == card_id).order_by(Binding.created_at, Binding.caller)
        )
        phones = []
        for one in bound:
            wish = waiting.pop(one.caller, None)
            until = None if wish is None or one.pinless else wish.expires_at
            phones.append(OwnPhone(one.caller, one.pinless, one.created_at, until))
        phones += [OwnPhone(one.caller, one.pinless, None, one.expires_at) for one in waiting.values()]
        return OwnPhones(tuple(phones), _room(batch))


@command("card.add_phone")
@reruns
def add_phone(
    db: Database, *, card_id: int, caller: str, pinless: bool = False, actor: Actor, now: datetime
) -> Changed:
    """Let a phone wait to be bound, for 24 hours from now; `pinless`: it is then to be enough alone.

    Raises `InvalidInput` ("bad_caller"), `Refused` ("damaged"), and `Conflict`: "binding_off", "pinless_off" where the
    batch says so, "binding_full" (`high`) where bound and waiting ones are as many as may be, "phone_known".
    """
    with db.begin() as session:
        card, batch = _card(session, card_id)
        e164 = parse_caller(caller, settings.load(session).home_country or None)
        if e164 is None:
            raise InvalidInput("bad_caller", field="caller", value=caller[:40])
        if pinless and not batch.pinless:
            raise Conflict("pinless_off", name=batch.name)
        _drop_late(session, card.id, now)
        if session.get(Binding, (card.id, e164)) is not None:
            raise Conflict("phone_known")
        waiting = session.get(PendingBinding, (card.id, e164))
        if waiting is not None and waiting.pinless == pinless:
            _wait(session, card.id, e164, pinless, now)  # its day begins anew
            return Changed(serial_of(card.id), False)
        if waiting is None:
            _check_room(session, card.id, batch)
        _wait(session, card.id, e164, pinless, now)
        tell(session, card.id, "add_phone", actor, now, None, caller=e164, pinless=pinless)
        return Changed(serial_of(card.id), True)


@command("card.remove_phone")
@reruns
def remove_phone(db: Database, *, card_id: int, caller: str, actor: Actor, now: datetime) -> Changed:
    """Take a phone off the card, bound or waiting; `caller` in E.164 digits. One that isn't there changes nothing."""
    with db.begin() as session:
        locked_card(session, card_id)
        gone = 0
        for table in (Binding, PendingBinding):
            found = session.get(table, (card_id, caller))
            if found is not None:
                session.delete(found)
                gone += 1
        if gone:
            tell(session, card_id, "remove_phone", actor, now, None, caller=caller)
        return Changed(serial_of(card_id), gone > 0)


@command("card.set_pinless")
@reruns
def set_pinless(
    db: Database, *, card_id: int, caller: str, pinless: bool, actor: Actor, now: datetime
) -> Changed:
    """Let a phone be enough alone, or ask for the password there; `caller` in E.164 digits.

    On at once only for a phone that staff or a trusted switch bound; another waits for a call through a trusted switch.
    Raises `NotFound` ("phone_not_found"), `Refused` ("damaged") and `Conflict`: "binding_off", "pinless_off",
    "pinless_elsewhere".
    """
    with db.begin() as session:
        card, batch = _card(session, card_id)
        if pinless and not batch.pinless:
            raise Conflict("pinless_off", name=batch.name)
        _drop_late(session, card.id, now)
        binding = session.get(Binding, (card.id, caller))
        waiting = session.get(PendingBinding, (card.id, caller))
        if binding is None and waiting is None:
            raise NotFound("phone_not_found")
        if binding is None or (pinless and not _is_sure(session, binding)):
            changed = waiting is None or waiting.pinless != pinless
            if changed:
                _wait(session, card.id, caller, pinless, now)
        else:
            changed = binding.pinless != pinless or waiting is not None
            if pinless and not binding.pinless:
                _check_elsewhere(session, card.id, caller)
            binding.pinless = pinless
            if waiting is not None:
                session.delete(waiting)
        if changed:
            tell(
                session,
                card.id,
                "set_pinless",
                actor,
                now,
                None,
                caller=caller,
                pinless=pinless,
            )
        return Changed(serial_of(card.id), changed)


def prune(db: Database, now: datetime) -> int:
    """Delete the phones that waited in vain; returns how many."""
    with db.begin() as session:
        result = session.execute(delete(PendingBinding).where(PendingBinding.expires_at <= now))
        return int(result.rowcount)  # type: ignore[attr-defined]


def _card(session: Session, card_id: int) -> tuple[Card, Batch]:
    card = locked_card(session, card_id)
    if card.damaged_at is not None:
        raise Refused("damaged", serial=serial_of(card_id))
    batch = session.get_one(Batch, card.batch_id)
    if not _room(batch):
        raise Conflict("binding_off", name=batch.name)
    return card, batch


def _room(batch: Batch) -> int:
    return 0 if batch.binding == "none" and not batch.pinless else max(1, batch.max_bound)


def _check_room(session: Session, card_id: int, batch: Batch) -> None:
    taken = 0
    for table in (Binding, PendingBinding):
        statement = select(func.count()).select_from(table).where(table.card_id == card_id)
        if table is PendingBinding:
            bound = select(Binding.caller).where(Binding.card_id == card_id)
            statement = statement.where(PendingBinding.caller.not_in(bound))
        taken += session.scalar(statement) or 0
    if taken >= _room(batch):
        raise Conflict("binding_full", high=_room(batch))


def _check_elsewhere(session: Session, card_id: int, caller: str) -> None:
    take_turns(session, caller)
    other = session.scalar(
        select(Binding.card_id).where(Binding.caller == caller, Binding.pinless, Binding.card_id != card_id)
    )
    if other is not None:
        raise Conflict("pinless_elsewhere")


def _is_sure(session: Session, binding: Binding) -> bool:
    """Whether staff or a switch that we trust said who calls there."""
    kind, _, number = binding.created_by.partition(":")
    if kind == "switch" and number.isdecimal():
        return bool(session.scalar(select(Switch.trusted_callers).where(Switch.id == int(number))))
    return kind != "cardholder"


def _wait(session: Session, card_id: int, caller: str, pinless: bool, now: datetime) -> None:
    session.execute(
        _WAIT, {"id": card_id, "caller": caller, "pinless": pinless, "now": now, "until": now + WAITS}
    )


_WAIT = text(
    """
    INSERT INTO pending_binding (card_id, caller, pinless, created_at, expires_at)
    VALUES (:id, :caller, :pinless, :now, :until)
    ON CONFLICT (card_id, caller) DO UPDATE SET pinless = :pinless, expires_at = :until
    """
)


def _drop_late(session: Session, card_id: int, now: datetime) -> None:
    session.execute(
        delete(PendingBinding).where(PendingBinding.card_id == card_id, PendingBinding.expires_at <= now)
    )
