"""Printers, and how far each prints beside where it should: the operator's own, and each reseller's."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from engine import idempotency
from engine.actor import Actor
from engine.db import Database, reruns
from engine.errors import InvalidInput, NotFound
from engine.names import checked_name
from engine.people import audit
from engine.permissions import command
from engine.schema import Printer

MOST = 50
"""Printers of one owner."""
MOST_OFFSET_UM = 20_000


@dataclass(frozen=True, slots=True)
class PrinterView:
    """A printer. `offset_um`: how far its pages are moved, to the right and down, in micrometres."""

    id: int
    reseller_id: int | None
    name: str
    offset_um: tuple[int, int]


@command("printer.add")
@reruns
def add(
    db: Database,
    name: str,
    offset_um: tuple[int, int],
    actor: Actor,
    now: datetime,
    *,
    key: str | None = None,
) -> PrinterView:
    """Add a printer: a reseller's people add their reseller's, staff the operator's. The same `key` counts once.

    Raises `InvalidInput` (name_taken, offset_too_large, too_many_printers, as `checked_name`).
    """
    name, owner = checked_name(name), actor.reseller_id
    _check_offset(offset_um)
    scope, key = f"printer.add:{actor}", key or idempotency.new_key()
    with db.begin() as session:
        first = idempotency.claim(session, scope, key, idempotency.fingerprint(name, list(offset_um)), now)
        if first is not None:
            return _view(own_printer(session, first["id"], owner))
        if len(session.scalars(_of(owner).limit(MOST)).all()) >= MOST:
            raise InvalidInput("too_many_printers", field="name", high=MOST)
        row = Printer(
            reseller_id=owner, name=name, offset_x_um=offset_um[0], offset_y_um=offset_um[1], created_at=now
        )
        session.add(row)
        _flushed(session)
        _tell(session, "add", row, actor, now)
        idempotency.keep(session, scope, key, {"id": row.id})
        return _view(row)


@command("printer.change")
@reruns
def change(
    db: Database, printer_id: int, actor: Actor, now: datetime, *, name: str, offset_um: tuple[int, int]
) -> PrinterView:
    """Give a printer another name or offset. Raises `NotFound` ("printer_not_found": also another's), as `add`."""
    name = checked_name(name)
    _check_offset(offset_um)
    with db.begin() as session:
        row = own_printer(session, printer_id, actor.reseller_id)
        if (row.name, row.offset_x_um, row.offset_y_um) != (name, *offset_um):
            row.name, (row.offset_x_um, row.offset_y_um) = name, offset_um
            _flushed(session)
            _tell(session, "change", row, actor, now)
        return _view(row)


@command("printer.remove")
@reruns
def remove(db: Database, printer_id: int, actor: Actor, now: datetime) -> str:
    """Forget a printer; returns its name. Raises `NotFound` ("printer_not_found": also another's)."""
    with db.begin() as session:
        row = own_printer(session, printer_id, actor.reseller_id)
        _tell(session, "remove", row, actor, now)
        session.delete(row)
        return row.name


def printers(db: Database, reseller_id: int | None) -> tuple[PrinterView, ...]:
    """Those of a reseller (None: the operator's), by name."""
    with db.begin() as session:
        return tuple(_view(row) for row in session.scalars(_of(reseller_id).order_by(Printer.name)))


def printer(db: Database, printer_id: int, reseller_id: int | None) -> PrinterView:
    """One of them. Raises `NotFound` ("printer_not_found": also another's)."""
    with db.begin() as session:
        return _view(own_printer(session, printer_id, reseller_id))


def _of(reseller_id: int | None) -> Select[Printer]:
    return select(Printer).where(Printer.reseller_id.is_not_distinct_from(reseller_id))


def own_printer(session: Session, printer_id: int, reseller_id: int | None) -> Printer:
    row: Printer | None = session.scalar(_of(reseller_id).where(Printer.id == printer_id).with_for_update())
    if row is None:
        raise NotFound("printer_not_found")
    return row


def _check_offset(offset_um: tuple[int, int]) -> None:
    for field, value in zip(("right", "down"), offset_um, strict=True):
        if abs(value) > MOST_OFFSET_UM:
            raise InvalidInput("offset_too_large", field=field, high=MOST_OFFSET_UM // 1000)


def _flushed(session: Session) -> None:
    try:
        session.flush()
    except IntegrityError as error:
        if "uq_printer_owner" not in str(error.orig):
            raise
        raise InvalidInput("name_taken", field="name") from None


def _tell(session: Session, verb: str, row: Printer, actor: Actor, now: datetime) -> None:
    offset = [row.offset_x_um, row.offset_y_um]
    facts: dict[str, Any] = {"name": row.name, "offset_um": offset, "reseller": row.reseller_id}
    audit.record(session, actor, f"printer.{verb}", f"printer:{row.id}", now, **facts)


def _view(row: Printer) -> PrinterView:
    return PrinterView(row.id, row.reseller_id, row.name, (row.offset_x_um, row.offset_y_um))
