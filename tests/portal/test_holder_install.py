"""An installed copy: its manifest, icons and worker; what is sent compressed; what stays when the connection goes."""

from __future__ import annotations

import gzip
import re
from io import BytesIO

import pytest
from flask import Flask
from PIL import Image

from engine.db import Database
from engine.vault import Vault
from portal.assets import fingerprint
from tests import scenes
from tests.portal.conftest import text_of
from tests.portal.holders import Holder, holder_of


def asset(name: str) -> str:
    return f"/static/{name}?v={fingerprint(name)}"


@pytest.fixture
def browser(app: Flask) -> Holder:
    return holder_of(app)


def test_a_page_names_its_manifest_and_every_icon_of_it_is_there(browser: Holder) -> None:
    address = re.search(r'rel="manifest" href="([^"]+)"', browser.get("/card/log-in").text)
    assert address is not None
    answer = browser.get(address[1])
    assert answer.mimetype == "application/manifest+json"
    told = answer.json
    assert told is not None
    assert (told["start_url"], told["scope"], told["display"]) == ("/card", "/card", "standalone")
    assert {(one["sizes"], one["purpose"]) for one in told["icons"]} == {
        (size, look) for size in ("192x192", "512x512") for look in ("any", "maskable")
    }
    for one in told["icons"]:
        icon = browser.get(one["src"])
        assert icon.mimetype == "image/png"
        image = Image.open(BytesIO(icon.data))
        assert f"{image.width}x{image.height}" == one["sizes"]
        corner = image.convert("RGBA").getpixel((0, 0))
        assert isinstance(corner, tuple)
        assert corner[3] == (255 if one["purpose"] == "maskable" else 0), "a maskable one has no corners"


@pytest.mark.parametrize("path", ["/card/icon-193-any.png", "/card/icon-192-odd.png", "/brand/1-192-any.png"])
def test_icons_of_other_sizes_and_of_nobody_are_not_drawn(browser: Holder, path: str) -> None:
    assert browser.get(path).status_code == 404


def test_the_manifest_speaks_the_readers_language(browser: Holder) -> None:
    told = browser.get("/card/manifest.webmanifest", headers={"Accept-Language": "ar"}).json
    assert told is not None
    assert (told["lang"], told["dir"]) == ("ar", "rtl")


def test_the_worker_may_care_for_the_cardholders_pages_and_keeps_nobodys_own(browser: Holder) -> None:
    answer = browser.get("/card/sw.js")
    assert answer.mimetype == "text/javascript"
    assert answer.headers["Service-Worker-Allowed"] == "/card"
    assert "no-cache" in answer.headers["Cache-Control"]
    kept = re.search(r"KEPT = (\[.*\])", answer.text)
    assert kept is not None
    assert asset("app.css") in kept[1]
    assert not re.search(r"/card/(?!offline)", answer.text)
    again = browser.get("/card/sw.js", headers={"If-None-Match": answer.headers["ETag"]})
    assert again.status_code == 304
    other = browser.get(
        "/card/sw.js", headers={"Accept-Language": "fr", "If-None-Match": answer.headers["ETag"]}
    )
    assert other.status_code == 200, "in another language the kept page is another"


def test_the_page_without_a_connection_has_nothing_of_anybody_and_sends_nothing(
    app: Flask, db: Database, vault: Vault
) -> None:
    scenes.access_number(db, "18005550100", country="US")
    holder = holder_of(app, scenes.card(db, vault))
    page = holder.get("/card/offline").text
    assert page == holder_of(app).get("/card/offline").text
    assert "tel:+18005550100" in page
    assert "No connection" in text_of(page)
    assert not re.search("<form|<script|csrf|token", page, re.IGNORECASE)


@pytest.mark.parametrize("name", ["app.css", "card.css", "card.js", "vendor/htmx.min.js", "favicon.svg"])
def test_styles_and_scripts_are_sent_compressed(browser: Holder, name: str) -> None:
    whole = browser.get(asset(name))
    small = browser.get(asset(name), headers={"Accept-Encoding": "br, gzip;q=0.5"})
    assert "Content-Encoding" not in whole.headers
    assert small.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(small.data) == whole.data
    assert "Accept-Encoding" in small.headers["Vary"]
    assert "Accept-Encoding" in whole.headers["Vary"]
    assert small.headers["Cache-Control"] == whole.headers["Cache-Control"]
    assert int(small.headers["Content-Length"]) == len(small.data)
    for seen in (whole, small):
        kept = {"If-None-Match": seen.headers["ETag"], "Accept-Encoding": "gzip"}
        assert browser.get(asset(name), headers=kept).status_code == 304
    refused = browser.get(asset(name), headers={"Accept-Encoding": "gzip;q=0, br"})
    assert "Content-Encoding" not in refused.headers


def test_a_part_of_a_file_and_its_head_are_as_they_are(browser: Holder) -> None:
    part = browser.get(asset("app.css"), headers={"Accept-Encoding": "gzip", "Range": "bytes=0-9"})
    assert (part.status_code, len(part.data)) == (206, 10)
    head = browser.head(asset("app.css"), headers={"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in head.headers


def test_pages_are_never_compressed(browser: Holder) -> None:
    page = browser.get("/card/log-in", headers={"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in page.headers
