"""Forms of card files: what each writes, what it refuses, templates by name, previews without secrets, age files."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from typing import Any

import openpyxl
import pyrage
import pytest
from pyrage import x25519

from engine.db import Database
from engine.errors import Conflict, InvalidInput, NotFound
from engine.schema import AuditRow, ExportRun
from engine.stock import forms, rows, templates
from engine.stock.export import export_batch
from engine.stock.forms import COLUMNS, Form
from engine.stock.writing import checked_recipient
from engine.vault import Vault
from tests import scenes
from tests.scenes import NOW, OPERATOR, TestCard


def made(db: Database, vault: Vault, form: Form, name: str = "Dhaka 5", **more: Any) -> bytes:
    """The file of a batch in a form, in memory."""
    file = io.BytesIO()
    export_batch(db, vault, name, form, file, OPERATOR, NOW, **{"again": True, "reason": "test", **more})
    return file.getvalue()


@pytest.fixture
def cards(db: Database, vault: Vault) -> list[TestCard]:
    return scenes.batch(db, vault, 7, "5.00", name="Dhaka 5", number_length=16)


def test_columns_come_in_their_order_with_the_signs_that_were_chosen(
    db: Database, vault: Vault, cards: list[TestCard], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "CHUNK", 3)
    form = Form(columns=("password", "batch", "number"), delimiter=";", line_end="lf", header=False)
    text = made(db, vault, form).decode()
    assert text == "".join(f"{card.password};Dhaka 5;{card.number}\n" for card in cards)


def test_numbers_are_grouped_and_a_heading_stands_first(
    db: Database, vault: Vault, cards: list[TestCard]
) -> None:
    lines = (
        made(db, vault, Form(format="tsv", columns=("number", "serial"), grouping=4)).decode().split("\r\n")
    )
    assert lines[0] == "number\tserial"
    number = cards[0].number
    assert lines[1] == f"{number[:4]} {number[4:8]} {number[8:12]} {number[12:]}\t{cards[0].serial}"


def test_each_encoding_begins_once_and_reads_back(
    db: Database, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "CHUNK", 2)
    cards = scenes.batch(db, vault, 5, name="Málaga")
    for encoding, codec, mark in (
        ("utf-8", "utf-8", b""),
        ("utf-8-bom", "utf-8-sig", b"\xef\xbb\xbf"),
        ("latin-1", "latin-1", b""),
        ("utf-16", "utf-16", b"\xff\xfe"),
    ):
        data = made(db, vault, Form(columns=("serial", "batch"), encoding=encoding), "Málaga")
        assert data.startswith(mark)
        assert data.count(mark or b"\xef\xbb\xbf") == (1 if mark else 0)
        lines = data.decode(codec).split("\r\n")
        assert lines == ["serial,batch", *(f"{card.serial},Málaga" for card in cards), ""]


def test_what_an_encoding_cannot_write_is_refused_before_anything_is_recorded(
    db: Database, vault: Vault
) -> None:
    scenes.card(db, vault, name="Łódź")
    with pytest.raises(InvalidInput, match="encoding_unfit") as refused:
        made(db, vault, Form(encoding="latin-1"), "Łódź")
    assert refused.value.data["field"] == "encoding"
    # Without the name in it, it fits.
    assert made(db, vault, Form(encoding="latin-1", columns=("serial",)), "Łódź")


def test_fixed_width_pads_and_never_cuts(db: Database, vault: Vault, cards: list[TestCard]) -> None:
    columns = ("serial", "number", "denomination", "batch")
    form = Form(format="fixed", columns=columns, widths=(12, 20, 8, 10), grouping=4, line_end="lf")
    heading, *lines = made(db, vault, form).decode().splitlines()
    assert heading == "serial      number              denominabatch     "
    assert {len(line) for line in lines} == {50}
    assert lines[0].startswith(f"{cards[0].serial} {cards[0].number[:4]} ")
    assert lines[0].endswith("    5.00Dhaka 5   ")
    for narrow, column in (
        (replace(form, widths=(12, 18, 8, 10)), "number"),
        (replace(form, widths=(12, 20, 8, 6)), "batch"),
    ):
        with pytest.raises(InvalidInput, match="column_too_narrow") as refused:
            made(db, vault, narrow)
        assert refused.value.data["column"] == column
        assert cards[0].number not in str(refused.value)


def test_a_sheet_has_the_chosen_columns_as_text(db: Database, vault: Vault, cards: list[TestCard]) -> None:
    form = Form(format="xlsx", columns=("number", "serial"), header=False, grouping=4)
    sheet = openpyxl.load_workbook(io.BytesIO(made(db, vault, form))).worksheets[0]
    cells = [[cell.value for cell in row] for row in sheet.iter_rows()]
    assert [(row[0].replace(" ", ""), row[1]) for row in cells] == [
        (card.number, card.serial) for card in cards
    ]
    assert {cell.data_type for row in sheet.iter_rows() for cell in row} == {"s"}


def test_a_name_that_a_spreadsheet_would_run_is_quoted_in_every_text(db: Database, vault: Vault) -> None:
    name = '=HYPERLINK("http://x";"100%s")'
    scenes.card(db, vault, name=name)
    for format, signs in (("csv", ";"), ("tsv", "\t")):
        form = Form(format=format, columns=("batch", "serial"), delimiter=";", header=False)
        text = made(db, vault, form, name).decode()
        assert next(csv.reader(io.StringIO(text), delimiter=signs))[0] == f"'{name}"
    form = Form(format="fixed", columns=("batch", "serial"), header=False)
    assert made(db, vault, form, name).decode().startswith(f"'{name}")


def test_a_file_without_the_column_has_no_passwords_and_is_no_issue(
    db: Database, vault: Vault, cards: list[TestCard]
) -> None:
    form = Form(columns=("serial", "number"))
    for _ in range(2):
        file = io.BytesIO()
        export_batch(db, vault, "Dhaka 5", form, file, OPERATOR, NOW)
    with db.begin() as session:
        runs = session.query(ExportRun).all()
    assert [run.with_passwords for run in runs] == [False, False]


def test_an_age_recipient_alone_can_open_the_file(db: Database, vault: Vault, cards: list[TestCard]) -> None:
    identity = x25519.Identity.generate()
    recipient = str(identity.to_public())
    data = made(db, vault, Form(), recipient=f" {recipient} ", again=False, reason=None)
    assert data.startswith(b"age-encryption.org/v1")
    assert cards[0].password.encode() not in data
    clear = pyrage.decrypt(data, [identity]).decode()
    assert [row[2] for row in csv.reader(io.StringIO(clear))][1:] == [card.password for card in cards]
    with db.begin() as session:
        run = session.query(ExportRun).one()
    assert run.data["recipient"] == recipient
    assert run.data["file"] == "Dhaka 5.csv.age"


def test_what_is_no_recipient_is_refused() -> None:
    for recipient in ("age1", "ssh-ed25519 AAAA", "AGE-SECRET-KEY-1", "age1" + "q" * 58, "\ud800"):
        with pytest.raises(InvalidInput, match="bad_recipient"):
            checked_recipient(recipient)
    assert checked_recipient("  ") is None


def test_what_goes_wrong_inside_an_encrypted_file_is_told_as_it_is(
    db: Database, vault: Vault, cards: list[TestCard]
) -> None:
    recipient = str(x25519.Identity.generate().to_public())
    form = Form(format="fixed", columns=("number",), widths=(5,))
    with pytest.raises(InvalidInput, match="column_too_narrow"):
        made(db, vault, form, recipient=recipient)


def test_a_request_that_is_sent_twice_is_one_issue_and_another_is_refused(
    db: Database, vault: Vault, cards: list[TestCard]
) -> None:
    first = made(db, vault, Form(), key="k1", again=False, reason=None)
    assert made(db, vault, Form(), key="k1", again=False, reason=None) == first
    with db.begin() as session:
        assert session.query(ExportRun).count() == 1
    for other in ({"key": "k2"}, {"key": "k1", "form": Form(format="tsv")}, {"key": "k1", "later": 11}):
        form = other.get("form", Form())
        file = io.BytesIO()
        at = NOW.replace(minute=other.get("later", 0))
        with pytest.raises(Conflict, match="already_issued"):
            export_batch(db, vault, "Dhaka 5", form, file, OPERATOR, at, key=other["key"])
        assert file.getvalue() == b"" or cards[0].password.encode() not in file.getvalue()


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"format": "pdf"}, "not_a_choice"),
        ({"delimiter": "\t"}, "not_a_choice"),
        ({"line_end": "cr"}, "not_a_choice"),
        ({"encoding": "utf-7"}, "not_a_choice"),
        ({"grouping": 1}, "not_a_choice"),
        ({"grouping": False}, "not_a_choice"),
        ({"columns": ()}, "no_columns"),
        ({"columns": ("digest",)}, "unknown_column"),
        ({"columns": ("serial", "serial")}, "column_repeated"),
        ({"columns": ("serial",), "widths": (1, 2)}, "widths_incomplete"),
        ({"columns": ("serial",), "widths": (0,)}, "bad_width"),
        ({"columns": ("serial",), "widths": (201,)}, "bad_width"),
    ],
)
def test_a_form_that_nobody_could_write_is_refused(wrong: dict[str, Any], code: str) -> None:
    with pytest.raises(InvalidInput, match=code):
        forms.checked(Form(**wrong))
    assert code in [problem.code for problem in forms.problems(Form(**wrong))]


def test_a_form_survives_being_kept() -> None:
    form = Form(format="fixed", columns=("serial", "number"), widths=(11, 30), grouping=5, header=False)
    assert forms.from_settings({**forms.as_settings(form), "later": 1}) == form


def test_templates_are_kept_changed_and_forgotten_by_name(db: Database) -> None:
    one = templates.add(db, " Printer  A ", Form(), OPERATOR, NOW, key="k")
    assert one.name == "Printer A"
    assert templates.add(db, " Printer  A ", Form(), OPERATOR, NOW, key="k") == one
    with pytest.raises(InvalidInput, match="name_taken"):
        templates.add(db, "Printer A", Form(), OPERATOR, NOW)
    two = templates.add(db, "Till", Form(format="xlsx"), OPERATOR, NOW)
    with pytest.raises(InvalidInput, match="name_taken"):
        templates.change(db, two.id, OPERATOR, NOW, name="Printer A", form=Form())
    changed = templates.change(db, one.id, OPERATOR, NOW, name="Printer B", form=Form(grouping=4))
    assert [kept.name for kept in templates.templates(db)] == ["Printer B", "Till"]
    assert templates.template_named(db, "Printer B") == changed
    with db.begin() as session:
        row = session.query(AuditRow).filter_by(action="export_template.change").one()
    assert row.data["before"] == {"grouping": 0, "name": "Printer A"}
    assert templates.remove(db, one.id, OPERATOR, NOW) == "Printer B"
    for look in (lambda: templates.template(db, one.id), lambda: templates.template_named(db, "Printer\0B")):
        with pytest.raises(NotFound, match="template_not_found"):
            look()


def test_there_is_an_end_to_templates(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(templates, "MOST", 1)
    templates.add(db, "A", Form(), OPERATOR, NOW)
    with pytest.raises(InvalidInput, match="too_many_templates"):
        templates.add(db, "B", Form(), OPERATOR, NOW)


def test_a_preview_shows_the_first_cards_and_no_secret(
    db: Database, vault: Vault, cards: list[TestCard]
) -> None:
    for format in ("csv", "fixed", "xlsx"):
        seen = templates.preview(db, 1, Form(format=format, grouping=4))
        text = "\n".join((*seen.lines, *("|".join(row) for row in seen.cells)))
        assert cards[0].serial in text
        assert cards[4].serial in text
        assert cards[5].serial not in text
        assert f"•••• {cards[0].number[-4:]}" in text
        for card in cards:
            assert card.password not in text
            assert card.number not in text.replace(" ", "")


WARNED: tuple[tuple[dict[str, Any], Form, set[str]], ...] = (
    ({"number_length": 16, "number_prefix": "9"}, Form(columns=("number",)), {"long_digits", "no_password"}),
    ({"number_prefix": "9"}, Form(columns=("number",)), {"exponent", "no_password"}),
    ({"number_length": 10}, Form(columns=("number", "batch")), {"leading_zeros", "no_password", "not_ascii"}),
    ({"number_length": 16}, Form(columns=("number",), grouping=4), {"no_password"}),
    ({}, Form(columns=("password",), encoding="utf-16"), {"leading_zeros", "no_number"}),
    ({"number_length": 16}, Form(format="xlsx", columns=COLUMNS), set()),
)


def test_what_a_spreadsheet_would_make_of_it_is_told(db: Database, vault: Vault) -> None:
    for at, (order, form, warnings) in enumerate(WARNED):
        scenes.card(db, vault, name=f"Málaga {at}", **order)
        assert set(templates.preview(db, None, form).warnings) == warnings, order


def test_a_preview_needs_no_batch(db: Database) -> None:
    seen = templates.preview(db, None, Form())
    assert (seen.heading, seen.lines, seen.cells) == (COLUMNS, (), ())
