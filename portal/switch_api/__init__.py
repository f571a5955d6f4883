"""What switches call: JSON over HTTP, with a bearer key, described at /api/openapi.json and /api/docs.

calls.py      authenticate, authorize, answer, progress, end, recharge, rates
health.py     /healthz and /readyz
docs.py       the OpenAPI document and its page
strict.py     reading requests strictly
shapes.py     the shapes of requests and answers
problems.py   errors
"""

from __future__ import annotations

from flask import Flask

from portal.errors import API_ERRORS
from portal.switch_api import calls, docs, health
from portal.switch_api.problems import Problem, on_error

__all__ = ["init_app"]


def init_app(app: Flask) -> None:
    """Add the switch API to the app: no cookie, no CSRF token, its own errors below /api/."""
    app.extensions[API_ERRORS] = on_error
    app.register_error_handler(Problem, on_error)
    docs.init_app(app).register_blueprint(calls.blueprint)
    health.init_app(app)
