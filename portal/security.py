"""What every answer says to browsers, and what every write must prove.

The content security policy allows nothing inline and nothing from elsewhere. A write must carry the session's token
and, where the browser says where it came from (`Sec-Fetch-Site`), must come from this site. The switch API proves
itself by its key instead and uses no cookie.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from datetime import timedelta
from io import BytesIO
from typing import IO, Any, TypeVar

import flask
from flask import Flask, Response, abort, current_app, request
from flask_wtf.csrf import CSRFError, CSRFProtect

from portal.installation import installation

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "manifest-src 'self'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
HSTS = "max-age=31536000; includeSubDomains"
SAFE_METHODS = ("GET", "HEAD", "OPTIONS", "TRACE")
MAX_FORM_BYTES = 1_000_000
MAX_FILE_BYTES = 21_000_000
"""What a page that takes files accepts in all: a file of 20 MB and its form."""

_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_csrf = CSRFProtect()
V = TypeVar("V", bound=Callable[..., Any])


class Request(flask.Request):
    """A request whose files stay in memory, however large: lists of cards never lie on a disk in the clear."""

    def _get_file_stream(self, *args: Any, **kwargs: Any) -> IO[bytes]:
        return BytesIO()


def init_app(app: Flask, *, secure: bool) -> None:
    """Set cookies, limits, headers and the guard of writes. `secure`: served over HTTPS, as production is."""
    app.config.update(
        # The __Host- prefix makes browsers refuse the cookie unless it is secure, host-only and for the whole site.
        SESSION_COOKIE_NAME="__Host-cardtone" if secure else "cardtone-dev",
        SESSION_COOKIE_SECURE=secure,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_PATH="/",
        SESSION_REFRESH_EACH_REQUEST=False,  # its row decides how long it lasts
        PERMANENT_SESSION_LIFETIME=timedelta(hours=12),
        MAX_CONTENT_LENGTH=MAX_FORM_BYTES,
        MAX_FORM_MEMORY_SIZE=MAX_FORM_BYTES,
        WTF_CSRF_CHECK_DEFAULT=False,  # `guard_writes` decides, so that there is one place
        WTF_CSRF_TIME_LIMIT=None,  # as long as the session
        WTF_CSRF_SSL_STRICT=False,  # asks for a Referer, which our own pages withhold; Sec-Fetch-Site is asked instead
        WTF_CSRF_HEADERS=["X-CSRF-Token"],
    )
    _csrf.init_app(app)
    app.before_request(guard_writes)
    app.before_request(refuse_what_nobody_types)

    @app.after_request
    def add_headers(response: Response) -> Response:
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        if secure:
            response.headers.setdefault("Strict-Transport-Security", HSTS)
        if request.endpoint != "static":
            response.headers.setdefault("Cache-Control", "no-store")
        return response


def is_api(path: str) -> bool:
    """Whether a path belongs to the switches' door, which has keys and its own errors."""
    return path.startswith("/api/") or path in ("/healthz", "/readyz")


def is_machines(path: str) -> bool:
    """Whether no browser asks there: what comes has a key or a signature instead of a page's token."""
    return is_api(path) or path.startswith("/webhooks/")


def takes_files(view: V) -> V:
    """Let a view accept forms as large as `MAX_FILE_BYTES`. Stands beneath its route."""
    view.takes_files = True  # type: ignore[attr-defined]
    return view


def guard_writes() -> None:
    """Refuse a write that another site caused or that lacks the session's token. Raises `CSRFError`."""
    # Before the form is read, which the token is a part of.
    if getattr(current_app.view_functions.get(request.endpoint or ""), "takes_files", False):
        request.max_content_length = MAX_FILE_BYTES
    if request.method in SAFE_METHODS or request.endpoint is None or is_machines(request.path):
        return
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        raise CSRFError("The write came from another site.")
    _csrf.protect()


def refuse_what_nobody_types() -> None:
    """Answer 400 to control characters in addresses and forms: no page could show them, and no field means them."""
    if is_machines(request.path):
        return
    for values in (request.args, request.form):
        for _, text in values.items(multi=True):
            if _CONTROL.search(text):
                abort(400)


def client_address() -> str:
    """The address that asks. `X-Forwarded-For` counts only as far as proxies that are listed vouch for it."""
    address = request.remote_addr or ""
    proxies = [ipaddress.ip_network(network) for network in installation().config.trusted_proxies]
    hops = [hop.strip() for hop in request.headers.get("X-Forwarded-For", "").split(",") if hop.strip()]
    while hops and _within(address, proxies):
        if not _is_address(hops[-1]):
            break
        address = hops.pop()
    return address


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _within(address: str, networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network]) -> bool:
    if not _is_address(address):
        return False
    parsed = ipaddress.ip_address(address)
    return any(parsed in network for network in networks)
