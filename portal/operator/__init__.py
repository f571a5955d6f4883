"""The operator's console. So far: log in and out, the batches with their progress, a card with its money and calls."""

from __future__ import annotations

from flask import Flask

from portal.operator import batches, cards, entry, words
from portal.operator.console import console, sections

__all__ = ["batches", "cards", "entry", "init_app"]


def init_app(app: Flask) -> None:
    """Add the console to an app."""
    words.init_app(app)
    app.jinja_env.globals["console_sections"] = sections
    app.register_blueprint(console)
