"""How rates are said: prices to the last digit that matters, increments, hours and days in words, differences."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from decimal import ROUND_HALF_UP, Decimal
from zoneinfo import ZoneInfo

from flask.blueprints import BlueprintSetupState
from markupsafe import Markup, escape

from engine.calls.deckrow import DeckRow
from engine.calls.ratetable import DeckRate, Window
from engine.calls.rating import Rate
from engine.money import MICROS
from portal.formats import MINUS, amount, signed
from portal.operator.console import console

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
WEEKDAYS, WEEKEND = (1, 2, 3, 4, 5), (6, 7)
KINDS = {
    "added": ("calm", "New"),
    "dearer": ("warn", "Dearer"),
    "cheaper": ("good", "Cheaper"),
    "otherwise": ("faint", "Other terms"),
    "removed": ("bad", "Removed"),
}
STATES = {"in force": ("good", "In force"), "coming": ("calm", "Coming"), "past": ("faint", "Past")}
ROUNDINGS = {"half_up": "half up", "up": "always up", "down": "always down"}
WHY_NOT = {
    "not_yet_effective": "it is not effective yet",
    "no_longer_effective": "it is not effective any more",
    "outside_window": "its days and hours don't hold then",
}


@console.record_once
def init(state: BlueprintSetupState) -> None:
    """Make the words known to the templates."""
    state.app.jinja_env.filters.update(
        growth=growth,
        hours=hours,
        increments=increments,
        margin=margin,
        percent=percent,
        price=price,
        rate_dates=rate_dates,
        summed=summed,
    )
    state.app.jinja_env.globals.update(
        RATE_KINDS=KINDS, ROUNDINGS=ROUNDINGS, VERSION_STATES=STATES, WHY_NOT=WHY_NOT
    )


def price(micros: int) -> str:
    """A price per minute: four decimals, or as many as it has."""
    return amount(micros, 4)


def summed(micros: int, sign: bool = False) -> Markup:
    """A sum as it is read: to the cent from one unit on, all of its digits on hover; as a change with its `sign`."""
    exact = signed(micros) if sign else amount(micros)
    if abs(micros) < MICROS:
        return escape(exact)
    cent = MICROS // 100
    rounded = (2 * abs(micros) + cent) // (2 * cent) * cent * (-1 if micros < 0 else 1)
    shown = signed(rounded) if sign else amount(rounded)
    return Markup('<span title="{}">{}</span>').format(exact, shown)


def percent(value: Decimal | None) -> str:
    """A difference in percent, to a tenth: `+10 %`, `−3.5 %`."""
    if value is None:
        return ""
    rounded = value.quantize(Decimal("0.1"), ROUND_HALF_UP)
    sign = "+" if rounded > 0 else MINUS if rounded < 0 else ""
    return f"{sign}{abs(rounded):,}".removesuffix(".0") + "\u00a0%"


def margin(price: int, cost: int) -> str:
    """What is left of a price, in percent of it; nothing where the price is zero."""
    return percent(Decimal(price - cost) * 100 / Decimal(price)) if price else ""


def growth(before: int, after: int) -> str:
    """By how many percent a sum grew; nothing where it was zero."""
    return percent(Decimal(after - before) * 100 / Decimal(before)) if before else ""


def increments(rate: DeckRow | Rate) -> str:
    """First increment and increment, and what is free: `60/1 s, free up to 5 s`."""
    grace = f", free up to {rate.grace} s" if rate.grace else ""
    return f"{rate.first_increment}/{rate.increment} s{grace}"


def hours(rate: DeckRow | DeckRate) -> str:
    """The days and hours in which a rate holds, in its deck's zone; nothing where it always does."""
    if isinstance(rate, DeckRate):
        window: Window | None = rate.window
    elif rate.days is None:
        window = None
    else:
        window = Window(frozenset(rate.days), rate.from_time or time(0), rate.to_time or time(0))
    if window is None:
        return ""
    if window.from_time == window.to_time:
        return f"{_days(window)}, all day"
    over = " on the next day" if window.to_time < window.from_time and window.to_time != time(0) else ""
    end = "24:00" if window.to_time == time(0) else f"{window.to_time:%H:%M}"
    return f"{_days(window)}, {window.from_time:%H:%M}–{end}{over}"


def _days(window: Window) -> str:
    days = tuple(sorted(window.days))
    if len(days) == 7:
        return "Every day"
    if days in (WEEKDAYS, WEEKEND) or (len(days) > 2 and days == tuple(range(days[0], days[-1] + 1))):
        return f"{DAYS[days[0] - 1]}–{DAYS[days[-1] - 1]}"
    return ", ".join(DAYS[day - 1] for day in days)


def rate_dates(rate: DeckRow | DeckRate, zone: str) -> Markup:
    """From when until when a rate is effective, as days of its deck's zone; nothing where it always is."""
    parts = []
    if rate.effective_from is not None:
        parts.append(Markup("from {}").format(_moment(rate.effective_from, zone)))
    if rate.effective_until is not None:
        parts.append(Markup("until {}").format(_moment(rate.effective_until, zone, ends=True)))
    return Markup(" ").join(parts)


def _moment(instant: datetime, zone: str, *, ends: bool = False) -> Markup:
    local = instant.astimezone(ZoneInfo(zone))
    shown = local - timedelta(days=1) if ends and local.time() == time(0) else local
    text = f"{shown:%-d %b %Y}" if local.time() == time(0) else f"{shown:%-d %b %Y, %H:%M}"
    return Markup('<time datetime="{0}" title="{1}">{2}</time>').format(
        f"{instant.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
        f"{instant.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC",
        escape(f"the end of {text}" if ends and local.time() == time(0) else text),
    )
