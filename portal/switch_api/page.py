"""The OpenAPI document as a page for people: plain HTML, made from the same document that programs read."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from flask import Flask, render_template

from engine.errors import REASONS
from portal.switch_api.problems import words

ADDRESS = "/api/docs"

_TYPES = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "array": "list",
}


@dataclass(frozen=True)
class Part:
    """A field or parameter: what it is called, what it holds, whether it must be there."""

    name: str
    kind: str
    needed: str
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
    answer: tuple[Part, ...]
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
    reasons = [(reason, words(reason)) for reason in REASONS]

    @app.get(ADDRESS, endpoint="switch_api_docs")
    def docs() -> str:
        return render_template(
            "switch_api/docs.html", info=spec["info"], operations=operations, reasons=reasons
        )


def _operation(spec: dict[str, Any], path: str, method: str, operation: dict[str, Any]) -> Operation:
    parameters = [*spec["paths"][path].get("parameters", []), *operation.get("parameters", [])]
    answer = _json(operation["responses"]["200"])
    body = _json(operation["requestBody"]) if "requestBody" in operation else {}
    return Operation(
        anchor=operation["operationId"],
        method=method.upper(),
        path=path,
        title=operation["summary"],
        text=operation.get("description", ""),
        parameters=tuple(_parameter(one) for one in parameters),
        fields=_parts(spec, body.get("schema"), "in one way to prove the card"),
        answer=_parts(spec, answer["schema"], "sometimes"),
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


def _parts(spec: dict[str, Any], schema: dict[str, Any] | None, at_times: str) -> tuple[Part, ...]:
    """The fields of a schema, or of all its alternatives together."""
    if schema is None:
        return ()
    choices = [_resolve(spec, one) for one in schema.get("oneOf", [schema])]
    names = dict.fromkeys(name for choice in choices for name in choice_fields(choice))
    parts = []
    for name in names:
        having = [choice for choice in choices if name in choice["properties"]]
        must = [choice for choice in having if name in choice.get("required", ())]
        needed = "always" if len(must) == len(choices) else at_times if must else "no"
        parts.append(_part(name, having[0]["properties"][name], needed))
    return tuple(parts)


def choice_fields(choice: dict[str, Any]) -> list[str]:
    """The names of an object's fields."""
    return list(choice["properties"])


def _part(name: str, schema: dict[str, Any], needed: str) -> Part:
    meaning = schema.get("description", "")
    allowed = schema.get("enum")
    if allowed and len(allowed) <= 8:
        meaning = f"{meaning} One of {', '.join(allowed)}.".strip() if len(allowed) > 1 else f"{allowed[0]}"
    kind = _TYPES[schema["type"]]
    if schema.get("format") == "date-time":
        kind = "time (RFC 3339)"
    elif schema.get("pattern", "").startswith("^-?[0-9]+"):
        kind = "money, as text"
    return Part(name, f"{kind} or null" if schema.get("nullable") else kind, needed, meaning)


def _parameter(parameter: dict[str, Any]) -> Part:
    part = _part(parameter["name"], parameter["schema"], "always" if parameter.get("required") else "no")
    where = {"path": "in the path", "query": "behind the ?", "header": "a header"}[parameter["in"]]
    return Part(part.name, where, part.needed, parameter.get("description", ""))


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
