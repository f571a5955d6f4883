"""The OpenAPI document says what is so, and its page says the same to people."""

from __future__ import annotations

import json
from typing import Any

import jsonschema_rs
import pytest
from flask import Flask

from engine.errors import REASONS
from portal.security import POLICY
from portal.switch_api import EXTENSION, bodies
from portal.switch_api.body import parse
from portal.switch_api.problems import Problem
from tests.portal.conftest import parse as parse_page
from tests.portal.conftest import text_of
from tests.portal.switches import _plain


@pytest.fixture
def document(app: Flask) -> Any:
    response = app.test_client().get("/api/openapi.json")
    assert (response.status_code, response.mimetype) == (200, "application/json")
    return response.json


def _operations(document: Any) -> list[tuple[str, str, Any]]:
    return [
        (method, path, item[method])
        for path, item in document["paths"].items()
        for method in ("get", "post")
        if method in item
    ]


def test_every_route_is_documented(app: Flask, document: Any) -> None:
    served = {
        rule.rule.replace("<call_ref>", "{call_ref}")
        for rule in app.extensions[EXTENSION].url_map.iter_rules()
    }
    assert set(document["paths"]) == served - {"/api/openapi.json"}
    assert len(document["paths"]) == 10


def test_every_operation_has_a_name_words_a_key_and_its_problems(document: Any) -> None:
    names = [operation["operationId"] for _, _, operation in _operations(document)]
    assert len(set(names)) == len(names)
    for method, path, operation in _operations(document):
        assert operation["summary"], path
        assert operation["responses"]["200"]["content"], path
        if path in ("/healthz", "/readyz"):
            assert operation["security"] == []
            continue
        assert operation["security"] == [{"switchKey": []}]
        assert {"401", "422", "500", "503"} <= set(operation["responses"])
        if method == "post":
            assert {"400", "413", "415"} <= set(operation["responses"])
            assert operation["requestBody"]["content"]["application/json"]["examples"]


def test_every_reference_leads_somewhere(document: Any) -> None:
    def walk(node: Any) -> None:
        if isinstance(node, dict):
            if isinstance(node.get("$ref"), str):
                found = document
                for step in node["$ref"].removeprefix("#/").split("/"):
                    found = found[step]
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    walk(document)


def test_every_example_is_what_its_schema_allows(document: Any) -> None:
    plain = _plain(document)
    checked = 0
    for _, path, operation in _operations(plain):
        contents = [operation["responses"]["200"]["content"]["application/json"]]
        if "requestBody" in operation:
            contents.append(operation["requestBody"]["content"]["application/json"])
        for content in contents:
            validator = jsonschema_rs.validator_for(
                {**content["schema"], "components": plain["components"]}, validate_formats=True
            )
            for example in content.get("examples", {}).values():
                assert validator.is_valid(example["value"]), (path, example)
                checked += 1
    assert checked > 15


def test_every_example_of_a_body_is_read(document: Any) -> None:
    known = {
        "/authenticate": bodies.AUTHENTICATE,
        "/calls": bodies.AUTHORIZE,
        "/answer": bodies.ANSWER,
        "/progress": bodies.PROGRESS,
        "/end": bodies.END,
        "/recharges": bodies.RECHARGE,
    }
    for method, path, operation in _operations(document):
        if method == "post":
            body = known["/" + path.rpartition("/")[2]]
            for example in operation["requestBody"]["content"]["application/json"]["examples"].values():
                assert body.read(parse(json.dumps(example["value"]).encode()))


def test_a_body_that_is_read_is_one_that_its_schema_allows(document: Any) -> None:
    """And the other way round, for the edges of every field."""
    edges: dict[str, list[Any]] = {
        "call_ref": ["a", "~ !", "x" * 128, "x" * 129, "", ".", "..", "...", "a/b", "é", "a\n", 1, None],
        "destination": ["1", "x" * 128, "x" * 129, "", "\u0000", "\u202e", "é", None, 1],
        "caller": ["", "+1", None, "x" * 255, "x" * 256, "\u0007", 1, True],
        "access_number": ["", None, "123", "+123456789012345", "12", "1234567890123456", "1 2 3", "+", 123],
        "one_shot": [True, False, None, 0, "true"],
    }
    plain = _plain(document)
    schema = plain["paths"]["/api/v1/calls"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    validator = jsonschema_rs.validator_for({**schema, "components": plain["components"]})
    good: dict[str, Any] = {"call_ref": "a", "destination": "1"}
    for proof in (
        {"card_number": "1", "password": "2"},
        {"card_token": "3"},
        {"caller": "4"},
        {},
        {"card_number": "1"},
        {"card_number": "1", "password": "2", "card_token": "3"},
        {"caller": "4", "card_token": "3"},
    ):
        for field, values in edges.items():
            for value in values:
                body = {**good, **proof, field: value}
                assert _is_read(body) == validator.is_valid(body), body


def _is_read(body: Any) -> bool:
    try:
        bodies.AUTHORIZE.read(body)
    except Problem:
        return False
    return True


def test_the_page_shows_every_operation_field_and_reason(app: Flask, document: Any) -> None:
    response = app.test_client().get("/api/docs")
    assert response.status_code == 200
    assert response.headers["Content-Security-Policy"] == POLICY
    parse_page(response)
    text = text_of(response.text)
    for method, path, operation in _operations(document):
        assert f"{method.upper()} {path}" in text
        assert operation["summary"] in text
    for body in (bodies.AUTHENTICATE, bodies.AUTHORIZE, bodies.ANSWER, bodies.END, bodies.RECHARGE):
        assert all(one.name in text and one.description in text for one in body.fields)
    for reason in REASONS:
        assert reason in text
    for schema in document["components"]["schemas"].values():
        for name in schema.get("properties", {}):
            assert name in text or name in ("title", "status", "code", "detail", "errors")
    assert app.test_client().post("/api/docs").status_code in (404, 405)


def test_the_page_needs_nobody_to_be_logged_in_and_no_database(app: Flask) -> None:
    from engine.db import Database

    app.extensions["cardtone"].db = Database("postgresql://nobody@127.0.0.1:1/none")
    assert app.test_client().get("/api/docs").status_code == 200
