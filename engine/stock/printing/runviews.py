"""Print runs as pages show them: where each stands, what became of it. A reseller's people see their reseller's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.orm import Session

from engine import work
from engine.actor import Actor
from engine.cards.names import actor_names
from engine.cards.serials import serial_of
from engine.db import Database
from engine.errors import NotFound
from engine.schema import Batch, PrintRun, Reseller, Work
from engine.stock.printing import files
from engine.stock.printing.design import from_settings, shown_fields

PAGE = 25


@dataclass(frozen=True, slots=True)
class RunView:
    """A print run. `state`: queued, making, ready (its file can be fetched until `until`), confirmed, gone (it waited
    too long), cancelled or failed. `cards` are those on it, `left_out` the others of its range by reason; `mine`: who
    reads ordered it. `sha256` is the digest of the file in hex. `design_id` and `printer_id` (None: any) may be gone.
    `codes_at`: the address that its QR codes lead to, None where it has none.
    """

    id: int
    state: str
    batch_id: int
    batch: str
    reseller_id: int | None
    reseller: str | None
    first_serial: str
    last_serial: str
    cards: int
    left_out: dict[str, int]
    pages: int | None
    size: int | None
    sha256: str | None
    design: str
    design_id: int
    printer_id: int | None
    start_at: int
    codes_at: str | None
    again: bool
    reason: str | None
    actor: str
    actor_name: str
    created_at: datetime
    made_at: datetime | None
    until: datetime | None
    downloads: int
    confirmed_at: datetime | None
    confirmed_by: str | None
    work: work.WorkView
    mine: bool


@dataclass(frozen=True, slots=True)
class RunPage:
    """Runs, newest first; `older` is where the next page begins, or None."""

    runs: tuple[RunView, ...]
    older: int | None


_ALL: Any = (
    select(PrintRun, Work, Batch.name.label("batch"), Reseller.name.label("reseller"))
    .join(Work, Work.id == PrintRun.work_id)
    .join(Batch, Batch.id == PrintRun.batch_id)
    .outerjoin(Reseller, Reseller.id == PrintRun.reseller_id)
)


def runs(
    db: Database,
    actor: Actor,
    now: datetime,
    *,
    batch_id: int | None = None,
    reseller_id: int | None = None,
    before: int | None = None,
    limit: int = PAGE,
) -> RunPage:
    """The runs that the actor may see, of a batch or reseller where one is named; `before`: the `older` before."""
    statement = _seen(actor)
    if batch_id is not None:
        statement = statement.where(PrintRun.batch_id == batch_id)
    if reseller_id is not None:
        statement = statement.where(PrintRun.reseller_id == reseller_id)
    if before is not None:
        statement = statement.where(PrintRun.id < before)
    with db.begin() as session:
        rows = session.execute(statement.order_by(PrintRun.id.desc()).limit(limit + 1)).all()
        shown = _shown(session, rows[:limit], actor, now)
    return RunPage(shown, shown[-1].id if len(rows) > limit else None)


def run(db: Database, run_id: int, actor: Actor, now: datetime) -> RunView:
    """One run that the actor may see. Raises `NotFound` ("print_run_not_found")."""
    with db.begin() as session:
        found = _shown(session, session.execute(_seen(actor).where(PrintRun.id == run_id)).all(), actor, now)
    if not found:
        raise NotFound("print_run_not_found")
    return found[0]


def _seen(actor: Actor) -> Any:
    return _ALL.where(PrintRun.reseller_id == actor.reseller_id) if actor.kind == "reseller" else _ALL


def _shown(session: Session, rows: Sequence[Row[Any]], actor: Actor, now: datetime) -> tuple[RunView, ...]:
    names = actor_names(session, (row.confirmed_by for row, *_ in rows if row.confirmed_by is not None))
    return tuple(_view(row, names, actor, now) for row in rows)


def _view(found: Row[Any], names: dict[str, str], actor: Actor, now: datetime) -> RunView:
    row, job = found.PrintRun, found.Work
    ready = files.is_ready(row, files.path_of(job.params["folder"], row.id), now)
    return RunView(
        id=row.id,
        state=_state(row, job, ready),
        batch_id=row.batch_id,
        batch=found.batch,
        reseller_id=row.reseller_id,
        reseller=found.reseller,
        first_serial=serial_of(row.first_id),
        last_serial=serial_of(row.last_id),
        cards=row.cards or 0,
        left_out=dict(row.left_out or {}),
        pages=row.pages,
        size=row.size,
        sha256=None if row.sha256 is None else row.sha256.hex(),
        design=row.design,
        design_id=job.params["design_id"],
        printer_id=job.params.get("printer_id"),
        start_at=job.params["start_at"],
        codes_at=job.params["log_in_url"]
        if "qr" in shown_fields(from_settings(job.params["design"]))
        else None,
        again=row.again,
        reason=row.reason,
        actor=row.actor,
        actor_name=row.actor_name,
        created_at=row.created_at,
        made_at=row.made_at,
        until=row.made_at + files.KEPT if ready and row.made_at is not None else None,
        downloads=row.downloads,
        confirmed_at=row.confirmed_at,
        confirmed_by=None if row.confirmed_by is None else names.get(row.confirmed_by, row.confirmed_by),
        work=work.view_of(job, now),
        mine=row.actor == str(actor),
    )


def _state(row: PrintRun, job: Work, ready: bool) -> str:
    if row.confirmed_at is not None:
        return "confirmed"
    if job.state in ("cancelled", "failed"):
        return job.state
    if row.made_at is not None and job.state == "done":
        return "ready" if ready else "gone"
    return "queued" if job.state == "queued" else "making"
