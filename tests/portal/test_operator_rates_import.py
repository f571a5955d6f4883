"""Rate sheets through the console: uploaded, looked at, confirmed; and what is refused, with line and reason."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import xlsxwriter
from flask import Flask
from sqlalchemy import func, select
from werkzeug.test import TestResponse

from engine.calls.decks import find_deck
from engine.db import Database
from engine.schema import AuditRow, Deck, DeckRateRow, DeckVersion
from tests import scenes
from tests.portal.conftest import Clock, Visitor
from tests.portal.test_operator_rates import as_role, deck_id, hidden, key_in, prices, text_of, versions
from tests.scenes import NOW, USD

SHEET = (
    "Code,Destination,Rate/min (USD),Initial,Increment\n44,United Kingdom,0.0140,1,1\n33,France,0.015,60,60\n"
)
NEW = {"deck": "", "whole": "whole", "name": "Retail", "currency": "USD", "rounding": "half_up"}


def upload(
    visitor: Visitor, data: bytes | str, name: str = "rates.csv", path: str = "/rates/import"
) -> TestResponse:
    sent = data.encode() if isinstance(data, str) else data
    fields: dict[str, Any] = {"csrf_token": visitor.token(), "key": "k", "file": (io.BytesIO(sent), name)}
    return visitor.post(path, data=fields)


def sheet(
    visitor: Visitor, data: bytes | str, filename: str = "rates.csv", **more: str
) -> tuple[str, TestResponse]:
    """Upload a file and look at it as a new deck; the page's address and the page."""
    url = upload(visitor, data, filename).location or ""
    url = url.partition("?")[0]
    return url, visitor.get(url, query_string={**NEW, **more})


def written(db: Database) -> tuple[int, ...]:
    with db.begin() as session:
        tables = (Deck, DeckVersion, DeckRateRow, AuditRow)
        return tuple(session.scalar(select(func.count()).select_from(table)) or 0 for table in tables)


def test_a_sheet_is_looked_at_and_imported_once(visitor: Visitor, db: Database) -> None:
    before = written(db)
    answer = upload(visitor, SHEET, "../ret<b>ail.csv")
    assert answer.status_code == 303
    first = visitor.get(answer.location)
    shown = text_of(first.text)
    assert "The new deck" in shown  # the currency stands in the heading of the file
    assert "44 United Kingdom 1/1 s 0.0140" in shown
    assert written(db) == before
    looked = visitor.get(answer.location.partition("?")[0], query_string=NEW)
    assert looked.status_code == 200
    assert "Import 2 rates" in text_of(looked.text)
    for _ in range(2):
        done = visitor.submit(answer.location.partition("?")[0], **hidden(looked.text))
        assert (done.status_code, done.location) == (303, f"/rates/{deck_id(db, 'Retail')}")
    assert prices(db, versions(db)[0]) == {"44": USD("0.014"), "33": USD("0.015")}
    assert len(versions(db)) == 1
    assert "Imported 2 rates for Retail" in text_of(visitor.get(done.location).text)


def test_an_excel_file_is_taken_and_its_columns_can_be_chosen(visitor: Visitor, db: Database) -> None:
    file = io.BytesIO()
    book = xlsxwriter.Workbook(file, {"in_memory": True})
    page = book.add_worksheet("Prices")
    for number, cells in enumerate(
        (("Where", "What it is", "Money"), ("44", "Britain", 0.02), ("33", "France", 0.03))
    ):
        page.write_row(number, 0, cells)
    book.close()
    url, looked = sheet(visitor, file.getvalue(), "rates.xlsx")
    assert "No column names were found" in text_of(looked.text)
    assert '<option value="Money">' in looked.text
    chosen = {"read_with": "", "column_prefix": "Where", "column_price_per_minute": "Money"}
    looked = visitor.get(url, query_string={**NEW, **chosen, "column_destination_name": "What it is"})
    assert "Import 2 rates" in text_of(looked.text)
    assert visitor.submit(url, **hidden(looked.text)).status_code == 303
    assert prices(db, 1) == {"44": USD("0.02"), "33": USD("0.03")}
    wrong = visitor.get(url, query_string={**NEW, **chosen, "column_grace": "Nowhere"})
    assert wrong.status_code == 422
    assert "Choose one of the list." in wrong.text


def test_a_column_can_be_left_out_and_a_separator_chosen(visitor: Visitor) -> None:
    url, looked = sheet(visitor, "Code;Price;Grace\n44;0.02;5\n")
    assert "1/1 s, free up to 5 s" in text_of(looked.text)
    chosen = {
        "read_with": "",
        "column_prefix": "Code",
        "column_price_per_minute": "Price",
        "column_grace": "",
    }
    left = visitor.get(url, query_string={**NEW, **chosen})
    assert "free up to 5 s" not in text_of(left.text)
    other = visitor.get(url, query_string={**NEW, **chosen, "delimiter": ","})
    # With another separator there are other columns: what was chosen of the old ones counts no more.
    assert "No column names were found" in text_of(other.text)
    assert "Choose one of the list" not in other.text


def test_the_next_version_is_compared_and_a_file_that_removes_much_must_be_meant(
    visitor: Visitor, db: Database, clock: Clock
) -> None:
    scenes.deck(db, {"44": "0.02", "33": "0.03", "880": "0.01", "91": "0.05"})
    clock.later(minutes=5)
    url = upload(visitor, "prefix,price\n44,0.025\n91,0.04\n").location.partition("?")[0]
    existing = {**NEW, "deck": str(deck_id(db)), "name": "", "currency": ""}
    looked = visitor.get(url, query_string=existing)
    shown = text_of(looked.text)
    assert "2 of 4 prefixes would go" in shown
    assert "New prefixes 0 Dearer 1 Cheaper 1 Other terms 0 Removed 2 As before 0" in shown
    assert "44 44 Dearer +25 % Dearer 0.0200 0.0250 +25 %" in shown
    refused = visitor.submit(url, **hidden(looked.text))
    assert refused.status_code == 422
    assert "Tick this" in refused.text
    assert len(versions(db)) == 1
    file = visitor.get(f"{url}/changes.csv", query_string=existing)
    assert [line.split(",")[0] for line in file.text.splitlines()] == ["Prefix", "33", "44", "880", "91"]
    part = visitor.get(url, query_string={**existing, "whole": "part", "day": "2026-12-01"})
    assert "Rates 4 2 from the file" in text_of(part.text)
    assert "would go" not in text_of(part.text)
    assert visitor.submit(url, **hidden(part.text)).status_code == 303
    assert prices(db, versions(db)[1]) == {
        "44": USD("0.025"),
        "91": USD("0.04"),
        "33": USD("0.03"),
        "880": USD("0.01"),
    }
    meant = visitor.submit(url, **{**hidden(looked.text), "key": "other"}, sure="y")
    assert meant.status_code == 303
    assert len(prices(db, versions(db)[2])) == 2


def xlsx(rows: list[list[Any]]) -> bytes:
    file = io.BytesIO()
    book = xlsxwriter.Workbook(file, {"in_memory": True})
    page = book.add_worksheet()
    for number, cells in enumerate(rows):
        page.write_row(number, 0, cells)
    book.close()
    return file.getvalue()


def bomb() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/worksheets/sheet1.xml", b"0" * 60_000_000)
    return file.getvalue()


REFUSED = [
    ("prefix,price\n44,0.01\n44,0.02\n", ["Line 3", "the prefix 44 is on line 2 too"]),
    (
        "prefix,price,effective from,effective until\n44,0.01,2026-12-01,2026-12-31\n44,0.02,2026-12-15,\n",
        ["Line 3", "has another rate on line 2 for some of the same days"],
    ),
    (
        "prefix,price\n44,-0.01\n33,0.02\n49,x\n",
        ["Line 2", "“-0.01” is negative", "Line 4", "is not an amount"],
    ),
    ("prefix,price\n4.47E+11,0.01\n", ["Line 2", "a spreadsheet turned this prefix into “4.47E+11”"]),
    ("prefix,price,increment\n44,0.01,0\n", ["Line 2", "an increment is at least 1 second"]),
    (b"prefix,price\n44,0.0\0001\n", ["there is a NUL character"]),
    (bomb(), ["unpacks to far more than a rate sheet needs"]),
    (b"PK\x03\x04broken", ["damaged"]),
    (b"", ["This file is empty."]),
    (b"  \n", ["The file is empty."]),
    ("just words\n", ["No column names were found"]),
    ("prefix,price (EUR)\n44,0.01\n", ["The prices are in EUR, but the deck is in USD"]),
]


def test_a_bad_file_is_refused_whole_with_every_line_and_reason(visitor: Visitor, db: Database) -> None:
    before = written(db)
    for data, said in REFUSED:
        answer = upload(visitor, data)
        if answer.status_code == 303:
            url = answer.location.partition("?")[0]
            answer = visitor.get(url, query_string=NEW)
            assert "confirm" not in answer.text
            assert visitor.submit(url, **NEW, key="k").status_code == 422
        else:
            assert answer.status_code == 422
        shown = text_of(answer.text)
        assert [one for one in said if one not in shown] == []
    assert written(db) == before


TAKEN = [
    ("prefix,price\n44,0.01\n".encode("utf-16"), ["The text is UTF-16"], {"44": "0.01"}),
    ("prefix;price\n44;0,01\n", ["separated by semicolons", "decimal commas"], {"44": "0.01"}),
    ("prefix,price\n44,0\n", ["the price is zero: calls to 44 would be free"], {"44": "0"}),
    (
        "prefix,price\n0044,0.01\n+49 ,0.02\n",
        ["2 prefixes were brought to plain digits, such as “0044” to 44"],
        {"44": "0.01", "49": "0.02"},
    ),
    (
        xlsx([["prefix", "price"], [39612, 0.01], [392, 0.02]]),
        ["392 may have lost a zero"],
        {"39612": "0.01"},
    ),
    (
        "prefix,destination,price\n44,<script>alert(1)</script>,0.01\n",
        ["<script>alert(1)</script>"],
        {"44": "0.01"},
    ),
]


def test_what_can_be_understood_is_taken_and_told(visitor: Visitor, db: Database) -> None:
    for number, (data, said, rates) in enumerate(TAKEN, start=1):
        url, looked = sheet(visitor, data, name=f"Deck {number}")
        assert "<script>alert" not in looked.text
        assert [one for one in said if one not in text_of(looked.text)] == []
        assert visitor.submit(url, **hidden(looked.text)).status_code == 303
        stored = prices(db, number)
        assert {prefix: stored[prefix] for prefix in rates} == {
            prefix: USD(price) for prefix, price in rates.items()
        }


def test_a_file_over_twenty_megabytes_is_refused_before_it_is_read(visitor: Visitor, db: Database) -> None:
    body = b"--x\r\nContent-Disposition: form-data; name=file; filename=a.csv\r\n\r\n" + b"x" * 21_500_000
    sent = {"data": body, "content_type": "multipart/form-data; boundary=x"}
    assert visitor.post("/rates/import", **sent).status_code == 413
    assert visitor.submit("/rates/sample", key="k", padding="x" * 1_100_000).status_code == 413
    assert written(db)[:3] == (0, 0, 0)


WRONG = [
    ("name", "", "Fill in the name"),
    ("name", "x" * 101, "too long"),
    ("currency", "XXQ", "is not a currency in use"),
    ("precision", "7", "between 0 and 6"),
    ("precision", "１", "whole number in plain digits"),
    ("timezone", "Mars/Base", "There is no time zone Mars/Base"),
    ("rounding", "bankers", "Choose one of the list."),
    ("day", "2026-11-19", "has passed"),
    ("day", "2026-02-30", "There is no such day"),
    ("time", "8 o'clock", "Type a time of the day"),
    ("deck", "99", "Choose one of the list."),
    ("delimiter", "xyz", "Choose one of the list."),
]


def test_a_choice_that_makes_no_sense_is_told_at_its_field(visitor: Visitor, db: Database) -> None:
    url = upload(visitor, SHEET).location.partition("?")[0]
    for field, value, said in WRONG:
        given = {**NEW, "day": "2026-12-01", field: value}
        for page in (visitor.get(url, query_string=given), visitor.submit(url, **given, key="k")):
            assert page.status_code == 422, field
            assert said in text_of(page.text)
    assert written(db)[:3] == (0, 0, 0)


def test_a_deck_keeps_its_terms_and_a_day_is_one_of_its_zone(visitor: Visitor, db: Database) -> None:
    scenes.deck(db, timezone="Asia/Dubai")
    url = upload(visitor, SHEET).location.partition("?")[0]
    fixed = visitor.get(url, query_string={**NEW, "name": "Standard", "currency": "EUR"})
    assert fixed.status_code == 422
    assert "is in USD since it was made" in text_of(fixed.text)
    day = {**NEW, "deck": str(deck_id(db)), "day": "2026-12-01", "time": "08:00"}
    looked = visitor.get(url, query_string=day)
    assert "1 of 2 prefixes would go" in text_of(looked.text)
    assert visitor.submit(url, **hidden(looked.text), sure="y").status_code == 303
    with db.begin() as session:
        deck = find_deck(session, "Standard")
        starts = session.scalars(
            select(DeckVersion.effective_from).where(DeckVersion.deck_id == deck.id)
        ).all()
    assert max(starts) == NOW.replace(month=12, day=1, hour=4)
    again = visitor.get(url, query_string={**NEW, "deck": str(deck_id(db))})
    assert "A version that was made before takes its place" in text_of(again.text)


def test_a_file_is_its_senders_alone(app: Flask, visitor: Visitor, db: Database) -> None:
    url = upload(visitor, SHEET).location.partition("?")[0]
    other = as_role(app, db, "admin")
    for path in (url, f"{url}/changes.csv", f"{url}/problems.csv", "/rates/import/99"):
        assert other.get(path).status_code == 404
    assert other.submit(url, **NEW, key="k").status_code == 404
    assert as_role(app, db, "finance").get(url).status_code == 403
    assert visitor.get(url).status_code == 200
    assert key_in(visitor.get(url, query_string=NEW).text)
