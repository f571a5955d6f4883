"""Designs, printers and print runs in the console."""

from __future__ import annotations

import hashlib
import re
from io import BytesIO
from pathlib import Path
from typing import Any

import pypdfium2
import pytest
from flask import Flask
from PIL import Image

from engine import settings, work
from engine.actor import CONSOLE
from engine.db import Database
from engine.people import audit, staff
from engine.stock.custody import Range
from engine.stock.printing import designs, making, printers, runs, runviews
from engine.stock.printing.design import Design
from engine.stock.shredding import shred
from engine.vault import Secret, Vault
from portal.operator.printing import drawing
from tests import scenes
from tests.portal.conftest import PASSWORD, Clock, Visitor, text_of
from tests.scenes import NOW, OPERATOR, TestCard

FORM = {
    "key": "d1",
    "name": "Shop sheet",
    "layout": "a4-10",
    "sides": "1",
    "language": "en",
    "second": "",
    "colour": "#aa2200",
    "logo": "y",
    "fields": ["denomination", "serial"],
    "for_resellers": "y",
}
LONG = "All that was ever agreed. " * 38
FULL = {
    "layout": "letter-12",
    "second": "es",
    "terms": LONG,
    "terms_second": LONG,
    "instructions": LONG,
    "fields": ["qr", "instructions", "terms"],
}
"""More than a small card holds."""


def send(visitor: Visitor, path: str, data: dict[str, Any], part: bool = False) -> Any:
    """Post a form with a token, as a page or as htmx asks for a part."""
    headers = {"HX-Request": "true", "HX-Request-Type": "partial"} if part else None
    return visitor.post(path, data={"csrf_token": visitor.token(), **data}, headers=headers)


def made(db: Database, vault: Vault, clock: Clock) -> None:
    """Do the work that waits, as the worker does."""
    claimed = work.claim(db, "test", [runs.KIND], clock.now)
    assert claimed is not None
    work.finish(db, claimed, clock.now, making.make(db, vault, claimed, clock))


@pytest.fixture
def cards(db: Database, vault: Vault) -> list[TestCard]:
    return scenes.batch(db, vault, 12, name="Dhaka_5", release="activation")


@pytest.fixture
def plain(db: Database) -> int:
    """A design that is quickly drawn."""
    return designs.add(db, "Labels", Design("labels-a4-65", fields=("serial",)), OPERATOR, NOW).id


# --- designs ---


def test_a_design_is_made_seen_changed_and_removed(visitor: Visitor, db: Database) -> None:
    empty = text_of(visitor.get("/designs").text)
    assert "There is no design yet." in empty
    assert "Plastic card, two sides" in empty
    begun = visitor.get("/designs/new?like=Receipt,+80+mm").text
    assert 'value="Receipt, 80 mm"' in begun
    assert re.search(r'<option selected value="receipt-80"', begun)
    assert visitor.get("/designs/new?like=nothing").status_code == 400

    assert send(visitor, "/designs/new", FORM).location == "/designs"
    assert send(visitor, "/designs/new", FORM).location == "/designs", "sent twice it is once"
    view = designs.designs(db)[0]
    assert (view.name, view.design.colour, view.design.fields) == (
        "Shop sheet",
        None,
        ("denomination", "serial"),
    )
    listed = visitor.get("/designs").text
    picture = re.search(r'<img src="(/designs/1/card.png\?v=\w+)"', listed)
    assert picture
    seen = visitor.get(picture[1])
    assert (seen.mimetype, seen.headers["Cache-Control"]) == ("image/png", drawing._KEEP)
    assert Image.open(BytesIO(seen.data)).width in (drawing.CARD_PX - 1, drawing.CARD_PX)
    assert visitor.get(picture[1], headers={"If-None-Match": seen.headers["ETag"]}).status_code == 304
    assert "immutable" not in visitor.get("/designs/1/card.png").headers["Cache-Control"]

    own = {
        **FORM,
        "own_colour": "y",
        "terms": "No refund.",
        "second": "ar",
        "for_resellers": "",
        "name": "Shop",
    }
    measures = dict(
        zip(
            ("left", "top", "width", "height", "gap_x", "gap_y"),
            ("15", "13,5", "85", "54", "10", "0"),
            strict=True,
        )
    )
    assert send(visitor, "/designs/1", {**own, **measures}).location == "/designs/1"
    view = designs.design(db, 1)
    assert (view.design.colour, view.design.languages, view.for_resellers) == ("#aa2200", ("en", "ar"), False)
    assert dict(view.design.terms) == {"en": "No refund."}
    assert view.design.measures
    assert (view.design.measures.top, view.design.measures.gap_y) == (13.5, 0)
    again = visitor.get("/designs/1").text
    assert 'value="13.5"' in again
    sample = visitor.get("/designs/1/sample.pdf")
    with pypdfium2.PdfDocument(sample.data) as pdf:
        assert len(pdf) == 1
        assert pdf[0].get_textpage().get_text_range().count("SAMPLE") == 10
    assert len(pypdfium2.PdfDocument(visitor.get("/printers/measure.pdf?design=1").data)) == 1

    assert send(visitor, "/designs/1/remove", {"key": "r"}).location == "/designs"
    assert visitor.get("/designs/1").status_code == 404


def test_the_preview_follows_the_form_and_says_what_does_not_fit(
    visitor: Visitor, db: Database, plain: int
) -> None:
    small = {**FORM, "layout": "labels-a4-65", "name": ""}
    page = send(visitor, "/designs/preview", small, part=True)
    assert page.status_code == 200
    assert page.text.count("data:image/png;base64,") == 1
    assert "<form" not in page.text
    whole = send(visitor, f"/designs/{plain}/preview", small)
    assert whole.text.count("data:image/png;base64,") == 1
    assert "design-form" in whole.text
    for change, sentence in (
        ({"layout": "nothing"}, "Choose one of the list."),
        ({"sides": "2"}, "one side only"),
        ({"colour": "red", "own_colour": "y"}, "Colour"),
        ({"width": "38"}, "From the left edge to the first card"),
        ({"left": "１"}, "Type millimetres in plain digits"),
        ({"second": "en"}, "Choose another second language"),
        ({"terms": "x" * 1001}, "Terms"),
        (FULL, "does not fit"),
    ):
        wrong = send(visitor, "/designs/preview", {**small, **change}, part=True)
        assert wrong.status_code == 422, change
        assert sentence in text_of(wrong.text), (change, text_of(wrong.text))
        assert "data:image" not in wrong.text
    full = send(visitor, "/designs/new", {**FORM, **FULL})
    assert full.status_code == 422
    assert re.search(r'id="terms-error">[^<]*does not fit', full.text)
    assert len(designs.designs(db)) == 1


def test_a_logo_is_a_picture_and_nothing_else(visitor: Visitor, db: Database) -> None:
    svg = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
    wide = BytesIO()
    Image.new("1", (30_000, 20)).save(wide, "PNG")
    for data, name in (
        (svg, "logo.svg"),
        (wide.getvalue(), "wide.png"),
        (b"<html><script>1</script>", "logo.png"),
    ):
        for path in ("/designs/new", "/designs/preview"):
            answer = send(visitor, path, {**FORM, "logo_file": (BytesIO(data), name)})
            assert answer.status_code == 422
            assert 'id="logo_file-error"' in answer.text
            assert 'value="Shop sheet"' in answer.text
    assert designs.designs(db) == ()
    kept = send(visitor, "/designs/new", {**FORM, "logo_file": (BytesIO(scenes.logo()), "logo.png")})
    assert kept.status_code == 303
    assert designs.design(db, 1).has_logo
    assert "Remove the logo" in visitor.get("/designs/1").text
    assert send(visitor, "/designs/1", {**FORM, "remove_logo": "y"}).status_code == 303
    assert not designs.design(db, 1).has_logo


def test_whoever_comes_while_too_many_wait_keeps_the_picture_they_have(visitor: Visitor, plain: int) -> None:
    taken = 0
    while drawing._queue.acquire(blocking=False):
        taken += 1
    try:
        busy = send(visitor, "/designs/preview", {**FORM, "layout": "labels-a4-65"}, part=True)
        assert busy.status_code == 503
        assert "database" not in busy.text
        unkept = send(visitor, "/designs/new", FORM)
        assert unkept.status_code == 422
        assert "Nothing was kept yet" in text_of(unkept.text)
    finally:
        drawing._queue.release(taken)
    assert send(visitor, "/designs/preview", {**FORM, "layout": "labels-a4-65"}, part=True).status_code == 200


# --- printers ---


def test_a_printer_is_measured_in_words_not_signs(visitor: Visitor, db: Database) -> None:
    assert "No printer is measured yet." in visitor.get("/printers").text
    form = {"key": "p", "name": "Office", "right": "1.5", "right_way": "-1", "down": "0,3", "down_way": "1"}
    for _ in range(2):
        assert send(visitor, "/printers/new", form).location == "/printers"
    assert [one.offset_um for one in printers.printers(db, None)] == [(-1500, 300)]
    assert "1.5 mm left, 0.3 mm down" in text_of(visitor.get("/printers").text)
    page = visitor.get("/printers/1").text
    assert 'value="1.5"' in page
    assert '<option selected value="-1">left of the line' in page
    for wrong in ({"right": "-1"}, {"right": "21"}, {"down": "x"}, {"name": ""}, {"right_way": "2"}):
        assert send(visitor, "/printers/1", {**form, **wrong}).status_code == 422
    moved = visitor.get("/printers/measure.pdf?layout=letter-12&printer=1")
    assert visitor.get("/printers/measure.pdf?layout=a4-8&printer=").status_code == 200
    with pypdfium2.PdfDocument(moved.data) as pdf:
        assert [round(side / 72, 1) for side in pdf[0].get_size()] == [8.5, 11.0]
        assert "1.5 mm left" in pdf[0].get_textpage().get_text_range()
    assert visitor.get("/printers/measure.pdf?layout=cr80").status_code == 400
    assert visitor.get("/printers/measure.pdf?printer=9").status_code == 404
    assert send(visitor, "/printers/1/remove", {"key": "r"}).location == "/printers"
    assert visitor.get("/printers/1").status_code == 404


# --- runs ---


def test_cards_are_printed_downloaded_by_who_ordered_them_and_confirmed(
    app: Flask, visitor: Visitor, db: Database, vault: Vault, clock: Clock, cards: list[TestCard], plain: int
) -> None:
    path = "/batches/1/print"
    page = visitor.get(path)
    assert "12 cards on 1 sheet" in text_of(page.text)
    picture = re.search(r'<img src="([^"]+amount=5000000&amp;currency=USD)"', page.text)
    assert picture
    assert visitor.get(picture[1].replace("&amp;", "&")).headers["Cache-Control"] == drawing._KEEP
    for odd in (
        "amount=999999999999999999&currency=ZZZ",
        "amount=5&currency=<b>",
        "amount=&currency=USD",
        "amount=x",
    ):
        assert visitor.get(f"/designs/{plain}/card.png?{odd}").status_code in (200, 400, 422), odd
    asked = {
        "key": "r1",
        "from_serial": cards[0].serial,
        "to_serial": cards[9].serial,
        "design": str(plain),
        "printer": "",
        "start_at": "60",
        "reason": "",
    }
    spaced = f" {cards[0].serial[:4]} {cards[0].serial[4:]}"
    look = send(visitor, path, {**asked, "from_serial": spaced, "step": "look"}, part=True)
    assert "10 cards on 2 sheets" in text_of(look.text)
    seen = re.search(r'name="seen" value="([^"]+)"', look.text)[1]  # type: ignore[index]
    # What was not looked at is looked at first.
    unseen = send(visitor, path, {**asked, "start_at": "1", "step": "do", "seen": seen})
    assert unseen.status_code == 200
    assert "Something was changed since you saw this." in unseen.text
    for _ in range(2):
        assert send(visitor, path, {**asked, "step": "do", "seen": seen}).location == "/print/1"
    waiting = visitor.part("/print/1").text
    assert "Waiting" in waiting
    assert "hx-get" in waiting
    assert send(visitor, "/print/1/download", {}).status_code == 409
    made(db, vault, clock)
    assert visitor.part("/print/1").headers["HX-Redirect"] == "/print/1"

    page = text_of(visitor.get("/print/1").text)
    assert "Did it print well?" in page
    assert visitor.get("/print/1/download").status_code == 405
    file = send(visitor, "/print/1/download", {})
    assert file.headers["Content-Disposition"] == "attachment; filename=cards-1.pdf"
    assert file.headers["Cache-Control"] == "no-store"
    digest = hashlib.sha256(file.data).hexdigest()
    assert digest in visitor.get("/print/1").text
    with pypdfium2.PdfDocument(file.data) as pdf:
        words = "".join("".join(page.get_textpage().get_text_range() for page in pdf).split())
    assert [words.count(card.serial) for card in cards] == [1] * 10 + [0] * 2

    # A colleague sees the run, and gets neither the file nor a say.
    staff.add_staff(db, "other", "Somebody else", "admin", Secret(PASSWORD), CONSOLE, NOW)
    other = app.test_client()
    assert isinstance(other, Visitor)
    other.log_in("other")
    assert "Only Front desk" in text_of(other.get("/print/1").text)
    assert send(other, "/print/1/download", {}).status_code == 404
    assert send(other, "/print/1/confirm", {"key": "c"}).status_code == 404
    assert visitor.post("/print/1/download").status_code == 403, "without a token"

    assert send(visitor, "/print/1/confirm", {"key": "c"}).location == "/print/1"
    told = text_of(visitor.get("/print/1").text)
    assert "10 cards are marked as printed. The file is deleted." in told
    assert "Shred" not in told, "two cards are left"
    assert send(visitor, "/print/1/download", {}).status_code == 404

    # What was printed is left out; again only with a reason.
    look = text_of(send(visitor, path, {**asked, "step": "look"}, part=True).text)
    assert "10 cards were printed or handed out before." in look
    assert "by Front desk" in look
    more = {**asked, "key": "r2", "again": "y", "start_at": "1"}
    look = send(visitor, path, {**more, "step": "look"}, part=True)
    seen = re.search(r'name="seen" value="([^"]+)"', look.text)[1]  # type: ignore[index]
    bare = send(visitor, path, {**more, "step": "do", "seen": seen})
    assert bare.status_code == 422
    assert 'id="reason-error"' in bare.text
    done = send(visitor, path, {**more, "step": "do", "seen": seen, "reason": "Paper jam"})
    assert done.location == "/print/2"
    assert "Paper jam" in visitor.get("/print/2").text
    assert send(visitor, "/print/2/cancel", {"key": "x"}).location == "/print/2"
    assert runviews.run(db, 2, OPERATOR, NOW).state == "cancelled"
    listed = text_of(visitor.get("/print?batch=1").text)
    assert "Cancelled" in listed
    assert "Printed" in listed
    assert visitor.get("/print?batch=9").status_code == 404
    actions = [row.action for row in audit.search(db, action="print_run.").rows]
    assert [actions.count(f"print_run.{verb}") for verb in ("order", "fetch", "confirm", "cancel")] == [
        2,
        1,
        1,
        1,
    ]


def test_a_whole_batch_that_printed_well_offers_to_shred_its_passwords(
    visitor: Visitor, db: Database, vault: Vault, clock: Clock, cards: list[TestCard], plain: int
) -> None:
    look = visitor.get("/batches/1/print").text
    seen = re.search(r'name="seen" value="([^"]+)"', look)[1]  # type: ignore[index]
    whole = {
        "from_serial": cards[0].serial,
        "to_serial": cards[-1].serial,
        "design": str(plain),
        "start_at": "1",
    }
    asked = {"key": "r", "printer": "", "reason": "", "step": "do", "seen": seen, **whole}
    assert send(visitor, "/batches/1/print", asked).location == "/print/1"
    made(db, vault, clock)
    early = send(visitor, "/print/1/confirm", {"key": "c"})
    assert early.status_code == 422
    assert "This file was not downloaded yet" in early.text
    assert send(visitor, "/print/1/download", {}).status_code == 200
    send(visitor, "/print/1/confirm", {"key": "c"})
    assert 'href="/batches/1/shred"' in visitor.get("/print/1").text


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://127.0.0.1:8000/card/log-in", True),
        ("http://localhost/card/log-in", True),
        ("http://cardtone.local/x", True),
        ("http://192.168.1.4/x", True),
        ("http://[::1]:80/x", True),
        ("https://cards.example.com/x", False),
        ("https://8.8.8.8/x", False),
    ],
)
def test_an_address_that_customers_cannot_open_is_known(url: str, local: bool) -> None:
    assert drawing.is_local(url) is local


def test_what_is_printed_again_has_its_design_and_printer_and_codes_that_lead_nowhere_are_told(
    visitor: Visitor, db: Database, vault: Vault, cards: list[TestCard], plain: int
) -> None:
    with_codes = designs.add(db, "Zebra", Design("a4-10", fields=("qr",)), OPERATOR, NOW)
    office = printers.add(db, "Office", (0, 0), OPERATOR, NOW)
    part = Range(cards[0].id, cards[4].id)
    runs.order(
        db,
        vault,
        part,
        with_codes.id,
        Path("/nowhere"),
        OPERATOR,
        NOW,
        log_in_url="https://cards.example.com/",
        printer_id=office.id,
    )
    page = visitor.get("/batches/1/print?run=1").text
    for chosen in (f'value="{with_codes.id}"', f'value="{office.id}"'):
        assert re.search(rf"<option selected {chosen}>", page), chosen
    assert "The QR codes would lead to" in text_of(page)
    assert "QR codes would lead" not in visitor.get("/print/1").text
    work_page = visitor.get("/work?kind=print").text
    assert "Print run: Dhaka_5" in text_of(work_page)
    assert 'href="/print/1"' in work_page
    labels = send(visitor, "/batches/1/print", {"design": str(plain), "step": "look"}, part=True)
    assert "QR codes would lead" not in labels.text
    preview = send(visitor, "/designs/preview", {**FORM, "layout": "labels-a4-65", "title": "X"}, part=True)
    assert "What else is chosen is left off." in text_of(preview.text)


def test_where_the_house_wants_it_a_second_person_agrees_first(
    app: Flask, visitor: Visitor, db: Database, cards: list[TestCard], plain: int
) -> None:
    with db.begin() as session:
        settings.put(session, "consent_exports", True)
    page = visitor.get("/batches/1/print").text
    seen = re.search(r'name="seen" value="([^"]+)"', page)[1]  # type: ignore[index]
    whole = {
        "from_serial": cards[0].serial,
        "to_serial": cards[-1].serial,
        "design": str(plain),
        "start_at": "1",
    }
    asked = {"key": "r", "printer": "", "reason": "", "step": "do", "seen": seen, **whole}
    waits = send(visitor, "/batches/1/print", asked)
    assert waits.status_code == 422
    assert text_of(waits.text).count("A second person has to agree first.") == 1
    assert 'teach nothing"' not in waits.text, "which would hide the button that sends it again"
    assert runviews.runs(db, OPERATOR, NOW).runs == ()
    staff.add_staff(db, "other", "Somebody else", "admin", Secret(PASSWORD), CONSOLE, NOW)
    other = app.test_client()
    assert isinstance(other, Visitor)
    other.log_in("other")
    assert "Dhaka_5" in text_of(other.get("/people/consents").text)
    assert send(other, "/people/consents/1/approve", {"key": "y", "reason": ""}).status_code == 303
    assert send(visitor, "/batches/1/print", asked).location.startswith("/print/")
    assert len(runviews.runs(db, OPERATOR, NOW).runs) == 1


def test_a_batch_larger_than_a_run_goes_on_after_the_last_one(
    visitor: Visitor,
    db: Database,
    vault: Vault,
    cards: list[TestCard],
    plain: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runs, "MOST", 5)
    first = visitor.get("/batches/1/print").text
    assert f'value="{cards[4].serial}"' in first
    part = Range(cards[0].id, cards[4].id)
    runs.order(db, vault, part, plain, Path("/nowhere"), OPERATOR, NOW, log_in_url="https://cards.example/")
    page = visitor.get("/batches/1/print").text
    assert f'value="{cards[5].serial}"' in page
    assert f'value="{cards[9].serial}"' in page


def test_what_cannot_be_printed_is_said_in_the_form(
    visitor: Visitor, db: Database, cards: list[TestCard]
) -> None:
    assert "There is no design yet." in text_of(visitor.get("/batches/1/print").text)
    plain = designs.add(db, "Labels", Design("labels-a4-65", fields=("serial",)), OPERATOR, NOW).id
    good = {
        "from_serial": cards[0].serial,
        "to_serial": cards[1].serial,
        "design": str(plain),
        "step": "look",
    }
    for change in (
        {"from_serial": "12345"},
        {"to_serial": "１２"},
        {"from_serial": cards[1].serial, "to_serial": cards[0].serial},
        {"design": "99"},
        {"printer": "99"},
        {"to_serial": ""},
        {"from_serial": scenes.serial_of(99_999), "to_serial": scenes.serial_of(99_999)},
    ):
        answer = send(
            visitor, "/batches/1/print", {**good, "key": "k", "reason": "", "printer": "", **change}
        )
        assert answer.status_code == 422, change
        assert 'class="notice bad"' in answer.text
    shred(db, "Dhaka_5", OPERATOR, NOW, key="s")
    late = visitor.get("/batches/1/print")
    assert late.status_code == 200
    assert "shredded" in text_of(late.text)
