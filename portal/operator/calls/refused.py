"""Tries that were refused or failed, at every door, by their inner reason."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from flask import url_for
from flask.typing import ResponseReturnValue

from engine.calls.attempts import AttemptFilter, counts, tries
from engine.cards.serials import card_id_of
from engine.errors import InvalidInput
from engine.messages import sentence
from engine.phone import parse_caller
from portal import arguments
from portal.installation import db, now
from portal.operator.calls.words import PERIOD_WORDS
from portal.operator.card.words import ATTEMPT_REASONS, DOORS
from portal.operator.console import console, needs
from portal.respond import respond

PERIODS = {
    "last-hour": timedelta(hours=1),
    "last-24-hours": timedelta(hours=24),
    "last-7-days": timedelta(days=7),
    "last-30-days": timedelta(days=30),
}
USUAL = "last-24-hours"
REASONS = {"unknown_number": "No such number", **ATTEMPT_REASONS}


@console.get("/calls/refused")
@needs("calls.see")
def refused_calls() -> ResponseReturnValue:
    """Refused tries of a period, newest first, with how many there were of each reason."""
    asked = asked_tries()
    wrong, f = _filter(asked)
    page = None if wrong else tries(db(), f, before=arguments.place("before"))
    older = arguments.written_place(page.older) if page else None
    return respond(
        "operator/calls/refused.html",
        block="list",
        status=422 if wrong else 200,
        page=page,
        wrong=wrong,
        asked=asked,
        counted=counts(db(), _period(asked)),
        reasons=REASONS,
        doors=DOORS,
        periods=PERIOD_WORDS,
        chips=_chips(asked),
        later_page=arguments.place("before") is not None,
        first=url_for("operator.refused_calls", **asked),
        older=url_for("operator.refused_calls", **asked, before=older) if older else None,
    )


def asked_tries() -> dict[str, Any]:
    """What the address asks for, as it was typed."""
    asked = {
        "period": arguments.choice("period", PERIODS),
        "reason": arguments.choice("reason", REASONS),
        "door": arguments.choice("door", DOORS),
        "source": arguments.words("source"),
        "caller": arguments.words("caller"),
        "serial": arguments.words("serial"),
    }
    return {name: value for name, value in asked.items() if value is not None}


def attempt_filter(asked: dict[str, Any]) -> AttemptFilter:
    """The filter of what was asked for. Raises `InvalidInput` with the field to blame."""
    caller = asked.get("caller")
    digits = parse_caller(caller, None) if caller else None
    if caller and digits is None:
        raise InvalidInput("bad_caller", field="caller", value=caller[:40])
    return AttemptFilter(
        at=_period(asked),
        door=asked.get("door"),
        reason=asked.get("reason"),
        source=asked.get("source"),
        caller=digits,
        card_id=card_id_of(asked["serial"]) if "serial" in asked else None,
    )


def _filter(asked: dict[str, Any]) -> tuple[dict[str, str], AttemptFilter]:
    try:
        return {}, attempt_filter(asked)
    except InvalidInput as error:
        return {str(error.data.get("field")): sentence(error)}, AttemptFilter()


def _period(asked: dict[str, Any]) -> tuple[datetime | None, datetime | None]:
    return now() - PERIODS[asked.get("period", USUAL)], None


def _chips(asked: dict[str, Any]) -> list[tuple[str, str]]:
    words = {"period": PERIOD_WORDS, "reason": REASONS, "door": DOORS}
    labels = {"source": "Asked by", "caller": "Caller", "serial": "Card"}
    return [
        (
            words[name].get(value, value) if name in words else f"{labels[name]}: {value}",
            url_for("operator.refused_calls", **{other: asked[other] for other in asked if other != name}),
        )
        for name, value in asked.items()
    ]
