"""The ways to the database: what becomes of links that are dropped while somebody uses them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import text

from engine.db import Database


@pytest.mark.parametrize("drop", [Database.forget_lost_links, Database.close], ids=["forgotten", "closed"])
def test_a_link_that_was_in_use_when_all_were_dropped_is_closed_as_it_comes_back(
    db: Database, drop: Callable[[Database], None]
) -> None:
    with db.begin() as session:
        mine = session.connection().connection.driver_connection
        assert mine is not None
        drop(db)
        assert session.scalar(text("SELECT 1")) == 1, "whoever has it may end"
    assert mine.closed
    with db.begin() as session:
        assert session.scalar(text("SELECT 2")) == 2


def test_a_link_that_comes_back_is_used_again(db: Database) -> None:
    with db.begin() as session:
        first = session.connection().connection.driver_connection
    with db.begin() as session:
        assert session.connection().connection.driver_connection is first
