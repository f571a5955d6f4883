"""What was done, told on the next page, with a way on or back. Never a secret: it travels in the visitor's cookie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flask import flash, get_flashed_messages


@dataclass(frozen=True, slots=True)
class Notice:
    """A sentence, its tone (good, calm, warn, bad), and the link that may follow it."""

    text: str
    kind: str = "good"
    link: str | None = None
    link_text: str | None = None


def said(text: str, *, kind: str = "good", link: str | None = None, link_text: str | None = None) -> None:
    """Show a sentence on top of the page that comes next; `link` is its next step or the way back."""
    flash([text, link, link_text], kind)


def notices() -> list[Notice]:
    """What is to be told now; asked for, it is told once, and so is what a double click did."""
    told: list[Any] = get_flashed_messages(with_categories=True)
    found = (Notice(text, kind, link, link_text) for kind, (text, link, link_text) in told)
    return list(dict.fromkeys(found))
