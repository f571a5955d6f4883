"""What `cardtone decks` says of changes, differences and replays, as text and as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cli.tables import table
from engine.calls.deckchange import ChangePreview
from engine.calls.deckdiff import PrefixChange
from engine.money import format_amount
from engine.reports.replays import Replay, ReplayedLine

MOST_LINES = 200
"""So many differences are shown; --json has them all."""


def change_text(seen: ChangePreview, dry_run: bool) -> str:
    """What a change does: the first prices, and how many."""
    rows = [
        (one.prefix, one.destination_name, format_amount(one.old_price), format_amount(one.new_price))
        for one in seen.first
    ]
    shown = table(("Prefix", "Destination", "Before", "After"), rows, right=("Before", "After"))
    counted = f"{seen.changed:,} of {seen.rates:,} prices {'would change' if dry_run else 'change'}"
    when = f"{seen.effective_from:%Y-%m-%d %H:%M} UTC"
    free = f"\nTake care: {seen.free:,} of them cost nothing then." if seen.free else ""
    return f"{shown}\n\n{counted}, from {when} on.{free}"


def change_data(seen: ChangePreview, dry_run: bool) -> dict[str, Any]:
    """The same as data."""
    return {
        "dry_run": dry_run,
        "effective_from": seen.effective_from.isoformat(),
        "rates": seen.rates,
        "fitting": seen.fitting,
        "changed": seen.changed,
        "free": seen.free,
        "first": [
            {
                "prefix": one.prefix,
                "destination_name": one.destination_name,
                "before": format_amount(one.old_price),
                "after": format_amount(one.new_price),
            }
            for one in seen.first
        ],
    }


def differences_text(counts: Mapping[str, int], changes: Sequence[PrefixChange]) -> str:
    """What differs between two versions."""
    told = ", ".join(f"{number:,} {kind}" for kind, number in counts.items())
    if not changes:
        return f"The versions are the same: {told}."
    rows = [
        (
            change.prefix,
            change.name,
            change.kind,
            _prices(change.before),
            _prices(change.after),
            "" if not change.percent else f"{change.percent:+.1f} %",
        )
        for change in changes[:MOST_LINES]
    ]
    shown = table(
        ("Prefix", "Destination", "Change", "Before", "After", "Percent"),
        rows,
        right=("Before", "After", "Percent"),
    )
    more = len(changes) - MOST_LINES
    return f"{shown}\n\n{told}." + (
        f" {more:,} more are not shown; --json lists them all." if more > 0 else ""
    )


def differences_data(
    before: int, after: int, counts: Mapping[str, int], changes: Sequence[PrefixChange]
) -> dict[str, Any]:
    """The same as data."""
    return {
        "before": before,
        "after": after,
        "counts": dict(counts),
        "changes": [
            {
                "prefix": change.prefix,
                "destination_name": change.name,
                "change": change.kind,
                "before": [format_amount(rate.price_per_minute) for rate in change.before],
                "after": [format_amount(rate.price_per_minute) for rate in change.after],
            }
            for change in changes
        ],
    }


def _prices(rates: Sequence[Any]) -> str:
    return " / ".join(format_amount(rate.price_per_minute) for rate in rates)


def replay_text(found: Replay, lines: Sequence[ReplayedLine]) -> str:
    """What a replay found, by destination, the largest first."""
    result = found.work.result or {}
    if not result.get("calls"):
        return "No call of this deck was answered in that time."
    sign = -1 if found.of_costs else 1
    brings, gain = ("Cost", "Earned") if found.of_costs else ("Would be", "Difference")
    headers = ("Destination", "Calls", "Minutes", "Charged", brings, gain)
    rows = [
        (
            line.destination_name,
            f"{line.calls:,}",
            f"{line.billed_s / 60:,.1f}",
            format_amount(line.charged),
            format_amount(line.replayed),
            format_amount(sign * line.difference),
        )
        for line in sorted(lines, key=lambda line: -line.charged)
    ]
    total = sign * (result["replayed"] - result["charged"])
    said = (
        f"{result['calls']:,} calls charged {found.currency} {format_amount(result['charged'])}; "
        f"{brings.lower()} {format_amount(result['replayed'])}, {gain.lower()} {format_amount(total)}."
    )
    if result["unrated"]:
        said += f"\n{result['unrated']:,} calls have no rate there and count as nothing."
    return f"{table(headers, rows, right=headers[1:])}\n\n{said}"


def replay_data(found: Replay, lines: Sequence[ReplayedLine]) -> dict[str, Any]:
    """The same as data."""
    result = found.work.result or {}
    amounts = {name: format_amount(result[name]) for name in ("charged", "replayed", "borne")}
    return {
        "deck": found.deck,
        "currency": found.currency,
        "version": found.version_id,
        "begins": found.begins.isoformat(),
        "ends": found.ends.isoformat(),
        **{**result, **amounts},
        "destinations": [
            {
                "destination_name": line.destination_name,
                "calls": line.calls,
                "billed_s": line.billed_s,
                "charged": format_amount(line.charged),
                "replayed": format_amount(line.replayed),
                "difference": format_amount(line.difference),
                "unrated": line.unrated,
            }
            for line in lines
        ],
    }
