"""Designs as they are kept, by name, with a logo of their own where they have one.

They are the operator's; resellers print with those that are `for_resellers`, dressed in their own brand. A run that was
ordered keeps the design as it was.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from engine import idempotency
from engine.actor import Actor
from engine.cards.names import actor_names
from engine.db import Database, reruns
from engine.errors import InvalidInput, NotFound
from engine.names import checked_name
from engine.people import audit
from engine.people.logos import read_logo
from engine.permissions import command
from engine.schema import PrintDesign
from engine.stock.printing.design import Design, as_settings, checked, from_settings

MOST = 200
"""Designs of an installation."""
LOGO_BOX, MOST_LOGO = (1600, 800), 400_000
"""Pixels and bytes of a printed logo: 13 cm at 300 dots an inch."""


@dataclass(frozen=True, slots=True)
class DesignView:
    """A design that is kept by name. `version` changes with whatever is changed."""

    id: int
    name: str
    design: Design
    has_logo: bool
    for_resellers: bool
    created_by: str
    created_at: datetime
    changed_at: datetime
    version: str


@command("print_design.add")
@reruns
def add(
    db: Database,
    name: str,
    design: Design,
    actor: Actor,
    now: datetime,
    *,
    for_resellers: bool = True,
    logo: bytes | None = None,
    key: str | None = None,
) -> DesignView:
    """Keep a design by a name. `logo`: a file as it was sent. The same `key` counts once.

    Raises `InvalidInput` (name_taken, too_many_designs, as `checked_name`, `design.checked` and `read_logo`).
    """
    name, kept = checked_name(name), as_settings(checked(design))
    picture = None if logo is None else read_logo(logo, box=LOGO_BOX, most=MOST_LOGO)
    asked = idempotency.fingerprint(name, kept, for_resellers, _digest(picture))
    scope, key = f"print_design.add:{actor}", key or idempotency.new_key()
    with db.begin() as session:
        first = idempotency.claim(session, scope, key, asked, now)
        if first is not None:
            return _view(session, _row(session, first["id"]))
        if len(session.scalars(select(PrintDesign.id).limit(MOST)).all()) >= MOST:
            raise InvalidInput("too_many_designs", field="name", high=MOST)
        row = PrintDesign(
            name=name,
            settings=kept,
            logo=picture,
            for_resellers=for_resellers,
            created_by=str(actor),
            created_at=now,
            changed_at=now,
        )
        session.add(row)
        _flushed(session)
        facts = {"name": name, "for_resellers": for_resellers, "logo": _digest(picture), **kept}
        _tell(session, "add", row, actor, now, **facts)
        idempotency.keep(session, scope, key, {"id": row.id})
        return _view(session, row)


@command("print_design.change")
@reruns
def change(
    db: Database,
    design_id: int,
    actor: Actor,
    now: datetime,
    *,
    name: str,
    design: Design,
    for_resellers: bool,
    logo: bytes | None = None,
    remove_logo: bool = False,
) -> DesignView:
    """Make a design so; a `logo` None leaves the one it has. Said again with the same facts it changes nothing.

    Raises `NotFound` ("print_design_not_found") and as `add`.
    """
    wanted: dict[str, Any] = {
        "name": checked_name(name),
        "settings": as_settings(checked(design)),
        "for_resellers": for_resellers,
    }
    if remove_logo:
        wanted["logo"] = None
    elif logo is not None:
        wanted["logo"] = read_logo(logo, box=LOGO_BOX, most=MOST_LOGO)
    with db.begin() as session:
        row = _row(session, design_id, lock=True)
        before = _facts(row)
        for field, value in wanted.items():
            setattr(row, field, value)
        after = _facts(row)
        changed = [fact for fact in after if after[fact] != before.get(fact)]
        if changed:
            row.changed_at = now
            _flushed(session)
            told = {"before": {f: before.get(f) for f in changed}, "after": {f: after[f] for f in changed}}
            _tell(session, "change", row, actor, now, name=row.name, **told)
        return _view(session, row)


@command("print_design.remove")
@reruns
def remove(db: Database, design_id: int, actor: Actor, now: datetime) -> str:
    """Forget a design; returns its name. Raises `NotFound` ("print_design_not_found")."""
    with db.begin() as session:
        row = _row(session, design_id, lock=True)
        _tell(session, "remove", row, actor, now, name=row.name)
        session.delete(row)
        return row.name


def designs(db: Database, *, for_reseller: bool = False) -> tuple[DesignView, ...]:
    """All of them by name; `for_reseller`: those that resellers may print with."""
    statement = select(PrintDesign).order_by(PrintDesign.name)
    if for_reseller:
        statement = statement.where(PrintDesign.for_resellers)
    with db.begin() as session:
        rows = session.scalars(statement).all()
        names = actor_names(session, (row.created_by for row in rows))
        return tuple(_shown(row, names) for row in rows)


def design(db: Database, design_id: int, *, for_reseller: bool = False) -> DesignView:
    """One of them. Raises `NotFound` ("print_design_not_found")."""
    with db.begin() as session:
        return _view(session, find_design(session, design_id, for_reseller=for_reseller))


def find_design(session: Session, design_id: int, *, for_reseller: bool) -> PrintDesign:
    """The row of a design, as `design` finds it."""
    row = _row(session, design_id)
    if for_reseller and not row.for_resellers:
        raise NotFound("print_design_not_found")
    return row


def _row(session: Session, design_id: int, *, lock: bool = False) -> PrintDesign:
    row = session.get(PrintDesign, design_id, with_for_update=lock or None)
    if row is None:
        raise NotFound("print_design_not_found")
    return row


def _flushed(session: Session) -> None:
    try:
        session.flush()
    except IntegrityError as error:
        if "uq_print_design_name" not in str(error.orig):
            raise
        raise InvalidInput("name_taken", field="name") from None


def _facts(row: PrintDesign) -> dict[str, Any]:
    return {"name": row.name, "for_resellers": row.for_resellers, "logo": _digest(row.logo), **row.settings}


def _digest(logo: bytes | None) -> str | None:
    return None if logo is None else hashlib.sha256(logo).hexdigest()


def _tell(session: Session, verb: str, row: PrintDesign, actor: Actor, now: datetime, **facts: Any) -> None:
    audit.record(session, actor, f"print_design.{verb}", f"print_design:{row.id}", now, **facts)


def _view(session: Session, row: PrintDesign) -> DesignView:
    return _shown(row, actor_names(session, (row.created_by,)))


def _shown(row: PrintDesign, names: dict[str, str]) -> DesignView:
    facts = idempotency.fingerprint(_facts(row)).hex()[:16]
    kept = from_settings(row.settings)
    by = names.get(row.created_by, row.created_by)
    return DesignView(
        row.id,
        row.name,
        kept,
        row.logo is not None,
        row.for_resellers,
        by,
        row.created_at,
        row.changed_at,
        facts,
    )
