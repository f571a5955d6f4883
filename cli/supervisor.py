"""Keeps child processes running, and ends them when it ends."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 30.0
_STEADY_S = 60.0
_FAREWELL_S = 30.0
_LOG_BYTES = 20 * 2**20
_PR_SET_PDEATHSIG = 1


@dataclass(slots=True)
class Child:
    """One process that should always run; started again with growing pauses when it dies."""

    name: str
    command: Sequence[str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    deaths: int = 0
    _pause_s: float = _FIRST_PAUSE_S
    _started: float = field(default=0.0)
    _due: float = field(default=0.0)

    def start(self) -> None:
        """Start it, with its output in its log."""
        _turn_over(self.log)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C reaches only us: we end the children in their order.
                start_new_session=True,
                preexec_fn=_die_with(os.getpid()),
            )
        self._started = time.monotonic()

    def watch(self) -> str | None:
        """Look after it: gives a sentence where it has just died, starts it again when its pause is over."""
        now = time.monotonic()
        if self.process is None:
            if now >= self._due:
                self.start()
            return None
        status = self.process.poll()
        if status is None:
            return None
        self.process = None
        self.deaths += 1
        if now - self._started > _STEADY_S:
            self._pause_s = _FIRST_PAUSE_S
        self._due = now + self._pause_s
        told = (
            f"{self.name} ended ({_cause(status)}); it starts again in {self._pause_s:g} s. See {self.log}."
        )
        self._pause_s = min(self._pause_s * 2, _LONGEST_PAUSE_S)
        return told

    def ask_to_end(self) -> None:
        """Send it SIGTERM."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()

    def wait(self, deadline: float) -> None:
        """Wait until it has ended; after the deadline end it, and what it started, the hard way."""
        if self.process is None:
            return
        try:
            self.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.process = None


def end_all(children: Sequence[Child]) -> None:
    """Ask all children to end, and wait for them."""
    for child in children:
        child.ask_to_end()
    deadline = time.monotonic() + _FAREWELL_S
    for child in children:
        child.wait(deadline)


def python(module: str, *arguments: str) -> list[str]:
    """The command that runs one of our modules, whatever lies in the current folder."""
    return [sys.executable, "-P", "-m", module, *arguments]


def _die_with(parent: int) -> Callable[[], None]:
    """Ask Linux to end the child when we die, even of kill -9."""
    libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None

    def prepare() -> None:
        if libc is not None:
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != parent:
                os._exit(1)

    return prepare


def _turn_over(log: Path) -> None:
    """Keep one old log of a size that can be read."""
    if log.exists() and log.stat().st_size > _LOG_BYTES:
        log.replace(log.with_suffix(".old.log"))


def _cause(status: int) -> str:
    return f"signal {-status}" if status < 0 else f"status {status}"
