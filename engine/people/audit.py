"""The audit trail: who did what to what, when and why, written in the transaction it tells of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session, aliased

from engine.actor import Actor
from engine.db import Database
from engine.names import sought
from engine.schema import AuditRow

LOOKED_THROUGH = 100_000
"""Rows whose reasons are looked through for one page."""


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
    reason: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    before: int | None = None,
    limit: int = 50,
) -> AuditPage:
    """The rows that fit all that is given, newest first, `limit` at a time and below the number `before`.

    `actor` and `subject` as they are written (`staff:3`, `card:10000000017`); an `action` that ends in a point stands
    for all that begin with it (`card.`); `reason`: text within the reason, capitals or not; `since` and `until` bound
    the time, the latter not included. Text in reasons has no index: `LOOKED_THROUGH` rows that fit the rest are looked
    through at a time, and `next` goes on below them, though the page be empty.
    """
    wanted = select(AuditRow).where(*_fitting(actor, action, subject, since, until, before))
    wanted = wanted.order_by(AuditRow.id.desc())
    with db.begin() as session:
        if reason is None:
            return _page(session.scalars(wanted.limit(limit + 1)).all(), limit)
        some = wanted.limit(LOOKED_THROUGH).cte("some").prefix_with("MATERIALIZED")
        looked = aliased(AuditRow, some)
        last = session.scalar(select(func.min(some.c.id)).having(func.count() == LOOKED_THROUGH))
        found = select(looked).where(looked.reason.icontains(sought(reason), autoescape=True))
        rows = session.scalars(found.order_by(looked.id.desc()).limit(limit + 1)).all()
        page = _page(rows, limit)
        return page if page.next is not None else AuditPage(page.rows, last)


def _fitting(
    actor: str | None,
    action: str | None,
    subject: str | None,
    since: datetime | None,
    until: datetime | None,
    before: int | None,
) -> list[ColumnElement[bool]]:
    wanted: list[ColumnElement[bool]] = []
    for column, value in ((AuditRow.actor, actor), (AuditRow.subject, subject)):
        if value is not None:
            wanted.append(column == sought(value))
    if action is not None:
        action = sought(action)
        whole = not action.endswith(".")
        wanted.append(
            AuditRow.action == action if whole else AuditRow.action.startswith(action, autoescape=True)
        )
    if since is not None:
        wanted.append(AuditRow.at >= since)
    if until is not None:
        wanted.append(AuditRow.at < until)
    if before is not None:
        wanted.append(AuditRow.id < before)
    return wanted


def _page(rows: Sequence[AuditRow], limit: int) -> AuditPage:
    found = [
        AuditView(row.id, row.at, row.actor, row.actor_name, row.action, row.subject, row.reason, row.data)
        for row in rows
    ]
    return AuditPage(found[:limit], found[limit - 1].id if len(found) > limit else None)
