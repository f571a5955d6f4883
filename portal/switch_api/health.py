"""Whether this process can work: /healthz for who restarts it, /readyz for who sends it calls."""

from __future__ import annotations

import time

from flask import Flask, Response, json

from engine import migrations
from engine.db import Database
from engine.errors import EngineError
from portal.installation import db

_KEPT_S = 1.0


def init_app(app: Flask) -> None:
    """Add both, without authentication; they say only ok or unavailable."""
    ready = _Kept()

    @app.get("/healthz")
    def healthz() -> Response:
        return _said(_migrated(db()))

    @app.get("/readyz")
    def readyz() -> Response:
        return _said(ready.ask(db()))


def _migrated(database: Database) -> bool:
    try:
        return migrations.stands_at_head(database)
    except EngineError:
        return False


class _Kept:
    """The answer to whether the database takes writes, asked at most once a second, as anybody may ask for it."""

    def __init__(self) -> None:
        self._asked_at = float("-inf")
        self._answer = False

    def ask(self, database: Database) -> bool:
        if time.monotonic() - self._asked_at >= _KEPT_S:
            self._asked_at = time.monotonic()
            self._answer = _migrated(database) and _writes(database)
        return self._answer


def _writes(database: Database) -> bool:
    """A write that changes nothing: it fails on a full disk and on a standby."""
    try:
        with database.connection() as conn:
            conn.execute("UPDATE settings_head SET revision = revision WHERE id = 1")
        return True
    except EngineError:
        return False


def _said(good: bool) -> Response:
    response = Response(
        json.dumps({"status": "ok" if good else "unavailable"}),
        200 if good else 503,
        mimetype="application/json",
    )
    response.headers["Cache-Control"] = "no-store"
    if not good:
        response.headers["Retry-After"] = "5"
    return response
