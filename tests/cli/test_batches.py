"""`cardtone batches` as an operator types it."""

from __future__ import annotations

import csv
import json
import stat
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import openpyxl
import pyrage
import pytest
from pyrage import x25519
from sqlalchemy import text

from engine import work
from engine.actor import CONSOLE
from engine.db import Database
from engine.stock import generation, templates
from engine.stock.forms import Form
from engine.stock.numbers import SpaceFull
from tests import scenes

from .conftest import Cardtone, Ran

ORDER = ("--denomination", "5.00", "--currency", "USD", "--deck", "Standard")


@pytest.fixture
def deck(db: Database) -> None:
    scenes.deck(db)


def create(cardtone: Cardtone, *more: str, name: str = "Dhaka 5", count: int = 20) -> Ran:
    return cardtone("batches", "create", "--name", name, "--count", str(count), *ORDER, *more)


def one(db: Database, query: str) -> Any:
    with db.begin() as session:
        return session.execute(text(query)).one()


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.usefixtures("deck")
def test_create_makes_the_cards_itself_and_says_so(cardtone: Cardtone, db: Database) -> None:
    ran = create(cardtone)
    assert (ran.status, ran.err) == (0, "")
    batch = one(db, "SELECT * FROM batch")
    assert ran.out.splitlines() == [
        f"Dhaka 5: 20 cards ready, serials {scenes.serial_of(batch.first_id)} to {scenes.serial_of(batch.last_id)}.",
        "One blind guess in 5,000,000,000,000,000,000 finds a card.",
    ]
    assert batch.ready_at is not None
    assert one(db, "SELECT count(*) AS n FROM card").n == 20
    assert one(db, "SELECT state FROM work").state == "done"


@pytest.mark.usefixtures("deck")
def test_every_option_reaches_the_batch(cardtone: Cardtone, db: Database) -> None:
    ran = create(
        cardtone,
        *("--prefix", "88", "--number-length", "14", "--luhn", "--password-length", "6"),
        *("--validity-days", "30", "--validity-from", "generation", "--first-use", "answered-call"),
        *(
            "--grace-days",
            "10",
            "--extension-days",
            "60",
            "--binding",
            "multi:3",
            "--no-auto-bind",
            "--pinless",
        ),
        *("--concurrency", "2", "--rules", "No bars", "--post-call-fee", "0.01"),
        *(
            "--maintenance-fee",
            "0.5",
            "--maintenance-days",
            "7",
            "--language",
            "bn",
            "--release",
            "activation",
        ),
        "--json",
    )
    assert ran.status == 0
    batch = one(db, "SELECT * FROM batch JOIN destination_rules r ON r.id = destination_rules_id")
    assert (batch.number_prefix, batch.number_length, batch.luhn, batch.password_length) == (
        "88",
        14,
        True,
        6,
    )
    assert (batch.validity_days, batch.validity_from, batch.first_use) == (30, "generation", "answered_call")
    assert (batch.grace_days, batch.extension_days, batch.concurrency) == (10, 60, 2)
    assert (batch.binding, batch.max_bound, batch.auto_bind, batch.pinless) == ("multi", 3, False, True)
    assert (batch.post_call_fee, batch.maintenance_fee, batch.maintenance_days) == (10_000, 500_000, 7)
    assert (batch.language, batch.release, batch.created_by) == ("bn", "activation", "console")
    assert (
        one(db, "SELECT r.name FROM batch JOIN destination_rules r ON r.id = destination_rules_id").name
        == "No bars"
    )
    assert ran.json["state"] == "ready"
    assert (ran.json["count"], ran.json["denomination"], ran.json["currency"]) == (20, "5.00", "USD")
    assert ran.json["guesses_per_hit"] == str(10**11 * 10**6 // 20)


@pytest.mark.usefixtures("deck")
def test_a_batch_without_end_of_vouchers_or_in_a_range(cardtone: Cardtone, db: Database) -> None:
    assert create(cardtone, "--validity-days", "none").status == 0
    assert one(db, "SELECT validity_days FROM batch").validity_days is None
    vouchers = ("--denomination", "10", "--currency", "EUR", "--kind", "voucher")
    assert cardtone("batches", "create", "--name", "Vouchers", "--count", "3", *vouchers).status == 0
    ran = create(cardtone, "--first", "770000", "--last", "770009", name="Range", count=10)
    assert ran.status == 0
    assert ran.err.splitlines() == [
        "Take care: Card numbers with fewer than 12 digits are easier to guess.",
        "Take care: More than one in 1,000 numbers of the range is a card, which makes them easy to guess.",
    ]
    found = one(
        db, "SELECT count(*) AS n FROM card WHERE number BETWEEN '770000' AND '770009' AND length(number) = 6"
    )
    assert found.n == 10


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--count", "0"], "The count must be at least 1."),
        (["--count", "-5"], "The count must be at least 1."),
        (["--count", "1000000000"], "The count must be at most 1,000,000."),
        (["--count", "1e9"], "Invalid value for '--count': “1e9” is not a whole number."),
        (["--count", "１２"], "Invalid value for '--count': “１２” is not a whole number."),
        (["--count", "1_000"], "Invalid value for '--count': “1_000” is not a whole number."),
        (
            ["--denomination", "1,50"],
            "Write the denomination with a point for the decimals, not a comma: 1,50.",
        ),
        (["--denomination", "-5"], "The denomination can't be negative: -5."),
        (["--denomination", "NaN"], "The denomination is not a plain number: NaN."),
        (["--denomination", "0.00000005"], "The denomination has more than six decimals: 0.00000005."),
        (
            ["--denomination", "1" + "0" * 30],
            "The denomination is too large: 1000000000000000000000000000000.",
        ),
        (["--validity-days", "-1"], "The validity days must be at least 1."),
        (["--prefix", "880000000000"], "The prefix leaves no digits free in numbers of 12."),
        (
            ["--binding", "multi"],
            "Invalid value for '--binding': “multi” is not none, single or multi:N, such as multi:3.",
        ),
        (["--binding", "multi:0"], "Say how many callers a card may be bound to."),
        (["--deck", "Nowhere"], "There is no deck named Nowhere."),
        (["--currency", "EUR"], "The deck is in USD and not in EUR; choose another deck or currency."),
        (["--name", "Dha\u200bka"], "The name holds an invisible character (U+200B); type it again without."),
        (["--name", "\u202ekcabd"], "The name holds an invisible character (U+202E); type it again without."),
    ],
)
@pytest.mark.usefixtures("deck")
def test_a_bad_order_is_one_sentence_and_leaves_nothing(
    cardtone: Cardtone, db: Database, more: list[str], sentence: str
) -> None:
    ran = create(cardtone, *more)
    assert (ran.status, ran.out, ran.err) == (1, "", f"{sentence}\n")
    assert one(db, "SELECT count(*) AS n FROM batch").n == 0


@pytest.mark.usefixtures("deck")
def test_a_space_that_would_be_too_full_is_refused(cardtone: Cardtone) -> None:
    ran = create(cardtone, "--number-length", "6", count=1001)
    assert (ran.status, ran.out) == (1, "")
    assert ran.err == (
        "1,001 cards would fill too much of these numbers, which makes them easy to guess; there is room for 1,000. "
        "Use longer numbers or a shorter prefix.\n"
    )


@pytest.mark.usefixtures("deck")
def test_a_failed_batch_says_why_and_can_be_resumed_or_discarded(
    cardtone: Cardtone, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert create(cardtone, "--no-wait").status == 0
    claimed = work.claim(db, "test", ["generate"], datetime.now(UTC))
    assert claimed is not None
    work.fail(db, claimed, SpaceFull("space_full", free=1, wanted=20), datetime.now(UTC))
    assert cardtone("batches", "list", "--json").json["batches"][0]["state"] == "failed"
    ran = cardtone("batches", "resume", "Dhaka 5")
    assert (ran.status, ran.out) == (0, "Dhaka 5: 20 cards ready.\n")
    assert (
        cardtone("batches", "discard", "Dhaka 5", "--yes").err
        == "The batch Dhaka 5 is ready; it can't be discarded.\n"
    )

    assert create(cardtone, "--no-wait", name="Mistake").status == 0
    ran = cardtone("batches", "discard", "Mistake", "--yes", "--reason", "wrong deck")
    assert (ran.status, ran.out) == (0, "Mistake is discarded.\n")
    assert cardtone("batches", "resume", "Mistake").err == "The batch Mistake was discarded.\n"


@pytest.mark.usefixtures("deck")
def test_another_process_that_makes_the_cards_is_waited_for(
    cardtone: Cardtone, db: Database, vault: Any
) -> None:
    taken = threading.Event()

    def work_elsewhere() -> None:
        while (claimed := work.claim(db, "elsewhere", ["generate"], datetime.now(UTC))) is None:
            taken.wait(0.01)
        taken.set()
        # It dies without a word; its lease is over at once.
        work.extend(db, claimed, datetime.now(UTC), lease_s=0)

    elsewhere = threading.Thread(target=work_elsewhere)
    elsewhere.start()
    ran = create(cardtone)
    elsewhere.join()
    assert taken.is_set()
    assert ran.status == 0
    assert one(db, "SELECT count(*) AS n FROM card").n == 20


@pytest.mark.usefixtures("deck")
def test_list_and_show_tell_what_there_is(cardtone: Cardtone) -> None:
    assert cardtone("batches", "list").out == "There is no batch yet.\n"
    assert create(cardtone, "--prefix", "88").status == 0
    assert create(cardtone, "--no-wait", name="Later").status == 0
    lines = cardtone("batches", "list").out.splitlines()
    assert lines[0].split() == ["Batch", "State", "Cards", "Value", "Deck", "Made", "By"]
    assert lines[1].startswith("Later    waiting     20  USD 5.00  Standard")
    assert lines[2].startswith("Dhaka 5  ready       20  USD 5.00  Standard")
    found = cardtone("batches", "list", "--json").json["batches"]
    assert [(batch["name"], batch["state"], batch["generated"]) for batch in found] == [
        ("Later", "queued", 0),
        ("Dhaka 5", "ready", 20),
    ]
    shown = cardtone("batches", "show", "Dhaka 5")
    assert "  Numbers         12 digits, begin with 88" in shown.out.splitlines()
    data = cardtone("batches", "show", "Dhaka 5", "--json").json
    assert (data["number_prefix"], data["passwords_sealed"], data["validity_days"]) == ("88", True, 90)
    assert cardtone("batches", "show", "Nobody").err == "There is no batch named Nobody.\n"


@pytest.mark.usefixtures("deck")
def test_export_hands_the_passwords_out_once(cardtone: Cardtone, tmp_path: Path) -> None:
    create(cardtone)
    path = tmp_path / "cards.csv"
    ran = cardtone("batches", "export", "Dhaka 5", "--format", "csv", "--out", str(path))
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.splitlines()[0] == f"{path}: 20 cards of Dhaka 5 with passwords."
    rows = rows_of(path)
    assert list(rows[0])[:5] == ["serial", "number", "password", "denomination", "currency"]
    assert len({row["number"] for row in rows}) == 20
    assert {(len(row["number"]), len(row["password"]), row["denomination"]) for row in rows} == {
        (12, 8, "5.00")
    }
    assert stat.S_IMODE(path.stat().st_mode) == 0o600

    again = cardtone("batches", "export", "Dhaka 5", "--format", "csv", "--out", str(tmp_path / "two.csv"))
    assert again.status == 1
    assert again.err.startswith("The passwords of the batch Dhaka 5 were exported on ")
    assert cardtone("batches", "export", "Dhaka 5", "--out", str(path), "--again").err == "Say why.\n"
    more = ("--again", "--reason", "lost", "--json")
    data = cardtone(
        "batches", "export", "Dhaka 5", "--format", "xlsx", "--out", str(tmp_path / "c.xlsx"), *more
    ).json
    assert (data["cards"], data["format"], data["with_passwords"]) == (20, "xlsx", True)
    sheet = openpyxl.load_workbook(tmp_path / "c.xlsx").worksheets[0]
    assert [[cell.value for cell in row[:3]] for row in sheet.iter_rows(min_row=2)] == [
        [row["serial"], row["number"], row["password"]] for row in rows
    ]
    assert not (tmp_path / "two.csv").exists()


@pytest.mark.usefixtures("deck")
def test_shredded_passwords_cannot_be_exported_but_the_list_can(cardtone: Cardtone, tmp_path: Path) -> None:
    create(cardtone)
    out = ("--out", str(tmp_path / "cards.csv"))
    assert cardtone("batches", "shred", "Dhaka 5", "--yes", "--reason", "printed").status == 0
    refused = cardtone("batches", "export", "Dhaka 5", *out)
    assert refused.err == "The passwords of the batch Dhaka 5 were shredded; nobody can read them any more.\n"
    assert cardtone("batches", "export", "Dhaka 5", "--without-passwords", *out).status == 0
    assert {row["password"] for row in rows_of(tmp_path / "cards.csv")} == {""}


@pytest.mark.usefixtures("deck")
def test_an_export_to_nowhere_is_one_sentence(cardtone: Cardtone, tmp_path: Path) -> None:
    create(cardtone)
    ran = cardtone("batches", "export", "Dhaka 5", "--out", str(tmp_path / "no" / "cards.csv"))
    assert ran.status == 1
    assert ran.err.endswith("No such file or directory.\n")
    assert len(ran.err.splitlines()) == 1


@pytest.mark.usefixtures("deck")
def test_ranges_are_activated_held_back_and_marked(cardtone: Cardtone, db: Database) -> None:
    told = create(cardtone, "--release", "activation", "--json").json
    whole = ("--from", told["first_serial"], "--to", told["last_serial"])
    assert cardtone("batches", "printed", *whole).out == "20 cards printed.\n"
    assert cardtone("batches", "shipped", *whole).out == "20 cards shipped.\n"
    assert cardtone("batches", "sold", "--from", told["first_serial"]).out == "1 card sold.\n"
    assert cardtone("batches", "activate", "--from", told["first_serial"]).out == "1 card activated.\n"
    told_of = "19 cards activated; 1 left as they were: 1 released already.\n"
    assert cardtone("batches", "activate", *whole).out == told_of
    data = cardtone("batches", "hold-back", *whole, "--reason", "recall", "--json").json
    range_ = {"from": told["first_serial"], "to": told["last_serial"]}
    assert data == {**range_, "changed": 20, "left": 0, "why": {}, "batches": [told["name"]]}
    facts = one(
        db,
        "SELECT count(printed_at) AS printed, count(shipped_at) AS shipped, count(sold_at) AS sold,"
        " count(released_at) AS released FROM card",
    )
    assert tuple(facts) == (20, 20, 1, 0)
    ran = cardtone("batches", "sold", "--from", told["first_serial"], "--to", "12345678901")
    assert (ran.status, ran.out) == (1, "")


OLD = """Card Number,PIN,Balance,Expiry,Status
400000000001,012345,5.00,2030-12-31,active
400000000002,987654,2.50,,blocked
"""


@pytest.mark.usefixtures("deck")
def test_cards_of_an_older_system_are_looked_at_and_then_imported(
    cardtone: Cardtone, db: Database, tmp_path: Path
) -> None:
    path = tmp_path / "old.csv"
    path.write_text(OLD)
    given = ("batches", "import", str(path), "--name", "Old", "--currency", "USD", "--deck", "Standard")
    looked = cardtone(*given, "--dry-run")
    assert looked.status == 0
    assert "number    Card Number" in looked.out.splitlines()
    assert looked.out.splitlines()[-1] == (
        "Nothing was changed. An import would bring 2 cards worth USD 7.50 (1 active, 1 locked)."
    )
    assert "400000000001" not in looked.out
    assert "012345" not in looked.out
    assert one(db, "SELECT count(*) AS n FROM card").n == 0
    done = cardtone(*given)
    assert done.status == 0
    assert done.out.startswith("Old: 2 cards worth USD 7.50 (1 active, 1 locked), serials ")
    assert one(db, "SELECT count(*) AS n FROM card").n == 2
    again = cardtone(*given[:4], "Again", *given[5:], "--json")
    assert again.status == 1
    assert [problem["message"] for problem in again.json["problems"]] == [
        "Line 2, Card Number: a card with this number exists already.",
        "Line 3, Card Number: a card with this number exists already.",
    ]
    assert json.loads(again.err)["message"] == "Nothing was imported: 2 problems in old.csv."


def test_the_work_of_a_command_leaves_no_log_on_its_output(
    cardtone: Cardtone, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenes.deck(db)

    def broken(*_: Any) -> None:
        raise RuntimeError("secret 12345678")

    monkeypatch.setitem(work.HANDLERS, generation.GENERATE, broken)
    ran = create(cardtone, "--json")
    assert (ran.status, ran.out) == (1, "")
    assert "12345678" not in ran.err
    assert json.loads(ran.err.splitlines()[-1])["message"].startswith("Something went wrong inside Cardtone")


@pytest.mark.usefixtures("deck")
def test_a_file_by_a_template_for_an_age_recipient(cardtone: Cardtone, db: Database, tmp_path: Path) -> None:
    assert cardtone("batches", "templates").out == "There is no export template; the console makes them.\n"
    form = Form(columns=("serial", "password"), delimiter=";", header=False)
    templates.add(db, "Printer", form, CONSOLE, datetime.now(UTC))
    assert cardtone("batches", "templates", "--json").json["templates"][0]["columns"] == [
        "serial",
        "password",
    ]
    create(cardtone, count=3)
    identity = x25519.Identity.generate()
    path = tmp_path / "cards.age"
    given = ("batches", "export", "Dhaka 5", "--out", str(path), "--template", "Printer")
    assert "not an age recipient" in cardtone(*given, "--recipient", "age1nobody").err
    assert cardtone(*given, "--recipient", str(identity.to_public())).status == 0
    lines = pyrage.decrypt(path.read_bytes(), [identity]).decode().splitlines()
    assert [len(line) for line in lines] == [11 + 1 + 8] * 3
    assert cardtone("batches", "stop", "Dhaka 5").status == 1  # ready already
    assert "no export template" in cardtone(*given[:-1], "Nobody").err
