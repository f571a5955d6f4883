"""What templates and static files must not hold, and what they may weigh."""

from __future__ import annotations

import base64
import gzip
import hashlib
import re
from pathlib import Path

import pytest
from flask import Flask

import portal
from tests.portal.conftest import Visitor

ROOT = Path(portal.__file__).parent
TEMPLATES = sorted(ROOT.glob("templates/**/*.html"))
STATIC = ROOT / "static"

# Each would need inline script or style, or eval, which the content security policy forbids.
BANNED = {
    "a handler": r"\son[a-z]+\s*=",
    "hx-on": r"\b(data-)?hx-on\b",
    "a style attribute": r"\sstyle\s*=",
    "an inline script": r"<script(?![^>]*\ssrc=)",
    "an inline style": r"<style",
    "a javascript address": r"javascript:|[\"']js:",
    "a filter of a trigger": r"hx-trigger=\"[^\"]*\[",
    "something from elsewhere": r"(src|href)=\"(https?:)?//",
    "an unescaped value": r"\|\s*safe\b|autoescape\s+false",
}


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_template_needs_nothing_that_the_policy_forbids(path: Path) -> None:
    source = path.read_text()
    found = [name for name, pattern in BANNED.items() if re.search(pattern, source, re.IGNORECASE)]
    assert not found


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("a handler", '<a onclick="x()">'),
        ("hx-on", '<a hx-on:click="x()">'),
        ("a style attribute", '<a style="color:red">'),
        ("an inline script", "<script>x()</script>"),
        ("a filter of a trigger", '<a hx-trigger="click[ctrlKey]">'),
        ("something from elsewhere", '<img src="//cdn.example/x.png">'),
        ("an unescaped value", "{{ name | safe }}"),
    ],
)
def test_the_ban_sees_what_it_bans(name: str, source: str) -> None:
    assert re.search(BANNED[name], source, re.IGNORECASE)


def test_only_one_module_reads_what_htmx_says() -> None:
    readers = [
        path.relative_to(ROOT).as_posix()
        for path in ROOT.rglob("*.py")
        if re.search(r"[\"']HX-", path.read_text())
    ]
    assert readers == ["respond.py"]


def test_the_stylesheet_stays_small() -> None:
    assert (STATIC / "app.css").stat().st_size <= 25_000


def test_a_first_load_stays_small(visitor: Visitor) -> None:
    page = visitor.get("/batches").data
    files = [STATIC / "app.css", STATIC / "app.js", STATIC / "vendor/htmx.min.js", STATIC / "favicon.svg"]
    assert sum(len(gzip.compress(data)) for data in (page, *(path.read_bytes() for path in files))) <= 60_000


def test_vendored_files_are_what_their_note_says() -> None:
    note = (STATIC / "vendor/VENDOR.txt").read_text()
    files = re.findall(r"^file +(\S+)$", note, re.MULTILINE)
    digests = re.findall(r"^sha384 +(\S+)$", note, re.MULTILINE)
    assert sorted(files) == sorted(
        path.name for path in (STATIC / "vendor").iterdir() if path.name != "VENDOR.txt"
    )
    for name, digest in zip(files, digests, strict=True):
        data = (STATIC / "vendor" / name).read_bytes()
        assert base64.b64encode(hashlib.sha384(data).digest()).decode() == digest
    assert re.search(r"^version +4\.0\.1$", note, re.MULTILINE)


def test_static_files_are_kept_for_good_under_the_address_of_their_content(app: Flask) -> None:
    client = app.test_client()
    address = re.search(r'href="(/static/app\.css\?v=[0-9a-f]{12})"', client.get("/log-in").text)
    assert address is not None
    assert client.get(address[1]).headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert client.get("/static/app.css?v=old").headers["Cache-Control"] == "public, max-age=300"


def test_a_page_and_its_part_are_told_apart_by_whatever_keeps_them(visitor: Visitor) -> None:
    assert "HX-Request-Type" in visitor.get("/batches").headers["Vary"]
