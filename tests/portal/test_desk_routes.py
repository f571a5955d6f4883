"""Whom each page of the desk opens to, made from its own list of addresses: a new page is walked as well."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import text
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from engine.permissions import may
from portal.operator.console import needed
from portal.reseller.door import FREE, TO_LOOK
from tests.portal.conftest import Visitor
from tests.portal.desks import MARK, Desks, address, pages
from tests.portal.holders import holder_of
from tests.portal.house import NO_ROW, NOWHERE

_FORM = re.compile(rb'<form[^>]*method="post"[^>]*action="([^"]+)"')
ALWAYS_OFFERED = {b"/desk/leave", b"/desk/look", b"/theme"}


def nowhere(rule: Rule) -> dict[str, Any]:
    return {name: NOWHERE.get(name, "nothing" if name == "ref" else NO_ROW) for name in rule.arguments}


def permission(desks: Desks, rule: Rule) -> str:
    with desks.app.app_context():
        found = needed(rule.endpoint)
    assert found is not None, f"{rule.endpoint} says no permission"
    return found


def methods(rule: Rule) -> list[str]:
    return [method for method in ("GET", "POST") if method in (rule.methods or ())]


def ask(visitor: Visitor, method: str, path: str, token: str) -> TestResponse:
    """Ask for a page, or send an empty form to it."""
    return visitor.open(path, method=method, data={"csrf_token": token} if method == "POST" else None)


def test_every_page_says_whom_it_is_for(desks: Desks) -> None:
    found = pages(desks)
    assert len(found) > 20
    for rule in found:
        permission(desks, rule)
        address(desks, rule, desks.own)
        address(desks, rule, desks.foreign)


def test_each_page_opens_to_the_roles_of_its_permission_and_to_no_other(desks: Desks) -> None:
    people = (desks.owner, desks.corner.owner), (desks.clerk, desks.corner.clerk)
    before = _written(desks)
    wrong = []
    for visitor, actor in people:
        token = visitor.token()
        for rule in pages(desks):
            allowed = may(actor, permission(desks, rule))
            for method in methods(rule):
                if method == "POST" and allowed:
                    continue  # what it does is the business of its own tests
                answer = ask(visitor, method, address(desks, rule, desks.own), token)
                if (
                    (answer.status_code == 403) is allowed
                    or answer.status_code >= 500
                    or MARK.encode() in answer.data
                ):
                    wrong.append((actor.role, method, rule.rule, answer.status_code))
    assert not wrong
    assert _written(desks) == before, "looking writes nothing"


def test_nobody_else_gets_in(desks: Desks) -> None:
    holder = holder_of(desks.app, desks.corner.june[0])
    for visitor in (desks.stranger(), desks.staff("admin"), holder):
        token = visitor.token()
        for rule in pages(desks):
            for method in methods(rule):
                answer = ask(visitor, method, address(desks, rule, desks.own), token)
                assert answer.status_code == 303, rule
                assert answer.location.startswith("/desk/log-in"), rule


def test_what_belongs_to_another_reseller_and_what_does_not_exist_is_nowhere(desks: Desks) -> None:
    visitor = desks.owner
    token = visitor.token()
    before = _written(desks)
    wrong = []
    for rule in pages(desks):
        for method in methods(rule) if rule.arguments else ():
            for examples in (desks.foreign, nowhere(rule)):
                answer = ask(visitor, method, address(desks, rule, examples), token)
                if answer.status_code != 404:
                    wrong.append((method, answer.request.path, answer.status_code))
    assert not wrong
    assert _written(desks) == before


def test_no_write_without_the_token_of_the_session_and_none_from_elsewhere(desks: Desks) -> None:
    visitor = desks.owner
    token = visitor.token()
    for rule in pages(desks):
        if "POST" not in methods(rule):
            continue
        path = address(desks, rule, desks.own)
        assert visitor.post(path).status_code == 403, rule
        foreign = visitor.post(path, data={"csrf_token": token}, headers={"Sec-Fetch-Site": "cross-site"})
        assert foreign.status_code == 403, rule


def test_who_looks_at_a_desk_reads_and_is_offered_and_does_nothing_else(desks: Desks) -> None:
    visitor = desks.looking("operator")
    token = visitor.token()
    before = _written(desks)
    wrong = []
    for rule in pages(desks):
        looks = permission(desks, rule) in TO_LOOK
        for method in methods(rule):
            if rule.endpoint in FREE:
                continue
            answer = ask(visitor, method, address(desks, rule, desks.own), token)
            offered = set(_FORM.findall(answer.data)) - ALWAYS_OFFERED
            if (answer.status_code == 403) is (looks and method == "GET") or offered:
                wrong.append((method, rule.rule, answer.status_code, offered))
    assert not wrong
    assert _written(desks) == before


def _written(desks: Desks) -> dict[str, int]:
    """What every table has had inserted, changed or deleted, as sums over its rows."""
    with desks.db.begin() as session:
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
