"""How values look to a cardholder: by the rules of their language (CLDR), in the digits of their card and keypad.

Functions answer plain text; the filters of the same names put it into `<bdi>`, so that a number keeps its order inside
a sentence of any direction.
"""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from decimal import Decimal

import phonenumbers
from babel import dates, numbers
from flask import Flask
from flask_babel import gettext as _
from flask_babel import ngettext
from markupsafe import Markup, escape

from engine.money import MICROS
from portal.cardholder.languages import language
from portal.installation import zone


def init_app(app: Flask) -> None:
    """Make the filters known to the templates."""
    app.jinja_env.filters.update(
        own_money=lambda micros, currency: _apart(money(micros, currency)),
        own_number=lambda value: _apart(number(value)),
        own_day=lambda instant: _time(instant, day(instant)),
        own_when=lambda instant: _time(instant, when(instant)),
        own_until=lambda instant: _time(instant, until(instant)),
        own_span=lambda seconds: _apart(span(seconds)),
        own_minutes=lambda seconds: _apart(minutes(seconds)),
        own_phone=lambda digits: _ltr(phone(digits)),
        own_digits=lambda text: _ltr(grouped(text)),
    )


def money(micros: int, currency: str) -> str:
    """An amount with its currency's sign, exact: at least the currency's own decimals, more where there are more."""
    value = Decimal(micros) / MICROS
    return numbers.format_currency(value, currency, locale=language(), decimal_quantization=False)


def amount(micros: int) -> str:
    """An amount without its currency."""
    return numbers.format_decimal(Decimal(micros) / MICROS, locale=language(), decimal_quantization=False)


def number(value: int) -> str:
    """A whole number."""
    return numbers.format_decimal(value, locale=language())


def day(instant: datetime) -> str:
    """The day of an instant in the reader's zone: `3 May 2026`."""
    return dates.format_date(instant.astimezone(zone()), "long", locale=language())


def when(instant: datetime) -> str:
    """A day with its time, to the minute."""
    local = instant.astimezone(zone())
    return dates.format_datetime(local, _date_and_time(), tzinfo=zone(), locale=language())


def _date_and_time() -> str:
    locale = dates.Locale.parse(language())
    joined = str(locale.datetime_formats["medium"])
    at = locale.time_formats["short"].pattern
    return joined.replace("{1}", locale.date_formats["medium"].pattern).replace("{0}", at)


def until(instant: datetime) -> str:
    """When something is over: the day before where that is a midnight of the reader's zone, else with its time."""
    local = instant.astimezone(zone())
    if local.time() != time.min:
        return when(instant)
    return day(instant - timedelta(microseconds=1))


def span(seconds: int) -> str:
    """A duration in words: `1 minute 5 seconds`, with nothing that is zero but a plain `0 seconds`."""
    hours, rest = divmod(seconds, 3600)
    whole, left = divmod(rest, 60)
    parts = (
        ngettext("%(count)s hour", "%(count)s hours", hours, count=number(hours)) if hours else "",
        _minutes(whole) if whole else "",
        _seconds(left) if left or not seconds else "",
    )
    return " ".join(part for part in parts if part)


def minutes(seconds: int) -> str:
    """A duration in whole minutes, rounded down; in seconds where it is less than one."""
    return _seconds(seconds) if 0 < seconds < 60 else _minutes(seconds // 60)


def _minutes(value: int) -> str:
    return ngettext("%(count)s minute", "%(count)s minutes", value, count=number(value))


def _seconds(value: int) -> str:
    return ngettext("%(count)s second", "%(count)s seconds", value, count=number(value))


def phone(digits: str) -> str:
    """A telephone number as people write it abroad: `+880 1712 345678`."""
    if not digits.isdecimal():
        return digits
    try:
        parsed = phonenumbers.parse(f"+{digits}")
    except phonenumbers.NumberParseException:
        return f"+{digits}"
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.INTERNATIONAL)


def quoted_phone(digits: str) -> str:
    """The same for plain sentences: kept from left to right among words that run from right to left."""
    return f"\u2066{phone(digits)}\u2069"


def in_one_piece(text: str) -> str:
    """Digits in groups, on one line and from left to right wherever they stand: paper has no other way."""
    return f"\u2066{text}\u2069".replace(" ", "\u00a0").replace("-", "\u2011") if text else ""


def grouped(text: str) -> str:
    """Digits in groups of four, as they are read aloud."""
    return " ".join(text[at : at + 4] for at in range(0, len(text), 4))


def relative(instant: datetime, now: datetime) -> str:
    """How far off something is, in whole days: `today`, `tomorrow`, `in 12 days`."""
    days = (instant.astimezone(zone()).date() - now.astimezone(zone()).date()).days
    if days == 0:
        return _("today")
    if days == 1:
        return _("tomorrow")
    return dates.format_timedelta(
        timedelta(days=days), granularity="day", threshold=365, add_direction=True, locale=language()
    )


def _apart(text: str) -> Markup:
    return Markup("<bdi>{}</bdi>").format(text)


def _ltr(text: str) -> Markup:
    return Markup('<bdi dir="ltr" class="digits">{}</bdi>').format(text)


def _time(instant: datetime, text: str) -> Markup:
    exact = instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return Markup('<time datetime="{}"><bdi>{}</bdi></time>').format(exact, escape(text))
