"""Monthly partitions of the tables that grow for ever."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import Connection, text

PARTITIONED = {"cdr": "ended_at", "attempt": "at"}
"""The partitioned tables, and the column that says which month a row is of."""
MONTHS_BEHIND = 1
MONTHS_AHEAD = 3


def month_start(at: datetime, months: int = 0) -> datetime:
    """The first instant (UTC) of the month that is `months` after that of `at`."""
    at = at.astimezone(UTC)
    index = at.year * 12 + at.month - 1 + months
    return datetime(index // 12, index % 12 + 1, 1, tzinfo=UTC)


def ensure_partitions(connection: Connection, now: datetime) -> None:
    """Make the partitions of last month, this one and the next three, where they are missing.

    A row of any other month goes to the default partition, so that none is ever refused.
    """
    connection.execute(text("SET LOCAL lock_timeout = '5s'"))
    for table in PARTITIONED:
        for months in range(-MONTHS_BEHIND, MONTHS_AHEAD + 1):
            ensure_partition(connection, table, month_start(now, months))


def ensure_partition(connection: Connection, table: str, month: datetime) -> None:
    """Make one month's partition of `table` where it is missing; rows of that month leave the default partition for it.

    (A clock that was once months ahead, or jobs that did not run for months, may have left some there.)
    """
    name = f"{table}_{month:%Y_%m}"  # names and times are ours, never input
    if connection.scalar(text("SELECT to_regclass(:name)"), {"name": name}) is not None:
        return
    column = PARTITIONED[table]
    first, last = f"'{month:%Y-%m-%d}T00:00Z'", f"'{month_start(month, 1):%Y-%m-%d}T00:00Z'"
    within = f"{column} >= {first} AND {column} < {last}"
    strays = connection.scalar(text(f"SELECT EXISTS (SELECT 1 FROM {table}_default WHERE {within})"))
    if strays:
        connection.execute(text(f"ALTER TABLE {table} DETACH PARTITION {table}_default"))
    connection.execute(
        text(f"CREATE TABLE {name} PARTITION OF {table} FOR VALUES FROM ({first}) TO ({last})")
    )
    if strays:
        connection.execute(text(f"INSERT INTO {table} SELECT * FROM {table}_default WHERE {within}"))
        connection.execute(text(f"DELETE FROM {table}_default WHERE {within}"))
        connection.execute(text(f"ALTER TABLE {table} ATTACH PARTITION {table}_default DEFAULT"))
