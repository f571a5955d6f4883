"""A call over HTTP: authorize, answer, progress, end, and how it stands."""

from __future__ import annotations

import re
from typing import Any

from flask_smorest import Blueprint

from engine.calls import control
from engine.errors import NotFound
from engine.people.switches import SwitchIdentity
from engine.refusal import Refusal
from portal.installation import db, installation, now
from portal.switch_api import answers, bodies
from portal.switch_api.operation import Example, operation

blueprint = Blueprint(
    "calls", __name__, url_prefix="/api/v1", description="A call from its start to its charge."
)

_CALL_REF = re.compile(bodies.CALL_REF_PATTERN)
_ASKED = {
    "call_ref": "a3f1-1700000000.42",
    "card_number": "881234567890",
    "password": "48151623",
    "destination": "8801712345678",
    "caller": "+14155550123",
    "one_shot": False,
}
_GRANTED = {
    "outcome": "ok",
    "call_ref": "a3f1-1700000000.42",
    "serial": "10000000017",
    "max_seconds": 600,
    "affordable_seconds": 14400,
    "price_per_minute": "0.0150",
    "connect_fee": "0.0000",
    "destination_name": "Bangladesh mobile",
    "balance": "5.0000",
    "currency": "USD",
}
_CHARGED = {
    "outcome": "ok",
    "charged": "0.0153",
    "billed_seconds": 61,
    "balance": "4.9847",
    "currency": "USD",
}
_CALL: dict[str, Any] = {
    "outcome": "ok",
    "call_ref": "a3f1-1700000000.42",
    "state": "answered",
    "serial": "10000000017",
    "caller": "14155550123",
    "destination": "8801712345678",
    "destination_name": "Bangladesh mobile",
    "authorized_at": "2026-11-20T12:00:00Z",
    "answered_at": "2026-11-20T12:00:07Z",
    "ended_at": None,
    "one_shot": False,
    "max_seconds": 600,
    "price_per_minute": "0.0150",
    "connect_fee": "0.0000",
    "held": "0.1500",
    "duration_seconds": None,
    "billed_seconds": None,
    "charged": None,
    "balance": "5.0000",
    "cause": None,
    "flags": [],
    "explanation": None,
    "currency": "USD",
}


@operation(
    blueprint,
    "/calls",
    body=bodies.AUTHORIZE,
    answers=("Authorized", "Refused"),
    problems=(409,),
    examples=(
        Example("By number and password", _GRANTED, _ASKED),
        Example(
            "By token",
            _GRANTED,
            {
                "call_ref": "a3f1-1700000000.42",
                "card_token": bodies.TOKEN.example,
                "destination": "8801712345678",
                "one_shot": False,
            },
        ),
        Example(
            "By caller alone",
            {"outcome": "refused", "reason": "insufficient_balance", "serial": "10000000017"},
            {"call_ref": "a3f1-1700000000.43", "caller": "+14155550123", "destination": "8801712345678"},
        ),
    ),
)
def authorize(switch: SwitchIdentity, body: dict[str, Any]) -> dict[str, Any]:
    """Authorize a call

    Proves the card, checks its state, its callers, how many calls it may make and where to, finds the rate, and
    reserves the price of the granted seconds. Repeating it gets the first answer; the same call_ref with other facts is
    a conflict. A refused call_ref may be used again.
    """
    here = installation()
    answer = control.authorize(here.db, here.vault, switch=switch, now=now(), **body)
    return answers.refused(answer) if isinstance(answer, Refusal) else answers.authorized(answer)


@operation(
    blueprint,
    "/calls/<call_ref>/answer",
    body=bodies.ANSWER,
    answers=("Done",),
    problems=(404, 409),
    examples=(Example("Answered", answers.OK, {"answered_at": "2026-11-20T12:00:07Z"}),),
)
def answer(switch: SwitchIdentity, call_ref: str, body: dict[str, Any]) -> dict[str, Any]:
    """Say that a call was answered

    The body may be left out: then it was answered now. A one-shot call needs no answer, but without one it costs
    nothing if its end is lost.
    """
    control.answer(db(), switch=switch, call_ref=_known(call_ref), now=now(), **body)
    return answers.OK


@operation(
    blueprint,
    "/calls/<call_ref>/progress",
    body=bodies.PROGRESS,
    answers=("Progressed",),
    problems=(404, 409),
    examples=(
        Example(
            "Nine minutes on",
            {"outcome": "ok", "max_seconds": 1140, "low_balance": False, "remaining_seconds": 13860},
            {"elapsed_seconds": 540},
        ),
    ),
)
def progress(switch: SwitchIdentity, call_ref: str, body: dict[str, Any]) -> dict[str, Any]:
    """Ask for more time

    Grants more while the balance lasts; a recharge made meanwhile counts. Ask before the granted seconds are over, such
    as a minute earlier. Where max_seconds does not grow any more, cut the call there.
    """
    return answers.progressed(
        control.progress(db(), switch=switch, call_ref=_known(call_ref), now=now(), **body)
    )


@operation(
    blueprint,
    "/calls/<call_ref>/end",
    body=bodies.END,
    answers=("Ended",),
    problems=(404, 409),
    examples=(Example("One minute", _CHARGED, {"duration_seconds": 60.5, "cause": 16}),),
)
def end(switch: SwitchIdentity, call_ref: str, body: dict[str, Any]) -> dict[str, Any]:
    """End a call

    Charges what it lasted and releases the rest of what was reserved. Send it for every call that was authorized, with
    0 seconds where it was not answered, and repeat it until it is answered: a repeated end gets the first answer.
    """
    return answers.ended(control.end(db(), switch=switch, call_ref=_known(call_ref), now=now(), **body))


@operation(
    blueprint,
    "/calls/<call_ref>",
    method="GET",
    answers=("Call",),
    problems=(404,),
    examples=(Example("A live call", _CALL),),
)
def show(switch: SwitchIdentity, call_ref: str) -> dict[str, Any]:
    """Look at a call

    A live call, or one that ended in the last two months, with its charge explained. A switch sees only its own calls.
    """
    return answers.shown(control.show(db(), switch=switch, call_ref=_known(call_ref), now=now()))


def _known(call_ref: str) -> str:
    """The call_ref of an address; one that no call can have is not found."""
    if not _CALL_REF.fullmatch(call_ref):
        raise NotFound("call_not_found")
    return call_ref
