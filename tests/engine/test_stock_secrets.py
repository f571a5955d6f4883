"""No password in the clear, in nothing that generation and export write: data files, write-ahead log, logs, leftovers.

On a server of its own, whose files are read as they lie on the disk.
"""

from __future__ import annotations

import base64
import io
import json
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import make_url
from werkzeug.test import TestResponse

from engine import embedded, migrations
from engine.config import Config
from engine.db import Database
from engine.embedded.place import find_place
from engine.people.switches import SwitchIdentity, rotate_key
from engine.refusal import Refusal
from engine.stock.export import export_batch
from engine.stock.shredding import shred
from engine.vault import Vault
from portal import create_app
from portal.installation import installation as installation_of_app
from tests import scenes
from tests.proof import scaled
from tests.scenes import NOW, OPERATOR

ROOT = Path(__file__).parents[2]
DIGITS = 18
"""Passwords so long that none of them stands in a file by chance."""


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Config, Database, Vault]]:
    config = Config(home=tmp_path_factory.mktemp("secrets") / "home")
    with embedded.running(config) as url:
        migrations.upgrade(url, datetime.now(UTC))
        db = Database(url)
        yield config, db, Vault(config.load_keys())
        db.close()
    embedded.remove(config)


def checkpoint(config: Config, db: Database) -> None:
    """Bring every page of the database to its file, as its administrator."""
    admin = (config.keys_dir / "postgres-admin").read_text().strip()
    url = make_url(db.url).set(username="postgres", password=admin)
    with psycopg.connect(url.render_as_string(hide_password=False), autocommit=True) as conn:
        conn.execute("CHECKPOINT")


def runs_of_digits(data: bytes) -> Iterator[bytes]:
    """Every run of digits that is long enough to hold a password: as it stands, in hex, in base64 at any offset."""
    yield from re.findall(rb"[0-9]{%d,}" % DIGITS, data)
    for run in re.findall(rb"(?:3[0-9]){%d,}" % DIGITS, data):
        yield bytes.fromhex(run.decode())
    for run in re.findall(rb"[A-Za-z0-9+/_-]{%d,}" % (DIGITS * 4 // 3), data):
        plain = run.replace(b"-", b"+").replace(b"_", b"/")
        for start in range(4):
            part = plain[start:]
            whole = part + b"A" * (-len(part) % 4)
            yield from re.findall(rb"[0-9]{%d,}" % DIGITS, base64.b64decode(whole))


def passwords_in(data: bytes, passwords: set[bytes]) -> set[bytes]:
    return {
        run[at : at + DIGITS]
        for run in runs_of_digits(data)
        for at in range(len(run) - DIGITS + 1)
        if run[at : at + DIGITS] in passwords
    }


def files_under(*folders: Path) -> Iterator[tuple[Path, bytes]]:
    for folder in folders:
        for path in folder.rglob("*"):
            if path.is_file() and not path.is_symlink():
                yield path, path.read_bytes()


@pytest.mark.parametrize("wrapped", ["{}", "x{}x", "hex", "base64", "base64url"])
def test_the_search_finds_a_password_however_it_is_written(wrapped: str) -> None:
    secret = b"012345678998765432"
    written = {
        "hex": secret.hex().encode(),
        "base64": base64.b64encode(b"ab" + secret + b"c"),
        "base64url": b"=" + base64.urlsafe_b64encode(b"\xff\xfe" + secret),
    }.get(wrapped, wrapped.encode().replace(b"{}", secret))
    assert passwords_in(b"\0noise " + written + b"\0", {secret}) == {secret}


def test_no_password_stands_anywhere_in_the_clear(
    installation: tuple[Config, Database, Vault], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    config, db, vault = installation
    count = scaled(10_000, 1_000)
    cards = scenes.batch(db, vault, count, name="Secret", password_length=DIGITS)
    line = scenes.Line(db, vault, scenes.switch(db))
    assert not isinstance(line.authenticate(cards[0]), Refusal)
    assert line.authenticate(cards[1].with_password(cards[2].password)) == Refusal("bad_credentials")
    use_over_http(config, db, cards, line.switch)
    issued = tmp_path / "issued"
    issued.mkdir()
    for form in ("csv", "txt", "xlsx"):
        path = issued / f"cards.{form}"
        export_batch(db, vault, "Secret", form, path, OPERATOR, NOW, again=True, reason="test")
    checkpoint(config, db)

    passwords = {card.password.encode() for card in cards}
    assert len(passwords) == count
    # What is looked for can be found: the file that was issued holds them all.
    assert passwords_in((issued / "cards.csv").read_bytes(), passwords) == passwords
    data = find_place(config.home).data
    seen = 0
    for path, found in files_under(data, config.home):
        seen += len(found)
        assert passwords_in(found, passwords) == set(), path
    assert seen > 30_000_000, "the data files and the log are there"
    assert [path.name for path in issued.iterdir() if path.suffix not in (".csv", ".txt", ".xlsx")] == []
    out, err = capfd.readouterr()
    assert passwords_in((out + err).encode(), passwords) == set()


def use_over_http(config: Config, db: Database, cards: list[scenes.TestCard], switch: SwitchIdentity) -> None:
    """Right and wrong passwords, a call, a broken body and a password typed into the wrong page, all logged."""
    key = rotate_key(db, switch.name, OPERATOR, NOW).value
    app = create_app(replace(config, database_url=db.url, log_level="debug"))
    client = app.test_client()

    def post(path: str, body: Any) -> TestResponse:
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return client.post(f"/api/v1/{path}", data=data, headers=headers)

    right = {"card_number": cards[3].number, "password": cards[3].password}
    wrong = {"card_number": cards[3].number, "password": cards[4].password}
    assert post("authenticate", wrong).json == {"outcome": "refused", "reason": "bad_credentials"}
    assert post("authenticate", right).json["outcome"] == "ok"
    call = {**right, "call_ref": "secret", "destination": scenes.BANGLADESH}
    assert post("calls", call).json["outcome"] == "ok"
    assert post("calls/secret/end", {"duration_seconds": 1}).json["outcome"] == "ok"
    assert post("authenticate", json.dumps(right).encode()[:-1]).status_code == 400
    assert post("authenticate", {**right, "pin": cards[5].password}).status_code == 422
    assert post(f"calls/{cards[6].password}/end", {"password": cards[6].password}).status_code == 422
    assert client.post("/log-in", data={"login": "admin", "password": cards[7].password}).status_code == 403
    assert client.get(f"/cards/{cards[8].password}").status_code in (302, 303, 404)
    with app.app_context():
        installation_of_app().db.close()


def test_numbers_stand_in_their_column_and_nowhere_else(
    installation: tuple[Config, Database, Vault], tmp_path: Path
) -> None:
    _, db, vault = installation
    cards = scenes.batch(db, vault, 500, name="Numbered", number_length=18)
    export_batch(db, vault, "Numbered", "csv", tmp_path / "cards.csv", OPERATOR, NOW)
    numbers = {card.number.encode() for card in cards}
    with db.raw() as conn:
        tables = conn.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        holding = {name for (name,) in tables if passwords_in(contents(conn, f"(TABLE {name})"), numbers)}
        assert holding == {"card"}
        without = "SELECT to_jsonb(card) - 'number' FROM card"
        assert passwords_in(contents(conn, f"({without})"), numbers) == set()


def contents(conn: psycopg.Connection[Any], source: str) -> bytes:
    """Every column of every row, as text."""
    data = io.BytesIO()
    with conn.cursor() as cursor, cursor.copy(f"COPY {source} TO STDOUT") as copy:
        for part in copy:
            data.write(part)
    return data.getvalue()


def test_a_shredded_key_does_not_stay_behind_in_its_tables_file(
    installation: tuple[Config, Database, Vault],
) -> None:
    config, db, vault = installation
    scenes.card(db, vault, name="Shredded")
    scenes.card(db, vault, name="Kept")
    with db.connection() as conn:
        query = "SELECT b.name, wrapped FROM batch_key JOIN batch b ON b.id = batch_id"
        keys: dict[str, bytes] = dict(tuple(row) for row in conn.execute(query))
    assert places_of(config, db, keys["Shredded"])
    shred(db, "Shredded", OPERATOR, NOW)
    assert places_of(config, db, keys["Shredded"]) == []
    assert places_of(config, db, keys["Kept"])


def places_of(config: Config, db: Database, wanted: bytes) -> list[Path]:
    """The files of tables that hold these bytes, free space and dead rows included."""
    checkpoint(config, db)
    return [path for path, data in files_under(find_place(config.home).data / "base") if wanted in data]


CRASH = """
    import sys
    from datetime import UTC, datetime
    from pathlib import Path
    from engine import work
    from engine.actor import SYSTEM
    from engine.config import Config, Keys
    from engine.db import Database
    from engine.stock import export, generation, imports
    from engine.stock.batches import BatchOrder
    from engine.vault import Vault

    config = Config(home=Path(sys.argv[1]))
    db, vault = Database(sys.argv[2]), Vault(config.load_keys())
    now = datetime(2026, 11, 20, tzinfo=UTC)
    data = b"number,password,balance\\n" + b"\\n".join(b"9%011d,012345678998765432,x" % n for n in range(5))
    imports.import_cards(db, vault, BatchOrder("Old", 1, 0, "USD", "Standard"), data, "old.csv", SYSTEM, now)
"""


def test_a_refused_import_that_nobody_catches_shows_no_password(
    installation: tuple[Config, Database, Vault],
) -> None:
    config, db, vault = installation
    scenes.card(db, vault, name="Makes the deck")
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(CRASH), str(config.home), db.url],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    assert ended.returncode == 1
    assert b"card_file_refused" in ended.stderr
    assert passwords_in(ended.stdout + ended.stderr, {b"012345678998765432"}) == set()
