"""`cardtone cards find`: the cards that meet a filter, page by page, in any order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

import click

from cli.app import Context, with_context
from cli.cardtexts import until, when
from cli.tables import table
from engine import house
from engine.cards import searchcopy, searchpage
from engine.cards.search import CUSTODY, CardFilter
from engine.cards.searchform import parse_filter
from engine.cards.searchpage import ORDERS, CardList, CardRow
from engine.cards.status import STATUSES
from engine.money import format_amount

OPTIONS = (
    ("--number", "NUMBER", "The card with this number."),
    ("--serial", "SERIAL", "The card with this serial."),
    ("--serial-from", "SERIAL", "Serials from this one on."),
    ("--serial-to", "SERIAL", "Serials up to this one."),
    ("--created-from", "DATE", "Made on this day or later."),
    ("--created-to", "DATE", "Made on this day or earlier."),
    ("--first-used-from", "DATE", "First used on this day or later."),
    ("--first-used-to", "DATE", "First used on this day or earlier."),
    ("--expires-from", "DATE", "Valid until this day or longer."),
    ("--expires-to", "DATE", "Valid until this day or shorter."),
    ("--balance-from", "AMOUNT", "A balance of this or more."),
    ("--balance-to", "AMOUNT", "A balance of this or less."),
    ("--status", "STATUS", f"One or several with commas: {', '.join(STATUSES)}."),
    ("--phone", "CALLER", "Bound to this caller."),
    ("--batch", "NAME", "Of this batch."),
    ("--reseller", "NAME", "With this reseller."),
    ("--custody", "WORD", f"How far they have come: {', '.join(CUSTODY)}."),
    ("--released", "yes|no", "Released, or held back."),
    ("--currency", "CODE", "In this currency."),
)


def filter_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say which cards; `filter_of` reads them."""
    for name, metavar, words in reversed(OPTIONS):
        command = click.option(name, metavar=metavar, help=words)(command)
    return command


def filter_of(context: Context, given: dict[str, Any]) -> CardFilter:
    """The filter of the options of `filter_options`. Dates are days of the operator's zone."""
    return parse_filter(context.db, **given)


@click.command("find")
@filter_options
@click.option("--order", type=click.Choice(ORDERS), default="serial", show_default=True, help="Sort by this.")
@click.option("--descending", is_flag=True, help="The greatest or latest first.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="Cards on a page.")
@click.option("--after", metavar="CURSOR", help="The next page, as the last one named it.")
@click.option("--count", "counted", is_flag=True, help="Say how many there are, too.")
@with_context
def find(
    context: Context,
    order: str,
    descending: bool,
    limit: int,
    after: str | None,
    counted: bool,
    **given: Any,
) -> None:
    """Find cards by status, balance, dates, batch and more; dates are days like 2026-11-30, where you are."""
    now = context.clock()
    card_filter = filter_of(context, given)
    # So that the answer is right to the second, whether or not a jobs process folds.
    searchcopy.fold(context.db, now)
    found = searchpage.page(
        context.db, card_filter, now, order=order, descending=descending, after=after, limit=limit
    )
    total = searchpage.count(context.db, card_filter, now) if counted else None
    data: dict[str, Any] = {
        "cards": [_data(row) for row in found.rows],
        "next": found.next,
        "partial": found.partial,
    }
    if total is not None:
        data["count"] = {"number": total.number, "kind": total.kind}
    context.answer(data, _text(found, house.current(context.db).zone, None if total is None else str(total)))


def _data(row: CardRow) -> dict[str, Any]:
    return {
        "serial": row.serial,
        "number_end": row.number_end,
        "status": row.status,
        "batch": row.batch,
        "currency": row.currency,
        "balance": format_amount(row.balance),
        "held": format_amount(row.held),
        "created_at": row.created_at.isoformat(),
        "first_used_at": row.first_used_at.isoformat() if row.first_used_at else None,
        "expires_at": row.expires_at.isoformat() if row.expires_at else None,
        "reseller": row.reseller,
        "custody": row.custody,
        "released": row.released,
    }


def _text(found: CardList, zone: ZoneInfo, total: str | None) -> str:
    parts = [_table(found.rows, zone)] if found.rows else []
    if not found.rows and not found.partial:
        parts.append("No card meets this.")
    if total is not None:
        parts.append(f"{total} card{'' if total == '1' else 's'} in all.")
    if found.partial:
        parts.append("There may be more: few cards meet this, and only a part was looked through.")
    if found.next:
        parts.append(f"More with --after {found.next}")
    return "\n\n".join(parts)


def _table(rows: tuple[CardRow, ...], zone: ZoneInfo) -> str:
    headers = [
        "Serial",
        "Number",
        "Status",
        "Balance",
        "Batch",
        "Reseller",
        "Custody",
        "Made",
        "First used",
        "Valid until",
    ]
    lines = [
        [
            row.serial,
            f"…{row.number_end}",
            row.status if row.released else f"{row.status}, held back",
            f"{row.currency} {format_amount(row.balance, 2)}",
            row.batch,
            row.reseller,
            row.custody,
            when(row.created_at, zone),
            when(row.first_used_at, zone) if row.first_used_at else None,
            until(row.expires_at, zone) if row.expires_at else None,
        ]
        for row in rows
    ]
    return table(headers, lines, right=["Balance"])
