"""The way to PostgreSQL: sessions for commands and pages, prepared connections for the call path.

A command is one transaction and opens it itself: `with db.begin() as session`. The call path uses
`with db.connection() as conn`: a psycopg connection in autocommit mode where each statement is a transaction and is
prepared at its first use. `reruns` repeats a whole command after a deadlock, a serialization failure or a lost link.
"""

from __future__ import annotations

import functools
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Concatenate, ParamSpec, TypeVar

import psycopg
import psycopg_pool
from psycopg import errors as pg
from psycopg.rows import namedtuple_row
from sqlalchemy import Engine, create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from engine.errors import EngineUnavailable

MAX_RUNS = 5
_TIMEOUTS = "-c timezone=UTC -c lock_timeout=10s -c idle_in_transaction_session_timeout=60s"

P = ParamSpec("P")
T = TypeVar("T")


class Database:
    """One PostgreSQL database, with a small pool of each kind of connection, opened when first needed.

    `url` is an SQLAlchemy or libpq URL. `cache` holds what a process may keep because it never changes under its
    key, such as the rates of a deck version.
    """

    def __init__(self, url: str, *, pool_size: int = 10) -> None:
        self.url = url.replace("postgresql+psycopg://", "postgresql://", 1)
        self.pool_size = pool_size
        self.cache: dict[Any, Any] = {}
        self._engine: Engine | None = None
        self._pool: psycopg_pool.ConnectionPool[psycopg.Connection[Any]] | None = None

    @property
    def engine(self) -> Engine:
        """The SQLAlchemy engine behind `begin`."""
        if self._engine is None:
            self._engine = create_engine(
                self.url.replace("postgresql://", "postgresql+psycopg://", 1),
                pool_size=self.pool_size,
                max_overflow=0,
                pool_pre_ping=True,
                connect_args={"options": _TIMEOUTS, "connect_timeout": 5},
            )
        return self._engine

    @property
    def pool(self) -> psycopg_pool.ConnectionPool[psycopg.Connection[Any]]:
        """The pool behind `connection`."""
        if self._pool is None:
            self._pool = psycopg_pool.ConnectionPool(
                self.url,
                min_size=1,
                max_size=self.pool_size,
                timeout=5,
                max_idle=300,
                kwargs={
                    "autocommit": True,
                    "prepare_threshold": 0,
                    "row_factory": namedtuple_row,
                    "options": _TIMEOUTS + " -c statement_timeout=15s",
                    "connect_timeout": 5,
                },
                open=True,
            )
        return self._pool

    @contextmanager
    def begin(self) -> Iterator[Session]:
        """One transaction as an ORM session: committed at the end, undone by any exception.

        Raises `EngineUnavailable` where the database cannot be reached.
        """
        with _as_unavailable(), Session(self.engine, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def connection(self) -> Iterator[psycopg.Connection[Any]]:
        """A pooled psycopg connection: autocommit, statements prepared, rows as named tuples."""
        with _as_unavailable(), self.pool.connection() as conn:
            yield conn

    @contextmanager
    def raw(self) -> Iterator[psycopg.Connection[Any]]:
        """A connection of its own, outside the pools, in one transaction: for COPY and long set statements."""
        with _as_unavailable(), psycopg.connect(self.url, options=_TIMEOUTS, connect_timeout=5) as conn:
            yield conn

    def forget_lost_links(self) -> None:
        """Drop pooled connections that no longer answer, so that the next try gets a live one."""
        if self._pool is not None:
            self._pool.check()
        if self._engine is not None:
            self._engine.dispose()

    def close(self) -> None:
        """Close both pools."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None


class _LostLink(EngineUnavailable):
    """The link to the database broke: whether the last statement counted is unknown."""


@contextmanager
def _as_unavailable() -> Iterator[None]:
    try:
        yield
    except (psycopg.OperationalError, DBAPIError) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        if isinstance(cause, (pg.DeadlockDetected, pg.SerializationFailure, pg.QueryCanceled)):
            raise
        if isinstance(cause, (pg.DiskFull, pg.ReadOnlySqlTransaction, psycopg_pool.PoolTimeout)):
            raise EngineUnavailable("unavailable") from error
        if isinstance(cause, (psycopg.OperationalError, pg.IdleInTransactionSessionTimeout)):
            raise _LostLink("unavailable") from error
        raise


def _conflicts(error: BaseException) -> bool:
    cause = error.orig if isinstance(error, DBAPIError) else error
    return isinstance(cause, (pg.DeadlockDetected, pg.SerializationFailure))


def reruns(
    command: Callable[Concatenate[Database, P], T],
) -> Callable[Concatenate[Database, P], T]:
    """Run a whole command again, at most five times with jitter, when the database asks for it.

    For commands that find their own earlier effect by its key (a call_ref, an idempotency key): after a link lost at
    COMMIT the outcome is unknown, and the next run looks it up before it does anything.
    """

    @functools.wraps(command)
    def run(db: Database, *args: P.args, **kwargs: P.kwargs) -> T:
        for turn in range(1, MAX_RUNS):
            try:
                return command(db, *args, **kwargs)
            except _LostLink:
                db.forget_lost_links()
            except (psycopg.Error, DBAPIError) as error:
                if not _conflicts(error):
                    raise
            # Not a secret and not a draw: spreads the racers out.
            time.sleep(random.uniform(0.2, 1.0) * 0.02 * turn)  # noqa: S311
        return command(db, *args, **kwargs)

    return run
