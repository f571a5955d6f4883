"""What is done to batches: stopped, resumed, given up, shredded, marked by ranges, handed out, imported."""

from __future__ import annotations

import io
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from pyrage import x25519

from engine import work
from engine.actor import CONSOLE
from engine.db import Database
from engine.people import resellers, staff
from engine.schema import AuditRow, Batch, Card, ExportRun, Upload
from engine.stock import handover, templates
from engine.stock.batches import BatchOrder, order_batch
from engine.stock.forms import Form
from engine.vault import Secret, Vault
from tests import scenes
from tests.portal.conftest import PASSWORD, Clock, Visitor, text_of
from tests.scenes import TestCard

OLD = b"PIN;Card No;Rest;Status\n12345678;990000000001;5.00;active\n87654321;990000000002;1.50;blocked\n"
EXPORT = {"form": "csv", "with_passwords": "y", "recipient": "", "reason": "", "key": "e1"}


def send(visitor: Any, path: str, headers: dict[str, str] | None = None, **fields: str) -> Any:
    """Post a form with the token of the first page that this visitor saw."""
    token = visitor.__dict__.setdefault("kept_token", None) or visitor.token()
    visitor.kept_token = token
    return visitor.post(path, data={"csrf_token": token, **fields}, headers=headers)


@pytest.fixture
def cards(db: Database, vault: Vault) -> list[TestCard]:
    return scenes.batch(db, vault, 6, name="Dhaka_5", release="activation")


def audited(db: Database) -> list[str]:
    with db.begin() as session:
        return [row.action for row in session.query(AuditRow).order_by(AuditRow.id)]


def test_an_unfinished_batch_is_stopped_resumed_and_given_up(
    visitor: Visitor, db: Database, vault: Vault
) -> None:
    scenes.deck(db)
    order_batch(
        db, vault, BatchOrder("Manila", 9, scenes.USD("5"), "USD", "Standard"), scenes.OPERATOR, scenes.NOW
    )
    page = visitor.get("/batches/1").text
    assert 'href="/batches/1/stop"' in page
    assert 'href="/batches/1/export"' not in page
    assert visitor.get("/batches/1/stop").status_code == 200
    assert send(visitor, "/batches/1/stop", key="k", reason="Wrong deck").status_code == 303
    assert "Stopped" in visitor.get("/batches/1").text
    assert send(visitor, "/batches/1/resume", key="k").status_code == 303
    assert send(visitor, "/batches/1/stop", key="k2", reason="").status_code == 303
    wrong = send(visitor, "/batches/1/discard", key="d", typed="manila", reason="")
    assert wrong.status_code == 422
    assert "That is not the name of this batch." in wrong.text
    for _ in range(2):
        assert send(visitor, "/batches/1/discard", key="d", typed="Manila", reason="").status_code == 303
    assert "Discarded" in visitor.get("/batches/1").text
    assert audited(db)[-5:] == ["batch.create", "batch.stop", "batch.resume", "batch.stop", "batch.discard"]
    late = send(visitor, "/batches/1/resume", key="k3")
    assert late.status_code == 422
    assert "was discarded" in late.text


def test_shredding_wants_the_name_and_says_what_it_means(
    visitor: Visitor, db: Database, cards: list[TestCard]
) -> None:
    assert "never handed out" in visitor.get("/batches/1/shred").text
    assert send(visitor, "/batches/1/shred", key="s", typed="", reason="").status_code == 422
    for _ in range(2):
        assert (
            send(visitor, "/batches/1/shred", key="s", typed="Dhaka_5", reason="Printed").status_code == 303
        )
    page = text_of(visitor.get("/batches/1").text)
    assert "shredded 20 Nov 2026, 12:00 by Front desk" in page
    assert audited(db).count("batch.shred") == 1
    assert "can't be read any more" in text_of(visitor.get("/batches/1/export").text)


def test_a_range_is_looked_at_done_once_and_told_where_it_is_none(
    visitor: Visitor, db: Database, cards: list[TestCard]
) -> None:
    asked = {
        "do": "activate",
        "from_serial": cards[1].serial,
        "to_serial": cards[4].serial,
        "reseller": "",
        "key": "r",
    }
    page = visitor.get("/batches/1/range").text
    assert f'value="{cards[0].serial}"' in page
    look = send(visitor, "/batches/1/range", step="look", reason="", **asked)
    assert "4 of 4 cards would be activated" in text_of(look.text)
    assert audited(db).count("cards.activate") == 0
    seen = re.search(r'name="seen" value="([^"]*)"', look.text)[1]  # type: ignore[index]
    # What was not looked at is looked at first.
    other = send(
        visitor,
        "/batches/1/range",
        step="do",
        seen=seen,
        reason="",
        **{**asked, "to_serial": cards[5].serial},
    )
    assert "5 of 5 cards would be activated" in text_of(other.text)
    for _ in range(2):
        done = send(visitor, "/batches/1/range", step="do", seen=seen, reason="", **asked)
        assert (done.status_code, done.headers["Location"]) == (303, "/batches/1")
    assert "4 cards activated." in visitor.get("/batches/1").text
    assert audited(db).count("cards.activate") == 1
    with db.begin() as session:
        assert session.query(Card).filter(Card.released_at.is_not(None)).count() == 4
    again = send(
        visitor,
        "/batches/1/range",
        step="look",
        reason="",
        **{**asked, "from_serial": cards[0].serial, "key": "r2"},
    )
    assert "1 of 5 cards would be activated" in text_of(again.text)
    assert "4 can be used already" in text_of(again.text)
    first, last = cards[0].serial, cards[-1].serial
    for from_serial, to_serial, at in (
        ("12345", last, "from_serial"),
        (first, "x", "to_serial"),
        (last, first, "to_serial"),
        ("", last, "from_serial"),
        ("１０００００００００１", last, "from_serial"),
    ):
        page = send(
            visitor,
            "/batches/1/range",
            step="look",
            do="sold",
            from_serial=from_serial,
            to_serial=to_serial,
            reseller="",
            key="k",
        )
        assert page.status_code == 422, (from_serial, to_serial)
        assert f'id="{at}-error"' in page.text, (from_serial, to_serial)
    gone = send(
        visitor,
        "/batches/1/range",
        step="look",
        do="fire",
        from_serial=first,
        to_serial=last,
        reseller="",
        key="k",
    )
    assert (gone.status_code, "Choose one of the list" in gone.text) == (422, True)


def test_a_range_is_given_to_a_reseller_and_taken_back(
    visitor: Visitor, db: Database, cards: list[TestCard]
) -> None:
    shop = resellers.add_reseller(db, "Corner <b>", CONSOLE, scenes.NOW)
    asked = {"from_serial": cards[0].serial, "to_serial": cards[2].serial, "reason": "Stock"}

    def done(key: str, **more: str) -> str:
        look = send(visitor, "/batches/1/range", step="look", key=key, **asked, **more)
        seen = re.search(r'name="seen" value="([^"]*)"', look.text)[1]  # type: ignore[index]
        assert (
            send(visitor, "/batches/1/range", step="do", seen=seen, key=key, **asked, **more).status_code
            == 303
        )
        return text_of(visitor.get("/batches/1").text)

    nobody = send(visitor, "/batches/1/range", step="look", key="n", do="assign", reseller="", **asked)
    assert "Choose the reseller who gets them." in nobody.text
    page = done("a", do="assign", reseller=str(shop.id))
    assert "3 cards given to Corner <b>." in page
    assert "Corner <b>" in page
    assert "Corner <b>" in text_of(visitor.get(f"/batches?reseller={shop.id}").text)
    assert "3 cards taken back." in done("b", do="unassign", reseller="")
    assert "No batch is like that." in visitor.get(f"/batches?reseller={shop.id}").text


def test_a_small_batch_is_handed_out_at_once_and_once(
    visitor: Visitor, db: Database, cards: list[TestCard]
) -> None:
    page = visitor.get("/batches/1/export")
    for card in cards:
        assert card.number not in page.text
    first = send(visitor, "/batches/1/export", **EXPORT)
    assert first.headers["Content-Disposition"] == "attachment; filename=Dhaka_5.csv"
    assert first.headers["Cache-Control"] == "no-store"
    assert f"{cards[0].serial},{cards[0].number},{cards[0].password}," in first.text
    assert send(visitor, "/batches/1/export", **EXPORT).data == first.data
    with db.begin() as session:
        assert session.query(ExportRun).count() == 1
        rows = session.query(AuditRow).filter_by(action="batch.export").order_by(AuditRow.id)
        # One issue, but each file that left the house is told.
        assert [row.data.get("repeated") for row in rows] == [None, True]
    refused = send(visitor, "/batches/1/export", **{**EXPORT, "key": "e2"})
    assert refused.status_code == 422
    assert "were exported on" in refused.text
    assert cards[0].password not in refused.text
    why = send(visitor, "/batches/1/export", **{**EXPORT, "key": "e3", "again": "y"})
    assert (why.status_code, "Say why." in why.text) == (422, True)
    again = send(visitor, "/batches/1/export", **{**EXPORT, "key": "e4", "again": "y", "reason": "Paper jam"})
    assert again.data == first.data
    page_text = text_of(visitor.get("/batches/1").text)
    assert "Paper jam" in page_text
    assert "Dhaka_5.csv" in page_text
    without = send(visitor, "/batches/1/export", form="xlsx", recipient="", reason="", key="e5")
    assert without.mimetype.endswith("spreadsheetml.sheet")


def test_a_template_and_a_recipient_make_the_file(visitor: Visitor, db: Database, vault: Vault) -> None:
    scenes.batch(db, vault, 2, name="Málaga/5")
    kept = templates.add(
        db, "Printer", Form(columns=("serial", "number"), delimiter=";"), CONSOLE, scenes.NOW
    )
    file = send(visitor, "/batches/1/export", **{**EXPORT, "form": f"t{kept.id}"})
    assert file.text.splitlines()[0] == "serial;number"
    assert file.headers["Content-Disposition"].endswith("filename*=UTF-8''M%C3%A1laga_5.csv")
    wrong = send(visitor, "/batches/1/export", **{**EXPORT, "recipient": "age1nobody"})
    assert (wrong.status_code, 'id="recipient-error"' in wrong.text) == (422, True)
    recipient = str(x25519.Identity.generate().to_public())
    sealed = send(visitor, "/batches/1/export", **{**EXPORT, "recipient": recipient, "key": "e9"})
    assert sealed.data.startswith(b"age-encryption.org/v1")
    templates.remove(db, kept.id, CONSOLE, scenes.NOW)
    gone = send(visitor, "/batches/1/export", **{**EXPORT, "form": f"t{kept.id}"})
    assert (gone.status_code, "Choose one of the list" in gone.text) == (422, True)


def test_a_second_person_is_asked_where_the_house_wants_it(
    visitor: Visitor, db: Database, cards: list[TestCard]
) -> None:
    scenes.setting(db, "consent_exports", True)
    asked = send(visitor, "/batches/1/export", **EXPORT)
    assert asked.status_code == 422
    assert "A second person has to agree first." in asked.text
    assert cards[0].password not in asked.text
    assert audited(db)[-1] == "consent.ask"


def test_a_large_batch_is_made_in_the_background_and_fetched_by_its_maker_alone(
    visitor: Visitor,
    app: Flask,
    db: Database,
    vault: Vault,
    cards: list[TestCard],
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(handover, "AT_ONCE", 5)
    ordered = send(visitor, "/batches/1/export", **EXPORT)
    assert ordered.status_code == 303
    page = visitor.get("/batches/1/export").text
    assert 'hx-get="/batches/1/export/1"' in page or re.search(r'hx-get="/batches/1/export/\d+"', page)
    work_id = int(re.search(r'hx-get="/batches/1/export/(\d+)"', page)[1])  # type: ignore[index]
    path = f"/batches/1/export/{work_id}"
    assert "Waiting" in visitor.part(path).text
    claimed = work.claim(db, "test", [handover.KIND], clock.now)
    assert claimed is not None
    work.finish(db, claimed, clock.now, handover.run(db, vault, claimed, clock))
    part = visitor.part(path).text
    assert "hx-get" not in part
    assert f'action="{path}/download"' in part
    staff.add_staff(db, "other", "Other", "operator", Secret(PASSWORD), CONSOLE, scenes.NOW)
    other: Any = app.test_client()
    other.log_in("other")
    assert other.get(path).status_code == 404
    assert send(other, f"{path}/download").status_code == 404
    file = send(visitor, f"{path}/download")
    assert cards[0].password in file.text
    assert send(visitor, f"{path}/download").status_code == 404
    assert "It was downloaded" in visitor.get(path).text
    assert "Files you ordered" not in visitor.get("/batches/1/export").text
    assert list((tmp_path / "exports").iterdir()) == []


def test_templates_are_made_previewed_changed_and_removed(
    visitor: Visitor, db: Database, cards: list[TestCard]
) -> None:
    assert "No template yet." in visitor.get("/templates").text
    fields = {
        "name": "Printer A",
        "format": "fixed",
        "delimiter": ",",
        "line_end": "lf",
        "encoding": "utf-8",
        "grouping": "4",
        "header": "y",
        **{f"column_{n}": "" for n in range(1, 9)},
        **{f"width_{n}": "" for n in range(1, 9)},
        "column_2": "number",
        "column_5": "serial",
        "key": "t",
    }
    part = {"HX-Request": "true", "HX-Request-Type": "partial"}
    seen = send(visitor, "/templates/new", headers=part, **fields)
    assert seen.text.lstrip().startswith("<article")
    assert f"•••• •••• {cards[0].number[-4:]}      {cards[0].serial}" in seen.text
    assert "There is no column for the password." in seen.text
    for _ in range(2):
        assert send(visitor, "/templates/new", **fields).headers["Location"] == "/templates"
    assert "Printer A" in visitor.get("/templates").text
    page = visitor.get("/templates/1").text
    assert page.index('<option selected value="number">') < page.index('<option selected value="serial">')
    for change, told in (
        ({"column_3": "number"}, "twice"),
        ({"column_2": "", "column_5": ""}, "at least one column"),
        ({"width_2": "0"}, "between 1 and 200"),
        ({"name": " "}, "Fill this in."),
        ({"format": "pdf"}, "Choose one of the list"),
    ):
        wrong = send(visitor, "/templates/1", **{**fields, **change})
        assert (wrong.status_code, told in wrong.text) == (422, True), change
    assert send(visitor, "/templates/1", **{**fields, "name": "Printer <B>"}).status_code == 303
    assert "Printer &lt;B&gt;" in visitor.get("/templates/1/remove").text
    assert send(visitor, "/templates/1/remove", key="x").status_code == 303
    assert visitor.get("/templates/1").status_code == 404


def upload(visitor: Visitor, data: bytes = OLD, name: str = "old.csv") -> Any:
    return visitor.post(
        "/batches/import",
        data={"csrf_token": visitor.token(), "key": "u", "file": (io.BytesIO(data), name)},
        content_type="multipart/form-data",
    )


IMPORT = {
    "kind": "calling",
    "name": "Old cards",
    "deck": "Standard",
    "validity_days": "90",
    "validity_from": "first_use",
    "first_use": "authentication",
    "grace_days": "0",
    "binding": "none",
    "max_bound": "0",
    "concurrency": "1",
    "destination_rules": "Standard",
    "language": "en",
    "post_call_fee": "0",
    "maintenance_fee": "0",
    "release": "generation",
    "reseller": "",
    "delimiter": "",
    **{f"column_{name}": "" for name in ("number", "password", "balance", "expiry", "state", "first_used")},
    "key": "i1",
}


def test_a_list_is_sent_looked_at_mapped_and_taken_once(visitor: Visitor, db: Database) -> None:
    scenes.deck(db)
    sent = upload(visitor)
    assert sent.headers["Location"] == "/batches/import/1"
    page = visitor.get("/batches/import/1").text
    # Its balance has a name that nobody knows: the columns are offered.
    assert "There is no column for the balance" in text_of(page)
    assert '<option value="Rest">' in page
    looked = send(visitor, "/batches/import/1", step="look", **{**IMPORT, "column_balance": "Rest"})
    text = text_of(looked.text)
    assert "Cards2" in text
    assert "USD 6.50" in text
    assert "Locked1" in text
    assert "…0001" in text
    for secret in ("990000000001", "12345678", "87654321"):
        assert secret not in looked.text
    with db.begin() as session:
        assert session.query(Batch).count() == 0
        assert b"12345678" not in session.query(Upload).one().sealed
    for _ in range(2):
        done = send(visitor, "/batches/import/1", step="import", **{**IMPORT, "column_balance": "Rest"})
        assert (done.status_code, done.headers["Location"]) == (303, "/batches/1")
    with db.begin() as session:
        assert session.query(Batch).one().name == "Old cards"
        assert session.query(Upload).count() == 0
    assert "2 cards are imported." in visitor.get("/batches/1").text
    assert visitor.get("/batches/import/1").status_code == 404


def test_a_list_that_is_confirmed_twice_at_once_becomes_one_batch(
    visitor: Visitor, app: Flask, db: Database
) -> None:
    scenes.deck(db)
    upload(visitor)
    other = app.test_client()
    assert other.log_in().status_code == 303
    sent = {**IMPORT, "column_balance": "Rest", "step": "import"}
    racers = [(one, {**sent, "csrf_token": one.token()}) for one in (visitor, other)]
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda racer: racer[0].post("/batches/import/1", data=racer[1]), racers))
    assert [(one.status_code, one.headers["Location"]) for one in done] == [(303, "/batches/1")] * 2
    with db.begin() as session:
        assert session.query(Batch).count() == 1


def test_a_list_with_problems_is_refused_whole_with_its_lines(visitor: Visitor, db: Database) -> None:
    scenes.deck(db)
    bad = b"number,password,balance\n990000000001,12345678,5.00\n990000000001,1,5\n4.47E+11,12345678,-1\n"
    upload(visitor, bad)
    page = text_of(visitor.get("/batches/import/1").text)
    assert "Line 3, number: the same number is on line 2 too." in page
    assert "Line 4, number: a spreadsheet wrote this as a decimal" in page
    assert "Import 3 cards" not in page
    tried = send(visitor, "/batches/import/1", step="import", **IMPORT)
    assert (tried.status_code, "Nothing was imported" in tried.text) == (422, True)
    with db.begin() as session:
        assert session.query(Batch).count() == 0
    assert send(visitor, "/batches/import/1", step="drop", **IMPORT).headers["Location"] == "/batches/import"
    assert visitor.get("/batches/import/1").status_code == 404
    empty = upload(visitor, b"")
    assert (empty.status_code, "This file is empty." in empty.text) == (422, True)
    missing = send(visitor, "/batches/import", key="u")
    assert (missing.status_code, "Choose a file." in missing.text) == (422, True)
    for at, (data, told) in enumerate(((b"PK\x03\x04junk", "damaged"), (b"hello", "column names")), 2):
        upload(visitor, data)
        looked = visitor.get(f"/batches/import/{at}")
        assert looked.status_code == 200
        assert "What is wrong" in looked.text
        assert told in looked.text


def test_a_taken_name_keeps_the_list_and_another_never_sees_it(
    visitor: Visitor, app: Flask, db: Database, vault: Vault
) -> None:
    scenes.card(db, vault, name="Old cards")
    upload(visitor, OLD.replace(b"Rest", b"Balance"), "=evil\x00.csv")
    page = send(visitor, "/batches/import/1", step="import", **IMPORT)
    assert page.status_code == 422
    assert 'id="name-error"' in page.text
    staff.add_staff(db, "other", "Other", "operator", Secret(PASSWORD), CONSOLE, scenes.NOW)
    other: Any = app.test_client()
    other.log_in("other")
    assert other.get("/batches/import/1").status_code == 404
    assert send(other, "/batches/import/1", step="import", **IMPORT).status_code == 404
    done = send(visitor, "/batches/import/1", step="import", **{**IMPORT, "name": "Older"})
    assert done.status_code == 303


@pytest.mark.parametrize("form", ["txx", "t", "x", "t99999999999999999999999", "t1"])
@pytest.mark.parametrize("path", ["/batches/1/export", "/batches/1/export/preview"])
def test_a_form_of_files_that_is_not_offered_is_refused(
    visitor: Visitor, db: Database, cards: list[TestCard], path: str, form: str
) -> None:
    answer = send(visitor, path, **{**EXPORT, "form": form})
    assert answer.status_code == (422 if path.endswith("export") else 200)
    assert "There is no export template named" in text_of(answer.text)
    with db.begin() as session:
        assert session.query(ExportRun).count() == 0


@pytest.mark.parametrize("wrong", [{"grouping": "abc"}, {"column_1": "zz"}, {"format": "zz"}])
def test_a_preview_of_a_template_that_cannot_be_says_so(visitor: Visitor, wrong: dict[str, str]) -> None:
    fields = {"step": "preview", "name": "x", "format": "fixed", "column_1": "serial", "key": "k"}
    answer = send(visitor, "/templates/new", **{**fields, **wrong})
    assert answer.status_code in (200, 422)
    assert '<p class="notice bad" role="alert">' in answer.text
