"""What lets a phone keep these pages like an app: the manifest, icons, the worker, the page without a connection."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from io import BytesIO

from flask import Response, abort, current_app, render_template, request, url_for
from flask.typing import ResponseReturnValue
from PIL import Image, ImageDraw

from engine.calls import access_numbers
from portal.assets import FOR_GOOD, asset
from portal.cardholder.door import holder, open_to_all
from portal.cardholder.languages import language, text_direction
from portal.installation import db
from portal.respond import respond

PLAIN = "#0b6b64"
"""The colour of a brand that has none of its own."""
PAPER = "#f2f6f6"
SIZES = (192, 512)
_BARS = ((8, 13, 19), (13, 10, 22), (18, 12, 20), (23, 14, 18))
"""The sign of the house on a field of 32: x, top and bottom of each bar."""


@holder.get("/manifest.webmanifest")
@open_to_all
def manifest() -> ResponseReturnValue:
    """What an installed copy is called, and how it looks."""
    brand = current_app.jinja_env.globals["brand"]()
    icons = [
        {
            "src": url_for("cardholder.icon", size=size, look=look, colour=_colour(brand.colour)),
            "sizes": f"{size}x{size}",
            "type": "image/png",
            "purpose": look,
        }
        for size in SIZES
        for look in ("any", "maskable")
    ]
    response = current_app.json.response(
        id=url_for("cardholder.home"),
        name=brand.name,
        short_name=brand.name[:12].strip(),
        lang=language(),
        dir=text_direction(),
        start_url=url_for("cardholder.home"),
        scope=url_for("cardholder.home"),
        display="standalone",
        background_color=PAPER,
        theme_color=brand.colour or PLAIN,
        icons=icons,
    )
    response.mimetype = "application/manifest+json"
    response.headers["Cache-Control"] = "private, max-age=300"
    return response


def _colour(colour: str | None) -> str:
    return (colour or PLAIN).lstrip("#")


@holder.get("/icon-<int:size>-<any(any, maskable):look>-<colour>.png")
@open_to_all
def icon(size: int, look: str, colour: str) -> ResponseReturnValue:
    """The sign of the house on a field of a colour; `maskable`: with the field up to the edge."""
    if size not in SIZES or len(colour) != 6 or set(colour) - set("0123456789abcdef"):
        abort(404)
    response = Response(drawn(size, look == "maskable", colour), mimetype="image/png")
    response.headers["Cache-Control"] = FOR_GOOD
    return response


@lru_cache(maxsize=64)
def drawn(size: int, to_the_edge: bool, colour: str) -> bytes:
    """An icon as PNG, `size` pixels wide and high; `colour` in six hex digits."""
    scale = 4  # drawn larger, so that edges are smooth
    field = size * scale
    image = Image.new("RGBA", (field, field), (0, 0, 0, 0))
    pen = ImageDraw.Draw(image)
    pen.rounded_rectangle((0, 0, field - 1, field - 1), 0 if to_the_edge else field // 5, fill=f"#{colour}")
    # What may be cut off around a maskable icon stays plain.
    unit = field / (44 if to_the_edge else 34)
    for x, top, bottom in _BARS:
        across, half = field / 2 + (x - 15.5) * unit, 1.3 * unit
        above, below = (field / 2 + (y - 16) * unit for y in (top, bottom))
        pen.rounded_rectangle((across - half, above - half, across + half, below + half), half, fill="#fff")
    made = BytesIO()
    image.resize((size, size), Image.Resampling.LANCZOS).save(made, "PNG", optimize=True)
    return made.getvalue()


@holder.get("/sw.js")
@open_to_all
def worker() -> ResponseReturnValue:
    """The worker, which keeps the styles and one page: that there is no connection. Nobody's own pages are kept."""
    kept = [asset("app.css"), asset("card.css"), asset("favicon.svg")]
    brand = current_app.jinja_env.globals["brand"]()
    kept += [address for address in (brand.css_url, brand.logo_url) if address]
    page = _offline_page()
    name = hashlib.sha256("\n".join((page, *kept)).encode()).hexdigest()[:12]
    script = render_template(
        "cardholder/worker.js", name=f"cardtone-{name}", offline=url_for("cardholder.offline"), kept=kept
    )
    response = Response(script, mimetype="text/javascript")
    response.headers["Service-Worker-Allowed"] = url_for("cardholder.home")
    response.headers["Cache-Control"] = "private, no-cache"
    response.add_etag()
    return response.make_conditional(request)


@holder.get("/offline")
@open_to_all
def offline() -> ResponseReturnValue:
    """That there is no connection, and what works without one."""
    response = respond("cardholder/offline.html", numbers=access_numbers.dialable(db()))
    response.headers["Cache-Control"] = "private, no-cache"
    return response


def _offline_page() -> str:
    return render_template("cardholder/offline.html", numbers=access_numbers.dialable(db()))
