"""A command begins no installation by the way."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli import main


def test_a_command_from_another_folder_makes_no_second_installation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("CARDTONE_DATABASE_URL", "CARDTONE_HOME", "CARDTONE_ENV"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["switches", "list"])
    assert ended.value.code == 1
    assert "There is no installation in" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
