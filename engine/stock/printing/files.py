"""The files of print runs: sealed, fetched by who ordered them, gone when confirmed or a day old."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

from sqlalchemy import text
from sqlalchemy.orm import Session

from engine.actor import Actor
from engine.db import Database
from engine.errors import Conflict, NotFound
from engine.people import audit
from engine.permissions import require
from engine.schema import BatchKey, PrintRun, Work
from engine.stock import sealedfile
from engine.stock.custody import Range, require_own
from engine.vault import Vault

KEPT = timedelta(days=1)
_LOOKED_FOR = timedelta(days=60)
"""How long after that a file is still looked for: a disk may have been away."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file on its way: `pieces` are read once."""

    name: str
    size: int
    pieces: Iterator[bytes]


def fetch(db: Database, vault: Vault, run_id: int, actor: Actor, clock: Callable[[], datetime]) -> Fetched:
    """The PDF of a run, for who ordered it, as often as it takes until it is confirmed; each time is in the trail.

    Raises `NotFound` (print_run_not_found: also another's; print_run_gone; cards_not_found: they are another reseller's
    by now), `Conflict` (print_run_not_made, batch_shredded) and `Forbidden`.
    """
    require(actor, "print_run.order")
    now = clock()
    with db.begin() as session:
        run = session.get(PrintRun, run_id, with_for_update=True)
        if run is None or run.actor != str(actor):
            raise NotFound("print_run_not_found")
        if run.made_at is None:
            raise Conflict("print_run_not_made")
        path = path_of(session.get_one(Work, run.work_id).params["folder"], run.id)
        if session.get_one(BatchKey, run.batch_id).wrapped is None:
            remove([path])
            raise Conflict("batch_shredded")
        if not is_ready(run, path, now):
            raise NotFound("print_run_gone")
        if run.reseller_id is not None:
            require_own(session, Range(run.first_id, run.last_id), run.reseller_id)
        # Opened before it counts: what nobody got must not be confirmed.
        try:
            file = path.open("rb")
        except FileNotFoundError:
            raise NotFound("print_run_gone") from None
        run.downloads += 1
        name, size = f"cards-{run.id}.pdf", run.size or 0
        told: dict[str, Any] = {"file": name, "sha256": (run.sha256 or b"").hex(), "times": run.downloads}
        audit.record(session, actor, "print_run.fetch", f"print_run:{run.id}", now, **told)
    return Fetched(name, size, _sent(file, vault))


def is_ready(run: PrintRun, path: Path, now: datetime) -> bool:
    """Whether a run's file can be fetched."""
    waits = run.made_at is not None and run.confirmed_at is None and now < run.made_at + KEPT
    return waits and path.is_file()


def path_of(folder: str, run_id: int) -> Path:
    """Where the file of a run lies."""
    return Path(folder) / f"print-{run_id}.sealed"


def remove_old(db: Database, now: datetime) -> int:
    """Delete the files that waited for `KEPT`; how many there were. One that can't be is left for next time.

    Those of confirmed runs too: whoever confirmed may have been cut off before the file was gone. Looked for is among
    the runs of `_LOOKED_FOR`.
    """
    last = "coalesce(run.made_at, run.created_at)"
    before = now - KEPT
    with db.begin() as session:
        which = f"{last} <= :before AND {last} > :after AND work.state NOT IN ('queued', 'running')"
        return remove(_paths(session, which, before=before, after=before - _LOOKED_FOR))


def remove_of(db: Database, batch_ids: list[int]) -> int:
    """Delete the files of batches that are shredded; how many there were."""
    with db.begin() as session:
        return remove(_paths(session, "run.batch_id = ANY(:ids)", ids=batch_ids))


def remove(paths: list[Path]) -> int:
    """Delete files; those that are gone already don't count."""
    removed = 0
    for path in paths:
        with suppress(OSError):
            path.unlink()
            removed += 1
    return removed


def _paths(session: Session, which: str, **values: object) -> list[Path]:
    rows = session.execute(
        text(
            "SELECT run.id, work.params ->> 'folder' AS folder FROM print_run run JOIN work ON work.id = run.work_id"
            f" WHERE {which} ORDER BY run.id"
        ),
        values,
    )
    return [path_of(row.folder, row.id) for row in rows]


def _sent(file: BinaryIO, vault: Vault) -> Iterator[bytes]:
    with file:
        yield from sealedfile.opened(vault, file)
