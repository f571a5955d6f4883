"""Background work as its page lists it: what each row is about, who ordered it, and how it ended."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, TextClause, select, text
from sqlalchemy.orm import Session

from engine import work
from engine.bulk.runs import KIND as BULK
from engine.cards.names import actor_names
from engine.db import Database
from engine.errors import NotFound
from engine.reports.replay import KIND as REPLAY
from engine.schema import Batch, BulkRun, Deck, PrintRun, Work
from engine.stock.batches import GENERATE
from engine.stock.handover import KIND as HAND_OVER
from engine.stock.printing.runs import KIND as PRINT

EXPORT = "report_export"
KINDS = (GENERATE, HAND_OVER, PRINT, BULK, REPLAY, EXPORT)
STATES = ("open", "done", "failed", "cancelled")
"""What the list can be narrowed to; `open` waits or runs."""
PAGE = 50


@dataclass(frozen=True, slots=True)
class WorkLine:
    """A row of work. `by`: who ordered it, by a name that people know.

    `subject_id` and `subject` name what it is about: a batch, a deck, of a bulk run its number and its verb, of a print
    run its number and its batch; None where that is nothing of its own. `over`: its batch was discarded.
    """

    view: work.WorkView
    by: str
    subject_id: int | None
    subject: str | None
    over: bool = False


@dataclass(frozen=True, slots=True)
class WorkPage:
    """Some work, newest first; `older` is where the next page begins (an id), None at the end."""

    lines: tuple[WorkLine, ...]
    older: int | None


def work_list(
    db: Database,
    now: datetime,
    *,
    state: str | None = None,
    kind: str | None = None,
    before: int | None = None,
    limit: int = PAGE,
) -> WorkPage:
    """Work of one of `STATES` and one of `KINDS`, or of all, under the number `before`."""
    wanted = select(Work)
    if state is not None:
        wanted = wanted.where(
            Work.state.in_(("queued", "running")) if state == "open" else Work.state == state
        )
    if kind is not None:
        wanted = wanted.where(Work.kind == kind)
    if before is not None:
        wanted = wanted.where(Work.id < before)
    with db.begin() as session:
        found = _read(session, wanted.order_by(Work.id.desc()).limit(limit + 1), now)
    return WorkPage(tuple(found[:limit]), found[limit - 1].view.id if len(found) > limit else None)


def work_line(db: Database, work_id: int, now: datetime) -> WorkLine:
    """One row. Raises `NotFound` ("work_not_found")."""
    with db.begin() as session:
        found = _read(session, select(Work).where(Work.id == work_id), now)
    if not found:
        raise NotFound("work_not_found", id=work_id)
    return found[0]


def names_of(db: Database, actors: Iterable[str | None]) -> dict[str, str]:
    """Names that people know for whoever asked for a run of a job, or paused one."""
    with db.begin() as session:
        return actor_names(session, actors)


def failed_work(session: Session, now: datetime, limit: int) -> list[WorkLine]:
    """Work that failed and that nobody has seen to, newest first, in the caller's transaction.

    It was seen to where its alarm was cleared by somebody, or its batch was finished by other work or given up.
    """
    return _read(session, select(Work).where(*_unseen()).order_by(Work.id.desc()).limit(limit), now)


def _unseen() -> tuple[ColumnElement[bool] | TextClause, ...]:
    return (
        Work.state == "failed",
        text(
            "NOT EXISTS (SELECT 1 FROM alarm a WHERE a.kind = 'work_failed' AND a.subject = 'work:' || work.id"
            " AND a.cleared_at IS NOT NULL AND a.last_at >= work.finished_at)"
        ),
        text(
            "NOT EXISTS (SELECT 1 FROM batch b WHERE b.work_id = work.id"
            " AND (b.discarded_at IS NOT NULL OR b.ready_at IS NOT NULL))"
        ),
    )


def _read(session: Session, wanted: Select[Any], now: datetime) -> list[WorkLine]:
    rows: list[Work] = list(session.scalars(wanted))
    names = actor_names(session, (row.created_by for row in rows))
    subjects = {
        "batch_id": _names(session, Batch, Batch.name, _asked(rows, "batch_id")),
        "deck_id": _names(session, Deck, Deck.name, _asked(rows, "deck_id")),
        "run_id": _names(session, BulkRun, BulkRun.command, _asked(rows, "run_id")),
    }
    batches = set(subjects["batch_id"])
    gone = set(
        session.scalars(select(Batch.id).where(Batch.id.in_(batches), Batch.discarded_at.is_not(None)))
    )
    printed = _print_runs(session, [row.id for row in rows if row.kind == PRINT])
    lines = []
    for row in rows:
        number, subject = printed.get(row.id, (None, None))
        for param, known in subjects.items():
            if row.params.get(param) in known:
                number = row.params[param]
                subject = known[number]
        over = row.params.get("batch_id") in gone
        lines.append(WorkLine(work.view_of(row, now), names[row.created_by], number, subject, over))
    return lines


def _print_runs(session: Session, ids: list[int]) -> dict[int, tuple[int, str]]:
    """The number of a print run and the name of its batch, by its work."""
    runs = select(PrintRun.work_id, PrintRun.id, Batch.name).join(Batch, Batch.id == PrintRun.batch_id)
    found = session.execute(runs.where(PrintRun.work_id.in_(ids))) if ids else ()
    return {work_id: (run_id, name) for work_id, run_id, name in found}


def _asked(rows: Iterable[Work], param: str) -> set[int]:
    return {row.params[param] for row in rows if isinstance(row.params.get(param), int)}


def _names(session: Session, table: Any, column: Any, ids: set[int]) -> dict[int, str]:
    if not ids:
        return {}
    return {row[0]: row[1] for row in session.execute(select(table.id, column).where(table.id.in_(ids)))}
