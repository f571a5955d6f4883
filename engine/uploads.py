"""Files that somebody sent and has not confirmed yet: kept sealed, for their sender alone, for a day.

An import shows what a file would do before it counts; between the two the file waits here. It may hold passwords, so
that the database never has it in the clear.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import delete

from engine.actor import Actor
from engine.db import Database, reruns
from engine.errors import NotFound
from engine.schema import Upload as Row
from engine.vault import Vault

KEPT = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Upload:
    """A file as it was sent."""

    id: int
    name: str
    data: bytes = field(repr=False)


@reruns
def keep(db: Database, vault: Vault, kind: str, name: str, data: bytes, actor: Actor, now: datetime) -> int:
    """Keep a file for its sender; answers its id. `kind` says what it is for, such as `deck`."""
    sealed, master = vault.seal(data, _bound(kind, actor))
    with db.begin() as session:
        row = Row(kind=kind, name=name, sealed=sealed, master=master, actor=str(actor), created_at=now)
        session.add(row)
        session.flush()
        return row.id


def fetch(db: Database, vault: Vault, upload_id: int, kind: str, actor: Actor) -> Upload:
    """A file that this sender sent for this kind of import. Raises `NotFound("upload_gone")` for any other."""
    with db.begin() as session:
        row = session.get(Row, upload_id)
        if row is None or row.actor != str(actor) or row.kind != kind:
            raise NotFound("upload_gone", id=upload_id)
        name, sealed, master = row.name, row.sealed, row.master
    return Upload(upload_id, name, vault.unseal(sealed, master, _bound(kind, actor)))


@reruns
def drop(db: Database, upload_id: int, actor: Actor) -> None:
    """Forget a file that was confirmed or given up; another sender's stays."""
    with db.begin() as session:
        session.execute(delete(Row).where(Row.id == upload_id, Row.actor == str(actor)))


def _bound(kind: str, actor: Actor) -> str:
    return f"upload:{kind}:{actor}"
