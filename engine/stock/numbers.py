"""Card numbers and passwords: drawn from the operating system's randomness, without bias, a block at a time.

A number space is a fixed prefix, a run of up to 18 free digits between two bounds, and, where wanted, the check digit
of Luhn's formula (ISO/IEC 7812-1). The free digits are drawn as whole numbers, called bodies here, in numpy arrays; a
draw that would favour some of them is thrown away and drawn again. Nothing here is ever put in order by number:
serials would tell neighbouring numbers.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from engine.cards.serials import luhn_digit
from engine.errors import EngineError

Bodies = NDArray[np.uint64]
Digits = NDArray[np.uint8]

MAX_DIGITS = 18
"""Free digits of a number, and digits of a password: what a 64-bit draw covers with room to spare."""

DENSE_SIZE = 20_000_000
"""Up to this many numbers a space is kept as one byte a number, so that even its last free number is found."""

_WORDS = 2**64
_MOST_TRIES = 2_000_000


class SpaceFull(EngineError):
    """A number space has fewer free numbers than were asked for."""


@dataclass(frozen=True, slots=True)
class Space:
    """The numbers that a batch may have: `prefix`, then a body from `low` to `high` in `digits` digits, then Luhn."""

    prefix: str
    digits: int
    low: int
    high: int
    luhn: bool

    @property
    def size(self) -> int:
        """How many numbers there are in it."""
        return self.high - self.low + 1

    @property
    def length(self) -> int:
        """Digits of a number, all included."""
        return len(self.prefix) + self.digits + self.luhn

    @property
    def first(self) -> str:
        """The lowest number of the space."""
        return self._number(self.low)

    @property
    def last(self) -> str:
        """The highest number of the space."""
        return self._number(self.high)

    def _number(self, body: int) -> str:
        number = self.prefix + (f"{body:0{self.digits}d}" if self.digits else "")
        return number + luhn_digit(number) if self.luhn else number

    def numbers(self, bodies: Bodies) -> Digits:
        """The numbers of bodies: one row of ASCII digits each, shape (n, length)."""
        rows = np.empty((len(bodies), self.length), np.uint8)
        start = len(self.prefix)
        rows[:, :start] = np.frombuffer(self.prefix.encode(), np.uint8)
        rows[:, start : start + self.digits] = ascii_digits(bodies, self.digits)
        if self.luhn:
            rows[:, -1] = luhn_digits(rows[:, :-1])
        return rows

    def bodies(self, numbers: Digits) -> Bodies:
        """The bodies of those numbers (rows of ASCII digits of this length) that belong to the space."""
        start = len(self.prefix)
        ours = (numbers[:, :start] == np.frombuffer(self.prefix.encode(), np.uint8)).all(axis=1)
        if self.luhn:
            ours &= numbers[:, -1] == luhn_digits(numbers[:, :-1])
        bodies = np.zeros(len(numbers), np.uint64)
        for column in range(start, start + self.digits):
            bodies = bodies * np.uint64(10) + (numbers[:, column] - np.uint8(48))
        ours &= (bodies >= self.low) & (bodies <= self.high)
        found: Bodies = bodies[ours]
        return found


def prefix_space(prefix: str, length: int, luhn: bool) -> Space:
    """Every number of `length` digits that begins with `prefix`; the check digit counts in the length."""
    digits = length - len(prefix) - luhn
    return Space(prefix, digits, 0, 10**digits - 1, luhn)


def range_space(first: str, last: str, luhn: bool) -> Space:
    """The numbers from `first` to `last`, both included and of one length; with `luhn` the ones it holds for.

    At most 18 digits may differ. Raises `SpaceFull` where not even one number is left.
    """
    body_first, body_last = (first[:-1], last[:-1]) if luhn else (first, last)
    shared = 0
    while shared < len(body_first) and body_first[shared] == body_last[shared]:
        shared += 1
    digits = len(body_first) - shared
    low, high = int(body_first[shared:] or 0), int(body_last[shared:] or 0)
    space = Space(body_first[:shared], digits, low, high, luhn)
    if luhn:
        low += space.first < first
        high -= space.last > last
        if low > high:
            raise SpaceFull("space_full", free=0, wanted=1)
        space = Space(body_first[:shared], digits, low, high, luhn)
    return space


def ascii_digits(values: Bodies, width: int) -> Digits:
    """Whole numbers as rows of `width` ASCII digits, with leading zeros; shape (n, width)."""
    rows = np.empty((len(values), width), np.uint8)
    rest = values
    for column in range(width - 1, -1, -1):
        tens = rest // np.uint64(10)
        rows[:, column] = rest - tens * np.uint64(10)
        rest = tens
    rows += np.uint8(48)
    return rows


_DOUBLED = np.array([0, 2, 4, 6, 8, 1, 3, 5, 7, 9], np.uint8)


def luhn_digits(rows: Digits) -> Digits:
    """The check digit, as ASCII, that belongs after each row of ASCII digits."""
    values = rows - np.uint8(48)
    values[:, ::-1][:, ::2] = _DOUBLED[values[:, ::-1][:, ::2]]
    total = values.sum(axis=1, dtype=np.uint64)
    checks: Digits = ((np.uint64(10) - total % np.uint64(10)) % np.uint64(10)).astype(np.uint8) + np.uint8(48)
    return checks


def draw(count: int, size: int) -> Bodies:
    """`count` independent whole numbers from 0 to `size` − 1, each equally likely (`size` at most 10**18)."""
    limit = _WORDS - _WORDS % size
    values = np.empty(0, np.uint64)
    while len(values) < count:
        more = np.frombuffer(os.urandom(8 * (count - len(values))), np.uint64)
        if limit < _WORDS:
            more = more[more < np.uint64(limit)]
        values = np.concatenate([values, more % np.uint64(size)])
    return values


def passwords(count: int, length: int) -> Digits:
    """`count` random passwords of `length` digits, as rows of ASCII digits."""
    return ascii_digits(draw(count, 10**length), length)


class Source(Protocol):
    """Gives out numbers of a space, each at most once, and learns which are taken by others."""

    def take(self, count: int) -> Bodies:
        """`count` different bodies that are free as far as is known. Raises `SpaceFull`."""

    def note_taken(self, bodies: Bodies) -> None:
        """These belong to cards that exist."""


class SparseSource:
    """For a space so large that a draw is nearly always free: draws, and drops what it gave out before.

    Whether a number belongs to a card that exists only the database knows: the caller asks it, hands back what was
    taken, and asks for more. `wanted` is how many numbers the whole run needs; they are drawn at once, so that what
    is equal among them is found by one comparison.
    """

    def __init__(self, space: Space, wanted: int) -> None:
        self._space = space
        self._drawn = np.empty(0, np.uint64)
        self._next = 0
        self._draw_more(wanted)

    def _draw_more(self, count: int) -> None:
        goal = len(self._drawn) + count
        if goal > self._space.size:
            raise SpaceFull("space_full", free=self._space.size - len(self._drawn), wanted=count)
        while len(self._drawn) < goal:
            # The fuller, the more draws bring nothing new; so draw as many as it probably takes.
            fresh = self._space.size - len(self._drawn)
            tries = -(-(goal - len(self._drawn)) * self._space.size // fresh)
            more = draw(min(tries, _MOST_TRIES), self._space.size) + np.uint64(self._space.low)
            self._drawn = first_of_each(np.concatenate([self._drawn, more]))[:goal]

    def take(self, count: int) -> Bodies:
        short = self._next + count - len(self._drawn)
        if short > 0:
            self._draw_more(short)
        self._next += count
        return self._drawn[self._next - count : self._next]

    def note_taken(self, bodies: Bodies) -> None:
        """Nothing to keep: what was given out is never given again."""


class DenseSource:
    """For a space of at most `DENSE_SIZE` numbers, even a full one: one byte a number tells whether it is free."""

    def __init__(self, space: Space, taken: Iterable[Bodies]) -> None:
        self._low = np.uint64(space.low)
        self._free = np.ones(space.size, np.bool_)
        self._left = space.size
        for bodies in taken:
            self.note_taken(bodies)

    def take(self, count: int) -> Bodies:
        if count > self._left:
            raise SpaceFull("space_full", free=self._left, wanted=count)
        size = len(self._free)
        found = [np.empty(0, np.uint64)]
        missing = count
        # Draw and drop what is taken while at least one in eight is free; then draw from a list of the free ones.
        while missing and self._left * 8 > size:
            bodies = first_of_each(draw(missing, size))
            bodies = bodies[self._free[bodies]]
            self._use(bodies)
            found.append(bodies)
            missing -= len(bodies)
        if missing:
            free = np.flatnonzero(self._free).astype(np.uint64)
            bodies = free[distinct(missing, len(free))]
            self._use(bodies)
            found.append(bodies)
        return np.concatenate(found) + self._low

    def note_taken(self, bodies: Bodies) -> None:
        bodies = np.unique(bodies - self._low)
        self._use(bodies[self._free[bodies]])

    def _use(self, bodies: Bodies) -> None:
        self._free[bodies] = False
        self._left -= len(bodies)


def distinct(count: int, size: int) -> Bodies:
    """`count` different whole numbers from 0 to `size` − 1 in random order; every selection is equally likely.

    Needs memory for `size` of them where more than half are wanted.
    """
    if 2 * count > size:
        # Random keys put everything in random order; two equal keys are drawn again, or one would come first by rule.
        keys = draw(size, 10**MAX_DIGITS)
        while len(np.unique(keys)) < size:
            keys = draw(size, 10**MAX_DIGITS)
        return np.argsort(keys)[:count].astype(np.uint64)
    chosen = np.empty(0, np.uint64)
    while len(chosen) < count:
        chosen = first_of_each(np.concatenate([chosen, draw(count - len(chosen), size)]))
    return chosen


def first_of_each(values: Bodies) -> Bodies:
    """The values without repetitions, in the order in which each came first."""
    _, places = np.unique(values, return_index=True)
    if len(places) == len(values):
        return values
    return values[np.sort(places)]


def source_for(space: Space, wanted: int, taken: Callable[[], Iterable[Bodies]]) -> Source:
    """The source that fits a space. `taken` reads the bodies of its cards that exist, where that has to be known."""
    if space.size <= DENSE_SIZE:
        return DenseSource(space, taken())
    return SparseSource(space, wanted)
