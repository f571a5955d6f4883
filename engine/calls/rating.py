"""What a call costs and how long a balance lasts: pure integer arithmetic, without database or clock.

Amounts are whole micro-units, durations whole seconds. For a call of `duration` seconds:

    billed seconds = 0                                             if duration <= grace, or duration = 0
                   = first increment                               if duration <= first increment
                   = first + ceil((duration - first) / inc) * inc  otherwise
    charge         = 0                                             if nothing is billed
                   = round(connect fee + price per minute * billed seconds / 60), rounded once

A charge never falls as a call gets longer, which is why `max_seconds` can solve for the duration instead of
searching for it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

ROUNDINGS = ("half_up", "up", "down")
MAX_PRECISION = 6
DEFAULT_TOLERANCE_MS = 200
"""How far a switch may be late in cutting a call without another second being billed."""

_UNITS = (1_000_000, 100_000, 10_000, 1_000, 100, 10, 1)
"""The smallest step of a charge in micro-units, by precision."""


@dataclass(frozen=True, slots=True)
class Rate:
    """How a call is priced. `price_per_minute` and `connect_fee` are micro-units, the increments and `grace`
    seconds, `precision` the decimals that a charge keeps (0 to 6), `rounding` one of `ROUNDINGS`.

    Raises ValueError where a value makes no sense.
    """

    price_per_minute: int
    connect_fee: int = 0
    first_increment: int = 1
    increment: int = 1
    grace: int = 0
    precision: int = 4
    rounding: str = "half_up"

    def __post_init__(self) -> None:
        for name, least in _LEAST:
            value = getattr(self, name)
            if type(value) is not int:
                raise ValueError(f"{name} must be a whole number, not {value!r}")
            if value < least:
                raise ValueError(f"{name} must be at least {least}, not {value}")
        if self.precision > MAX_PRECISION:
            raise ValueError(f"precision must be at most {MAX_PRECISION}, not {self.precision}")
        if self.rounding not in ROUNDINGS:
            raise ValueError(f"rounding must be one of {', '.join(ROUNDINGS)}, not {self.rounding!r}")


_LEAST = (
    ("price_per_minute", 0),
    ("connect_fee", 0),
    ("first_increment", 1),
    ("increment", 1),
    ("grace", 0),
    ("precision", 0),
)


def billed_seconds(rate: Rate, duration_s: int) -> int:
    """The seconds that a call of `duration_s` is billed for: whole increments, or none up to the grace seconds."""
    if duration_s < 0:
        raise ValueError(f"duration_s must not be negative, not {duration_s}")
    if duration_s == 0 or duration_s <= rate.grace:
        return 0
    beyond = duration_s - rate.first_increment
    if beyond <= 0:
        return rate.first_increment
    return rate.first_increment + -(-beyond // rate.increment) * rate.increment


def charge(rate: Rate, duration_s: int) -> int:
    """What a call of `duration_s` costs, in micro-units; rounded once, to the rate's precision."""
    billed = billed_seconds(rate, duration_s)
    if billed == 0:
        return 0
    unit = _UNITS[rate.precision]
    # The exact cost is a whole number of sixtieths of a micro-unit: nothing is lost before the one rounding.
    sixtieths = 60 * rate.connect_fee + rate.price_per_minute * billed
    step = 60 * unit
    if rate.rounding == "half_up":
        return (2 * sixtieths + step) // (2 * step) * unit
    if rate.rounding == "up":
        return -(-sixtieths // step) * unit
    return sixtieths // step * unit


def max_seconds(rate: Rate, available: int, cap_s: int) -> int:
    """The longest duration, at most `cap_s`, whose charge `available` micro-units cover.

    0, a refusal, where they do not cover even the first second that is charged. No search: the largest exact cost
    that still rounds to an affordable charge gives the billed seconds, and those the duration.
    """
    if cap_s <= 0:
        return 0
    per_minute, first, increment = rate.price_per_minute, rate.first_increment, rate.increment
    most = _largest_affordable(rate, available) - 60 * rate.connect_fee
    if per_minute * billed_seconds(rate, rate.grace + 1) > most:
        return 0
    if per_minute == 0:
        return cap_s
    return min(cap_s, first + (most // per_minute - first) // increment * increment)


def _largest_affordable(rate: Rate, available: int) -> int:
    """The largest exact cost, in sixtieths of a micro-unit, that is rounded to no more than `available`."""
    unit = _UNITS[rate.precision]
    step = 60 * unit
    affordable = available // unit * step
    if rate.rounding == "half_up":
        return affordable + step // 2 - 1
    if rate.rounding == "up":
        return affordable
    return affordable + step - 1


def seconds_from_ms(duration_ms: int, tolerance_ms: int = DEFAULT_TOLERANCE_MS) -> int:
    """Whole seconds of a reported duration: a fraction of up to `tolerance_ms` is dropped, a longer one counts whole.

    Switches cut a call of seven seconds at 7.004 s; that is seven seconds.
    """
    if duration_ms < 0:
        raise ValueError(f"duration_ms must not be negative, not {duration_ms}")
    whole, fraction = divmod(duration_ms, 1000)
    return whole + (fraction > tolerance_ms)


def with_fees(rate: Rate, per_minute: int, per_call: int) -> Rate:
    """The rate with surcharges: `per_minute` micro-units on the price, `per_call` (a post-call fee too) on the
    connect fee, so that everything is rounded together, once."""
    if per_minute == 0 and per_call == 0:
        return rate
    return replace(
        rate,
        price_per_minute=rate.price_per_minute + per_minute,
        connect_fee=rate.connect_fee + per_call,
    )
