"""What the address of a list of payments or entries asks for, and the address that asks for it.

What a person typed wrong is told at its field; what no form of ours can send ends the request.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeVar
from urllib.parse import urlencode

from flask import Response, abort, request

from engine.errors import InvalidInput, NotFound
from engine.messages import sentence
from portal import arguments
from portal.respond import pushed, wants_part

F = TypeVar("F")
LONGEST = 200
Place = tuple[datetime, int]


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of the list at `path`. `texts` are the filter as it was typed."""

    path: str
    texts: Mapping[str, str] = field(default_factory=dict)
    before: Place | None = None

    def url(self, before: Place | None = None, path: str | None = None) -> str:
        """The address of this list from a place on, or of another page that is about the same."""
        pairs = list(self.texts.items())
        pairs += [("before", arguments.written_place(before) or "")] if before else []
        return f"{path or self.path}?{urlencode(pairs)}" if pairs else path or self.path

    def without(self, name: str) -> Asked:
        """The same without one part of the filter."""
        rest = {other: text for other, text in self.texts.items() if other != name}
        return replace(self, texts=rest, before=None)

    def chips(self, words: Callable[[str, str], str]) -> list[tuple[str, str]]:
        """What filters the list now: each part in words, and the address without it."""
        return [(words(name, text), self.without(name).url()) for name, text in self.texts.items()]


def asked_of(path: str, fields: tuple[str, ...]) -> Asked:
    """What this address asks for; 400 for a place or a text that no page of ours sends."""
    texts = {name: request.args.get(name, "").strip() for name in fields}
    if any(len(text) > LONGEST or not text.isprintable() for text in texts.values()):
        abort(400)
    return Asked(path, {name: text for name, text in texts.items() if text}, arguments.place("before"))


def filter_of(asked: Asked, parse: Callable[[Mapping[str, str]], F]) -> tuple[F, dict[str, str]]:
    """The filter, and what is wrong with its parts: sentences by field. A part that is wrong is not looked for."""
    texts, wrong = dict(asked.texts), dict[str, str]()
    while True:
        try:
            return parse(texts), wrong
        except (InvalidInput, NotFound) as error:
            name = str(error.data.get("field"))
            name = name if name in texts else next(iter(texts))
            wrong[name] = sentence(error)
            del texts[name]


def has_empty() -> bool:
    """Whether a form sent its empty fields, too, which a short address leaves out."""
    return not wants_part() and any(not value for value in request.args.values())


def shown_at(response: Response, asked: Asked) -> Response:
    """Have htmx show the short address of the list; that of a filter with a mistake is not kept."""
    if wants_part():
        pushed(response, asked.url(asked.before) if response.status_code == 200 else None)
    return response
