"""What a call from a card would cost now, and how long it could last: the rate, the fees and the cap of a real one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from engine.calls.authorization import affordable
from engine.calls.decks import rate_table
from engine.calls.destinations import barring
from engine.calls.ratetable import DeckRate, Missed
from engine.calls.rating import Rate, charge
from engine.calls.standing import Standing, look, verdict
from engine.cards.serials import card_id_of
from engine.db import Database
from engine.errors import NotFound
from engine.house import Access
from engine.messages import sentence
from engine.money import Money
from engine.phone import Destination, parse_destination
from engine.refusal import Refusal
from engine.telling import Phone, Said, Span, Typed, joined, said

MINUTES = (1, 5, 10)


@dataclass(frozen=True, slots=True)
class Cost:
    """A call that was only asked about. Amounts in micro-units of `currency`.

    `refused`: the reason for which the call would be refused now, None where it would go through. `barred_by`: the
    groups of the card's rules that bar the number (empty where it isn't barred, or is in none of those allowed).
    `found` is the rate in the deck, `rate` the same with surcharges; `passed_over` matched too, but don't hold now.
    `charges`: what so many minutes cost; `lasts_s`: how long what is available pays, at most `cap_s`.
    """

    asked: str
    destination: Destination | None
    currency: str
    deck: str | None
    rules: str
    access: Access
    refused: str | None
    barred: bool
    barred_by: tuple[str, ...]
    found: DeckRate | None
    passed_over: tuple[Missed, ...]
    rate: Rate | None
    post_call_fee: int
    available: int
    charges: tuple[tuple[int, int], ...]
    lasts_s: int
    cap_s: int


def cost_of(
    db: Database, serial: str, destination: str, now: datetime, *, access_number: str | None = None
) -> Cost:
    """What a call from a card to a number, through an access number, would be. Raises `NotFound`, `InvalidInput`."""
    standing = look(db, card_id_of(serial), now, access_number=access_number)
    if standing is None:
        raise NotFound("card_not_found")
    row, presented = standing.row, standing.presented
    judged = verdict(db, standing, destination, bound=False)
    target = parse_destination(destination, presented.access.country)
    barred, groups = _barred(standing, target)
    found, passed_over = _found(db, standing, target)
    rate, lasts_s = (None, 0)
    if found is not None:
        rate, lasts_s = affordable(found.rate, row, presented.access, presented.house)
    return Cost(
        asked=destination,
        destination=target,
        currency=row.currency,
        deck=row.deck,
        rules=row.rules,
        access=presented.access,
        refused=judged.reason if isinstance(judged, Refusal) else None,
        barred=barred,
        barred_by=groups,
        found=found,
        passed_over=passed_over,
        rate=rate,
        post_call_fee=row.post_call_fee,
        available=standing.available,
        charges=tuple((minutes, charge(rate, minutes * 60)) for minutes in MINUTES) if rate else (),
        lasts_s=lasts_s,
        cap_s=presented.house.settings.call_cap_s,
    )


def _barred(standing: Standing, target: Destination | None) -> tuple[bool, tuple[str, ...]]:
    if target is None:
        return False, ()
    house = standing.presented.house
    rules = house.rules[standing.row.destination_rules_id]
    by = barring(rules, target.groups, target.e164, house.groups)
    return by is not None, by or ()


def _found(
    db: Database, standing: Standing, target: Destination | None
) -> tuple[DeckRate | None, tuple[Missed, ...]]:
    if target is None or standing.row.version_id is None:
        return None, ()
    found = rate_table(db, standing.row.version_id).find_with_reason(target.e164, standing.presented.now)
    return found.rate, found.missed


_MISSED = {
    "not_yet_effective": "begins later",
    "no_longer_effective": "has ended",
    "outside_window": "holds at other hours",
}


def cost_said(cost: Cost) -> tuple[Said, ...]:
    """The same in sentences: whether it would go through, what it costs and why, how long it could last."""
    if cost.destination is None:
        return (said("{asked} is not a number that can be called.", asked=Typed(cost.asked)),)
    lines = [_through(cost)]
    if cost.found is not None and cost.rate is not None:
        lines += [_price(cost, cost.found, cost.rate), *_passed_over(cost), _lasts(cost)]
    return tuple(lines)


def _through(cost: Cost) -> Said:
    number = Phone(cost.destination.e164 if cost.destination else cost.asked)
    if cost.refused is None:
        return said("A call to {number} would go through now.", number=number)
    if cost.refused == "destination_unknown":
        if cost.deck is None:
            return said("A call to {number} would be refused now: the card has no rate deck.", number=number)
        deck = Typed(cost.deck)
        return said(
            "A call to {number} would be refused now: the deck {deck} has no rate for it.",
            number=number,
            deck=deck,
        )
    if cost.refused == "destination_barred":
        return _barring(cost, number)
    return joined(
        said("A call to {number} would be refused now.", number=number), Said(sentence(cost.refused))
    )


def _barring(cost: Cost, number: Phone) -> Said:
    rules = Typed(cost.rules)
    if not cost.barred_by:
        return said(
            "A call to {number} would be refused now: it is in none of the groups that the destination rules"
            " {rules} allow.",
            number=number,
            rules=rules,
        )
    return said(
        "A call to {number} would be refused now: the destination rules {rules} bar {groups}.",
        number=number,
        rules=rules,
        groups=Typed(", ".join(group.replace("_", " ") for group in cost.barred_by)),
    )


def _price(cost: Cost, found: DeckRate, rate: Rate) -> Said:
    def money(micros: int) -> Money:
        return Money(micros, cost.currency)

    parts: list[Said | None] = [
        said(
            "It is {name}: the prefix {prefix} is the longest that fits in the deck {deck}, at {price} a minute.",
            name=Typed(found.destination_name),
            prefix=found.prefix,
            deck=Typed(cost.deck or ""),
            price=money(rate.price_per_minute),
        )
    ]
    if cost.access.per_minute:
        parts.append(
            said("{extra} a minute of that are for the access number.", extra=money(cost.access.per_minute))
        )
    fees = (
        ("Each call costs {fee} to connect.", found.rate.connect_fee),
        ("The access number costs {fee} a call.", cost.access.per_call),
        ("After each call comes a fee of {fee}.", cost.post_call_fee),
    )
    parts += [said(text, fee=money(fee)) for text, fee in fees if fee]
    parts.append(_steps(rate))
    return joined(*parts)


def _steps(rate: Rate) -> Said:
    free = ""
    if rate.grace:
        free = f" Up to {rate.grace} s cost nothing."
    if rate.first_increment == rate.increment:
        step = (
            "Seconds count one by one."
            if rate.increment == 1
            else f"It is counted in steps of {rate.increment} s."
        )
        return Said(step + free)
    return Said(f"The first {rate.first_increment} s count whole, then steps of {rate.increment} s." + free)


def _passed_over(cost: Cost) -> list[Said]:
    return [
        said(
            "The prefix {prefix} ({name}) fits as well, but " + _MISSED[missed.why] + ".",
            prefix=missed.rate.prefix,
            name=Typed(missed.rate.destination_name),
        )
        for missed in cost.passed_over
    ]


def _lasts(cost: Cost) -> Said:
    available = Money(cost.available, cost.currency)
    if cost.lasts_s == 0:
        return said("The {available} available don't pay its first seconds.", available=available)
    if cost.lasts_s >= cost.cap_s:
        return said(
            "It could last {lasts}, the longest a call may; {available} are available.",
            lasts=Span(cost.lasts_s),
            available=available,
        )
    return said("The {available} available last for {lasts}.", available=available, lasts=Span(cost.lasts_s))
