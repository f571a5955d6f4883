"""Static files under addresses that change with their content, so that browsers may keep them for good."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

from flask import Flask, Response, request, url_for

_FOLDER = Path(__file__).parent / "static"
FOR_GOOD = "public, max-age=31536000, immutable"
CHECK = "public, max-age=300"


@lru_cache
def _fingerprint(path: Path, _changed_ns: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def fingerprint(name: str) -> str:
    """Twelve hex digits that stand for the content of a static file."""
    path = _FOLDER / name
    return _fingerprint(path, path.stat().st_mtime_ns)


def asset(name: str) -> str:
    """The address of a static file as it is now."""
    return url_for("static", filename=name, v=fingerprint(name))


def init_app(app: Flask) -> None:
    """Give templates `asset(name)`, and say how long each file may be kept."""
    app.jinja_env.globals["asset"] = asset

    @app.after_request
    def keep(response: Response) -> Response:
        if request.endpoint == "static" and response.status_code in (200, 304):
            name = (request.view_args or {}).get("filename", "")
            current = request.args.get("v") == fingerprint(name)
            response.headers["Cache-Control"] = FOR_GOOD if current else CHECK
        return response
