"""Brands: whose pages look how, who may change that, and what is kept of a file that somebody sent as a logo."""

from __future__ import annotations

import os
import struct
import zlib
from io import BytesIO

import pytest
from PIL import Image, ImageFile, PngImagePlugin

from engine.actor import Actor
from engine.db import Database
from engine.errors import EngineError, InvalidInput, NotFound
from engine.people import audit, brands, resellers
from engine.people.logos import BOX, MOST_BYTES, MOST_KEPT, read_logo
from tests import scenes
from tests.scenes import NOW, OPERATOR


def code_of(data: bytes) -> str:
    with pytest.raises(InvalidInput) as caught:
        read_logo(data)
    assert caught.value.data["field"] == "logo"
    return caught.value.code


def written(image: Image.Image, kind: str = "PNG", **more: object) -> bytes:
    made = BytesIO()
    image.save(made, kind, **more)
    return made.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def bomb(side: int) -> bytes:
    """A PNG of a few hundred bytes that says it is so wide and high."""
    header = struct.pack(">IIBBBBB", side, side, 8, 6, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(4 * side))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def webp_bomb() -> bytes:
    """A WebP whose header says that it is as large as one can be."""
    header = b"\0\0\0\0" + (16_382).to_bytes(3, "little") * 2
    body = b"WEBPVP8X" + struct.pack("<I", 10) + header + b"VP8 " + struct.pack("<I", 4) + b"abcd"
    return b"RIFF" + struct.pack("<I", len(body)) + body


HOSTILE = {
    "svg": (b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>', "logo_not_a_picture"),
    "html": (b"<!doctype html><script>alert(1)</script>", "logo_not_a_picture"),
    "nothing": (b"", "logo_empty"),
    "huge": (b"\x89PNG\r\n\x1a\n" + bytes(MOST_BYTES), "logo_too_large"),
    "bomb": (bomb(30_000), "logo_too_wide"),
    "smaller bomb": (bomb(3_001), "logo_too_wide"),
    "webp bomb": (webp_bomb(), "logo_too_wide"),
    "truncated": (scenes.logo(format="JPEG")[:-200], "logo_not_a_picture"),
    "short": (scenes.logo()[:60], "logo_not_a_picture"),
    "gif": (scenes.logo(format="GIF"), "logo_not_a_picture"),
    "tiff": (scenes.logo(format="TIFF"), "logo_not_a_picture"),
    "dot": (scenes.logo(size=(1, 1)), "logo_too_small"),
    "line": (scenes.logo(size=(3_000, 20)), "logo_too_small"),
    "blank": (written(Image.new("RGBA", (300, 100))), "logo_blank"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_what_is_no_logo_is_refused_with_the_reason(kind: str) -> None:
    ImageFile.LOAD_TRUNCATED_IMAGES = True  # as in a process that has made a PDF
    data, code = HOSTILE[kind]
    assert code_of(data) == code


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_logo_is_written_anew_and_nothing_else_of_the_file_is_kept(kind: str) -> None:
    evil = b"<script>alert(1)</script>"
    note = PngImagePlugin.PngInfo()
    note.add_text("Comment", evil.decode())
    more = {"pnginfo": note} if kind == "PNG" else {"exif": b"Exif\0\0" + evil, "icc_profile": evil}
    sent = written(Image.new("RGB", (200, 50), "#b3261e"), kind, **more) + evil
    assert evil in sent
    kept = read_logo(sent)
    assert kept.startswith(b"\x89PNG")
    assert b"script" not in kept
    assert kept.endswith(b"IEND\xaeB`\x82")
    with Image.open(BytesIO(kept)) as image:
        assert image.size == (200, 50)
        assert not image.info
    assert read_logo(sent) == kept, "the same file gives the same logo"
    assert read_logo(kept) == kept


def test_a_logo_of_noise_still_fits_a_slow_line() -> None:
    noise = Image.frombytes("RGBA", (1_000, 300), os.urandom(1_200_000))
    kept = read_logo(written(noise, "WEBP"))
    assert len(kept) <= MOST_KEPT
    with Image.open(BytesIO(kept)) as image:
        assert image.width <= BOX[0]
        assert image.height <= BOX[1]


def test_empty_edges_are_cut_off_and_a_turned_photo_stands_upright() -> None:
    wide = Image.new("RGBA", (400, 300))
    wide.paste("#0b6b64", (100, 100, 300, 150))
    with Image.open(BytesIO(read_logo(written(wide)))) as image:
        assert image.size == (200, 50)
    turned = Image.Exif()
    turned[0x0112] = 6
    with Image.open(BytesIO(read_logo(written(Image.new("RGB", (60, 120)), "JPEG", exif=turned)))) as image:
        assert image.size == (120, 60)


# --- whose brand, and who may ---


def test_a_resellers_cards_wear_its_brand_and_all_others_the_operators(db: Database) -> None:
    shop = resellers.add_reseller(db, "Corner shop", OPERATOR, NOW).id
    assert brands.worn(db, reseller_id=shop) is None
    house = brands.set_brand(db, None, "Call Home", "#0B6B64 ", OPERATOR, NOW, help_phone="+1 800 555 0100")
    assert (house.colour, house.help_phone, house.logo) == ("#0b6b64", "+1 800 555 0100", None)
    assert brands.worn(db, reseller_id=shop) == house, "it has none of its own yet"
    own = brands.set_brand(db, shop, "Corner", "#b3261e", OPERATOR, NOW, logo=scenes.logo())
    assert brands.worn(db, reseller_id=shop) == own
    assert brands.worn(db, seen=own.id) == own
    assert brands.worn(db) == brands.worn(db, seen=own.id + 99) == house
    assert brands.logo_of(db, own.id) == read_logo(scenes.logo())
    bare = brands.remove_logo(db, shop, OPERATOR, NOW)
    assert (bare.logo, bare.name) == (None, "Corner")
    assert bare.version != own.version
    brands.remove_brand(db, shop, OPERATOR, NOW)
    assert brands.worn(db, reseller_id=shop) == house
    done = [(row.action, row.subject) for row in audit.search(db).rows if row.action.startswith("brand.")]
    told = ["brand.remove", "brand.remove_logo", "brand.set"]
    assert done == [*((action, f"reseller:{shop}") for action in told), ("brand.set", "brand:operator")]


def test_saying_it_again_changes_nothing_and_leaving_the_logo_out_keeps_it(db: Database) -> None:
    first = brands.set_brand(db, None, "Call Home", "#0b6b64", OPERATOR, NOW, logo=scenes.logo())
    again = brands.set_brand(db, None, "Call Home", "#0b6b64", OPERATOR, NOW, logo=scenes.logo())
    kept = brands.set_brand(db, None, "Call Home", "#0b6b64", OPERATOR, NOW)
    assert first == again == kept
    assert len([row for row in audit.search(db).rows if row.action == "brand.set"]) == 1
    other = brands.set_brand(db, None, "Call Mother", "#0b6b64", OPERATOR, NOW)
    assert (other.id, other.logo) == (first.id, first.logo)
    assert other.version != first.version


def test_an_owner_dresses_their_own_resellers_pages_and_no_others(db: Database) -> None:
    mine, other = (resellers.add_reseller(db, name, OPERATOR, NOW).id for name in ("Mine", "Other"))
    brands.set_brand(db, other, "Other", "#0b6b64", OPERATOR, NOW, logo=scenes.logo())
    brands.set_brand(db, None, "House", "#0b6b64", OPERATOR, NOW)
    owner = Actor("reseller", 1, "Owner", "owner", mine)
    assert brands.set_brand(db, mine, "My own", "#b3261e", owner, NOW).reseller_id == mine
    for theirs in (other, None):
        for act in (
            lambda of=theirs: brands.set_brand(db, of, "Taken", "#000000", owner, NOW),
            lambda of=theirs: brands.remove_logo(db, of, owner, NOW),
            lambda of=theirs: brands.remove_brand(db, of, owner, NOW),
        ):
            with pytest.raises(NotFound, match="reseller_not_found"):
                act()
    seen = brands.brand_of(db, other)
    assert seen is not None
    assert (seen.name, seen.logo is not None) == ("Other", True)


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"name": "  "}, "empty"),
        ({"name": "x" * 41}, "too_long"),
        ({"name": "Corner\u202eshop"}, "invisible_character"),
        ({"colour": "red"}, "bad_colour"),
        ({"colour": "#12345g"}, "bad_colour"),
        ({"colour": "#0b6b64;}body{display:none"}, "bad_colour"),
        ({"help_phone": "call us"}, "bad_help_phone"),
        ({"help_phone": "+1;ext=1"}, "bad_help_phone"),
        ({"help_email": "help@x.example?bcc=a@b.example"}, "bad_help_email"),
        ({"help_email": "nobody"}, "bad_help_email"),
        ({"help_hours": "x" * 101}, "too_long"),
        ({"logo": b"GIF89a"}, "logo_not_a_picture"),
    ],
)
def test_what_cannot_be_shown_is_refused_at_its_field(
    db: Database, wrong: dict[str, object], code: str
) -> None:
    facts: dict[str, object] = {"name": "Call Home", "colour": "#0b6b64", **wrong}
    with pytest.raises(EngineError) as caught:
        brands.set_brand(db, None, actor=OPERATOR, now=NOW, **facts)  # type: ignore[arg-type]
    assert (caught.value.code, caught.value.data["field"]) == (code, next(iter(wrong)))
    assert brands.brand_of(db, None) is None
