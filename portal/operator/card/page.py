"""The card's page. Each of its parts goes on by itself: the link of a part names it, and htmx gets that block alone."""

from __future__ import annotations

from typing import Any

from flask import Response
from flask.typing import ResponseReturnValue

from engine.cards.acts import RARE, possible
from engine.cards.attempts import attempts_of, guard_of
from engine.cards.queries import PAGE, CardPage, calls_of, entries_of
from engine.cards.timelineview import timeline
from portal import arguments
from portal.installation import db, installation, now
from portal.operator.card.asked import asked
from portal.operator.card.shared import the_card, to_card
from portal.operator.card.words import endpoint_of, offer
from portal.operator.console import console, may, needed, needs
from portal.respond import respond, wants_part

FIRST = 10
"""Lines of a part on the whole page; by itself it shows more."""
PARTS = ("ask", "calls", "ledger", "timeline", "attempts")


@console.get("/cards/<serial>")
@needs("cards.see")
def card(serial: str) -> ResponseReturnValue:
    """A card: what it is and why, what may be done with it, what it answers, what happened to it."""
    part = arguments.choice("part", PARTS)
    found = the_card(serial, live=True)
    if serial != found.serial:
        return to_card(found.serial)
    if part is not None and wants_part():
        return _answer(found, part, _MADE[part](found))
    made: dict[str, Any] = {}
    for make in _MADE.values():
        made |= make(found)
    offers = [offer(act, found) for act in possible(found, now()) if may(needed(endpoint_of(act)) or "")]
    usual, rare = ([one for one in offers if (one.name in RARE) is wanted] for wanted in (False, True))
    return _answer(found, None, made | {"usual": usual, "rare": rare})


def _answer(card: CardPage, part: str | None, made: dict[str, Any]) -> Response:
    question = made.get("asked")
    status = 422 if question is not None and question.error else 200
    return respond("operator/card/page.html", block=part, status=status, card=card, **made)


def _limit(before: Any) -> int:
    return FIRST if before is None else PAGE


def _ask(card: CardPage) -> dict[str, Any]:
    return {"asked": asked(card)}


def _calls(card: CardPage) -> dict[str, Any]:
    before = arguments.place("calls")
    calls, older = calls_of(db(), card.serial, before, limit=_limit(before))
    return {"calls": calls, "older_calls": arguments.written_place(older), "later_calls": before is not None}


def _ledger(card: CardPage) -> dict[str, Any]:
    before = arguments.key("entries")
    entries, older = entries_of(db(), card.serial, before, limit=_limit(before))
    return {"entries": entries, "older_entries": older, "later_entries": before is not None}


def _timeline(card: CardPage) -> dict[str, Any]:
    before = arguments.place("events")
    found = timeline(db(), card.serial, before=before, limit=_limit(before))
    return {
        "events": found.lines,
        "older_events": arguments.written_place(found.older),
        "later_events": before is not None,
    }


def _attempts(card: CardPage) -> dict[str, Any]:
    before = arguments.place("tries")
    tries, older = attempts_of(db(), card.serial, before=before, limit=_limit(before))
    return {
        "guard": guard_of(db(), installation().vault, card.serial, now()),
        "tries": tries,
        "older_tries": arguments.written_place(older),
        "later_tries": before is not None,
    }


_MADE = {"ask": _ask, "calls": _calls, "ledger": _ledger, "timeline": _timeline, "attempts": _attempts}
