"""One version of a rate deck in the process, made to find the rate of a destination in about a microsecond.

The longest matching prefix wins among the rates that are effective and whose time window holds; where the longer
prefixes have none that holds, a shorter one serves. A table never changes once built: a new version is a new table.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, time
from typing import TypeAlias
from zoneinfo import ZoneInfo

from engine.calls.rating import Rate

MIDNIGHT = time(0)
EVERY_DAY = frozenset(range(1, 8))

COLUMNS = (
    "id",
    "prefix",
    "destination_name",
    "price_per_minute",
    "connect_fee",
    "first_increment",
    "increment",
    "grace",
    "effective_from",
    "effective_until",
    "days",
    "from_time",
    "to_time",
)
"""The columns of `deck_rate` that a row given to `RateTable` holds, in this order."""

Row: TypeAlias = tuple[
    int,
    str,
    str,
    int,
    int,
    int,
    int,
    int,
    datetime | None,
    datetime | None,
    list[int] | None,
    time | None,
    time | None,
]


@dataclass(frozen=True, slots=True)
class Window:
    """When a rate holds, in the deck's zone: ISO weekdays (1 is Monday) and a part of the day.

    `to_time` is the first minute outside. Where it is not after `from_time` the window crosses midnight and ends on
    the next day: what began on Friday evening still holds on Saturday morning. From 00:00 to 00:00 is a whole day.
    """

    days: frozenset[int] = EVERY_DAY
    from_time: time = MIDNIGHT
    to_time: time = MIDNIGHT

    def holds(self, local: datetime) -> bool:
        """Whether the window holds at `local`, a time on the wall in the deck's zone."""
        clock, today = local.time(), local.isoweekday()
        if self.from_time < self.to_time:
            return today in self.days and self.from_time <= clock < self.to_time
        yesterday = (today - 2) % 7 + 1
        return (today in self.days and clock >= self.from_time) or (
            yesterday in self.days and clock < self.to_time
        )

    def overlaps(self, other: Window) -> bool:
        """Whether some minute of the week is in both."""
        return any(a < d and c < b for a, b in self._spans() for c, d in other._spans())

    def _spans(self) -> list[tuple[int, int]]:
        """The stretches of the week that the window covers, in seconds since Monday 00:00, none over Sunday's end."""
        start, end = _seconds(self.from_time), _seconds(self.to_time)
        if end <= start:
            end += _DAY
        spans: list[tuple[int, int]] = []
        for day in self.days:
            a, b = (day - 1) * _DAY + start, (day - 1) * _DAY + end
            spans.append((a, min(b, _WEEK)))
            if b > _WEEK:
                spans.append((0, b - _WEEK))
        return spans


_DAY = 86_400
_WEEK = 7 * _DAY


def _seconds(clock: time) -> int:
    return clock.hour * 3600 + clock.minute * 60 + clock.second


@dataclass(frozen=True, slots=True)
class DeckRate:
    """One rate of a deck: where it leads, how it is priced and when it holds (None: no limit).

    Effective from its first instant up to, and without, `effective_until`; both are aware times.
    """

    rate_id: int
    prefix: str
    destination_name: str
    rate: Rate
    effective_from: datetime | None = None
    effective_until: datetime | None = None
    window: Window | None = None


@dataclass(frozen=True, slots=True)
class Missed:
    """A rate whose prefix matched but which did not hold.

    `why` is `not_yet_effective`, `no_longer_effective` or `outside_window`.
    """

    rate: DeckRate
    why: str


@dataclass(frozen=True, slots=True)
class Found:
    """The rate in force (None: no rate) and the matching ones passed over on the way to it, longest prefix first."""

    rate: DeckRate | None
    missed: tuple[Missed, ...]


class RateTable:
    """The rates of one deck version: `find` answers with the one in force for a destination.

    `rows` are tuples in the order of `COLUMNS`; `precision` and `rounding` are the deck's, `zone` the name of its
    time zone, in which the windows are meant. Raises ValueError where a row makes no sense.
    """

    __slots__ = ("_by_prefix", "_lengths", "_size", "_zone")

    def __init__(
        self,
        rows: Iterable[Row],
        *,
        precision: int = 4,
        rounding: str = "half_up",
        zone: str = "UTC",
    ) -> None:
        self._zone = ZoneInfo(zone)
        # A prefix with one rate that always holds leads to it directly; any other to a tuple of candidates.
        self._by_prefix: dict[str, DeckRate | tuple[DeckRate, ...]] = {}
        self._size = 0
        self._fill(rows, precision, rounding)
        self._lengths = tuple(sorted({len(prefix) for prefix in self._by_prefix}, reverse=True))

    def _fill(self, rows: Iterable[Row], precision: int, rounding: str) -> None:
        table = self._by_prefix
        # A deck has few different prices, names and windows: the rates share them.
        rates: dict[tuple[int, int, int, int, int], Rate] = {}
        names: dict[str, str] = {}
        windows: dict[Window, Window] = {}
        several: set[str] = set()
        for rate_id, prefix, name, price, connect, first, step, grace, since, until, days, start, end in rows:
            pricing = (price, connect, first, step, grace)
            rate = rates.get(pricing)
            if rate is None:
                rate = rates[pricing] = Rate(price, connect, first, step, grace, precision, rounding)
            self._size += 1
            name = names.setdefault(name, name)
            window = _window(days, start, end)
            if window is None and since is None and until is None and prefix not in table:
                table[prefix] = DeckRate(rate_id, prefix, name, rate)
                continue
            if window is not None:
                window = windows.setdefault(window, window)
            others = table.get(prefix, ())
            if isinstance(others, DeckRate):
                others = (others,)
            table[prefix] = (*others, DeckRate(rate_id, prefix, name, rate, since, until, window))
            several.add(prefix)
        for prefix in several:
            candidates = table[prefix]
            if isinstance(candidates, tuple):
                table[prefix] = tuple(sorted(candidates, key=_precedence))

    def __len__(self) -> int:
        return self._size

    def candidates(self) -> Iterator[tuple[DeckRate, ...]]:
        """The rates of each prefix, in the order in which they are taken."""
        for hit in self._by_prefix.values():
            yield (hit,) if isinstance(hit, DeckRate) else hit

    def holding(self, candidates: Iterable[DeckRate], at: datetime) -> DeckRate | None:
        """The first of these rates that is in force at `at`; None where none is."""
        return next((one for one in candidates if self._why_not(one, at) is None), None)

    def find(self, destination: str, at: datetime) -> DeckRate | None:
        """The rate in force at `at` (an aware time) for a destination in E.164 digits; None where there is none."""
        get = self._by_prefix.get
        for length in self._lengths:
            hit = get(destination[:length])
            if hit is None:
                continue
            if isinstance(hit, DeckRate):
                return hit
            for candidate in hit:
                if self._why_not(candidate, at) is None:
                    return candidate
        return None

    def find_with_reason(self, destination: str, at: datetime) -> Found:
        """As `find`, with the longer prefixes and other rates that matched but did not hold, and why."""
        missed: list[Missed] = []
        for length in self._lengths:
            if length > len(destination):
                continue
            hit = self._by_prefix.get(destination[:length], ())
            for candidate in (hit,) if isinstance(hit, DeckRate) else hit:
                why = self._why_not(candidate, at)
                if why is None:
                    return Found(candidate, tuple(missed))
                missed.append(Missed(candidate, why))
        return Found(None, tuple(missed))

    def _why_not(self, candidate: DeckRate, at: datetime) -> str | None:
        if candidate.effective_from is not None and at < candidate.effective_from:
            return "not_yet_effective"
        if candidate.effective_until is not None and at >= candidate.effective_until:
            return "no_longer_effective"
        if candidate.window is not None and not candidate.window.holds(at.astimezone(self._zone)):
            return "outside_window"
        return None


def _window(days: list[int] | None, from_time: time | None, to_time: time | None) -> Window | None:
    if days is None and from_time is None and to_time is None:
        return None
    return Window(frozenset(days) if days else EVERY_DAY, from_time or MIDNIGHT, to_time or MIDNIGHT)


def _precedence(candidate: DeckRate) -> tuple[bool, float, int]:
    # An imported deck has no two rates that hold at once. Should one have them: the more particular, then the newer.
    since = candidate.effective_from
    return (candidate.window is None, -since.timestamp() if since else float("inf"), -candidate.rate_id)
