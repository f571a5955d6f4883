"""Authorize and end over HTTP, key and password checked, 8 connections, against bare Flask and against pgbench.

The server runs as `cardtone serve` starts it. The load comes from a process of its own, on the same two cores.
"""

from __future__ import annotations

import base64
import json
import multiprocessing
import os
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench import pgbench
from bench.report import Report, interleaved
from bench.world import World, make

CARDS = 100_000
CONNECTIONS = 8
SECONDS = 6.0
ROUNDS = 3


def run(report: Report, url: str) -> None:
    """Print `http` (against the bare route) and `http_pgbench`."""
    world = make(url, CARDS)
    pgbench.prepare(url, CARDS)
    with served(world, "cli", "serve", "--port") as ours, served(world, "bench.bare") as bare:
        mine, peer, limit = interleaved(
            ROUNDS,
            lambda: load(world, ours, SECONDS),
            lambda: load(world, bare, SECONDS),
            lambda: pgbench.calls_per_second(url, seconds=int(SECONDS)),
        )
    report.figure(
        f"http: {mine:,.0f} calls/s, bare Flask with the same SQL {peer:,.0f}, pgbench {limit:,.0f}"
    )
    report.ratio("http", mine / peer, 0.5)
    report.ratio("http_pgbench", mine / limit, 0.12)


@contextmanager
def served(world: World, module: str, *options: str) -> Iterator[int]:
    """A server of the world on a free port of the loopback; gives the port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    keys = {
        "CARDTONE_PEPPER": world.keys.peppers[1],
        "CARDTONE_MASTER_KEY": world.keys.masters[1],
        "CARDTONE_SECRET_KEY": world.keys.secret_key,
    }
    with tempfile.TemporaryDirectory() as home:
        environment = {
            **os.environ,
            **{name: base64.urlsafe_b64encode(key).decode() for name, key in keys.items()},
            "CARDTONE_HOME": home,
            "CARDTONE_DATABASE_URL": world.url,
            "CARDTONE_LOG_LEVEL": "warning",
        }
        log = Path(home, "server.log")
        with log.open("wb") as out:
            server = subprocess.Popen(
                [sys.executable, "-m", module, *options, str(port)], env=environment, stdout=out, stderr=out
            )
        try:
            _wait(port, server, log)
            yield port
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(30)


def _wait(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(300):
        if server.poll() is not None:
            break
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise RuntimeError(f"The server did not start: {log.read_text()}")


def load(world: World, port: int, seconds: float) -> float:
    """Calls a second over 8 connections that stay open, from a process of its own."""
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    cards = random.Random(port).sample(world.cards, 10_000)
    process = context.Process(
        target=_generate, args=(theirs, cards, world.switch_key, port, seconds), daemon=True
    )
    process.start()
    made, failure = mine.recv()
    process.join()
    if failure:
        raise RuntimeError(failure)
    return float(made / seconds)


def _generate(pipe: Any, cards: list[tuple[str, str]], key: str, port: int, seconds: float) -> None:
    counts, failures = [0] * CONNECTIONS, []
    start = threading.Barrier(CONNECTIONS)

    def connect(number: int) -> None:
        try:
            counts[number] = _calls(cards, key, port, seconds, number, start)
        except Exception as error:
            failures.append(repr(error))
            start.abort()

    threads = [threading.Thread(target=connect, args=(number,)) for number in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pipe.send((sum(counts), "; ".join(failures[:1])))


def _calls(
    cards: list[tuple[str, str]], key: str, port: int, seconds: float, number: int, start: threading.Barrier
) -> int:
    connection, dice, made = Connection(port, key), random.Random(), 0

    def call() -> None:
        card_number, password = dice.choice(cards)
        ref = f"{port}-{number}-{time.monotonic_ns()}"
        destination = f"88017{dice.randrange(10**8):08}"
        proof = {"card_number": card_number, "password": password}
        connection.post("calls", {**proof, "call_ref": ref, "destination": destination, "one_shot": False})
        connection.post(f"calls/{ref}/end", {"duration_seconds": 3, "cause": 16})

    for _ in range(10):
        call()
    start.wait()
    stop = time.monotonic() + seconds
    while time.monotonic() < stop:
        call()
        made += 1
    connection.close()
    return made


class Connection:
    """One HTTP connection that stays open. By hand, for the load shares the server's cores and should cost little."""

    def __init__(self, port: int, key: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._headers = (
            f" HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {key}\r\n"
            "Content-Type: application/json\r\nContent-Length: "
        )

    def post(self, path: str, body: dict[str, Any]) -> None:
        """Ask, and read the whole answer; anything but a good one raises."""
        text = json.dumps(body)
        self._socket.sendall(f"POST /api/v1/{path}{self._headers}{len(text)}\r\n\r\n{text}".encode())
        head, _, data = self._read(b"\r\n\r\n").partition(b"\r\n\r\n")
        length = int(re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)[1])  # type: ignore[index]
        while len(data) < length:
            data += self._more()
        if not head.startswith(b"HTTP/1.1 200 ") or b"refused" in data:
            raise RuntimeError(f"{head!r} {data!r}")

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def _read(self, until: bytes) -> bytes:
        data = self._more()
        while until not in data:
            data += self._more()
        return data

    def _more(self) -> bytes:
        data = self._socket.recv(65_536)
        if not data:
            raise RuntimeError("The server hung up.")
        return data
