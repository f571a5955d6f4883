"""Views that people keep of lists: a name for the address of a list with its filter, order and columns.

Each belongs to the member of staff who keeps it, and nobody else ever sees it. None of it is a privileged act.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from engine.db import Database, reruns
from engine.errors import Conflict, InvalidInput, NotFound
from engine.names import checked_name
from engine.schema import SavedView, Staff

MOST_VIEWS = 50
"""Views of one page that somebody may keep."""
LONGEST_NAME = 60
LONGEST_QUERY = 2_000


@dataclass(frozen=True, slots=True)
class View:
    """A kept view: `query` is the query string of its page, as the page itself writes it."""

    id: int
    name: str
    query: str


def list_views(db: Database, staff_id: int, page: str) -> tuple[View, ...]:
    """The views that somebody keeps of a page, such as `cards`, by name."""
    with db.begin() as session:
        rows = session.scalars(
            select(SavedView)
            .where(SavedView.staff_id == staff_id, SavedView.page == page)
            .order_by(func.lower(SavedView.name), SavedView.id)
        )
        return tuple(_view(row) for row in rows)


def find_view(db: Database, staff_id: int, view_id: int) -> View:
    """One of somebody's own views. Raises `NotFound` ("view_not_found"), also for those of others."""
    with db.begin() as session:
        return _view(_own(session, staff_id, view_id))


@reruns
def save_view(
    db: Database, staff_id: int, page: str, name: str, query: str, now: datetime, *, replace: bool = False
) -> int:
    """Keep a view and return its id; `replace`: under a name that is in use, in the place of what it was.

    Kept as it is already it's the same view. Raises `InvalidInput` (those of `checked_name`, too_long, view_name_used
    where the name is in use for something else) and `Conflict` ("too_many_views").
    """
    tidy = _checked(name)
    if len(query) > LONGEST_QUERY:
        raise InvalidInput("too_long", field="query", high=LONGEST_QUERY)
    with db.begin() as session:
        mine = _mine(session, staff_id, page)
        if tidy in mine:
            row = mine[tidy]
            if row.query != query and not replace:
                raise InvalidInput("view_name_used", field="name", name=tidy)
            row.query = query
            return row.id
        if len(mine) >= MOST_VIEWS:
            raise Conflict("too_many_views", high=MOST_VIEWS)
        row = SavedView(staff_id=staff_id, page=page, name=tidy, query=query, created_at=now)
        session.add(row)
        session.flush()
        return row.id


@reruns
def rename_view(db: Database, staff_id: int, view_id: int, name: str) -> None:
    """Give a view another name. Raises `NotFound` ("view_not_found") and `InvalidInput` as `save_view` does."""
    tidy = _checked(name)
    with db.begin() as session:
        row = _own(session, staff_id, view_id)
        other = _mine(session, staff_id, row.page).get(tidy)
        if other is not None and other.id != view_id:
            raise InvalidInput("view_name_used", field="name", name=tidy)
        row.name = tidy


@reruns
def delete_view(db: Database, staff_id: int, view_id: int) -> View:
    """Forget a view; answers what it was, so that it can be kept again. Raises `NotFound` ("view_not_found")."""
    with db.begin() as session:
        gone = _view(_own(session, staff_id, view_id))
        session.execute(delete(SavedView).where(SavedView.id == view_id))
        return gone


def _mine(session: Session, staff_id: int, page: str) -> dict[str, SavedView]:
    """Somebody's views of a page by name; whoever changes them waits here for each other."""
    session.execute(select(Staff.id).where(Staff.id == staff_id).with_for_update(key_share=True))
    rows = session.scalars(select(SavedView).where(SavedView.staff_id == staff_id, SavedView.page == page))
    return {row.name: row for row in rows}


def _own(session: Session, staff_id: int, view_id: int) -> SavedView:
    row = session.scalar(select(SavedView).where(SavedView.id == view_id, SavedView.staff_id == staff_id))
    if row is None:
        raise NotFound("view_not_found", id=view_id)
    return row


def _checked(name: str) -> str:
    tidy = checked_name(name)
    if len(tidy) > LONGEST_NAME:
        raise InvalidInput("too_long", field="name", high=LONGEST_NAME)
    return tidy


def _view(row: SavedView) -> View:
    return View(row.id, row.name, row.query)
