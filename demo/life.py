"""Ninety days, one after the other: each begins with the night's jobs, then the office opens, then people call.

Within a day the callers are spread over threads by card, so that each card's story is told in the order of its times;
the day ends for all before the next one begins.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby

from demo import night, office, printing, shops, stock, traffic, trouble
from demo.customers import Customer, customers, expected_calls
from demo.office import Office
from demo.stock import PLANS
from demo.traffic import Silent
from demo.world import DAYS, World
from engine.calls import control
from engine.calls.control import Authorized
from engine.errors import EngineError, Refused

Task = tuple[int, float, Callable[[], None]]
_WEEKDAYS = (0.9, 0.85, 0.9, 0.95, 1.1, 1.25, 1.3)
_LIVE_SINCE_MIN = (2, 38)
_RINGING_SINCE_MIN = (0.05, 0.4)


@dataclass(slots=True)
class Life:
    """What goes on from day to day: the customers, the desk, the tasks by day, and how busy the phones are."""

    world: World
    desk: Office
    people: list[Customer] = field(default_factory=list)
    tasks: dict[int, list[Task]] = field(default_factory=dict)
    busy: float = 1.0


def live(world: World) -> Life:
    """Live through all the days. The people, decks and switches stand."""
    desk = Office(world, world.dice("office"))
    life = Life(world, desk)
    agenda = [*stock.agenda(world), *printing.agenda(world), *shops.agenda(world), *office.agenda(desk)]
    for task in sorted(agenda, key=lambda task: task[:2]):
        life.tasks.setdefault(task[0], []).append(task)
    with ThreadPoolExecutor(world.size.threads, "demo") as pool:
        for day in range(DAYS + 1):
            _day(life, day, pool)
            if day % 10 == 0:
                world.say(f"Day {day} of {DAYS}: {world.calls:,} calls so far.")
    return life


def _day(life: Life, day: int, pool: ThreadPoolExecutor) -> None:
    world = life.world
    dice = world.dice(f"day/{day}")
    night.jobs(world, day)
    for _, _, task in life.tasks.get(day, ()):
        task()
        _welcome(life, day)
    for key, ids in _on_sale(life, day):
        stock.sell(world, key, ids, day)
    office.serve(life.desk, life.people, day)
    office.desk(life.desk, life.people, day)
    shops.of_day(world, life.people, day)
    trouble.of_day(world, life.people, day, dice)
    _special(life, day, dice)
    _set_pace(life, day)
    silent = _calls(life, day, dice, pool)
    night.close(world, day, silent)


def _welcome(life: Life, day: int) -> None:
    """The customers of a batch are known once it stands."""
    known = {one.key for one in life.people}
    for key in life.world.lots:
        if key in PLANS and key not in known:
            life.people += customers(life.world, key)


def _on_sale(life: Life, day: int) -> list[tuple[str, list[int]]]:
    """The cards that come into use today, by batch."""
    starting = [one for one in life.people if one.starts == day]
    return [(key, [one.piece.id for one in some]) for key, some in groupby(starting, key=lambda one: one.key)]


def _set_pace(life: Life, day: int) -> None:
    """So many calls as the size of the world asks for, whatever its customers feel like."""
    left = life.world.size.calls - life.world.calls
    wanted = sum(
        one.rate * max(0, DAYS - max(day, one.starts)) for one in life.people if not one.gone
    ) + _to_come(life)
    life.busy = max(0.05, left / max(wanted, 1.0)) if day < DAYS else life.busy


def _to_come(life: Life) -> float:
    """What the customers of batches that don't stand yet will ask for, roughly."""
    known = {one.key for one in life.people}
    coming = [plan for key, plan in PLANS.items() if plan.live and key not in known]
    mean = expected_calls(life.people) / max(1, len(life.people))
    return sum(stock.count_of(life.world, plan) * plan.live[2] * mean for plan in coming if plan.live)


def _calls(life: Life, day: int, dice: random.Random, pool: ThreadPoolExecutor) -> list[Silent]:
    """All calls of a day; returns those whose end never came."""
    world = life.world
    lanes: list[list[tuple[datetime, Customer, str]]] = [[] for _ in range(world.size.threads)]
    weekday = _WEEKDAYS[world.at(day, 12).weekday()]
    for n, one in enumerate(life.people):
        if one.gone or one.starts > day:
            continue
        count = _poisson(one.rate * life.busy * weekday, dice)
        if one.starts == day:
            count = max(1, count)  # nobody buys a card to look at it
        for turn in range(count):
            at = max(traffic.start_of_call(world, day, dice), one.free_from)
            lanes[n % len(lanes)].append((at, one, f"{day:02}-{one.key}-{one.number}-{turn}"))
    seeds = [dice.random() for _ in lanes]
    done = list(pool.map(_lane, [world] * len(lanes), lanes, seeds))
    world.calls += sum(count for count, _ in done)
    return [one for _, silent in done for one in silent]


def _lane(world: World, calls: list[tuple[datetime, Customer, str]], seed: float) -> tuple[int, list[Silent]]:
    dice = random.Random(seed)
    silent, count = [], 0
    for planned, one, ref in sorted(calls, key=lambda call: (call[0], call[2])):
        at = max(planned, one.free_from)
        if (
            one.gone
            or one.wants
            or at - planned > timedelta(hours=5)
            or at > world.now - timedelta(minutes=5)
        ):
            continue
        left = traffic.call(world, one, at, f"{world.switches[one.switch].id}-{ref}", dice)
        count += 1
        if left is not None:
            silent.append(left)
    return count, silent


def _poisson(mean: float, dice: random.Random) -> int:
    limit, product, count = math.exp(-mean), dice.random(), 0
    while product > limit:
        product, count = product * dice.random(), count + 1
    return count


def _special(life: Life, day: int, dice: random.Random) -> None:
    """What happens once or twice in all the days."""
    world, present = life.world, [one for one in life.people if one.known and not one.gone]
    quiet = [one for one in present if one.free_from < world.at(day, 1.0) and one.key != "europe"]
    if not quiet:
        return
    one = dice.choice(quiet)
    if day in (33, 58, 79):
        trouble.guess(world, one.piece, world.at(day, 1.2), dice)
        one.free_from = world.at(day + 1, 9.0)
    elif day in (64, 81):
        with suppress(Refused):  # it may have expired last night
            office.consent(life.desk, one, day, "100.00", decide=True)
        one.free_from = world.at(day, 14.0)
    elif day == DAYS:
        with suppress(Refused):
            office.consent(life.desk, one, day, "150.00", decide=False)


def go_on(life: Life) -> int:
    """Some calls of this moment: authorized some minutes ago, answered, and going on. Returns how many there are."""
    world, dice, count = life.world, life.world.dice("now"), 0
    # Those who have something left: whoever was refused last is not tried.
    able = [one for one in life.people if one.known and not one.gone and not one.wants]
    dice.shuffle(able)
    for one in able:
        if count == world.size.live:
            break
        rings = dice.random() < 0.1
        minutes = dice.uniform(*_RINGING_SINCE_MIN if rings else _LIVE_SINCE_MIN)
        at = world.now - timedelta(minutes=minutes)
        if one.free_from >= at:
            continue
        switch = world.switches[one.switch]
        ref = f"{switch.id}-now-{one.key}-{one.number}"
        try:
            opened = control.authorize(
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
        except EngineError:
            continue
        if not isinstance(opened, Authorized):
            continue
        if at + timedelta(seconds=opened.max_seconds) < world.now + timedelta(minutes=20):
            control.end(
                world.db, switch=switch, call_ref=ref, duration_ms=0, cause=17, now=at + timedelta(seconds=9)
            )
            continue
        if not rings:
            control.answer(world.db, switch=switch, call_ref=ref, now=at + timedelta(seconds=12))
        count += 1
    return count
