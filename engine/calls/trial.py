"""Trial calls: an operator's own card is charged by a real call, with nobody on the line, before the operator's eyes.

Everything a call does happens: `start` and `hang_up` send what a switch would send, through a switch of our own that
has no key, so that nobody else can speak in its name. The card's password comes from its sealed copy and never leaves
the engine. A trial call that is left open is swept like any other. Whoever revokes that switch ends trials for good.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import exists, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from engine import idempotency
from engine.actor import Actor
from engine.calls import control
from engine.calls.live import find, milliseconds, must_find, rate_of
from engine.calls.rating import Rate, billed_seconds, charge
from engine.calls.standing import look, verdict
from engine.cards.access import Credentials
from engine.cards.queries import known_card
from engine.cards.serials import serial_of
from engine.db import Database, reruns
from engine.errors import Conflict, EngineError, InvalidInput
from engine.people import audit
from engine.people.switches import SwitchIdentity
from engine.permissions import command, require
from engine.refusal import Refusal
from engine.schema import Batch, BatchKey, Card, Switch
from engine.vault import Sealer, Secret, Vault

SWITCH = "Trial calls"
_ANSWERED_NORMALLY = 16
_MOST_LOOKED_AT = 10_000
_MOST_BATCHES = 50
_SCOPE = "trial.call"


@dataclass(frozen=True, slots=True)
class Trial:
    """A trial call that is to be made: by which switch, under which call_ref, with which card."""

    call_ref: str
    switch: SwitchIdentity
    serial: str
    credentials: Credentials = field(repr=False)


@dataclass(frozen=True, slots=True)
class TrialBatch:
    """A ready batch whose passwords can still be read. `denomination` in micro-units of `currency`."""

    id: int
    name: str
    denomination: int
    currency: str


@dataclass(frozen=True, slots=True)
class TrialView:
    """A trial call as it stands: so far while it is `live`, else what became of it. Amounts in micro-units.

    `seconds` of talk are billed as `billed_seconds` and cost `cost`; `next_at` is the second at which it costs more
    (None where it never will). `balance`: what the card has once this is paid. `swept`: nobody hung up.
    """

    call_ref: str
    serial: str
    destination: str
    destination_name: str
    currency: str
    live: bool
    seconds: int
    billed_seconds: int
    cost: int
    balance: int
    max_seconds: int
    next_at: int | None
    price_per_minute: int
    connect_fee: int
    first_increment: int
    increment: int
    grace: int
    explanation: str | None
    swept: bool


def batches(db: Database) -> tuple[TrialBatch, ...]:
    """The newest batches that a card can be taken from."""
    readable = exists().where(BatchKey.batch_id == Batch.id, BatchKey.wrapped.is_not(None))
    ready = select(Batch).where(Batch.ready_at.is_not(None), Batch.kind == "calling", readable)
    with db.begin() as session:
        rows = session.scalars(ready.order_by(Batch.id.desc()).limit(_MOST_BATCHES))
        return tuple(TrialBatch(row.id, row.name, row.denomination, row.currency) for row in rows)


def usable_card(db: Database, batch_id: int, now: datetime) -> str | None:
    """The serial of the first card of a batch that can pay for a call now; None where none of its first ones can."""
    with db.begin() as session:
        batch = session.get(Batch, batch_id)
        if batch is None:
            return None
        last = min(batch.last_id, batch.first_id + _MOST_LOOKED_AT - 1)
        card_id = session.scalar(
            select(Card.id)
            .where(
                Card.id.between(batch.first_id, last),
                Card.sealed.is_not(None),
                Card.released_at.is_not(None),
                Card.locked_at.is_(None),
                Card.damaged_at.is_(None),
                Card.balance > Card.held,
                Card.live_calls < Card.concurrency,
                Card.expires_at.is_(None) | (Card.expires_at > now),
            )
            .order_by(Card.id)
            .limit(1)
        )
    return None if card_id is None else serial_of(card_id)


def choose(db: Database, batch_id: int | None, serial: str | None, now: datetime) -> str:
    """The serial of the card that pays: the one that was named, else one of a batch.

    Raises `InvalidInput` (trial_nothing_chosen, trial_no_card).
    """
    if serial:
        return serial
    if batch_id is None:
        raise InvalidInput("trial_nothing_chosen", field="batch")
    found = usable_card(db, batch_id, now)
    if found is None:
        raise InvalidInput("trial_no_card", field="batch")
    return found


@command("trial.call")
@reruns
def prepare(
    db: Database,
    vault: Vault,
    *,
    serial: str,
    destination: str,
    caller: str | None,
    key: str,
    actor: Actor,
    now: datetime,
) -> Trial:
    """Take a card for a trial call: its password is read, and the trail keeps who did. Nothing is called yet.

    The same `key` with the same facts is the same call. Raises `InvalidInput` (bad_serial, card_not_found; field
    "serial"), `Conflict` (trial_no_password, switch_revoked, key_reused).
    """
    card_id = known_card(db, serial, "serial")
    asked = idempotency.fingerprint(str(actor), card_id, destination, caller)
    with db.begin() as session:
        credentials = _credentials(session, vault, card_id)
        switch = _switch(session, now)
        call_ref = _call_ref(actor, key)
        trial = Trial(call_ref, switch, serial_of(card_id), credentials)
        if idempotency.claim(session, _SCOPE, key, asked, now) is None:
            told = {"call_ref": call_ref, "destination": destination}
            audit.record(session, actor, "trial.call", f"card:{trial.serial}", now, **told)
            idempotency.keep(session, _SCOPE, key, {"call_ref": call_ref})
        return trial


def start(
    db: Database,
    vault: Vault,
    *,
    serial: str,
    destination: str,
    caller: str | None = None,
    key: str,
    actor: Actor,
    now: datetime,
) -> TrialView | Refusal:
    """Make a trial call that is answered at once; a `Refusal` where the card may not call, which leaves no trace.

    Granted is one slice, as where a switch asks again, so that no more is held. Raises what `prepare` raises.
    """
    require(actor, "trial.call")
    if not destination.isprintable():
        raise InvalidInput("control_character", field="destination")
    card_id = known_card(db, serial, "serial")
    if find(db, _known_switch(db), _call_ref(actor, key), now) is None:
        # Looked at first, so that what is mended in the form can be sent again under its key.
        standing = look(db, card_id, now, caller=caller)
        judged = None if standing is None else verdict(db, standing, destination)
        if isinstance(judged, Refusal):
            return judged
    trial = prepare(
        db,
        vault,
        serial=serial,
        destination=destination,
        caller=caller,
        key=key,
        actor=actor,
        now=now,
    )
    opened = control.authorize(
        db,
        vault,
        switch=trial.switch,
        call_ref=trial.call_ref,
        credentials=trial.credentials,
        caller=caller,
        destination=destination,
        access_number=None,
        one_shot=False,
        now=now,
    )
    if isinstance(opened, Refusal):
        return opened
    control.answer(db, switch=trial.switch, call_ref=trial.call_ref, now=now)
    return show(db, trial.call_ref, now)


def hang_up(db: Database, call_ref: str, actor: Actor, now: datetime) -> TrialView:
    """End a trial call after what was talked until now, never more than was granted. Ended already it stays so.

    Raises `NotFound` ("call_not_found") and `Forbidden`.
    """
    require(actor, "trial.call")
    switch = _known_switch(db)
    call = must_find(db, switch, call_ref, now)
    if call.live:
        talked_ms = milliseconds(now - (call.answered_at or now))
        duration_ms = max(0, min(talked_ms, call.granted_s * 1000))
        with suppress(Conflict):  # somebody hung up at the same moment, or it was swept: that counts
            control.end(
                db,
                switch=switch,
                call_ref=call_ref,
                duration_ms=duration_ms,
                cause=_ANSWERED_NORMALLY,
                now=now,
            )
    return show(db, call_ref, now)


def show(db: Database, call_ref: str, now: datetime) -> TrialView:
    """A trial call as it stands now. Raises `NotFound` ("call_not_found")."""
    call = must_find(db, _known_switch(db), call_ref, now)
    rate = rate_of(call)
    if call.live:
        talked = (now - (call.answered_at or now)) // timedelta(seconds=1)
        seconds = max(0, min(talked, call.granted_s))
        billed, cost = billed_seconds(rate, seconds), charge(rate, seconds)
        balance, explanation, swept = call.balance - cost, None, False
    else:
        ended = control.show(db, switch=_known_switch(db), call_ref=call_ref, now=now)
        seconds, billed = ended.duration_seconds or 0, ended.billed_seconds or 0
        cost, balance, explanation = ended.charged or 0, ended.balance, ended.explanation
        swept = "swept" in ended.flags
    return TrialView(
        call_ref=call.call_ref,
        serial=serial_of(call.card_id),
        destination=call.destination,
        destination_name=call.destination_name,
        currency=call.currency,
        live=call.live,
        seconds=seconds,
        billed_seconds=billed,
        cost=cost,
        balance=balance,
        max_seconds=call.granted_s,
        next_at=_next_at(rate, seconds, call.granted_s) if call.live else None,
        price_per_minute=rate.price_per_minute,
        connect_fee=rate.connect_fee,
        first_increment=rate.first_increment,
        increment=rate.increment,
        grace=rate.grace,
        explanation=explanation,
        swept=swept,
    )


def _next_at(rate: Rate, seconds: int, granted_s: int) -> int | None:
    """The second of talk at which the next block begins to be billed."""
    billed = billed_seconds(rate, seconds)
    at = max(billed, rate.grace) + 1
    return at if at <= granted_s else None


def _credentials(session: Session, vault: Vault, card_id: int) -> Credentials:
    card = session.get_one(Card, card_id)
    key = session.get(BatchKey, card.batch_id)
    if card.sealed is None or key is None or key.wrapped is None:
        raise Conflict("trial_no_password")
    try:
        sealer = Sealer(vault.unwrap(key.wrapped, key.master), card.batch_id)
        password = Secret(sealer.open(card.id, card.sealed).decode())
    except EngineError:
        raise Conflict("trial_no_password") from None
    return Credentials(card.number, password)


def _switch(session: Session, now: datetime) -> SwitchIdentity:
    """Our own switch, made when it is first needed."""
    made = insert(Switch).values(name=SWITCH, trusted_callers=False, created_at=now)
    session.execute(made.on_conflict_do_nothing())
    row = session.scalars(select(Switch).where(Switch.name == SWITCH)).one()
    if row.revoked_at is not None:
        raise Conflict("switch_revoked", name=SWITCH)
    return SwitchIdentity(row.id, row.name, row.trusted_callers)


def _call_ref(actor: Actor, key: str) -> str:
    return f"trial-{idempotency.fingerprint(str(actor), key).hex()[:20]}"


def _known_switch(db: Database) -> Any:
    with db.begin() as session:
        row = session.scalars(select(Switch).where(Switch.name == SWITCH)).one_or_none()
    return SwitchIdentity(0 if row is None else row.id, SWITCH, False)
