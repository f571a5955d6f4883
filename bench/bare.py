"""The peer of `bench/http.py`: bare Flask routes that run the call path's own SQL, without any rule or check.

`python -m bench.bare PORT`, with the database and its switch in the environment, under the same server as ours.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from flask import Flask, jsonify, request

from cli.serve import Server
from engine.calls import statements as sql
from engine.config import Config
from engine.db import Database
from engine.people.switches import FIND as FIND_KEY
from engine.vault import token_digest

RATE = {
    "version_id": 1,
    "rate_id": 1,
    "prefix": "88",
    "destination_name": "Destination 88",
    "price_per_minute": 1_000,
    "connect_fee": 0,
    "access_per_minute": 0,
    "access_per_call": 0,
    "post_call_fee": 0,
    "first_increment": 1,
    "increment": 1,
    "grace": 0,
    "precision": 4,
    "rounding": "half_up",
}


def create_app(url: str) -> Flask:
    """Two routes: authorize and end."""
    app = Flask(__name__)
    db = Database(url)

    def switch_id() -> int:
        key = request.headers["Authorization"].removeprefix("Bearer ")
        with db.connection() as conn:
            switch: int = FIND_KEY.one(conn, {"digest": token_digest(key)}).id
        return switch

    @app.post("/api/v1/calls")
    def authorize() -> Any:
        switch, body, now = switch_id(), request.get_json(), datetime.now(UTC)
        with db.connection() as conn:
            asked = {
                "number": body["card_number"],
                "token": None,
                "caller": None,
                "source": "",
                "strangers": b"",
                "own": b"",
                "shared": b"",
                "now": now,
                "call_ref": body["call_ref"],
                "switch_id": switch,
                "cdr_since": now - timedelta(days=62),
            }
            card = sql.AUTHORIZE_READ["number"].one(conn, asked)
            call = {
                **asked,
                **RATE,
                "card_id": card.id,
                "digest": card.digest,
                "hold": 10_000,
                "destination": body["destination"],
                "access_number": None,
                "one_shot": False,
                "granted_s": 600,
                "affordable_s": 14_400,
                "sweep_after": now + timedelta(seconds=660),
            }
            opened = sql.AUTHORIZE_WRITE.one(conn, call)
        return jsonify(max_seconds=600, balance=opened.balance)

    @app.post("/api/v1/calls/<call_ref>/end")
    def end(call_ref: str) -> Any:
        switch, _, now = switch_id(), request.get_json(), datetime.now(UTC)
        with db.connection() as conn:
            call = sql.FIND_LIVE.one(conn, {"switch_id": switch, "call_ref": call_ref})
            values = {
                "card_id": call.card_id,
                "call_id": call.id,
                "hold": call.hold,
                "now": now,
                "actor": "switch:1",
                "currency": "USD",
                "answered_at": now,
                "duration_ms": 3_000,
                "duration_s": 3,
                "billed_s": 3,
                "cost": 100,
                "charged": 100,
                "flags": [],
                "cause": 16,
            }
            done = sql.END_WRITE.one(conn, values)
        return jsonify(charged=100, balance=done.balance_after)

    return app


class BareServer(Server):
    """The same server around the bare app."""

    def load(self) -> Any:
        return create_app(self._config.database_url)


if __name__ == "__main__":
    BareServer(replace(Config.from_env(dict(os.environ)), port=int(sys.argv[1])), lambda: None).run()
