"""Alembic migrations, from the first table on; `upgrade` brings a database to the newest."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from alembic import command
from alembic.config import Config as AlembicConfig
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

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
