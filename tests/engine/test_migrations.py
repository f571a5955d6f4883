"""The migrations and the tables that the code describes are the same."""

from __future__ import annotations

from alembic import command

from engine.migrations import _alembic


def test_nothing_drifts_between_migrations_and_schema(database_url: str) -> None:
    command.check(_alembic(database_url))
