"""Exports: a batch's cards as a file for the printing house or a till, with their passwords issued once.

**CSV** by RFC 4180: commas, UTF-8, lines end in CR LF. **TXT**: the same columns with tabs, lines end in LF. **XLSX**:
one sheet of text cells; the one to open in a spreadsheet, which would show the digits of a CSV file as numbers.
The columns are `COLUMNS`, named in the first line.

The file is written under a temporary name (mode 0600, as the file itself) in the folder where it will stand, synced,
recorded, and only then given its name. So a crash can leave "recorded, but no file", never an unrecorded file or a
part of one under the right name; after it, the batch is exported again with a reason. What a killed export left behind
is removed by the next one to that folder.
"""

from __future__ import annotations

import csv
import fcntl
import hashlib
import io
import os
import secrets
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from engine import house, settings
from engine.actor import Actor
from engine.db import Database
from engine.errors import Conflict, EngineError, InvalidInput
from engine.money import format_amount
from engine.people import audit, consents
from engine.permissions import command
from engine.schema import Batch, BatchKey, ExportRun
from engine.stock.batches import find_batch
from engine.stock.numbers import ascii_digits, luhn_digits
from engine.stock.sheet import write_sheet
from engine.vault import Sealer, Vault

FORMATS = ("csv", "txt", "xlsx")
COLUMNS = (
    "serial",
    "number",
    "password",  # empty: not asked for, or reset since
    "denomination",
    "currency",
    "expires_on",  # the last day, in the operator's zone; empty where validity starts with the first use
    "validity_days",  # from the first use
    "batch",
)
CHUNK = 20_000
_PART = ".cardtone-part"


@dataclass(frozen=True, slots=True)
class Exported:
    """A file that was handed out. `without_password`: cards whose password was reset since they were made."""

    batch: str
    path: Path
    format: str
    cards: int
    without_password: int
    sha256: str


@command("batch.export")
def export_batch(
    db: Database,
    vault: Vault,
    name: str,
    format: str,
    path: Path,
    actor: Actor,
    now: datetime,
    *,
    again: bool = False,
    reason: str | None = None,
    with_passwords: bool = True,
) -> Exported:
    """Write the cards of a ready batch to `path`, replacing a file of that name, and record who was given what.

    A file with passwords is issued once; `again`, with a `reason`, issues it once more. Raises `NotFound`, `Conflict`
    (batch_not_ready, batch_discarded, batch_shredded, already_issued), `InvalidInput` (unknown_format, reason_missing,
    not_a_file), `ConsentNeeded`, `OSError`, and `EngineError("export_not_placed")` where it was recorded but could not
    get its name.
    """
    if format not in FORMATS:
        raise InvalidInput("unknown_format", field="format", allowed=", ".join(FORMATS))
    if path.exists() and not path.is_file():
        raise InvalidInput("not_a_file", field="path", path=str(path))
    reason = reason.strip() if reason else None
    if again and not reason:
        raise InvalidInput("reason_missing", field="reason")
    with db.begin() as session:
        batch, data_key = _opened(session, vault, name, again, with_passwords)
        if with_passwords:
            _need_consent(session, batch, format, again, actor, now, use=False)
    rows = _Rows(db, batch, Sealer(data_key, batch.id) if data_key is not None else None)
    with private_part(path) as (part, file):
        write_file(file, format, rows)
        file.flush()
        os.fsync(file.fileno())
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256")
        with db.begin() as session:
            # Asked again under a lock: of two who export at once, one is the second.
            _opened(session, vault, name, again, with_passwords, lock=True)
            if with_passwords:
                _need_consent(session, batch, format, again, actor, now, use=True)
            _record(session, batch, rows, format, path, digest.digest(), with_passwords, actor, reason, now)
        put_in_place(part, path)
    return Exported(batch.name, path, format, batch.count, rows.without_password, digest.hexdigest())


def write_file(file: BinaryIO, format: str, rows: _Rows) -> None:
    """Write the heading and all rows in one of `FORMATS`."""
    if format == "xlsx":
        write_sheet(file, COLUMNS, (block.rows() for block in rows.blocks(guard=False)))
        return
    delimiter, end = (",", "\r\n") if format == "csv" else ("\t", "\n")
    file.write((delimiter.join(COLUMNS) + end).encode())
    for block in rows.blocks(guard=True):
        file.write(block.lines(delimiter, end).encode())


def guarded(text: str) -> str:
    """Free text for a CSV or text file: what a spreadsheet would run as a formula gets an apostrophe in front."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


_Kind = tuple[int, datetime | None]


@dataclass(frozen=True, slots=True)
class _Block:
    """Some cards in the order of their serials. The columns after the password differ only by a card's kind."""

    serials: list[str]
    numbers: Sequence[str]
    passwords: list[str]
    kinds: list[_Kind]
    rest: dict[_Kind, tuple[str, ...]]

    def rows(self) -> list[tuple[str, ...]]:
        """One tuple of all columns a card."""
        cards = zip(self.serials, self.numbers, self.passwords, self.kinds, strict=True)
        return [(serial, number, password, *self.rest[kind]) for serial, number, password, kind in cards]

    def lines(self, delimiter: str, end: str) -> str:
        """The rows as text; only the columns that are alike can need quotes, so they are written once a kind."""
        tails = {}
        for kind, rest in self.rest.items():
            text = io.StringIO(newline="")
            csv.writer(text, delimiter=delimiter, lineterminator=end).writerow(rest)
            tails[kind] = delimiter + text.getvalue()
        cards = zip(self.serials, self.numbers, self.passwords, self.kinds, strict=True)
        return "".join(
            [
                f"{serial}{delimiter}{number}{delimiter}{password}{tails[kind]}"
                for serial, number, password, kind in cards
            ]
        )

    def __repr__(self) -> str:
        return f"_Block({len(self.serials)} cards)"


class _Rows:
    """The cards of a batch, a block at a time."""

    def __init__(self, db: Database, batch: Batch, sealer: Sealer | None) -> None:
        self._db, self._batch, self._sealer = db, batch, sealer
        self._zone = house.refresh(db).zone
        self.without_password = 0

    def blocks(self, *, guard: bool) -> Iterator[_Block]:
        """Blocks of at most `CHUNK` cards. `guard`: free text is for a format in which it could act as a formula."""
        batch = self._batch
        name = guarded(batch.name) if guard else batch.name
        with self._db.raw() as conn:
            conn.autocommit = True
            for first in range(batch.first_id, batch.last_id + 1, CHUNK):
                last = min(first + CHUNK - 1, batch.last_id)
                found = conn.execute(_CARDS[batch.imported], (first, last), binary=True).fetchall()
                if len(found) != last - first + 1:
                    raise EngineError("cards_missing", name=batch.name)
                yield self._block(found, name)

    def _block(self, found: list[Any], name: str) -> _Block:
        # A column at a time and few tuples: a fifth of the time would go to the garbage collector's looks at them.
        ids = [row[0] for row in found]
        kinds: list[_Kind] = [row[3:] for row in found]
        return _Block(
            serials=_serials(ids),
            numbers=[row[1] for row in found],
            passwords=self._passwords(ids, [row[2] for row in found]),
            kinds=kinds,
            rest={kind: self._rest(*kind, name) for kind in set(kinds)},
        )

    def _rest(self, amount: int, end: datetime | None, name: str) -> tuple[str, ...]:
        """The columns after the password."""
        batch = self._batch
        counts = end is None and batch.validity_from == "first_use" and batch.validity_days is not None
        days = str(batch.validity_days) if counts else ""
        return format_amount(amount, 2), batch.currency, self._last_day(end), days, name

    def _passwords(self, ids: Sequence[int], seals: Sequence[bytes | None]) -> list[str]:
        if self._sealer is None:
            return [""] * len(ids)
        opened = self._sealer.open
        self.without_password += seals.count(None)
        return [
            opened(card_id, sealed).decode() if sealed is not None else ""
            for card_id, sealed in zip(ids, seals, strict=True)
        ]

    def _last_day(self, end: datetime | None) -> str:
        if end is None:
            return ""
        return (end - timedelta(microseconds=1)).astimezone(self._zone).date().isoformat()


_CARDS = {
    False: """
        SELECT card.id, number, sealed, batch.denomination, expires_at FROM card JOIN batch ON batch.id = batch_id
        WHERE card.id BETWEEN %s AND %s ORDER BY card.id
        """,
    # An older system's cards came with a balance each.
    True: """
        SELECT card.id, number, sealed, amount, expires_at FROM card
        JOIN ledger_entry AS entry ON entry.card_id = card.id AND entry.kind = 'opening'
        WHERE card.id BETWEEN %s AND %s ORDER BY card.id
        """,
}


def _serials(ids: Sequence[int]) -> list[str]:
    rows = ascii_digits(np.array(ids, np.uint64), 10)
    text = np.column_stack([rows, luhn_digits(rows)]).tobytes().decode()
    return [text[at : at + 11] for at in range(0, len(text), 11)]


def _opened(
    session: Session, vault: Vault, name: str, again: bool, with_passwords: bool, *, lock: bool = False
) -> tuple[Batch, bytes | None]:
    """The batch and, for passwords, its data key, where it may be exported."""
    batch = find_batch(session, name)
    if batch.discarded_at is not None:
        raise Conflict("batch_discarded", name=batch.name)
    if batch.ready_at is None:
        raise Conflict("batch_not_ready", name=batch.name)
    if not with_passwords:
        return batch, None
    key = session.get_one(BatchKey, batch.id, with_for_update=lock or None)
    if key.wrapped is None:
        raise Conflict("batch_shredded", name=batch.name)
    issued = session.scalars(
        select(ExportRun)
        .where(ExportRun.batch_id == batch.id, ExportRun.with_passwords)
        .order_by(ExportRun.id.desc())
        .limit(1)
    ).one_or_none()
    if issued is not None and not again:
        raise Conflict("already_issued", name=batch.name, at=issued.issued_at)
    return batch, vault.unwrap(key.wrapped, key.master)


def _need_consent(
    session: Session, batch: Batch, format: str, again: bool, actor: Actor, now: datetime, *, use: bool
) -> None:
    """A file with passwords needs a second person where the house says so; looked for first, used up at the end."""
    if not settings.load(session).consent_exports:
        return
    facts = {"batch": batch.name, "cards": batch.count, "format": format, "again": again}
    consents.need(session, actor, "batch.export", f"batch:{batch.id}", facts, now, use=use)


def _record(
    session: Session,
    batch: Batch,
    rows: _Rows,
    format: str,
    path: Path,
    digest: bytes,
    with_passwords: bool,
    actor: Actor,
    reason: str | None,
    now: datetime,
) -> None:
    session.add(
        ExportRun(
            batch_id=batch.id,
            format=format,
            with_passwords=with_passwords,
            cards=batch.count,
            sha256=digest,
            actor=str(actor),
            reason=reason,
            issued_at=now,
            data={"file": path.name, "without_password": rows.without_password},
        )
    )
    audit.record(
        session,
        actor,
        "batch.export",
        f"batch:{batch.id}",
        now,
        reason=reason,
        name=batch.name,
        format=format,
        with_passwords=with_passwords,
        cards=batch.count,
        file=path.name,
        sha256=digest.hex(),
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
