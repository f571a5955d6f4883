"""The SQL of card lists: which index to walk, what to check of each card on the way, and how to gather few from many.

A walk reads index entries in the order that is asked for and checks each card behind a fence (`LATERAL … OFFSET 0`),
so that the planner, whatever its statistics say, neither reorders nor reads a table from end to end.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import and_
from sqlalchemy.dialects.postgresql import psycopg as dialect

from engine.cards.search import CardFilter, custody_sql, facts
from engine.cards.searchcopy import STATUS

KEYS = {"created": "created_at", "first_used": "first_used_at", "expires": "expires_at", "balance": "balance"}
"""What a list is ordered by, other than the serial; the balance as it stands in the copy."""
NULLABLE = ("first_used", "expires")

_DIALECT = dialect.dialect()  # type: ignore[no-untyped-call]
_CUSTODY = str(custody_sql().compile(dialect=_DIALECT))

COLUMNS = f"""
    card.id, right(card.number, 4) AS number_end, {STATUS} AS status, batch.name AS batch, card.currency,
    card.balance, card.held, card.created_at, card.first_used_at, card.expires_at, card.reseller_id,
    {_CUSTODY} AS custody, card.released_at IS NOT NULL AS released
"""
SHOWN = "{of}.*, (SELECT name FROM reseller WHERE reseller.id = {of}.reseller_id) AS reseller"

BOUNDS = """
    SELECT (SELECT last_id FROM batch WHERE ready_at IS NOT NULL AND discarded_at IS NULL ORDER BY id DESC LIMIT 1)
        AS newest, first_id, last_id
    FROM (SELECT 1) AS one LEFT JOIN batch ON batch.id = %(batch_id)s
"""


@dataclass(frozen=True, slots=True)
class Source:
    """Index entries of one criterion: the table, its column with the card's id, and what each entry must meet.

    Several `parts` are looked through one by one; each finds its entries in the order of the ids.
    """

    name: str
    table: str
    id: str
    parts: tuple[str, ...]

    @property
    def bounds(self) -> str:
        """The bounds of the ids. Where a range finds the cards they must not tempt the planner to another index."""
        column = f"{self.id} + 0" if self.name in KEYS else self.id
        return f"{column} BETWEEN %(lo)s::bigint AND %(hi)s::bigint"

    def ids(self) -> str:
        """All the card ids, in any order."""
        return " UNION ALL ".join(
            f"SELECT {self.id} AS card_id FROM {self.table} WHERE {part} AND {self.bounds}"
            for part in self.parts
        )


def sources(f: CardFilter) -> tuple[list[Source], list[Source], dict[str, Any]]:
    """What finds cards of the filter in the order of their ids, best first; what finds them otherwise; parameters."""
    by_id: list[Source] = []
    params: dict[str, Any] = {}
    if f.phone is not None:
        params["phone"] = f.phone
        by_id.append(Source("phone", "binding", "card_id", ("caller = %(phone)s",)))
    if f.released is False:
        by_id.append(Source("released", "card", "id", ("released_at IS NULL",)))
    for name, table, column, values in (
        ("status", "card_search", "status", f.statuses),
        ("custody", "card", _CUSTODY, f.custody),
    ):
        if values:
            idc = "card_id" if table == "card_search" else "id"
            params.update({f"{name}_{turn}": value for turn, value in enumerate(values)})
            parts = tuple(f"{column} = %({name}_{turn})s" for turn in range(len(values)))
            by_id.append(Source(name, table, idc, parts))
    if f.reseller_id is not None:
        params["reseller_id"] = f.reseller_id
        by_id.append(Source("reseller", "card", "id", ("reseller_id = %(reseller_id)s",)))
    if f.currency is not None:
        params["currency"] = f.currency
        by_id.append(Source("currency", "card", "id", ("currency = %(currency)s",)))
    if f.released is True:
        by_id.append(Source("released", "card", "id", ("released_at IS NOT NULL",)))
    ranges = []
    for order, ends in ranges_of(f):
        params.update(range_params(order, ends))
        ranges.append(keyed(order, range_sql(order, ends)))
    return by_id, ranges, params


def ranges_of(f: CardFilter) -> Iterator[tuple[str, tuple[Any, Any]]]:
    """The ranges that are set, by the order that walks along them."""
    balance = f.balance
    if f.statuses == ("empty",):
        # Nothing else is empty: along the balances, they stand at one place.
        low, end = balance or (None, None)
        balance = (max(low or 0, 0), 1 if end is None else min(end, 1))
    for order, ends in (
        ("created", f.created),
        ("first_used", f.first_used),
        ("expires", f.expires),
        ("balance", balance),
    ):
        if ends is not None:
            yield order, ends


def keyed(order: str, conditions: str) -> Source:
    """The entries of a range, or all, of the index that an order walks along."""
    table, idc = ("card_search", "card_id") if order == "balance" else ("card", "id")
    return Source(order, table, idc, (conditions,))


def range_sql(order: str, ends: tuple[Any, Any] = (None, None)) -> str:
    """The conditions of a range on the key of an order."""
    column = KEYS[order]
    return " AND ".join(
        (
            f"{column} IS NOT NULL",
            *([f"{column} >= %({order}_first)s"] if ends[0] is not None else []),
            *([f"{column} < %({order}_end)s"] if ends[1] is not None else []),
        )
    )


def range_params(order: str, ends: tuple[Any, Any]) -> dict[str, Any]:
    """Their parameters."""
    return {f"{order}_first": ends[0], f"{order}_end": ends[1]}


WHOLE = Source("serial", "card", "id", ("true",))
"""All cards in the order of their serials."""


@dataclass(frozen=True, slots=True)
class Check:
    """What each card on the way must meet, as text, and its parameters."""

    conditions: str
    params: dict[str, Any]


def check_of(f: CardFilter, now: datetime) -> Check:
    """The whole filter, to be checked of `card` with its `batch`."""
    # The two long expressions stand ready as text: to put them together anew takes longer than to find the cards.
    plain = dataclasses.replace(f, statuses=(), custody=())
    compiled = and_(True, *facts(plain, now)).compile(dialect=_DIALECT)
    conditions = [str(compiled), "batch.ready_at IS NOT NULL", "batch.discarded_at IS NULL"]
    params = {**compiled.params, "statuses": list(f.statuses), "custody": list(f.custody)}
    if f.statuses:
        conditions.append(f"{STATUS} = ANY(%(statuses)s::text[])")
    if f.custody:
        conditions.append(f"{_CUSTODY} = ANY(%(custody)s::text[])")
    if f.phone is not None:
        conditions.append("EXISTS (SELECT FROM binding WHERE card_id = card.id AND caller = %(phone)s)")
    if f.batch_id is not None:
        conditions.append("batch.id = %(batch_id)s")
    return Check(" AND ".join(conditions), params)


def kept(card_id: str, check: Check, columns: str = COLUMNS, more: str = "true") -> str:
    """A card behind its fence: looked up by its id, and kept where it meets everything."""
    return f"""CROSS JOIN LATERAL (
        SELECT {columns} FROM card JOIN batch ON batch.id = card.batch_id
        WHERE card.id = {card_id} AND {check.conditions} AND {more} OFFSET 0
    ) AS kept"""


def walk(source: Source, order: str | None, after: bool, down: bool, scan: int, *, sort: bool = False) -> str:
    """The entries (card_id, key) of a source in an order (None: by id), from the parameters `key` and `id` on.

    The caller limits them, to `scan` at most. `sort`: the source's index has another order; its entries are read
    through and sorted, not the cards behind them.
    """
    way = "DESC" if down else "ASC"
    if order is None:
        if sort:
            return f"SELECT card_id, NULL::text AS key FROM ({source.ids()} OFFSET 0) AS ids ORDER BY card_id {way}"
        parts = [
            f"(SELECT {source.id} AS card_id, NULL::text AS key FROM {source.table}"
            f" WHERE {part} AND {source.bounds} ORDER BY {source.id} {way} LIMIT {scan})"
            for part in source.parts
        ]
        return f"SELECT card_id, key FROM ({' UNION ALL '.join(parts)}) AS parts ORDER BY card_id {way}"
    column = KEYS[order]
    beyond = f"AND ({column}, {source.id}) {'<' if down else '>'} (%(key)s, %(id)s::bigint)" if after else ""
    return f"""
        SELECT {source.id} AS card_id, {column} AS key FROM {source.table}
        WHERE {source.parts[0]} {beyond} AND {source.bounds}
        ORDER BY {column} {way}, {source.id} {way}
    """
