"""Hand-overs: files of large batches, made in the background, fetched once by who ordered them.

The file waits in a private folder where nobody can read it: encrypted to the age recipient, or sealed by this
installation and opened only while it is sent. It is deleted once it was sent, when its batch is shredded, or after
`KEPT`. It counts as issued when it was made: one that nobody fetched is ordered again, with a reason.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from engine import idempotency, work
from engine.actor import Actor
from engine.db import Database, reruns
from engine.errors import Conflict, InvalidInput, NotFound
from engine.people import audit, hands
from engine.permissions import command
from engine.schema import BatchKey, Work
from engine.stock import export, forms, sealedfile, writing
from engine.stock.export import Wanted, private_part, put_in_place
from engine.stock.rows import Rows
from engine.vault import Vault

KIND = "hand_over"
KEPT = timedelta(days=1)
AT_ONCE = 20_000
"""Batches of at most so many cards are answered at once; larger ones are made in the background."""
_SHOWN = 5
_PIECE = 256 * 1024


@dataclass(frozen=True, slots=True)
class HandOver:
    """A file that somebody ordered. `ready`: it can be fetched until `until`; `gone`: it was, or waited too long."""

    work: work.WorkView
    name: str
    with_passwords: bool
    encrypted: bool
    ready: bool
    gone: bool
    until: datetime | None


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file on its way: `pieces` are read once."""

    name: str
    pieces: Iterator[bytes]


@command("batch.hand_over")
@reruns
def order(
    db: Database, vault: Vault, name: str, wanted: Wanted, folder: Path, actor: Actor, now: datetime
) -> int:
    """Leave work that makes the file in `folder`, after all that can be known now was checked; returns its id.

    The same `wanted.key` counts once. Raises as `engine.stock.export.export_batch`.
    """
    scope, key = f"batch.hand_over:{actor}", wanted.key or idempotency.new_key()
    with db.begin() as session:
        first = idempotency.find(session, scope, key, _asked(name, wanted))
    if first is not None:
        return int(first["work_id"])
    batch, _ = export.opened(db, vault, name, wanted, actor, now)
    with db.begin() as session:
        first = idempotency.claim(session, scope, key, _asked(name, wanted), now)
        if first is not None:
            return int(first["work_id"])
        params = {
            "batch_id": batch.id,
            "batch": batch.name,
            "actor": str(actor),
            "actor_name": actor.name,
            "folder": str(folder),
            "form": forms.as_settings(wanted.form),
            "format": wanted.format,
            "template": wanted.template,
            "recipient": wanted.recipient,
            "again": wanted.again,
            "reason": wanted.reason,
            "with_passwords": wanted.with_passwords,
        }
        work_id = work.enqueue(session, KIND, params, actor, now, total=batch.count)
        audit.record(
            session,
            actor,
            "batch.hand_over",
            f"batch:{batch.id}",
            now,
            reason=wanted.reason,
            name=batch.name,
            format=wanted.format,
            with_passwords=wanted.secret,
            work=work_id,
        )
        idempotency.keep(session, scope, key, {"work_id": work_id})
        return work_id


def run(db: Database, vault: Vault, claimed: work.Claimed, clock: Callable[[], datetime]) -> dict[str, Any]:
    """Make the file. The handler of the work `hand_over`; killed, it makes it anew and is still one issue."""
    asked = claimed.params
    kind, _, number = asked["actor"].partition(":")
    actor = Actor(kind, int(number) if number else None, asked["actor_name"])
    _require_still(db, actor)
    wanted = _wanted(asked, claimed.id)
    batch, sealer = export.opened(db, vault, asked["batch"], wanted, actor, clock())

    def report(cards: int) -> None:
        with db.connection() as conn:
            work.report(conn, claimed, cards, clock())

    rows = Rows(db, batch, sealer, on_cards=report)
    path = _path(asked["folder"], claimed.id)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInput("not_a_file", field="folder", path=str(path.parent)) from error
    called = wanted.file_name(batch.name)
    with private_part(path) as (part, file):
        digest = _write(file, vault, wanted, rows)
        size = file.tell()
        on_disk = export.synced_digest(file)
        export.issue(
            db,
            vault,
            asked["batch"],
            wanted,
            rows.without_password,
            called,
            digest or on_disk,
            actor,
            clock(),
            lambda: put_in_place(part, path),
        )
    return {"file": called, "size": size, "without_password": rows.without_password}


def _write(file: BinaryIO, vault: Vault, wanted: Wanted, rows: Rows) -> bytes | None:
    """Write it so that nobody who finds it can read it; the digest of the clear file where it is sealed."""
    pieces = writing.parts(wanted.form, rows)
    if wanted.recipient is not None:
        writing.write(file, pieces, wanted.recipient)
        return None
    digest = hashlib.sha256()
    for piece in sealedfile.sealed(vault, _hashed(pieces, digest)):
        file.write(piece)
    return digest.digest()


def _hashed(pieces: Iterator[bytes], digest: Any) -> Iterator[bytes]:
    for piece in pieces:
        digest.update(piece)
        yield piece


def orders(db: Database, batch_id: int, actor: Actor, now: datetime) -> tuple[HandOver, ...]:
    """The newest files of a batch that this person ordered."""
    with db.begin() as session:
        rows = session.scalars(
            select(Work)
            .where(
                Work.kind == KIND,
                Work.created_by == str(actor),
                Work.params["batch_id"].as_integer() == batch_id,
            )
            .order_by(Work.id.desc())
            .limit(_SHOWN)
        ).all()
    return tuple(_shown(db, row, now) for row in rows)


def find(db: Database, batch_id: int, work_id: int, actor: Actor, now: datetime) -> HandOver:
    """One file that this person ordered. Raises `NotFound` ("hand_over_gone")."""
    with db.begin() as session:
        row = _own(session, batch_id, work_id, actor)
    return _shown(db, row, now)


def fetch(
    db: Database, vault: Vault, batch_id: int, work_id: int, actor: Actor, clock: Callable[[], datetime]
) -> Fetched:
    """The file, for who ordered it; deleted when its last piece was taken. Each fetching is in the audit trail.

    Raises `NotFound` ("hand_over_gone": also another's) and `Conflict` (hand_over_not_done, batch_shredded).
    """
    with db.begin() as session:
        row = _own(session, batch_id, work_id, actor)
        key = session.get_one(BatchKey, batch_id)
    if row.state in ("queued", "running"):
        raise Conflict("hand_over_not_done")
    shown, wanted = _shown(db, row, clock()), _wanted(row.params, row.id)
    path = _path(row.params["folder"], row.id)
    if wanted.secret and key.wrapped is None:
        path.unlink(missing_ok=True)
        raise Conflict("batch_shredded", name=row.params["batch"])
    if not shown.ready:
        raise NotFound("hand_over_gone")
    with db.begin() as session:
        audit.record(
            session,
            actor,
            "batch.fetch",
            f"batch:{batch_id}",
            clock(),
            name=row.params["batch"],
            file=shown.name,
            with_passwords=wanted.secret,
            work=work_id,
        )
    return Fetched(shown.name, _sent(path, vault, wanted))


def _sent(path: Path, vault: Vault, wanted: Wanted) -> Iterator[bytes]:
    with path.open("rb") as file:
        if wanted.recipient is None:
            yield from sealedfile.opened(vault, file)
        else:
            while piece := file.read(_PIECE):
                yield piece
    # Only here: a download that broke off is begun again.
    path.unlink(missing_ok=True)


def remove_old(db: Database, now: datetime) -> int:
    """Delete the files that nobody fetched for `KEPT`; how many there were. One that can't be is left for next time."""
    with db.begin() as session:
        rows = session.execute(
            text(
                "SELECT id, params ->> 'folder' AS folder FROM work"
                " WHERE kind = :kind AND finished_at <= :before ORDER BY id"
            ),
            {"kind": KIND, "before": now - KEPT},
        ).all()
    return _unlink([_path(row.folder, row.id) for row in rows])


def remove_of(db: Database, batch_ids: list[int]) -> int:
    """Delete the files of batches that are shredded; how many there were."""
    with db.begin() as session:
        rows = session.execute(
            text(
                "SELECT id, params ->> 'folder' AS folder FROM work"
                " WHERE kind = :kind AND CAST(params ->> 'batch_id' AS bigint) = ANY(:ids)"
            ),
            {"kind": KIND, "ids": batch_ids},
        ).all()
    return _unlink([_path(row.folder, row.id) for row in rows])


def _unlink(paths: list[Path]) -> int:
    removed = 0
    for path in paths:
        with suppress(OSError):  # gone already, mostly
            path.unlink()
            removed += 1
    return removed


def _path(folder: str, work_id: int) -> Path:
    return Path(folder) / f"hand-over-{work_id}.sealed"


def _own(session: Session, batch_id: int, work_id: int, actor: Actor) -> Work:
    row = session.get(Work, work_id)
    if row is None or row.kind != KIND or row.created_by != str(actor) or row.params["batch_id"] != batch_id:
        raise NotFound("hand_over_gone")
    return row


def _shown(db: Database, row: Work, now: datetime) -> HandOver:
    wanted = _wanted(row.params, row.id)
    until = None if row.finished_at is None else row.finished_at + KEPT
    done = row.state == "done" and until is not None
    ready = done and until is not None and now < until and _path(row.params["folder"], row.id).is_file()
    return HandOver(
        work=work.find_work(db, row.id, now),
        name=wanted.file_name(row.params["batch"]),
        with_passwords=wanted.secret,
        encrypted=wanted.recipient is not None,
        ready=ready,
        gone=done and not ready,
        until=until if ready else None,
    )


def _wanted(params: dict[str, Any], work_id: int) -> Wanted:
    same = ("format", "template", "recipient", "again", "reason", "with_passwords")
    return Wanted(
        form=forms.from_settings(params["form"]), work=work_id, **{name: params[name] for name in same}
    )


def _asked(name: str, wanted: Wanted) -> bytes:
    return idempotency.fingerprint(name, replace(wanted, key=None).asked())


def _require_still(db: Database, actor: Actor) -> None:
    """Whoever may not hand cards over any more gets no file that they ordered before."""
    if actor.kind != "staff":
        return
    with db.begin() as session:
        if not hands.may_still(session, str(actor), "batch.export"):
            raise Conflict("hand_over_not_theirs", name=actor.name)


work.HANDLERS[KIND] = run
