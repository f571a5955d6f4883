"""Calls that ended, as the operator's lists and pages show them: with card, batch, reseller, switch and deck."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from engine.cards.lines import CallLine
from engine.cards.serials import card_id_of, serial_of
from engine.db import Database
from engine.errors import InvalidInput, NotFound

Key = tuple[int, datetime, int]
"""The key of a CDR: its card's id, when it ended, its number."""


@dataclass(frozen=True, slots=True)
class CallRow:
    """A call that ended and what it belongs to. `call` is what the CDR says; `told` what holds now.

    They differ where an end that came late corrected the call.
    """

    serial: str
    call: CallLine
    switch_id: int
    batch_id: int
    batch: str
    reseller_id: int | None
    reseller: str | None
    deck_id: int
    deck: str
    deck_version_id: int

    @property
    def id(self) -> int:
        """The number of the call; with the card's serial it names it."""
        return self.call.id

    @property
    def told(self) -> CallLine:
        """The call as its correction tells it, where there is one."""
        return self.call.correction or self.call

    @property
    def flags(self) -> tuple[str, ...]:
        """All that was not ordinary about it, the correction included."""
        more = self.call.correction.flags if self.call.correction else ()
        return tuple(dict.fromkeys((*self.call.flags, *more)))


_SHARED = tuple(
    field.name
    for field in dataclasses.fields(CallLine)
    if field.name not in ("switch", "flags", "correction")
)
_CORRECTED = ("duration_ms", "duration_s", "billed_s", "cost", "charged", "balance_after", "cause")

_READ = f"""
    SELECT d.card_id, {", ".join(f"d.{name}" for name in _SHARED)}, d.flags, d.switch_id, d.deck_version_id,
        s.name AS switch, b.id AS batch_id, b.name AS batch, r.id AS reseller_id, r.name AS reseller,
        k.id AS deck_id, k.name AS deck, x.at AS x_at, x.flags AS x_flags,
        {", ".join(f"x.{name} AS x_{name}" for name in _CORRECTED)}
    FROM {{source}}
    JOIN card c ON c.id = d.card_id JOIN batch b ON b.id = c.batch_id LEFT JOIN reseller r ON r.id = c.reseller_id
    JOIN switch s ON s.id = d.switch_id
    JOIN deck_version v ON v.id = d.deck_version_id JOIN deck k ON k.id = v.deck_id
    LEFT JOIN cdr_correction x ON x.card_id = d.card_id AND x.cdr_id = d.id
"""
_BY_KEYS = _READ.format(
    source="""unnest(%(cards)s::bigint[], %(ends)s::timestamptz[], %(ids)s::bigint[]) AS wanted (card_id, ended_at, id)
    JOIN cdr d ON d.card_id = wanted.card_id AND d.ended_at = wanted.ended_at AND d.id = wanted.id"""
)
_ONE = _READ.format(source="cdr d") + " WHERE d.card_id = %(card)s AND d.id = %(id)s"


def read_calls(db: Database, keys: Sequence[Key]) -> tuple[CallRow, ...]:
    """The calls of these keys, in their order; a key that leads nowhere is left out."""
    if not keys:
        return ()
    cards, ends, ids = zip(*keys, strict=True)
    with db.connection() as conn:
        found = conn.execute(
            _BY_KEYS, {"cards": list(cards), "ends": list(ends), "ids": list(ids)}
        ).fetchall()
    rows = {(row.card_id, row.id): _row(row) for row in found}
    return tuple(rows[card_id, call_id] for card_id, _, call_id in keys if (card_id, call_id) in rows)


def find_call(db: Database, serial: str, call_id: int) -> CallRow:
    """One call, by its card's serial and its number. Raises `NotFound`, for what is no serial, too."""
    try:
        card_id = card_id_of(serial)
    except InvalidInput:
        raise NotFound("call_not_found") from None
    with db.connection() as conn:
        row = conn.execute(_ONE, {"card": card_id, "id": call_id}).fetchone()
    if row is None:
        raise NotFound("call_not_found")
    return _row(row)


def _row(row: Any) -> CallRow:
    line = CallLine(
        switch=row.switch, flags=tuple(row.flags), **{name: getattr(row, name) for name in _SHARED}
    )
    if row.x_at is not None:
        told = {name: getattr(row, f"x_{name}") for name in _CORRECTED}
        corrected = dataclasses.replace(line, ended_at=row.x_at, flags=tuple(row.x_flags), **told)
        line = dataclasses.replace(line, correction=corrected)
    return CallRow(
        serial_of(row.card_id),
        line,
        row.switch_id,
        row.batch_id,
        row.batch,
        row.reseller_id,
        row.reseller,
        row.deck_id,
        row.deck,
        row.deck_version_id,
    )
