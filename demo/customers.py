"""The customers of the demo world: whose card it is, from where they call whom, and how often.

Their numbers are kept for fiction (555-01xx), and whom they call has numbers near those that `phonenumbers` and the
regulators give as examples.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from demo.people import LOCAL, PAYPHONE, TOLL_FREE
from demo.stock import PLANS, Plan, count_of
from demo.world import DAYS, Piece, World

_HOMES = (212, 718, 917, 646, 347, 929, 201, 973, 862, 551, 305, 786, 954, 713, 832, 281, 213, 323, 818, 773)
_HOMES += (312, 404, 678, 202, 301, 703, 617, 857, 215, 267)

# Stem of the number, how many digits are drawn behind it, and how many call there.
_PLACES: tuple[tuple[str, int, int], ...] = (
    ("5255123", 5, 16),
    ("8801812", 6, 14),
    ("919812", 6, 12),
    ("1809234", 4, 10),
    ("5025123", 4, 9),
    ("5037012", 4, 8),
    ("50491234", 3, 7),
    ("639051", 6, 10),
    ("234802", 7, 9),
    ("92301234", 4, 7),
    ("23323123", 4, 5),
    ("251911", 6, 4),
    ("57321123", 4, 6),
    ("59399123", 4, 5),
    ("1876210", 4, 5),
    ("84912", 6, 4),
    ("20100123", 4, 3),
    ("221701", 6, 3),
    ("86131234", 5, 3),
    ("447700900", 3, 3),
    ("48512345", 3, 2),
    ("380501", 6, 2),
    ("121255501", 2, 6),
    ("130555501", 2, 4),
)
_LATIN = ("52", "502", "503", "504", "57", "593", "1809")
_EUROPE = (
    ("447700900", 3, 6),
    ("44207946", 4, 3),
    ("48512345", 3, 5),
    ("4915123", 6, 4),
    ("33612", 6, 4),
    ("34612", 6, 3),
)


@dataclass(slots=True)
class Customer:
    """One who uses a card. `rate`: calls a day on an ordinary day; `wants`: what their last refusal asks
    for; `known`: their card took a call from them before."""

    key: str
    plan: Plan
    piece: Piece
    number: int
    caller: str
    friends: list[str]
    switch: int
    access_number: str
    starts: int
    rate: float
    free_from: datetime
    wants: str = ""
    known: bool = False
    gone: bool = False
    callers: list[str] = field(default_factory=list)


def customers(world: World, key: str) -> list[Customer]:
    """Everybody who will use a card of a batch, in the order of its serials; the batch stands."""
    plan = PLANS[key]
    if plan.live is None:
        return []
    first, last, part = plan.live
    pieces = world.lots[key].cards[: round(count_of(world, plan) * part)]
    dice = world.dice(f"customers/{key}")
    people = []
    for n, piece in enumerate(pieces):
        caller = _home(world, key, n)
        known = (
            _EUROPE if key == "europe" else [p for p in _PLACES if key != "latin" or p[0].startswith(_LATIN)]
        )
        places = dice.choices(known, [place[2] for place in known], k=dice.choice((1, 1, 2, 3)))
        starts = first + round((last - first) * (n / max(1, len(pieces) - 1)) ** 0.8)
        people.append(
            Customer(
                key,
                plan,
                piece,
                n,
                caller,
                [_friend(place, dice) for place in places for _ in range(dice.choice((1, 1, 2)))],
                dice.choices((0, 1, 2), (5, 3, 1))[0],
                dice.choices((TOLL_FREE, LOCAL, PAYPHONE), (10, 9, 1))[0],
                starts,
                plan.appetite * dice.lognormvariate(-1.2, 0.7),
                world.at(starts, 10.0),
                callers=[caller, *(_home(world, f"{key}/more", 3 * n + more) for more in range(2))]
                if key == "family"
                else [caller],
            )
        )
    return people


def expected_calls(people: list[Customer]) -> float:
    """How many calls they would make in all the days if nothing ran out."""
    return sum(one.rate * (DAYS - one.starts) for one in people) or 1.0


def _home(world: World, salt: str, n: int) -> str:
    dice = world.dice(f"home/{salt}/{n}")
    return f"1{dice.choice(_HOMES)}55501{dice.randrange(100):02}"


def _friend(place: tuple[str, int, int], dice: object) -> str:
    stem, digits, _ = place
    return stem + "".join(str(dice.randrange(10)) for _ in range(digits))  # type: ignore[attr-defined]
