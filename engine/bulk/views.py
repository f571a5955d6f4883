"""Runs as they may be shown: how far, what came of them, and who was refused and why."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select, text

from engine.cards.serials import serial_of
from engine.db import Database
from engine.errors import NotFound
from engine.funds.recharges import MOST
from engine.messages import sentence
from engine.schema import Batch, BulkRun, Reseller, Work

PATIENCE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class RunView:
    """A run. `state`: queued, running, done, failed or cancelled; `failure` says why in one sentence.

    `cards` is what was frozen; `changed`, `unchanged` (so already) and `refused` count what is done of it. `amount` is
    what was moved, in micro-units of `currency`, signed as the cards see it.
    """

    id: int
    verb: str
    state: str
    params: Mapping[str, Any]
    filter: Mapping[str, Any] | None
    cards: int
    changed: int
    unchanged: int
    refused: int
    reasons: Mapping[str, int]
    amount: int
    currency: str | None
    actor: str
    actor_name: str
    reason: str | None
    created_at: datetime
    finished_at: datetime | None
    result: Mapping[str, Any] | None
    work_id: int | None
    progress: int
    failure: str | None
    cancel_requested: bool

    @property
    def finished(self) -> bool:
        """Whether nobody works on it any more by itself."""
        return self.state in ("done", "failed", "cancelled")

    def waits(self, now: datetime) -> bool:
        """Whether nobody has begun with it, though it was confirmed `PATIENCE` ago: no jobs process seems to run."""
        return self.state == "queued" and not self.progress and now - self.created_at > PATIENCE


@dataclass(frozen=True, slots=True)
class RefusedLine:
    """A card that was left out: the code of the reason, and its sentence."""

    serial: str
    reason: str
    sentence: str


def show(db: Database, run_id: int) -> RunView:
    """One run. Raises `NotFound` ("run_not_found")."""
    with db.begin() as session:
        row = session.execute(
            select(BulkRun, Work).outerjoin(Work, Work.id == BulkRun.work_id).where(BulkRun.id == run_id)
        ).one_or_none()
        if row is None:
            raise NotFound("run_not_found", id=run_id)
        reasons = session.execute(
            text(
                "SELECT reason, count(*) FROM bulk_refusal WHERE run_id = :run_id GROUP BY 1 ORDER BY 2 DESC, 1"
            ),
            {"run_id": run_id},
        )
        return _view(row[0], row[1], {row[0]: row[1] for row in reasons})


def list_runs(
    db: Database,
    *,
    verb: str | None = None,
    actor: str | None = None,
    before: int | None = None,
    limit: int = 50,
) -> list[RunView]:
    """Runs, newest first, without their reasons; of one verb or one actor (`str` of it) where that is given.

    `before`: the last one seen, for the next page.
    """
    wanted = select(BulkRun, Work).outerjoin(Work, Work.id == BulkRun.work_id)
    if verb is not None:
        wanted = wanted.where(BulkRun.command == verb)
    if actor is not None:
        wanted = wanted.where(BulkRun.actor == actor)
    if before is not None:
        wanted = wanted.where(BulkRun.id < before)
    with db.begin() as session:
        rows = session.execute(wanted.order_by(BulkRun.id.desc()).limit(limit))
        return [_view(run, row, {}) for run, row in rows]


def filter_names(db: Database, plain: Mapping[str, Any] | None) -> dict[str, str]:
    """The names of the batch and the reseller that a run's filter is about, under `batch` and `reseller`."""
    asked = {name: (plain or {}).get(f"{name}_id") for name in ("batch", "reseller")}
    with db.begin() as session:
        found = {
            "batch": session.scalar(select(Batch.name).where(Batch.id == asked["batch"])),
            "reseller": session.scalar(select(Reseller.name).where(Reseller.id == asked["reseller"])),
        }
    return {name: text for name, text in found.items() if text is not None}


def actors(db: Database) -> dict[str, str]:
    """Who has confirmed runs: their stable form, such as `staff:3`, and the name they had last."""
    with db.begin() as session:
        rows = session.execute(
            text("SELECT DISTINCT ON (actor) actor, actor_name FROM bulk_run ORDER BY actor, id DESC")
        )
        return {row.actor: row.actor_name or row.actor for row in rows}


_REFUSED = text(
    """
    SELECT card.id, refusal.reason, batch.name, greatest(1, batch.max_bound) AS high
    FROM bulk_refusal refusal JOIN card ON card.id = refusal.card_id JOIN batch ON batch.id = card.batch_id
    WHERE refusal.run_id = :run_id AND refusal.card_id > :after ORDER BY refusal.card_id LIMIT :limit
    """
)


def refused(db: Database, run_id: int, *, after: int = 0, limit: int = 1000) -> list[RefusedLine]:
    """Cards that were left out, by their serials; `after`: the card id behind which the page begins."""
    with db.begin() as session:
        rows = session.execute(_REFUSED, {"run_id": run_id, "after": after, "limit": limit})
        return [_refused(row) for row in rows]


def refused_csv(db: Database, run_id: int) -> Iterator[str]:
    """The refused as CSV, with a heading, piece by piece. Raises `NotFound` ("run_not_found")."""
    show(db, run_id)
    yield "serial,reason,sentence\r\n"
    after = 0
    while lines := refused(db, run_id, after=after):
        piece = io.StringIO(newline="")
        csv.writer(piece).writerows((line.serial, line.reason, line.sentence) for line in lines)
        yield piece.getvalue()
        after = int(lines[-1].serial[:-1])


def _refused(row: Any) -> RefusedLine:
    high = MOST if row.reason == "amount_too_large" else row.high
    told = sentence(row.reason, name=row.name, high=high, field="amount")
    return RefusedLine(serial_of(row.id), row.reason, told)


def _view(run: BulkRun, row: Work | None, reasons: dict[str, int]) -> RunView:
    _, _, words = (row.error or "").partition(": ") if row is not None else ("", "", "")
    same = {
        name: getattr(run, name)
        for name in RunView.__dataclass_fields__
        if hasattr(run, name) and name not in ("verb", "finished")
    }
    state = "done" if run.finished_at is not None else row.state if row is not None else "failed"
    return RunView(
        **same,
        verb=run.command,
        state=state,
        reasons=reasons,
        progress=run.changed + run.unchanged + run.refused if row is None else row.progress,
        failure=words or None,
        cancel_requested=row.cancel_requested if row is not None else False,
    )
