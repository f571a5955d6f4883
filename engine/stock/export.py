"""Exports: a batch's cards as a file for the printing house or a till, with their passwords issued once.

What a file looks like is a `Form` (`engine.stock.forms`): one of the built-in ones or a template's. A file can be
encrypted to an age recipient while it is made; then its clear text is nowhere on the disk.

The file is written under a temporary name (mode 0600, as the file itself) in the folder where it will stand, synced,
recorded, and only then given its name. So a crash can leave "recorded, but no file", never an unrecorded file or a
part of one under the right name; after it, the batch is exported again with a reason. What a killed export left behind
is removed by the next one to that folder. A small batch may be made in memory instead, to be answered at once.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from engine import settings
from engine.actor import Actor
from engine.db import Database
from engine.errors import Conflict, EngineError, InvalidInput
from engine.idempotency import fingerprint
from engine.names import checked_reason
from engine.people import audit, consents
from engine.permissions import command
from engine.schema import Batch, BatchKey, ExportRun, PrintRun, Work
from engine.stock import forms, writing
from engine.stock.batches import find_batch
from engine.stock.forms import BUILT_IN, Form
from engine.stock.rows import COLUMNS, Rows, guarded
from engine.vault import Sealer, Vault

__all__ = [
    "COLUMNS",
    "FORMATS",
    "Exported",
    "Wanted",
    "export_batch",
    "guarded",
    "private_part",
    "put_in_place",
    "wanted_file",
]

FORMATS = tuple(BUILT_IN)
REPEATED_FOR = timedelta(minutes=10)
"""So long the same request, sent again by the same person, gets its file again and is no second issue."""
_PART = ".cardtone-part"
_UNFIT_IN_NAMES = re.compile(r'[\\/:*?"<>|\x00-\x1f\x7f]')


@dataclass(frozen=True, slots=True)
class Exported:
    """A file that was handed out. `without_password`: cards whose password was reset since they were made.

    `path` is None where it was made in memory; `name` is what it is called.
    """

    batch: str
    path: Path | None
    name: str
    format: str
    cards: int
    without_password: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file as it was asked for: its form, what the form is called, and for whom.

    `key` is the request's own; `work` the background work that makes it, which may be killed and begin again.
    """

    form: Form
    format: str
    template: str | None = None
    recipient: str | None = None
    again: bool = False
    reason: str | None = None
    with_passwords: bool = True
    key: str | None = None
    work: int | None = None

    @property
    def secret(self) -> bool:
        """Whether passwords will stand in it."""
        return self.with_passwords and self.form.has_secrets

    def asked(self) -> str:
        """A digest of all that was asked, in hex: of two requests with one key, whether they are the same."""
        kept = forms.as_settings(self.form)
        return fingerprint(kept, self.recipient, self.again, self.reason, self.with_passwords).hex()

    def file_name(self, batch: str) -> str:
        """What the file of a batch is called."""
        name = _UNFIT_IN_NAMES.sub("_", batch).strip(". ") or "cards"
        extension = self.format if self.format in BUILT_IN else self.form.extension
        return f"{name}.{extension}{'.age' if self.recipient else ''}"


def wanted_file(
    format: str | Form,
    *,
    template: str | None = None,
    recipient: str | None = None,
    again: bool = False,
    reason: str | None = None,
    with_passwords: bool = True,
    key: str | None = None,
) -> Wanted:
    """What is asked for, checked. `format`: one of `FORMATS`, or a form. Raises `InvalidInput` (unknown_format,
    reason_missing, bad_recipient, and as `forms.checked`)."""
    if isinstance(format, Form):
        form, called = forms.checked(format), format.format
    elif format in BUILT_IN:
        form, called = BUILT_IN[format], format
    else:
        raise InvalidInput("unknown_format", field="format", allowed=", ".join(FORMATS))
    return Wanted(
        form,
        called,
        template,
        writing.checked_recipient(recipient),
        again,
        checked_reason(reason, required=again),
        with_passwords,
        key,
    )


@command("batch.export")
def export_batch(
    db: Database,
    vault: Vault,
    name: str,
    format: str | Form,
    path: Path | io.BytesIO,
    actor: Actor,
    now: datetime,
    *,
    again: bool = False,
    reason: str | None = None,
    with_passwords: bool = True,
    template: str | None = None,
    recipient: str | None = None,
    key: str | None = None,
) -> Exported:
    """Write the cards of a ready batch to `path`, replacing a file of that name, and record who was given what.

    A file with passwords is issued once; `again`, with a `reason`, issues it once more. `format`: one of `FORMATS`, or
    a form, which may be a `template`'s; `recipient` (`age1…`) is whom it is encrypted to. The same person gets the same
    file again for `REPEATED_FOR` under the same `key`: no second issue, but the trail tells it. Raises `NotFound`,
    `Conflict` (batch_not_ready, batch_discarded, batch_shredded, already_issued), `InvalidInput` (as `wanted_file`,
    not_a_file, column_too_narrow, encoding_unfit), `ConsentNeeded`, `OSError`, and `EngineError("export_not_placed")`
    where it was recorded but could not get its name.
    """
    wanted = wanted_file(
        format,
        template=template,
        recipient=recipient,
        again=again,
        reason=reason,
        with_passwords=with_passwords,
        key=key,
    )
    if isinstance(path, io.BytesIO):
        return _written(db, vault, name, wanted, path, None, actor, now)
    if path.exists() and not path.is_file():
        raise InvalidInput("not_a_file", field="path", path=str(path))
    with private_part(path) as (part, file):
        done = _written(db, vault, name, wanted, file, path, actor, now)
        put_in_place(part, path)
    return done


def _written(
    db: Database,
    vault: Vault,
    name: str,
    wanted: Wanted,
    file: io.BytesIO | io.BufferedRandom,
    path: Path | None,
    actor: Actor,
    now: datetime,
) -> Exported:
    """Write and record it."""
    batch, sealer = opened(db, vault, name, wanted, actor, now)
    rows = Rows(db, batch, sealer)
    writing.write(file, writing.parts(wanted.form, rows), wanted.recipient)
    sha256 = synced_digest(file)
    called = path.name if path is not None else wanted.file_name(batch.name)
    issue(db, vault, name, wanted, rows.without_password, called, sha256, actor, now)
    return Exported(batch.name, path, called, wanted.format, batch.count, rows.without_password, sha256.hex())


def issue(
    db: Database,
    vault: Vault,
    name: str,
    wanted: Wanted,
    without_password: int,
    file: str,
    digest: bytes,
    actor: Actor,
    now: datetime,
    place: Callable[[], None] = lambda: None,
) -> None:
    """Record a file that is written and has no name yet. Raises as `export_batch`: somebody may have been quicker.

    `place` gives it its name behind the lock on the batch's key: whoever shreds it waits, and finds the file to delete.
    """
    with db.begin() as session:
        # Asked again under a lock: of two who export at once, one is the second.
        batch, _, repeated = _opened(session, vault, name, wanted, actor, now, lock=True)
        if repeated is None:
            _record(session, batch, wanted, without_password, file, digest, actor, now)
        elif wanted.work is not None:
            repeated.sha256 = digest
        else:
            # No second issue, but a second file all the same: whoever looks for a leak must find it.
            _audit(session, batch, wanted, file, digest, actor, now, repeated=True)
        session.flush()
        place()


def opened(
    db: Database, vault: Vault, name: str, wanted: Wanted, actor: Actor, now: datetime
) -> tuple[Batch, Sealer | None]:
    """The batch and what opens its passwords, where it may be exported now. Raises as `export_batch`."""
    with db.begin() as session:
        batch, data_key, repeated = _opened(session, vault, name, wanted, actor, now)
        if wanted.secret and repeated is None:
            _need_consent(session, batch, wanted, actor, now, use=False)
    writing.check_encoding(wanted.form, batch.name)
    return batch, Sealer(data_key, batch.id) if data_key is not None else None


def synced_digest(file: io.BytesIO | io.BufferedRandom) -> bytes:
    """The SHA-256 of a file that is written, once it stands on the disk (where it has one)."""
    file.flush()
    with suppress(io.UnsupportedOperation):
        os.fsync(file.fileno())
    file.seek(0)
    return hashlib.file_digest(file, "sha256").digest()


def _opened(
    session: Session,
    vault: Vault,
    name: str,
    wanted: Wanted,
    actor: Actor,
    now: datetime,
    *,
    lock: bool = False,
) -> tuple[Batch, bytes | None, ExportRun | None]:
    """The batch, for passwords its data key, and the issue of this very request where it was answered before."""
    batch = find_batch(session, name)
    if batch.discarded_at is not None:
        raise Conflict("batch_discarded", name=batch.name)
    if batch.ready_at is None:
        raise Conflict("batch_not_ready", name=batch.name)
    if not wanted.secret:
        return batch, None, None
    key = session.get_one(BatchKey, batch.id, with_for_update=lock or None)
    if key.wrapped is None:
        raise Conflict("batch_shredded", name=batch.name)
    issued = session.scalars(
        select(ExportRun)
        .where(ExportRun.batch_id == batch.id, ExportRun.with_passwords)
        .order_by(ExportRun.id.desc())
        .limit(1)
    ).one_or_none()
    repeated = issued if issued is not None and _is_the_same(issued, wanted, actor, now) else None
    # Passwords that were printed have left the house as well, and those that are about to be.
    printed = (
        select(func.max(func.coalesce(PrintRun.made_at, PrintRun.created_at)))
        .join(Work, Work.id == PrintRun.work_id)
        .where(
            PrintRun.batch_id == batch.id,
            or_(PrintRun.made_at.is_not(None), Work.state.in_(("queued", "running"))),
        )
    )
    issued_at = session.scalar(printed) if issued is None else issued.issued_at
    if issued_at is not None and not wanted.again and repeated is None:
        raise Conflict("already_issued", name=batch.name, at=issued_at)
    return batch, vault.unwrap(key.wrapped, key.master), repeated


def _is_the_same(issued: ExportRun, wanted: Wanted, actor: Actor, now: datetime) -> bool:
    """A button that was clicked twice: the browser threw the first answer away. Or work that was killed at the end."""
    if wanted.work is not None:
        return bool(issued.data.get("work") == wanted.work)
    return (
        wanted.key is not None
        and issued.data.get("key") == wanted.key
        and issued.data.get("asked") == wanted.asked()
        and issued.actor == str(actor)
        and now - issued.issued_at <= REPEATED_FOR
    )


def _need_consent(
    session: Session, batch: Batch, wanted: Wanted, actor: Actor, now: datetime, *, use: bool
) -> None:
    """A file with passwords needs a second person where the house says so; looked for first, used up at the end."""
    if not settings.load(session).consent_exports:
        return
    facts = {"batch": batch.name, "cards": batch.count, "format": wanted.format, "again": wanted.again}
    more = {"template": wanted.template, "recipient": wanted.recipient}
    facts |= {name: value for name, value in more.items() if value is not None}
    if wanted.template is not None:
        # A template may be changed between the yes and its use.
        facts["columns"] = ", ".join(wanted.form.columns)
    consents.need(session, actor, "batch.export", f"batch:{batch.id}", facts, now, use=use)


def _record(
    session: Session,
    batch: Batch,
    wanted: Wanted,
    without_password: int,
    file: str,
    digest: bytes,
    actor: Actor,
    now: datetime,
) -> None:
    """Write down who was given which file, and use up the consent that it needed, in the caller's transaction."""
    if wanted.secret:
        _need_consent(session, batch, wanted, actor, now, use=True)
    told: dict[str, Any] = {"template": wanted.template, "recipient": wanted.recipient, "work": wanted.work}
    told = {name: value for name, value in told.items() if value is not None}
    request = {} if wanted.key is None else {"key": wanted.key, "asked": wanted.asked()}
    session.add(
        ExportRun(
            batch_id=batch.id,
            format=wanted.format,
            with_passwords=wanted.secret,
            cards=batch.count,
            sha256=digest,
            actor=str(actor),
            reason=wanted.reason,
            issued_at=now,
            data={"file": file, "without_password": without_password, **told, **request},
        )
    )
    _audit(session, batch, wanted, file, digest, actor, now, **told)


def _audit(
    session: Session,
    batch: Batch,
    wanted: Wanted,
    file: str,
    digest: bytes,
    actor: Actor,
    now: datetime,
    **told: Any,
) -> None:
    audit.record(
        session,
        actor,
        "batch.export",
        f"batch:{batch.id}",
        now,
        reason=wanted.reason,
        name=batch.name,
        format=wanted.format,
        with_passwords=wanted.secret,
        cards=batch.count,
        file=file,
        sha256=digest.hex(),
        **told,
    )


@contextmanager
def private_part(path: Path) -> Iterator[tuple[Path, io.BufferedRandom]]:
    """A new file beside `path` that only we may read; gone at the end unless it got its name. Locked while ours."""
    _remove_left_parts(path.parent)
    while True:
        part = path.with_name(f".{path.name}.{secrets.token_hex(6)}{_PART}")
        file = os.fdopen(os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "w+b")
        _lock(file)
        if os.fstat(file.fileno()).st_nlink:
            break
        file.close()  # Somebody took it for left behind before we had locked it.
    with file:
        try:
            yield part, file
        finally:
            part.unlink(missing_ok=True)


def _lock(file: io.BufferedRandom) -> None:
    with suppress(OSError):  # a file system without locks
        fcntl.flock(file, fcntl.LOCK_EX)


def _remove_left_parts(folder: Path) -> None:
    """Remove what killed exports left in a folder: a part that nobody holds a lock on."""
    for part in folder.glob(f".*{_PART}"):
        with suppress(OSError), part.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                part.unlink()


def put_in_place(part: Path, path: Path) -> None:
    try:
        os.replace(part, path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise EngineError("export_not_placed", path=str(path), why=error.strerror) from None
