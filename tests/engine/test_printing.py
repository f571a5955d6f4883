"""Printed sheets as somebody with a ruler and a scanner sees them: the true PDF, opened and rendered."""

from __future__ import annotations

import io
import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import date
from http.server import BaseHTTPRequestHandler, HTTPServer

import pikepdf
import pypdfium2
import pytest
import segno
import zxingcpp
from PIL import Image

from engine.errors import InvalidInput
from engine.money import MICROS
from engine.stock.printing import calibration, faces, marks, markup, preview, sheets
from engine.stock.printing.design import FIELDS, Design, Look, PrintCard, as_settings, checked, from_settings
from engine.stock.printing.layouts import LAYOUTS, Measures
from engine.stock.printing.words import LANGUAGES
from tests import proof

MM = 72 / 25.4
SCALES = faces._SCALES
LOG_IN = "https://cards.example.com/card/log-in"
ACCESS = (("London", "+44 20 7946 0018"), ("Free", "0800 368 0018"))


@pytest.fixture(autouse=True)
def one_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Faces are laid out in one size that all of these fit in; the search for the largest is a test of its own."""
    monkeypatch.setattr(faces, "_SCALES", (0.67,))


def _logo() -> bytes:
    file = io.BytesIO()
    Image.new("RGBA", (240, 80), (200, 60, 20, 255)).save(file, "PNG")
    return file.getvalue()


LOOK = Look("Harbour Calling", "#123a7a", _logo(), "+44 20 7946 0000", ACCESS, LOG_IN)


def cards(count: int, **facts: object) -> list[PrintCard]:
    """Cards whose numbers have nothing in common, serials as generation gives them."""
    common = {"amount": 10 * MICROS, "currency": "USD", "validity_days": 90, **facts}
    made = []
    for at in range(count):
        number, password = (7_919_000_001 * (at + 13)) % 10**12, (104_729 * (at + 7) ** 2) % 10**8
        made.append(
            PrintCard(f"{10_000_000_000 + 7 * at:011d}", f"{number:012d}", f"{password:08d}", **common)
        )
    return made


def printed(design: Design, some: list[PrintCard], look: Look = LOOK, **how: object) -> bytes:
    """The PDF of some cards."""
    file = io.BytesIO()
    sheets.write(file, faces.lay_out(design, look, some[0]), some, **how)
    return file.getvalue()


@contextmanager
def _page(pdf: bytes, page: int) -> Iterator[pypdfium2.PdfPage]:
    with pypdfium2.PdfDocument(pdf) as document, closing(document[page]) as found:
        yield found


def pages_of(pdf: bytes) -> int:
    """How many pages it has."""
    with pypdfium2.PdfDocument(pdf) as document:
        return len(document)


def text_of(pdf: bytes, *pages: int) -> str:
    """The text of a PDF, or of some of its pages."""
    told = []
    for number in pages or range(pages_of(pdf)):
        with _page(pdf, number) as page, closing(page.get_textpage()) as text:
            told.append(text.get_text_range())
    return "\n".join(told)


def rendered(pdf: bytes, page: int = 0, dpi: float = 220) -> Image.Image:
    """A page as it is seen."""
    with _page(pdf, page) as found:
        return found.render(scale=dpi / 72).to_pil().convert("RGB")


def scanned(pdf: bytes, page: int = 0) -> Counter[tuple[str, str]]:
    """What a scanner reads from a rendered page: (kind, content)."""
    picture = rendered(pdf, page).convert("L")
    return Counter((str(found.format), found.text) for found in zxingcpp.read_barcodes(picture))


def places(pdf: bytes, text: str, page: int = 0) -> list[tuple[float, float]]:
    """Left edge and bottom of each place where a text stands on a page, in points from the lower left corner."""
    return [signs[0] for signs in signs_of(pdf, text, page)]


def signs_of(pdf: bytes, text: str, page: int = 0) -> list[list[tuple[float, float]]]:
    """The same for each sign of the text."""
    found = []
    with (
        _page(pdf, page) as shown,
        closing(shown.get_textpage()) as textpage,
        closing(textpage.search(text)) as search,
    ):
        while (at := search.get_next()) is not None:
            found.append([textpage.get_charbox(sign)[:2] for sign in range(at[0], at[0] + at[1])])
    return found


def _full(code: str) -> Design:
    paper = LAYOUTS[code]
    return Design(code, sides=2 if paper.two_sided and paper.up != 10 else 1)


@pytest.mark.parametrize("code", LAYOUTS)
def test_each_paper_carries_every_card_once_and_its_codes_can_be_scanned(code: str) -> None:
    design, paper = _full(code), LAYOUTS[code]
    some = cards(paper.up + 1 if paper.up < 20 else paper.up)
    pdf = printed(design, some)
    with pikepdf.open(io.BytesIO(pdf)) as opened:
        assert opened.check_pdf_syntax() == []
        assert len(opened.pages) == sheets.pages_of(paper, design.sides, len(some)) == pages_of(pdf)
        box = [float(number) for number in opened.pages[0].MediaBox]
        assert box[2] == pytest.approx(paper.page_width * MM, abs=0.01)
    told = text_of(pdf)
    for card in some:
        for digits in (card.number, card.password):
            assert told.count(markup.grouped(digits)) == 1
        assert len(re.findall(rf"(?<!\d){markup.grouped(card.serial)}(?!\d)", told)) == 1
    if paper.kind != "labels":
        first = some[: paper.up]
        read = scanned(pdf, page=design.sides - 1)
        assert read == Counter(
            [("QR Code", f"{LOG_IN}#{card.number}") for card in first]
            + [("Code 128", card.serial) for card in first]
        )


@pytest.mark.parametrize("code", ["a4-10", "letter-8", "cr80", "receipt-58", "labels-a4-65"])
def test_what_is_stamped_stands_where_it_was_laid_out(code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    some = cards(LAYOUTS[code].up)
    pdf, laid = printed(Design(code), some), faces.lay_out(Design(code), LOOK, some[0])
    monkeypatch.setattr(markup, "_CSS", markup._CSS.replace("visibility: hidden", "visibility: visible"))
    drawn = faces.lay_out(Design(code), LOOK, some[0]).pdf
    edge, height = laid.paper.bleed * MM, (laid.paper.page_height or 0) * MM
    for at, card in enumerate(some):
        left, top = laid.paper.corner(at)
        bottom = height - (top + laid.paper.measures.height) * MM
        for name in ("number", "password"):
            (meant,) = places(drawn, markup.grouped(getattr(some[0], name)))
            (is_at,) = places(pdf, markup.grouped(getattr(card, name)))
            away = (is_at[0] - left * MM - meant[0] + edge, is_at[1] - bottom - meant[1] + edge)
            # A digit has its own room to the left and right of its ink: 1, 4 and 7 begin elsewhere than 0.
            size = next(slot.size for slot in laid.faces[0] if slot.name == name)
            assert abs(away[1]) < 0.3 * MM
            assert abs(away[0]) < 0.3 * MM + (0 if card is some[0] else 0.09 * size)


def test_a_back_lies_behind_its_front() -> None:
    design, paper = Design("letter-10", sides=2), LAYOUTS["letter-10"]
    some = cards(3)
    pdf = printed(design, some)
    assert not any(markup.grouped(card.number) in text_of(pdf, 0) for card in some)
    for at, card in enumerate(some):
        (x, _), (left, _) = places(pdf, markup.grouped(card.number), page=1)[0], paper.corner(at)
        behind = paper.page_width - left - paper.measures.width
        assert behind * MM < x < (behind + paper.measures.width) * MM


def test_a_part_used_sheet_begins_where_it_is_told_and_a_printer_is_made_up_for() -> None:
    some = cards(8)
    plain, moved = printed(Design(), some), printed(Design(), some, start_at=4, offset_um=(1500, -700))
    assert pages_of(plain) == 1
    assert pages_of(moved) == 2
    paper = LAYOUTS["a4-10"]
    for at, (page, place) in ((0, (0, 3)), (6, (0, 9)), (7, (1, 0))):
        wanted = markup.grouped(some[at].number)
        ((x, y),), ((x2, y2),) = places(plain, wanted), places(moved, wanted, page=page)
        (left, top), (left2, top2) = paper.corner(at), paper.corner(place)
        assert x2 - x == pytest.approx((left2 - left + 1.5) * MM, abs=0.02)
        assert y - y2 == pytest.approx((top2 - top - 0.7) * MM, abs=0.02)


def test_a_single_card_has_bleed_crop_marks_and_boxes_for_the_printing_house() -> None:
    pdf = printed(Design("cr80", sides=2), cards(2))
    with pikepdf.open(io.BytesIO(pdf)) as opened:
        assert len(opened.pages) == 4
        for page in opened.pages:
            trim, bleed = ([float(n) / MM for n in page[box]] for box in ("/TrimBox", "/BleedBox"))
            assert (trim[2] - trim[0], trim[3] - trim[1]) == pytest.approx((85.6, 53.98), abs=0.01)
            assert trim[0] - bleed[0] == pytest.approx(3, abs=0.01)
    picture = rendered(pdf, dpi=254)
    at = lambda x, y: picture.getpixel((round(x * 10), round(y * 10)))  # noqa: E731
    assert at(6, 30) == (0x12, 0x3A, 0x7A)  # in the bleed
    assert at(4, 30) == (255, 255, 255)
    above = [min(at(8 + x / 10, y / 10)[0] for x in (-1, 0, 1)) for y in range(15, 45)]
    assert max(above) < 200  # a crop mark over the left edge


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_language_is_printed_with_fonts_that_are_in_the_file(language: str) -> None:
    fields = tuple(field for field in FIELDS if field != "terms")
    pdf = printed(Design("receipt-80", languages=(language,), fields=fields), cards(1, currency="EUR"))
    told = " ".join(text_of(pdf).split())
    with pikepdf.open(io.BytesIO(pdf)) as opened:
        fonts = [thing for thing in opened.objects if _is(thing, "/Font") and "/FontDescriptor" in thing]
        assert fonts
        assert all({"/FontFile2", "/FontFile3"} & set(font.FontDescriptor) for font in fonts)
        assert all("+" in str(font.BaseFont) for font in fonts)  # a subset
        (face,) = (thing for thing in opened.objects if _is(thing, "/XObject", "/Form"))
        # A sign that no font has would be drawn as its box, whose code is 0.
        assert not any(
            code == 0
            for instruction in pikepdf.parse_content_stream(face)
            if str(instruction.operator) == "TJ"
            for part in instruction.operands[0]
            if isinstance(part, pikepdf.String)
            for code in (
                int.from_bytes(bytes(part)[at : at + 2], "big") for at in range(0, len(bytes(part)), 2)
            )
        )
    for digits in (cards(1)[0].number, cards(1)[0].password, cards(1)[0].serial):
        assert markup.grouped(digits) in told
    assert markup.price(10 * MICROS, "EUR", language).replace("\u00a0", " ") in told.replace("\u00a0", " ")
    assert sum(scanned(pdf).values()) == 2, "both codes stand on the paper, whichever way the language runs"


@pytest.mark.parametrize("languages", [("en", "es"), ("ru", "bn"), ("pt", "ru"), ("ar", "en")])
def test_a_low_label_says_its_words_in_one_language_beside_the_digits(languages: tuple[str, str]) -> None:
    laid = faces.lay_out(Design("labels-letter-80", languages=languages, fields=()), LOOK, preview.SAMPLE)
    told = text_of(laid.pdf, 0)
    assert LANGUAGES[languages[1]].password not in told
    number = next(slot for slot in laid.faces[0] if slot.name == "number")
    with pypdfium2.PdfDocument(laid.pdf) as document:
        words = document[0].get_textpage()
        boxes = [words.get_charbox(at) for at in range(words.count_chars())]
    assert boxes
    assert not any(
        left < number.x + number.width
        and number.x < right
        and bottom < number.y + number.height
        and number.y < top
        for left, bottom, right, top in boxes
        if right > left
    ), "nothing stands under the number"


def _is(thing: object, kind: str, subtype: str | None = None) -> bool:
    if not isinstance(thing, pikepdf.Dictionary | pikepdf.Stream):
        return False
    return str(thing.get("/Type")) == kind and (subtype is None or str(thing.get("/Subtype")) == subtype)


def test_digits_stand_in_their_order_in_arabic_too() -> None:
    terms = {"ar": "اتصل على \u2066+44 20 7946 0000\u2069 أو 1234"}
    design = Design("a4-8", languages=("ar", "en"), fields=FIELDS, terms=terms, sides=2)
    some = cards(1, last_day=date(2027, 1, 31))
    pdf = printed(design, some)
    for page, text in (
        (1, markup.grouped(some[0].number)),
        (0, ACCESS[0][1]),
        (1, "2027-01-31"),
        (1, "1234"),
    ):
        (signs,) = signs_of(pdf, text, page) or signs_of(pdf, text.replace(" ", "\u00a0"), page)
        assert [x for x, _ in signs] == sorted(x for x, _ in signs)


def test_amounts_and_days_of_each_card_are_its_own() -> None:
    some = [
        replace(card, amount=amount, last_day=day)
        for card, amount, day in zip(
            cards(3, amount=100 * MICROS, last_day=date(2027, 12, 31)),
            (100 * MICROS, 2_500_000, 7 * MICROS),
            (date(2027, 12, 31), date(2027, 1, 2), None),
            strict=True,
        )
    ]
    told = text_of(printed(Design(), some))
    assert [told.count(text) for text in ("$100", "$2.50", "$7", "2027-12-31", "2027-01-02")] == [1] * 5


def test_texts_are_printed_as_they_were_typed() -> None:
    odd = "{{7*7}} <b>x</b> &amp; ${7*7} {% raw %}"
    design = Design(
        "receipt-80", title=odd, tagline=odd, fields=FIELDS, terms={"en": odd}, instructions={"en": odd}
    )
    look = replace(LOOK, access_numbers=((odd, "+44 1"),))
    told = " ".join(text_of(printed(checked(design), cards(1), look)).split())
    assert told.count(odd) == 5
    assert "49" not in told.replace(cards(1)[0].number, "")


def test_nothing_is_fetched_from_anywhere() -> None:
    hits: list[str] = []

    class Canary(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            hits.append(self.path)
            self.send_error(404)

    server = HTTPServer(("127.0.0.1", 0), Canary)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        base = f"http://127.0.0.1:{server.server_port}"
        bait = f'<img src="{base}/a"><style>@import url({base}/b)</style>url({base}/c) file:///etc/passwd'
        design = Design("receipt-80", title=bait[:60], tagline=bait[:60], fields=FIELDS, terms={"en": bait})
        look = Look(
            bait,
            "#123a7a",
            b"<svg xmlns='http://www.w3.org/2000/svg'><image href='" + base.encode() + b"/d'/>",
        )
        printed(checked(design), cards(1), replace(look, log_in_url=LOG_IN, access_numbers=((bait, bait),)))
        with pytest.raises(InvalidInput, match="bad_colour"):
            checked(Design(colour=f"#fff;background:url({base}/e)"))
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert hits == []


# --- codes ---


def test_every_qr_code_is_the_one_that_segno_draws() -> None:
    for address, length in (
        (f"{LOG_IN}#", 12),
        ("https://a.example/card/log-in#", 16),
        ("http://[::1]:8000/#", 10),
    ):
        drawer = marks.QrDrawer(address, length)
        numbers = [
            f"{7_919_000_001 * at**3 % 10**length:0{length}d}" for at in range(1, proof.scaled(400, 25))
        ]
        for number, bits in zip(numbers, drawer.matrices(numbers), strict=True):
            told = segno.make(
                address + number, error="m", mask=3, mode="byte", boost_error=False, micro=False
            )
            rows = [f"{int.from_bytes(row.tobytes(), 'big'):0{8 * len(row)}b}"[: drawer.size] for row in bits]
            assert rows == ["".join(str(cell & 1) for cell in row) for row in told.matrix]
    with pytest.raises(InvalidInput, match="address_too_long"):
        marks.QrDrawer("https://a.example/" + "x" * 3000, 12)


@pytest.mark.parametrize("digits", ["0", "10000000007", "123456", "99999999999", "0102030405", "98765432101"])
def test_a_bar_code_says_its_digits_to_a_scanner(digits: str) -> None:
    modules = marks.code128_modules(digits)
    picture = Image.new("L", ((modules + 20) * 3, 60), 255)
    for x, width in re.findall(rb"(\d+) 0 (\d+) 1 re", marks.code128_path(digits)):
        picture.paste(0, ((int(x) + 10) * 3, 0, (int(x) + int(width) + 10) * 3, 60))
    (found,) = zxingcpp.read_barcodes(picture)
    assert (str(found.format), found.text) == ("Code 128", digits)


# --- designs ---


def _bad() -> Iterator[tuple[Design, str]]:
    yield Design("a5-4"), "unknown_layout"
    yield Design(sides=3), "not_a_choice"
    yield Design("receipt-58", sides=2), "one_side_only"
    yield Design(languages=()), "empty"
    yield Design(languages=("en", "ar", "fr")), "too_many_choices"
    yield Design(languages=("tlh",)), "not_a_choice"
    yield Design(languages=("en", "en")), "not_a_choice"
    yield Design(fields=("number",)), "not_a_choice"
    yield Design(colour="red"), "bad_colour"
    yield Design(title="x" * 61), "too_long"
    yield Design(tagline="a\x00b"), "control_character"
    yield Design(terms={"en": "x" * 1001}), "too_long"
    yield Design(terms={"tlh": "x"}), "not_a_choice"
    yield Design(access_numbers=tuple(map(str, range(7)))), "too_many_choices"
    yield Design("cr80", measures=Measures(1, 1, 80, 50, 0, 0)), "measures_fixed"
    yield Design(measures=Measures(40, 13, 85, 54, 10, 0)), "cards_off_the_paper"
    yield Design(measures=Measures(-1, 13, 85, 54, 0, 0)), "cards_off_the_paper"
    yield Design(measures=Measures(1, 13, 5, 54, 0, 0)), "cards_off_the_paper"


@pytest.mark.parametrize(("design", "code"), list(_bad()))
def test_a_design_that_cannot_be_is_refused(design: Design, code: str) -> None:
    with pytest.raises(InvalidInput, match=f"^{code}"):
        checked(design)


def test_a_design_is_kept_whole() -> None:
    design = checked(
        Design(
            "a4-8", 2, ("ar", "en"), "#AABBCC", False, " A ", "B", {"en": " one \r\n two "}, {"ar": "ش"},
            ("qr",), ("442079460018",), Measures(10, 20, 90, 50, 5, 5),
        )
    )  # fmt: skip
    assert (design.colour, design.title, design.instructions["en"]) == ("#aabbcc", "A", "one\ntwo")
    assert from_settings(as_settings(design)) == design


def test_a_face_is_as_large_as_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faces, "_SCALES", SCALES)
    short, long = (
        faces.lay_out(Design(tagline="Call", fields=fields), LOOK, cards(1)[0]) for fields in ((), FIELDS)
    )
    sizes = [next(slot.size for slot in laid.faces[0] if slot.name == "number") for laid in (short, long)]
    assert sizes[0] > sizes[1] * 1.2


def test_texts_that_do_not_fit_are_refused_before_anything_is_printed() -> None:
    with pytest.raises(InvalidInput, match="design_too_full"):
        faces.lay_out(Design("letter-12", fields=FIELDS, terms={"en": "Words. " * 140}), LOOK, cards(1)[0])
    wide = replace(LOOK, access_numbers=(("", "9" * 110),))
    with pytest.raises(InvalidInput, match="design_too_full"):
        faces.lay_out(Design("a4-12"), wide, cards(1)[0])


def test_a_sheet_that_is_cut_otherwise_is_followed() -> None:
    own = Measures(12, 20, 90, 50, 6, 4)
    some = cards(4)
    (x, y), (x4, y4) = (
        places(printed(Design(measures=own), some), markup.grouped(some[at].number))[0] for at in (0, 3)
    )
    assert (x4 - x, y - y4) == pytest.approx((96 * MM, 54 * MM), abs=0.5)


def test_a_preview_shows_cards_that_cannot_be() -> None:
    picture, *more = preview.pictures(Design(), LOOK, width_px=300, one=True)
    assert not more
    with Image.open(io.BytesIO(picture)) as image:
        assert image.width == 300
        assert image.height == pytest.approx(300 * 54 / 85, abs=2)
    assert text_of(preview.sheet(Design("a4-8"), LOOK)).count("0000 0000 0000") == 8


def test_a_calibration_page_has_the_outline_of_every_card() -> None:
    paper = LAYOUTS["a4-10"]
    pdf = calibration.page(paper, (1000, 2000))
    picture = rendered(pdf, dpi=432).convert("L")
    for at in range(paper.up):
        left, top = paper.corner(at)
        x, y = (left + 1) * MM * 6, (top + 2 + 10) * MM * 6
        assert min(picture.getpixel((round(x) + step, round(y))) for step in range(-3, 4)) < 150
    assert "1.0 mm right, 2.0 mm down" in " ".join(text_of(pdf).split())
    with pytest.raises(InvalidInput, match="one_card_a_page"):
        calibration.page(LAYOUTS["cr80"])
