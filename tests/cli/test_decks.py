"""`cardtone decks` as an operator types it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select

from engine.db import Database
from engine.schema import AuditRow, Deck, DeckRateRow, DeckVersion
from engine.vault import Vault
from tests import scenes

from .conftest import Cardtone, Ran

SAMPLE = Path(__file__).parents[2] / "docs" / "sample-deck.csv"
SHEET = """Carrier Ltd,,,
Valid for all customers,,,
Dial code,Destination,Rate/min (USD),Increments
44,United Kingdom,0.0140,1/1
0044 7,"United Kingdom, mobile",0.0290,30/6
33,France,0,60/60
"""
BAD = "Code,Price\n44,0.01\n4.47E+11,0.02\n33,-0.01\n44,0.05\n"


@pytest.fixture
def sheet(tmp_path: Path) -> Path:
    path = tmp_path / "retail.csv"
    path.write_text(SHEET)
    return path


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    path = tmp_path / "bad.csv"
    path.write_text(BAD)
    return path


def bring(cardtone: Cardtone, path: Path, *more: str, name: str = "Retail", currency: str = "USD") -> Ran:
    return cardtone("decks", "import", str(path), "--name", name, "--currency", currency, *more)


def is_empty(db: Database) -> bool:
    with db.begin() as session:
        tables = (Deck, DeckVersion, DeckRateRow, AuditRow)
        return not any(session.scalar(select(func.count()).select_from(table)) for table in tables)


def test_a_dry_run_shows_columns_first_rates_and_how_the_file_was_read(
    cardtone: Cardtone, db: Database, sheet: Path
) -> None:
    ran = bring(cardtone, sheet, "--dry-run")
    assert (ran.status, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert "prefix            Dial code" in lines
    assert "price_per_minute  Rate/min (USD)" in lines
    assert "Prefix  Destination             Per minute  Connect  First  Then  Grace" in lines
    assert "447     United Kingdom, mobile      0.0290   0.0000   30 s   6 s    0 s" in lines
    assert "  The column names are on line 3; 2 lines above them were skipped." in lines
    assert next(line for line in lines if "0044 7" in line).endswith("such as “0044 7” to 447.")
    assert any(line.startswith("  Line 6, Rate/min (USD):") for line in lines)
    assert lines[-1].startswith(
        "Nothing was changed. An import would bring 3 rates for the new deck Retail in USD"
    )
    assert is_empty(db)


def test_an_import_tells_what_it_changed(cardtone: Cardtone, db: Database, sheet: Path) -> None:
    ran = bring(cardtone, sheet)
    assert ran.status == 0
    assert ran.out.splitlines()[-1].startswith(
        "Imported 3 rates for the new deck Retail in USD, in force from "
    )
    sheet.write_text(SHEET.replace("0.0290", "0.03").replace("33,France,0,", "34,Spain,0.01,"))
    ran = bring(cardtone, sheet)
    assert ran.out.splitlines()[-1] == "Prefixes: 1 added, 1 changed, 1 removed, 1 as before."
    assert "Take care" not in ran.out
    with db.begin() as session:
        rows = session.scalars(select(AuditRow).order_by(AuditRow.id)).all()
    assert [(row.action, row.actor, row.data["source"]) for row in rows] == [
        ("deck.import", "console", "retail.csv")
    ] * 2


def test_a_file_that_drops_most_of_the_deck_is_warned_about(cardtone: Cardtone, sheet: Path) -> None:
    bring(cardtone, sheet)
    sheet.write_text("".join(SHEET.splitlines(keepends=True)[:4]))
    ran = bring(cardtone, sheet, "--dry-run")
    assert "2 removed" in ran.out
    assert "Take care: most of the prefixes" in ran.out


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_refused_file_names_each_line_and_ends_with_status_1(
    cardtone: Cardtone, db: Database, bad: Path, dry_run: bool
) -> None:
    ran = bring(cardtone, bad, *(["--dry-run"] if dry_run else []))
    assert ran.status == 1
    assert ran.err == "Nothing was imported. Problems in bad.csv: 3.\n"
    wrong = ran.out[ran.out.index("Wrong\n") :].splitlines()
    assert [line.split(":")[0].split(",")[0] for line in wrong[1:]] == ["  Line 3", "  Line 4", "  Line 5"]
    assert "spreadsheet" in wrong[1]
    assert "negative" in wrong[2]
    assert "line 2" in wrong[3]
    assert is_empty(db)


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_script_gets_every_problem_as_data(
    cardtone: Cardtone, db: Database, tmp_path: Path, dry_run: bool
) -> None:
    many = tmp_path / "many.csv"
    many.write_text("Code,Price\n" + "44,free\n" * 500)
    ran = bring(cardtone, many, "--json", *(["--dry-run"] if dry_run else []))
    assert ran.status == 1
    assert [problem["line"] for problem in ran.json["problems"]] == list(range(2, 502))
    assert {problem["code"] for problem in ran.json["problems"]} == {"not_a_number"}
    assert ran.json["problems"][0]["message"].startswith("Line 2, Price: ")
    shown = bring(cardtone, many)
    assert "  and 400 more; --json lists them all" in shown.out.splitlines()
    assert is_empty(db)


def test_a_script_gets_what_was_imported(cardtone: Cardtone, sheet: Path) -> None:
    told = bring(
        cardtone, sheet, "--json", "--precision", "2", "--rounding", "up", "--zone", "Asia/Dubai"
    ).json
    assert (told["deck"], told["currency"], told["new_deck"], told["dry_run"]) == (
        "Retail",
        "USD",
        True,
        False,
    )
    assert (told["precision"], told["rounding"], told["timezone"]) == (2, "up", "Asia/Dubai")
    assert (told["rates"], told["added"], told["problems"]) == (3, 3, [])
    assert told["mapping"]["prefix"] == "Dial code"
    assert [(warning["line"], warning["code"]) for warning in told["warnings"]] == [(6, "zero_price")]
    assert isinstance(told["version"], int)


def test_a_version_for_a_day_to_come(cardtone: Cardtone, sheet: Path) -> None:
    bring(cardtone, sheet)
    day = (datetime.now(UTC) + timedelta(days=40)).date()
    sheet.write_text(SHEET.replace("0.0140", "0.02"))
    told = bring(cardtone, sheet, "--effective-from", str(day), "--json").json
    assert told["effective_from"] == f"{day}T00:00:00+00:00"
    shown = cardtone("decks", "show", "Retail", "--json").json
    assert [version["state"] for version in shown["versions"]] == ["coming", "in force"]
    assert cardtone("decks", "list").out.splitlines()[1].endswith("UTC       1")
    number = ("decks", "rate", "Retail", "+44 20 7946 0000", "--json")
    assert cardtone(*number).json["rate"]["price_per_minute"] == "0.0140"
    assert cardtone(*number, "--at", str(day)).json["rate"]["price_per_minute"] == "0.0200"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--effective-from", "2020-01-01"], "which has passed"),
        (["--effective-from", "30.02.2027"], "is not a time"),
        (["--effective-from", "2027-02-30"], "is not a time"),
        (["--effective-from", "9999-01-01"], "can't begin after the year 2100"),
        (["--precision", "9"], "0 to 6 decimals"),
        (["--zone", "Atlantis"], "There is no time zone Atlantis"),
        (["--map", "prefix"], "is not FIELD=COLUMN"),
    ],
)
def test_options_that_make_no_sense_are_one_plain_sentence(
    cardtone: Cardtone, db: Database, sheet: Path, options: list[str], said: str
) -> None:
    ran = bring(cardtone, sheet, *options)
    assert ran.status == 1
    assert said in ran.err
    assert len(ran.err.splitlines()) == 1
    assert ran.out == ""
    assert is_empty(db)


def test_a_deck_keeps_its_currency(cardtone: Cardtone, sheet: Path) -> None:
    bring(cardtone, sheet)
    ran = bring(cardtone, sheet, currency="EUR")
    assert (ran.status, ran.err) == (
        1,
        "The deck Retail is in USD since it was made; EUR needs a deck of its own.\n",
    )


def test_columns_can_be_named(cardtone: Cardtone, tmp_path: Path) -> None:
    path = tmp_path / "odd.csv"
    path.write_text("A;B;C\n44;0,01;0,02\n")
    assert bring(cardtone, path).status == 1
    ran = bring(
        cardtone, path, "--map", "prefix=A", "--map", "price_per_minute=C", "--separator", "semicolons"
    )
    assert ran.status == 0
    assert (
        cardtone("decks", "rate", "Retail", "442079460000", "--json").json["rate"]["price_per_minute"]
        == "0.0200"
    )


def test_an_empty_house_says_so(cardtone: Cardtone) -> None:
    assert cardtone("decks", "list").out == "There is no deck yet; import one.\n"
    assert cardtone("decks", "show", "Retail").err == "There is no deck named Retail.\n"


def test_a_look_up_says_why(cardtone: Cardtone, tmp_path: Path) -> None:
    path = tmp_path / "retail.csv"
    path.write_text(
        "Code,Destination,Price,From,Connection\n44,UK,0.01,,0.5\n4420,London,0.005,2090-01-01,\n"
    )
    bring(cardtone, path)
    ran = cardtone("decks", "rate", "Retail", "+44 20 7946 0000")
    assert ran.status == 0
    lines = ran.out.splitlines()
    assert lines[0] == "+442079460000 (international): UK"
    assert lines[1] == "  USD 0.01 a minute, first 1 s, then steps of 1 s, connect fee USD 0.50"
    assert lines[2] == "  1 minute costs USD 0.51, 10 minutes USD 0.60"
    assert lines[3].startswith("Why: 44 is the longest prefix that matches in Retail, in force since ")
    assert lines[4] == "  4420 (London) matches too, but is not effective yet."
    none = cardtone("decks", "rate", "Retail", "+4930123456")
    assert (none.status, none.err) == (1, "There is no rate for this destination.\n")
    assert none.out == "+4930123456 (international) has no rate in Retail.\n"
    assert cardtone("decks", "rate", "Retail", "911").err == "That is not a number that can be called.\n"


def test_the_sample_deck_is_ready_to_use(cardtone: Cardtone) -> None:
    told = bring(cardtone, SAMPLE, "--json").json
    assert told["rates"] > 300
    assert (told["warnings"], told["problems"]) == ([], [])


def test_prices_are_changed_after_a_dry_run_and_versions_compared(
    cardtone: Cardtone, db: Database, sheet: Path
) -> None:
    bring(cardtone, sheet)
    looked = cardtone("decks", "change", "Retail", "--percent", "10", "--prefix", "44", "--dry-run")
    assert looked.status == 0
    assert "447     United Kingdom, mobile  0.0290  0.0319" in looked.out
    assert "2 of 3 prices would change" in looked.out
    done = cardtone(
        "decks", "change", "Retail", "--percent=-5", "--amount", "0.001", "--decimals", "5", "--json"
    )
    assert [(one["before"], one["after"]) for one in done.json["first"]] == [
        ("0.0000", "0.0010"),
        ("0.0140", "0.0143"),
        ("0.0290", "0.02855"),
    ]
    assert cardtone("decks", "change", "Retail", "--percent", "1.00001").status == 1
    assert "Say by how much" in cardtone("decks", "change", "Retail").err
    compared = cardtone("decks", "compare", "Retail")
    assert "447     United Kingdom, mobile  cheaper  0.0290  0.02855   -1.6 %" in compared.out
    assert "0 added, 2 dearer, 1 cheaper, 0 otherwise, 0 removed." in compared.out
    assert (
        cardtone("decks", "compare", "Retail", "--before", "1", "--after", "1", "--json").json["changes"]
        == []
    )
    assert "There is no such version" in cardtone("decks", "compare", "Retail", "--before", "9").err


def test_a_part_of_a_deck_is_merged(cardtone: Cardtone, sheet: Path, tmp_path: Path) -> None:
    bring(cardtone, sheet)
    part = tmp_path / "part.csv"
    part.write_text("prefix,price\n49,0.02\n")
    done = bring(cardtone, part, "--merge", "--json").json
    assert (done["rates"], done["total"], done["added"], done["removed"]) == (1, 4, 1, 0)


def test_calls_are_replayed_at_another_version_and_at_what_they_cost(
    cardtone: Cardtone, db: Database, vault: Vault
) -> None:
    today = datetime.now(UTC)
    scenes.deck(db, {"880": "0.06"}, now=today - timedelta(days=2))
    line = scenes.Line(db, vault, scenes.switch(db), today - timedelta(days=1))
    line.open(scenes.card(db, vault, now=line.now))
    line.later(60).end(seconds=60)
    cardtone("decks", "change", "Standard", "--percent", "50")
    days = ("--from", f"{today - timedelta(days=3):%Y-%m-%d}", "--to", f"{today:%Y-%m-%d}")
    ran = cardtone("decks", "replay", "Standard", *days)
    assert (ran.status, ran.err) == (0, "")
    assert "1 calls charged USD 0.0600; would be 0.0900, difference 0.0300." in ran.out
    assert "names no buy deck" in cardtone("decks", "replay", "Standard", "--cost", *days).err
    scenes.deck(db, {"8": "0.01"}, name="Carrier")
    assert "told against Carrier" in cardtone("decks", "buy-deck", "Standard", "Carrier").out
    assert "bought at Carrier" in cardtone("decks", "show", "Standard").out
    cost = cardtone("decks", "replay", "Standard", "--cost", *days, "--json").json
    assert (cost["charged"], cost["replayed"], cost["version"]) == ("0.0600", "0.0100", None)
    assert cardtone("decks", "buy-deck", "Standard").status == 1
    assert cardtone("decks", "buy-deck", "Standard", "--none").status == 0
