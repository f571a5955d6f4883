"""A stand-in for Stripe on the loopback: it opens Checkout sessions by Stripe's wire format, and signs as it does."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

KEY, SECRET = "sk_test_of_the_tests", "whsec_of_the_tests"


class FakeStripe:
    """What was asked of it, by idempotency key; `down` makes it answer 500."""

    def __init__(self) -> None:
        self.asked: dict[str, dict[str, str]] = {}
        self.requests = 0
        self.down = False
        self.url = ""

    def create(self, key: str, form: dict[str, str]) -> dict[str, Any]:
        """A session for a key; the same one again for the same key."""
        self.asked.setdefault(key, form)
        number = list(self.asked).index(key) + 1
        return {
            "id": f"cs_test_{number}",
            "object": "checkout.session",
            "url": f"https://checkout.stripe.com/c/pay/cs_test_{number}",
            "client_reference_id": self.asked[key].get("client_reference_id"),
        }


@contextmanager
def running() -> Iterator[FakeStripe]:
    """A server of its own."""
    fake = FakeStripe()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            fake.requests += 1
            length = int(self.headers["Content-Length"])
            form = {name: values[0] for name, values in parse_qs(self.rfile.read(length).decode()).items()}
            authorized = self.headers["Authorization"] in (f"Bearer {KEY}", f"Basic {KEY}")
            if fake.down or not authorized or self.path != "/v1/checkout/sessions":
                self._answer(500 if fake.down else 401, {"error": {"message": "no", "type": "api_error"}})
            else:
                self._answer(200, fake.create(self.headers["Idempotency-Key"], form))

        def _answer(self, status: int, body: dict[str, Any]) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    fake.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield fake
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def message(kind: str, thing: dict[str, Any]) -> bytes:
    """A message as it is sent."""
    event = {"id": "evt_1", "object": "event", "type": kind, "data": {"object": thing}}
    return json.dumps(event).encode()


def session_of(ref: str, amount: int, currency: str = "usd", status: str = "paid") -> dict[str, Any]:
    """A session that was completed; `amount` in the currency's smallest units."""
    return {
        "id": "cs_test_1",
        "object": "checkout.session",
        "client_reference_id": ref,
        "amount_total": amount,
        "currency": currency,
        "payment_status": status,
        "metadata": {"checkout": ref},
    }


def charge_of(ref: str, refunded: int, currency: str = "usd") -> dict[str, Any]:
    """A charge of which so much went back."""
    return {
        "id": "ch_1",
        "object": "charge",
        "currency": currency,
        "amount_refunded": refunded,
        "metadata": {"checkout": ref},
    }


def signature(body: bytes, *, secret: str = SECRET, at: float | None = None) -> str:
    """The header of a signed message, as Stripe documents it."""
    stamp = int(time.time() if at is None else at)
    digest = hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={stamp},v1={digest}"
