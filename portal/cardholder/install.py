"""What lets a phone keep these pages like an app: the manifest, icons, the worker, the page without a connection."""

from __future__ import annotations

import hashlib
from textwrap import shorten

from flask import Response, abort, current_app, render_template, request, url_for
from flask.typing import ResponseReturnValue

from engine.calls import access_numbers
from portal import icons
from portal.assets import FOR_GOOD, asset
from portal.cardholder.door import holder, open_to_all
from portal.cardholder.languages import language, text_direction
from portal.installation import db
from portal.respond import respond

PLAIN = "#0b6b64"
"""The colour of a brand that has none of its own."""
PAPER = "#f2f6f6"
SIZES = (192, 512)


@holder.get("/manifest.webmanifest")
@open_to_all
def manifest() -> ResponseReturnValue:
    """What an installed copy is called, and how it looks."""
    brand = current_app.jinja_env.globals["brand"]()
    made = [
        {
            "src": icon_url(size, look),
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
        short_name=shorten(brand.name, 12, placeholder="") or brand.name[:12],
        lang=language(),
        dir=text_direction(),
        start_url=url_for("cardholder.home"),
        scope=url_for("cardholder.home"),
        display="standalone",
        background_color=PAPER,
        theme_color=brand.colour or PLAIN,
        icons=made,
    )
    response.mimetype = "application/manifest+json"
    response.headers["Cache-Control"] = "private, max-age=300"
    return response


def icon_url(size: int, look: str) -> str:
    """The address of the icon that this page's brand has; `look`: any or maskable."""
    brand = current_app.jinja_env.globals["brand"]()
    if brand.id is None:
        return url_for("cardholder.icon", size=size, look=look)
    return url_for("brand_icon", brand_id=brand.id, size=size, look=look, v=brand.version)


@holder.get("/icon-<int:size>-<any(any, maskable):look>.png")
@open_to_all
def icon(size: int, look: str) -> ResponseReturnValue:
    """The sign of the house; `maskable`: with its field up to the edge."""
    if size not in SIZES:
        abort(404)
    response = Response(icons.of_the_house(size, look == "maskable", PLAIN), mimetype="image/png")
    response.headers["Cache-Control"] = FOR_GOOD
    return response


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
