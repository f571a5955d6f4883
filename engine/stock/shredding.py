"""Shredding: a batch's sealed passwords can never be read again, since the key they were sealed with is destroyed.

The cards go on working: authentication compares digests. A password that is lost can only be reset.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import psycopg
from sqlalchemy import select
from sqlalchemy.orm import Session

from engine import settings
from engine.actor import Actor
from engine.db import Database
from engine.errors import Conflict
from engine.people import audit
from engine.permissions import command
from engine.schema import Batch, BatchKey
from engine.stock import handover
from engine.stock.batches import find_batch
from engine.stock.printing import files
from engine.stock.repeats import once


@command("batch.shred")
def shred(
    db: Database,
    name: str,
    actor: Actor,
    now: datetime,
    reason: str | None = None,
    *,
    key: str | None = None,
) -> None:
    """Destroy the data key of a ready batch, for good; files of it that nobody has fetched yet go with it.

    Its row is then rewritten, so that the key does not stay behind in the table's file. Older backups, and the
    write-ahead log until it is recycled, may still hold it, wrapped by the master key. Raises `NotFound`, `Conflict`
    ("batch_not_ready", "batch_shredded").
    """
    with db.begin() as session:
        if once(session, "batch.shred", actor, key, now, name, reason).answer is not None:
            return
        batch = find_batch(session, name)
        wrapped = session.get_one(BatchKey, batch.id, with_for_update=True)
        if wrapped.wrapped is None:
            raise Conflict("batch_shredded", name=batch.name)
        if batch.ready_at is None:
            raise Conflict("batch_not_ready", name=batch.name)
        _destroy(session, batch, wrapped, actor, now, reason)
    _remove_files(db, [batch.id])
    _rewrite(db)


def shred_due(db: Database, actor: Actor, now: datetime) -> list[str]:
    """Shred what the rule of the house (`shred_days` after it was ready) says is due; returns the batches' names."""
    with db.begin() as session:
        days = settings.load(session).shred_days
        query = (
            select(Batch, BatchKey)
            .join(BatchKey, BatchKey.batch_id == Batch.id)
            .where(BatchKey.wrapped.is_not(None), Batch.ready_at.is_not(None))
            .order_by(Batch.id)
            .with_for_update(of=BatchKey, skip_locked=True)
        )
        names, ids = [], []
        for batch, key in session.execute(query).all():
            if _is_due(batch, key, days, now):
                _destroy(session, batch, key, actor, now, "rule")
                names.append(batch.name)
                ids.append(batch.id)
    if names:
        _remove_files(db, ids)
        _rewrite(db)
    return names


def _is_due(batch: Batch, key: BatchKey, days: int, now: datetime) -> bool:
    if key.shred_after is not None:
        return key.shred_after <= now
    # The rule was made after the batch.
    return bool(days) and batch.ready_at is not None and batch.ready_at + timedelta(days=days) <= now


def _destroy(
    session: Session, batch: Batch, key: BatchKey, actor: Actor, now: datetime, reason: str | None
) -> None:
    key.wrapped, key.shredded_at, key.shredded_by = None, now, str(actor)
    audit.record(
        session,
        actor,
        "batch.shred",
        f"batch:{batch.id}",
        now,
        reason=reason,
        name=batch.name,
        cards=batch.count,
    )


def _remove_files(db: Database, batch_ids: list[int]) -> None:
    """What was made of the batches and not fetched yet."""
    handover.remove_of(db, batch_ids)
    files.remove_of(db, batch_ids)


def _rewrite(db: Database) -> None:
    """Write the keys' table anew: an updated row leaves its old version, key and all, on the page for long."""
    try:
        with db.connection() as conn:
            conn.execute("VACUUM FULL batch_key")
    except (psycopg.errors.LockNotAvailable, psycopg.errors.InsufficientPrivilege):
        # Somebody reads the table just now, or its owner is another role: autovacuum gets there later.
        return
