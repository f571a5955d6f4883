"""Alembic's environment: one transaction, with time-outs that keep a migration from hanging."""

import re

from alembic import context
from sqlalchemy import create_engine, text

from engine.schema import Base

_PARTITION = re.compile(r"(cdr|attempt)_(\d{4}_\d\d|default)")


def _mine(name: str | None, kind: str, parents: object) -> bool:
    """What is no drift: monthly partitions, which come and go, and an index over an expression, which can't be told."""
    if kind == "index":
        return name != "ix_card_custody"
    return not (kind == "table" and name is not None and _PARTITION.fullmatch(name))


def _run() -> None:
    engine = create_engine(context.config.attributes["url"])
    with engine.connect() as connection:
        context.configure(
            connection=connection,
            target_metadata=Base.metadata,
            include_name=_mine,
            transaction_per_migration=True,
        )
        with context.begin_transaction():
            connection.execute(text("SET LOCAL lock_timeout = '5s'"))
            connection.execute(text("SET LOCAL statement_timeout = '10min'"))
            connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = '60s'"))
            # Two machines that start at once: the second waits here and finds the work done.
            connection.execute(text("SELECT pg_advisory_xact_lock(724518)"))
            context.run_migrations()
    engine.dispose()


_run()
