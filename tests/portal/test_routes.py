"""Whom each page of the console opens to, made from its own list of addresses: a new page is walked as well."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from flask import Flask
from sqlalchemy import text
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from engine.actor import Actor
from engine.config import Keys
from engine.permissions import STAFF_ROLES, may
from portal.operator.console import SECTIONS, needed
from tests import proof
from tests.conftest import Clones
from tests.portal.conftest import Visitor
from tests.portal.house import NO_ROW, NOWHERE, House, house, pages

PAYLOADS = (
    "' OR 1=1; drop table card --",
    "<script>alert(1)</script>",
    "9" * 30,
    "2026-02-30",
    "\x00\uff11",
)
MORE_PAYLOADS = ("-5", "NaN", "1,50", "9999-12-31", "%27%20OR", "=HYPERLINK(1)", "\u202e", "a" * 5_000)
ALWAYS = ("before", "sort", "order", "per_page")
_NOT_ASKED = {"csrf_token", "key", "next", "theme", "v"}
_NAMED = re.compile(r'<(?:input|select|textarea)[^>]*\sname="([^"]+)"')
_ASKED = re.compile(r"[?&;]([a-z_]+)=")


@pytest.fixture(scope="module")
def home(clones: Clones, keys: Keys, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """The house that these tests walk through."""
    with house(clones, keys, tmp_path_factory.mktemp("home")) as made:
        yield made


def permission(app: Flask, rule: Rule) -> str:
    with app.app_context():
        found = needed(rule.endpoint)
    assert found is not None, f"{rule.endpoint} says no permission"
    return found


def ask(visitor: Visitor, method: str, path: str, token: str) -> TestResponse:
    """Ask for a page, or send an empty form to it."""
    return visitor.open(path, method=method, data={"csrf_token": token} if method == "POST" else None)


def methods(rule: Rule) -> list[str]:
    return [method for method in ("GET", "POST") if method in (rule.methods or ())]


def test_every_page_says_whom_it_is_for_and_every_argument_has_an_example(home: House) -> None:
    found = pages(home.app)
    assert len(found) > 20
    for rule in found:
        permission(home.app, rule)
        assert rule.arguments <= home.world.arguments.keys(), rule


def test_every_tab_leads_somewhere(home: House) -> None:
    known = {rule.rule for rule in pages(home.app)}
    assert {path for _, tabs in SECTIONS for _, path in tabs} <= known


@pytest.mark.parametrize("role", STAFF_ROLES)
def test_each_page_opens_to_the_roles_of_its_permission_and_to_no_other(home: House, role: str) -> None:
    visitor = home.visitor(role)
    visitor.strict = role == "admin"  # the same pages, with less on them for the others
    token = visitor.token()
    wrong = []
    for rule in pages(home.app):
        allowed = may(Actor("staff", 1, role, role), permission(home.app, rule))
        for method in methods(rule):
            if method == "POST" and allowed:
                continue  # what it does is the business of its own tests
            answer = ask(visitor, method, home.address(rule), token)
            if (answer.status_code == 403) is allowed or answer.status_code >= 500:
                wrong.append((role, method, rule.rule, answer.status_code))
    assert not wrong


def test_nobody_gets_in_without_a_log_in(home: House) -> None:
    stranger = home.visitor(None)
    token = stranger.token()
    for rule in pages(home.app):
        for method in methods(rule):
            answer = ask(stranger, method, home.address(rule), token)
            assert answer.status_code == 303, rule
            assert answer.location.startswith("/log-in"), rule


def test_no_write_without_the_token_of_the_session_and_none_from_elsewhere(home: House) -> None:
    visitor = home.visitor("admin")
    token = visitor.token()
    for rule in pages(home.app):
        if "POST" not in methods(rule):
            continue
        path = home.address(rule)
        assert visitor.post(path).status_code == 403, rule
        foreign = visitor.post(path, data={"csrf_token": token}, headers={"Sec-Fetch-Site": "cross-site"})
        assert foreign.status_code == 403, rule


def test_what_does_not_exist_is_nowhere(home: House) -> None:
    visitor = home.visitor("admin")
    token = visitor.token()
    wrong = []
    for rule in pages(home.app):
        for method in methods(rule) if rule.arguments else ():
            answer = ask(visitor, method, home.address(rule, nowhere=True), token)
            if answer.status_code != 404:
                wrong.append((method, rule.rule, answer.status_code))
    assert not wrong
    assert NOWHERE.keys() <= home.world.arguments.keys()
    assert NO_ROW not in home.world.arguments.values()


def test_looking_writes_nothing(home: House) -> None:
    visitor = home.visitor("admin")
    before = _written(home)
    for rule in pages(home.app):
        if "GET" in methods(rule):
            visitor.get(home.address(rule))
    assert _written(home) == before


def _written(home: House) -> dict[str, int]:
    """What every table has had inserted, changed or deleted, as sums over its rows."""
    with home.db.begin() as session:
        names = session.scalars(
            text(
                "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
                " AND relname NOT IN ('web_session')"
            )
        ).all()
        return {
            name: session.scalar(text(f"SELECT coalesce(sum(hashtext(t.*::text)::bigint), 0) FROM {name} t"))
            or 0
            for name in names
        }


def test_whatever_is_asked_for_in_an_address_is_answered_with_a_page(home: House) -> None:
    visitor = home.visitor("admin")
    visitor.strict = (
        False  # that a page is well formed says another walk; here it must only not be taken over
    )
    wrong = []
    for rule in pages(home.app):
        if methods(rule) != ["GET"]:
            continue  # a form's own page asks for nothing in its address
        path = home.address(rule)
        page = visitor.get(path)
        if page.mimetype != "text/html":
            continue
        names = {*_NAMED.findall(page.text), *_ASKED.findall(page.text), *ALWAYS} - _NOT_ASKED
        for payload in PAYLOADS + (MORE_PAYLOADS if proof.proving() else ()):
            answer = visitor.get(path, query_string=dict.fromkeys(sorted(names), payload))
            if answer.status_code not in (200, 303, 400, 404, 409, 422) or "<script>alert" in answer.text:
                wrong.append((rule.rule, payload[:20], answer.status_code))
    assert not wrong
