"""Bad input over HTTP: refused with a stable code, never guessed at, never repeated, never a trace."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from structlog.testing import capture_logs

from engine.db import Database
from engine.vault import Vault
from tests import scenes
from tests.portal.switches import Switch, call_of, code, proof
from tests.scenes import TestCard, facts

CARD = b'"card_number": "123456789012", "password": "12345678"'
END = "calls/call-1/end"
ANSWER = "calls/call-1/answer"
DEEP = b"[" * 10_000 + b"]" * 10_000

BAD = {
    # what JSON leaves open
    "duplicate keys": ("authenticate", b'{"caller": "1", "caller": "2"}', 400, "json_duplicate_key"),
    "duplicate keys, escaped": (
        "authenticate",
        b'{"caller": "1", "\\u0063aller": "2"}',
        400,
        "json_duplicate_key",
    ),
    "bad UTF-8": ("authenticate", b'{"caller": "\xff\xfe"}', 400, "not_utf8"),
    "UTF-16": ("authenticate", '{"caller": "1"}'.encode("utf-16"), 400, "not_utf8"),
    "a byte order mark": ("authenticate", b'\xef\xbb\xbf{"caller": "1"}', 400, "json_malformed"),
    "depth 10,000": ("authenticate", DEEP, 400, "json_too_deep"),
    "depth 10,000 in a field": ("authenticate", b'{"caller": ' + DEEP + b"}", 400, "json_too_deep"),
    "cut off": ("authenticate", b'{"caller": ', 400, "json_malformed"),
    "single quotes": ("authenticate", b"{'caller': '1'}", 400, "json_malformed"),
    "something behind it": ("authenticate", b'{"caller": "1"} {}', 400, "json_malformed"),
    "nothing": ("authenticate", b"", 400, "json_malformed"),
    "a control character in a text": ("authenticate", b'{"caller": "1\n"}', 400, "json_malformed"),
    # the object and its fields
    "a list": ("authenticate", b"[]", 422, "not_an_object"),
    "a text": ("authenticate", b'"x"', 422, "not_an_object"),
    "null": ("authenticate", b"null", 422, "not_an_object"),
    "unknown field": ("authenticate", b"{" + CARD + b', "balance": "9"}', 422, "unknown_field"),
    "field of another case": ("authenticate", b'{"Caller": "1"}', 422, "unknown_field"),
    "missing field": ("calls", b"{" + CARD + b"}", 422, "missing_field"),
    "number for a text": ("authenticate", b'{"card_number": 123, "password": "1"}', 422, "wrong_type"),
    "null for a text": ("authenticate", b'{"card_number": null, "password": "1"}', 422, "wrong_type"),
    "object for a text": ("authenticate", b'{"caller": {}}', 422, "wrong_type"),
    "empty text": ("authenticate", b'{"card_number": "", "password": "1"}', 422, "too_short"),
    "long text": ("authenticate", b'{"caller": "' + b"1" * 256 + b'"}', 422, "too_long"),
    "NUL": ("authenticate", b'{"caller": "1\\u0000"}', 422, "control_character"),
    "a line end": ("authenticate", b'{"caller": "1\\n2"}', 422, "control_character"),
    "zero width": ("authenticate", b'{"caller": "1\\u200b2"}', 422, "control_character"),
    "turned writing": ("authenticate", b'{"caller": "1\\u202e2"}', 422, "control_character"),
    "half a surrogate": ("authenticate", b'{"caller": "\\ud800"}', 422, "control_character"),
    "text for a flag": (
        "calls",
        b"{" + CARD + b', "call_ref": "x", "destination": "1", "one_shot": "no"}',
        422,
        "wrong_type",
    ),
    "number for a flag": (
        "calls",
        b"{" + CARD + b', "call_ref": "x", "destination": "1", "one_shot": 0}',
        422,
        "wrong_type",
    ),
    "an access number that is none": (
        "authenticate",
        b"{" + CARD + b', "access_number": "desk"}',
        422,
        "bad_access_number",
    ),
    "a long access number": (
        "authenticate",
        b"{" + CARD + b', "access_number": "1234567890123456"}',
        422,
        "bad_access_number",
    ),
    # one way to prove a card
    "no proof": ("authenticate", b"{}", 422, "credentials_missing"),
    "a withheld caller alone": ("authenticate", b'{"caller": ""}', 422, "credentials_missing"),
    "no password": ("authenticate", b'{"card_number": "1"}', 422, "missing_field"),
    "no number": ("authenticate", b'{"password": "1"}', 422, "missing_field"),
    "two proofs": ("authenticate", b"{" + CARD + b', "card_token": "x"}', 422, "credentials_mixed"),
    # numbers
    "money": (END, b'{"duration_seconds": 1, "amount": 1.5}', 422, "unknown_field"),
    "duration -1": (END, b'{"duration_seconds": -1}', 422, "out_of_range"),
    "duration 10^12": (END, b'{"duration_seconds": 1000000000000}', 422, "out_of_range"),
    "duration 1e9 and a bit": (END, b'{"duration_seconds": 1000000000.001}', 422, "out_of_range"),
    "duration 1e999999999": (END, b'{"duration_seconds": 1e999999999}', 422, "out_of_range"),
    "duration 1e99…": (END, b'{"duration_seconds": 1e99999999999999999999}', 422, "out_of_range"),
    "duration of 5,000 digits": (END, b'{"duration_seconds": ' + b"9" * 5000 + b"}", 422, "out_of_range"),
    "duration NaN": (END, b'{"duration_seconds": NaN}', 422, "out_of_range"),
    "duration -Infinity": (END, b'{"duration_seconds": -Infinity}', 422, "out_of_range"),
    "duration as text": (END, b'{"duration_seconds": "60"}', 422, "wrong_type"),
    "duration true": (END, b'{"duration_seconds": true}', 422, "wrong_type"),
    "duration null": (END, b'{"duration_seconds": null}', 422, "wrong_type"),
    "elapsed -0.1": ("calls/call-1/progress", b'{"elapsed_seconds": -0.1}', 422, "out_of_range"),
    "cause 1.5": (END, b'{"duration_seconds": 1, "cause": 1.5}', 422, "wrong_type"),
    "cause 1000": (END, b'{"duration_seconds": 1, "cause": 1000}', 422, "out_of_range"),
    "cause 1e99999": (END, b'{"duration_seconds": 1, "cause": 1e99999}', 422, "out_of_range"),
    # times
    "30 February": (ANSWER, b'{"answered_at": "2026-02-30T00:00:00Z"}', 422, "bad_time"),
    "year 9999": (ANSWER, b'{"answered_at": "9999-12-31T23:59:59Z"}', 422, "bad_time"),
    "year 0": (ANSWER, b'{"answered_at": "0000-01-01T00:00:00Z"}', 422, "bad_time"),
    "no zone": (ANSWER, b'{"answered_at": "2026-11-20T12:00:00"}', 422, "bad_time"),
    "a date": (ANSWER, b'{"answered_at": "2026-11-20"}', 422, "bad_time"),
    "24 o'clock": (ANSWER, b'{"answered_at": "2026-11-20T24:00:00Z"}', 422, "bad_time"),
    "seconds since 1970": (ANSWER, b'{"answered_at": 1700000000}', 422, "wrong_type"),
    "other digits": (ANSWER, '{"answered_at": "２０２６-11-20T12:00:00Z"}'.encode(), 422, "bad_time"),
}


@pytest.fixture(scope="module")
def busy(
    clones: Any, vault: Vault, keys: Any, tmp_path_factory: Any
) -> Iterator[tuple[Switch, Database, TestCard]]:
    """A switch with one live call, for requests that must change nothing."""
    from portal import create_app
    from tests.portal.conftest import Clock, config_for

    url = clones.make()
    db = Database(url)
    app = create_app(config_for(url, keys, tmp_path_factory.mktemp("home")))
    here = app.extensions["cardtone"]
    here.clock = Clock()
    switch, card = Switch.added(app, db), scenes.card(db, vault)
    assert switch.post("calls", call_of(card)).json["outcome"] == "ok"
    yield switch, db, card
    assert (facts(db, card).live_calls, facts(db, card).balance) == (1, scenes.USD("5"))
    db.close()
    here.db.close()
    clones.drop(url)


@pytest.mark.parametrize("what", BAD)
def test_bad_json_is_a_problem_with_a_stable_code(busy: tuple[Switch, Any, Any], what: str) -> None:
    path, body, status, word = BAD[what]
    assert code(busy[0].raw(path, body)) == (status, word)


def test_every_wrong_field_is_named_at_once(busy: tuple[Switch, Any, Any]) -> None:
    problem = busy[0].post("calls", {"call_ref": "a/b", "destination": 7, "colour": "red"}).json
    assert problem["code"] == "bad_call_ref"
    assert [(error["field"], error["code"]) for error in problem["errors"]] == [
        ("call_ref", "bad_call_ref"),
        ("destination", "wrong_type"),
        ("colour", "unknown_field"),
    ]
    assert all(error["detail"].endswith(".") for error in problem["errors"])


def test_an_answer_before_the_call_began_is_refused(busy: tuple[Switch, Any, Any]) -> None:
    problem = busy[0].post(ANSWER, {"answered_at": "2026-11-20T11:00:00Z"})
    assert code(problem) == (422, "answered_before_start")


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json; charset=utf-16",
        "application/jsonp",
        "",
        None,
    ],
)
def test_another_content_type_is_refused(busy: tuple[Switch, Any, Any], kind: str | None) -> None:
    assert code(busy[0].raw("authenticate", b"{" + CARD + b"}", kind)) == (415, "not_json")
    assert code(busy[0].raw(ANSWER, b"{}", kind)) == (415, "not_json")


@pytest.mark.parametrize(
    "kind", ["application/json;charset=UTF-8", "Application/JSON", "application/json ;x=1"]
)
def test_json_may_be_named_in_other_ways(busy: tuple[Switch, Any, Any], kind: str) -> None:
    assert busy[0].raw("authenticate", b"{" + CARD + b"}", kind).json["reason"] == "bad_credentials"


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_64_kib_is_refused(busy: tuple[Switch, Any, Any], chunked: bool) -> None:
    body = b'{"caller": "' + b"1" * 65_536 + b'"}'
    if not chunked:
        assert code(busy[0].raw("authenticate", body)) == (413, "body_too_large")
        return
    import io

    answer = busy[0].open(
        "POST",
        "authenticate",
        {},
        input_stream=io.BytesIO(body),
        content_type="application/json",
        environ_overrides={"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"},
    )
    assert code(answer) == (413, "body_too_large")


def test_nothing_in_an_address_is_read_where_none_is_asked_for(busy: tuple[Switch, Any, Any]) -> None:
    switch, _, card = busy
    assert code(switch.post("authenticate?password=x", proof(card))) == (422, "unknown_parameter")
    assert code(switch.get("calls/call-1?x=1")) == (422, "unknown_parameter")


def test_the_body_of_an_answer_may_be_left_out(app: Flask, db: Database, vault: Vault) -> None:
    switch, card = Switch.added(app, db), scenes.card(db, vault)
    for number, (body, kind) in enumerate(
        ((b"", None), (b"", "application/json"), (b"{}", "application/json"))
    ):
        switch.post("calls", call_of(card, f"call-{number}"))
        assert switch.raw(f"calls/call-{number}/answer", body, kind).json == {"outcome": "ok"}
        switch.post(f"calls/call-{number}/end", {"duration_seconds": 0})


def test_nothing_that_was_sent_is_repeated_or_logged(
    busy: tuple[Switch, Any, Any], capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    switch, _, card = busy
    number, password = "424242424242", "31337313"
    with capture_logs() as lines, caplog.at_level(logging.DEBUG):
        answers = [
            switch.post("authenticate", {"card_number": f"{number}\u0007", "password": password}),
            switch.post("authenticate", {"card_number": number, "password": [password]}),
            switch.post("authenticate", {number: password}),
            switch.raw("authenticate", f'{{"card_number": "{number}", "password": "{password}'.encode()),
            switch.post(f"authenticate?{number}={password}"),
            switch.get(f"calls/{number}"),
            switch.get(f"rates?destination=1&deck={number}"),
            switch.post("calls", {**call_of(card, "x"), "card_token": password}),
            switch.client.get(f"/api/v1/{number}/{password}"),
            switch.client.post("/api/v1/calls", headers={"Authorization": f"Bearer {password}"}),
        ]
    said = json.dumps([answer.text for answer in answers]) + repr(lines) + caplog.text
    said += "".join(capsys.readouterr())
    assert all(answer.status_code >= 400 for answer in answers)
    assert number not in said
    assert password not in said
    assert card.password not in said
    assert [line["status"] for line in lines] == [answer.status_code for answer in answers]


@pytest.mark.parametrize(
    "path", ["/api/", "/api/v2/calls", "/api/v1", "/api/v1/calls/", "/api/v1/calls/a/b/c"]
)
def test_an_address_that_is_none_is_a_problem_too(busy: tuple[Switch, Any, Any], path: str) -> None:
    assert code(busy[0].client.get(path)) == (404, "not_found")
    assert code(busy[0].client.post(path)) == (404, "not_found")


@pytest.mark.parametrize("path", ["/api/v1/calls/..%2f..%2fetc", "/api/v1//calls", "/api/v1/%00"])
def test_odd_addresses_are_no_more_than_unknown(busy: tuple[Switch, Any, Any], path: str) -> None:
    assert code(busy[0].client.get(path)) == (404, "not_found")


def test_a_wrong_method_says_which_are_right(busy: tuple[Switch, Any, Any]) -> None:
    client = busy[0].client
    for method, path, allowed in (
        ("GET", "authenticate", {"POST"}),
        ("DELETE", "calls/x", {"GET", "HEAD"}),
        ("OPTIONS", "calls", {"POST"}),
        ("PUT", "rates", {"GET", "HEAD"}),
    ):
        answer = client.open(f"/api/v1/{path}", method=method)
        assert code(answer) == (405, "method_not_allowed")
        assert {one.strip() for one in answer.headers["Allow"].split(",")} == allowed
