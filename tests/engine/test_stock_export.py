"""Exports: every digit as it is, passwords issued once, and never a part of a file under the right name."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import signal
import stat
import subprocess
import sys
import textwrap
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from sqlalchemy import text

from engine import settings
from engine.config import Keys
from engine.db import Database
from engine.errors import Conflict, EngineError, InvalidInput
from engine.schema import Card
from engine.stock import export, rows
from engine.stock.batches import BatchOrder, order_batch
from engine.stock.export import COLUMNS, Exported, export_batch, guarded
from engine.stock.sheet import write_sheet
from engine.stock.shredding import shred
from engine.vault import SealBroken, Vault
from tests import scenes
from tests.scenes import NOW, OPERATOR, USD

ROOT = Path(__file__).parents[2]


def issue(
    db: Database, vault: Vault, path: Path, format: str = "csv", name: str = "Dhaka 5", **more: Any
) -> Exported:
    return export_batch(db, vault, name, format, path, OPERATOR, NOW, **more)


def read(path: Path) -> list[list[str]]:
    """The rows of an exported file, the heading included, as a program of its kind reads them."""
    if path.suffix == ".xlsx":
        book = openpyxl.load_workbook(path, read_only=True)
        return [[str(cell.value or "") for cell in row] for row in book.worksheets[0].iter_rows()]
    delimiter = "," if path.suffix == ".csv" else "\t"
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file, delimiter=delimiter, strict=True))


def one(db: Database, query: str) -> Any:
    with db.begin() as session:
        return session.execute(text(query)).one()


@pytest.mark.parametrize("format", ["csv", "txt", "xlsx"])
def test_a_file_holds_every_card_with_every_digit(
    db: Database, vault: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str
) -> None:
    monkeypatch.setattr(rows, "CHUNK", 30)
    # So many that numbers and passwords with leading zeros are among them.
    cards = scenes.batch(db, vault, 200, "5.00", name="Dhaka 5", number_length=16)
    assert any(card.number.startswith("0") for card in cards)
    assert any(card.password.startswith("0") for card in cards)
    path = tmp_path / f"cards.{format}"
    issued = issue(db, vault, path, format)
    heading, *listed = read(path)
    assert heading == list(COLUMNS)
    assert heading[:5] == ["serial", "number", "password", "denomination", "currency"]
    assert listed == [
        [card.serial, card.number, card.password, "5.00", "USD", "", "90", "Dhaka 5"] for card in cards
    ]
    assert (issued.cards, issued.without_password, issued.path) == (200, 0, path)
    assert issued.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_in_a_sheet_every_cell_is_text(db: Database, vault: Vault, tmp_path: Path) -> None:
    scenes.batch(db, vault, 3, name="=1+1", number_length=20, number_prefix="00")
    issue(db, vault, tmp_path / "cards.xlsx", "xlsx", "=1+1")
    sheet = openpyxl.load_workbook(tmp_path / "cards.xlsx").worksheets[0]
    cells = [cell for row in sheet.iter_rows(min_row=2) for cell in row if cell.value is not None]
    assert len(cells) == 3 * 7
    assert {(cell.data_type, cell.number_format) for cell in cells} == {("s", "@")}
    assert sheet["H2"].value == "=1+1"
    assert sheet["B2"].value.startswith("00")


def test_a_name_that_a_spreadsheet_would_run_is_quoted_in_text_files(
    db: Database, vault: Vault, tmp_path: Path
) -> None:
    name = '=HYPERLINK("http://x","y")'
    card = scenes.card(db, vault, name=name)
    for form in ("csv", "txt"):
        issue(db, vault, tmp_path / f"cards.{form}", form, name, again=True, reason="test")
        row = read(tmp_path / f"cards.{form}")[1]
        assert row[0] == card.serial
        assert row[-1] == f"'{name}"


@pytest.mark.parametrize(
    ("given", "kept"),
    [("=1", "'=1"), ("+1", "'+1"), ("-1", "'-1"), ("@x", "'@x"), ("\tx", "'\tx"), ("\rx", "'\rx")],
)
def test_what_begins_a_formula_is_guarded(given: str, kept: str) -> None:
    assert guarded(given) == kept
    assert guarded("Dhaka = 5") == "Dhaka = 5"


def test_the_last_day_is_that_of_the_operators_zone(db: Database, vault: Vault, tmp_path: Path) -> None:
    with db.begin() as session:
        settings.put(session, "zone", "America/Lima")
    scenes.card(db, vault, name="Dhaka 5", validity_from="generation", validity_days=10)
    issue(db, vault, tmp_path / "cards.csv")
    assert read(tmp_path / "cards.csv")[1][5:7] == ["2026-11-30", ""]


def test_passwords_are_issued_once_and_again_only_with_a_reason(
    db: Database, vault: Vault, tmp_path: Path
) -> None:
    scenes.card(db, vault, name="Dhaka 5")
    first, second = tmp_path / "first.csv", tmp_path / "second.csv"
    issue(db, vault, first)
    with pytest.raises(Conflict, match="already_issued") as refusal:
        issue(db, vault, second)
    assert refusal.value.data["at"] == NOW
    for reason in (None, "", "  "):
        with pytest.raises(InvalidInput, match="reason_missing"):
            issue(db, vault, second, again=True, reason=reason)
    assert not second.exists()
    issue(db, vault, second, again=True, reason="the printer ate it")
    assert second.read_bytes() == first.read_bytes()
    with db.begin() as session:
        runs = session.execute(text("SELECT * FROM export_run ORDER BY id")).all()
        told = session.execute(text("SELECT * FROM audit WHERE action = 'batch.export' ORDER BY id")).all()
    assert [(run.with_passwords, run.cards, run.reason) for run in runs] == [
        (True, 1, None),
        (True, 1, "the printer ate it"),
    ]
    assert [run.sha256.hex() for run in runs] == [row.data["sha256"] for row in told]
    assert [row.reason for row in told] == [None, "the printer ate it"]


def test_a_list_without_passwords_may_be_had_at_any_time(db: Database, vault: Vault, tmp_path: Path) -> None:
    card = scenes.card(db, vault, name="Dhaka 5")
    issue(db, vault, tmp_path / "cards.csv")
    shred(db, "Dhaka 5", OPERATOR, NOW)
    for form in ("csv", "xlsx"):
        same = [issue(db, vault, tmp_path / f"list.{form}", form, with_passwords=False) for _ in range(2)]
        assert same[0].sha256 == same[1].sha256
    assert read(tmp_path / "list.csv")[1][:4] == [card.serial, card.number, "", "5.00"]


def test_of_two_that_issue_at_once_one_gets_the_passwords(
    db: Database, vault: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "CHUNK", 10)
    scenes.batch(db, vault, 300, name="Dhaka 5")

    def go(at: int) -> str:
        try:
            return issue(db, vault, tmp_path / f"cards-{at}.csv").sha256
        except Conflict as refusal:
            return refusal.code

    with ThreadPoolExecutor(4) as pool:
        endings = list(pool.map(go, range(4)))
    assert endings.count("already_issued") == 3
    assert len(list(tmp_path.iterdir())) == 1
    assert one(db, "SELECT count(*) AS n FROM export_run").n == 1


def test_a_password_that_was_reset_is_left_empty(db: Database, vault: Vault, tmp_path: Path) -> None:
    cards = scenes.batch(db, vault, 3, name="Dhaka 5")
    with db.begin() as session:
        session.get_one(Card, cards[1].id).sealed = None
    assert issue(db, vault, tmp_path / "cards.csv").without_password == 1
    passwords = [row[2] for row in read(tmp_path / "cards.csv")[1:]]
    assert passwords == [cards[0].password, "", cards[2].password]


def test_what_cannot_be_exported_is_refused_and_leaves_no_file(
    db: Database, vault: Vault, tmp_path: Path
) -> None:
    scenes.card(db, vault, name="Shredded")
    shred(db, "Shredded", OPERATOR, NOW)
    order_batch(db, vault, BatchOrder("Unready", 1, USD("5"), "USD", "Standard"), OPERATOR, NOW)
    path = tmp_path / "cards.csv"
    for name, code in (("Shredded", "batch_shredded"), ("Unready", "batch_not_ready")):
        with pytest.raises(Conflict, match=code):
            issue(db, vault, path, name=name)
    with pytest.raises(InvalidInput, match="unknown_format"):
        issue(db, vault, path, "pdf", "Shredded")
    with pytest.raises(InvalidInput, match="not_a_file"):
        issue(db, vault, tmp_path, name="Shredded")
    with pytest.raises(EngineError, match="batch_not_found"):
        issue(db, vault, path, name="Nobody")
    assert list(tmp_path.iterdir()) == []
    assert one(db, "SELECT count(*) AS n FROM export_run").n == 0


def test_a_folder_that_is_not_there_costs_no_issue(db: Database, vault: Vault, tmp_path: Path) -> None:
    scenes.card(db, vault, name="Dhaka 5")
    with pytest.raises(FileNotFoundError):
        issue(db, vault, tmp_path / "nowhere" / "cards.csv")
    issue(db, vault, tmp_path / "cards.csv")


def test_an_older_file_is_replaced_whole(db: Database, vault: Vault, tmp_path: Path) -> None:
    card = scenes.card(db, vault, name="Dhaka 5")
    path = tmp_path / "cards.csv"
    path.write_text("something old\n" * 1000)
    issue(db, vault, path)
    assert [row[0] for row in read(path)] == ["serial", card.serial]


def test_a_seal_that_cannot_be_opened_leaves_nothing_behind(
    db: Database, vault: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "CHUNK", 10)
    cards = scenes.batch(db, vault, 100, name="Dhaka 5")
    with db.begin() as session:
        half_way, other = session.get_one(Card, cards[50].id), session.get_one(Card, cards[51].id)
        # A seal is bound to its card: that of another one doesn't fit.
        half_way.sealed = other.sealed
    with pytest.raises(SealBroken, match="seal_broken"):
        issue(db, vault, tmp_path / "cards.csv")
    assert list(tmp_path.iterdir()) == []
    assert one(db, "SELECT count(*) AS n FROM export_run").n == 0


CHILD = """
    import resource, signal, sys
    from datetime import UTC, datetime
    from pathlib import Path
    from engine.actor import SYSTEM
    from engine.config import Keys
    from engine.db import Database
    from engine.stock import export, rows
    from engine.vault import Vault

    url, pepper, master, path, format, size, ending = sys.argv[1:]
    rows.CHUNK = 100
    db, vault = Database(url), Vault(Keys({1: bytes.fromhex(pepper)}, {1: bytes.fromhex(master)}, b""))
    # A file may not grow further than this: the system ends the process there, or its write fails as on a full disk.
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(size), int(size)))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL if ending == "killed" else signal.SIG_IGN)
    export.export_batch(db, vault, "Dhaka 5", format, Path(path), SYSTEM, datetime(2026, 11, 20, tzinfo=UTC))
"""


@pytest.mark.parametrize("format", ["csv", "xlsx"])
@pytest.mark.parametrize("ending", ["killed", "disk full"])
def test_cut_at_half_an_export_leaves_no_file_and_the_next_one_is_the_first(
    db: Database, database_url: str, keys: Keys, vault: Vault, tmp_path: Path, format: str, ending: str
) -> None:
    cards = scenes.batch(db, vault, 2000, name="Dhaka 5")
    whole = tmp_path / f"whole.{format}"
    issue(db, vault, whole, format, with_passwords=False)
    # With passwords it is longer; half of that is well past the first blocks of rows.
    size, path = whole.stat().st_size // 2, tmp_path / f"cards.{format}"
    whole.unlink()
    given = [database_url, keys.peppers[1].hex(), keys.masters[1].hex(), str(path), format, str(size), ending]
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(CHILD), *given], cwd=ROOT, capture_output=True, check=False
    )
    left = list(tmp_path.iterdir())
    if ending == "killed":
        assert ended.returncode == -signal.SIGXFSZ, ended.stderr
        assert [part.name.endswith(".cardtone-part") for part in left] == [True]
        assert left[0].stat().st_size == size
        assert stat.S_IMODE(left[0].stat().st_mode) == 0o600
    else:
        assert ended.returncode == 1
        assert b"File too large" in ended.stderr
        assert left == []
    assert one(db, "SELECT count(*) AS n FROM export_run WHERE with_passwords").n == 0

    issue(db, vault, path, format)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    assert [row[:3] for row in read(path)[1:]] == [[c.serial, c.number, c.password] for c in cards]


def test_what_another_export_is_writing_is_left_alone(db: Database, vault: Vault, tmp_path: Path) -> None:
    scenes.card(db, vault, name="Dhaka 5")
    with export.private_part(tmp_path / "other.csv") as (part, _):
        issue(db, vault, tmp_path / "cards.csv")
        assert part.exists()
    assert [entry.name for entry in tmp_path.iterdir()] == ["cards.csv"]


def test_a_sheet_keeps_every_character_that_it_can_hold() -> None:
    given = ["<a&b>", " space ", "Ελλάδα €", '"quoted"', "new\nline", "😀", "", "=1+1", "\t"]
    file = io.BytesIO()
    write_sheet(file, [f"c{at}" for at in range(len(given))], [[given, given], [["bell\x07"]]])
    with zipfile.ZipFile(file) as archive:
        assert archive.testzip() is None
    rows = list(openpyxl.load_workbook(file).worksheets[0].iter_rows(values_only=True))
    assert [value or "" for value in rows[1]] == given
    assert rows[1] == rows[2]
    assert rows[3][0] == "bell"


def test_a_sheet_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.stock.sheet.MOST_ROWS", 3)
    write_sheet(io.BytesIO(), ["c"], [[["1"], ["2"]]])
    with pytest.raises(ValueError, match="too many rows"):
        write_sheet(io.BytesIO(), ["c"], [[["1"], ["2"]], [["3"]]])


def test_files_stay_readable_by_their_owner_alone_whatever_the_umask(
    db: Database, vault: Vault, tmp_path: Path
) -> None:
    scenes.card(db, vault, name="Dhaka 5")
    before = os.umask(0)
    try:
        issue(db, vault, tmp_path / "cards.csv", name="Dhaka 5")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "cards.csv").stat().st_mode) == 0o600
    assert one(db, "SELECT issued_at FROM export_run").issued_at == NOW


def test_a_file_that_cannot_get_its_name_is_recorded_and_removed(
    db: Database, vault: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenes.card(db, vault, name="Dhaka 5")
    path = tmp_path / "cards.csv"
    replace = os.replace

    def in_the_way(part: Path, target: Path) -> None:
        target.mkdir()
        replace(part, target)

    monkeypatch.setattr(os, "replace", in_the_way)
    with pytest.raises(EngineError, match="export_not_placed"):
        issue(db, vault, path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["cards.csv"]
    assert path.is_dir()
    assert one(db, "SELECT count(*) AS n FROM export_run").n == 1
