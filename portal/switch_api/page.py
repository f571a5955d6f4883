"""The OpenAPI document as a page for people: plain HTML, made from the same document that programs read."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from flask import Flask, render_template

from engine.errors import REASONS
from engine.messages import sentence
from portal.switch_api.problems import ENGINE_CODES, SENTENCES, words

ADDRESS = "/api/docs"
DOCUMENT = "/api/openapi.json"

_TYPES = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "array": "list",
}


@dataclass(frozen=True)
class Part:
    """A field or parameter: what it is called, what it holds, when it must be there."""

    name: str
    kind: str
    meaning: str


@dataclass(frozen=True)
class Shown:
    """An example: what is sent, if anything, and what comes back."""

    title: str
    sent: str
    got: str


@dataclass(frozen=True)
class Operation:
    """One operation as the page shows it."""

    anchor: str
    method: str
    path: str
    title: str
    text: str
    parameters: tuple[Part, ...]
    fields: tuple[Part, ...]
    ways: tuple[tuple[str, ...], ...]
    answer: tuple[Part, ...]
    may_refuse: bool
    examples: tuple[Shown, ...]
    problems: tuple[tuple[str, str], ...]


def init_app(app: Flask, spec: dict[str, Any]) -> None:
    """Serve the page on the portal."""
    operations = [
        _operation(spec, path, method, operation)
        for path, item in spec["paths"].items()
        for method, operation in item.items()
        if method in ("get", "post")
    ]
    shown = {
        "info": spec["info"],
        "document": DOCUMENT,
        "operations": operations,
        "refusal": _parts(spec, {"$ref": "#/components/schemas/Refused"}),
        "problem": _parts(spec, {"$ref": "#/components/schemas/Problem"}),
        "reasons": [(reason, sentence(reason)) for reason in REASONS],
        "codes": [(code, words(code)) for code in sorted({*SENTENCES, *ENGINE_CODES})],
    }

    @app.get(ADDRESS, endpoint="switch_api_docs")
    def docs() -> str:
        return render_template("switch_api/docs.html", **shown)


def _operation(spec: dict[str, Any], path: str, method: str, operation: dict[str, Any]) -> Operation:
    parameters = [*spec["paths"][path].get("parameters", []), *operation.get("parameters", [])]
    answer = _json(operation["responses"]["200"])
    body = _json(operation["requestBody"]) if "requestBody" in operation else {}
    choices = answer["schema"].get("oneOf", [answer["schema"]])
    return Operation(
        anchor=operation["operationId"],
        method=method.upper(),
        path=path,
        title=operation["summary"],
        text=operation.get("description", ""),
        parameters=tuple(_parameter(one) for one in parameters),
        fields=_parts(spec, body.get("schema")),
        ways=_ways(spec, body.get("schema", {})),
        answer=_parts(spec, choices[0]),
        may_refuse=len(choices) > 1,
        examples=_examples(body, answer),
        problems=tuple(
            (status, _resolve(spec, response)["description"])
            for status, response in operation["responses"].items()
            if status != "200"
        ),
    )


def _json(said: dict[str, Any]) -> dict[str, Any]:
    content: dict[str, Any] = said["content"]["application/json"]
    return content


def _resolve(spec: dict[str, Any], maybe: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = maybe
    if "$ref" in maybe:
        _, *steps = maybe["$ref"].split("/")
        found = spec
        for step in steps:
            found = found[step]
    return found


def _parts(spec: dict[str, Any], schema: dict[str, Any] | None) -> tuple[Part, ...]:
    """The fields of a schema, or of all its alternatives together."""
    if schema is None:
        return ()
    choices = [_resolve(spec, one) for one in schema.get("oneOf", [schema])]
    parts = []
    for name in dict.fromkeys(name for choice in choices for name in choice["properties"]):
        having = [choice for choice in choices if name in choice["properties"]]
        always = all(name in choice.get("required", ()) for choice in choices)
        parts.append(_part(name, having[0]["properties"][name], always))
    return tuple(parts)


def _ways(spec: dict[str, Any], schema: dict[str, Any]) -> tuple[tuple[str, ...], ...]:
    """What each alternative needs that not all do: the ways to prove a card."""
    needed = [_resolve(spec, one)["required"] for one in schema.get("oneOf", ())]
    common = set.intersection(*(set(names) for names in needed)) if needed else set()
    return tuple(tuple(name for name in names if name not in common) for names in needed)


def _part(name: str, schema: dict[str, Any], always: bool) -> Part:
    kind = _TYPES[schema["type"]]
    if schema.get("format") == "date-time":
        kind = "time (RFC 3339)"
    elif schema.get("pattern", "").startswith("^-?[0-9]+"):
        kind = "money, as text"
    if schema.get("nullable"):
        kind = f"{kind}, or null"
    return Part(name, kind if always else f"{kind}; optional", _meaning(schema))


def _meaning(schema: dict[str, Any]) -> str:
    said = [schema.get("description", "")]
    allowed = schema.get("enum", ())
    if len(allowed) == 1:
        said.append(f"Always {allowed[0]}.")
    elif 1 < len(allowed) <= 8:
        said.append(f"One of {', '.join(allowed)}.")
    return " ".join(one for one in said if one)


def _parameter(parameter: dict[str, Any]) -> Part:
    where = {"path": "in the path", "query": "behind the ?", "header": "a header"}[parameter["in"]]
    kind = where if parameter.get("required") else f"{where}; optional"
    return Part(parameter["name"], kind, parameter.get("description", ""))


def _examples(body: dict[str, Any], answer: dict[str, Any]) -> tuple[Shown, ...]:
    sent = body.get("examples", {})
    got = answer.get("examples") or {"": {"summary": "", "value": answer.get("example")}}
    return tuple(
        Shown(
            title=one["summary"],
            sent=_pretty(sent[key]["value"]) if key in sent else "",
            got=_pretty(one["value"]),
        )
        for key, one in got.items()
    )


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
