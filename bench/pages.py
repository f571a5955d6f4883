"""How fast the console's pages are at a million cards and calls, against a page of the same bytes that is made already.

Server time, through the whole app: log-in, permissions, database, template. The other side is a page of the same app
that its reader must be logged in for, too, and that only hands out bytes. `CARDTONE_BENCH_DATABASE` names a database
with a large demo world that may be used; otherwise one is made, `CARDTONE_BENCH_SCALE` smaller. Goals: p95 of at most
200 ms, what a browser loads first at most 150 KB compressed, a part of a page at most 30 KB.
"""

from __future__ import annotations

import gzip
import os
import re
import secrets
import statistics
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path
from time import perf_counter
from typing import Any

from flask import Flask, Response
from flask.testing import FlaskClient

from bench.report import Report
from demo import large
from engine.actor import CONSOLE
from engine.cards.serials import serial_of
from engine.config import Config
from engine.db import Database
from engine.people.staff import add_staff
from engine.vault import Secret, Vault
from portal import create_app
from portal.operator.console import console, needs

ROUNDS = 25
GOAL = 0.1
MOST_MS = 200.0
FIRST_LOAD = 150_000
FRAGMENT = 30_000
PART = {"HX-Request": "true", "HX-Request-Type": "partial"}
_made: dict[str, bytes] = {}


@console.get("/bench/made/<name>")
@needs("cards.see")
def made_already(name: str) -> Response:
    """The bytes of a page, as they were kept."""
    return Response(_made[name], content_type="text/html; charset=utf-8")


def run(report: Report, url: str) -> None:
    """Print a ratio for each page, `pages_slowest_ms` (the goal over the slowest p95) and the sizes."""
    with tempfile.TemporaryDirectory() as home:
        url = os.environ.get("CARDTONE_BENCH_DATABASE") or url
        config = Config.from_env({**os.environ, "CARDTONE_HOME": home, "CARDTONE_DATABASE_URL": url})
        Path(home).chmod(0o700)
        db = Database(url)
        if not os.environ.get("CARDTONE_BENCH_DATABASE"):
            scale = float(os.environ.get("CARDTONE_BENCH_SCALE", "1"))
            large.make(
                db, Vault(config.load_keys()), datetime.now(UTC), cards=max(20_000, int(large.CARDS * scale))
            )
        app = create_app(config)
        try:
            _measure(report, app, db)
        finally:
            db.close()


def _measure(report: Report, app: Flask, db: Database) -> None:
    client = _reader(app, db)
    slowest = 0.0
    for group, pages in _pages(db).items():
        worst = 1_000.0
        for name, addresses in pages.items():
            page, static = _times(client, name, addresses)
            ratio = statistics.median(static) / statistics.median(page)
            tail = sorted(page)[int(len(page) * 0.95)]
            worst, slowest = min(worst, ratio), max(slowest, tail)
            report.figure(
                f"{name}: p50 {statistics.median(page):.1f} ms, p95 {tail:.1f} ms, {len(_made[name]):,} bytes,"
                f" made already {statistics.median(static):.1f} ms: {ratio:.2f}"
            )
        report.ratio(f"pages_{group}", worst, GOAL)
    report.ratio("pages_p95", MOST_MS / slowest, 1.0)
    _sizes(report, client)


def _times(client: FlaskClient, name: str, addresses: list[str]) -> tuple[list[float], list[float]]:
    """Milliseconds of each request of a page and of the same bytes, in turn."""
    page, static = [], []
    for turn, address in zip(range(ROUNDS + 2), cycle(addresses)):
        started = perf_counter()
        answer = client.get(address)
        page.append((perf_counter() - started) * 1000)
        assert answer.status_code == 200, (address, answer.status_code)
        _made[name] = answer.get_data()
        started = perf_counter()
        client.get(f"/bench/made/{name}")
        static.append((perf_counter() - started) * 1000)
        if turn == 1:
            page, static = [], []  # plans and templates are ready now
    return page, static


def _reader(app: Flask, db: Database) -> FlaskClient:
    login, password = f"bench-{secrets.token_hex(4)}", secrets.token_urlsafe(16)
    add_staff(db, login, "Bench", "admin", Secret(password), CONSOLE, datetime.now(UTC))
    client = app.test_client()
    form: Any = re.search(r'name="csrf_token"[^>]* value="([^"]+)"', client.get("/log-in").text)
    answer = client.post("/log-in", data={"csrf_token": form[1], "login": login, "password": password})
    assert answer.status_code == 303, answer.status_code
    return client


def _pages(db: Database) -> dict[str, dict[str, list[str]]]:
    """The addresses of each kind of page: by groups, and by names with several of one kind."""
    with db.connection() as conn:
        calls: Any = conn.execute(
            "SELECT card_id, id, caller, destination, destination_name, ended_at FROM cdr"
            " WHERE card_id IN (SELECT id FROM card ORDER BY id LIMIT 4000) ORDER BY card_id, ended_at LIMIT 20"
        ).fetchall()
        middle: Any = conn.execute(
            "SELECT min(ended_at) + (max(ended_at) - min(ended_at)) / 2 AS at FROM cdr"
        ).fetchone()
        batch: Any = conn.execute("SELECT name FROM batch ORDER BY id LIMIT 1").fetchone()
    serials = [serial_of(call.card_id) for call in calls]
    deep = f"before={int(middle.at.timestamp() * 1_000_000)}-0"
    filters = {
        "all": "",
        "caller": f"caller={calls[0].caller}",
        "destination": f"destination={calls[0].destination}",
        "prefix": f"prefix={calls[0].destination[:4]}",
        "name": f"name={calls[0].destination_name}",
        "day": f"ended_from={middle.at:%Y-%m-%d}&ended_to={middle.at:%Y-%m-%d}",
        "duration": "duration_from=600&duration_to=640",
        "cause": "cause=17",
        "no such cause": "cause=99",
        "charged": "charged_from=4",
        "flag": "flag=any",
        "batch": f"batch={batch.name}",
        "reseller": "reseller=Corner Phone Shop",
        "switch": "switch=asterisk-nyc",
        "batch and cause": f"batch={batch.name}&cause=17",
    }
    return {
        "home": {"home": ["/"]},
        "card": {"card": [f"/cards/{serial}" for serial in serials]},
        "cards": {
            "cards": ["/cards"],
            "cards active": ["/cards?status=active"],
            "cards of a batch": [f"/cards?batch={batch.name}"],
            "cards by balance": ["/cards?sort=-balance"],
        },
        "calls": {
            f"calls, {name}{where}": [f"/calls?{'&'.join(part for part in (query, place) if part)}"]
            for name, query in filters.items()
            for where, place in (("", ""), (", deep", deep))
            if _known(db, name, query)
        },
    }


def _known(db: Database, name: str, query: str) -> bool:
    """Whether there is a switch or reseller of this name in the world that is used."""
    if name not in ("switch", "reseller"):
        return True
    with db.connection() as conn:
        found = conn.execute(f"SELECT FROM {name} WHERE name = %s", (query.partition("=")[2],)).fetchone()
    return found is not None


def _sizes(report: Report, client: FlaskClient) -> None:
    """What a browser loads first, compressed, and the largest part of a page."""
    page = client.get("/").text
    sizes = [_compressed(page.encode()), *(_compressed(body) for body in _assets(client, page))]
    report.figure(f"first load: {sum(sizes):,} bytes compressed in {len(sizes)} files")
    report.ratio("pages_first_load", FIRST_LOAD / sum(sizes), 1.0)
    parts = {
        path: _compressed(client.get(path, headers=PART).data)
        for path in ("/cards", "/calls", "/calls/flagged")
    }
    path = max(parts, key=lambda path: parts[path])
    report.figure(f"largest part: {path}, {parts[path]:,} bytes compressed")
    report.ratio("pages_fragment", FRAGMENT / parts[path], 1.0)


def _assets(client: FlaskClient, page: str) -> Iterator[bytes]:
    for address in sorted(set(re.findall(r'(?:href|src)="(/static/[^"]+)"', page))):
        answer = client.get(address)
        assert answer.status_code == 200, address
        yield answer.get_data()


def _compressed(body: bytes) -> int:
    return len(gzip.compress(body, 6))
