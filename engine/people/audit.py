"""The audit trail: who did what to what, when and why, written in the transaction it tells of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, func, literal, select, tuple_
from sqlalchemy.orm import Session, aliased

from engine.actor import Actor
from engine.db import Database
from engine.names import sought
from engine.schema import AuditRow

LOOKED_THROUGH = 10_000
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
    # Without anything else the time decides; then rows are read along its index, and come in its order.
    by_time = (since, until) != (None, None) and (actor, action, subject) == (None, None, None)
    order = (AuditRow.at.desc(), AuditRow.id.desc()) if by_time else (AuditRow.id.desc(),)
    wanted = select(AuditRow).where(*_fitting(actor, action, subject, since, until)).order_by(*order)
    with db.begin() as session:
        if before is not None:
            wanted = wanted.where(_beyond(session, before, by_time))
        if reason is None:
            return _page(session.scalars(wanted.limit(limit + 1)).all(), limit)
        return _with_reason(session, wanted, reason, by_time, limit)


def _with_reason(
    session: Session, wanted: Select[AuditRow], reason: str, by_time: bool, limit: int
) -> AuditPage:
    some = wanted.limit(LOOKED_THROUGH).cte("some").prefix_with("MATERIALIZED")
    looked = aliased(AuditRow, some)
    order = (looked.at, looked.id) if by_time else (looked.id,)
    found = select(looked).where(looked.reason.icontains(sought(reason), autoescape=True))
    rows = session.scalars(found.order_by(*(part.desc() for part in order)).limit(limit + 1)).all()
    page = _page(rows, limit)
    if page.next is not None or session.scalar(select(func.count()).select_from(some)) != LOOKED_THROUGH:
        return page
    return AuditPage(page.rows, session.scalar(select(looked.id).order_by(*order).limit(1)))


def _beyond(session: Session, before: int, by_time: bool) -> ColumnElement[bool]:
    """What comes after the row `before` in the order of the list."""
    at = session.scalar(select(AuditRow.at).where(AuditRow.id == before)) if by_time else None
    if at is None:
        return AuditRow.id < before
    return tuple_(AuditRow.at, AuditRow.id) < tuple_(literal(at), literal(before))


def _fitting(
    actor: str | None,
    action: str | None,
    subject: str | None,
    since: datetime | None,
    until: datetime | None,
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
    return wanted


def _page(rows: Sequence[AuditRow], limit: int) -> AuditPage:
    found = [
        AuditView(row.id, row.at, row.actor, row.actor_name, row.action, row.subject, row.reason, row.data)
        for row in rows
    ]
    return AuditPage(found[:limit], found[limit - 1].id if len(found) > limit else None)
