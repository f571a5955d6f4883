"""The OpenAPI document of the switch API, and a plain page made from it."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from flask import Flask, render_template
from flask_smorest import Api

ABOUT = (
    "A call: authorize, answer, progress, end, each with the switch's own call_ref and each safe to repeat. "
    "A business refusal is 200 with outcome `refused` and a reason. Money is a decimal text."
)


class SwitchApi(Api):  # type: ignore[misc]
    """flask-smorest's Api without its error handler: errors below /api/ are ours, and pages have their own."""

    def _register_error_handlers(self) -> None:
        """Leave errors to `portal.errors`."""


def init_app(app: Flask) -> SwitchApi:
    """Serve /api/openapi.json and /api/docs; gives the Api to register blueprints with."""
    app.config.update(
        API_TITLE="Cardtone switch API",
        API_VERSION=version("cardtone"),
        OPENAPI_VERSION="3.0.3",
        OPENAPI_URL_PREFIX="/api",
        OPENAPI_JSON_PATH="openapi.json",
        API_SPEC_OPTIONS={"info": {"description": ABOUT}},
    )
    api = SwitchApi(app)
    api.spec.components.security_scheme("switch_key", {"type": "http", "scheme": "bearer"})

    @app.get("/api/docs")
    def switch_api_docs() -> str:
        return render_template("switch_api/docs.html", spec=api.spec.to_dict(), operations=_operations(api))

    return api


def _operations(api: SwitchApi) -> list[dict[str, Any]]:
    """Every operation with what a page says of it."""
    spec = api.spec.to_dict()
    shapes = spec["components"]["schemas"]
    found = []
    for path, item in spec["paths"].items():
        shared = item.get("parameters", [])
        for method, operation in item.items():
            if method == "parameters":
                continue
            body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            good = operation["responses"].get("200", {}).get("content", {}).get("application/json", {})
            found.append(
                {
                    "method": method.upper(),
                    "path": path,
                    "summary": operation.get("summary", ""),
                    "description": operation.get("description", ""),
                    "parameters": [*shared, *operation.get("parameters", [])],
                    "body": _fields(body.get("schema", {}), shapes),
                    "answer": _fields(good.get("schema", {}), shapes),
                    "errors": sorted(
                        status for status in operation["responses"] if status.startswith(("4", "5"))
                    ),
                }
            )
    return found


def _fields(schema: dict[str, Any], shapes: dict[str, Any]) -> list[dict[str, Any]]:
    shape = shapes.get(schema.get("$ref", "").rsplit("/", 1)[-1], {})
    needed = shape.get("required", [])
    return [
        {
            "name": name,
            "type": kind.get("format") or kind.get("type", ""),
            "needed": name in needed,
            "choices": kind.get("enum", []),
            "description": kind.get("description", ""),
        }
        for name, kind in sorted(
            shape.get("properties", {}).items(), key=lambda found: found[0] not in needed
        )
    ]
