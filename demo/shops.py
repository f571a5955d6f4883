"""What the resellers' people do at their desks in the demo world, besides selling what somebody starts to use."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

from demo.customers import Customer
from demo.people import CORNER, RESELLERS
from demo.printing import RECEIPT, print_cards
from demo.stock import RESELLER_OF
from demo.world import World, usd
from engine.errors import EngineError
from engine.stock import resale
from engine.stock.custody import Range

_FROM, _UNTIL = 50, 89
"""The days on which the corner shop sells cards as receipts."""


def agenda(world: World) -> list[tuple[int, float, Callable[[], None]]]:
    """What is arranged with them, as (day, hour, what)."""
    return [(49, 10.0, lambda: _hand_over(world)), (_FROM, 8.0, lambda: _print(world))]


def of_day(world: World, people: list[Customer], day: int) -> None:
    """Receipts are sold, a card is brought back now and then, and a customer pays something on theirs."""
    _receipts(world, day)
    if day % 17 == 8:
        _brought_back(world, day)
    for n, reseller in enumerate(RESELLERS):
        if (day + 2 * n) % 6 == 0:
            _recharge(world, people, reseller, day)


def _hand_over(world: World) -> None:
    """Half of a batch that nobody printed yet is the corner shop's, to be printed at its till."""
    operations, cards = world.who("operations"), _counter(world)
    resale.assign(world.db, cards, operations, world.at(49, 10.0), reseller_id=world.resellers[CORNER])


def _counter(world: World) -> Range:
    lot = world.lots["counter"]
    return Range(lot.first_id, lot.first_id + (lot.last_id - lot.first_id) // 2)


def _print(world: World) -> None:
    till = world.people["corner-till"]
    print_cards(world, _counter(world), RECEIPT, "Till", till, world.at(_FROM, 8.0))


def _receipts(world: World, day: int) -> None:
    """One every few days, until a quarter of them is left; each sixth buyer thinks better of it."""
    if not _FROM < day < _UNTIL:
        return
    cards, till = _counter(world), world.people["corner-till"]
    wanted = max(1, (cards.last - cards.first + 1) * 3 // 4)
    done = (day - _FROM) * wanted // (_UNTIL - _FROM)
    before = (day - 1 - _FROM) * wanted // (_UNTIL - _FROM)
    for n in range(before, done):
        card, at = Range(cards.first + n, cards.first + n), world.at(day, 11.0)
        resale.activate_and_sell(world.db, card, till, at, key=f"demo-receipt-{n}")
        if n % 6 == 3:
            resale.give_back(
                world.db, card, till, at + timedelta(minutes=4), reason="Wrong amount, sold anew"
            )


def _brought_back(world: World, day: int) -> None:
    """A card from the end of the rack is sold and brought back unopened within the hour."""
    last, till, at = (
        world.lots["corner"].last_id - day // 17,
        world.people["corner-till"],
        world.at(day, 12.0),
    )
    resale.sell(world.db, Range(last, last), till, at)
    resale.give_back(
        world.db, Range(last, last), till, at + timedelta(minutes=40), reason="Brought back unopened"
    )


def _recharge(world: World, people: list[Customer], reseller: str, day: int) -> None:
    at, dice = world.at(day, 13.5), world.dice(f"till/{reseller}/{day}")
    present = [
        one
        for one in people
        if RESELLER_OF.get(one.key) == reseller and one.known and not one.gone and one.free_from < at
    ]
    if not present:
        return
    one = dice.choice(present)
    with suppress(EngineError):  # its state forbids it, or the shop's credit, and the till says so
        resale.recharge(
            world.db,
            card_id=one.piece.id,
            amount=usd(dice.choice(("3.00", "5.00", "10.00"))),
            actor=world.people[f"{RESELLERS[reseller][3]}-till"],
            now=at,
        )
        one.free_from = at + timedelta(minutes=10)
