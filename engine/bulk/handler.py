"""The background work of a run: chunk by chunk, each in one transaction with what it did; a kill repeats nothing.

A chunk's row is locked first, then its cards in ascending order. Of two who hold the same run the second waits at that
row, finds the chunk done, and goes on with the next.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import errors as pg
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from engine import settings, work
from engine.actor import Actor
from engine.bulk import export
from engine.bulk.money import VERBS
from engine.bulk.runs import KIND
from engine.bulk.steps import Act, perform
from engine.db import MAX_RUNS, Database, reruns
from engine.errors import EngineUnavailable, NotFound
from engine.house import zone_of
from engine.schema import BulkRun
from engine.vault import Vault

Clock = Callable[[], datetime]

_NEXT = text(
    "SELECT n, card_ids, callers FROM bulk_chunk WHERE run_id = :run_id AND done_at IS NULL"
    " ORDER BY n LIMIT 1 FOR UPDATE"
)
_ANY_LEFT = text("SELECT EXISTS (SELECT 1 FROM bulk_chunk WHERE run_id = :run_id AND done_at IS NULL)")
_LOCK = text(
    "SELECT count(*) FROM (SELECT 1 FROM card WHERE id = ANY(CAST(:ids AS bigint[]))"
    " ORDER BY id FOR NO KEY UPDATE) locked"
)
_REFUSE = text(
    "INSERT INTO bulk_refusal (run_id, card_id, reason)"
    " SELECT :run_id, id, :code FROM unnest(CAST(:ids AS bigint[])) AS id"
)
_DONE = text("UPDATE bulk_chunk SET done_at = :now WHERE run_id = :run_id AND n = :n")
_COUNT = text(
    "UPDATE bulk_run SET changed = changed + :changed, unchanged = unchanged + :unchanged,"
    " refused = refused + :refused, amount = amount + :amount WHERE id = :run_id"
    " RETURNING changed + unchanged + refused"
)
_FINISH = text("UPDATE bulk_run SET finished_at = :now WHERE id = :run_id AND finished_at IS NULL")
_SUMMARY = text("SELECT changed, unchanged, refused, amount, currency FROM bulk_run WHERE id = :run_id")


@dataclass(frozen=True, slots=True)
class _Plan:
    """What the handler needs to know of a run."""

    run_id: int
    verb: str
    params: dict[str, Any]
    reason: str | None
    currency: str | None
    actor: Actor


def run(db: Database, vault: Vault, claimed: work.Claimed, clock: Clock) -> dict[str, Any]:
    """Do what is left of a run. The handler of the work `bulk`. Raises `work.Stopped` and `NotFound`."""
    plan = _load(db, int(claimed.params["run_id"]))
    if plan.verb == "export":
        export.produce(db, claimed, clock, plan.run_id, plan.params)
    else:
        while _insist(db, vault, claimed, plan, clock):
            pass
    return _finished(db, plan, clock())


def _load(db: Database, run_id: int) -> _Plan:
    with db.begin() as session:
        row = session.get(BulkRun, run_id)
        if row is None:
            raise NotFound("run_not_found", id=run_id)
        kind, _, number = row.actor.partition(":")
        actor = Actor(kind, int(number) if number else None, row.actor_name)
        return _Plan(row.id, row.command, dict(row.params), row.reason, row.currency, actor)


def _insist(db: Database, vault: Vault, claimed: work.Claimed, plan: _Plan, clock: Clock) -> bool:
    """Do the next chunk; again where somebody made one of its callers PINless elsewhere in the same moment."""
    for _ in range(MAX_RUNS):
        try:
            return _chunk(db, vault, claimed, plan, clock())
        except IntegrityError as error:
            if not isinstance(error.orig, pg.UniqueViolation) or "uq_binding_pinless" not in str(error.orig):
                raise
    raise EngineUnavailable("busy")


@reruns
def _chunk(db: Database, vault: Vault, claimed: work.Claimed, plan: _Plan, now: datetime) -> bool:
    """Do the first chunk that is not done, in one transaction; False where none is left."""
    with db.begin() as session:
        asked = {"run_id": plan.run_id}
        chunk = session.execute(_NEXT, asked).one_or_none()
        if chunk is None:
            # Where somebody else has just done the one that we waited for, the next is ours.
            return bool(session.scalar(_ANY_LEFT, asked))
        session.execute(_LOCK, {"ids": chunk.card_ids})
        callers = chunk.callers
        if callers is None and plan.params.get("caller"):
            callers = [plan.params["caller"]] * len(chunk.card_ids)
        act = Act(
            session=session,
            vault=vault,
            actor=plan.actor,
            run_id=plan.run_id,
            params=plan.params,
            reason=plan.reason,
            currency=plan.currency,
            now=now,
            zone=zone_of(settings.load(session)),
            ids=chunk.card_ids,
            callers=callers,
        )
        perform(VERBS[plan.verb], act)
        done = _written(session, act, chunk.n)
        conn: Any = session.connection().connection.driver_connection
        work.report(conn, claimed, done, now)
        return True


def _written(session: Session, act: Act, n: int) -> int:
    """Write down the refused and the counts, and that the chunk is done; gives how many cards are, in all."""
    for code, ids in act.refused.items():
        session.execute(_REFUSE, {"run_id": act.run_id, "code": code, "ids": ids})
    session.execute(_DONE, {"run_id": act.run_id, "n": n, "now": act.now})
    counts = {
        "changed": len(act.changed),
        "unchanged": act.unchanged,
        "refused": sum(len(ids) for ids in act.refused.values()),
        "amount": act.amount,
    }
    return int(session.execute(_COUNT, {"run_id": act.run_id, **counts}).scalar_one())


@reruns
def _finished(db: Database, plan: _Plan, now: datetime) -> dict[str, Any]:
    with db.begin() as session:
        session.execute(_FINISH, {"run_id": plan.run_id, "now": now})
        row = session.execute(_SUMMARY, {"run_id": plan.run_id}).one()
        return {"run_id": plan.run_id, **row._asdict()}


work.HANDLERS[KIND] = run
