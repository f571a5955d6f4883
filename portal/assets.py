"""Static files under addresses that change with their content, so that browsers may keep them for good."""

from __future__ import annotations

import gzip
import hashlib
from functools import lru_cache
from pathlib import Path

from flask import Flask, Response, request, url_for

_FOLDER = Path(__file__).parent / "static"
FOR_GOOD = "public, max-age=31536000, immutable"
CHECK = "public, max-age=300"
_PACKED = (".css", ".js", ".svg")
"""What is sent compressed. Pages never are: with somebody's own words beside a token, their size would tell of it."""


@lru_cache
def _fingerprint(path: Path, _changed_ns: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def fingerprint(name: str) -> str:
    """Twelve hex digits that stand for the content of a static file."""
    path = _FOLDER / name
    return _fingerprint(path, path.stat().st_mtime_ns)


@lru_cache
def _packed(path: Path, _changed_ns: int) -> bytes:
    return gzip.compress(path.read_bytes(), 9, mtime=0)


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
            _pack(response, _FOLDER / name)
        return response


def _pack(response: Response, path: Path) -> None:
    """Send a whole file compressed to who understands that."""
    if path.suffix not in _PACKED:
        return
    response.vary.add("Accept-Encoding")
    if response.status_code != 200 or not request.accept_encodings["gzip"] or request.method != "GET":
        return
    etag, _ = response.get_etag()
    response.response.close()  # type: ignore[union-attr]  # the file, which was opened and won't be read
    response.direct_passthrough = False
    response.set_data(_packed(path, path.stat().st_mtime_ns))
    response.headers["Content-Encoding"] = "gzip"
    response.headers.pop("Accept-Ranges", None)
    if etag is not None:
        response.set_etag(etag, weak=True)  # the same content, in other bytes
