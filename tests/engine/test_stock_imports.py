"""Cards of an older system: read whole or not at all, each bad row named, and as good as our own afterwards."""

from __future__ import annotations

import io
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import openpyxl
import pytest
from sqlalchemy import text

from engine import settings
from engine.cards.status import status_of
from engine.db import Database
from engine.errors import InvalidInput
from engine.refusal import Refusal
from engine.schema import Card
from engine.stock.batches import BatchOrder, order_batch
from engine.stock.cardfile import CardFile, describe, read_cards
from engine.stock.export import export_batch
from engine.stock.imports import CardImport, import_cards
from engine.vault import Vault
from tests import scenes
from tests.scenes import NOW, OPERATOR, USD

HEADER = "Card Number,PIN,Balance,Expiry,Status\n"


def load(
    db: Database, vault: Vault, data: str | bytes, *, dry_run: bool = False, **changes: Any
) -> CardImport:
    order = BatchOrder(
        **{"name": "Old", "count": 1, "denomination": 0, "currency": "USD", "deck": "Standard", **changes}
    )
    data = data.encode() if isinstance(data, str) else data
    return import_cards(db, vault, order, data, "old.csv", OPERATOR, NOW, dry_run=dry_run)


def read(data: str | bytes, **more: Any) -> CardFile:
    data = data.encode() if isinstance(data, str) else data
    return read_cards(data, zone=ZoneInfo("UTC"), now=NOW, **more)


def cards_by_number(db: Database) -> dict[str, Card]:
    with db.begin() as session:
        return {card.number: card for card in session.query(Card)}


def count(db: Database, query: str) -> int:
    with db.begin() as session:
        return session.execute(text(query)).scalar_one()


def said(found: CardFile) -> list[str]:
    return [describe(problem) for problem in found.problems]


def test_imported_cards_keep_their_numbers_passwords_and_money(db: Database, vault: Vault) -> None:
    scenes.deck(db)
    done = load(db, vault, HEADER + "400000000001,012345,5.00,,\n400000000002,987654,2.5,2027-01-31,\n")
    assert (done.cards, done.total, done.currency, done.states) == (2, USD("7.50"), "USD", {"unused": 2})
    cards = cards_by_number(db)
    for number, password, balance in (
        ("400000000001", "012345", "5.00"),
        ("400000000002", "987654", "2.50"),
    ):
        card = cards[number]
        assert card.balance == USD(balance)
        assert vault.matches(number, password, card.digest, card.pepper)
    assert cards["400000000002"].expires_at == datetime(2027, 2, 1, tzinfo=UTC)
    line = scenes.Line(db, vault, scenes.switch(db))
    line.open(scenes.TestCard(cards["400000000001"].id, "400000000001", "012345"))
    assert count(db, "SELECT count(*) FROM ledger_entry WHERE kind = 'opening' AND account = 'sales'") == 2
    with db.begin() as session:
        batch = session.execute(text("SELECT * FROM batch")).one()
        told = session.execute(text("SELECT * FROM audit WHERE action = 'batch.import'")).one()
    assert (batch.imported, batch.count, batch.generated, batch.ready_at) == (True, 2, 2, NOW)
    assert (batch.denomination, batch.number_length, batch.password_length) == (0, 12, 6)
    assert told.data == {
        "name": "Old",
        "count": 2,
        "total": USD("7.50"),
        "currency": "USD",
        "file": "old.csv",
    }


@pytest.mark.parametrize(
    ("row", "status", "usable"),
    [
        ("5.00,,", "unused", True),
        ("5.00,,new", "unused", True),
        ("5.00,,Active", "active", True),
        ("5.00,,IN USE", "active", True),
        ("5.00,,blocked", "locked", False),
        ("5.00,,Cancelled", "damaged", False),
        ("5.00,2026-11-19,", "expired", False),
        ("5.00,2026-11-20,", "unused", True),
        ("5.00,,expired", "expired", False),
        ("0,,", "empty", False),
        ("0,,Empty", "empty", False),
        ("5.00,,not_activated", "unused", False),
    ],
)
def test_a_state_becomes_the_facts_it_follows_from(
    db: Database, vault: Vault, row: str, status: str, usable: bool
) -> None:
    scenes.deck(db)
    load(db, vault, HEADER + f"400000000001,012345,{row}\n")
    card = cards_by_number(db)["400000000001"]
    assert status_of(card, NOW) == status
    line = scenes.Line(db, vault, scenes.switch(db))
    answer = line.authorize(scenes.TestCard(card.id, "400000000001", "012345"))
    assert isinstance(answer, Refusal) is not usable
    if card.locked_at or card.damaged_at:
        assert (card.lock_reason or card.damage_reason, card.locked_by or card.damaged_by) == (
            "imported",
            "staff:1",
        )


def test_a_list_may_be_written_as_older_systems_write_it() -> None:
    csv = "Cards of May\n\nusername;pin code;credit;expirationdate;status;note\n" + (
        "4000 0000 0001;'012345;1,50;31.12.2026;active;x\n4000-0000-0002;000000;€ 2,25;31-Dec-2026;;\n\n"
    )
    found = read(csv.encode("utf-16"))
    assert said(found) == []
    assert [(card.line, card.number, card.password, card.balance) for card in found.rows] == [
        (4, "400000000001", "012345", USD("1.50")),
        (5, "400000000002", "000000", USD("2.25")),
    ]
    assert {card.expires_at for card in found.rows} == {datetime(2027, 1, 1, tzinfo=UTC)}
    assert found.ignored == ["note"]
    assert found.mapping["number"] == "username"


def test_a_workbook_is_read_too() -> None:
    book = openpyxl.Workbook()
    book.active.append(["number", "password", "balance", "expiry", "first used"])
    book.active.append(["400000000001", "012345", 5, date(2026, 12, 31), "2026-11-01 08:30"])
    file = io.BytesIO()
    book.save(file)
    found = read(file.getvalue())
    assert said(found) == []
    (card,) = found.rows
    assert (card.number, card.password, card.balance) == ("400000000001", "012345", USD("5"))
    assert card.expires_at == datetime(2027, 1, 1, tzinfo=UTC)
    assert card.first_used_at == datetime(2026, 11, 1, 8, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("rows", "sentences"),
    [
        (
            "4.47E+11,1234,5,,\n",
            [
                "Line 2, Card Number: a spreadsheet wrote this as a decimal or with an exponent, and lost digits. "
                "Format the column as text and enter it again."
            ],
        ),
        (
            "400000000001.0,1234,5,,\n",
            [
                "Line 2, Card Number: a spreadsheet wrote this as a decimal or with an "
                "exponent, and lost digits. Format the column as text and enter it again."
            ],
        ),
        ("abc,1234,5,,\n", ["Line 2, Card Number: this is not a card number; it has 4 to 32 digits."]),
        ("４４００,1234,5,,\n", ["Line 2, Card Number: this is not a card number; it has 4 to 32 digits."]),
        ("400,1234,5,,\n", ["Line 2, Card Number: this is not a card number; it has 4 to 32 digits."]),
        ("4000,,5,,\n", ["Line 2, PIN: there is nothing, but a value is needed."]),
        ("4000,12a4,5,,\n", ["Line 2, PIN: this is not a password; it has 1 to 18 digits."]),
        (
            "4000,1234,,,\n",
            ["Line 2, Balance: there is nothing, but a balance is needed; write 0 where the card is empty."],
        ),
        ("4000,1234,-1,,\n", ["Line 2, Balance: “-1” is negative."]),
        ("4000,1234,NaN,,\n", ["Line 2, Balance: “NaN” is not an amount."]),
        (
            "4000,1234,0.00000005,,\n",
            ["Line 2, Balance: “0.00000005” has more than six decimals, and nothing is rounded silently."],
        ),
        (
            "4000,1234,5,2026-02-30,\n",
            ["Line 2, Expiry: “2026-02-30” is not a date. Write it as 2026-12-31."],
        ),
        (
            "4000,1234,5,9999-01-01,\n",
            [
                "Line 2, Expiry: “9999-01-01” is not a day between 2000 and 2100. "
                "Leave it empty where there is no limit."
            ],
        ),
        (
            "4000,1234,5,,strange\n",
            [
                "Line 2, Status: “strange” is not a state. Write unused, active, locked, "
                "damaged, expired or held back."
            ],
        ),
        (
            "4000,1234,5,2027-01-01,expired\n",
            ["Line 2, Status: the state says expired, but its day has not passed."],
        ),
        ("4000,1234,5,,empty\n", ["Line 2, Status: the state says empty, but there is a balance."]),
        (
            "4000,1234,5,,,more\n",
            ["Line 2: there are more values than columns; perhaps a comma inside a value is not quoted."],
        ),
        ("4000,1234,5,,\n\n4000,9999,6,,\n", ["Line 4, Card Number: the same number is on line 2 too."]),
        ("", ["There is no card in the file."]),
    ],
)
def test_each_bad_row_is_named_and_never_quoted(rows: str, sentences: list[str]) -> None:
    assert said(read(HEADER + rows)) == sentences


def test_every_bad_row_is_named_at_once() -> None:
    found = read(HEADER + "4000,1234,5,,\nx,1,5,,\n4001,1234,y,,\n4002,1234,5,,z\n")
    assert [(problem.line, problem.column) for problem in found.problems] == [
        (3, "Card Number"),
        (4, "Balance"),
        (5, "Status"),
    ]


def test_lost_leading_zeros_are_noticed() -> None:
    full = "".join(f"4{n:011d},{n:06d},5,,\n" for n in range(100, 120))
    found = read(HEADER + full + "40000000001,123456,5,,\n400000000002,12345,5,,\n")
    assert [(problem.line, problem.column, problem.code) for problem in found.problems] == [
        (22, "Card Number", "zeros_lost"),
        (23, "PIN", "zeros_lost"),
    ]


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ("", "The file is empty."),
        (
            "a,b\n1,2\n",
            "No column names were found in the first 50 rows. A number, a password and a balance are needed.",
        ),
        (
            "number,password\n4000,1234\n",
            "There is no column for the balance. The columns are: number, password.",
        ),
        (
            "number,password,balance,balance\n",
            "Several columns could be the balance: balance, balance. Say which one it is.",
        ),
        (b"PK\x03\x04broken", "The Excel file cannot be read: it is damaged, or not an Excel file."),
        (
            "number,password,balance\n40\x0000,1,1\n",
            "Line 2: there is a NUL character, so the file was damaged or is no text.",
        ),
    ],
)
def test_a_file_that_is_no_list_of_cards_is_refused_whole(data: str | bytes, sentence: str) -> None:
    assert said(read(data)) == [sentence]


def test_columns_may_be_named_by_hand() -> None:
    found = read("a,b,c\n4000,1234,5\n", mapping={"number": "A", "password": "b", "balance": "c"})
    assert [card.number for card in found.rows] == ["4000"]
    assert said(read("a,b,c\n", mapping={"colour": "a"})) == [
        "“colour” is not something a card list can hold."
    ]


def test_one_bad_row_refuses_the_whole_list(db: Database, vault: Vault) -> None:
    scenes.deck(db)
    with pytest.raises(InvalidInput, match="card_file_refused") as refusal:
        load(db, vault, HEADER + "4000,1234,5,,\n4001,1234,-5,,\n")
    assert [problem.line for problem in refusal.value.data["problems"]] == [3]
    assert count(db, "SELECT count(*) FROM card") + count(db, "SELECT count(*) FROM batch") == 0


def test_numbers_that_exist_already_are_named_by_their_lines(db: Database, vault: Vault) -> None:
    card = scenes.card(db, vault)
    data = HEADER + f"400000000001,123456,5,,\n{card.number},123456,5,,\n"
    looked = load(db, vault, data, dry_run=True)
    assert [describe(problem) for problem in looked.problems] == [
        "Line 3, Card Number: a card with this number exists already."
    ]
    with pytest.raises(InvalidInput, match="card_file_refused"):
        load(db, vault, data)
    assert count(db, "SELECT count(*) FROM card") == 1


def test_a_look_writes_nothing_and_shows_no_secret(db: Database, vault: Vault) -> None:
    scenes.deck(db)
    looked = load(db, vault, HEADER + "400000000001,123456,5,,\n", dry_run=True)
    assert (looked.batch_id, looked.cards, len(looked.preview), looked.warnings) == (None, 1, 1, ())
    assert "123456" not in repr(looked) + repr(looked.preview)
    assert "400000000001" not in repr(looked) + repr(looked.preview)
    assert count(db, "SELECT count(*) FROM card") + count(db, "SELECT count(*) FROM batch") == 0


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"name": "Taken"}, "name_taken"),
        ({"name": ""}, "empty"),
        ({"deck": "Nowhere"}, "unknown_deck"),
        ({"currency": "EUR"}, "deck_currency"),
        ({"currency": "x"}, "currency"),
    ],
)
@pytest.mark.parametrize("dry_run", [True, False])
def test_the_rest_of_the_order_is_checked_too(
    db: Database, vault: Vault, changes: dict[str, Any], code: str, dry_run: bool
) -> None:
    scenes.card(db, vault, name="Taken")
    with pytest.raises(InvalidInput, match=code):
        load(db, vault, HEADER + "4000,1234,5,,\n", dry_run=dry_run, **changes)


def test_serials_say_nothing_about_the_order_of_the_list(db: Database, vault: Vault) -> None:
    scenes.deck(db)
    load(db, vault, HEADER + "".join(f"{n},1234,5,,\n" for n in range(40_000, 40_400)))
    by_serial = [card.number for card in sorted(cards_by_number(db).values(), key=lambda card: card.id)]
    rising = sum(a < b for a, b in pairwise(by_serial))
    assert 130 < rising < 270


def test_cards_without_an_expiry_get_one_by_the_rule_of_the_order(db: Database, vault: Vault) -> None:
    with db.begin() as session:
        settings.put(session, "zone", "Asia/Dhaka")
    scenes.deck(db)
    first_used = "number,password,balance,first used\n4000,1234,5,2026-11-01\n4001,1234,5,\n"
    load(db, vault, first_used, validity_days=30)
    cards = cards_by_number(db)
    assert cards["4000"].expires_at == datetime(2026, 12, 1, 18, 0, tzinfo=UTC)
    assert cards["4001"].expires_at is None
    load(db, vault, HEADER + "5000,1234,5,,\n", name="New", validity_from="generation", validity_days=1)
    assert cards_by_number(db)["5000"].expires_at == datetime(2026, 11, 21, 18, 0, tzinfo=UTC)


def test_imported_cards_can_be_exported_with_what_each_was_worth(
    db: Database, vault: Vault, tmp_path: Any
) -> None:
    scenes.deck(db)
    load(db, vault, HEADER + "4000,01,5,,\n400000000001,012345,2.5,2026-12-31,\n")
    with db.begin() as session:
        settings.put(session, "shred_days", 5)
    export_batch(db, vault, "Old", "csv", tmp_path / "old.csv", OPERATOR, NOW)
    rows = sorted(row.split(",")[1:7] for row in (tmp_path / "old.csv").read_text().splitlines()[1:])
    assert rows == [
        ["4000", "01", "5.00", "USD", "", "90"],
        ["400000000001", "012345", "2.50", "USD", "2026-12-31", ""],
    ]


def test_cards_to_be_activated_stay_held_back_unless_they_are_in_use(db: Database, vault: Vault) -> None:
    scenes.deck(db)
    load(db, vault, HEADER + "4000,1234,5,,\n4001,1234,5,,active\n", release="activation")
    cards = cards_by_number(db)
    assert (cards["4000"].released_at, cards["4001"].released_at) == (None, NOW)


def test_an_import_and_an_order_take_serials_of_their_own(db: Database, vault: Vault) -> None:
    scenes.deck(db)
    done = load(db, vault, HEADER + "4000,1234,5,,\n4001,1234,5,,\n")
    ordered = order_batch(
        db, vault, BatchOrder("Next", 1, USD("5"), "USD", "Standard"), OPERATOR, NOW + timedelta(hours=1)
    )
    assert done.last_serial is not None
    assert int(ordered.first_serial[:-1]) == int(done.last_serial[:-1]) + 1
