"""The stock of a reseller as pages and the command line show it: how far it has come, and the documents behind it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select, text

from engine.cards.serials import serial_of
from engine.db import Database
from engine.schema import StockMove

PAGE = 25


@dataclass(frozen=True, slots=True)
class StockLine:
    """A reseller's cards of one batch, counted. `held_back`: not released; `charged`: what they cost it, in micro-units
    of `currency`; `gaps`: between its first and its last serial lie cards of others."""

    batch: str
    kind: str
    currency: str
    denomination: int
    cards: int
    held_back: int
    activated: int
    sold: int
    used: int
    charged: int
    first_serial: str
    last_serial: str
    gaps: bool


@dataclass(frozen=True, slots=True)
class MoveLine:
    """A document: a range that a reseller got, activated, sold or gave back; `amount` is what it was charged."""

    id: int
    at: datetime
    kind: str
    first_serial: str
    last_serial: str
    cards: int
    amount: int
    currency: str | None
    actor: str
    reason: str | None


@dataclass(frozen=True, slots=True)
class MovePage:
    """Documents, newest first; `older` is where the next page begins, or None."""

    moves: tuple[MoveLine, ...]
    older: int | None


_STOCK = text(
    """
    SELECT b.name, b.kind, b.currency, b.denomination, count(*) AS cards,
        count(*) FILTER (WHERE c.released_at IS NULL) AS held_back, count(c.activated_at) AS activated,
        count(c.sold_at) AS sold, count(c.first_used_at) AS used, coalesce(sum(c.reseller_price), 0) AS charged,
        min(c.id) AS first, max(c.id) AS last
    FROM card c JOIN batch b ON b.id = c.batch_id
    WHERE c.reseller_id = :reseller_id AND b.ready_at IS NOT NULL
    GROUP BY b.id ORDER BY b.id DESC
    """
)


def cards_of_resellers(db: Database) -> dict[int, int]:
    """How many cards each reseller has in its hands, by its id; who has none is not in it."""
    with db.begin() as session:
        rows = session.execute(
            text("SELECT reseller_id, count(*) FROM card WHERE reseller_id IS NOT NULL GROUP BY reseller_id")
        )
        return {int(reseller_id): int(cards) for reseller_id, cards in rows}


def stock_of(db: Database, reseller_id: int) -> list[StockLine]:
    """What a reseller has in its hands, by batch, the newest first."""
    with db.begin() as session:
        return [
            StockLine(
                row.name,
                row.kind,
                row.currency,
                row.denomination,
                row.cards,
                row.held_back,
                row.activated,
                row.sold,
                row.used,
                int(row.charged),
                serial_of(row.first),
                serial_of(row.last),
                row.last - row.first >= row.cards,
            )
            for row in session.execute(_STOCK, {"reseller_id": reseller_id})
        ]


def moves_of(db: Database, reseller_id: int, *, before: int | None = None, limit: int = PAGE) -> MovePage:
    """A reseller's documents; `before` is the `older` of the page before."""
    statement = select(StockMove).where(StockMove.reseller_id == reseller_id)
    if before is not None:
        statement = statement.where(StockMove.id < before)
    with db.begin() as session:
        rows = session.scalars(statement.order_by(StockMove.id.desc()).limit(limit + 1)).all()
        currencies = {
            row.id: row.currency
            for row in session.execute(
                text("SELECT id, currency FROM account WHERE id = ANY(:ids)"),
                {"ids": [row.account_id for row in rows if row.account_id is not None]},
            )
        }
    lines = tuple(
        MoveLine(
            row.id,
            row.at,
            row.kind,
            serial_of(row.first_id),
            serial_of(row.last_id),
            row.cards,
            row.amount,
            currencies.get(row.account_id) if row.account_id is not None else None,
            row.actor,
            row.reason,
        )
        for row in rows[:limit]
    )
    return MovePage(lines, lines[-1].id if len(rows) > limit else None)
