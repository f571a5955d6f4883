"""Rates over HTTP: what a call would cost, and how long a card could talk."""

from __future__ import annotations

import re
from typing import Any

from flask import request
from flask_smorest import Blueprint

from engine.calls.quotes import quote
from engine.people.switches import SwitchIdentity
from engine.refusal import Refusal
from engine.vault import Secret
from portal.installation import installation, now
from portal.switch_api import answers, bodies
from portal.switch_api.fields import Field, WrongError
from portal.switch_api.operation import Example, operation
from portal.switch_api.problems import Problem, wrong_fields

blueprint = Blueprint("rates", __name__, url_prefix="/api/v1", description="What calls cost.")

TOKEN_HEADER = "Cardtone-Card-Token"
_TOKEN = re.compile(r"[!-~]{1,128}")


@operation(
    blueprint,
    "/rates",
    method="GET",
    query=True,
    answers=("Quoted", "Refused"),
    problems=(404,),
    parameters=(
        {
            "in": "query",
            "name": "destination",
            "required": True,
            "description": "The number that is wanted, with country code.",
            "example": "8801712345678",
            "schema": bodies.DESTINATION.kind(),
        },
        {
            "in": "query",
            "name": "deck",
            "description": bodies.DECK.description + " May be left out where a token names the card.",
            "example": "Standard",
            "schema": bodies.DECK.kind(),
        },
        {
            "in": "header",
            "name": TOKEN_HEADER,
            "description": "A card_token: then the rate is that of its card, and affordable_seconds is told.",
            "schema": {"type": "string", "pattern": f"^{_TOKEN.pattern}$"},
        },
    ),
    examples=(
        Example(
            "Without a card",
            {
                "outcome": "ok",
                "deck": "Standard",
                "currency": "USD",
                "prefix": "880",
                "destination_name": "Bangladesh mobile",
                "price_per_minute": "0.0150",
                "connect_fee": "0.0000",
                "first_increment": 1,
                "increment": 1,
                "grace_seconds": 0,
                "affordable_seconds": None,
            },
        ),
        Example("No rate", {"outcome": "refused", "reason": "destination_unknown"}),
    ),
)
def rates(switch: SwitchIdentity) -> dict[str, Any]:
    """Ask what a call costs

    The rate in force for a destination in a deck, or for the card of a token. Prices of a quote are without the
    surcharges of access numbers.
    """
    here = installation()
    given = _query(bodies.DESTINATION, bodies.DECK)
    token = request.headers.get(TOKEN_HEADER)
    if token is not None and not _TOKEN.fullmatch(token):
        raise wrong_fields([(TOKEN_HEADER, "bad_card_token")])
    if token is None and given["deck"] is None:
        raise Problem(404, "deck_required")
    answer = quote(
        here.db,
        here.vault,
        switch=switch,
        token=Secret(token) if token is not None else None,
        now=now(),
        **given,
    )
    return answers.refused(answer) if isinstance(answer, Refusal) else answers.quoted(answer)


def _query(*fields: Field) -> dict[str, Any]:
    """The parameters behind the `?`, each at most once and none besides these."""
    known = {one.name: one for one in fields}
    values: dict[str, Any] = dict.fromkeys(known)
    errors: list[tuple[str | None, str]] = []
    for name, texts in request.args.lists():
        if name not in known:
            errors.append((None, "unknown_parameter"))
        elif len(texts) > 1:
            errors.append((name, "repeated_parameter"))
        else:
            try:
                values[name] = known[name].read(texts[0])
            except WrongError as wrong:
                errors.append((name, wrong.code))
    errors += [
        (one.name, "missing_parameter") for one in fields if one.required and one.name not in request.args
    ]
    if errors:
        raise wrong_fields(errors)
    return values
