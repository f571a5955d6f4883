"""What may be ordered: the parameters of a batch, their limits, and how well its cards resist guessing.

Nothing here asks the database; `engine.stock.batches` does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from engine.errors import InvalidInput
from engine.money import MAX_UNITS, MICROS, parse_currency
from engine.names import checked_name
from engine.stock.numbers import MAX_DIGITS, Space, SpaceFull, prefix_space, range_space

MAX_COUNT = 1_000_000
"""Cards in one batch."""

MAX_NUMBER = 32
"""Digits of a card number."""

SPARSENESS = 1000
"""A batch may not fill more than one in this many of the numbers its prefix and length leave."""

MAX_DAYS = 36_500
_CHOICES = {
    "kind": ("calling", "voucher"),
    "validity_from": ("first_use", "generation"),
    "first_use": ("authentication", "answered_call"),
    "binding": ("none", "single", "multi"),
    "release": ("generation", "activation"),
}
# Field: lowest, highest, and whether it may be left out.
_WHOLE = {
    "count": (1, MAX_COUNT, False),
    "denomination": (0, MAX_UNITS * MICROS, False),
    "number_length": (4, MAX_NUMBER, False),
    "password_length": (4, MAX_DIGITS, False),
    "validity_days": (1, MAX_DAYS, True),
    "grace_days": (0, MAX_DAYS, False),
    "extension_days": (1, MAX_DAYS, True),
    "max_bound": (0, 100, False),
    "concurrency": (1, 1000, False),
    "post_call_fee": (0, MAX_UNITS * MICROS, False),
    "maintenance_fee": (0, MAX_UNITS * MICROS, False),
    "maintenance_days": (1, MAX_DAYS, True),
}
_DIGITS = re.compile(r"[0-9]*", re.ASCII)
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*", re.ASCII)


@dataclass(frozen=True, slots=True)
class BatchOrder:
    """The parameters of a batch. Amounts in micro-units of `currency`; days are whole days in the operator's zone.

    Numbers are either `number_length` digits that begin with `number_prefix`, or lie between `range_first` and
    `range_last` (then `number_length` is not looked at); with `luhn` their last digit is a check digit.
    `validity_days`: None, forever. `extension_days`: what a recharge of an expired card adds; None, it is not taken.
    `max_bound`: callers of a `multi` binding. `deck`, `destination_rules` and `reseller` are names.
    """

    name: str
    count: int
    denomination: int
    currency: str
    deck: str | None = None
    kind: str = "calling"
    number_prefix: str = ""
    number_length: int = 12
    range_first: str | None = None
    range_last: str | None = None
    luhn: bool = False
    password_length: int = 8
    validity_days: int | None = 90
    validity_from: str = "first_use"
    first_use: str = "authentication"
    grace_days: int = 0
    extension_days: int | None = None
    binding: str = "none"
    max_bound: int = 0
    auto_bind: bool = True
    pinless: bool = False
    concurrency: int = 1
    destination_rules: str = "Standard"
    post_call_fee: int = 0
    maintenance_fee: int = 0
    maintenance_days: int | None = None
    language: str = "en"
    reseller: str | None = None
    release: str = "generation"


def problems(order: BatchOrder) -> Iterator[InvalidInput]:
    """Everything that is wrong with an order by itself, each with its `field`: for a form that shows all at once."""
    yield from _name_problems(order.name)
    for field, (low, high, optional) in _WHOLE.items():
        yield from _whole(field, getattr(order, field), low, high, optional)
    for field, allowed in _CHOICES.items():
        if getattr(order, field) not in allowed:
            yield InvalidInput("not_a_choice", field=field, allowed=", ".join(allowed))
    try:
        parse_currency(order.currency, field="currency")
    except InvalidInput as problem:
        yield problem
    if order.kind == "calling" and not order.deck:
        yield InvalidInput("deck_missing", field="deck")
    if order.kind == "voucher" and order.denomination == 0:
        yield InvalidInput("too_small", field="denomination", low=1)
    if order.binding == "multi" and order.max_bound == 0:
        yield InvalidInput("max_bound_missing", field="max_bound")
    if order.maintenance_fee and order.maintenance_days is None:
        yield InvalidInput("maintenance_days_missing", field="maintenance_days")
    if not _LANGUAGE.fullmatch(order.language):
        yield InvalidInput("bad_language", field="language")
    yield from _space_problems(order)


def check(order: BatchOrder) -> Space:
    """The number space of an order that has no problem by itself. Raises the first `InvalidInput` of `problems`."""
    for problem in problems(order):
        raise problem
    return space_of(order)


def space_of(order: BatchOrder) -> Space:
    """The numbers that the cards of a checked order may have."""
    if order.range_first is not None and order.range_last is not None:
        return range_space(order.range_first, order.range_last, order.luhn)
    return prefix_space(order.number_prefix, order.number_length, order.luhn)


def callers(order: BatchOrder) -> int:
    """How many callers a card of this order may have bound."""
    return {"none": 0, "single": 1}.get(order.binding, order.max_bound)


def strength(order: BatchOrder) -> int:
    """Blind tries at number and password together for one hit, on average: space × passwords / cards."""
    passwords: int = 10**order.password_length
    return check(order).size * passwords // order.count


def warnings(order: BatchOrder, space: Space, taken: int = 0) -> tuple[str, ...]:
    """What an order may do but should be told about: codes `short_number`, `short_password`, `dense_range`.

    `taken` is how many numbers of the space belong to cards already.
    """
    said = []
    if space.length < 12:
        said.append("short_number")
    if order.password_length < 6:
        said.append("short_password")
    if order.range_first is not None and (order.count + taken) * SPARSENESS > space.size:
        said.append("dense_range")
    return tuple(said)


def _name_problems(name: str) -> Iterator[InvalidInput]:
    try:
        checked_name(name)
    except InvalidInput as problem:
        yield problem


def _whole(field: str, value: Any, low: int, high: int, optional: bool) -> Iterator[InvalidInput]:
    if value is None and optional:
        return
    if type(value) is not int:
        yield InvalidInput("not_a_number", field=field)
    elif value < low:
        yield InvalidInput("too_small", field=field, low=low)
    elif value > high:
        yield InvalidInput("too_large", field=field, high=high)


def _space_problems(order: BatchOrder) -> Iterator[InvalidInput]:
    if order.range_first is not None or order.range_last is not None:
        yield from _range_problems(order)
        return
    if not _DIGITS.fullmatch(order.number_prefix):
        yield InvalidInput("not_digits", field="number_prefix")
        return
    if type(order.number_length) is not int:
        return
    free = order.number_length - len(order.number_prefix) - order.luhn
    if free < 1:
        yield InvalidInput("prefix_too_long", field="number_prefix", length=order.number_length)
    elif free > MAX_DIGITS:
        yield InvalidInput("too_many_free_digits", field="number_length", high=MAX_DIGITS)


def _range_problems(order: BatchOrder) -> Iterator[InvalidInput]:
    first, last = order.range_first, order.range_last
    if not first or not last:
        yield InvalidInput("range_incomplete", field="range_last" if first else "range_first")
        return
    for field, number in (("range_first", first), ("range_last", last)):
        if not _DIGITS.fullmatch(number) or not 4 <= len(number) <= MAX_NUMBER:
            yield InvalidInput("not_a_card_number", field=field)
            return
    if order.number_prefix:
        yield InvalidInput("range_or_prefix", field="number_prefix")
    if len(first) != len(last):
        yield InvalidInput("range_lengths_differ", field="range_last")
    elif first > last:
        yield InvalidInput("range_backwards", field="range_last")
    else:
        yield from _range_size_problems(first, last, order)


def _range_size_problems(first: str, last: str, order: BatchOrder) -> Iterator[InvalidInput]:
    try:
        space = range_space(first, last, order.luhn)
    except SpaceFull:
        yield InvalidInput("range_too_small", field="range_last", size=0)
        return
    if space.digits > MAX_DIGITS:
        yield InvalidInput("too_many_free_digits", field="range_last", high=MAX_DIGITS)
    elif type(order.count) is int and order.count > space.size:
        yield InvalidInput("range_too_small", field="range_last", size=space.size)
