"""A partial rate sheet, laid over the deck that stands: what changes is the sheet's, the rest stays as it is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from engine.calls.deckdiff import by_prefix, rates_in
from engine.calls.deckrow import DeckRow


def merged_rates(before: Sequence[DeckRow], rows: Sequence[DeckRow], start: datetime) -> list[DeckRow]:
    """A whole deck from one that stands and a sheet with what changes from `start` on.

    A prefix of the sheet takes the place of all rates that it had; the other prefixes stay. Where all its new rates
    begin after `start`, the old ones hold until the first does, so that there is no gap.
    """
    coming = by_prefix(rows)
    whole = list(rows)
    for row in before:
        new = rates_in(coming.get(row.prefix))
        if not new:
            whole.append(row)
            continue
        begins = _begin(new)
        if begins is None or begins <= start or (row.effective_from and row.effective_from >= begins):
            continue
        whole.append(row._replace(effective_until=min(begins, row.effective_until or begins)))
    return whole


def _begin(rates: Iterable[DeckRow]) -> datetime | None:
    """When the first of some rates begins; None where one has no first day."""
    first: datetime | None = None
    for row in rates:
        if row.effective_from is None:
            return None
        first = row.effective_from if first is None else min(first, row.effective_from)
    return first


def late(rows: Sequence[DeckRow], start: datetime) -> int:
    """How many prefixes have no rate yet at `start`."""
    dated = {row.prefix for row in rows if row.effective_from is not None and row.effective_from > start}
    if not dated:
        return 0
    return len(
        dated - {row.prefix for row in rows if row.effective_from is None or row.effective_from <= start}
    )
