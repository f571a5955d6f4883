"""The start of a call: prove the card, find the rate, hold the money.

One read and one guarded write; the arithmetic happens here between them. Where the write finds that the card changed
meanwhile, it changes nothing and all is looked at again. The rate is fixed here for the whole call and copied onto
it: what is announced is what is charged.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from psycopg import errors as pg

from engine.calls import live
from engine.calls import statements as sql
from engine.calls.decks import rate_table
from engine.calls.destinations import allowed
from engine.calls.ratetable import DeckRate
from engine.calls.rating import Rate, charge, max_seconds, with_fees
from engine.cards import authentication
from engine.cards.access import Credentials, Presented, SwitchLike, read_card
from engine.cards.serials import serial_of
from engine.cards.speeddials import meant
from engine.db import Database, reruns
from engine.errors import Conflict, EngineUnavailable
from engine.house import Access, House
from engine.phone import Destination, parse_destination
from engine.refusal import Refusal
from engine.vault import Vault, token_digest


@dataclass(frozen=True, slots=True)
class Authorized:
    """The answer to authorize. Amounts in micro-units of `currency`; prices include surcharges.

    `max_seconds`: granted, the switch cuts there unless progress extends it. `affordable_seconds`: what the balance
    pays in all, which the caller is told. `balance`: the card's, before this call.
    """

    call_ref: str
    serial: str
    max_seconds: int
    affordable_seconds: int
    price_per_minute: int
    connect_fee: int
    destination_name: str
    balance: int
    currency: str


@reruns
def authorize(
    db: Database,
    vault: Vault,
    *,
    switch: SwitchLike,
    call_ref: str,
    credentials: Credentials,
    caller: str | None,
    destination: str,
    access_number: str | None,
    one_shot: bool,
    now: datetime,
) -> Authorized | Refusal:
    """Prove the card, check its state, binding, concurrency and destination rules, find the rate and hold the money.

    The hold is exactly the charge of the granted seconds: all that is affordable up to the cap where `one_shot`, a
    slice otherwise. A repeated message gets the first answer, live or ended. A refused authorization keeps only its
    attempt, so that asking again asks anew. Raises `Conflict` ("call_ref_conflict") where this switch used the
    call_ref for another card, caller, destination, access number or `one_shot`.
    """
    asked = _Asked(call_ref, credentials, destination, one_shot)
    for _ in range(live.MAX_TURNS):
        with db.connection() as conn:
            presented, row = read_card(
                conn,
                db,
                vault,
                sql.AUTHORIZE_READ,
                switch=switch,
                credentials=credentials,
                caller=caller,
                access_number=access_number,
                now=now,
                call_ref=call_ref,
                switch_id=switch.id,
            )
        if row.live_id is not None and credentials.token is not None:
            # A token that a lock has killed meanwhile still proves a repetition of the call it opened.
            first = live.find(db, switch, call_ref, now)
            if first is not None and first.live and first.token == token_digest(credentials.token.value):
                return _first_answer(db, presented, first.card_id, asked, first)
        refusal = authentication.prove(db, vault, presented, row)
        if refusal is not None:
            authentication.note_refusal(db, presented, row, refusal, destination)
            return refusal
        judged = _judge(db, presented, row, asked) if row.live_id is None else None
        if isinstance(judged, Plan):
            answer = _open(db, presented, row, judged, asked)
            if answer is not None:
                return answer
        # Refused, changed since it was read, or a call_ref that is known: it may be a repetition.
        first = live.find(db, switch, call_ref, now)
        if first is not None:
            return _first_answer(db, presented, row.id, asked, first)
        if isinstance(judged, Refusal):
            authentication.note_refusal(db, presented, row, judged, destination)
            return judged
    raise EngineUnavailable("busy")


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the message says of the call, beside who makes it."""

    call_ref: str
    credentials: Credentials
    destination: str
    one_shot: bool


def affordable(rate: Rate, card: Any, access: Access, house: House) -> tuple[Rate, int]:
    """The rate with the surcharges that apply, and the seconds that what is available on the card buys."""
    rate = with_fees(rate, access.per_minute, access.per_call + card.post_call_fee)
    return rate, max_seconds(rate, card.balance - card.held, house.settings.call_cap_s)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a call would be: its destination, the rate with all fees, and what is granted."""

    destination: Destination
    found: DeckRate
    rate: Rate
    granted_s: int
    affordable_s: int


def _judge(db: Database, presented: Presented, row: Any, asked: _Asked) -> Plan | Refusal:
    """What a proven card may do: refused by its state or binding, or what the call would be."""
    refusal = authentication.state_refusal(row, presented, inquiry=False)
    refusal = refusal or authentication.binding_refusal(row, presented)
    # An empty card was shown with its right password all the same.
    if refusal is None or refusal.reason == "empty":
        refusal = authentication.admit(db, presented, row) or refusal
    return refusal or plan(db, presented, row, asked.destination, one_shot=asked.one_shot)


def plan(db: Database, presented: Presented, row: Any, destination: str, *, one_shot: bool) -> Plan | Refusal:
    """What a call of a card that may call would be now, or what forbids it. Writes nothing."""
    serial = serial_of(row.id)
    if row.live_calls >= row.concurrency:
        return Refusal("too_many_calls", serial=serial)
    target = parse_destination(meant(db, row.id, destination), presented.access.country)
    if target is None:
        return Refusal("destination_invalid", serial=serial)
    house = presented.house
    if not allowed(house.rules[row.destination_rules_id], target.groups, target.e164, house.groups):
        return Refusal("destination_barred", serial=serial)
    found = None
    if row.version_id is not None:
        found = rate_table(db, row.version_id).find(target.e164, presented.now)
    if found is None:
        return Refusal("destination_unknown", serial=serial)
    rate, affordable_s = affordable(found.rate, row, presented.access, house)
    if affordable_s == 0:
        return Refusal("insufficient_balance", serial=serial)
    slice_s = max(house.settings.slice_s, rate.first_increment)
    granted_s = affordable_s if one_shot else min(affordable_s, slice_s)
    return Plan(target, found, rate, granted_s, affordable_s)


def _open(db: Database, presented: Presented, row: Any, plan: Plan, asked: _Asked) -> Authorized | None:
    """The guarded write of authorize: hold and call together, or None where card or call_ref are not as they were read.

    The call_ref is looked for among ended calls in the same statement, so that a message that was delayed for the
    length of its call opens no second one.
    """
    rules = presented.house.settings
    rate = plan.rate
    wait_s = rules.sweep_one_shot_s if asked.one_shot else rules.sweep_slice_s
    values = {
        "card_id": row.id,
        "digest": row.digest,
        "hold": charge(rate, plan.granted_s),
        "now": presented.now,
        "switch_id": presented.switch.id,
        "call_ref": asked.call_ref,
        "cdr_since": presented.now - live.REPEATS_KEPT,
        "caller": presented.caller,
        "destination": plan.destination.e164,
        "access_number": presented.access.number or None,
        "one_shot": asked.one_shot,
        "granted_s": plan.granted_s,
        "affordable_s": plan.affordable_s,
        "version_id": row.version_id,
        "rate_id": plan.found.rate_id,
        "prefix": plan.found.prefix,
        "destination_name": plan.found.destination_name,
        "price_per_minute": rate.price_per_minute,
        "connect_fee": rate.connect_fee,
        "access_per_minute": presented.access.per_minute,
        "access_per_call": presented.access.per_call,
        "post_call_fee": row.post_call_fee,
        "first_increment": rate.first_increment,
        "increment": rate.increment,
        "grace": rate.grace,
        "precision": rate.precision,
        "rounding": rate.rounding,
        "token": getattr(row, "token", None),
        "sweep_after": presented.now + timedelta(seconds=plan.granted_s + wait_s),
    }
    with db.connection() as conn:
        try:
            opened = sql.AUTHORIZE_WRITE.one(conn, values)
        except pg.UniqueViolation:
            return None  # the same call_ref came twice at once: look again and find the first answer
    if opened is None:
        return None
    return Authorized(
        call_ref=asked.call_ref,
        serial=serial_of(row.id),
        max_seconds=plan.granted_s,
        affordable_seconds=plan.affordable_s,
        price_per_minute=rate.price_per_minute,
        connect_fee=rate.connect_fee,
        destination_name=plan.found.destination_name,
        balance=opened.balance,
        currency=row.currency,
    )


def _first_answer(db: Database, presented: Presented, card_id: int, asked: _Asked, first: Any) -> Authorized:
    """What the first authorize with this call_ref answered. Raises `Conflict` where the facts were others."""
    target = parse_destination(meant(db, card_id, asked.destination), presented.access.country)
    facts = (
        card_id,
        presented.caller,
        target.e164 if target else None,
        presented.access.number or None,
        asked.one_shot,
    )
    if facts != (first.card_id, first.caller, first.destination, first.access_number, first.one_shot):
        raise Conflict("call_ref_conflict")
    return Authorized(
        call_ref=asked.call_ref,
        serial=serial_of(first.card_id),
        max_seconds=first.first_granted_s,
        affordable_seconds=first.affordable_s,
        price_per_minute=first.price_per_minute,
        connect_fee=first.connect_fee,
        destination_name=first.destination_name,
        balance=first.balance_before,
        currency=first.currency,
    )
