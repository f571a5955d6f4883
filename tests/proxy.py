"""A TCP proxy before PostgreSQL that loses the link, or kills the client, at a chosen statement.

A statement ends with the client's Sync or simple Query message (PostgreSQL's protocol 3.0, "Message Formats"). What
happens at the chosen one happens either before the server hears of it, or when the server has done it (it is ready for
the next) and before the client hears of that.
"""

from __future__ import annotations

import os
import signal
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Lock, Thread, current_thread
from typing import Any

from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import make_url

Fault = Callable[["Link"], None]


class Link:
    """One client's connection, and ours to the server for it."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client, self.server = client, server
        self._lock, self._directions = Lock(), 2

    def cut(self) -> None:
        """Lose it, for both sides, at once."""
        for end in (self.client, self.server):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    @contextmanager
    def carried(self) -> Iterator[None]:
        """While one direction is carried. Whoever hangs up first, both sides end; the last one closes."""
        try:
            yield
        except OSError:
            pass
        finally:
            self.cut()
            with self._lock:
                self._directions -= 1
                if self._directions == 0:
                    self.client.close()
                    self.server.close()


class Proxy:
    """Listens on a port of its own; `url` leads to the database through it."""

    def __init__(self, url: str) -> None:
        self._upstream = _address(url)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = Lock()
        self.statements = self.commits = self.fired = 0
        self._links: list[Link] = []
        self._threads: list[Thread] = []
        self.arm(None, done=False)
        port = self._listener.getsockname()[1]
        query = {"sslmode": "disable", "gssencmode": "disable"}
        made = make_url(url).set(host="127.0.0.1", port=port, query=query)
        self.url = made.render_as_string(hide_password=False)
        self._start(self._accept)

    def arm(self, at: int | None, *, done: bool, fault: Fault = Link.cut, commits: bool = False) -> None:
        """Count anew, and let the fault happen once, at the statement (or of `commits`, the COMMIT) of this number.

        `done`: when the server has done it, instead of before it hears of it.
        """
        with self._lock:
            self.statements, self.commits, self.fired = 0, 0, 0
            self._at, self._of_commits, self._done, self._fault = at, commits, done, fault

    def close(self) -> None:
        """Close the port and every link."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        for link in list(self._links):
            link.cut()
        for thread in list(self._threads):
            if thread is not current_thread():
                thread.join(20)
        self._listener.close()

    def _start(self, carry: Callable[..., None], *arguments: Any) -> None:
        thread = Thread(target=carry, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX if isinstance(self._upstream, str) else socket.AF_INET)
            server.connect(self._upstream)
            link = Link(client, server)
            self._links.append(link)
            # Whether a fault waits for the end of the statement that the server has in hand.
            waiting: list[bool] = []
            self._start(self._requests, link, waiting)
            self._start(self._answers, link, waiting)

    def _requests(self, link: Link, waiting: list[bool]) -> None:
        with link.carried():
            link.server.sendall(_startup(link.client))
            held = b""
            while message := _message(link.client):
                held += message
                if message[:1] == b"X":
                    link.server.sendall(held)
                    return
                if message[:1] in (b"p", b"S", b"Q"):
                    if message[:1] != b"p" and self._is_due(message):
                        if not self._done:
                            self._fault(link)
                            return
                        waiting.append(True)
                    link.server.sendall(held)
                    held = b""

    def _answers(self, link: Link, waiting: list[bool]) -> None:
        with link.carried():
            held = b""
            while message := _message(link.server):
                held += message
                if waiting and message[:1] == b"Z":
                    self._fault(link)
                    return
                # Whole answers only: none of one that is to be lost gets through.
                if not waiting and message[:1] in (b"Z", b"R", b"E"):
                    link.client.sendall(held)
                    held = b""

    def _is_due(self, message: bytes) -> bool:
        with self._lock:
            commits = message[5:] == b"COMMIT\0"
            self.statements += 1
            self.commits += commits
            counts = commits if self._of_commits else True
            due = counts and self._at == (self.commits if self._of_commits else self.statements)
            self.fired += due
            return due


@contextmanager
def proxied(url: str) -> Iterator[Proxy]:
    """A proxy as long as it is needed."""
    proxy = Proxy(url)
    try:
        yield proxy
    finally:
        proxy.close()


def kill(pid: int) -> Fault:
    """A fault that ends a process as if its power were cut."""

    def fault(link: Link) -> None:
        os.kill(pid, signal.SIGKILL)
        link.cut()

    return fault


def _address(url: str) -> str | tuple[str, int]:
    named = conninfo_to_dict(url.replace("postgresql+psycopg://", "postgresql://", 1))
    host, port = str(named.get("host") or "localhost"), int(named.get("port") or 5432)
    return f"{host}/.s.PGSQL.{port}" if host.startswith("/") else (host, port)


def _startup(client: socket.socket) -> bytes:
    length = _exactly(client, 4)
    return length + _exactly(client, struct.unpack("!i", length)[0] - 4)


def _message(end: socket.socket) -> bytes:
    """One message with its type, or nothing where the other side hung up."""
    kind = end.recv(1)
    if not kind:
        return b""
    length = _exactly(end, 4)
    return kind + length + _exactly(end, struct.unpack("!i", length)[0] - 4)


def _exactly(end: socket.socket, count: int) -> bytes:
    read = b""
    while len(read) < count:
        more = end.recv(count - len(read))
        if not more:
            raise OSError("hung up")
        read += more
    return read
