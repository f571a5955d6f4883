"""The way to PostgreSQL: sessions for commands and pages, prepared statements for the call path.

A command is one transaction and opens it itself: `with db.begin() as session`. The call path runs a `Statement` on
`with db.connection() as conn`: the thread's own psycopg connection in autocommit mode, where each statement is a
transaction and is prepared at its first use. `reruns` repeats a whole command after a deadlock, a serialization
failure or a lost link.
"""

from __future__ import annotations

import functools
import random
import threading
import time
from collections import namedtuple
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Concatenate, ParamSpec, TypeVar
from weakref import WeakSet

import psycopg
from psycopg import errors as pg
from psycopg.rows import namedtuple_row, tuple_row
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from engine.errors import EngineUnavailable

MAX_RUNS = 5
_TIMEOUTS = "-c timezone=UTC -c lock_timeout=10s -c idle_in_transaction_session_timeout=60s"
# One plan for each statement, made once, and by index: a plan from the minute when a table was empty would read all of
# it once it is full.
_CALL_PATH = " -c statement_timeout=15s -c plan_cache_mode=force_generic_plan -c enable_seqscan=off"

P = ParamSpec("P")
T = TypeVar("T")


class Statement:
    """One SQL text of the call path. Its rows are named tuples whose class is made once, not for every result."""

    __slots__ = ("_row", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self._row: Any = None

    def one(self, conn: psycopg.Connection[Any], params: dict[str, Any]) -> Any | None:
        """Run it, and give its first row, or None."""
        cursor = conn.cursor(row_factory=tuple_row)
        found = cursor.execute(self.text, params).fetchone()
        return None if found is None else self._named(cursor)._make(found)

    def all(self, conn: psycopg.Connection[Any], params: dict[str, Any]) -> list[Any]:
        """Run it, and give all of its rows."""
        cursor = conn.cursor(row_factory=tuple_row)
        cursor.execute(self.text, params)
        return [self._named(cursor)._make(found) for found in cursor]

    def _named(self, cursor: psycopg.Cursor[Any]) -> Any:
        if self._row is None:
            self._row = namedtuple("Row", [column.name for column in cursor.description or ()])  # type: ignore[misc]
        return self._row


class Database:
    """One PostgreSQL database: a small pool for sessions, and for the call path a connection for each thread.

    `url` is an SQLAlchemy or libpq URL. All is opened when first needed, so that processes can fork before. `cache`
    holds what a process may keep because it never changes under its key, such as the rates of a deck version.
    """

    def __init__(self, url: str, *, pool_size: int = 10) -> None:
        self.url = url.replace("postgresql+psycopg://", "postgresql://", 1)
        self.pool_size = pool_size
        self.cache: dict[Any, Any] = {}
        self._engine: Engine | None = None
        self._turn = 0
        self._opening = threading.Lock()
        self._own = threading.local()
        self._opened: WeakSet[_Own] = WeakSet()

    @property
    def engine(self) -> Engine:
        """The SQLAlchemy engine behind `begin`."""
        with self._opening:
            if self._engine is None:
                self._engine = create_engine(
                    self.url.replace("postgresql://", "postgresql+psycopg://", 1),
                    pool_size=self.pool_size,
                    max_overflow=0,
                    pool_pre_ping=True,
                    hide_parameters=True,  # an exception's text must not quote a number or a digest
                    connect_args={"options": _TIMEOUTS, "connect_timeout": 5},
                )
                event.listen(self._engine, "connect", self._note_turn)
                event.listen(self._engine, "checkin", self._close_old)
            return self._engine

    def _note_turn(self, _: Any, record: Any) -> None:
        record.info["turn"] = self._turn

    def _close_old(self, _: Any, record: Any) -> None:
        """What a thread still had in hand when the links were dropped is closed as it comes back."""
        if record.info.get("turn") != self._turn:
            record.invalidate()

    @contextmanager
    def begin(self) -> Iterator[Session]:
        """One transaction as an ORM session: committed at the end, undone by any exception.

        Raises `EngineUnavailable` where the database cannot be reached.
        """
        with _as_unavailable(), Session(self.engine, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def connection(self) -> Iterator[psycopg.Connection[Any]]:
        """The thread's own psycopg connection: autocommit, statements prepared at their first use."""
        with _as_unavailable():
            own: _Own | None = getattr(self._own, "own", None)
            if own is None or own.conn.closed:
                conn = psycopg.connect(
                    self.url,
                    autocommit=True,
                    prepare_threshold=0,
                    row_factory=namedtuple_row,
                    options=_TIMEOUTS + _CALL_PATH,
                    connect_timeout=5,
                )
                own = self._own.own = _Own(conn)
                self._opened.add(own)
            yield own.conn

    @contextmanager
    def raw(self) -> Iterator[psycopg.Connection[Any]]:
        """A connection of its own, outside the pools, in one transaction: for COPY and long set statements."""
        with _as_unavailable(), psycopg.connect(self.url, options=_TIMEOUTS, connect_timeout=5) as conn:
            yield conn

    def forget_lost_links(self) -> None:
        """Drop what may be dead, so that the next try gets a live link."""
        own: _Own | None = getattr(self._own, "own", None)
        if own is not None:
            own.conn.close()
        self._turn += 1
        if self._engine is not None:
            self._engine.dispose()

    def close(self) -> None:
        """Close all connections, those of other threads too."""
        for own in list(self._opened):
            own.conn.close()
        self._turn += 1
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None


class _Own:
    """A thread's connection, closed when the thread has ended and nobody can use it again."""

    def __init__(self, conn: psycopg.Connection[Any]) -> None:
        self.conn = conn

    def __del__(self) -> None:
        self.conn.close()


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
        if isinstance(cause, pg.LockNotAvailable):
            raise EngineUnavailable("busy") from error
        if isinstance(cause, (pg.DiskFull, pg.ReadOnlySqlTransaction)):
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
    def run(db: Database, /, *args: P.args, **kwargs: P.kwargs) -> T:
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
