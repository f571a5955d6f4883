"""How values look on a page: Jinja filters. All of them escape what they are given.

Money and counts keep every digit they have; times are in the reader's zone with the exact instant on hover.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

from flask import Flask
from markupsafe import Markup, escape

from engine.money import format_amount
from portal.installation import zone

MINUS = "\u2212"
NARROW = "\u202f"
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def init_app(app: Flask) -> None:
    """Make the filters known to the templates."""
    app.jinja_env.filters.update(
        amount=amount,
        cards=cards,
        cards_that=cards_that,
        count=count,
        day=day,
        date=date_text,
        duration=duration,
        money=money,
        roughly=roughly,
        serial=serial,
        shown_as=shown_as,
        signed=signed,
        until=until,
        when=when,
    )


def amount(micros: int, places: int = 2) -> str:
    """An amount without its currency: `1,234.50`, exact, with at least so many decimals, thousands apart."""
    whole, _, fraction = format_amount(abs(micros), places).partition(".")
    return f"{MINUS if micros < 0 else ''}{int(whole):,}.{fraction}"


def money(micros: int, currency: str) -> Markup:
    """An amount with its currency, on one line: `USD 1,234.50`. Its class tells how many decimals it has, so that the
    points of a column stand in line.
    """
    text = amount(micros)
    places = len(text.partition(".")[2])
    return _marked(
        '<span class="money d%s"><span class="currency">%s</span> %s</span>', places, currency, text
    )


def signed(micros: int, places: int = 2) -> str:
    """An amount as a change: `+5.00`, `−0.25`."""
    return f"+{amount(micros, places)}" if micros > 0 else amount(micros, places)


def shown_as(value: int, form: str) -> str:
    """A figure of a chart: a `count`, an `amount` of micro-units, or a `duration` in seconds."""
    return {"count": count, "amount": amount, "duration": duration}[form](value)


def count(number: int) -> str:
    """A count with its thousands apart: `50,000`."""
    return f"{number:,}".replace("-", MINUS)


def cards(number: int) -> str:
    """So many cards: `1 card`, `50,000 cards`."""
    return f"{count(number)} card{'' if number == 1 else 's'}"


_ONE_OF = {"are": "is", "were": "was", "have": "has"}


def cards_that(number: int, rest: str) -> str:
    """So many cards and what they do, told in the plural: `1 card is locked`, `3 cards are locked`."""
    verb, _, more = rest.partition(" ")
    return f"{cards(number)} {_ONE_OF.get(verb, verb) if number == 1 else verb} {more}".rstrip()


def when(instant: datetime | None, empty: str = "never") -> Markup:
    """A time in the reader's zone, to the minute: `3 May 2026, 14:02`; the exact instant in UTC on hover."""
    if instant is None:
        return escape(empty)
    return _time(instant, moment(instant))


def moment(instant: datetime) -> str:
    """The same within a sentence, as plain text."""
    local = instant.astimezone(zone())
    return f"{date_text(local)}, {local:%H:%M}"


def day(instant: datetime | None, empty: str = "never") -> Markup:
    """The day of a time in the reader's zone: `3 May 2026`."""
    return escape(empty) if instant is None else _time(instant, date_text(instant.astimezone(zone())))


def until(instant: datetime | None, empty: str = "never") -> Markup:
    """When something is over: `the end of 3 May 2026` where that is a midnight of the reader's zone, else as `when`."""
    if instant is None:
        return escape(empty)
    local = instant.astimezone(zone())
    if local.time() != time.min:
        return when(instant)
    return _time(instant, f"the end of {date_text(local.date() - timedelta(days=1))}")


def date_text(moment: date) -> str:
    """A day of the calendar: `3 May 2026`."""
    return f"{moment.day} {MONTHS[moment.month - 1]} {moment.year}"


def _time(instant: datetime, text: str) -> Markup:
    exact = instant.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
    return _marked('<time datetime="%sZ" title="%s UTC">%s</time>', exact.replace(" ", "T"), exact, text)


def duration(seconds: int) -> str:
    """Whole seconds in words: `45 s`, `1 min 5 s`, `2 h 3 min`, with nothing that is zero but a plain `0 s`."""
    hours, rest = divmod(seconds, 3600)
    minutes, left = divmod(rest, 60)
    parts = [f"{value} {unit}" for value, unit in ((hours, "h"), (minutes, "min"), (left, "s")) if value]
    return " ".join(parts) or "0 s"


def roughly(seconds: int) -> str:
    """A guess at a duration, no finer than it can be: `a few seconds`, `40 s`, `6 min`, `3 h`."""
    if seconds < 10:
        return "a few seconds"
    if seconds < 90:
        return f"{-(-seconds // 10) * 10} s"
    return f"{-(-seconds // 60)} min" if seconds < 5400 else f"{-(-seconds // 3600)} h"


def serial(text: str) -> Markup:
    """A serial in groups that are easy to read aloud; copied, it is still one run of digits."""
    groups = [text[at : at + 4] for at in range(0, len(text), 4)]
    return _marked(f'<span class="serial">{"<span>%s</span>" * len(groups)}</span>', *groups)


def _marked(template: str, *values: object) -> Markup:
    """The template with the values escaped in its places; many times as fast as `Markup.format`, for long lists."""
    return Markup(template % tuple(map(escape, values)))  # noqa: S704 - the template is ours, the rest is escaped
