"""Lists of a card on paper, set in the reader's language and direction."""

from __future__ import annotations

from collections.abc import Sequence

from flask import Response

from portal import papers
from portal.cardholder.door import own_card
from portal.papers import MOST_LINES


def pdf(name: str, title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Response:
    """A list on A4 pages. Of more than `MOST_LINES` the first (the newest) are in it."""
    shown, cut = rows[:MOST_LINES], len(rows) > MOST_LINES
    context = {"title": title, "heads": heads, "rows": shown, "cut": cut, "card": own_card()}
    return papers.pdf(name, "cardholder/paper.html", **context)
