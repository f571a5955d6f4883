"""Calls of the demo world, one after the other as switches would report them, with times of the past.

Each goes through the engine's own door: authenticate, authorize, answer, progress, end. What comes back says how it
goes on: who is refused tries again, gives up, or will need a recharge.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime, timedelta

from demo.customers import Customer
from demo.world import World
from engine.calls import control
from engine.calls.control import Authorized, Credentials
from engine.cards.authentication import Authenticated, authenticate
from engine.people.switches import SwitchIdentity
from engine.refusal import Refusal
from engine.vault import Secret

NORMAL, BUSY, NO_ANSWER, REJECTED, OUT_OF_ORDER = 16, 17, 19, 21, 27
_HOURS = (3, 2, 1, 1, 1, 2, 4, 6, 8, 9, 9, 9, 10, 9, 8, 8, 9, 11, 13, 15, 15, 13, 9, 5)
"""How many call in each hour of the operator's day."""
_SLICE_S = 540
_SILENT = 0.006
"""Calls whose end never comes."""


@dataclass(slots=True)
class Silent:
    """A call that was left open: its end comes late, or never."""

    switch: SwitchIdentity
    call_ref: str
    authorized_at: datetime
    seconds: int
    comes: bool


def start_of_call(world: World, day: int, dice: random.Random) -> datetime:
    """A time of that day, more likely in the evening."""
    hour = dice.choices(range(24), _HOURS)[0]
    return world.at(day, hour + dice.random())


def call(world: World, who: Customer, at: datetime, ref: str, dice: random.Random) -> Silent | None:
    """One try to call a friend, from the dialled access number to the end; sets what it leaves the customer with."""
    switch = world.switches[who.switch]
    caller = dice.choice(who.callers)
    credentials: Credentials | None = who.piece.credentials
    if who.plan.order.get("pinless") and who.number % 5 and who.known:
        credentials = Credentials()
    elif dice.random() < 0.02:
        _mistype(world, who, switch, caller, at, dice)
        at += timedelta(seconds=25)
    elif dice.random() < 0.35:
        credentials, at = _token(world, who, switch, caller, at, dice)
        if credentials is None:
            return None
    one_shot = switch is not world.switches[1]
    opened = control.authorize(
        world.db,
        world.vault,
        switch=switch,
        call_ref=ref,
        credentials=credentials,
        caller=caller,
        destination=dice.choice(who.friends),
        access_number=who.access_number,
        one_shot=one_shot,
        now=at,
    )
    if isinstance(opened, Refusal):
        _refused(who, opened, at)
        return None
    who.known, who.wants = True, ""
    return _talk(world, who, switch, opened, at, one_shot, dice)


def _talk(
    world: World,
    who: Customer,
    switch: SwitchIdentity,
    opened: Authorized,
    at: datetime,
    one_shot: bool,
    dice: random.Random,
) -> Silent | None:
    ring = dice.randrange(4, 26)
    if dice.random() < 0.21:
        cause = dice.choices((BUSY, NO_ANSWER, REJECTED, OUT_OF_ORDER), (4, 9, 2, 1))[0]
        _end(world, who, switch, opened.call_ref, at + timedelta(seconds=ring), 0, cause)
        return None
    answered = at + timedelta(seconds=ring)
    most = (world.now - answered).total_seconds() - 60  # it has ended by now
    seconds = max(3.0, min(dice.lognormvariate(6.0, 1.0), 7_200.0, most))
    if dice.random() < 0.7 or not one_shot:
        control.answer(world.db, switch=switch, call_ref=opened.call_ref, now=answered)
    granted = opened.max_seconds
    if dice.random() < _SILENT:
        who.free_from = at + timedelta(hours=30)
        talked = int(min(seconds, granted))
        return Silent(switch, opened.call_ref, at, talked, dice.random() < 0.5)
    elapsed = _SLICE_S
    while not one_shot and elapsed < min(seconds, 3_600) and seconds > granted - 30:
        told = control.progress(
            world.db,
            switch=switch,
            call_ref=opened.call_ref,
            elapsed_ms=elapsed * 1000,
            now=answered + timedelta(seconds=elapsed),
        )
        if told.max_seconds <= granted:
            break
        granted, elapsed = told.max_seconds, elapsed + _SLICE_S
    if seconds >= granted and most > granted + 30:
        # Cut by the switch where the grant ends; a few are cut too late.
        seconds = granted + (
            dice.randrange(4, 20) if dice.random() < 0.06 else dice.choice((0.0, 0.0, 0.1, 0.9))
        )
    seconds = round(seconds, 1)
    _end(world, who, switch, opened.call_ref, answered + timedelta(seconds=seconds), seconds, NORMAL)
    return None


def _end(
    world: World, who: Customer, switch: SwitchIdentity, ref: str, at: datetime, seconds: float, cause: int
) -> None:
    control.end(world.db, switch=switch, call_ref=ref, duration_ms=round(seconds * 1000), cause=cause, now=at)
    who.free_from = at + timedelta(seconds=40)


def _token(
    world: World, who: Customer, switch: SwitchIdentity, caller: str, at: datetime, dice: random.Random
) -> tuple[Credentials | None, datetime]:
    """The prompt says the balance first: the card is proven, and its token opens the call."""
    proven = authenticate(
        world.db,
        world.vault,
        switch=switch,
        credentials=who.piece.credentials,
        caller=caller,
        access_number=who.access_number,
        now=at,
    )
    if not isinstance(proven, Authenticated):
        _refused(who, proven, at)
        return None, at
    return Credentials(token=proven.card_token), at + timedelta(seconds=dice.randrange(12, 40))


def _mistype(
    world: World, who: Customer, switch: SwitchIdentity, caller: str, at: datetime, dice: random.Random
) -> None:
    digits = list(who.piece.password)
    place = dice.randrange(len(digits))
    digits[place] = str((int(digits[place]) + 1) % 10)
    wrong = Credentials(who.piece.number, Secret("".join(digits)))
    authenticate(
        world.db,
        world.vault,
        switch=switch,
        credentials=wrong,
        caller=caller,
        access_number=who.access_number,
        now=at,
    )


def _refused(who: Customer, refusal: Refusal, at: datetime) -> None:
    who.free_from = at + timedelta(minutes=2)
    if refusal.reason in ("empty", "insufficient_balance"):
        who.wants = "recharge"
    elif refusal.reason == "expired":
        who.wants = "extension"
    elif refusal.reason in ("damaged", "locked", "not_activated"):
        who.wants = "help"
