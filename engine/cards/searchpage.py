"""Lists of cards page by page, in any order, at any depth in the same time; and how many there are.

A page is read along the index that its order or its filter has. Where few of the cards on the way meet the filter, the
narrowest criterion is looked for and its cards are gathered and sorted. Where every criterion is wide, and yet hardly
a card meets them all, the page ends after a fixed amount of looking: it is `partial`, and the next one goes on there.

Statuses and balances are found in a copy that is folded in every few seconds (`searchcopy`) and checked on the card
itself: no row is ever wrong, and one that has just become right may be missing for a few seconds. So may, in the order
of balances, cards of a batch that has just become ready; there a card stands where its balance was folded in last.
"""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from sqlalchemy import select

from engine.cards.search import CardFilter, where
from engine.cards.searchsql import KEYS, NULLABLE
from engine.cards.searchwalk import GATHERED, LONG_WALK, Asked, Place, collect, count_along, search_for
from engine.cards.serials import serial_of
from engine.db import Database
from engine.errors import InvalidInput
from engine.schema import Card

ORDERS = ("serial", *KEYS)
MOST_ROWS = 1_000
COUNTED = 10_000
"""Up to so many cards are counted exactly."""

_CURSOR = re.compile(r"(next|previous)\.([a-z_]{1,20})\.(up|down)\.(-|[0-9]{1,17})\.([0-9]{1,18})", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class CardRow:
    """A card in a list. Amounts in micro-units of `currency`; of the number only the last four digits."""

    serial: str
    number_end: str
    status: str
    batch: str
    currency: str
    balance: int
    held: int
    created_at: datetime
    first_used_at: datetime | None
    expires_at: datetime | None
    reseller: str | None
    custody: str
    released: bool


@dataclass(frozen=True, slots=True)
class CardList:
    """One page. `next` and `previous` are the cursors of its neighbours, or None where there are none.

    `partial`: the page isn't full, yet more may be found; `next` looks on.
    """

    rows: tuple[CardRow, ...]
    next: str | None = None
    previous: str | None = None
    partial: bool = False


@dataclass(frozen=True, slots=True)
class Count:
    """How many cards there are: `number` of them where `kind` is `exact`, more than it (`more`), or `about` it."""

    number: int
    kind: str

    def __str__(self) -> str:
        """`1,234`, `10,000+` or `about 250,000`."""
        return (
            f"{'about ' if self.kind == 'about' else ''}{self.number:,}{'+' if self.kind == 'more' else ''}"
        )


def page(
    db: Database,
    card_filter: CardFilter,
    now: datetime,
    *,
    order: str = "serial",
    descending: bool = False,
    after: str | None = None,
    limit: int = 50,
) -> CardList:
    """Up to `limit` cards (1 to 1,000) that meet the filter at `now`, in an order of `ORDERS`, from `after` on.

    Cards that were never used, or never expire, come last in these orders. `after` is the `next` or `previous` of
    another page with the same order. Raises `InvalidInput`: not_a_choice, bad_cursor.
    """
    if order not in ORDERS:
        raise InvalidInput("not_a_choice", field="order", allowed=ORDERS)
    limit = min(max(limit, 1), MOST_ROWS)
    back, place = _cursor(after, order, descending)
    down = descending != back
    with db.connection() as conn:
        search = search_for(conn, card_filter, now, order)
        found, stopped = collect(conn, search, place, down, back, limit + 1)
    more = len(found) > limit
    shown = found[:limit]
    if back:
        shown.reverse()
    ends = [Place(row.key, row.card_id) for row in (shown[:1] + shown[-1:])]
    onward = ends[0 if back else -1] if ends and more else stopped
    behind = ends[-1 if back else 0] if ends else place
    there = _text(onward, order, descending, back) if onward else None
    here = _text(behind, order, descending, not back) if place and behind else None
    return CardList(
        tuple(row_of(row) for row in shown),
        here if back else there,
        there if back else here,
        stopped is not None,
    )


def count(db: Database, card_filter: CardFilter, now: datetime) -> Count:
    """How many cards meet the filter at `now`: exactly up to 10,000 of them, beyond that `10,000+`.

    All cards, and those of a batch, are exact at any number. Where hardly any of very many cards meet it, it's the
    planner's estimate. Status and balance are found as in `page`.
    """
    f = card_filter
    with db.connection() as conn:
        if f in (CardFilter(), CardFilter(batch_id=f.batch_id)):
            return Count(_all(conn, f.batch_id), "exact")
        search = search_for(conn, f, now, "serial")
        source, size = Asked(conn, search, False, False).narrowest([*search.by_id, *search.ranges], GATHERED)
        number = count_along(conn, search, source, LONG_WALK, COUNTED + 1)
    if number > COUNTED:
        return Count(COUNTED, "more")
    if size <= GATHERED:
        return Count(number, "exact")
    return Count(max(_estimate(db, f, now), number), "about")


def row_of(row: Any) -> CardRow:
    """The card of a result row with `COLUMNS` and what is shown beside them."""
    return CardRow(serial_of(row.card_id), *(getattr(row, name) for name in _FIELDS))


_FIELDS = tuple(field.name for field in dataclasses.fields(CardRow))[1:]


# --- counting ---


_ALL = """
    SELECT coalesce(sum(count), 0)::bigint AS cards FROM batch
    WHERE id BETWEEN %s::bigint AND %s::bigint AND ready_at IS NOT NULL AND discarded_at IS NULL
"""


def _all(conn: psycopg.Connection[Any], batch_id: int | None) -> int:
    """The cards of all ready batches, or of one."""
    ids = (0, 2**63 - 1) if batch_id is None else (batch_id, batch_id)
    found: Any = conn.execute(_ALL, ids).fetchone()
    cards: int = found.cards
    return cards


def _estimate(db: Database, f: CardFilter, now: datetime) -> int:
    with db.begin() as session:
        asked = (
            select(Card.id)
            .where(*where(f, now))
            .compile(session.connection(), compile_kwargs={"render_postcompile": True})
        )
        cursor = session.connection().exec_driver_sql(f"EXPLAIN (FORMAT JSON) {asked}", asked.params)
        plan = cursor.scalar_one()
    plan = json.loads(plan) if isinstance(plan, str) else plan
    return int(plan[0]["Plan"]["Plan Rows"])


# --- cursors ---


def _text(place: Place, order: str, descending: bool, back: bool) -> str:
    key = "-"
    if isinstance(place.key, datetime):
        key = str((place.key - _EPOCH) // _MICROSECOND)
    elif place.key is not None:
        key = str(place.key)
    return f"{'previous' if back else 'next'}.{order}.{'down' if descending else 'up'}.{key}.{place.id}"


def _cursor(after: str | None, order: str, descending: bool) -> tuple[bool, Place | None]:
    """Whether to go back, and from where. Raises `InvalidInput("bad_cursor")`."""
    if after is None:
        return False, None
    match = _CURSOR.fullmatch(after)
    if match is None or (match[2], match[3]) != (order, "down" if descending else "up"):
        raise InvalidInput("bad_cursor", field="after")
    key: datetime | int | None = None
    if match[4] == "-":
        if order in KEYS and order not in NULLABLE:
            raise InvalidInput("bad_cursor", field="after")
    elif order == "serial":
        raise InvalidInput("bad_cursor", field="after")
    else:
        key = int(match[4]) if order == "balance" else _EPOCH + int(match[4]) * _MICROSECOND
    return match[1] == "previous", Place(key, int(match[5]))
