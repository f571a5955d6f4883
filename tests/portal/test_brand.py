"""What the cardholder's pages wear: colours that can be read, files that are safe, and the console's page for them."""

from __future__ import annotations

import colorsys
import re
from io import BytesIO

import pytest
from flask import Flask
from PIL import Image
from sqlalchemy import text

from engine.db import Database
from engine.people import brands, resellers
from engine.vault import Vault
from portal import shades
from portal.assets import FOR_GOOD
from tests import scenes
from tests.portal.conftest import Visitor, text_of
from tests.portal.holders import Holder, holder_of
from tests.scenes import NOW, OPERATOR

STEPS = ("00", "40", "80", "bf", "ff")
COLOURS = [f"#{red}{green}{blue}" for red in STEPS for green in STEPS for blue in STEPS]
HUES = [
    "#" + "".join(f"{round(part * 255):02x}" for part in colorsys.hls_to_rgb(hue / 48, light, 1))
    for hue in range(48)
    for light in (0.3, 0.5, 0.7)
]
THEMES = {"light": (shades.light, shades.LIGHT), "dark": (shades.dark, shades.DARK)}


def readable(one: str, other: str) -> bool:
    return shades.contrast(one, other) >= 4.5


@pytest.mark.parametrize("theme", THEMES)
def test_whatever_colour_is_chosen_everything_in_it_can_be_read(theme: str) -> None:
    make, own = THEMES[theme]
    for colour in [*COLOURS, *HUES]:
        made = make(colour)
        for ground in (own["ground"], own["surface"], own["sunk"], made.soft):
            assert readable(made.accent, ground), (colour, made, ground)
        assert readable(made.ink, made.accent), (colour, made)
        assert readable(made.ink, shades.hovered(made.accent, own["ink"])), (colour, made)
        assert readable(own["ink"], made.soft), (colour, made)


def test_a_colour_that_can_be_read_stays_as_it_was_chosen_and_others_keep_their_hue() -> None:
    assert shades.light("#0b6b64").accent == "#0b6b64"
    assert shades.dark("#ffcc00").accent == "#ffcc00"
    assert shades.contrast("#000000", "#ffffff") == pytest.approx(21)
    assert shades.contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)
    darker = shades.light("#ffb000").accent
    hues = [
        colorsys.rgb_to_hls(*(int(colour[at : at + 2], 16) for at in (1, 3, 5)))[0]
        for colour in ("#ffb000", darker)
    ]
    assert hues[0] == pytest.approx(hues[1], abs=0.01)


def test_the_grounds_that_colours_are_measured_against_are_those_of_the_pages(app: Flask) -> None:
    css = app.test_client().get("/static/app.css").text
    tokens = re.findall(r"--([a-z]+): (#[0-9a-f]{3,6});", css)
    for name, colour in [*shades.LIGHT.items(), *shades.DARK.items()]:
        short = "#" + colour[1::2] if colour[1::2] == colour[2::2] else colour
        assert (name, colour) in tokens or (name, short) in tokens


# --- the pages ---


@pytest.fixture
def browser(app: Flask) -> Holder:
    return holder_of(app)


def test_without_a_brand_the_pages_are_plain(browser: Holder) -> None:
    page = browser.get("/card/log-in").text
    assert "Cardtone" in text_of(page)
    assert "/brand/" not in page
    assert browser.get("/brand/1.css").status_code == browser.get("/brand/1.png").status_code == 404


def test_the_operators_brand_is_on_every_page_with_its_colours_and_logo(
    browser: Holder, db: Database
) -> None:
    brands.set_brand(
        db,
        None,
        "Call <b>Home</b>",
        "#ffb000",
        OPERATOR,
        NOW,
        logo=scenes.logo(),
        help_email="help@home.example",
    )
    page = browser.get("/card/help").text
    assert 'alt="Call &lt;b&gt;Home&lt;/b&gt;"' in page
    assert "help@home.example" in text_of(page)
    assert "favicon.svg" not in page[page.index("<body") :], "nobody else's sign beside it"
    assert f'content="{shades.light("#ffb000").accent}"' in page
    css, logo = (re.search(rf'(/brand/1\.{kind}\?v=\w+)"', page) for kind in ("css", "png"))
    assert css
    assert logo
    colours = browser.get(css[1])
    assert colours.mimetype == "text/css"
    for made in (shades.light("#ffb000"), shades.dark("#ffb000")):
        assert (
            f"--accent: {made.accent}; --accent-ink: {made.ink}; --accent-soft: {made.soft};" in colours.text
        )
    picture = browser.get(logo[1])
    assert picture.mimetype == "image/png"
    for answer in (colours, picture):
        assert answer.headers["Cache-Control"] == FOR_GOOD
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert "Set-Cookie" not in answer.headers
        again = browser.get(answer.request.path, headers={"If-None-Match": answer.headers["ETag"]})
        assert again.status_code == 304
        assert again.headers["Cache-Control"] == "public, max-age=300", "of an address without its version"
    assert "'self'" in browser.get("/card/help").headers["Content-Security-Policy"]
    assert browser.get("/card/manifest.webmanifest").json["name"] == "Call <b>Home</b>"  # type: ignore[index]


def test_a_resellers_card_wears_its_brand_and_the_browser_remembers(
    app: Flask, db: Database, vault: Vault
) -> None:
    shop = resellers.add_reseller(db, "Corner shop", OPERATOR, NOW).id
    brands.set_brand(db, None, "Call Home", "#0b6b64", OPERATOR, NOW)
    brands.set_brand(db, shop, "Corner Talk", "#b3261e", OPERATOR, NOW)
    theirs, ours = scenes.batch(db, vault, 2)
    with db.begin() as session:
        session.execute(
            text("UPDATE card SET reseller_id = :shop WHERE id = :id"), {"shop": shop, "id": theirs.id}
        )
    holder = holder_of(app)
    assert "Call Home" in text_of(holder.get("/card/log-in").text)
    holder.enter(theirs)
    home = holder.get("/card")
    assert "Corner Talk" in text_of(home.text)
    assert "HttpOnly" in home.headers["Set-Cookie"]
    assert "Set-Cookie" not in holder.get("/card/help").headers, "once is enough"
    holder.submit("/card/log-out")
    assert "Corner Talk" in text_of(holder.get("/card/log-in").text)
    holder.enter(ours)
    assert "Call Home" in text_of(holder.get("/card").text)
    holder.submit("/card/log-out")
    assert "Call Home" in text_of(holder.get("/card/log-in").text)
    for odd in ("99", "-1", "\u0663", "1" * 40, "<b>"):
        holder.set_cookie("cardtone-brand", odd, path="/card")
        assert "Call Home" in text_of(holder.get("/card/log-in").text)


@pytest.mark.parametrize(("ink", "plate"), [("#101010", "light"), ("#f8f8f8", "dark"), ("#808080", "none")])
def test_a_logo_that_a_theme_would_swallow_gets_a_ground(
    browser: Holder, db: Database, ink: str, plate: str
) -> None:
    picture = Image.new("RGBA", (120, 40))
    picture.paste(ink, (0, 0, 60, 40))
    picture.paste(ink, (80, 0, 120, 40))
    made = BytesIO()
    picture.save(made, "PNG")
    brands.set_brand(db, None, "Call Home", "#0b6b64", OPERATOR, NOW, logo=made.getvalue())
    css = browser.get("/brand/1.css").text
    assert ("--plate: #ffffff" in css) == (plate == "light")
    assert (f"--plate: {shades.DARK['surface']}" in css) == (plate == "dark")
    assert ("--plate" in css) == (plate != "none")


@pytest.mark.parametrize(
    ("name", "size"),
    [("Call Home", None), ("\u0628", None), ("Call Home", (60, 60)), ("Call Home", (300, 40))],
)
def test_an_installed_copy_has_the_icon_of_its_brand(
    browser: Holder, db: Database, name: str, size: tuple[int, int] | None
) -> None:
    logo = None if size is None else scenes.logo("#00ff00", size)
    brands.set_brand(db, None, name, "#0b6b64", OPERATOR, NOW, logo=logo)
    told = browser.get("/card/manifest.webmanifest").json
    assert told is not None
    assert told["name"] == name
    for one in told["icons"][:2]:  # the larger ones are drawn alike
        picture = browser.get(one["src"])
        assert picture.headers["Cache-Control"] == FOR_GOOD
        image = Image.open(BytesIO(picture.data)).convert("RGB")
        assert f"{image.width}x{image.height}" == one["sizes"]
        middle = image.getpixel((image.width // 2, image.height // 2))
        assert (middle == (0, 255, 0)) == (size == (60, 60)), "a wide logo would be too small in a square"
    assert browser.get("/brand/1-193-any.png").status_code == 404


def test_a_preview_shows_a_colour_in_both_themes_and_nothing_but_colours(browser: Holder) -> None:
    css = browser.get("/brand/look-ffb000.css").text
    assert shades.light("#ffb000").accent in css
    assert shades.dark("#ffb000").accent in css
    for odd in ("ffb00", "FFB000", "ffb0000", "gggggg", "red"):
        assert browser.get(f"/brand/look-{odd}.css").status_code == 404


# --- the console ---


def test_somebody_dresses_the_pages_in_the_console(visitor: Visitor, db: Database) -> None:
    fields = {"name": "Call Home", "colour": "#0B6B64", "help_phone": "+1 800 555 0100"}
    page = visitor.get("/settings/brand").text
    assert "look-0b6b64.css" in page
    assert "look-b3261e.css" in visitor.part("/settings/brand?colour=%23b3261e").text
    assert "<header" not in visitor.part("/settings/brand?colour=%23b3261e").text
    files = {"csrf_token": visitor.token(), **fields, "logo": (BytesIO(scenes.logo()), "logo.svg")}
    assert visitor.post("/settings/brand", data=files).status_code == 303
    view = brands.brand_of(db, None)
    assert view is not None
    assert (view.name, view.colour, view.help_phone, view.logo is not None) == (
        "Call Home",
        "#0b6b64",
        "+1 800 555 0100",
        True,
    )
    page = visitor.get("/settings/brand").text
    assert page.count(f"/brand/{view.id}.png") == 2
    assert visitor.submit("/settings/brand/remove-logo").status_code == 303
    assert visitor.submit("/settings/brand/remove").status_code == 303
    assert brands.brand_of(db, None) is None


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"name": ""}, "Fill this in."),
        ({"colour": "red"}, "Choose a colour"),
        ({"help_email": "me"}, "Type an e-mail address"),
        ({"help_phone": "x"}, "Type a phone number"),
        ({"logo": b"<svg xmlns='http://www.w3.org/2000/svg'/>"}, "That is no PNG, JPEG or WebP picture"),
    ],
)
def test_what_is_wrong_is_told_at_its_field(
    visitor: Visitor, db: Database, wrong: dict[str, str | bytes], said: str
) -> None:
    shop = resellers.add_reseller(db, "Corner shop", OPERATOR, NOW).id
    fields: dict[str, object] = {
        "csrf_token": visitor.token(),
        "name": "Corner",
        "colour": "#b3261e",
        **wrong,
    }
    if isinstance(wrong.get("logo"), bytes):
        fields["logo"] = (BytesIO(wrong["logo"]), "logo.png")  # type: ignore[arg-type]
    answer = visitor.post(f"/resellers/{shop}/brand", data=fields)
    assert answer.status_code == 422
    assert said in text_of(answer.text)
    assert brands.brand_of(db, shop) is None
