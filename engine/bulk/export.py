"""The export of the cards of a run: a file without passwords in a private folder, to be fetched once it is done.

The columns are `COLUMNS`, in the formats of `engine.stock.export`. The file is written under a temporary name that only
we may read, synced, recorded with its rows and SHA-256, and only then given its name. Work that was killed writes it
anew. Each card is told as it is when its chunk is read. A file is kept for `KEPT` after its run was done.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO
from zoneinfo import ZoneInfo

from psycopg.types.json import Json
from sqlalchemy import text

from engine import house, work
from engine.cards.serials import serial_of
from engine.cards.status import status_of
from engine.db import Database
from engine.errors import Conflict, InvalidInput, NotFound
from engine.money import format_amount
from engine.schema import BulkRun
from engine.stock.export import guarded, private_part, put_in_place
from engine.stock.sheet import write_sheet

COLUMNS = (
    "serial",
    "number",
    "status",
    "balance",
    "currency",
    "expires_on",  # the last day, in the operator's zone; empty where the card has no end yet
    "first_used_at",
    "batch",
    "reseller",
)
KEPT = timedelta(days=1)
_CARDS = text(
    """
    SELECT card.id, card.number, card.balance, card.currency, card.expires_at, card.first_used_at, card.damaged_at,
        card.locked_at, batch.name AS batch, coalesce(reseller.name, '') AS reseller
    FROM card JOIN batch ON batch.id = card.batch_id LEFT JOIN reseller ON reseller.id = card.reseller_id
    WHERE card.id = ANY(CAST(:ids AS bigint[])) ORDER BY card.id
    """
)


@dataclass(frozen=True, slots=True)
class ExportFile:
    """A file that a run made: where it stands, its cards, and its SHA-256 in hex."""

    path: Path
    format: str
    rows: int
    sha256: str


def exported(db: Database, run_id: int) -> ExportFile:
    """The file of a run that is done.

    Raises `NotFound` (run_not_found, export_gone) and `Conflict` ("run_not_done").
    """
    with db.begin() as session:
        run = session.get(BulkRun, run_id)
    if run is None or run.command != "export":
        raise NotFound("run_not_found", id=run_id)
    if run.finished_at is None or run.result is None:
        raise Conflict("run_not_done", id=run_id)
    made = ExportFile(
        Path(run.params["folder"]) / run.result["file"],
        run.params["format"],
        run.result["rows"],
        run.result["sha256"],
    )
    if not made.path.is_file():
        raise NotFound("export_gone", id=run_id)
    return made


def remove_old(db: Database, now: datetime) -> int:
    """Delete the files of runs that were done `KEPT` ago or longer; how many there were. Their runs stay.

    A file that can't be deleted is left for the next time.
    """
    with db.begin() as session:
        found = session.execute(
            text(
                "SELECT params ->> 'folder' AS folder, result ->> 'file' AS file FROM bulk_run"
                " WHERE command = 'export' AND result IS NOT NULL AND finished_at <= :before ORDER BY id"
            ),
            {"before": now - KEPT},
        ).all()
    removed = 0
    for row in found:
        with suppress(OSError):  # gone already, mostly
            (Path(row.folder) / row.file).unlink()
            removed += 1
    return removed


def produce(
    db: Database, claimed: work.Claimed, clock: Callable[[], datetime], run_id: int, params: Mapping[str, Any]
) -> None:
    """Write the file of a run and record it. Raises `work.Stopped` and `InvalidInput` ("not_a_file")."""
    path = Path(params["folder"]) / f"cards-{run_id}.{params['format']}"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInput("not_a_file", field="folder", path=str(path.parent)) from error
    rows = _Rows(db, claimed, clock, run_id)
    if rows.recorded(path):
        return
    with private_part(path) as (part, file):
        _write(file, params["format"], rows)
        file.flush()
        os.fsync(file.fileno())
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        result = {"file": path.name, "rows": rows.count, "sha256": digest}
        with db.begin() as session:
            session.execute(
                text(
                    "UPDATE bulk_run SET result = CAST(:result AS jsonb), changed = :rows WHERE id = :run_id"
                ),
                {"result": Json(result), "rows": rows.count, "run_id": run_id},
            )
            session.execute(
                text("UPDATE bulk_chunk SET done_at = :now WHERE run_id = :run_id AND done_at IS NULL"),
                {"now": clock(), "run_id": run_id},
            )
        put_in_place(part, path)


def _write(file: BinaryIO, format_: str, rows: _Rows) -> None:
    if format_ == "xlsx":
        write_sheet(file, COLUMNS, rows.blocks(guard=False))
        return
    delimiter, end = (",", "\r\n") if format_ == "csv" else ("\t", "\n")
    file.write((delimiter.join(COLUMNS) + end).encode())
    for block in rows.blocks(guard=True):
        lines = io.StringIO(newline="")
        csv.writer(lines, delimiter=delimiter, lineterminator=end).writerows(block)
        file.write(lines.getvalue().encode())


class _Rows:
    """The cards of a run, a chunk at a time."""

    def __init__(
        self, db: Database, claimed: work.Claimed, clock: Callable[[], datetime], run_id: int
    ) -> None:
        self._db, self._claimed, self._clock, self._run_id = db, claimed, clock, run_id
        self._zone = house.refresh(db).zone
        self.count = 0

    def recorded(self, path: Path) -> bool:
        """Whether the run has its file already: its work was cut off at the very end."""
        with self._db.begin() as session:
            run = session.get_one(BulkRun, self._run_id)
            return run.result is not None and path.is_file()

    def blocks(self, *, guard: bool) -> Iterator[list[tuple[str, ...]]]:
        """The rows of each chunk. `guard`: free text is for a format in which it could act as a formula."""
        n = 0
        while (found := self._read(n)) is not None:
            now = self._clock()
            yield [_row(card, now, self._zone, guard) for card in found]
            self.count += len(found)
            n += 1
            with self._db.connection() as conn:
                work.report(conn, self._claimed, self.count, now)

    def _read(self, n: int) -> list[Any] | None:
        with self._db.begin() as session:
            ids = session.scalar(
                text("SELECT card_ids FROM bulk_chunk WHERE run_id = :run_id AND n = :n"),
                {"run_id": self._run_id, "n": n},
            )
            return None if ids is None else list(session.execute(_CARDS, {"ids": ids}))


def _row(card: Any, now: datetime, zone: ZoneInfo, guard: bool) -> tuple[str, ...]:
    names = (guarded(card.batch), guarded(card.reseller)) if guard else (card.batch, card.reseller)
    end, used = card.expires_at, card.first_used_at
    return (
        serial_of(card.id),
        card.number,
        status_of(card, now),
        format_amount(card.balance, 2),
        card.currency,
        "" if end is None else (end - timedelta(microseconds=1)).astimezone(zone).date().isoformat(),
        "" if used is None else used.astimezone(zone).isoformat(timespec="seconds"),
        *names,
    )
