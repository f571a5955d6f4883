"""Runs the command line in this process, on the test's own database."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cli.app import main


@dataclass(frozen=True)
class Ran:
    """What a command left behind."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON object that it printed."""
        return json.loads(self.out)


Cardtone = Callable[..., Ran]


@pytest.fixture
def cardtone(
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Cardtone]:
    """`cardtone("staff", "list")` runs that command and gives its status and output."""
    monkeypatch.setenv("CARDTONE_DATABASE_URL", database_url)
    monkeypatch.setenv("CARDTONE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("CARDTONE_ENV", raising=False)
    handler = signal.getsignal(signal.SIGTERM)

    def run(*arguments: str) -> Ran:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        shown = capsys.readouterr()
        return Ran(int(ended.value.code or 0), shown.out, shown.err)

    yield run
    signal.signal(signal.SIGTERM, handler)
