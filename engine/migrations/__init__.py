"""Alembic migrations, from the first table on; `upgrade` brings a database to the newest."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config as AlembicConfig
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from psycopg.errors import UndefinedTable
from sqlalchemy import create_engine

from engine.db import Database
from engine.migrations.partitions import ensure_partitions

HERE = Path(__file__).parent


def _alembic(url: str) -> AlembicConfig:
    config = AlembicConfig()
    config.set_main_option("script_location", str(HERE))
    config.attributes["url"] = url
    return config


def upgrade(url: str, now: datetime) -> None:
    """Migrate the database to the newest revision and make the partitions of the months around `now`.

    Waits at most 5 s for a lock, so that a forgotten open session makes it fail instead of hanging.
    """
    command.upgrade(_alembic(url), "head")
    engine = create_engine(url)
    with engine.begin() as connection:
        ensure_partitions(connection, now)
    engine.dispose()


def is_current(url: str) -> bool:
    """Whether the database stands at the newest revision. Raises where it cannot be reached."""
    head = ScriptDirectory.from_config(_alembic(url)).get_current_head()
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision() == head
    finally:
        engine.dispose()


@cache
def head() -> str | None:
    """The newest revision that this version knows."""
    return ScriptDirectory.from_config(_alembic("")).get_current_head()


def stands_at_head(db: Database) -> bool:
    """The same as `is_current` for a database that is in use, by one small query."""
    try:
        with db.connection() as conn:
            row = conn.execute("SELECT version_num FROM alembic_version").fetchone()
    except UndefinedTable:
        return False
    return row is not None and row.version_num == head()
