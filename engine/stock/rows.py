"""The cards of a batch as rows of text, a block at a time, for files that are handed out (`engine.stock.export`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from engine import house
from engine.db import Database
from engine.errors import EngineError
from engine.money import format_amount
from engine.schema import Batch
from engine.stock.numbers import ascii_digits, luhn_digits
from engine.vault import Sealer

COLUMNS = (
    "serial",
    "number",
    "password",  # empty: not asked for, or reset since
    "denomination",
    "currency",
    "expires_on",  # the last day, in the operator's zone; empty where validity starts with the first use
    "validity_days",  # from the first use
    "batch",
)
VARYING = COLUMNS[:3]
"""What every card has of its own; the other columns differ only by a card's kind."""
CHUNK = 20_000

Kind = tuple[int, datetime | None]


def guarded(text: str) -> str:
    """Free text for a CSV or text file: what a spreadsheet would run as a formula gets an apostrophe in front."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


@dataclass(frozen=True, slots=True)
class Block:
    """Some cards in the order of their serials. `rest`: the columns after the password, for each kind of card."""

    serials: list[str]
    numbers: Sequence[str]
    passwords: list[str]
    kinds: list[Kind]
    rest: dict[Kind, tuple[str, ...]]

    def __repr__(self) -> str:
        return f"Block({len(self.serials)} cards)"

    def varying(self, column: str) -> Sequence[str]:
        """The values of one of `VARYING`, a card each."""
        return (self.serials, self.numbers, self.passwords)[VARYING.index(column)]

    def fixed(self, kind: Kind) -> dict[str, str]:
        """The other columns of a kind of card."""
        return dict(zip(COLUMNS[len(VARYING) :], self.rest[kind], strict=True))


class Rows:
    """The cards of a batch. Without a `sealer` their passwords are left empty.

    `most`: only so many of the first ones. `on_cards` is told after each block how many there were so far.
    """

    def __init__(
        self,
        db: Database,
        batch: Batch,
        sealer: Sealer | None,
        *,
        most: int | None = None,
        on_cards: Callable[[int], None] = lambda cards: None,
    ) -> None:
        self._db, self.batch, self._sealer, self._on_cards = db, batch, sealer, on_cards
        self._last_id = batch.last_id if most is None else min(batch.last_id, batch.first_id + most - 1)
        self._zone = house.refresh(db).zone
        self.without_password = 0

    def blocks(self, *, guard: bool) -> Iterator[Block]:
        """Blocks of at most `CHUNK` cards. `guard`: free text is for a format in which it could act as a formula."""
        batch = self.batch
        name = guarded(batch.name) if guard else batch.name
        with self._db.raw() as conn:
            conn.autocommit = True
            for first in range(batch.first_id, self._last_id + 1, CHUNK):
                last = min(first + CHUNK - 1, self._last_id)
                found = conn.execute(_CARDS[batch.imported], (first, last), binary=True).fetchall()
                if len(found) != last - first + 1:
                    raise EngineError("cards_missing", name=batch.name)
                yield self._block(found, name)
                self._on_cards(last - batch.first_id + 1)

    def _block(self, found: list[Any], name: str) -> Block:
        # A column at a time and few tuples: a fifth of the time would go to the garbage collector's looks at them.
        ids = [row[0] for row in found]
        kinds: list[Kind] = [row[3:] for row in found]
        return Block(
            serials=_serials(ids),
            numbers=[row[1] for row in found],
            passwords=self._passwords(ids, [row[2] for row in found]),
            kinds=kinds,
            rest={kind: self._rest(*kind, name) for kind in set(kinds)},
        )

    def _rest(self, amount: int, end: datetime | None, name: str) -> tuple[str, ...]:
        """The columns after the password."""
        batch = self.batch
        counts = end is None and batch.validity_from == "first_use" and batch.validity_days is not None
        days = str(batch.validity_days) if counts else ""
        return format_amount(amount, 2), batch.currency, self._last_day(end), days, name

    def _passwords(self, ids: Sequence[int], seals: Sequence[bytes | None]) -> list[str]:
        if self._sealer is None:
            return [""] * len(ids)
        opened = self._sealer.open
        self.without_password += seals.count(None)
        return [
            opened(card_id, sealed).decode() if sealed is not None else ""
            for card_id, sealed in zip(ids, seals, strict=True)
        ]

    def _last_day(self, end: datetime | None) -> str:
        if end is None:
            return ""
        return (end - timedelta(microseconds=1)).astimezone(self._zone).date().isoformat()


_CARDS = {
    False: """
        SELECT card.id, number, sealed, batch.denomination, expires_at FROM card JOIN batch ON batch.id = batch_id
        WHERE card.id BETWEEN %s AND %s ORDER BY card.id
        """,
    # An older system's cards came with a balance each.
    True: """
        SELECT card.id, number, sealed, amount, expires_at FROM card
        JOIN ledger_entry AS entry ON entry.card_id = card.id AND entry.kind = 'opening'
        WHERE card.id BETWEEN %s AND %s ORDER BY card.id
        """,
}


def _serials(ids: Sequence[int]) -> list[str]:
    rows = ascii_digits(np.array(ids, np.uint64), 10)
    text = np.column_stack([rows, luhn_digits(rows)]).tobytes().decode()
    return [text[at : at + 11] for at in range(0, len(text), 11)]
