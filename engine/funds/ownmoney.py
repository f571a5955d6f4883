"""All that came onto a card and went but for its calls, as its holder may read it, page by page by key.

What staff wrote about an entry, who posted it and which account stood against it stay with the operator.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text

from engine.cards.serials import serial_of
from engine.db import Database

PAGE = 20
DIRECTIONS = ("in", "out")


@dataclass(frozen=True, slots=True)
class OwnEntry:
    """Money that came onto a card (`amount` above zero) or went, in micro-units, and the balance after it.

    `kind`: opening, recharge (bought), online, automatic, reseller (bought there), bonus, voucher, transfer_in,
    transfer_out, replaced_in and replaced_out (one card in the place of another), fee (for keeping it), correction
    (of a call), breakage (written off after expiry), refund (went back to who paid), adjustment, discard. `other`: the
    serial of the other card, or of the voucher.
    """

    id: int
    at: datetime
    kind: str
    amount: int
    balance_after: int
    other: str | None


@dataclass(frozen=True, slots=True)
class MoneyWish:
    """Which entries are looked for: in a span whose ends may be open, and money that came `in` or went `out`."""

    at: tuple[datetime | None, datetime | None] = (None, None)
    direction: str | None = None

    @property
    def narrow(self) -> bool:
        """Whether it leaves anything out."""
        return self.at != (None, None) or self.direction is not None


@dataclass(frozen=True, slots=True)
class OwnMoney:
    """A page of entries, newest first; `older` and `newer` are where the pages beside it begin, None where none is."""

    entries: tuple[OwnEntry, ...]
    older: int | None
    newer: int | None


def own_money(
    db: Database,
    card_id: int,
    wanted: MoneyWish,
    *,
    before: int | None = None,
    after: int | None = None,
    limit: int = PAGE,
) -> OwnMoney:
    """Entries of a card other than those of its calls, newest first: behind `before`, or just in front of `after`."""
    backwards = after is not None
    conditions, given = _conditions(wanted)
    sign, order = (">", "ASC") if backwards else ("<", "DESC")
    if after is not None or before is not None:
        conditions.append(f"e.id {sign} :place")
        given["place"] = after if backwards else before
    statement = _READ.format(where="".join(f" AND {one}" for one in conditions), order=order)
    with db.begin() as session:
        rows = session.execute(text(statement), {**given, "card": card_id, "limit": limit + 1}).all()
    more = len(rows) > limit
    entries = [_entry(row, card_id) for row in rows[:limit]]
    if backwards:
        entries.reverse()
    if not entries:
        return OwnMoney((), None, None)
    first, last = entries[0].id, entries[-1].id
    if backwards:
        return OwnMoney(tuple(entries), last, first if more else None)
    return OwnMoney(tuple(entries), last if more else None, None if before is None else first)


# Of a correction that the card could not pay in full, what the operator bore stands in an entry of its own: here it is
# taken off again, so that the amount is what the card paid.
_READ = """
    SELECT e.id, e.at, e.kind, e.amount + coalesce(borne.amount, 0) AS amount, e.balance_after,
        m.kind AS move, m.from_id, m.to_id, p.method, p.voucher_id, p.card_id AS paid_card
    FROM (
        SELECT *, CASE WHEN e.reference ~ '^(transfer|payment):[0-9]{{1,18}}$'
            THEN split_part(e.reference, ':', 2)::bigint END AS document
        FROM ledger_entry e WHERE e.card_id = :card AND e.kind NOT IN ('usage', 'overrun'){where}
        ORDER BY e.id {order} LIMIT :limit
    ) AS e
    LEFT JOIN card_transfer m ON e.kind = 'transfer' AND m.id = e.document
    LEFT JOIN payment p ON e.kind IN ('recharge', 'voucher') AND p.id = e.document
    LEFT JOIN LATERAL (
        SELECT sum(o.amount)::bigint AS amount FROM ledger_entry o
        WHERE e.kind = 'correction' AND o.card_id = e.card_id AND o.kind = 'overrun' AND o.reference = e.reference
            AND o.at = e.at
    ) AS borne ON true
    ORDER BY e.id {order}
"""


def _conditions(wanted: MoneyWish) -> tuple[list[str], dict[str, Any]]:
    found: list[str] = []
    given: dict[str, Any] = {}
    first, end = wanted.at
    if first is not None:
        found.append("e.at >= :first")
        given["first"] = first
    if end is not None:
        found.append("e.at < :end")
        given["end"] = end
    if wanted.direction in DIRECTIONS:
        found.append("e.amount > 0" if wanted.direction == "in" else "e.amount < 0")
    return found, given


_METHODS = {"online": "online", "auto": "automatic", "reseller": "reseller"}


def _entry(row: Any, card_id: int) -> OwnEntry:
    kind, other = row.kind, None
    if kind == "transfer":
        out = row.from_id == card_id
        kind = ("replaced" if row.move == "replace" else "transfer") + ("_out" if out else "_in")
        if row.from_id is not None:
            other = row.to_id if out else row.from_id
    elif kind == "voucher" and row.voucher_id is not None:
        other = row.paid_card if row.voucher_id == card_id else row.voucher_id
    elif kind == "recharge":
        kind = _METHODS.get(row.method, "recharge")
    return OwnEntry(
        row.id, row.at, kind, row.amount, row.balance_after, None if other is None else serial_of(other)
    )
