"""What has become of a batch's cards: counted from the cards themselves, by who has them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import datetime, timedelta

from sqlalchemy import text

from engine.db import Database
from engine.schema import Batch

AT_ONCE = 100_000
"""Batches of at most so many cards are counted while a page is made; a larger one takes a second and is asked apart."""
_REMEMBERED = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Figures:
    """Cards counted. `unsold`: activated and never told as sold. `liability` is what is owed on released cards, in
    micro-units; `balance` what stands on all of them."""

    cards: int
    released: int
    printed: int
    shipped: int
    sold: int
    activated: int
    used: int
    unsold: int
    locked: int
    damaged: int
    expired: int
    empty: int
    liability: int
    balance: int


@dataclass(frozen=True, slots=True)
class Holder:
    """The part of a batch that a reseller has; `reseller` is None for what is the operator's own."""

    reseller_id: int | None
    reseller: str | None
    figures: Figures


@dataclass(frozen=True, slots=True)
class BatchFigures:
    """All of a batch and who has how much of it, the operator first. `at`: when it was counted."""

    at: datetime
    whole: Figures
    holders: tuple[Holder, ...]


def batch_figures(db: Database, batch_id: int, now: datetime) -> BatchFigures | None:
    """The figures of a batch, None where there is none; those of a large one may be a minute old."""
    kept: BatchFigures | None = db.cache.get(("batch figures", batch_id))
    if kept is not None and timedelta(0) <= now - kept.at < _REMEMBERED:
        return kept
    with db.begin() as session:
        batch = session.get(Batch, batch_id)
        if batch is None:
            return None
        asked = {"first": batch.first_id, "last": batch.last_id, "now": now}
        rows = session.execute(_COUNT, asked).all()
    holders = tuple(Holder(row[0], row[1], Figures(*(int(value or 0) for value in row[2:]))) for row in rows)
    counted = BatchFigures(now, _sum(holder.figures for holder in holders), holders)
    if batch.count > AT_ONCE:
        db.cache["batch figures", batch_id] = counted
    return counted


def _sum(parts: Iterable[Figures]) -> Figures:
    listed = list(parts)
    return Figures(*(sum(getattr(part, field.name) for part in listed) for field in fields(Figures)))


_COUNT = text(
    """
    SELECT part.reseller_id, reseller.name, part.cards, part.released, part.printed, part.shipped, part.sold,
        part.activated, part.used, part.unsold, part.locked, part.damaged, part.expired, part.empty, part.liability,
        part.balance
    FROM (
        SELECT reseller_id, count(*) AS cards, count(released_at) AS released, count(printed_at) AS printed,
            count(shipped_at) AS shipped, count(sold_at) AS sold, count(activated_at) AS activated,
            count(first_used_at) AS used, count(activated_at) FILTER (WHERE sold_at IS NULL) AS unsold,
            count(locked_at) FILTER (WHERE damaged_at IS NULL) AS locked, count(damaged_at) AS damaged,
            count(*) FILTER (WHERE expires_at <= :now) AS expired, count(*) FILTER (WHERE balance = 0) AS empty,
            sum(balance) FILTER (WHERE released_at IS NOT NULL) AS liability, sum(balance) AS balance
        FROM card WHERE id BETWEEN :first AND :last GROUP BY reseller_id
    ) part LEFT JOIN reseller ON reseller.id = part.reseller_id
    ORDER BY part.reseller_id IS NOT NULL, reseller.name
    """
)
