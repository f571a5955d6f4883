"""Which currencies are in use. A currency comes with the rate deck, batch or account that is kept in it."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import text

from engine.db import Database

_USES = text(
    """
    SELECT currency, sum(decks)::int, sum(batches)::int, sum(accounts)::int FROM (
        SELECT currency, 1 AS decks, 0 AS batches, 0 AS accounts FROM deck
        UNION ALL SELECT currency, 0, 1, 0 FROM batch
        UNION ALL SELECT currency, 0, 0, 1 FROM account
    ) used GROUP BY currency ORDER BY currency
    """
)


@dataclass(frozen=True, slots=True)
class CurrencyUse:
    """How many decks, batches and accounts a currency has."""

    currency: str
    decks: int
    batches: int
    accounts: int


def currencies(db: Database) -> tuple[CurrencyUse, ...]:
    """Every currency in use, by its code."""
    with db.begin() as session:
        return tuple(CurrencyUse(*row) for row in session.execute(_USES))
