"""Rate decks: import of rate sheets into versions, the version in force, rate tables in the process."""

from __future__ import annotations

import io
import threading
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import xlsxwriter
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError

from engine.actor import Actor
from engine.calls import deckversions
from engine.calls.decks import (
    DeckImport,
    deck_list,
    deck_view,
    find_deck,
    import_deck,
    look_up,
    rate_table,
    version_in_force,
)
from engine.db import Database
from engine.errors import Conflict, InvalidInput, NotFound
from engine.schema import AuditRow, Deck, DeckRateRow, DeckVersion

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
ANNA = Actor("staff", 3, "Anna", "operator")

SHEET = """Code,Destination,Rate/min (USD),Initial,Increment,Connection
44,United Kingdom,0.0140,1,1,0
447,"United Kingdom, mobile",0.0290,30,6,0.05
33,France,0.015,60,60,0
"""


def bring(db: Database, sheet: str | bytes = SHEET, **given: Any) -> DeckImport:
    """Import a sheet into the deck Retail, in USD, now, by Anna; `given` says what is otherwise."""
    data = sheet.encode() if isinstance(sheet, str) else sheet
    values: dict[str, Any] = {
        "name": "Retail",
        "currency": "USD",
        "filename": "retail.csv",
        "actor": ANNA,
        "now": NOW,
    }
    return import_deck(db, data=data, **(values | given))


def counts(db: Database) -> tuple[int, ...]:
    """Decks, versions, rates, audit rows."""
    with db.begin() as session:
        return tuple(
            session.scalar(select(func.count()).select_from(table)) or 0
            for table in (Deck, DeckVersion, DeckRateRow, AuditRow)
        )


def refusal(db: Database, sheet: str | bytes, **given: Any) -> list[tuple[int, str]]:
    """The problems for which a sheet is refused, as (line, code); nothing may have been written."""
    before = counts(db)
    with pytest.raises(InvalidInput) as caught:
        bring(db, sheet, **given)
    assert caught.value.code == "deck_file_refused"
    problems = caught.value.data["problems"]
    assert caught.value.data["count"] == len(problems)
    assert counts(db) == before
    assert [(p.line, p.code) for p in bring(db, sheet, dry_run=True, **given).file.problems] == [
        (p.line, p.code) for p in problems
    ]
    assert counts(db) == before
    return [(problem.line, problem.code) for problem in problems]


def price(db: Database, number: str, at: datetime = NOW, deck: str = "Retail") -> int | None:
    with db.begin() as session:
        version = version_in_force(session, find_deck(session, deck).id, at)
    if version is None:
        return None
    found = rate_table(db, version).find(number, at)
    return None if found is None else found.rate.price_per_minute


# What an import writes


def test_a_sheet_becomes_a_deck_a_version_and_its_rates(db: Database) -> None:
    done = bring(db, filename="C:\\carriers\\retail \u202enov.csv")
    assert (done.new_deck, done.rates) == (True, 3)
    assert (done.added, done.changed, done.removed, done.unchanged) == (3, 0, 0, 0)
    assert (done.precision, done.rounding, done.timezone) == (4, "half_up", "UTC")
    assert counts(db) == (1, 1, 3, 1)
    with db.begin() as session:
        deck = find_deck(session, " Retail ")
        version = session.scalars(select(DeckVersion)).one()
        rates = session.scalars(select(DeckRateRow).order_by(DeckRateRow.id)).all()
        audit = session.scalars(select(AuditRow)).one()
    assert (deck.currency, deck.created_by, deck.created_at) == ("USD", "staff:3", NOW)
    assert (version.id, version.deck_id, version.effective_from) == (done.version_id, deck.id, NOW)
    assert (version.source, version.rates, version.created_by) == ("retail nov.csv", 3, "staff:3")
    assert [
        (
            r.prefix,
            r.destination_name,
            r.price_per_minute,
            r.connect_fee,
            r.first_increment,
            r.increment,
            r.grace,
        )
        for r in rates
    ] == [
        ("44", "United Kingdom", 14_000, 0, 1, 1, 0),
        ("447", "United Kingdom, mobile", 29_000, 50_000, 30, 6, 0),
        ("33", "France", 15_000, 0, 60, 60, 0),
    ]
    assert (audit.action, audit.subject, audit.actor) == ("deck.import", f"deck:{deck.id}", "staff:3")
    assert audit.data["version"] == done.version_id
    assert (audit.data["added"], audit.data["removed"]) == (3, 0)


def test_a_dry_run_tells_what_would_change_and_writes_nothing(db: Database) -> None:
    first = bring(db, dry_run=True)
    assert (first.new_deck, first.version_id, first.added, first.rates) == (True, None, 3, 3)
    assert counts(db) == (0, 0, 0, 0)
    bring(db)
    newer = (
        SHEET.replace("0.0290,30", "0.0310,30").replace("33,France", "34,Spain") + "49,Germany,0.02,1,1,0\n"
    )
    told = bring(db, newer, now=NOW + HOUR, dry_run=True)
    assert (told.new_deck, told.added, told.changed, told.removed, told.unchanged) == (False, 2, 1, 1, 1)
    assert counts(db) == (1, 1, 3, 1)
    done = bring(db, newer, now=NOW + HOUR)
    assert (done.added, done.changed, done.removed, done.unchanged) == (2, 1, 1, 1)
    assert counts(db) == (1, 2, 7, 2)
    same = bring(db, newer, now=NOW + 2 * HOUR)
    assert (same.added, same.changed, same.removed, same.unchanged) == (0, 0, 0, 4)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("0.0290,30,6,0.05", "0.0290,30,6,0.06"),
        ("0.0290,30,6,0.05", "0.0290,30,7,0.05"),
        ("0.0290,30,6,0.05", "0.0290,31,6,0.05"),
        ("United Kingdom, mobile", "United Kingdom mobiles"),
    ],
)
def test_whatever_a_rate_says_counts_as_a_change(db: Database, old: str, new: str) -> None:
    bring(db)
    told = bring(db, SHEET.replace(old, new), now=NOW + HOUR, dry_run=True)
    assert (told.added, told.changed, told.removed, told.unchanged) == (0, 1, 0, 2)


def test_windows_and_dates_are_compared_too(db: Database) -> None:
    head = "prefix,price,days,from time,to time,effective from,effective until\n"
    rows = "44,0.02,Mon-Fri,08:00,20:00,,\n44,0.01,Mon-Fri,20:00,08:00,,\n33,0.05,,,,2026-01-01,2026-12-31\n"
    bring(db, head + rows)
    swapped = (
        "33,0.05,,,,2026-01-01,2026-12-31\n44,0.01,Mon-Fri,20:00,08:00,,\n44,0.02,Mon-Fri,08:00,20:00,,\n"
    )
    told = bring(db, head + swapped, now=NOW + HOUR, dry_run=True)
    assert (told.changed, told.unchanged) == (0, 2)
    for old, new in [
        ("Mon-Fri,08:00", "Mon-Sat,08:00"),
        ("2026-12-31", "2026-11-30"),
        ("20:00,08:00", "20:00,07:00"),
    ]:
        assert bring(db, head + rows.replace(old, new), now=NOW + HOUR, dry_run=True).changed == 1


def test_all_of_it_or_nothing(db: Database) -> None:
    # The audit row comes last; PostgreSQL takes no NUL, so that it fails after the rates have been copied.
    with pytest.raises(DBAPIError):
        bring(db, actor=Actor("staff", 3, "An\0na", "operator"))
    assert counts(db) == (0, 0, 0, 0)


def test_a_version_that_stands_never_changes(db: Database) -> None:
    bring(db)
    with db.connection() as conn:
        for statement in (
            "UPDATE deck_rate SET price_per_minute = 1",
            "DELETE FROM deck_rate",
            "UPDATE deck_version SET effective_from = effective_from - interval '1 day'",
        ):
            with pytest.raises(psycopg.Error):
                conn.execute(statement)
    assert price(db, "442079460000") == 14_000


# What is refused


def test_a_deck_keeps_its_currency_and_settings(db: Database) -> None:
    bring(db, precision=2, rounding="up", timezone="Europe/London")
    with pytest.raises(Conflict, match="deck_currency_fixed"):
        bring(db, SHEET.replace("USD", "EUR"), currency="EUR", now=NOW + HOUR)
    for other in ({"precision": 4}, {"rounding": "down"}, {"timezone": "UTC"}):
        with pytest.raises(Conflict, match="deck_settings_fixed"):
            bring(db, now=NOW + HOUR, **other)
    assert counts(db) == (1, 1, 3, 1)
    again = bring(db, now=NOW + HOUR, precision=2)
    assert (again.precision, again.rounding, again.timezone) == (2, "up", "Europe/London")


@pytest.mark.parametrize(
    ("given", "code", "field"),
    [
        ({"name": ""}, "empty", "name"),
        ({"name": "A\u200bB"}, "invisible_character", "name"),
        ({"currency": "usd"}, "currency", "currency"),
        ({"currency": "XXX"}, "currency", "currency"),
        ({"precision": 7}, "bad_precision", "precision"),
        ({"precision": -1}, "bad_precision", "precision"),
        ({"rounding": "nearest"}, "bad_rounding", "rounding"),
        ({"timezone": "Atlantis/City"}, "unknown_zone", "timezone"),
        ({"timezone": "../etc/passwd"}, "unknown_zone", "timezone"),
        ({"effective_from": NOW - timedelta(seconds=1)}, "effective_from_past", "effective_from"),
        ({"effective_from": NOW.date()}, "effective_from_past", "effective_from"),
        ({"effective_from": datetime(9999, 12, 31, 23, tzinfo=UTC)}, "effective_from_far", "effective_from"),
        ({"effective_from": date(9999, 12, 31)}, "effective_from_far", "effective_from"),
    ],
)
def test_settings_that_make_no_sense(db: Database, given: dict[str, Any], code: str, field: str) -> None:
    for dry_run in (True, False):
        with pytest.raises(InvalidInput) as caught:
            bring(db, dry_run=dry_run, **given)
        assert (caught.value.code, caught.value.data["field"]) == (code, field)
    assert counts(db) == (0, 0, 0, 0)


@pytest.mark.parametrize(
    "name", ["<script>alert(1)</script>", "=HYPERLINK(1)", "Розница 2", "O'Brien; DROP TABLE deck"]
)
def test_a_name_is_kept_as_it_is(db: Database, name: str) -> None:
    bring(db, name=name)
    assert [deck.name for deck in deck_list(db, NOW)] == [name]


def test_a_refused_file_names_every_bad_row_by_its_line(db: Database) -> None:
    sheet = "Code,Price\n44,0.01\n4.47E+11,0.02\n33,-0.01\n49,1.5e-3\n34,0.0000001\n44,0.03\n"
    assert refusal(db, sheet) == [
        (3, "prefix_scientific"),
        (4, "negative"),
        (5, "scientific"),
        (6, "too_fine"),
        (7, "duplicate_prefix"),
    ]


def test_a_refused_file_leaves_a_deck_as_it_was(db: Database) -> None:
    bring(db)
    assert refusal(db, SHEET + "49,Germany,free,1,1,0\n", now=NOW + HOUR) == [(5, "not_a_number")]
    assert price(db, "442079460000", NOW + 2 * HOUR) == 14_000


def csv_of(body: str) -> bytes:
    return f"Code,Rate,Increment\n{body}\n".encode()


def xlsx_of(*rows: tuple[Any, ...]) -> bytes:
    buffer = io.BytesIO()
    with xlsxwriter.Workbook(buffer, {"in_memory": True}) as book:
        sheet = book.add_worksheet("Rates")
        for number, row in enumerate((("Code", "Rate", "Increment"), *rows)):
            sheet.write_row(number, 0, row)
    return buffer.getvalue()


def zip_bomb() -> bytes:
    """An XLSX file whose sheet unpacks to 300 MB."""
    buffer = io.BytesIO(xlsx_of(("44", 0.01, 1)))
    with zipfile.ZipFile(buffer) as honest:
        parts = {name: honest.read(name) for name in honest.namelist()}
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            if not name.startswith("xl/worksheets/"):
                archive.writestr(name, content)
                continue
            with archive.open(name, "w", force_zip64=True) as stream:
                for _ in range(300):
                    stream.write(b" " * 1024 * 1024)
    return bomb.getvalue()


@pytest.mark.parametrize(
    ("sheet", "expected"),
    [
        pytest.param(
            lambda: csv_of("44,0.01,1").decode().encode("utf-16-le"), [(0, "utf16_without_bom")], id="18"
        ),
        pytest.param(lambda: csv_of("44,0.01,1\n33,0.02,1\n44,0.01,1"), [(4, "duplicate_prefix")], id="20"),
        pytest.param(
            lambda: xlsx_of(("44", 0.01, 1), ("44", 0.02, 1)), [(3, "duplicate_prefix")], id="20 xlsx"
        ),
        pytest.param(
            lambda: b"Code,Rate,From,Until\n44,1,2026-01-01,2026-06-30\n44,2,2026-06-15,2026-12-31\n",
            [(3, "overlapping_dates")],
            id="21",
        ),
        pytest.param(lambda: csv_of("44,-0.01,1"), [(2, "negative")], id="22"),
        pytest.param(lambda: xlsx_of(("44", -0.01, 1)), [(2, "negative")], id="22 xlsx"),
        pytest.param(lambda: csv_of("4.47E+11,0.01,1"), [(2, "prefix_scientific")], id="25"),
        pytest.param(lambda: csv_of("44,0.01,0"), [(2, "increment_zero")], id="26"),
        pytest.param(lambda: csv_of("44,0.01,1\n4\x004,0.01,1"), [(3, "nul")], id="27"),
        pytest.param(lambda: csv_of("020,0.01,1"), [(2, "prefix_zero")], id="28"),
        pytest.param(lambda: csv_of("44,0.01,1") + b"\n" * 20 * 1024 * 1024, [(0, "too_large")], id="29"),
        pytest.param(zip_bomb, [(0, "xlsx_unpacks_too_large")], id="30"),
    ],
)
def test_bad_files_are_refused_whole(
    db: Database, sheet: Callable[[], bytes], expected: list[tuple[int, str]]
) -> None:
    assert refusal(db, sheet()) == expected


def test_utf16_with_its_mark_and_semicolons_are_read_and_said(db: Database) -> None:
    done = bring(db, "Code;Price\n44;0,0140\n33;0,02\n".encode("utf-16"))
    assert price(db, "442079460000") == 14_000
    assert {(note.code, note.data.get("name")) for note in done.file.notes} >= {("delimiter", "semicolons")}
    assert {note.code for note in done.file.notes} >= {"encoding", "decimal_comma"}


def test_a_zero_rate_and_a_lost_zero_are_warned_of_and_taken(db: Database) -> None:
    done = bring(db, "Code,Price\n44,0\n392,0.01\n")
    assert [(warning.line, warning.code) for warning in done.file.warnings] == [
        (2, "zero_price"),
        (3, "lost_zero"),
    ]
    assert price(db, "442079460000") == 0


def test_signs_in_front_of_prefixes_are_taken_off_and_shown(db: Database) -> None:
    done = bring(db, "Code,Price\n0044,0.01\n+33 ,0.02\n")
    assert (price(db, "442079460000"), price(db, "33142685300")) == (10_000, 20_000)
    note = next(note for note in done.file.notes if note.code == "prefix_normalised")
    assert note.data == {"count": 2, "text": "0044", "became": "44"}


def test_an_xlsx_sheet_is_read(db: Database) -> None:
    bring(db, xlsx_of(("44", 0.014, 1), (33, "0.0155", 60)), filename="retail.xlsx")
    assert (price(db, "442079460000"), price(db, "33142685300")) == (14_000, 15_500)


def test_columns_can_be_named(db: Database) -> None:
    sheet = "A,B,C\n44,0.01,0.02\n"
    assert refusal(db, sheet) == [(0, "no_header")]
    done = bring(db, sheet, mapping={"prefix": "A", "price_per_minute": "C"})
    assert done.file.mapping == {"prefix": "A", "price_per_minute": "C"}
    assert price(db, "442079460000") == 20_000


def test_the_sheet_must_be_in_the_currency_of_the_deck(db: Database) -> None:
    assert refusal(db, SHEET, currency="EUR") == [(1, "currency_other")]


# Which version is in force


def test_a_version_is_in_force_from_its_instant_on(db: Database) -> None:
    december = datetime(2026, 12, 1, tzinfo=UTC)
    bring(db, "Code,Price\n44,0.01\n")
    coming = bring(db, "Code,Price\n44,0.02\n", now=NOW + HOUR, effective_from=december)
    assert coming.effective_from == december
    between = bring(db, "Code,Price\n44,0.03\n", now=NOW + 2 * HOUR)
    assert between.until == december
    assert price(db, "442079460000", NOW - timedelta(microseconds=1)) is None
    for at, expected in [
        (NOW, 10_000),
        (NOW + HOUR, 10_000),
        (NOW + 2 * HOUR - timedelta(microseconds=1), 10_000),
        (NOW + 2 * HOUR, 30_000),
        (december - timedelta(microseconds=1), 30_000),
        (december, 20_000),
        (december + timedelta(days=400), 20_000),
    ]:
        assert price(db, "442079460000", at) == expected, at
    # For the same instant the later import wins: how a version that is still to come can be put right.
    bring(db, "Code,Price\n44,0.04\n", now=NOW + 3 * HOUR, effective_from=december)
    assert price(db, "442079460000", december) == 40_000


@pytest.mark.parametrize(
    ("wanted", "start"),
    [
        (date(2026, 12, 1), datetime(2026, 12, 1, 5, tzinfo=UTC)),
        (datetime(2026, 12, 1, 8, 30), datetime(2026, 12, 1, 13, 30, tzinfo=UTC)),  # noqa: DTZ001
        (datetime(2026, 12, 1, 8, 30, tzinfo=UTC), datetime(2026, 12, 1, 8, 30, tzinfo=UTC)),
    ],
)
def test_a_day_begins_in_the_zone_of_the_deck(db: Database, wanted: date, start: datetime) -> None:
    assert bring(db, timezone="America/New_York", effective_from=wanted).effective_from == start
    # The zone is the deck's own, though the next import does not name it.
    assert bring(db, effective_from=wanted, dry_run=True).effective_from == start


def test_a_coming_version_is_compared_with_the_one_it_will_take_the_place_of(db: Database) -> None:
    bring(db, "Code,Price\n44,0.01\n33,0.01\n")
    december = datetime(2026, 12, 1, tzinfo=UTC)
    bring(db, "Code,Price\n44,0.02\n33,0.01\n", now=NOW + HOUR, effective_from=december)
    told = bring(db, "Code,Price\n44,0.02\n", now=NOW + HOUR, effective_from=december + HOUR, dry_run=True)
    assert (told.changed, told.removed, told.unchanged) == (0, 1, 1)
    told = bring(db, "Code,Price\n44,0.02\n", now=NOW + HOUR, dry_run=True)
    assert (told.changed, told.removed, told.unchanged) == (1, 1, 0)


def test_views_tell_what_is_in_force_coming_and_past(db: Database) -> None:
    bring(db, name="b", filename="first.csv")
    bring(db, name="b", filename="second.csv", now=NOW + HOUR)
    bring(db, name="b", filename="third.csv", now=NOW + HOUR, effective_from=NOW + 5 * HOUR)
    bring(db, name="A", currency="USD")
    shown = deck_list(db, NOW + 2 * HOUR)
    assert [deck.name for deck in shown] == ["A", "b"]
    assert [(version.source, version.state) for version in shown[1].versions] == [
        ("third.csv", "coming"),
        ("second.csv", "in force"),
        ("first.csv", "past"),
    ]
    assert shown[1].in_force is not None
    assert shown[1].in_force.source == "second.csv"
    assert deck_view(db, "b", NOW - HOUR).in_force is None
    with pytest.raises(NotFound, match="deck_not_found"):
        deck_view(db, "B\0\ud800", NOW)


def test_dates_and_hours_of_the_rates_hold_in_the_zone_of_the_deck(db: Database) -> None:
    sheet = (
        "prefix,price,days,from time,to time,effective from,effective until\n"
        "44,0.05,,,,,\n"
        "442,0.02,Mon-Fri,08:00,20:00,,\n"
        "33,0.01,,,,,2026-12-31\n"
        "33,0.03,,,,2027-01-01,\n"
    )
    bring(db, sheet, timezone="America/New_York")
    london, paris = "442079460000", "33142685300"
    # Monday, 23 November 2026: 13:00 UTC is 08:00 in New York.
    eight = datetime(2026, 11, 23, 13, tzinfo=UTC)
    assert price(db, london, eight - timedelta(seconds=1)) == 50_000
    assert price(db, london, eight) == 20_000
    assert price(db, london, eight + 12 * HOUR) == 50_000
    assert price(db, london, eight - timedelta(days=1)) == 50_000
    midnight = datetime(2027, 1, 1, 5, tzinfo=UTC)
    assert price(db, paris, midnight - timedelta(seconds=1)) == 10_000
    assert price(db, paris, midnight) == 30_000
    found = look_up(db, name="Retail", destination="+44 20 7946 0000", at=eight - HOUR)
    assert found.found.rate is not None
    assert (found.found.rate.prefix, found.destination.e164) == ("44", london)
    assert [(missed.rate.prefix, missed.why) for missed in found.found.missed] == [("442", "outside_window")]


def test_a_look_up_says_what_is_missing(db: Database) -> None:
    with pytest.raises(NotFound, match="deck_not_found"):
        look_up(db, name="Retail", destination="442079460000", at=NOW)
    bring(db, effective_from=NOW + HOUR)
    with pytest.raises(NotFound, match="deck_not_in_force"):
        look_up(db, name="Retail", destination="442079460000", at=NOW)
    with pytest.raises(InvalidInput, match="destination_invalid"):
        look_up(db, name="Retail", destination="911", at=NOW + HOUR)
    assert look_up(db, name="Retail", destination="49301234567", at=NOW + HOUR).found.rate is None


# Races


def test_two_first_imports_at_once_make_one_deck_with_two_whole_versions(db: Database) -> None:
    start = threading.Barrier(4)
    sheets = ["Code,Price\n" + "".join(f"{10 + n},0.0{turn}\n" for n in range(80)) for turn in range(1, 5)]

    def race(turn: int) -> DeckImport:
        start.wait()
        return bring(db, sheets[turn], now=NOW + timedelta(seconds=turn))

    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(race, range(4)))
    assert counts(db) == (1, 4, 320, 4)
    assert len({one.version_id for one in done}) == 4
    assert sum(one.new_deck for one in done) == 1
    assert price(db, "442079460000", NOW + HOUR) == 40_000
    with db.begin() as session:
        per_version = session.execute(
            text("SELECT count(*), count(DISTINCT price_per_minute) FROM deck_rate GROUP BY version_id")
        )
        assert [tuple(row) for row in per_version] == [(80, 1)] * 4


def test_of_two_first_imports_in_two_currencies_one_makes_the_deck(db: Database) -> None:
    start = threading.Barrier(2)

    def race(currency: str) -> DeckImport | Conflict:
        start.wait()
        try:
            return bring(db, "Code,Price\n44,0.01\n", currency=currency)
        except Conflict as error:
            return error

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(race, ["USD", "EUR"]))
    assert sorted(type(answer).__name__ for answer in answers) == ["Conflict", "DeckImport"]
    assert counts(db) == (1, 1, 1, 1)


# In the process


def test_a_table_is_read_once_and_shared_by_all_threads(db: Database) -> None:
    version = bring(db).version_id
    assert version is not None
    start = threading.Barrier(8)

    def ask(_: int) -> object:
        start.wait()
        return rate_table(db, version)

    with ThreadPoolExecutor(8) as pool:
        tables = list(pool.map(ask, range(8)))
    assert len({id(table) for table in tables}) == 1
    assert rate_table(db, version) is tables[0]
    with pytest.raises(NotFound, match="deck_version_not_found"):
        rate_table(db, version + 1)


def test_a_table_charges_as_the_deck_says(db: Database) -> None:
    version = bring(db, precision=2, rounding="up").version_id
    assert version is not None
    found = rate_table(db, version).find("447700900123", NOW)
    assert found is not None
    rate = found.rate
    assert (rate.price_per_minute, rate.connect_fee, rate.first_increment, rate.increment) == (
        29_000,
        50_000,
        30,
        6,
    )
    assert (rate.precision, rate.rounding) == (2, "up")
    assert (found.prefix, found.destination_name) == ("447", "United Kingdom, mobile")


def test_old_versions_leave_the_process_and_so_does_what_nobody_asks_for(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = [bring(db, now=NOW + n * HOUR).version_id or 0 for n in range(4)]
    other, more = (bring(db, name=name).version_id or 0 for name in ("Other", "More"))
    tables = {version: rate_table(db, version) for version in [*versions, other]}

    def is_kept(version: int) -> bool:
        return rate_table(db, version) is tables[version]

    assert [is_kept(version) for version in (versions[2], other, versions[3])] == [True, True, True]
    monkeypatch.setattr(deckversions, "MOST_TABLES", 3)
    rate_table(db, more)
    assert [is_kept(version) for version in (other, versions[3])] == [True, True]
    assert not is_kept(versions[2])
    assert not is_kept(versions[0])


def test_the_sample_deck_is_taken_without_a_warning(db: Database) -> None:
    sample = Path(__file__).parents[2] / "docs" / "sample-deck.csv"
    done = bring(db, sample.read_bytes(), filename=sample.name)
    assert done.rates > 300
    assert done.file.warnings == []
    for number in ("12125550123", "442079460000", "447700900123", "4915112345678", "881612345678"):
        assert price(db, number), number
