"""The cells of a rate sheet as carriers write them: prefixes, amounts, increments, dates, days and times.

Every function takes the text of a cell, stripped, and returns its value or raises `CellError`; none guesses.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from engine.calls.deckproblem import CellError
from engine.money import AmountError, parse_amount

MOST_PREFIX_DIGITS = 15
MOST_PREFIXES_IN_A_CELL = 1_000
MOST_SECONDS = 86_400
MAX_PRICE = 10**15
"""Micro-units: a thousand million units, so that no call overflows a BIGINT."""

FIRST_YEAR, LAST_YEAR = 2000, 2100

_SCIENTIFIC = re.compile(r"[+-]?[0-9]+(?:[.,][0-9]+)?[eE][+-]?[0-9]+", re.ASCII)
_DECIMAL = re.compile(r"[0-9]+[.,][0-9]+", re.ASCII)
_ALL_ZEROS_BEHIND = re.compile(r"([0-9]+)\.0+", re.ASCII)


def _shown(text: str) -> str:
    return text if len(text) <= 40 else text[:39] + "…"


# Prefixes

_INTERNATIONAL = re.compile(r"(?:\+|00)?([1-9][0-9]{0,14})", re.ASCII)
_THOUSANDS = re.compile(r"[0-9]{1,3}(?:,[0-9]{3})+", re.ASCII)
_RANGE = re.compile(r"([0-9]{4,})\s*[-–]\s*([0-9]{4,})", re.ASCII)
_ONE = re.compile(r"(?:\+|00)?\s*[0-9][0-9 ().-]*", re.ASCII)
_COMMA = re.compile(r"([0-9]+),([0-9]+)", re.ASCII)
_BETWEEN = {ord(character): None for character in " ().-"}


def prefixes_in(text: str) -> list[str]:
    """The prefixes that a cell stands for: one, a list (`880171;880172`) or a range (`880173-880175`).

    `+44`, `0044`, `44-20` and `44 20` are brought to digits. Groups of three digits between commas could be one
    number with thousands commas, and `44,20` one with a decimal comma: both are refused.
    """
    simple = _INTERNATIONAL.fullmatch(text)
    if simple is not None:
        return [simple[1]]
    if _SCIENTIFIC.fullmatch(text):
        raise CellError("prefix_scientific", text=_shown(text))
    if _THOUSANDS.fullmatch(text) or ((two := _COMMA.fullmatch(text)) and two[1][0] != two[2][0]):
        raise CellError("prefix_comma", text=_shown(text))
    parts = [part.strip() for part in re.split(r"[,;|/\n]", text)]
    found: list[str] = []
    for part in parts:
        if part:
            found.extend(_range(part) or [_one_prefix(part)])
        if len(found) > MOST_PREFIXES_IN_A_CELL:
            raise CellError("prefix_range_wide", text=_shown(text), limit=MOST_PREFIXES_IN_A_CELL)
    if not found:
        raise CellError("missing")
    return found


def _range(part: str) -> list[str]:
    """The prefixes of `880173-880175`; none where it is not a range. A country code has at most three digits, so
    four or more on both sides of a dash cannot be a country code and an area code."""
    match = _RANGE.fullmatch(part)
    if match is None:
        return []
    low, high = match[1], match[2]
    if len(low) != len(high) or low > high or low[0] == "0" or len(low) > MOST_PREFIX_DIGITS:
        raise CellError("prefix_range", text=_shown(part))
    if int(high) - int(low) >= MOST_PREFIXES_IN_A_CELL:
        raise CellError("prefix_range_wide", text=_shown(part), limit=MOST_PREFIXES_IN_A_CELL)
    return [str(prefix) for prefix in range(int(low), int(high) + 1)]


def _one_prefix(part: str) -> str:
    plain = part.removeprefix("'")
    whole = _ALL_ZEROS_BEHIND.fullmatch(plain)
    if whole is not None:
        plain = whole[1]
    elif _SCIENTIFIC.fullmatch(plain):
        raise CellError("prefix_scientific", text=_shown(part))
    elif _DECIMAL.fullmatch(plain):
        raise CellError("prefix_decimal", text=_shown(part))
    if not _ONE.fullmatch(plain):
        raise CellError("prefix_not_digits", text=_shown(part))
    digits = plain.removeprefix("+").translate(_BETWEEN)
    if not plain.startswith("+"):
        digits = digits.removeprefix("00")
    if digits[:1] == "0" or not digits:
        raise CellError("prefix_zero", text=_shown(part))
    if len(digits) > MOST_PREFIX_DIGITS:
        raise CellError("prefix_too_long", text=_shown(part))
    return digits


_ZERO_BELONGS = frozenset({"39", "225", "242", "378", "379"})
"""Country codes behind which a national number's first zero is dialled from abroad too."""

_LOST_ZERO = {"39": "24569", "225": "157", "242": "456"}
"""Digits that nothing behind these country codes begins with, but that follow a zero there."""


def joined_prefixes(country_code: str, area_code: str) -> list[str]:
    """The prefixes of a country code and one or several area codes (none: the whole country), in two columns."""
    countries = prefixes_in(country_code)
    if not area_code:
        return countries
    if len(countries) != 1:
        raise CellError("prefix_not_digits", text=_shown(country_code))
    country = countries[0]
    found = []
    for area in re.split(r"[,;|/\n]", area_code):
        if not (plain := area.strip().translate(_BETWEEN)):
            continue
        if not (plain.isascii() and plain.isdigit()):
            raise CellError("prefix_not_digits", text=_shown(area.strip()))
        if plain[0] == "0" and country not in _ZERO_BELONGS:
            raise CellError("area_code_zero", text=_shown(area.strip()))
        if len(country + plain) > MOST_PREFIX_DIGITS:
            raise CellError("prefix_too_long", text=_shown(country + plain))
        found.append(country + plain)
    return found or countries


def zero_lost_from(prefix: str) -> str | None:
    """How numbers there begin, where a prefix looks as if a spreadsheet had taken a zero out of it; else None."""
    for code, digits in _LOST_ZERO.items():
        if prefix.startswith(code) and prefix[len(code) : len(code) + 1] in (*digits,):
            return code + "0" + prefix[len(code)]
    return None


# Amounts

_SYMBOLS = "$€£"


def amount(text: str, *, decimal_comma: bool = False) -> int:
    """Micro-units. A decimal comma is read only where `decimal_comma` (it is not what separates the columns), and
    never where three digits follow it: `1,500` may be one and a half or fifteen hundred."""
    plain = text.strip(_SYMBOLS).strip()
    comma = _COMMA.fullmatch(plain)
    if comma is not None and decimal_comma and (len(comma[2]) != 3 or not comma[1].strip("0")):
        plain = f"{comma[1]}.{comma[2]}"
    if "." in plain:
        whole, _, fraction = plain.partition(".")
        plain = f"{whole}.{fraction[:6]}{fraction[6:].rstrip('0')}"  # zeros say nothing more
    try:
        micros = parse_amount(plain)
    except AmountError as error:
        raise CellError(_amount_code(error.code, plain), text=_shown(text)) from None
    if micros > MAX_PRICE:
        raise CellError("amount_too_large", text=_shown(text))
    return micros


def _amount_code(code: str, plain: str) -> str:
    if _SCIENTIFIC.fullmatch(plain):
        return "scientific"
    if plain.startswith("-"):
        return "negative"  # whatever follows
    return _AMOUNT_CODES[code]


_AMOUNT_CODES = {
    "empty": "missing",
    "not_a_number": "not_a_number",
    "comma": "comma",
    "negative": "negative",
    "too_fine": "too_fine",
    "too_large": "amount_too_large",
}


# Seconds

_SECONDS = re.compile(r"([0-9]{1,9})(?:\.0+)?\s*(?:s|sec|secs|seconds?)?\.?", re.ASCII | re.IGNORECASE)
_PAIR = re.compile(r"(.+?)\s*[/+:]\s*(.+)")
_DATE_LIKE = re.compile(
    r"[0-9]{1,4}-[A-Za-z]{3}.*|[A-Za-z]{3}-[0-9]{1,2}|[0-9]{4}-[0-9]{2}-[0-9]{2}.*", re.ASCII
)


def seconds(text: str, least: int = 0) -> int:
    """Whole seconds, `60` or `60 s`, at least `least`."""
    if _DATE_LIKE.fullmatch(text):
        raise CellError("increment_date", text=_shown(text))
    match = _SECONDS.fullmatch(text)
    if match is None:
        raise CellError("negative" if text.startswith("-") else "seconds_invalid", text=_shown(text))
    value = int(match[1])
    if value < least:
        raise CellError("increment_zero", text=_shown(text))
    if value > MOST_SECONDS:
        raise CellError("seconds_too_large", text=_shown(text))
    return value


def increments(text: str) -> tuple[int, int] | int:
    """First increment and increment of `60/1`; one number where only one is written."""
    pair = None if _DATE_LIKE.fullmatch(text) else _PAIR.fullmatch(text)
    if pair is None:
        return seconds(text, 1)
    return seconds(pair[1], 1), seconds(pair[2], 1)


# Dates

_ISO = re.compile(r"([0-9]{4})[-/.]?([0-9]{2})[-/.]?([0-9]{2})", re.ASCII)
_DAY_FIRST = re.compile(r"([0-9]{1,2})\.([0-9]{1,2})\.([0-9]{4})", re.ASCII)
_SLASHES = re.compile(r"([0-9]{1,2})[/-]([0-9]{1,2})[/-]([0-9]{4})", re.ASCII)
_NAMED = re.compile(r"([0-9]{1,2})[ -]([A-Za-z]{3,9})[ ,-]+([0-9]{4})", re.ASCII)
_NAMED_FIRST = re.compile(r"([A-Za-z]{3,9})\.? ([0-9]{1,2}),? ([0-9]{4})", re.ASCII)
_MONTHS = (
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
)


def instant(text: str, zone: ZoneInfo) -> tuple[datetime, bool]:
    """The UTC instant at which a day begins in `zone`, and whether only a day was written (not a time too).

    Taken: ISO 8601 (with or without a time), 31.12.2026, 31-Dec-2026, Dec 31, 2026, and days with slashes where
    only one reading is possible.
    """
    try:
        day = _day(text)
        if day is not None:
            return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC), True
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise CellError("date_invalid", text=_shown(text)) from None
    _within_range(moment.year, text)
    only_day = moment.tzinfo is None and moment.time() == time(0)
    return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC), only_day


def end_of_day(begins: datetime, zone: ZoneInfo) -> datetime:
    """The midnight after the day that begins at the UTC instant `begins` in `zone`."""
    return (begins.astimezone(zone) + timedelta(days=1)).astimezone(UTC)


def _day(text: str) -> date | None:
    if match := _ISO.fullmatch(text):
        year, month, day = int(match[1]), int(match[2]), int(match[3])
    elif match := _DAY_FIRST.fullmatch(text):
        day, month, year = int(match[1]), int(match[2]), int(match[3])
    elif match := _SLASHES.fullmatch(text):
        one, two, year = int(match[1]), int(match[2]), int(match[3])
        if one <= 12 and two <= 12 and one != two:
            raise CellError("date_ambiguous", text=_shown(text))
        day, month = (one, two) if one > 12 else (two, one)
    elif match := _NAMED.fullmatch(text):
        day, month, year = int(match[1]), _month(match[2]), int(match[3])
    elif match := _NAMED_FIRST.fullmatch(text):
        month, day, year = _month(match[1]), int(match[2]), int(match[3])
    else:
        return None
    found = date(year, month, day)
    _within_range(year, text)
    return found


def _within_range(year: int, text: str) -> None:
    if not FIRST_YEAR <= year <= LAST_YEAR:
        raise CellError("date_out_of_range", text=_shown(text), first=FIRST_YEAR, last=LAST_YEAR)


def _month(name: str) -> int:
    for number, month in enumerate(_MONTHS, start=1):
        if month == name.lower() or month[:3] == name.lower() or (month[:4] == name.lower() and number == 9):
            return number
    raise ValueError(name)


# Days of the week and times of day

_DAY_NAMES = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_EVERY_DAY = tuple(range(1, 8))
_ALWAYS = frozenset(
    {"all", "all days", "daily", "every day", "everyday", "always", "any", "*", "all day", "24/7", "24h"}
)
_SETS = {
    "weekdays": (1, 2, 3, 4, 5),
    "weekday": (1, 2, 3, 4, 5),
    "weekend": (6, 7),
    "weekends": (6, 7),
    **dict.fromkeys(_ALWAYS, _EVERY_DAY),
}


def weekdays(text: str) -> tuple[int, ...]:
    """ISO weekdays (1 is Monday), sorted: `Mon-Fri`, `Sat, Sun`, `1-5`, `weekend`, `daily`."""
    plain = text.lower().replace("–", "-")
    if plain in _SETS:
        return _SETS[plain]
    found: set[int] = set()
    for part in re.split(r"[,;/ ]+", re.sub(r"\s*-\s*", "-", plain)):
        first, dash, last = part.partition("-")
        start, end = _weekday(first, text), _weekday(last if dash else first, text)
        found.update((start + n - 1) % 7 + 1 for n in range((end - start) % 7 + 1))
    return tuple(sorted(found))


def _weekday(name: str, text: str) -> int:
    if len(name) == 1 and name in "1234567":
        return int(name)
    for number, day in enumerate(_DAY_NAMES, start=1):
        if len(name) >= 2 and day.startswith(name.rstrip(".")):
            return number
    raise CellError("days_invalid", text=_shown(text))


_CLOCK = re.compile(r"([0-9]{1,2})[:.h]([0-9]{2})(?:[:.]([0-9]{2}))?", re.ASCII)


def clock(text: str, *, ends: bool = False) -> time:
    """A time of day. As the end of a window, 24:00 and 23:59 (a minute that nobody means to leave out) are midnight."""
    match = _CLOCK.fullmatch(text)
    if match is None:
        raise CellError("time_invalid", text=_shown(text))
    hour, minute, second = int(match[1]), int(match[2]), int(match[3] or 0)
    if ends and ((hour, minute, second) == (24, 0, 0) or (hour, minute) == (23, 59)):
        return time(0)
    if hour > 23 or minute > 59 or second > 59:
        raise CellError("time_invalid", text=_shown(text))
    return time(hour, minute, second)


def window(text: str) -> tuple[time, time]:
    """From and to of `08:00-20:00`; midnight to midnight for the whole day."""
    if text.lower() in _ALWAYS:
        return time(0), time(0)
    start, dash, end = text.replace("–", "-").partition("-")
    if not dash:
        raise CellError("window_invalid", text=_shown(text))
    return clock(start.strip()), clock(end.strip(), ends=True)
