"""The embedded PostgreSQL: private, durable, started once, stopped by the last, and back after any kill."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from engine import embedded
from engine.config import Config, InstallationError
from engine.embedded.place import SYSTEM_FOLDER, find_place

# A user of the database in a process of its own: says when it is in, and leaves when its input ends.
USER = """
import sys
from pathlib import Path
from engine import embedded
from engine.config import Config
with embedded.running(Config(home=Path(sys.argv[1]))) as url:
    print("in", flush=True)
    sys.stdin.read()
"""
Join = Callable[[Config], subprocess.Popen[str]]
ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Config]:
    """An installation that these tests share; its server is down between them."""
    made = Config(home=tmp_path_factory.mktemp("shared") / "home")
    with embedded.running(made):
        pass
    yield made
    embedded.remove(made)


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Config]:
    """An installation that was never used; removed afterwards, wherever its data are."""
    made = Config(home=tmp_path / "home")
    yield made
    embedded.remove(made)


@pytest.fixture
def join() -> Iterator[Join]:
    """Starts processes that use an installation's database; none survives the test."""
    started: list[subprocess.Popen[str]] = []

    def start(config: Config) -> subprocess.Popen[str]:
        user = subprocess.Popen(
            [sys.executable, "-c", USER, str(config.home)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        started.append(user)
        return user

    yield start
    for user in started:
        with user:
            user.kill()


def is_in(user: subprocess.Popen[str]) -> bool:
    assert user.stdout is not None
    return user.stdout.readline() == "in\n"


def leave(user: subprocess.Popen[str]) -> int:
    assert user.stdin is not None
    user.stdin.close()
    return user.wait(30)


def ask(url: str, query: str) -> Any:
    with psycopg.connect(url.replace("postgresql+psycopg://", "postgresql://"), autocommit=True) as conn:
        cursor = conn.execute(query)
        return cursor.fetchone() if cursor.description else None


def postmaster(config: Config) -> int | None:
    """The process that works in the data folder, if one lives."""
    data = find_place(config.home).data
    try:
        pid = int((data / "postmaster.pid").read_text().split("\n")[0])
        return pid if os.path.samestat(os.stat(f"/proc/{pid}/cwd"), data.stat()) else None
    except OSError:
        return None


def test_a_configured_database_needs_no_embedded_one(tmp_path: Path) -> None:
    url = "postgresql+psycopg://db/cards"
    with embedded.database(Config(home=tmp_path / "home", database_url=url)) as given:
        assert given == url
    assert not (tmp_path / "home").exists()


def test_it_is_real_durable_private_and_asks_for_a_password(config: Config) -> None:
    with embedded.database(config) as url:
        assert ask(url, "SELECT current_user, current_database()") == ("cardtone", "cardtone")
        assert ask(url, "SELECT rolsuper, rolcreatedb FROM pg_roles WHERE rolname = current_user") == (
            False,
            True,
        )
        settings = {
            name: ask(url, f"SHOW {name}")[0]
            for name in (
                "fsync",
                "synchronous_commit",
                "full_page_writes",
                "listen_addresses",
                "data_checksums",
            )
        }
        assert list(settings.values()) == ["on", "on", "on", "", "on"]
        password = psycopg.conninfo.conninfo_to_dict(url.replace("postgresql+psycopg://", "postgresql://"))[
            "password"
        ]
        for user in ("cardtone", "postgres"):
            wrong = url.replace("cardtone:", f"{user}:").replace(str(password), "wrong")
            with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
                ask(wrong, "SELECT 1")
        place = find_place(config.home)
        for folder in (
            place.folder,
            place.data,
            place.socket_dir,
            config.home,
            config.keys_dir,
            config.log_dir,
        ):
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert place.uid == place.data.stat().st_uid != 0
    assert postmaster(config) is None


def test_no_secret_stands_in_arguments_environments_or_the_log(config: Config) -> None:
    with embedded.running(config):
        secrets = [path.read_text().strip() for path in config.keys_dir.iterdir()]
        server = postmaster(config)
        told = (config.log_dir / "postgres.log").read_text()
        for name in ("cmdline", "environ"):
            told += Path(f"/proc/{server}/{name}").read_text()
        assert len(secrets) == 2
        assert not [secret for secret in secrets if secret in told]


def test_a_failing_statement_leaves_no_value_in_the_log(config: Config) -> None:
    with embedded.running(config) as url:
        ask(url, "CREATE TABLE t AS SELECT '883311223344' AS number")
        ask(url, "ALTER TABLE t ADD UNIQUE (number)")
        with pytest.raises(psycopg.errors.UniqueViolation):
            ask(url, "INSERT INTO t VALUES ('883311223344')")
    log = (config.log_dir / "postgres.log").read_text()
    assert "duplicate key" in log
    assert "883311223344" not in log


def test_the_last_who_leaves_stops_it_whoever_started_it(config: Config, join: Join) -> None:
    starter = join(config)
    assert is_in(starter)
    server = postmaster(config)
    second = join(config)
    assert is_in(second)
    assert leave(starter) == 0
    assert postmaster(config) == server is not None
    with embedded.running(config) as url:
        assert leave(second) == 0
        assert ask(url, "SELECT 1") == (1,)
    assert postmaster(config) is None


def test_racing_first_comers_meet_at_one_server(fresh: Config, join: Join) -> None:
    users = [join(fresh) for _ in range(5)]
    assert all(is_in(user) for user in users)
    log = (fresh.log_dir / "postgres.log").read_text()
    assert log.count("ready to accept connections") == 1
    assert [leave(user) for user in users] == [0] * 5
    assert postmaster(fresh) is None


def test_a_server_whose_user_was_killed_is_joined_by_the_next(config: Config, join: Join) -> None:
    user = join(config)
    assert is_in(user)
    server = postmaster(config)
    user.kill()
    user.wait()
    assert postmaster(config) == server is not None
    with embedded.running(config) as url:
        assert postmaster(config) == server
        assert ask(url, "SELECT 1") == (1,)
    assert postmaster(config) is None


def test_what_was_committed_survives_a_killed_server(config: Config) -> None:
    attachment = embedded.attach(config)
    try:
        ask(attachment.url, "CREATE TABLE kept AS SELECT 42 AS n")
        assert attachment.postmaster is not None
        os.kill(attachment.postmaster, signal.SIGKILL)
        while attachment.postmaster is not None:
            time.sleep(0.01)
        # At once, while backends may still hold the dead server's memory.
        with embedded.running(config) as url:
            assert ask(url, "SELECT n FROM kept") == (42,)
    finally:
        attachment.detach()
    attachment.detach()
    assert postmaster(config) is None


def test_a_stale_pid_file_that_names_a_stranger_is_swept_away(config: Config) -> None:
    with embedded.running(config):
        pass
    place = find_place(config.home)
    # A process of the very user that the server runs as: PostgreSQL itself would take it for a rival.
    options: dict[str, Any] = {"user": place.uid} if place.foreign else {}
    stranger = subprocess.Popen(["sleep", "60"], cwd="/", **options)
    try:
        for path in (place.data / "postmaster.pid", place.socket_dir / ".s.PGSQL.5432.lock"):
            path.write_text(f"{stranger.pid}\n{place.data}\n1\n5432\n{place.socket_dir}\n\n")
            os.chown(path, place.uid, place.gid)
        with embedded.running(config) as url:
            assert ask(url, "SELECT 1") == (1,)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_first_run_that_was_killed_in_the_middle_is_begun_anew(fresh: Config) -> None:
    with embedded.running(fresh):
        pass
    place = find_place(fresh.home)
    # The state that a kill during initdb leaves: passwords, half a cluster, and no note of it.
    place.data.rename(place.folder / "data.new")
    (place.folder / "data.new" / "PG_VERSION").unlink()
    (fresh.home / "postgres.json").unlink()
    with embedded.running(fresh) as url:
        assert ask(url, "SELECT 1") == (1,)


def test_a_database_that_is_gone_is_never_replaced_by_an_empty_one(fresh: Config) -> None:
    with embedded.running(fresh):
        pass
    place = find_place(fresh.home)
    assert json.loads((fresh.home / "postgres.json").read_text()) == {"data": str(place.data)}
    shutil.rmtree(place.data)
    with pytest.raises(InstallationError, match="is gone"), embedded.running(fresh):
        pass


def test_the_data_of_an_earlier_home_at_the_same_path_are_never_opened_nor_deleted(fresh: Config) -> None:
    with embedded.running(fresh) as url:
        ask(url, "CREATE TABLE t AS SELECT 42 AS n")
    place = find_place(fresh.home)
    aside = place.folder.with_name(f"{place.folder.name}.old-1")
    # Passwords alone are lost: that needs a person.
    shutil.rmtree(fresh.keys_dir)
    with pytest.raises(InstallationError, match="passwords are gone"), embedded.running(fresh):
        pass
    # All that the home knew is lost: as root, somebody deleted the home and began anew.
    (fresh.home / "postgres.json").unlink()
    try:
        with embedded.running(fresh) as url:
            assert ask(url, "SELECT to_regclass('t')") == (None,)
        assert (aside / "data" / "PG_VERSION").exists()
    finally:
        shutil.rmtree(aside)


def test_a_home_in_use_is_not_removed(config: Config) -> None:
    with embedded.running(config) as url:
        with pytest.raises(InstallationError, match="in use"):
            embedded.remove(config)
        assert ask(url, "SELECT 1") == (1,)


def test_a_path_too_long_for_a_socket_gets_a_short_one(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100)
    place = find_place(deep, scratch=deep)
    assert len(os.fsencode(place.socket_dir)) <= 93
    assert find_place(deep, scratch=deep) == place


def test_a_socket_folder_that_belongs_to_somebody_else_is_refused(tmp_path: Path) -> None:
    place = find_place(tmp_path, scratch=tmp_path)
    somebody = tmp_path / "somebody"
    somebody.mkdir(mode=0o755)
    (tmp_path / "link").symlink_to(tmp_path)
    for path in (somebody, tmp_path / "link"):
        with pytest.raises(InstallationError, match="own user"):
            place.make_own_folder(path)
    assert stat.S_IMODE(somebody.stat().st_mode) == 0o755


def test_a_server_in_memory_leaves_nothing_behind(tmp_path: Path) -> None:
    config = Config(home=tmp_path / "home")
    scratch = tmp_path / "memory"
    scratch.mkdir()
    _let_pass(tmp_path)
    for _ in range(2):
        tuning = embedded.Tuning(durable=False)
        with embedded.running(config, tuning, scratch=scratch) as url:
            assert ask(url, "SHOW fsync") == ("off",)
            assert len(list(scratch.iterdir())) == 1
        assert not list(scratch.iterdir())


def test_no_existing_folder_is_opened_wider(config: Config) -> None:
    above = [path for path in config.home.parents if path.exists()]
    modes = [path.stat().st_mode for path in above]
    with embedded.running(config):
        pass
    assert [path.stat().st_mode for path in above] == modes
    if os.geteuid() == 0:
        assert stat.S_IMODE(SYSTEM_FOLDER.stat().st_mode) & 0o026 == 0
        assert find_place(config.home).uid == pwd.getpwnam("cardtone").pw_uid


def _let_pass(folder: Path) -> None:
    """Let the server's user through to a folder that pytest closed to everybody else."""
    for path in (folder, *folder.parents):
        if str(path).startswith("/tmp/pytest"):  # noqa: S108
            path.chmod(0o711)
