"""What commands on a range of serials share: options, the question where it runs over several batches, the result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import click

from cli.app import Context
from engine.cards.serials import serial_of
from engine.stock.custody import Range, batches_of

WHY = {
    "activated": "activated already",
    "assigned": "assigned to it already",
    "charged": "charged already; return them first",
    "damaged": "voided",
    "expired": "expired",
    "held_back": "held back already",
    "in_call": "in a call",
    "locked": "locked",
    "not_sold": "neither sold nor activated",
    "other_reseller": "in another reseller's stock",
    "printed": "printed already",
    "printed_by_reseller": "on paper that a reseller printed; void them, or reset their passwords first",
    "released": "released already",
    "resellers_stock": "in a reseller's stock and not charged yet; use the reseller's own sale or activation",
    "shipped": "shipped already",
    "sold": "sold already",
    "unassigned": "in nobody's stock",
    "used": "used",
}
"""Why cards of a range were left, in words."""

_NAMED = 5


def range_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options --from, --to, --yes and --reason, as `first`, `last`, `yes` and `reason`."""
    for option in (
        click.option("--reason", help="Kept in the audit trail."),
        click.option("--yes", is_flag=True, help="Don't ask where the range runs over several batches."),
        click.option("--to", "last", metavar="SERIAL", help="Without it: one card."),
        click.option("--from", "first", required=True, metavar="SERIAL"),
    ):
        command = option(command)
    return command


def asked_range(context: Context, first: str, last: str | None, yes: bool) -> Range:
    """The range, once somebody said that it may run over several batches, where it does."""
    cards = Range.of_serials(first, last)
    if not yes:
        names = batches_of(context.db, cards)
        if len(names) > 1:
            some = ", ".join(names[:_NAMED]) + (", …" if len(names) > _NAMED else "")
            click.confirm(f"The range runs over {len(names)} batches: {some}. Go on?", abort=True, err=True)
    return cards


def result_text(changed: int, fact: str, why: Mapping[str, int], batches: tuple[str, ...]) -> str:
    """Cards changed, cards left with the reasons, and the batches where there are several."""
    said = f"{changed:,} card{'' if changed == 1 else 's'} {fact}"
    if why:
        reasons = ", ".join(f"{count:,} {WHY.get(word, word)}" for word, count in sorted(why.items()))
        said += f"; {sum(why.values()):,} left as they were: {reasons}"
    if len(batches) > 1:
        said += f". The range runs over {len(batches)} batches"
    return f"{said}."


def result_data(
    cards: Range, changed: int, why: Mapping[str, int], batches: tuple[str, ...]
) -> dict[str, Any]:
    """The same for scripts."""
    return {
        "from": serial_of(cards.first),
        "to": serial_of(cards.last),
        "changed": changed,
        "left": sum(why.values()),
        "why": dict(why),
        "batches": list(batches),
    }
