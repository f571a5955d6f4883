"""Designs as they are kept: names, logos, who may print with them, and what they wear."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from engine.calls import access_numbers
from engine.db import Database
from engine.errors import InvalidInput, NotFound
from engine.people import brands, resellers
from engine.stock.printing import designs, looks
from engine.stock.printing.design import Design, starters
from tests import scenes
from tests.scenes import NOW, OPERATOR

URL = "https://cards.example.com/card/log-in"


def picture(size: tuple[int, int] = (600, 200), colour: str = "#0044aa") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, "JPEG")
    return file.getvalue()


def test_a_design_is_kept_changed_and_removed(db: Database) -> None:
    made = designs.add(db, "Sheet", Design(), OPERATOR, NOW, logo=picture())
    assert designs.designs(db) == (made,)
    assert made.has_logo
    same = designs.change(db, made.id, OPERATOR, NOW, name="Sheet", design=Design(), for_resellers=True)
    assert same.version == made.version
    other = designs.change(
        db,
        made.id,
        OPERATOR,
        NOW,
        name="Roll",
        design=Design("receipt-80"),
        for_resellers=False,
        remove_logo=True,
    )
    assert (other.name, other.design.layout, other.has_logo) == ("Roll", "receipt-80", False)
    assert other.version != made.version
    assert designs.designs(db, for_reseller=True) == ()
    with pytest.raises(NotFound, match="print_design_not_found"):
        designs.design(db, made.id, for_reseller=True)
    assert designs.remove(db, made.id, OPERATOR, NOW) == "Roll"
    with pytest.raises(NotFound, match="print_design_not_found"):
        designs.design(db, made.id)


def test_a_name_is_taken_once(db: Database) -> None:
    designs.add(db, "Sheet", Design(), OPERATOR, NOW)
    other = designs.add(db, "Roll", Design("receipt-58"), OPERATOR, NOW)
    with pytest.raises(InvalidInput, match="name_taken"):
        designs.add(db, " Sheet ", Design(), OPERATOR, NOW)
    with pytest.raises(InvalidInput, match="name_taken"):
        designs.change(db, other.id, OPERATOR, NOW, name="Sheet", design=Design(), for_resellers=True)


@pytest.mark.parametrize(
    ("file", "code"),
    [
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", "logo_not_a_picture"),
        (b"<html><body>logo.png</body></html>", "logo_not_a_picture"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x01", "logo_not_a_picture"),
        (b"", "logo_empty"),
        (b"x" * 2_000_001, "logo_too_large"),
    ],
    ids=["svg", "html", "cut", "empty", "large"],
)
def test_what_is_no_picture_is_no_logo(db: Database, file: bytes, code: str) -> None:
    with pytest.raises(InvalidInput, match=code):
        designs.add(db, "Sheet", Design(), OPERATOR, NOW, logo=file)
    assert designs.designs(db) == ()


def test_a_picture_of_30000_pixels_is_refused_by_its_header(db: Database) -> None:
    file = io.BytesIO()
    Image.new("1", (30_000, 16)).save(file, "PNG")
    with pytest.raises(InvalidInput, match="logo_too_wide"):
        designs.add(db, "Sheet", Design(), OPERATOR, NOW, logo=file.getvalue())


def test_a_look_is_that_of_whose_cards_they_are(db: Database) -> None:
    assert looks.look(db, Design(), reseller_id=None, log_in_url=URL) == looks.PLAIN.__class__(log_in_url=URL)
    shop = resellers.add_reseller(db, "Corner", OPERATOR, NOW).id
    brands.set_brand(
        db,
        None,
        "Harbour Calling",
        "#123456",
        OPERATOR,
        NOW,
        help_phone="+44 20 7946 0000",
        logo=scenes.logo(),
    )
    worn = looks.look(db, Design(), reseller_id=shop, log_in_url=URL)
    assert (worn.name, worn.colour, worn.help_phone) == ("Harbour Calling", "#123456", "+44 20 7946 0000")
    brands.set_brand(db, shop, "Corner Calls", "#654321", OPERATOR, NOW)
    own = looks.look(db, Design(), reseller_id=shop, log_in_url=URL)
    assert (own.name, own.colour, own.logo) == ("Corner Calls", "#654321", None)
    made = designs.add(db, "Sheet", Design(), OPERATOR, NOW, logo=picture())
    printed = looks.look(db, Design(), reseller_id=None, log_in_url=URL, design_id=made.id)
    with Image.open(io.BytesIO(printed.logo or b"")) as logo:  # the design's own, finer than a page's
        assert (logo.format, logo.size) == ("PNG", (600, 200))
    assert worn.logo is not None


def test_access_numbers_are_printed_as_they_are_dialled(db: Database) -> None:
    for number, name in (
        ("442079460018", "London"),
        ("0800368001", "Free"),
        ("611", "Short"),
        ("33186260018", "Paris"),
    ):
        access_numbers.add_access_number(db, number, name, OPERATOR, NOW)
    look = looks.look(db, Design(), reseller_id=None, log_in_url=URL)
    assert set(look.access_numbers) == {
        ("London", "+44 20 7946 0018"),
        ("Free", "0800368001"),
        ("Short", "611"),
        ("Paris", "+33 1 86 26 00 18"),
    }
    some = looks.look(
        db, Design(access_numbers=("611", "442079460018", "999")), reseller_id=None, log_in_url=URL
    )
    assert [name for name, _ in some.access_numbers] == ["Short", "London"]


def test_designs_to_begin_with_can_be_kept(db: Database) -> None:
    for name, design in starters().items():
        designs.add(db, name, design, OPERATOR, NOW)
    assert len(designs.designs(db)) == len(starters())
