"""What goes wrong in the demo world: guessers, mistyped numbers, barred destinations, cards that may not be used."""

from __future__ import annotations

import random
import secrets
from datetime import datetime, timedelta

from demo.customers import Customer
from demo.people import LOCAL, TOLL_FREE
from demo.world import Piece, World
from engine.calls import control
from engine.calls.control import Authorized, Credentials
from engine.cards.authentication import authenticate
from engine.refusal import Refusal
from engine.vault import Secret

_BARRED = ("19005550123", "8816123456", "870773001234")
_NOWHERE = ("99912345678", "12", "0", "00999")
_GUESSES = 40


def of_day(world: World, people: list[Customer], day: int, dice: random.Random) -> None:
    """A handful of refused tries of one day."""
    for _ in range(dice.randrange(1, 4)):
        _unknown_number(world, world.at(day, dice.uniform(7, 22)), dice)
    present = [one for one in people if one.known and not one.gone and one.free_from < world.at(day, 12.0)]
    if not present:
        return
    one = dice.choice(present)
    at = world.at(day, 12.2)
    turn = day % 6
    if turn == 0:
        _try(world, one, dice.choice(_BARRED), at, f"barred-{day}")
    elif turn == 1:
        _try(world, one, dice.choice(_NOWHERE), at, f"nowhere-{day}")
    elif turn == 2:
        _from_elsewhere(world, people, at, day)
    elif turn == 3:
        _second_call(world, one, at, day)
    elif turn == 4 and "business" in world.lots:
        _not_activated(world, world.lots["business"].cards[-1], at)
    elif day % 3 == 2:
        _two_wrong_then_right(world, one, at)
    one.free_from = max(one.free_from, at + timedelta(minutes=30))


def guess(world: World, victim: Piece, at: datetime, dice: random.Random) -> None:
    """Somebody tries passwords for one number, from ever new callers and as the delays allow, until it locks."""
    until = min(world.now, at + timedelta(hours=16))
    for n in range(_GUESSES):
        wrong = Secret(f"{secrets.randbelow(10**8):08}")
        caller = f"1{dice.choice((315, 585, 607))}55501{(7 * n) % 100:02}"
        told = authenticate(
            world.db,
            world.vault,
            switch=world.switches[2],
            credentials=Credentials(victim.number, wrong),
            caller=caller,
            access_number=LOCAL,
            now=at,
        )
        if not isinstance(told, Refusal):
            return
        at += timedelta(seconds=(told.retry_after_s or 1) + 2)
        if at >= until:
            return


def _unknown_number(world: World, at: datetime, dice: random.Random) -> None:
    authenticate(
        world.db,
        world.vault,
        switch=dice.choice(world.switches),
        credentials=Credentials(
            f"71{secrets.randbelow(10**10):010}", Secret(f"{secrets.randbelow(10**8):08}")
        ),
        caller=f"1{dice.choice((212, 718, 347))}55501{dice.randrange(100):02}",
        access_number=TOLL_FREE,
        now=at,
    )


def _try(
    world: World, one: Customer, destination: str, at: datetime, ref: str, caller: str | None = None
) -> bool:
    told = control.authorize(
        world.db,
        world.vault,
        switch=world.switches[one.switch],
        call_ref=ref,
        credentials=one.piece.credentials,
        caller=caller or one.caller,
        destination=destination,
        access_number=one.access_number,
        one_shot=True,
        now=at,
    )
    if isinstance(told, Authorized):
        _hang_up(world, one, ref, at + timedelta(seconds=9))
    return isinstance(told, Authorized)


def _hang_up(world: World, one: Customer, ref: str, at: datetime) -> None:
    control.end(world.db, switch=world.switches[one.switch], call_ref=ref, duration_ms=0, cause=16, now=at)


def _from_elsewhere(world: World, people: list[Customer], at: datetime, day: int) -> None:
    """A bound card from a strange phone, and from one that withholds its number."""
    bound = [
        one for one in people if one.known and not one.gone and one.plan.order.get("binding") == "single"
    ]
    for one in bound[day % 7 : day % 7 + 1]:
        _try(world, one, one.friends[0], at, f"strange-{day}", caller="16065550142")
        control.authorize(
            world.db,
            world.vault,
            switch=world.switches[one.switch],
            call_ref=f"withheld-{day}",
            credentials=one.piece.credentials,
            caller=None,
            destination=one.friends[0],
            access_number=one.access_number,
            one_shot=True,
            now=at + timedelta(minutes=1),
        )


def _second_call(world: World, one: Customer, at: datetime, day: int) -> None:
    """Two at once on one card."""
    switch, ref = world.switches[one.switch], f"first-{day}"
    told = control.authorize(
        world.db,
        world.vault,
        switch=switch,
        call_ref=ref,
        credentials=one.piece.credentials,
        caller=one.caller,
        destination=one.friends[0],
        access_number=one.access_number,
        one_shot=True,
        now=at,
    )
    if isinstance(told, Authorized):
        control.answer(world.db, switch=switch, call_ref=ref, now=at + timedelta(seconds=8))
        _try(world, one, one.friends[-1], at + timedelta(seconds=20), f"second-{day}")
        over = at + timedelta(seconds=min(68, 8 + told.max_seconds))
        seconds = round((over - at).total_seconds()) - 8
        control.end(world.db, switch=switch, call_ref=ref, duration_ms=seconds * 1000, cause=16, now=over)


def _not_activated(world: World, piece: Piece, at: datetime) -> None:
    authenticate(
        world.db,
        world.vault,
        switch=world.switches[0],
        credentials=piece.credentials,
        caller="16465550107",
        access_number=TOLL_FREE,
        now=at,
    )


def _two_wrong_then_right(world: World, one: Customer, at: datetime) -> None:
    for wait, password in ((0, "1"), (15, "12345678"), (40, one.piece.password)):
        authenticate(
            world.db,
            world.vault,
            switch=world.switches[one.switch],
            credentials=Credentials(one.piece.number, Secret(password)),
            caller=one.caller,
            access_number=one.access_number,
            now=at + timedelta(seconds=wait),
        )
