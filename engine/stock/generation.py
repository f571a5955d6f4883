"""Generation: the cards of an ordered batch, by the hundred thousand, killed and resumed at any point.

The cards come in chunks. A chunk is one transaction: its cards and their opening ledger entries by binary COPY, and
how far the batch has got; so whoever goes on after a kill goes on exactly there. While the server takes in one chunk
the next is made. No card can be used before the whole batch is ready.

Uniqueness is the unique index's. Where collisions are likely a chunk's numbers are looked up first; where one happens
all the same, the chunk is undone, what is taken is replaced, and it is written again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import psycopg
from psycopg import errors as pg
from sqlalchemy import select

from engine import house, work
from engine.cards.status import validity_end
from engine.db import Database
from engine.errors import Conflict
from engine.funds.ledger import SALES
from engine.schema import Batch, BatchKey
from engine.stock import numbers
from engine.stock.batches import GENERATE, serials_used
from engine.stock.blocks import HEADER, TRAILER, Layout, Varying
from engine.stock.numbers import Bodies, Digits, Source, Space, prefix_space, range_space
from engine.vault import NONCE_BYTES, Sealer, Vault

CHUNK = 20_000
"""Cards in one transaction: a quarter of a second of work, some 6 MB."""

_LOOK_FIRST = 0.1
_READ = 1_000_000
_TAG_BYTES = 16

Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class _Plan:
    """What generation needs to know of a batch."""

    batch_id: int
    created_by: str
    created_at: datetime
    first_id: int
    count: int
    generated: int
    space: Space
    password_length: int
    columns: dict[str, Any]
    used: int
    expires_at: datetime | None
    released: bool
    data_key: bytes


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Some cards on their way: where in the batch they begin, and their secrets, one row a card."""

    start: int
    bodies: Bodies
    passwords: Digits

    def __repr__(self) -> str:
        return f"_Chunk({self.start}, {len(self.bodies)} cards)"


def run(db: Database, vault: Vault, claimed: work.Claimed, clock: Clock) -> dict[str, Any]:
    """Make what is still missing of a batch's cards, then declare it ready. The handler of the work `generate`.

    Raises `Conflict("batch_moved_on")` where the batch was discarded or somebody else generates it, `work.Stopped`, and
    `SpaceFull("space_full")` where the numbers have run out meanwhile: the batch can be discarded.
    """
    batch_id = int(claimed.params["batch_id"])
    plan = _load(db, vault, batch_id)
    if plan is not None:
        _Generation(db, vault, claimed, clock, plan).run()
        _make_ready(db, plan, clock())
    return {"batch_id": batch_id}


class _Generation:
    def __init__(self, db: Database, vault: Vault, claimed: work.Claimed, clock: Clock, plan: _Plan) -> None:
        self.db, self.vault, self.claimed, self.clock, self.plan = db, vault, claimed, clock, plan
        self.digest = vault.digester()
        self.seal = Sealer(plan.data_key, plan.batch_id).seal
        self.source = self._source()
        likely = CHUNK * plan.used > _LOOK_FIRST * plan.space.size
        self.look_first = likely and isinstance(self.source, numbers.SparseSource)

    def run(self) -> None:
        plan = self.plan
        with self.db.raw() as conn, ThreadPoolExecutor(1, "generation") as writer:
            writing: Future[None] | None = None
            made: _Chunk | None = None
            for start in range(plan.generated, plan.count, CHUNK):
                chunk = self._make(start, min(CHUNK, plan.count - start))
                rows = self._rows(chunk)
                if writing is not None and made is not None:
                    self._finish(conn, made, writing)
                made, writing = chunk, writer.submit(self._write, conn, chunk, rows)
            if writing is not None and made is not None:
                self._finish(conn, made, writing)

    def _source(self) -> Source:
        return numbers.source_for(
            self.plan.space, self.plan.count - self.plan.generated, self._numbers_of_cards
        )

    def _numbers_of_cards(self) -> Iterator[Bodies]:
        """The numbers of the space that cards have already, a million numbers of the space at a time."""
        space = self.plan.space
        with self.db.connection() as conn:
            for low in range(space.low, space.high + 1, _READ):
                part = Space(space.prefix, space.digits, low, min(low + _READ - 1, space.high), space.luhn)
                found = conn.execute(
                    "SELECT string_agg(number, '') FROM card WHERE number BETWEEN %s AND %s AND length(number) = %s",
                    (part.first, part.last, part.length),
                ).fetchone()
                if found is not None and found[0]:
                    yield space.bodies(np.frombuffer(found[0].encode(), np.uint8).reshape(-1, part.length))

    def _make(self, start: int, count: int) -> _Chunk:
        bodies = self.source.take(count)
        if self.look_first:
            with self.db.connection() as conn:
                bodies = self._replace_taken(conn, bodies)
        return _Chunk(start, bodies, numbers.passwords(count, self.plan.password_length))

    def _replace_taken(self, conn: psycopg.Connection[Any], bodies: Bodies) -> Bodies:
        """The same bodies, with others in the place of those whose number a card has."""
        unsure = bodies
        bodies = bodies.copy()
        while len(taken := self._taken(conn, unsure)):
            self.source.note_taken(taken)
            unsure = self.source.take(len(taken))
            bodies[np.isin(bodies, taken)] = unsure
        return bodies

    def _taken(self, conn: psycopg.Connection[Any], bodies: Bodies) -> Bodies:
        rows = self.plan.space.numbers(bodies)
        width = self.plan.space.length
        joined = rows.tobytes().decode()
        wanted = [joined[at : at + width] for at in range(0, len(joined), width)]
        found = conn.execute("SELECT number FROM card WHERE number = ANY(%s)", (wanted,)).fetchall()
        taken = "".join(row[0] for row in found).encode()
        return self.plan.space.bodies(np.frombuffer(taken, np.uint8).reshape(-1, width))

    def _rows(self, chunk: _Chunk) -> tuple[str, bytes, str, bytes]:
        """The COPY statements and blocks of a chunk's cards and of their opening entries."""
        plan, count, now = self.plan, len(chunk.bodies), self.clock()
        first = plan.first_id + chunk.start
        rows = plan.space.numbers(chunk.bodies)
        ids = np.arange(first, first + count)
        cards = Layout(
            "card",
            {
                "id": Varying(),
                "number": Varying(plan.space.length),
                "digest": Varying(32),
                "pepper": self.vault.pepper,
                "sealed": Varying(NONCE_BYTES + plan.password_length + _TAG_BYTES),
                "batch_id": plan.batch_id,
                **plan.columns,
                "created_at": now,
                "released_at": now if plan.released else None,
                "expires_at": plan.expires_at,
            },
            pepper=2,
            concurrency=2,
        )
        entries = opening_entries(plan.batch_id, plan.created_by, now, plan.columns["balance"])
        return (
            cards.statement,
            cards.block(
                count,
                id=ids,
                number=rows,
                digest=self._digests(rows, chunk.passwords),
                sealed=self._seals(first, chunk.passwords),
            ),
            entries.statement,
            entries.block(count, card_id=ids),
        )

    def _digests(self, rows: Digits, passwords: Digits) -> Digits:
        colons = np.full((len(rows), 1), ord(":"), np.uint8)
        messages = np.concatenate([rows, colons, passwords], axis=1)
        width, data, digest = messages.shape[1], messages.tobytes(), self.digest
        digests = b"".join([digest(data[at : at + width]) for at in range(0, len(data), width)])
        return np.frombuffer(digests, np.uint8)

    def _seals(self, first: int, passwords: Digits) -> Digits:
        count, width = passwords.shape
        data, nonces, seal = passwords.tobytes(), os.urandom(NONCE_BYTES * count), self.seal
        seals = b"".join(
            [
                seal(
                    first + at,
                    data[width * at : width * (at + 1)],
                    nonces[NONCE_BYTES * at : NONCE_BYTES * (at + 1)],
                )
                for at in range(count)
            ]
        )
        return np.frombuffer(seals, np.uint8)

    def _finish(self, conn: psycopg.Connection[Any], chunk: _Chunk, writing: Future[None]) -> None:
        """Wait until a chunk is committed; write it again as often as the database asks for it."""
        try:
            return writing.result()
        except (pg.UniqueViolation, pg.DeadlockDetected, pg.LockNotAvailable) as error:
            conflict: Exception = error
        while True:
            # From the first collision on, others are likely: somebody else fills the same space.
            self.look_first = True
            if isinstance(conflict, pg.UniqueViolation) and conflict.diag.constraint_name != "uq_card_number":
                raise conflict
            chunk = _Chunk(chunk.start, self._replace_taken(conn, chunk.bodies), chunk.passwords)
            conn.rollback()
            try:
                return self._write(conn, chunk, self._rows(chunk))
            except (pg.UniqueViolation, pg.DeadlockDetected, pg.LockNotAvailable) as error:
                conflict = error

    def _write(
        self, conn: psycopg.Connection[Any], chunk: _Chunk, rows: tuple[str, bytes, str, bytes]
    ) -> None:
        """One transaction: how far the batch is, its cards, their entries, the work's progress."""
        plan, done = self.plan, chunk.start + len(chunk.bodies)
        with conn.transaction(), conn.cursor() as cursor:
            # First, so that of two who generate one batch the second waits here and then finds it moved on.
            cursor.execute(
                "UPDATE batch SET generated = %s WHERE id = %s AND generated = %s"
                " AND ready_at IS NULL AND discarded_at IS NULL",
                (done, plan.batch_id, chunk.start),
            )
            if cursor.rowcount != 1:
                raise Conflict("batch_moved_on")
            for statement, block in (rows[:2], rows[2:]):
                with cursor.copy(statement) as copy:
                    copy.write(HEADER)
                    copy.write(block)
                    copy.write(TRAILER)
            work.report(conn, self.claimed, done, self.clock())


def opening_entries(batch_id: int, actor: str, now: datetime, amount: int | None) -> Layout:
    """The ledger entries with which cards are born; `amount` in micro-units, or None where it differs by card."""
    value = Varying() if amount is None else amount
    return Layout(
        "ledger_entry",
        {
            "card_id": Varying(),
            "account": SALES,
            "amount": value,
            "balance_after": value,
            "kind": "opening",
            "reference": f"batch:{batch_id}",
            "actor": actor,
            "at": now,
        },
    )


def _load(db: Database, vault: Vault, batch_id: int) -> _Plan | None:
    """What is to be made, or None where the batch is ready. Raises `Conflict` where it was discarded."""
    zone = house.refresh(db).zone
    with db.begin() as session:
        batch = session.scalars(select(Batch).where(Batch.id == batch_id)).one()
        if batch.discarded_at is not None:
            raise Conflict("batch_moved_on")
        if batch.ready_at is not None:
            return None
        key = session.get_one(BatchKey, batch_id)
        if key.wrapped is None:
            raise Conflict("batch_shredded", name=batch.name)
        expires_at = None
        if batch.validity_from == "generation" and batch.validity_days is not None:
            # From the day of the order: a batch that was interrupted over midnight still ends on one day.
            expires_at = validity_end(batch.created_at, batch.validity_days, zone)
        if batch.range_first is not None and batch.range_last is not None:
            space = range_space(batch.range_first, batch.range_last, batch.luhn)
        else:
            space = prefix_space(batch.number_prefix, batch.number_length, batch.luhn)
        return _Plan(
            batch_id=batch.id,
            created_by=batch.created_by,
            created_at=batch.created_at,
            first_id=batch.first_id,
            count=batch.count,
            generated=batch.generated,
            space=space,
            password_length=batch.password_length,
            columns={
                "currency": batch.currency,
                "balance": batch.denomination,
                "concurrency": batch.concurrency,
                "deck_id": batch.deck_id,
                "destination_rules_id": batch.destination_rules_id,
                "reseller_id": batch.reseller_id,
            },
            used=serials_used(session),
            expires_at=expires_at,
            released=batch.release == "generation",
            data_key=vault.unwrap(key.wrapped, key.master),
        )


def _make_ready(db: Database, plan: _Plan, now: datetime) -> None:
    rules = house.current(db).settings
    with db.begin() as session:
        batch = session.scalars(select(Batch).where(Batch.id == plan.batch_id).with_for_update()).one()
        if batch.discarded_at is not None or batch.generated != batch.count:
            raise Conflict("batch_moved_on")
        if batch.ready_at is not None:
            return
        batch.ready_at = now
        if rules.shred_days:
            key = session.get_one(BatchKey, plan.batch_id)
            key.shred_after = now + timedelta(days=rules.shred_days)


work.HANDLERS[GENERATE] = run
