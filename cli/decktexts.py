"""What `cardtone decks` says: previews of imports, decks and rates, as text and as data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from cli.tables import table
from engine.calls.deckfile import DeckRow, Problem, describe
from engine.calls.decks import DeckImport, DeckView, LookUp
from engine.calls.ratetable import Missed
from engine.calls.rating import charge
from engine.money import format_amount, format_money

FIRST_ROWS = 5
MOST_LINES = 100
"""So many problems or warnings are shown; --json has them all."""

_WHY = {
    "not_yet_effective": "is not effective yet",
    "no_longer_effective": "is not effective any more",
    "outside_window": "is outside its days and hours",
}
_ROUNDED = {"half_up": "rounded", "up": "rounded up", "down": "rounded down"}


def told_text(told: DeckImport, dry_run: bool) -> str:
    """An import, or what it would be: the rates, how the file was read, what is wrong with it."""
    file = told.file
    parts = []
    if dry_run and file.mapping:
        parts.append("Columns\n" + table(["Field", "Column"], list(file.mapping.items())))
    if dry_run and file.rows:
        parts.append(f"First rates\n{_rates(file.rows[:FIRST_ROWS])}")
    for title, problems in (("Read as", file.notes), ("Look at", file.warnings), ("Wrong", file.problems)):
        if problems:
            parts.append(f"{title}\n{_lines(problems)}")
    if not file.problems:
        parts.append(_sum(told, dry_run))
    return "\n\n".join(parts)


def refused_text(problems: Sequence[Problem]) -> str:
    """Why a file was refused, line by line."""
    return f"Wrong\n{_lines(problems)}"


def _sum(told: DeckImport, dry_run: bool) -> str:
    what = f"{told.rates:,} rate{'' if told.rates == 1 else 's'}"
    if told.new_deck:
        deck = f"the new deck {told.deck} in {told.currency}"
        counted = ""
    else:
        deck = told.deck
        counted = (
            f"\nPrefixes: {told.added:,} added, {told.changed:,} changed, {told.removed:,} removed, "
            f"{told.unchanged:,} as before."
        )
    until = f", until a later version takes its place on {_time(told.until)}" if told.until else ""
    said = f"{what} for {deck}, in force from {_time(told.effective_from)}{until}.{counted}"
    if not told.new_deck and told.removed > told.added + told.changed + told.unchanged:
        said += (
            "\nTake care: most of the prefixes in force so far are not in this file, and will have no rate. "
            "A file that holds only what changes is imported with --merge."
        )
    if told.merged:
        said += f"\nWith the rates that stay the version has {told.total:,}."
    return f"Nothing was changed. An import would bring {said}" if dry_run else f"Imported {said}"


def _rates(rows: Sequence[DeckRow]) -> str:
    headers = ["Prefix", "Destination", "Per minute", "Connect", "First", "Then", "Grace"]
    numbers = headers[2:]
    cells: list[list[object]] = [
        [
            row.prefix,
            row.destination_name,
            format_amount(row.price_per_minute),
            format_amount(row.connect_fee),
            f"{row.first_increment} s",
            f"{row.increment} s",
            f"{row.grace} s",
        ]
        for row in rows
    ]
    if any(row.effective_from or row.effective_until or row.days for row in rows):
        headers.append("Only")
        for line, row in zip(cells, rows, strict=True):
            line.append(_only(row))
    return table(headers, cells, right=numbers)


def _only(row: DeckRow) -> str:
    """When a rate holds, where it does not always."""
    parts = []
    if row.effective_from:
        parts.append(f"from {_time(row.effective_from)}")
    if row.effective_until:
        parts.append(f"before {_time(row.effective_until)}")
    if row.days:
        days = ",".join(("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")[day - 1] for day in row.days)
        parts.append(f"{days} {row.from_time:%H:%M}-{row.to_time:%H:%M}")
    return "; ".join(parts)


def _lines(problems: Sequence[Problem]) -> str:
    lines = [f"  {describe(problem)}" for problem in problems[:MOST_LINES]]
    if len(problems) > MOST_LINES:
        lines.append(f"  and {len(problems) - MOST_LINES:,} more; --json lists them all")
    return "\n".join(lines)


def deck_text(deck: DeckView) -> str:
    """A deck and its versions."""
    decimals = f"{deck.precision} decimal{'' if deck.precision == 1 else 's'}"
    terms = f"{deck.name}: {deck.currency}, charges {_ROUNDED[deck.rounding]} to {decimals}, days in {deck.timezone}"
    if deck.buy_deck:
        terms += f", bought at {deck.buy_deck}"
    headers = ["Version", "In force from", "State", "Rates", "File", "Imported by"]
    rows = [
        [one.id, _time(one.effective_from), one.state, f"{one.rates:,}", one.source, one.created_by]
        for one in deck.versions
    ]
    return f"{terms}\n\n{table(headers, rows, right=['Version', 'Rates'])}"


def decks_text(decks: Sequence[DeckView]) -> str:
    """Every deck on a line."""
    rows = []
    for deck in decks:
        force = deck.in_force
        coming = sum(version.state == "coming" for version in deck.versions)
        since = _time(force.effective_from) if force else "not yet"
        rows.append([deck.name, deck.currency, f"{force.rates:,}" if force else "", since, coming or ""])
    return table(["Deck", "Currency", "Rates", "In force since", "Coming"], rows, right=["Rates", "Coming"])


def rate_text(found: LookUp) -> str:
    """The rate of a number, what a minute and ten of it cost, and why it is this one."""
    number = f"+{found.destination.e164} ({', '.join(sorted(found.destination.groups))})"
    passed = [f"  {_passed_over(one)}" for one in found.found.missed]
    hit = found.found.rate
    if hit is None:
        lines = [f"{number} has no rate in {found.deck}.", *passed]
        return "\n".join(lines)
    rate, currency = hit.rate, found.currency
    lines = [
        f"{number}: {hit.destination_name}",
        f"  {format_money(rate.price_per_minute, currency)} a minute, first {rate.first_increment} s, "
        f"then steps of {rate.increment} s"
        + (f", connect fee {format_money(rate.connect_fee, currency)}" if rate.connect_fee else "")
        + (f", free up to {rate.grace} s" if rate.grace else ""),
        f"  1 minute costs {format_money(charge(rate, 60), currency)}, "
        f"10 minutes {format_money(charge(rate, 600), currency)}",
        f"Why: {hit.prefix} is the longest prefix that matches in {found.deck}, "
        f"in force since {_time(found.effective_from)}.",
        *passed,
    ]
    return "\n".join(lines)


def _passed_over(missed: Missed) -> str:
    return f"{missed.rate.prefix} ({missed.rate.destination_name}) matches too, but {_WHY[missed.why]}."


def _time(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def told_data(told: DeckImport, dry_run: bool) -> dict[str, Any]:
    """An import as data."""
    return {
        "deck": told.deck,
        "currency": told.currency,
        "dry_run": dry_run,
        "new_deck": told.new_deck,
        "version": told.version_id,
        "effective_from": told.effective_from.isoformat(),
        "until": told.until.isoformat() if told.until else None,
        "precision": told.precision,
        "rounding": told.rounding,
        "timezone": told.timezone,
        "rates": told.rates,
        "merged": told.merged,
        "total": told.total,
        "added": told.added,
        "changed": told.changed,
        "removed": told.removed,
        "unchanged": told.unchanged,
        "mapping": told.file.mapping,
        "notes": [describe(note) for note in told.file.notes],
        "warnings": problems_data(told.file.warnings),
        "problems": problems_data(told.file.problems),
    }


def problems_data(problems: Iterable[Problem]) -> list[dict[str, Any]]:
    """Problems as data."""
    return [
        {"line": one.line, "column": one.column, "code": one.code, "message": describe(one)}
        for one in problems
    ]


def deck_data(deck: DeckView) -> dict[str, Any]:
    """A deck as data."""
    return {
        "name": deck.name,
        "currency": deck.currency,
        "precision": deck.precision,
        "rounding": deck.rounding,
        "timezone": deck.timezone,
        "buy_deck": deck.buy_deck,
        "versions": [
            {
                "id": one.id,
                "state": one.state,
                "effective_from": one.effective_from.isoformat(),
                "rates": one.rates,
                "file": one.source,
                "imported_by": one.created_by,
            }
            for one in deck.versions
        ],
    }


def rate_data(found: LookUp) -> dict[str, Any]:
    """A look-up as data; `rate` is None where there is none."""
    hit = found.found.rate
    return {
        "deck": found.deck,
        "destination": found.destination.e164,
        "groups": sorted(found.destination.groups),
        "rate": None
        if hit is None
        else {
            "prefix": hit.prefix,
            "destination_name": hit.destination_name,
            "currency": found.currency,
            "price_per_minute": format_amount(hit.rate.price_per_minute),
            "connect_fee": format_amount(hit.rate.connect_fee),
            "first_increment": hit.rate.first_increment,
            "increment": hit.rate.increment,
            "grace": hit.rate.grace,
        },
        "passed_over": [{"prefix": one.rate.prefix, "why": one.why} for one in found.found.missed],
    }
