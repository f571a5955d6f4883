"""The stock of a reseller as its own desk shows it: figures, by batch, and within one by ranges in the same state.

A state joins the status of a card (`engine.cards.status`) with how far it has come on its way to a customer. Everything
is asked for with the reseller whose it is; no card number is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, String, and_, case, exists, func, literal, select
from sqlalchemy.orm import Session

from engine import settings
from engine.cards.serials import serial_of
from engine.cards.status import status_sql
from engine.db import Database
from engine.errors import NotFound
from engine.house import zone_of
from engine.schema import Batch, BatchKey, Card, StockMove
from engine.stock.custody import Range

STATES = (
    "held_back",
    "ready",
    "activated",
    "waiting",
    "sold",
    "in_use",
    "used_up",
    "expired",
    "locked",
    "damaged",
)
"""`held_back`: can't be used before it is activated; `ready`: can be used, and nothing was charged for it; `activated`:
charged and not sold yet; `waiting`: sold, and held back still; `sold`; the others are the status of the card."""
ON_THE_SHELF = ("held_back", "ready")
"""What can still be sold; of `held_back`, some may have been charged: staff held them back later."""
OFFERED: Mapping[str, tuple[str, ...]] = {
    "held_back": ("both", "activate", "sell"),
    "ready": ("sell",),
    "activated": ("sell", "return"),
    "waiting": ("activate", "return"),
    "sold": ("return",),
    "in_use": (),
    "used_up": (),
    "expired": ("return",),
    "locked": ("return",),
    "damaged": ("return",),
}
"""What makes sense for a card in a state (`deskviews.ACTS`), likeliest first: nobody pays for one that is locked."""
PAGE = 50
_BATCHES = 25
_AT_ONCE = 5_000
_PARTS = 60


@dataclass(frozen=True, slots=True)
class BatchStock:
    """A reseller's cards of one batch. `states`: how many are in which of `STATES`; what is none isn't in it.

    `denomination` in micro-units of `currency`. The serials are the first and last of its cards; others may have cards
    between them. `shredded`: nobody can read the passwords of the batch any more.
    """

    id: int
    name: str
    kind: str
    currency: str
    denomination: int
    cards: int
    states: Mapping[str, int]
    first_serial: str
    last_serial: str
    shredded: bool


@dataclass(frozen=True, slots=True)
class StockPage:
    """Batches, newest first; `older` is where the next page begins, or None."""

    batches: tuple[BatchStock, ...]
    older: int | None


@dataclass(frozen=True, slots=True)
class StockRange:
    """Consecutive serials in one state."""

    state: str
    cards: int
    first_serial: str
    last_serial: str


@dataclass(frozen=True, slots=True)
class RangePage:
    """Ranges in the order of their serials; `after` is where the next page begins (a card's id), or None."""

    ranges: tuple[StockRange, ...]
    after: int | None


@dataclass(frozen=True, slots=True)
class Figures:
    """What a reseller has to sell and was not charged for (`on_the_shelf` = `held_back` + `ready`), and how many cards
    were charged to it since the month began, at their activation or sale, less those that were given back."""

    on_the_shelf: int
    held_back: int
    ready: int
    charged_this_month: int


@dataclass(frozen=True, slots=True)
class SerialLine:
    """A card in a file of serials. `denomination` in micro-units of `currency`."""

    serial: str
    state: str
    currency: str
    denomination: int
    expires_at: datetime | None


def state_sql(now: datetime) -> ColumnElement[str]:
    """Which of `STATES` a card is in at `now`, as an SQL expression over `Card`."""
    status = status_sql(now)
    unreleased, sold = Card.released_at.is_(None), Card.sold_at.is_not(None)
    return case(
        (and_(status == "unused", unreleased, sold), literal("waiting", String)),
        (and_(status == "unused", unreleased), "held_back"),
        (and_(status == "unused", sold), "sold"),
        (and_(status == "unused", Card.reseller_price.is_not(None)), "activated"),
        (status == "unused", "ready"),
        (status == "active", "in_use"),
        (status == "empty", "used_up"),
        else_=status,
    )


def figures(db: Database, reseller_id: int, now: datetime) -> Figures:
    """The figures of all its stock."""
    with db.begin() as session:
        today = now.astimezone(zone_of(settings.load(session)))
        month = today.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        rows = session.execute(
            select(state_sql(now).label("state"), func.count())
            .where(*_own(reseller_id), Card.reseller_price.is_(None))
            .group_by("state")
        ).all()
        charged = session.scalar(
            select(
                func.sum(case((StockMove.kind == "return", -StockMove.charged), else_=StockMove.charged))
            ).where(
                StockMove.reseller_id == reseller_id, StockMove.charged.is_not(None), StockMove.at >= month
            )
        )
    cards = {row[0]: row[1] for row in rows}
    held_back, ready = (cards.get(state, 0) for state in ON_THE_SHELF)
    return Figures(held_back + ready, held_back, ready, int(charged or 0))


def stock(db: Database, reseller_id: int, now: datetime, *, before: int | None = None) -> StockPage:
    """What a reseller has in its hands, by batch; `before` is the `older` of the page before."""
    has_own = exists().where(Card.reseller_id == reseller_id, Card.id.between(Batch.first_id, Batch.last_id))
    statement = select(Batch).where(Batch.ready_at.is_not(None), has_own).order_by(Batch.id.desc())
    if before is not None:
        statement = statement.where(Batch.id < before)
    with db.begin() as session:
        batches = session.scalars(statement.limit(_BATCHES + 1)).all()
        lines = tuple(_counted(session, reseller_id, batch, now) for batch in batches[:_BATCHES])
    return StockPage(lines, lines[-1].id if len(batches) > _BATCHES else None)


def batch_stock(db: Database, reseller_id: int, batch_id: int, now: datetime) -> BatchStock:
    """Its cards of one batch. Raises `NotFound` ("batch_not_found") where it has none."""
    with db.begin() as session:
        batch = session.get(Batch, batch_id)
        found = (
            None if batch is None or batch.ready_at is None else _counted(session, reseller_id, batch, now)
        )
    if found is None or not found.cards:
        raise NotFound("batch_not_found", name=str(batch_id))
    return found


def ranges(
    db: Database,
    reseller_id: int,
    batch_id: int,
    now: datetime,
    *,
    state: str | None = None,
    after: int | None = None,
    limit: int = PAGE,
) -> RangePage:
    """Its cards of one batch as ranges of consecutive serials in the same state, only those in `state` where given.

    `after` is the `after` of the page before.
    """
    found = state_sql(now)
    # Within a state, serials that follow each other are as far from their place in the list.
    place = func.row_number().over(partition_by=found, order_by=Card.id)
    own = select(Card.id, found.label("state"), (Card.id - place).label("run")).where(
        *_own(reseller_id), Card.batch_id == batch_id, Card.id > (after or 0)
    )
    if state is not None:
        own = own.where(found == state)
    runs = own.subquery()
    first, last = func.min(runs.c.id), func.max(runs.c.id)
    statement = (
        select(runs.c.state, func.count(), first.label("first"), last)
        .group_by(runs.c.state, runs.c.run)
        .order_by("first")
        .limit(limit + 1)
    )
    with db.begin() as session:
        rows = session.execute(statement).all()
    lines = tuple(StockRange(row[0], row[1], serial_of(row[2]), serial_of(row[3])) for row in rows[:limit])
    return RangePage(lines, rows[limit - 1][3] if len(rows) > limit else None)


def own_parts(db: Database, reseller_id: int, batch_id: int) -> tuple[tuple[str, str], ...]:
    """Its cards of one batch as runs of serials without gaps, whatever their state, at most `_PARTS` of them.

    Each is its first and its last serial.
    """
    place = func.row_number().over(order_by=Card.id)
    own = select(Card.id, (Card.id - place).label("run")).where(*_own(reseller_id), Card.batch_id == batch_id)
    runs = own.subquery()
    first, last = func.min(runs.c.id).label("first"), func.max(runs.c.id)
    with db.begin() as session:
        rows = session.execute(select(first, last).group_by(runs.c.run).order_by("first").limit(_PARTS)).all()
    return tuple((serial_of(row[0]), serial_of(row[1])) for row in rows)


def serials(
    db: Database,
    reseller_id: int,
    batch_id: int,
    now: datetime,
    *,
    state: str | None = None,
    cards: Range | None = None,
) -> Iterator[SerialLine]:
    """Its cards of one batch one by one, in the order of their serials, only those in `state` and `cards` where given.

    Read in pages, so that nothing is kept waiting by who reads slowly.
    """
    found = state_sql(now)
    statement = (
        select(Card.id, found, Batch.currency, Batch.denomination, Card.expires_at)
        .join(Batch, Batch.id == Card.batch_id)
        .where(*_own(reseller_id), Card.batch_id == batch_id)
        .order_by(Card.id)
        .limit(_AT_ONCE)
    )
    if state is not None:
        statement = statement.where(found == state)
    if cards is not None:
        statement = statement.where(Card.id.between(cards.first, cards.last))
    after, rows = 0, list[Any]()
    while not after or len(rows) == _AT_ONCE:
        with db.begin() as session:
            rows = list(session.execute(statement.where(Card.id > after)))
        for row in rows:
            yield SerialLine(serial_of(row[0]), *row[1:])
        after = rows[-1][0] if rows else 1


def _own(reseller_id: int) -> tuple[ColumnElement[bool], ...]:
    """A reseller's cards, but of batches that are not ready: nobody was given those."""
    unready = select(Batch.id).where(Batch.ready_at.is_(None))
    return (Card.reseller_id == reseller_id, Card.batch_id.not_in(unready))


def _counted(session: Session, reseller_id: int, batch: Batch, now: datetime) -> BatchStock:
    rows = session.execute(
        select(state_sql(now).label("state"), func.count(), func.min(Card.id), func.max(Card.id))
        .where(*_own(reseller_id), Card.id.between(batch.first_id, batch.last_id))
        .group_by("state")
    ).all()
    states = {row[0]: row[1] for row in rows}
    return BatchStock(
        id=batch.id,
        name=batch.name,
        kind=batch.kind,
        currency=batch.currency,
        denomination=batch.denomination,
        cards=sum(states.values()),
        states={state: states[state] for state in STATES if state in states},
        first_serial=serial_of(min((row[2] for row in rows), default=batch.first_id)),
        last_serial=serial_of(max((row[3] for row in rows), default=batch.last_id)),
        shredded=session.get_one(BatchKey, batch.id).wrapped is None,
    )
