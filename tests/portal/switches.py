"""A softswitch as the tests of the switch API use it. Every answer that it gets is held to the OpenAPI document."""

from __future__ import annotations

import functools
import json
import re
from typing import Any

import jsonschema_rs
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from engine.db import Database
from engine.people.switches import add_switch
from tests.scenes import BANGLADESH, NOW, OPERATOR, TestCard


class Switch:
    """A switch with a key, and short words for what it asks."""

    def __init__(self, app: Flask, key: str | None) -> None:
        self.client: FlaskClient = app.test_client()
        self.headers = {"Authorization": f"Bearer {key}"} if key else {}
        self.document = app.test_client().get("/api/openapi.json").text

    @classmethod
    def added(cls, app: Flask, db: Database, name: str = "Asterisk", **more: Any) -> Switch:
        """A switch that is new to the house."""
        return cls(app, add_switch(db, name, OPERATOR, NOW, **more)[1].value)

    def post(self, path: str, body: Any = None, **headers: str) -> TestResponse:
        return self.open("POST", path, headers, json=body or {})

    def raw(
        self, path: str, data: bytes, content_type: str | None = "application/json", **headers: str
    ) -> TestResponse:
        return self.open("POST", path, headers, data=data, content_type=content_type)

    def get(self, path: str, **headers: str) -> TestResponse:
        return self.open("GET", path, headers)

    def open(self, method: str, path: str, headers: dict[str, str], **more: Any) -> TestResponse:
        """Ask, and check that the answer is one that the document allows."""
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        response = self.client.open(
            f"/api/v1/{path}", method=method, headers={**self.headers, **headers}, **more
        )
        check(self.document, method, f"/api/v1/{path.partition('?')[0]}", response)
        return response


def proof(card: TestCard) -> dict[str, str]:
    """The body's fields that prove a card."""
    return {"card_number": card.number, "password": card.password}


def call_of(card: TestCard, ref: str = "call-1", **more: Any) -> dict[str, Any]:
    """The body that authorizes a call."""
    return {**proof(card), "call_ref": ref, "destination": BANGLADESH, **more}


def reason(response: TestResponse) -> str:
    """Why a request was refused."""
    assert response.status_code == 200, response.text
    assert response.json["outcome"] == "refused", response.text
    return str(response.json["reason"])


def code(response: TestResponse) -> tuple[int, str]:
    """Status and code of a problem."""
    assert response.mimetype == "application/problem+json", response.text
    assert response.json["status"] == response.status_code
    return response.status_code, response.json["code"]


def check(document: str, method: str, path: str, response: TestResponse) -> None:
    """Fail where the document does not know this answer: its status, its type, or any of its fields."""
    assert "Traceback" not in response.text
    for pattern, answers in _operations(document).get(method, ()):
        if pattern.fullmatch(path):
            known = answers.get(response.status_code)
            assert known is not None, f"{method} {path}: {response.status_code} is not documented"
            media_type, validator = known
            assert response.mimetype == media_type
            validator.validate(response.json)
            return
    assert response.status_code in (404, 405), f"{method} {path} is not documented"


@functools.lru_cache(maxsize=4)
def _operations(document: str) -> dict[str, list[tuple[re.Pattern[str], dict[int, tuple[str, Any]]]]]:
    """Validators by method, path and status."""
    spec = _plain(json.loads(document))
    found: dict[str, list[tuple[re.Pattern[str], dict[int, tuple[str, Any]]]]] = {}
    for path, item in spec["paths"].items():
        pattern = re.compile(re.sub(r"\{\w+\}", "[^/]+", path), re.DOTALL)
        for method in ("get", "post"):
            if method not in item:
                continue
            answers = {}
            for status, response in item[method]["responses"].items():
                name = response.get("$ref", "").rpartition("/")[2]
                response = spec["components"]["responses"][name] if name else response
                ((media_type, content),) = response["content"].items()
                schema = {**content["schema"], "components": spec["components"]}
                answers[int(status)] = (
                    media_type,
                    jsonschema_rs.validator_for(schema, validate_formats=True),
                )
            found.setdefault(method.upper(), []).append((pattern, answers))
    return found


def _plain(node: Any) -> Any:
    """OpenAPI 3.0's schemas as JSON Schema: null is a type, and objects hold what is named and nothing else."""
    if isinstance(node, list):
        return [_plain(one) for one in node]
    if not isinstance(node, dict):
        return node
    made = {name: _plain(value) for name, value in node.items()}
    if made.pop("nullable", False) is True:
        made["type"] = [made["type"], "null"]
    if made.get("type") == "object" and isinstance(made.get("properties"), dict):
        made["additionalProperties"] = False
    return made
