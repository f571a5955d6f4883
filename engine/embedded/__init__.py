"""The embedded PostgreSQL: a real server for those who have none of their own.

It listens on a private socket alone, asks every user for a password (SCRAM, RFC 7677), and is as durable as any
other. Whoever uses it holds a shared lock on one file of the home; the last who leaves stops it. So nobody pulls it
from under another, and one who was killed leaves no lock behind: the next comer finds the server running and joins.

PostgreSQL refuses to run as root. Started by root, it runs as the system user `cardtone`, with its data and a copy
of the binaries under /var/lib/cardtone/<digest of the home's path>; `engine.embedded.place` decides where,
`engine.embedded.server` knows the processes.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
from psycopg import sql
from sqlalchemy import URL

from engine.config import Config, InstallationError, make_folder, make_key_file, new_key, read_key_file
from engine.embedded.place import Place, find_place, settle_in
from engine.embedded.server import ADMIN, Server, Tuning, binary

__all__ = ["Attachment", "Tuning", "attach", "binary", "database", "remove", "running"]

ROLE = "cardtone"
DATABASE = "cardtone"
_LOCK_WAIT_S = 900
_READY_WAIT_S = 600


class Attachment:
    """One user of the embedded server, from `attach` to `detach`; `url` is the database's SQLAlchemy URL."""

    def __init__(self, url: str, home: Path, server: Server, users: int) -> None:
        self.url = url
        self._home = home
        self._server = server
        self._users = users
        self._pid = os.getpid()

    def __repr__(self) -> str:
        return f"Attachment({self._home})"

    @property
    def postmaster(self) -> int | None:
        """The process id of the server, or None where it is down (after a crash)."""
        return self._server.pid()

    def detach(self) -> None:
        """Leave; the last user of all stops the server. Calling it again does nothing."""
        users, self._users = self._users, -1
        if users < 0:
            return
        if self._pid != os.getpid():
            # A forked child shares its parent's lock and must leave it alone.
            os.close(users)
            return
        with _exclusive(self._home / "postgres.lock"):
            os.close(users)
            _stop_unused(self._home, self._server)


def attach(config: Config, tuning: Tuning | None = None, *, scratch: Path | None = None) -> Attachment:
    """Join the embedded server of `config.home`; make it on the first call, start it where it doesn't run.

    `tuning` counts only where this call starts it. `scratch` (for tests): a folder in memory that holds the data
    instead, which the last user who leaves deletes. Safe between processes. Raises `InstallationError`.
    """
    tuning = tuning or Tuning()
    home = make_folder(config.home)
    make_folder(config.log_dir)
    with _exclusive(home / "postgres.lock"):
        users = _open(home / "postgres.users")
        server = None
        try:
            fcntl.flock(users, fcntl.LOCK_SH)
            admin, password = _passwords(config)
            place = find_place(home, scratch)
            settle_in(place, had_passwords=admin is not None)
            if admin is None:
                admin = make_key_file(config.keys_dir / "postgres-admin", new_key)
            server = Server(place, config.log_dir / "postgres.log")
            if not place.data.exists():
                server.create(admin, tuning)
            place.remember()
            _ready(server, tuning, admin, password)
            url = _url(place, ROLE, password, DATABASE).render_as_string(hide_password=False)
            return Attachment(url, home, server, users)
        except BaseException:
            os.close(users)
            # What this call may have started must not stay behind it.
            if server is not None and server.pid() is not None:
                _stop_unused(home, server)
            raise


@contextmanager
def running(config: Config, tuning: Tuning | None = None, *, scratch: Path | None = None) -> Iterator[str]:
    """`attach` for the length of a `with`; gives the database's SQLAlchemy URL."""
    attachment = attach(config, tuning, scratch=scratch)
    try:
        yield attachment.url
    finally:
        attachment.detach()


@contextmanager
def database(config: Config) -> Iterator[str]:
    """The database's SQLAlchemy URL: the configured one, or the embedded server's for the length of a `with`."""
    if config.database_url:
        yield config.database_url
    else:
        with running(config) as url:
            yield url


def remove(config: Config) -> None:
    """Stop the embedded server of this home and delete all its data, for good. For tests and uninstalling.

    Raises `InstallationError` while somebody uses it.
    """
    with _exclusive(config.home / "postgres.lock"):
        users = _open(config.home / "postgres.users")
        try:
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            place = find_place(config.home)
            server = Server(place, config.log_dir / "postgres.log")
            server.stop()
            place.remove()
            for name in ("postgres-admin", "postgres-cardtone"):
                (config.keys_dir / name).unlink(missing_ok=True)
        except BlockingIOError:
            raise InstallationError(f"The database in {config.home} is in use.") from None
        finally:
            os.close(users)


def _stop_unused(home: Path, server: Server) -> None:
    """Stop the server where nobody holds the users' lock; a server in memory goes for good."""
    users = _open(home / "postgres.users")
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        server.stop()
        if server.place.scratch:
            server.place.remove()
    except BlockingIOError:
        pass
    finally:
        os.close(users)


def _passwords(config: Config) -> tuple[str | None, str]:
    """The administrator's password where a cluster was made before, and the application's (made if missing)."""
    path = config.keys_dir / "postgres-admin"
    admin = read_key_file(path) if path.exists() else None
    return admin, make_key_file(config.keys_dir / "postgres-cardtone", new_key)


def _ready(server: Server, tuning: Tuning, admin: str, password: str) -> None:
    """Start the server where it doesn't run, wait until it answers, and see that role and database exist."""
    deadline = time.monotonic() + _READY_WAIT_S
    url = _url(server.place, ROLE, password, DATABASE)
    while True:
        started = not server.is_running()
        if started:
            server.start(tuning)
        try:
            if started or not _answers(url):
                _furnish(server.place, admin, password)
            return
        except psycopg.OperationalError as error:
            # An orphan may be starting, recovering or going down; anything else will not heal by waiting.
            if "password authentication failed" in str(error) or time.monotonic() > deadline:
                line = str(error).strip().splitlines()[-1]
                raise InstallationError(f"The embedded database does not let us in: {line}") from None
            time.sleep(0.1)


def _answers(url: URL) -> bool:
    with suppress(psycopg.OperationalError), psycopg.connect(_libpq(url), connect_timeout=10):
        return True
    return False


def _furnish(place: Place, admin: str, password: str) -> None:
    """Make the application's role and database; what exists is left as it is."""
    url = _url(place, ADMIN, admin, "postgres")
    with psycopg.connect(_libpq(url), autocommit=True, connect_timeout=10) as conn:
        if not conn.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [ROLE]).fetchone():
            # Digested here, so that the server never sees, and never logs, the password itself.
            verifier = conn.pgconn.encrypt_password(password.encode(), ROLE.encode(), b"scram-sha-256")
            conn.execute(
                sql.SQL("CREATE ROLE {} LOGIN NOSUPERUSER CREATEDB PASSWORD {}").format(
                    sql.Identifier(ROLE), sql.Literal(verifier.decode())
                )
            )
        if not conn.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone():
            conn.execute(
                sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(DATABASE), sql.Identifier(ROLE))
            )


def _url(place: Place, role: str, password: str, name: str) -> URL:
    return URL.create(
        "postgresql+psycopg", role, password, database=name, query={"host": str(place.socket_dir)}
    )


def _libpq(url: URL) -> str:
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


@contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    """Hold the lock under which the server is made, started and stopped."""
    try:
        fd = _open(path)
    except OSError as error:
        raise InstallationError(f"{path} cannot be opened: {error.strerror}.") from None
    try:
        deadline = time.monotonic() + _LOCK_WAIT_S
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise InstallationError(f"Another process has held {path} for too long.") from None
                time.sleep(0.02)
        yield
    finally:
        os.close(fd)
