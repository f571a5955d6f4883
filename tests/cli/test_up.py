"""`cardtone up` and `serve` as their user meets them: real processes, real ports, real signals."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.supervisor import Child
from engine import embedded, messages
from engine.config import Config
from engine.embedded.place import find_place

ROOT = Path(__file__).parent.parent.parent
PASSWORD = re.compile(r"Log in as (\S+) with the password (\S+)")


class Running(subprocess.Popen[str]):
    """A `cardtone …` of its own. What it says on stderr goes to a file: a pipe that nobody reads would fill up."""

    def __init__(self, arguments: tuple[str, ...], errors: Path, environ: dict[str, str]) -> None:
        self.complaints = errors
        with errors.open("w") as stderr:
            super().__init__(
                [sys.executable, "-P", "-m", "cli", *arguments],
                env=environ,
                cwd=errors.parent,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )

    def finish(self) -> tuple[int, str, str]:
        """Its status, output and errors, once it has ended by itself."""
        out, _ = self.communicate(timeout=60)
        return self.returncode, out, self.complaints.read_text()

    def read_until(self, word: str) -> str:
        """Its output up to the line with this word."""
        assert self.stdout is not None
        told = ""
        for line in self.stdout:
            told += line
            if word in line:
                return told
        raise AssertionError(f"ended without {word!r}: {told}{self.complaints.read_text()}")


Start = Callable[..., Running]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def environment(home: Path, port: int, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CARDTONE_")}
    return kept | {"CARDTONE_HOME": str(home), "CARDTONE_PORT": str(port), "CARDTONE_WORKERS": "1"} | more


@pytest.fixture
def empty_database_url(clones: Any) -> Iterator[str]:
    """The URL of a database that nobody migrated."""
    url = clones.make(migrated=False)
    yield url
    clones.drop(url)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts `cardtone …` in a home of the test's own; whatever it leaves is ended and removed."""
    home = tmp_path / "home"
    started: list[Running] = []

    def run(*arguments: str, port: int, **environ: str) -> Running:
        errors = tmp_path / f"errors-{len(started)}"
        started.append(Running(arguments, errors, environment(home, port, **environ)))
        return started[-1]

    yield run
    for process in started:
        with process:
            process.terminate()
            process.wait(60)
    if (home / "postgres.json").exists():
        embedded.remove(Config(home=home))


def status_of(port: int, path: str = "/healthz") -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            code: int = answer.status
            return code
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    except OSError:
        return 0


def descendants(pid: int) -> dict[int, str]:
    """The processes that a process and its children started, with their command lines."""
    found: dict[int, str] = {}
    with contextlib.suppress(OSError):
        for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            command = Path(f"/proc/{word}/cmdline").read_text().replace("\0", " ")
            found |= {int(word): command} | descendants(int(word))
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def eventually(condition: Callable[[], bool], seconds: float = 30) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def test_up_prepares_everything_says_the_password_once_and_leaves_nothing_running(
    start: Start, tmp_path: Path
) -> None:
    port = free_port()
    up = start("up", port=port)
    told = up.read_until("ready")
    assert f"http://127.0.0.1:{port}" in told
    match = PASSWORD.search(told)
    assert match is not None
    assert status_of(port) == 200
    running = descendants(up.pid)
    assert [command for command in running.values() if "-m cli serve" in command]
    assert [command for command in running.values() if "-m jobs" in command]
    logs = "".join(path.read_text() for path in (tmp_path / "home/log").iterdir())
    assert match[2] not in logs

    up.send_signal(signal.SIGINT)
    assert up.wait(60) == 0
    assert not [pid for pid in running if alive(pid)]
    assert status_of(port) == 0
    assert not (find_place(tmp_path / "home").data / "postmaster.pid").exists()

    again = start("up", port=port)
    assert PASSWORD.search(again.read_until("ready")) is None
    again.terminate()
    assert again.wait(60) == 0


def test_a_web_server_that_dies_is_started_again(start: Start, database_url: str) -> None:
    port = free_port()
    up = start("up", port=port, CARDTONE_DATABASE_URL=database_url)
    up.read_until("ready")
    first = next(pid for pid, command in descendants(up.pid).items() if "-m cli serve" in command)
    os.kill(first, signal.SIGKILL)
    assert eventually(lambda: not alive(first))
    assert eventually(lambda: status_of(port) == 200)
    serving = [pid for pid, command in descendants(up.pid).items() if "-m cli serve" in command]
    assert first not in serving
    up.terminate()
    assert up.wait(60) == 0


def test_a_supervisor_that_is_killed_takes_its_children_along(start: Start, tmp_path: Path) -> None:
    up = start("up", port=free_port())
    up.read_until("ready")
    running = descendants(up.pid)
    assert len(running) >= 3
    up.kill()
    up.wait()
    assert eventually(lambda: not [pid for pid in running if alive(pid)])
    # The last of them stopped the database.
    assert not (find_place(tmp_path / "home").data / "postmaster.pid").exists()


@pytest.mark.parametrize("command", ["up", "serve"])
def test_a_taken_port_is_said_in_one_sentence(start: Start, command: str, tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        status, out, err = start(command, port=other.getsockname()[1]).finish()
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert "choose another port" in err
    assert not (tmp_path / "home").exists()


def test_serve_migrates_nothing(start: Start, empty_database_url: str) -> None:
    url = empty_database_url
    refused = start("serve", port=free_port(), CARDTONE_DATABASE_URL=url)
    told = "The database is not migrated to this version; run `cardtone db upgrade`.\n"
    assert refused.finish() == (1, "", told)

    status, out, _ = start("db", "upgrade", "--json", port=1, CARDTONE_DATABASE_URL=url).finish()
    assert (status, json.loads(out)) == (0, {"migrated": True})

    serving = start("serve", "--json", port=(port := free_port()), CARDTONE_DATABASE_URL=url)
    assert json.loads(serving.read_until("url")) == {"url": f"http://127.0.0.1:{port}"}
    assert eventually(lambda: status_of(port) == 200)
    workers = descendants(serving.pid)
    assert workers
    serving.terminate()
    assert serving.wait(60) == 0
    assert not [pid for pid in workers if alive(pid)]


def test_workers_do_not_outlive_a_server_that_is_killed(start: Start, database_url: str) -> None:
    port = free_port()
    serving = start("serve", port=port, CARDTONE_DATABASE_URL=database_url)
    serving.read_until("Serving")
    assert eventually(lambda: status_of(port) == 200)
    workers = descendants(serving.pid)
    assert workers
    serving.kill()
    assert eventually(lambda: not [pid for pid in workers if alive(pid)])


@pytest.mark.parametrize(
    ("command", "missing"), [("up", "DATABASE_URL"), ("serve", "PEPPER"), ("up", "PEPPER")]
)
def test_production_refuses_to_start_without_its_secrets(
    start: Start, command: str, missing: str, database_url: str, tmp_path: Path
) -> None:
    environ = {"CARDTONE_ENV": "production"}
    if missing != "DATABASE_URL":
        environ["CARDTONE_DATABASE_URL"] = database_url
    status, out, err = start(command, port=free_port(), **environ).finish()
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert err.startswith(f"CARDTONE_{missing} is not set; production ")
    assert not (tmp_path / "home/keys").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nonsense"], "No such command 'nonsense'."),
        (["db", "upgrade", "--frob"], "No such option '--frob'."),
    ],
)
def test_a_slip_of_the_fingers_is_one_sentence_and_status_1(
    start: Start, arguments: list[str], told: str
) -> None:
    assert start(*arguments, port=1).finish() == (1, "", told + "\n")


def test_an_unreachable_database_is_one_sentence_and_a_traceback_only_for_debugging(start: Start) -> None:
    url = f"postgresql://me:hush@127.0.0.1:{free_port()}/cards"
    for level, traceback in (("info", False), ("debug", True)):
        environ = {"CARDTONE_DATABASE_URL": url, "CARDTONE_LOG_LEVEL": level}
        status, out, err = start("db", "upgrade", port=1, **environ).finish()
        assert (status, out) == (1, "")
        assert err.endswith(messages.sentence("unavailable") + "\n")
        assert ("Traceback" in err) is traceback
        assert (err.count("\n") > 1) is traceback
        assert "hush" not in err


def child(tmp_path: Path, source: str) -> Child:
    return Child("The child", [sys.executable, "-c", source], tmp_path / "child.log")


def test_a_child_that_keeps_dying_is_started_ever_more_seldom(tmp_path: Path) -> None:
    mortal = child(tmp_path, "import sys; print('told', flush=True); sys.exit(3)")
    mortal.start()
    pauses = []
    while len(pauses) < 3:
        told = mortal.watch()
        if told is not None:
            pauses.append(re.findall(r"\(status 3\).* in (\S+) s", told)[0])
        time.sleep(0.01)
    assert pauses == ["0.5", "1", "2"]
    assert mortal.deaths == 3
    assert (tmp_path / "child.log").read_text() == "told\n" * 3


def test_a_child_that_will_not_end_is_ended_with_all_it_started(tmp_path: Path) -> None:
    stubborn = child(
        tmp_path,
        "import os, signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "pid = os.fork()\n"
        "pid and print(pid, flush=True)\n"
        "time.sleep(600)",
    )
    stubborn.start()
    assert eventually(lambda: (tmp_path / "child.log").read_text().endswith("\n"))
    assert stubborn.process is not None
    pids = [stubborn.process.pid, int((tmp_path / "child.log").read_text())]
    stubborn.ask_to_end()
    stubborn.wait(time.monotonic() + 0.3)
    assert eventually(lambda: not any(map(alive, pids)))
