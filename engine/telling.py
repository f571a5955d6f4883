"""Sentences whose facts are still values: each speaker shows amounts, times and serials in its own way.

`Said("Recharged with {amount}.", {"amount": Money(5_000_000, "USD")})`: the console makes links and markup of it, the
command line plain text. Text that people typed is `Typed`, so that a page can keep it apart from its own words.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

from engine.money import Money


@dataclass(frozen=True, slots=True)
class Typed:
    """What people typed: a reason, a name."""

    text: str


@dataclass(frozen=True, slots=True)
class Serial:
    """A card by its serial."""

    serial: str


@dataclass(frozen=True, slots=True)
class Phone:
    """A telephone number: E.164 digits, or what a door was given."""

    digits: str


@dataclass(frozen=True, slots=True)
class Run:
    """A run of a command over many cards."""

    id: int


@dataclass(frozen=True, slots=True)
class Until:
    """The instant at which something is over; the end of a day where it is a midnight."""

    instant: datetime


@dataclass(frozen=True, slots=True)
class Span:
    """A duration in whole seconds."""

    seconds: int


Fact: TypeAlias = Typed | Serial | Phone | Run | Until | Span | Money | datetime | int | str
"""A bare `str` is our own word, never what somebody typed."""


@dataclass(frozen=True, slots=True)
class Said:
    """One or more sentences with `{name}` where a fact belongs."""

    template: str
    facts: Mapping[str, Fact] = field(default_factory=dict)

    def plain(self, show: Callable[[Fact], str]) -> str:
        """The sentence as text, each fact as `show` writes it."""
        return _fill(self.template, {name: show(fact) for name, fact in self.facts.items()})


def said(template: str, **facts: Fact) -> Said:
    """A `Said`, written shorter."""
    return Said(template, facts)


def joined(*parts: Said | None) -> Said:
    """Sentences one after the other; the facts of each keep to themselves."""
    template, facts = "", {}
    for number, part in enumerate(part for part in parts if part is not None):
        for name, fact in part.facts.items():
            facts[f"{name}{number}"] = fact
        own = _fill(part.template, {name: f"{{{name}{number}}}" for name in part.facts})
        template = f"{template} {own}" if template else own
    return Said(template, facts)


def _fill(template: str, values: Mapping[str, str]) -> str:
    return string.Formatter().vformat(template, (), values)
