"""Cards of an older system become a batch of ours: with their numbers, passwords, balances, expiry and state.

They get serials, digests and seals like cards that were generated here. The serials are dealt out in random order,
since lists mostly come sorted by number and serials must say nothing about it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
from psycopg import errors as pg
from sqlalchemy.orm import Session

from engine import house, idempotency, settings
from engine.actor import Actor
from engine.calls.deckproblem import Problem
from engine.cards.serials import serial_of
from engine.cards.status import validity_end
from engine.db import Database
from engine.errors import EngineError, InvalidInput
from engine.funds.ledger import SALES
from engine.people import audit
from engine.permissions import command
from engine.schema import Batch, BatchKey
from engine.stock import orders
from engine.stock.batches import (
    BatchOrder,
    add_key,
    allocate_serials,
    lock_serials,
    name_is_new,
    new_batch,
)
from engine.stock.cardfile import CardFile, CardRow, describe, read_cards
from engine.stock.numbers import distinct
from engine.stock.repeats import once
from engine.vault import Sealer, Vault

__all__ = ["CardImport", "describe", "import_cards"]

PREVIEW = 20
_LOOK = 20_000


@dataclass(frozen=True, slots=True)
class CardImport:
    """What a list holds or became. `total` in micro-units; `states` counts cards by what becomes of them.

    `headers`: all column names. `preview`: the first rows, for a look before it counts. `batch_id` and serials are
    None after a dry run.
    """

    cards: int
    total: int
    currency: str
    states: dict[str, int]
    mapping: dict[str, str]
    ignored: tuple[str, ...]
    problems: tuple[Problem, ...]
    preview: tuple[CardRow, ...] = field(repr=False)
    warnings: tuple[str, ...] = ()
    batch_id: int | None = None
    first_serial: str | None = None
    last_serial: str | None = None
    headers: tuple[str, ...] = ()


@command("batch.import")
def import_cards(
    db: Database,
    vault: Vault,
    order: BatchOrder,
    data: bytes,
    filename: str,
    actor: Actor,
    now: datetime,
    *,
    mapping: Mapping[str, str] | None = None,
    delimiter: str | None = None,
    dry_run: bool = False,
    key: str | None = None,
) -> CardImport:
    """Take the cards of a CSV or XLSX list as a batch that is ready at once; with `dry_run` only look.

    `order` says what the list cannot: name, currency, deck and all the rules; its count, denomination, range and
    lengths are not looked at. A card without an expiry gets one by the order's rule, from its first use or from now.
    All or nothing: any bad row, and any number that a card has already, refuses the whole list. With a `key` it counts
    once (`imported_before` tells who asks again what became of it). Raises `InvalidInput`
    ("card_file_refused" with `problems`, "numbers_exist") and as `order_batch` does.
    """
    filename = "".join(sign for sign in filename if sign.isprintable())[:200]
    order = replace(order, count=1, range_first=None, range_last=None, number_prefix="", luhn=False)
    orders.check(replace(order, denomination=1, number_length=12, password_length=8))
    zone = house.refresh(db).zone
    found = read_cards(data, zone=zone, now=now, mapping=mapping, delimiter=delimiter)
    with name_is_new(), _numbers_are_new(), db.begin() as session:
        asked = once(session, "batch.import", actor, None if dry_run else key, now)
        new_batch(session, order, actor, now)  # so that a look finds what it names missing, too
        if not found.problems:
            found.problems.extend(_existing(session, found))
        told = _told(found, order)
        if found.problems and not dry_run:
            raise InvalidInput(
                "card_file_refused",
                field="file",
                filename=filename,
                count=len(found.problems),
                problems=found.problems,
            )
        if dry_run:
            return told
        batch = _write(session, vault, order, found.rows, actor, now)
        audit.record(
            session,
            actor,
            "batch.import",
            f"batch:{batch.id}",
            now,
            name=batch.name,
            count=batch.count,
            total=told.total,
            currency=batch.currency,
            file=filename,
        )
        asked.keep({"batch_id": batch.id})
        first, last = serial_of(batch.first_id), serial_of(batch.last_id)
        return replace(told, batch_id=batch.id, first_serial=first, last_serial=last)


def imported_before(db: Database, actor: Actor, key: str) -> int | None:
    """The id of the batch that this person's import under this key became, or None where it became none yet."""
    with db.begin() as session:
        found = idempotency.find(session, f"batch.import:{actor}", key, idempotency.fingerprint())
        return None if not found else int(found["batch_id"])


def state_of(card: CardRow) -> str:
    """What becomes of a card: the state it is said to have, or what its other facts say."""
    if card.state:
        return card.state
    return "unused" if card.first_used_at is None else "active"


def _told(found: CardFile, order: BatchOrder) -> CardImport:
    warnings = []
    if any(len(card.number) < 12 for card in found.rows):
        warnings.append("short_number")
    if any(len(card.password) < 6 for card in found.rows):
        warnings.append("short_password")
    return CardImport(
        cards=len(found.rows),
        total=sum(card.balance for card in found.rows),
        currency=order.currency,
        states=dict(Counter(map(state_of, found.rows))),
        mapping=found.mapping,
        ignored=tuple(found.ignored),
        problems=tuple(found.problems),
        preview=tuple(found.rows[:PREVIEW]),
        warnings=tuple(warnings),
        headers=tuple(found.headers),
    )


def _existing(session: Session, found: CardFile) -> Iterator[Problem]:
    """A problem for each card of the list whose number a card has already."""
    conn = _driver(session)
    column = found.mapping.get("number")
    for at in range(0, len(found.rows), _LOOK):
        part = {card.number: card.line for card in found.rows[at : at + _LOOK]}
        taken = conn.execute("SELECT number FROM card WHERE number = ANY(%s)", (list(part),))
        yield from (Problem(line, column, "number_exists") for line in sorted(part[row[0]] for row in taken))


def _write(
    session: Session, vault: Vault, order: BatchOrder, rows: list[CardRow], actor: Actor, now: datetime
) -> Batch:
    lock_serials(session)
    balances = {card.balance for card in rows}
    order = replace(
        order,
        count=len(rows),
        # A face value only where they all have the same.
        denomination=balances.pop() if len(balances) == 1 else 0,
        number_length=max(len(card.number) for card in rows),
        password_length=max(len(card.password) for card in rows),
    )
    batch = new_batch(session, order, actor, now)
    batch.first_id = allocate_serials(session, batch.count)
    batch.last_id = batch.first_id + batch.count - 1
    batch.imported, batch.generated, batch.ready_at = True, batch.count, now
    session.add(batch)
    session.flush()
    key = add_key(session, vault, batch.id)
    session.flush()
    rules = settings.load(session)
    if rules.shred_days:
        session.get_one(BatchKey, batch.id).shred_after = now + timedelta(days=rules.shred_days)
    shuffled = [rows[at] for at in distinct(len(rows), len(rows))]
    sealer, zone = Sealer(key, batch.id), ZoneInfo(rules.zone)
    cards = [
        _facts(vault, sealer, batch, batch.first_id + at, card, zone, actor, now)
        for at, card in enumerate(shuffled)
    ]
    conn = _driver(session)
    _copy(conn, "card", _CARD, cards)
    entries = (
        (card[0], SALES, card[7], card[7], "opening", f"batch:{batch.id}", str(actor), now) for card in cards
    )
    _copy(conn, "ledger_entry", _ENTRY, entries)
    return batch


_CARD = {
    "id": "int8",
    "number": "varchar",
    "digest": "bytea",
    "pepper": "int2",
    "sealed": "bytea",
    "batch_id": "int8",
    "currency": "varchar",
    "balance": "int8",
    "concurrency": "int2",
    "deck_id": "int8",
    "destination_rules_id": "int8",
    "reseller_id": "int8",
    "created_at": "timestamptz",
    "released_at": "timestamptz",
    "first_used_at": "timestamptz",
    "expires_at": "timestamptz",
    "locked_at": "timestamptz",
    "locked_by": "text",
    "lock_reason": "text",
    "damaged_at": "timestamptz",
    "damaged_by": "text",
    "damage_reason": "text",
}
_ENTRY = {
    "card_id": "int8",
    "account": "text",
    "amount": "int8",
    "balance_after": "int8",
    "kind": "text",
    "reference": "text",
    "actor": "text",
    "at": "timestamptz",
}


def _facts(
    vault: Vault,
    sealer: Sealer,
    batch: Batch,
    card_id: int,
    card: CardRow,
    zone: ZoneInfo,
    actor: Actor,
    now: datetime,
) -> tuple[Any, ...]:
    """The row of a card. What the older system calls a state becomes the facts from which ours follows."""
    state = state_of(card)
    why = ("imported", str(actor))
    used = card.first_used_at or (now if state == "active" else None)
    held_back = state == "held back" or (batch.release == "activation" and used is None)
    locked = (now, why[1], why[0]) if state == "locked" else (None, None, None)
    damaged = (now, why[1], why[0]) if state == "damaged" else (None, None, None)
    return (
        card_id,
        card.number,
        vault.digest(card.number, card.password),
        vault.pepper,
        sealer.seal(card_id, card.password.encode()),
        batch.id,
        batch.currency,
        card.balance,
        batch.concurrency,
        batch.deck_id,
        batch.destination_rules_id,
        batch.reseller_id,
        now,
        None if held_back else now,
        used,
        _expiry(batch, card, state, used, zone, now),
        *locked,
        *damaged,
    )


def _expiry(
    batch: Batch, card: CardRow, state: str, used: datetime | None, zone: ZoneInfo, now: datetime
) -> datetime | None:
    if card.expires_at is not None or state == "expired":
        return card.expires_at or now
    start = now if batch.validity_from == "generation" else used
    if start is None or batch.validity_days is None:
        return None
    return validity_end(start, batch.validity_days, zone)


def _copy(
    conn: psycopg.Connection[Any], table: str, columns: dict[str, str], rows: Iterable[tuple[Any, ...]]
) -> None:
    with (
        conn.cursor() as cursor,
        cursor.copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN (FORMAT binary)") as copy,
    ):
        copy.set_types(list(columns.values()))
        for row in rows:
            copy.write_row(row)


def _driver(session: Session) -> psycopg.Connection[Any]:
    """The driver's connection of a session: the same transaction."""
    conn = session.connection().connection.driver_connection
    if not isinstance(conn, psycopg.Connection):
        raise EngineError("unavailable")
    return conn


@contextmanager
def _numbers_are_new() -> Iterator[None]:
    """Where another batch took one of the numbers since they were looked up, the list is refused as a whole."""
    try:
        yield
    except pg.UniqueViolation as error:
        if error.diag.constraint_name == "uq_card_number":
            raise InvalidInput("numbers_exist", field="file") from None
        raise
