"""Full exports of lists: all rows that a list's filter finds, as a CSV or XLSX file made by background work.

What can be exported is a `Source`, registered under its name. A module that owns a list says `register(Source(...))`
when it is imported, and is named in `jobs.handlers`, so that the process that does the work knows it:

    register(Source(
        name="payments", title="Payments", permission="money.see",
        columns=("time", "serial", "amount", "currency", "reason"),
        written=frozenset({"reason"}),     # columns with what people or switches wrote: guarded against formulas in CSV
        iterate=blocks,                    # (db, filter, Asked) -> blocks of rows, each cell the text that is written
        count=how_many,                    # (db, filter, now) -> rows, about or None: what the progress is told against
    ))

`filter` is whatever JSON can hold, never a card number or a secret; the source judges it when the export is ordered
(`check`, which may raise `InvalidInput`) and reads it again in `iterate`. Blocks hold up to a few thousand rows; each
is read in a transaction of its own, by key, so that a long export holds nothing up. `Asked` tells the zone that times
are written in and the instant it was ordered at: what came later is left out.

The file is written under a temporary name that only we may read, synced, and then given its name in the private folder
of the installation. Work that was killed writes it anew. Only who ordered it (or an admin) fetches it, for `KEPT`.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO
from zoneinfo import ZoneInfo

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from engine import idempotency, work
from engine.actor import Actor
from engine.cards.names import actor_names
from engine.db import Database, reruns
from engine.errors import Conflict, EngineError, InvalidInput, NotFound
from engine.people import audit
from engine.permissions import ADMIN, command, require
from engine.schema import Work
from engine.stock.export import guarded, private_part, put_in_place
from engine.stock.sheet import write_sheet
from engine.vault import Vault

KIND = "report_export"
KEPT = timedelta(days=1)
FORMATS = ("csv", "xlsx")
_SCOPE = "report.export"


@dataclass(frozen=True, slots=True)
class Asked:
    """How an export is to be made: the zone of its times, and when it was ordered."""

    zone: ZoneInfo
    at: datetime


Block = Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Source:
    """A list that can be exported; see the module."""

    name: str
    title: str
    permission: str
    columns: tuple[str, ...]
    iterate: Callable[[Database, Mapping[str, Any], Asked], Iterator[Block]]
    written: frozenset[str] = frozenset()
    check: Callable[[Mapping[str, Any]], object] = lambda given: None
    count: Callable[[Database, Mapping[str, Any], datetime], int | None] = lambda db, given, now: None


SOURCES: dict[str, Source] = {}
"""Every source by its name; filled when the modules that own them are imported."""


@dataclass(frozen=True, slots=True)
class Export:
    """An export as lists show it. `ready`: its file can be fetched, until `until`; `gone`: it was there once."""

    work: work.WorkView
    source: str
    title: str
    filter: Mapping[str, Any]
    format: str
    asked_by: str
    rows: int | None
    size: int | None
    ready: bool
    gone: bool
    until: datetime | None


@dataclass(frozen=True, slots=True)
class ExportFile:
    """A file that is ready: where it stands and what it is called."""

    path: Path
    name: str
    rows: int
    sha256: str


def register(source: Source) -> Source:
    """Make a source known. Raises `LookupError` where there is one of that name."""
    if source.name in SOURCES:
        raise LookupError(f"there are two sources {source.name}")
    if not source.written <= set(source.columns):
        raise LookupError(f"{source.name} has no columns {source.written - set(source.columns)}")
    SOURCES[source.name] = source
    return source


@command("report.export")
@reruns
def order(
    db: Database,
    *,
    source: str,
    filter: Mapping[str, Any],
    format: str,
    folder: Path,
    zone: ZoneInfo,
    actor: Actor,
    now: datetime,
    key: str | None = None,
) -> int:
    """Leave work that writes all rows of a source's filter to a file in `folder`; returns its id.

    The same `key` of the same actor counts once. Raises `NotFound` ("report_not_found"), `InvalidInput`
    (unknown_format, and what the source's check raises) and `Forbidden` where the actor may not see the list.
    """
    made = SOURCES.get(source)
    if made is None:
        raise NotFound("report_not_found", name=source[:40])
    require(actor, made.permission)
    if format not in FORMATS:
        raise InvalidInput("unknown_format", field="format", allowed=", ".join(FORMATS))
    made.check(filter)
    params: dict[str, Any] = {"source": source, "filter": dict(filter), "format": format, "zone": zone.key}
    scope, asked = f"{_SCOPE}:{actor}", idempotency.fingerprint(params)
    key = key or idempotency.new_key()
    total = made.count(db, filter, now)
    with db.begin() as session:
        first = idempotency.claim(session, scope, key, asked, now)
        if first is not None:
            return int(first["work"])
        work_id = work.enqueue(session, KIND, {**params, "folder": str(folder)}, actor, now, total=total)
        audit.record(session, actor, "report.export", f"work:{work_id}", now, **params)
        idempotency.keep(session, scope, key, {"work": work_id})
        return work_id


@command("report.cancel")
@reruns
def cancel(db: Database, *, work_id: int, actor: Actor, now: datetime) -> bool:
    """Stop an export; answers whether it was not over. Raises `NotFound` ("export_not_found"), for others' too."""
    with db.begin() as session:
        row = _row(session, work_id, actor)
        stopped = work.cancel(session, work_id, actor, now) if not row.cancel_requested else False
        if stopped:
            audit.record(session, actor, "report.cancel", f"work:{work_id}", now, source=row.params["source"])
        return stopped


def find(db: Database, work_id: int, actor: Actor, now: datetime) -> Export:
    """One export of the actor's own, or anybody's for an admin. Raises `NotFound` ("export_not_found")."""
    with db.begin() as session:
        row = _row(session, work_id, actor)
        return _view(session, row, now)


def listed(
    db: Database, actor: Actor, now: datetime, *, before: int | None = None, limit: int = 25
) -> list[Export]:
    """The exports that the actor ordered, newest first, those with a number under `before`; an admin sees all."""
    wanted = select(Work).where(Work.kind == KIND).order_by(Work.id.desc()).limit(limit)
    if not _sees_all(actor):
        wanted = wanted.where(Work.created_by == str(actor))
    if before is not None:
        wanted = wanted.where(Work.id < before)
    with db.begin() as session:
        return [_view(session, row, now) for row in session.scalars(wanted).all()]


def file_of(db: Database, work_id: int, actor: Actor, now: datetime) -> ExportFile:
    """The file of an export that is done, for who ordered it and for an admin, where they may still see the list.

    Raises `NotFound` (export_not_found, export_gone) and `Conflict` ("export_not_done").
    """
    with db.begin() as session:
        row = _row(session, work_id, actor)
    require(actor, SOURCES[row.params["source"]].permission)
    if row.state != "done" or row.result is None:
        raise Conflict("export_not_done")
    path = _path(row)
    if _is_gone(row, now):
        raise NotFound("export_gone", id=work_id)
    return ExportFile(path, path.name, row.result["rows"], row.result["sha256"])


def run(
    db: Database, vault: Vault, claimed: work.Claimed, clock: Callable[[], datetime]
) -> Mapping[str, Any] | None:
    """Do the work of one export.

    Raises `work.Stopped`, `InvalidInput` ("not_a_file") and `EngineError` (report_not_found, report_too_long).
    """
    params = claimed.params
    source = SOURCES.get(params["source"])
    if source is None:
        raise NotFound("report_not_found", name=params["source"])
    with db.begin() as session:
        asked_at = session.get_one(Work, claimed.id).created_at
    path = Path(params["folder"]) / _name(params["source"], claimed.id, params["format"])
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInput("not_a_file", field="folder", path=str(path.parent)) from error
    blocks = _Blocks(db, source, params["filter"], Asked(ZoneInfo(params["zone"]), asked_at), claimed, clock)
    with private_part(path) as (part, file):
        _write(file, source, params["format"], blocks)
        file.flush()
        os.fsync(file.fileno())
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        size = os.fstat(file.fileno()).st_size
        put_in_place(part, path)
    return {"file": path.name, "rows": blocks.count, "sha256": digest, "size": size}


work.HANDLERS[KIND] = run


def remove_old(db: Database, now: datetime) -> int:
    """Delete the files of exports that were done `KEPT` ago or longer; how many there were."""
    with db.begin() as session:
        found = session.execute(
            text(
                "SELECT params ->> 'folder' AS folder, result ->> 'file' AS file FROM work"
                " WHERE kind = :kind AND result IS NOT NULL AND finished_at <= :before ORDER BY id"
            ),
            {"kind": KIND, "before": now - KEPT},
        ).all()
    removed = 0
    for row in found:
        with suppress(OSError):  # gone already, mostly
            (Path(row.folder) / row.file).unlink()
            removed += 1
    return removed


class _Blocks:
    """The rows of an export, counted and reported on their way into the file."""

    def __init__(
        self,
        db: Database,
        source: Source,
        given: Mapping[str, Any],
        asked: Asked,
        claimed: work.Claimed,
        clock: Callable[[], datetime],
    ) -> None:
        self._db, self._source, self._filter, self._asked = db, source, given, asked
        self._claimed, self._clock = claimed, clock
        self.count = 0

    def read(self, *, guard: bool) -> Iterator[Block]:
        columns = [at for at, name in enumerate(self._source.columns) if name in self._source.written]
        for block in self._source.iterate(self._db, self._filter, self._asked):
            yield [_guarded(row, columns) for row in block] if guard and columns else block
            self.count += len(block)
            total = max(self.count, self._claimed.total or 0)
            with self._db.connection() as conn:
                work.report(conn, self._claimed, self.count, self._clock(), total=total)
        with self._db.connection() as conn:
            work.report(conn, self._claimed, self.count, self._clock(), total=self.count)


def _guarded(row: Sequence[str], columns: list[int]) -> list[str]:
    cells = list(row)
    for at in columns:
        cells[at] = guarded(cells[at])
    return cells


def _write(file: BinaryIO, source: Source, format_: str, blocks: _Blocks) -> None:
    if format_ == "xlsx":
        try:
            write_sheet(file, source.columns, blocks.read(guard=False))
        except ValueError as error:
            raise EngineError("report_too_long") from error
        return
    file.write((",".join(source.columns) + "\r\n").encode())
    for block in blocks.read(guard=True):
        lines = io.StringIO(newline="")
        csv.writer(lines).writerows(block)
        file.write(lines.getvalue().encode("utf-8", "replace"))


def _sees_all(actor: Actor) -> bool:
    return actor.kind in ("system", "console") or (actor.kind == "staff" and actor.role == ADMIN)


def _row(session: Session, work_id: int, actor: Actor) -> Work:
    row = session.scalar(select(Work).where(Work.id == work_id, Work.kind == KIND))
    if row is None or not (_sees_all(actor) or row.created_by == str(actor)):
        raise NotFound("export_not_found", id=work_id)
    return row


def _name(source: str, work_id: int, format_: str) -> str:
    return f"{source}-{work_id}.{format_}"


def _path(row: Work) -> Path:
    return Path(row.params["folder"]) / _name(row.params["source"], row.id, row.params["format"])


def _is_gone(row: Work, now: datetime) -> bool:
    return row.finished_at is None or now >= row.finished_at + KEPT or not _path(row).is_file()


def _view(session: Session, row: Work, now: datetime) -> Export:
    done = row.state == "done" and row.result is not None
    gone = done and _is_gone(row, now)
    result: Mapping[str, Any] = row.result or {}
    source = SOURCES.get(row.params["source"])
    return Export(
        work=work.view_of(row, now),
        source=row.params["source"],
        title=source.title if source else row.params["source"],
        filter=row.params["filter"],
        format=row.params["format"],
        asked_by=actor_names(session, (row.created_by,))[row.created_by],
        rows=result.get("rows"),
        size=result.get("size"),
        ready=done and not gone,
        gone=gone,
        until=row.finished_at + KEPT if row.finished_at else None,
    )
