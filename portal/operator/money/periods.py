"""The days that a report is over: a period that moves with the day, or one's own; in the reader's zone."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

PERIODS = {
    "today": "Today",
    "yesterday": "Yesterday",
    "last-7-days": "Last 7 days",
    "this-month": "This month",
    "last-month": "Last month",
    "own": "Own days",
}
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
USUAL = "last-7-days"
LONGEST_DAYS = 3_700
"""Ten years: what a person may mean."""


def days_of(period: str, today: date) -> tuple[date, date]:
    """The first and the last day of a period that moves with the day."""
    first = today.replace(day=1)
    before = first - timedelta(days=1)
    return {
        "today": (today, today),
        "yesterday": (today - timedelta(days=1), today - timedelta(days=1)),
        "last-7-days": (today - timedelta(days=6), today),
        "this-month": (first, today),
        "last-month": (before.replace(day=1), before),
    }[period]


def own_days(first: str, last: str, today: date) -> tuple[tuple[date, date], dict[str, str]]:
    """The days that somebody typed, and what is wrong with them by field; the last defaults to today."""
    wrong: dict[str, str] = {}
    ends = []
    for name, text, usual in (("from", first, today), ("to", last, today)):
        try:
            if text and not _DAY.fullmatch(text):
                raise ValueError
            day = date.fromisoformat(text) if text else usual
            if not 2000 <= day.year <= 2100:
                raise ValueError
            ends.append(day)
        except ValueError:
            wrong[name] = "There is no such day. Type it as year-month-day, such as 2026-05-31."
    if not wrong and ends[1] < ends[0]:
        wrong["to"] = "The period ends before it begins."
    elif not wrong and (ends[1] - ends[0]).days > LONGEST_DAYS:
        wrong["from"] = "That is too long: choose at most ten years."
    return ((today, today) if wrong else (ends[0], ends[1])), wrong


def begin_of(day: date, zone: ZoneInfo) -> datetime:
    """The first instant of a day of a zone."""
    return datetime.combine(day, time(), zone).astimezone(UTC)
