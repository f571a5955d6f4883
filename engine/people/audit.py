"""The audit trail: who did what to what, when and why, written in the transaction it tells of."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from engine.actor import Actor
from engine.db import Database
from engine.names import sought
from engine.schema import AuditRow


def record(
    session: Session,
    actor: Actor,
    action: str,
    subject: str,
    now: datetime,
    *,
    reason: str | None = None,
    **data: Any,
) -> None:
    """Add one row about a privileged act to the caller's transaction: it stands or falls with what it tells of.

    `action` is `noun.verb`, such as `card.lock`; `subject` names what was acted on, such as `card:10000000017` (by its
    serial) or `staff:3`. `data` holds plain values that JSON can hold: never a secret, never a card number.
    """
    session.add(
        AuditRow(
            at=now,
            actor=str(actor),
            actor_name=actor.name,
            action=action,
            subject=subject,
            reason=reason,
            data=data,
        )
    )


@dataclass(frozen=True, slots=True)
class AuditView:
    """An audit row as lists show it."""

    id: int
    at: datetime
    actor: str
    actor_name: str
    action: str
    subject: str
    reason: str | None
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class AuditPage:
    """Some rows, newest first; `next` is the `before` of the page after, None at the end."""

    rows: list[AuditView]
    next: int | None


def search(
    db: Database,
    *,
    actor: str | None = None,
    action: str | None = None,
    subject: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    before: int | None = None,
    limit: int = 50,
) -> AuditPage:
    """The rows that fit all that is given, newest first, `limit` at a time and below the number `before`.

    `actor` and `subject` as they are written (`staff:3`, `card:10000000017`); an `action` that ends in a point stands
    for all that begin with it (`card.`); `since` and `until` bound the time, the latter not included.
    """
    wanted = select(AuditRow).order_by(AuditRow.id.desc()).limit(limit + 1)
    for column, value in ((AuditRow.actor, actor), (AuditRow.subject, subject)):
        if value is not None:
            wanted = wanted.where(column == sought(value))
    if action is not None:
        action = sought(action)
        whole = not action.endswith(".")
        wanted = wanted.where(
            AuditRow.action == action if whole else AuditRow.action.startswith(action, autoescape=True)
        )
    if since is not None:
        wanted = wanted.where(AuditRow.at >= since)
    if until is not None:
        wanted = wanted.where(AuditRow.at < until)
    if before is not None:
        wanted = wanted.where(AuditRow.id < before)
    with db.begin() as session:
        found = [
            AuditView(
                row.id, row.at, row.actor, row.actor_name, row.action, row.subject, row.reason, row.data
            )
            for row in session.scalars(wanted)
        ]
    return AuditPage(found[:limit], found[limit - 1].id if len(found) > limit else None)
