"""The brand that the cardholder's pages wear: its name, whom to ask for help, its colours and its logo.

A card of a reseller with a brand wears that one, and its browser remembers it for the log-in page; every other card
wears the operator's. Colours and logo are files of their own under `/brand`, open to everybody, whose addresses change
with what is in them. Where there is no brand the pages are plain.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO

from flask import Flask, Response, abort, current_app, g, request, url_for
from flask.typing import ResponseReturnValue
from PIL import Image, ImageStat

from engine.people import brands
from engine.people.brands import BrandView
from portal import icons, shades
from portal.assets import CHECK, FOR_GOOD
from portal.cardholder.door import holder, logged_in, own_card
from portal.cardholder.install import SIZES
from portal.installation import db
from portal.shades import Shades

PLAIN_NAME, PLAIN_COLOUR = "Cardtone", "#0b6b64"
COOKIE = "cardtone-brand"
_YEAR_S = 365 * 24 * 3600
_NUMBER = "/brand/<int(max=9223372036854775807):brand_id>"
_FAINT = 3.0
"""Contrast under which a logo gets a ground of its own."""
_LAYOUT = """\
.looks { display: grid; gap: var(--s4); grid-template-columns: repeat(auto-fill, minmax(min(18rem, 100%), 1fr)); }
.look { display: grid; gap: var(--s3); align-content: start; padding: var(--s4); border-radius: var(--round);
  border: 1px solid var(--line); background: var(--ground); color: var(--ink); grid-template-columns: minmax(0, 1fr); }
.look .top { font-weight: 700; font-size: 1.1875rem; min-block-size: 3rem; display: flex; align-items: center; }
.look .top img { max-block-size: 3rem; max-inline-size: 11rem; object-fit: contain; }
.look .part { background: var(--surface); border: 1px solid var(--line); border-radius: var(--round);
  padding: var(--s4); display: grid; gap: var(--s3); justify-items: start; }
.look .soft { background: var(--accent-soft); color: var(--accent); padding: var(--s3) var(--s4);
  border-radius: var(--round); justify-self: stretch; font-weight: 650; }
"""


@dataclass(frozen=True, slots=True)
class Worn:
    """A brand as templates use it; `id` None: plain. Addresses are None where there is nothing to fetch.

    `colour`: the brand's own where white can be read on it, else a darker one; None: the house's.
    """

    id: int | None = None
    name: str = PLAIN_NAME
    colour: str | None = None
    css_url: str | None = None
    logo_url: str | None = None
    help_phone: str | None = None
    help_email: str | None = None
    help_hours: str | None = None
    version: str | None = None


def init_app(app: Flask) -> None:
    """Give templates `brand()`, and answer for colours and logos."""
    app.jinja_env.globals["brand"] = brand
    app.add_url_rule(_NUMBER + ".css", "brand_css", colours)
    app.add_url_rule(_NUMBER + ".png", "brand_logo", logo)
    app.add_url_rule(_NUMBER + "-<int:size>-<any(any, maskable):look>.png", "brand_icon", icon)
    app.add_url_rule("/brand/look-<colour>.css", "brand_look", look)


def brand() -> Worn:
    """What this page wears."""
    if "brand" not in g:
        if logged_in():
            found = brands.worn(db(), reseller_id=own_card().reseller_id)
        else:
            found = brands.worn(db(), seen=_seen())
        g.brand = dressed(found)
    kept: Worn = g.brand
    return kept


def dressed(view: BrandView | None) -> Worn:
    """A brand as templates use it; None: the plain one."""
    if view is None:
        return Worn()
    picture = None if view.logo is None else url_for("brand_logo", brand_id=view.id, v=view.logo[:12])
    return Worn(
        view.id,
        view.name,
        shades.light(view.colour).accent,
        url_for("brand_css", brand_id=view.id, v=view.version),
        picture,
        view.help_phone,
        view.help_email,
        view.help_hours,
        view.version,
    )


def _seen() -> int | None:
    """The brand of the card that was logged in last in this browser."""
    told = request.cookies.get(COOKIE, "")
    return int(told) if told.isascii() and told.isdecimal() and len(told) < 19 else None


@holder.after_request
def remember(response: Response) -> Response:
    """Have the browser wear a reseller's brand after a log-out too, and forget one that its card doesn't wear."""
    if "brand" not in g or not logged_in():
        return response
    own = own_card().reseller_id is not None and brand().id is not None
    wanted = brand().id if own else None
    if wanted != _seen():
        flags = {"secure": current_app.config["SESSION_COOKIE_SECURE"], "httponly": True, "samesite": "Lax"}
        if wanted is None:
            response.delete_cookie(COOKIE, path="/card", **flags)
        else:
            response.set_cookie(COOKIE, str(wanted), max_age=_YEAR_S, path="/card", **flags)
    return response


# --- files ---


def colours(brand_id: int) -> ResponseReturnValue:
    """The three colours of a brand in both themes."""
    view = brands.brand_page(db(), brand_id)
    if view is None:
        abort(404)
    plates = _plates(brands.logo_of(db(), brand_id) or b"")
    return _file(_css(view.colour, plates), "text/css", request.args.get("v") == view.version)


def logo(brand_id: int) -> ResponseReturnValue:
    """The logo of a brand."""
    view = brands.brand_page(db(), brand_id)
    data = None if view is None else brands.logo_of(db(), brand_id)
    if view is None or view.logo is None or data is None:
        abort(404)
    return _file(data, "image/png", request.args.get("v") == view.logo[:12])


def icon(brand_id: int, size: int, look: str) -> ResponseReturnValue:
    """The icon of a brand: its logo, or its first letter; `maskable`: with its field up to the edge."""
    view = brands.brand_page(db(), brand_id)
    if view is None or size not in SIZES:
        abort(404)
    data = brands.logo_of(db(), brand_id)
    ground = _PLATES["light"] if "light" in _plates(data or b"") else "#ffffff"
    accent = shades.light(view.colour).accent
    made = icons.of_a_brand(size, look == "maskable", accent, view.name, data, ground)
    return _file(made, "image/png", request.args.get("v") == view.version)


def look(colour: str) -> ResponseReturnValue:
    """What the console's preview of a colour needs: both themes side by side, whatever the page's own is."""
    if len(colour) != 6 or set(colour) - set("0123456789abcdef"):
        abort(404)
    light, dark = (
        _rule(f".look.{name}", {**theme, **_tokens(made(f"#{colour}"))}, f"color-scheme: {name};")
        for name, theme, made in (("light", shades.LIGHT, shades.light), ("dark", shades.DARK, shades.dark))
    )
    plates = (
        _rule(f".look.{theme} .plate-{theme}", {}, f"background: {ground}; {_ROOM}")
        for theme, ground in _PLATES.items()
    )
    return _file("".join((light, dark, _LAYOUT, *plates)), "text/css", True)


def plates_of(brand_id: int) -> tuple[str, ...]:
    """The themes in which the logo of a brand needs a ground of its own."""
    return _plates(brands.logo_of(db(), brand_id) or b"")


def _file(content: str | bytes, kind: str, current: bool) -> Response:
    response = Response(content, mimetype=kind)
    response.headers["Cache-Control"] = FOR_GOOD if current else CHECK
    response.add_etag()
    return response.make_conditional(request)


_PLATES = {"light": shades.DARK["surface"], "dark": shades.LIGHT["surface"]}
"""What is put behind a logo that cannot be seen on the ground of a theme."""
_ROOM = "padding: .25rem .5rem; border-radius: .375rem;"


@lru_cache(maxsize=64)
def _plates(png: bytes) -> tuple[str, ...]:
    if not png:
        return ()
    with Image.open(BytesIO(png), formats=("PNG",)) as image:
        picture = image.convert("RGBA")
    alpha = picture.getchannel("A")
    if ImageStat.Stat(alpha).mean[0] > 250:
        return ()  # it brings its own ground along
    mean = ImageStat.Stat(picture.convert("RGB"), alpha.point(lambda part: 255 if part > 127 else 0)).mean
    ink = "#" + "".join(f"{round(part):02x}" for part in mean)
    grounds = {"light": shades.LIGHT["ground"], "dark": shades.DARK["ground"]}
    return tuple(theme for theme, ground in grounds.items() if shades.contrast(ink, ground) < _FAINT)


def _css(colour: str, plates: tuple[str, ...]) -> str:
    light, dark = _tokens(shades.light(colour)), _tokens(shades.dark(colour))
    for theme, tokens in (("light", light), ("dark", dark)) if plates else ():
        tokens["plate"] = _PLATES[theme] if theme in plates else "transparent"
    by_device = _rule(':root:not([data-theme="light"])', dark).strip()
    return "".join(
        (
            _rule(":root", light),
            f"@media (prefers-color-scheme: dark) {{ {by_device} }}\n",
            _rule(':root[data-theme="dark"]', dark),
            _rule(".top .brand img", {}, f"background: var(--plate); {_ROOM}") if plates else "",
        )
    )


def _tokens(of: Shades) -> dict[str, str]:
    return {"accent": of.accent, "accent-ink": of.ink, "accent-soft": of.soft}


def _rule(selector: str, tokens: Mapping[str, str], more: str = "") -> str:
    parts = [f"--{name}: {value};" for name, value in tokens.items()]
    return f"{selector} {{ {' '.join([*parts, more]).strip()} }}\n"
