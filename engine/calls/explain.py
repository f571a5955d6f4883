"""Why a call cost what it cost, in one sentence, from what its CDR keeps."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from engine.money import format_money


class Explained(Protocol):
    """What an explanation needs of a CDR (or of its correction laid over it)."""

    destination_name: str
    prefix: str
    answered_at: datetime | None
    duration_s: int
    billed_s: int
    price_per_minute: int
    connect_fee: int
    access_per_minute: int
    access_per_call: int
    post_call_fee: int
    first_increment: int
    increment: int
    grace: int
    precision: int
    rounding: str
    cost: int
    charged: int
    currency: str
    duration_ms: int | None
    flags: Sequence[str]


_ROUNDING = {"half_up": "rounded", "up": "rounded up", "down": "rounded down"}


def explain(cdr: Explained) -> str:
    """One plain English sentence: talked, billed, price, fees, rounding, and who bore what; what wasn't believed."""
    if cdr.billed_s == 0:
        where = f"{cdr.destination_name} (prefix {cdr.prefix})"
        if cdr.answered_at is None:
            why = "not answered"
        elif cdr.duration_s == 0:
            why = "answered, but no second of talk is known"
        else:
            why = f"{_spoken(cdr.duration_s)} of talk, within the {cdr.grace} free seconds"
        return f"{where}: {why}, so nothing was charged.{_not_believed(cdr)}"
    parts = [
        f"{cdr.destination_name} (prefix {cdr.prefix}): {_spoken(cdr.duration_s)} of talk, "
        f"billed as {_spoken(cdr.billed_s)}{_steps(cdr)} at {_price(cdr)}{_fees(cdr)}"
    ]
    parts.append(f" = {format_money(cdr.cost, cdr.currency)} ({_decimals(cdr)}).")
    if cdr.charged < cdr.cost:
        parts.append(
            f" The card could pay {format_money(cdr.charged, cdr.currency)}; "
            f"the operator bore {format_money(cdr.cost - cdr.charged, cdr.currency)}."
        )
    parts.append(_not_believed(cdr))
    return "".join(parts)


def _not_believed(cdr: Explained) -> str:
    if "duration_capped" not in cdr.flags or cdr.duration_ms is None:
        return ""
    return (
        f" The switch reported {_spoken(cdr.duration_ms // 1000)}, longer than since the call began, which "
        "is not believed."
    )


def _spoken(seconds: int) -> str:
    minutes, rest = divmod(seconds, 60)
    if minutes == 0:
        return f"{rest} s"
    return f"{minutes} min {rest} s" if rest else f"{minutes} min"


def _steps(cdr: Explained) -> str:
    if cdr.first_increment == cdr.increment == 1:
        return ""
    if cdr.first_increment == cdr.increment:
        return f" (in steps of {cdr.increment} s)"
    return f" (first {cdr.first_increment} s, then steps of {cdr.increment} s)"


def _price(cdr: Explained) -> str:
    price = f"{format_money(cdr.price_per_minute, cdr.currency)} a minute"
    if cdr.access_per_minute:
        price += f" (of which {format_money(cdr.access_per_minute, cdr.currency)} for the access number)"
    return price


def _fees(cdr: Explained) -> str:
    fees = [
        (cdr.connect_fee - cdr.access_per_call - cdr.post_call_fee, "connect fee"),
        (cdr.access_per_call, "access number fee"),
        (cdr.post_call_fee, "post-call fee"),
    ]
    said = [f"{name} {format_money(amount, cdr.currency)}" for amount, name in fees if amount]
    return "".join(f" + {fee}" for fee in said)


def _decimals(cdr: Explained) -> str:
    if cdr.precision == 0:
        return f"{_ROUNDING[cdr.rounding]} to whole {cdr.currency}"
    return f"{_ROUNDING[cdr.rounding]} to {cdr.precision} decimal{'' if cdr.precision == 1 else 's'}"
