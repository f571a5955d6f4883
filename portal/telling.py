"""The engine's sentences as markup: their facts in the formats of all pages, with links where they lead somewhere."""

from __future__ import annotations

from datetime import datetime

from flask import Flask, url_for
from markupsafe import Markup, escape

from engine.money import Money
from engine.telling import Fact, Phone, Run, Said, Serial, Span, Typed, Until
from portal.formats import count, duration, money, serial, until, when


def init_app(app: Flask) -> None:
    """Make the filter `told` known to the templates."""
    app.jinja_env.filters["told"] = told


def told(sentence: Said) -> Markup:
    """A sentence of the engine as markup. All of it is escaped; what people typed stands apart from our own words."""
    return escape(sentence.template).format(**{name: _shown(fact) for name, fact in sentence.facts.items()})


def _shown(fact: Fact) -> Markup | str:
    match fact:
        case Typed(text):
            return Markup("<bdi>{}</bdi>").format(text)
        case Serial(number):
            return Markup('<a href="{}">{}</a>').format(
                url_for("operator.card", serial=number), serial(number)
            )
        case Phone(digits):
            return Markup('<bdi class="digits">{}</bdi>').format(_international(digits))
        case Run(number):
            return Markup('<a href="/bulk/{}">run {}</a>').format(number, count(number))
        case Until(instant):
            return until(instant)
        case Span(seconds):
            return duration(seconds)
        case Money(micros, currency):
            return money(micros, currency)
        case datetime():
            return when(fact)
        case int():
            return count(fact)
        case _:
            return fact


def _international(digits: str) -> str:
    return f"+{digits}" if digits.isdecimal() else digits
