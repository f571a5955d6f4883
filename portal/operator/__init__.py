"""The console, a package for each section of its rail; `console.py` is its door and rail, `act.py` its way to act."""

from __future__ import annotations

from flask import Flask

from portal import telling
from portal.operator import (
    batches,
    bulk,
    calls,
    card,
    entry,
    home,
    money,
    people,
    printing,
    rates,
    resellers,
    rules,
    search,
    shipments,
    words,
)
from portal.operator.console import console, may, sections

__all__ = [
    "batches",
    "bulk",
    "calls",
    "card",
    "entry",
    "home",
    "init_app",
    "money",
    "people",
    "printing",
    "rates",
    "resellers",
    "rules",
    "search",
    "shipments",
]


def init_app(app: Flask) -> None:
    """Add the console to an app."""
    telling.init_app(app)
    words.init_app(app)
    card.init_app(app)
    home.init_app(app)
    money.init_app(app)
    people.init_app(app)
    app.jinja_env.globals.update(console_sections=sections, may=may)
    app.register_blueprint(console)
