"""A real PostgreSQL for every test that asks for one.

The server is an embedded one in `.test-home`, or the one of CARDTONE_TEST_DATABASE_URL. Each run migrates one template,
and each test gets its own clone of it, dropped afterwards. After a test that used `db` its books must verify.
"""

from __future__ import annotations

import os
import secrets
import shutil
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from argon2 import PasswordHasher
from psycopg import sql
from sqlalchemy import make_url

from engine import embedded
from engine.config import Config, Keys
from engine.db import Database
from engine.migrations import upgrade
from engine.people import passwords
from engine.reports.verify import verify
from engine.vault import Vault

ROOT = Path(__file__).parent.parent
REAL_HASHER = passwords._HASHER
PREFIX = "cardtone_test_"
_RUN = os.environ.get("PYTEST_XDIST_TESTRUNUID", secrets.token_hex(8))[:12]
_WORKER = os.environ.get("PYTEST_XDIST_WORKER", "main")


class Clones:
    """The template of this run on one server, and the clones that one process of the run makes of it."""

    def __init__(self, url: str) -> None:
        self._url = make_url(url)
        self._admin = psycopg.connect(_libpq(url), autocommit=True)
        self._template = f"{PREFIX}{_RUN}_template"
        self._count = 0
        # Held while the run lives: what belongs to a run without it was left by a killed one.
        self._admin.execute("SELECT pg_advisory_lock_shared(%s)", [_key(_RUN)])
        self._sweep()
        self._migrate()

    def make(self, *, migrated: bool = True, like: str = "") -> str:
        """Clone the template, or the database at the URL `like` (in nobody's use), or make an empty one; its URL."""
        self._count += 1
        name = f"{PREFIX}{_RUN}_{_WORKER}_{self._count}"
        template = make_url(like).database if like else self._template
        self._create(name, template or "" if migrated else "template1")
        return self._named(name)

    def drop(self, url: str) -> None:
        """Drop a clone, whoever is still connected."""
        name = make_url(url).database or ""
        # A closed connection's backend lives on for a moment, and DROP would sleep 100 ms at the sight of it.
        for _ in range(25):
            users = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s"
            if self._admin.execute(users, [name]).fetchone() == (0,):
                break
            time.sleep(0.002)
        self._drop(name)

    def close(self) -> None:
        """Leave; the last process of the run drops the template."""
        self._admin.execute("SELECT pg_advisory_unlock_shared(%s)", [_key(_RUN)])
        if self._locked(_key(_RUN)):
            self._drop(self._template)
        self._admin.close()

    def _migrate(self) -> None:
        self._admin.execute("SELECT pg_advisory_lock(%s)", [_key("migrate" + _RUN)])
        try:
            if self._template not in self._databases():
                draft = f"{self._template}_draft"
                self._create(draft)
                upgrade(self._named(draft), datetime.now(UTC))
                names = sql.Identifier(draft), sql.Identifier(self._template)
                self._admin.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(*names))
        finally:
            self._admin.execute("SELECT pg_advisory_unlock(%s)", [_key("migrate" + _RUN)])

    def _sweep(self) -> None:
        names = self._databases()
        for run in {name.removeprefix(PREFIX).split("_")[0] for name in names} - {_RUN}:
            if self._locked(_key(run)):
                for name in names:
                    if name.startswith(f"{PREFIX}{run}_"):
                        self._drop(name)
                self._admin.execute("SELECT pg_advisory_unlock(%s)", [_key(run)])

    def _locked(self, key: int) -> bool:
        row = self._admin.execute("SELECT pg_try_advisory_lock(%s)", [key]).fetchone()
        return row is not None and bool(row[0])

    def _databases(self) -> list[str]:
        rows = self._admin.execute("SELECT datname FROM pg_database WHERE starts_with(datname, %s)", [PREFIX])
        return [name for (name,) in rows]

    def _create(self, name: str, template: str = "template1") -> None:
        names = sql.Identifier(name), sql.Identifier(template)
        self._admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY").format(*names))

    def _drop(self, name: str) -> None:
        drop = sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(name))
        try:
            self._admin.execute(drop + sql.SQL(" WITH (FORCE)"))
        except psycopg.errors.InsufficientPrivilege:
            # FORCE may not end an autovacuum worker that looks at many new rows; plain DROP sends it away.
            self._admin.execute(drop)

    def _named(self, name: str) -> str:
        return self._url.set(database=name).render_as_string(hide_password=False)


def _key(text: str) -> int:
    return zlib.crc32(text.encode())


def _libpq(url: str) -> str:
    return url.replace("postgresql+psycopg://", "postgresql://", 1)


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """The server's URL; its role may create databases.

    The embedded one forgets to sync, for speed; CARDTONE_TEST_DURABLE=1 keeps it as durable as a real one.
    """
    config = Config.from_env({**os.environ, "CARDTONE_HOME": str(ROOT / ".test-home"), "CARDTONE_ENV": ""})
    if config.test_database_url:
        yield config.test_database_url
        return
    durable = os.environ.get("CARDTONE_TEST_DURABLE", "") not in ("", "0")
    tuning = embedded.Tuning(durable=durable, max_connections=300)
    with embedded.running(config, tuning, scratch=None if durable else _memory()) as url:
        if not durable:
            _let_in_quickly(url)
        yield url


def _let_in_quickly(url: str) -> None:
    """Digest the role's password once instead of 4,096 times: half of what a connection takes, and tests open many."""
    with psycopg.connect(_libpq(url), autocommit=True) as conn:
        conn.execute("SELECT pg_advisory_lock(%s)", [_key("password")])
        conn.execute("SET scram_iterations = 1")
        same = sql.Literal(make_url(url).password)
        conn.execute(sql.SQL("ALTER ROLE CURRENT_USER PASSWORD {}").format(same))


def _memory() -> Path | None:
    """A folder in memory, where a clone's 600 files are made in 20 ms instead of 300; None where it is too small."""
    memory = Path("/dev/shm")  # noqa: S108
    roomy = memory.is_dir() and shutil.disk_usage(memory).total >= 4 * 2**30
    return memory if roomy and os.access(memory, os.W_OK) else None


@pytest.fixture(scope="session")
def clones(server_url: str) -> Iterator[Clones]:
    """Makes and drops migrated databases: for a fixture that must outlive one test."""
    made = Clones(server_url)
    yield made
    made.close()


@pytest.fixture
def database_url(clones: Clones) -> Iterator[str]:
    """The URL of a freshly migrated database of the test's own."""
    url = clones.make()
    yield url
    clones.drop(url)


@pytest.fixture
def db(database_url: str, request: pytest.FixtureRequest) -> Iterator[Database]:
    """A `Database` of the test's own. After the test its books must verify (unless marked `books_broken`)."""
    database = Database(database_url)
    yield database
    try:
        if request.node.get_closest_marker("books_broken") is None:
            assert_books_verify(database)
    finally:
        database.close()


@pytest.fixture(scope="session")
def keys() -> Keys:
    """Random keys that live as long as the run."""
    return Keys({1: secrets.token_bytes(32)}, {1: secrets.token_bytes(32)}, secrets.token_bytes(32))


@pytest.fixture(scope="session")
def vault(keys: Keys) -> Vault:
    """A vault with random keys."""
    return Vault(keys)


@pytest.fixture(scope="session", autouse=True)
def quick_hashes() -> Iterator[None]:
    """Passwords of people are hashed with the least that Argon2id takes: most log-ins are not about hashing."""
    with _hashed_by(PasswordHasher(1, 8, 1)):
        yield


@pytest.fixture
def slow_hashes() -> Iterator[None]:
    """They are hashed as anywhere else."""
    with _hashed_by(REAL_HASHER):
        yield


@contextmanager
def _hashed_by(hasher: PasswordHasher) -> Iterator[None]:
    before, passwords._HASHER = passwords._HASHER, hasher
    passwords._nobody.cache_clear()
    yield
    passwords._HASHER = before
    passwords._nobody.cache_clear()


def assert_books_verify(db: Database) -> None:
    """Run the self-check of the books; anything it finds fails the test.

    The clocks of tests stand where the tests set them, so that no call is overdue by the clock on the wall: the check
    is told a time before them all.
    """
    findings = verify(db, datetime(2000, 1, 1, tzinfo=UTC))
    assert not findings, findings
