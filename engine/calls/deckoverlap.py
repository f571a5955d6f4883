"""No two rates of a deck may hold at once for the same prefix: the check of a rate sheet for such pairs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from engine.calls.deckcells import end_of_day
from engine.calls.deckproblem import Problem
from engine.calls.deckrow import DeckRow
from engine.calls.ratetable import MIDNIGHT, Window

MOST_RATES_OF_A_PREFIX = 200
_BEGINNING = datetime.min.replace(tzinfo=UTC)
_END = datetime.max.replace(tzinfo=UTC)


def check_overlaps(
    rows: list[DeckRow],
    whole_days: set[int],
    zone: ZoneInfo,
    problems: list[Problem],
    note: Callable[..., Any],
) -> None:
    """Adds a problem for each rate that would hold together with another; `rows` are changed in one case.

    Carriers write the day on which the next price begins as the last day of the one before. Where a rate's last day
    was written without a time (its index is in `whole_days`) and the next begins on that day, it ends at that day's
    beginning, and `note` is told.
    """
    first: dict[str, int] = {}
    several: dict[str, list[int]] = {}
    for index, row in enumerate(rows):
        known = first.setdefault(row.prefix, index)
        if known != index:
            several.setdefault(row.prefix, [known]).append(index)
    found: list[Problem] = []
    for prefix, indexes in several.items():
        if len(indexes) > MOST_RATES_OF_A_PREFIX:
            data = {"prefix": prefix, "limit": MOST_RATES_OF_A_PREFIX}
            found.append(Problem(rows[indexes[0]].line, None, "too_many_for_prefix", data))
            continue
        _cut_last_days(rows, indexes, whole_days, zone, note)
        found.extend(_overlaps(rows, indexes))
    problems.extend(sorted(found, key=lambda problem: problem.line))


def _cut_last_days(
    rows: list[DeckRow], indexes: list[int], whole_days: set[int], zone: ZoneInfo, note: Callable[..., Any]
) -> None:
    starts = {rows[index].effective_from for index in indexes}
    for index in indexes:
        row = rows[index]
        if index not in whole_days or row.effective_until is None:
            continue
        for start in starts:
            last_day_begins = start is not None and end_of_day(start, zone) == row.effective_until
            if last_day_begins and start != row.effective_from:
                rows[index] = row._replace(effective_until=start)
                note("until_cut")


def _overlaps(rows: list[DeckRow], indexes: list[int]) -> list[Problem]:
    """A problem for each rate of one prefix that meets an earlier one, in the order in which they begin."""
    found = []
    standing: list[DeckRow] = []
    for row in sorted(
        (rows[index] for index in indexes), key=lambda one: (one.effective_from or _BEGINNING, one.line)
    ):
        start = row.effective_from or _BEGINNING
        standing = [one for one in standing if (one.effective_until or _END) > start]
        window = _window(row)
        clash = next((one for one in standing if _window(one).overlaps(window)), None)
        if clash is None:
            standing.append(row)
            continue
        line, other = max(row.line, clash.line), min(row.line, clash.line)
        found.append(Problem(line, None, _code(row, clash), {"prefix": row.prefix, "other": other}))
    return found


def _window(row: DeckRow) -> Window:
    if row.days is None:
        return Window()
    return Window(frozenset(row.days), row.from_time or MIDNIGHT, row.to_time or MIDNIGHT)


def _code(row: DeckRow, other: DeckRow) -> str:
    if (row.effective_from, row.effective_until) != (other.effective_from, other.effective_until):
        return "overlapping_dates"
    same_hours = (row.days, row.from_time, row.to_time) == (other.days, other.from_time, other.to_time)
    return "duplicate_prefix" if same_hours else "overlapping_windows"
