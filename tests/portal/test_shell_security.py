"""What every answer says to browsers, and what every write must prove."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from flask import Flask, request
from werkzeug.routing import Rule

from engine.people.staff import StaffIdentity
from portal import security
from portal.cardholder import door
from portal.cardholder.languages import is_cardholders
from portal.sessions import is_desks
from tests.portal.conftest import Visitor

PAGES = ("/log-in", "/batches", "/find", "/cards/10000000017", "/nowhere", "/cards/1", "/")


def _mutating(app: Flask) -> list[str]:
    """The address of every route of a page that takes a write; those with arguments are walked in `test_routes`."""
    return sorted(
        str(rule)
        for rule in app.url_map.iter_rules()
        if not security.is_machines(rule.rule)
        and not rule.arguments
        and (rule.methods or set()) - set(security.SAFE_METHODS)
    )


@pytest.mark.parametrize("path", PAGES)
def test_every_page_carries_the_headers(visitor: Visitor, path: str) -> None:
    response = visitor.get(path)
    for name, value in security.HEADERS.items():
        assert response.headers[name] == value
    assert response.headers["Cache-Control"] == "no-store"
    assert "Strict-Transport-Security" not in response.headers


def test_the_policy_allows_nothing_inline_and_nothing_from_elsewhere() -> None:
    assert "unsafe" not in security.POLICY
    assert "*" not in security.POLICY
    assert "http" not in security.POLICY
    assert security.POLICY.startswith("default-src 'none'; ")


def test_production_speaks_https_only(make_app: Callable[..., Flask]) -> None:
    response = make_app(production=True).test_client().get("/log-in", base_url="https://cards.example")
    assert response.headers["Strict-Transport-Security"].startswith("max-age=31536000")
    cookie = response.headers["Set-Cookie"]
    assert cookie.startswith("__Host-cardtone=")
    for attribute in ("Secure", "HttpOnly", "SameSite=Lax", "Path=/"):
        assert attribute in cookie
    assert "Domain" not in cookie


def test_there_are_writes_to_guard(app: Flask) -> None:
    assert {"/find", "/log-in", "/log-in/code", "/log-out", "/theme", "/batches/new"} <= {*_mutating(app)}


def test_a_write_without_the_token_changes_nothing(app: Flask, visitor: Visitor) -> None:
    for path in _mutating(app):
        response = visitor.post(path, data={"theme": "dark", "login": "x", "password": "y", "wanted": "1"})
        assert response.status_code == 403, path
        assert "Nothing was changed" in response.text
    assert visitor.get("/batches").status_code == 200


def test_a_write_with_somebody_elses_token_changes_nothing(app: Flask, visitor: Visitor) -> None:
    other = app.test_client()
    assert isinstance(other, Visitor)
    for path in _mutating(app):
        assert visitor.post(path, data={"csrf_token": other.token()}).status_code == 403, path


@pytest.mark.parametrize("site", ["cross-site", "same-site", "elsewhere"])
def test_a_write_that_another_site_caused_changes_nothing(app: Flask, visitor: Visitor, site: str) -> None:
    for path in _mutating(app):
        response = visitor.submit(path, headers={"Sec-Fetch-Site": site}, theme="dark")
        assert response.status_code == 403, path
    assert visitor.get("/batches").status_code == 200


def test_our_own_pages_may_write(visitor: Visitor) -> None:
    assert (
        visitor.submit("/theme", headers={"Sec-Fetch-Site": "same-origin"}, theme="dark").status_code == 303
    )


def test_htmx_may_send_the_token_as_a_header(visitor: Visitor) -> None:
    headers = {"X-CSRF-Token": visitor.token()}
    assert visitor.post("/theme", data={"theme": "dark"}, headers=headers).status_code == 303


def test_a_form_over_the_limit_is_refused(visitor: Visitor) -> None:
    response = visitor.post("/find", data={"wanted": "1" * 2_000_000})
    assert response.status_code == 413
    assert "too large" in response.text


@pytest.mark.parametrize(
    ("forwarded", "remote", "expected"),
    [
        ("", "203.0.113.9", "203.0.113.9"),
        (
            "198.51.100.7",
            "203.0.113.9",
            "203.0.113.9",
        ),  # not from a listed proxy: anybody can write that header
        ("198.51.100.7", "10.1.2.3", "198.51.100.7"),
        ("192.0.2.1, 198.51.100.7", "10.1.2.3", "198.51.100.7"),  # the proxy saw only the last one
        ("198.51.100.7, 10.9.9.9", "10.1.2.3", "198.51.100.7"),  # through two listed proxies
        ("'; DROP", "10.1.2.3", "10.1.2.3"),
    ],
)
def test_an_address_counts_as_far_as_proxies_vouch_for_it(
    make_app: Callable[..., Flask], forwarded: str, remote: str, expected: str
) -> None:
    app = make_app(trusted_proxies=("10.0.0.0/8",))
    with app.test_request_context(
        headers={"X-Forwarded-For": forwarded}, environ_base={"REMOTE_ADDR": remote}
    ):
        assert security.client_address() == expected


def test_only_the_log_in_is_open(app: Flask, stranger: Visitor, person: StaffIdentity) -> None:
    for rule in app.url_map.iter_rules():
        closed = not rule.arguments and "GET" in (rule.methods or ()) and not security.is_api(rule.rule)
        if closed and rule.rule not in ("/log-in", "/desk/log-in") and not is_open(app, rule):
            response = stranger.get(rule.rule)
            assert response.status_code == 303, rule
            room = "/card" if is_cardholders(rule.rule) else "/desk" if is_desks(rule.rule) else ""
            assert response.location.startswith(f"{room}/log-in"), rule


def is_open(app: Flask, rule: Rule) -> bool:
    with app.app_context():
        return door.is_open(rule.endpoint)


def test_a_large_file_never_lies_on_a_disk_in_the_clear(app: Flask) -> None:
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="cards.csv"\r\n\r\n'
    body = head + b"4471234567890,secret\n" * 100_000 + b"\r\n--x--\r\n"
    sent = {"input_stream": io.BytesIO(body), "content_length": len(body)}
    kind = "multipart/form-data; boundary=x"
    with app.test_request_context("/batches/import", method="POST", content_type=kind, **sent):
        request.max_content_length = security.MAX_FILE_BYTES
        stream = request.files["file"].stream
        assert isinstance(stream, io.BytesIO)
        assert len(stream.read()) == 2_100_000
