"""Cards over HTTP: proving one, paying a voucher into one, and what a call would cost."""

from __future__ import annotations

import re
from typing import Any

from flask import request
from flask_smorest import Blueprint

from engine.calls.quotes import quote
from engine.cards.authentication import authenticate as prove
from engine.funds.vouchers import redeem_voucher
from engine.people.switches import SwitchIdentity
from engine.refusal import Refusal
from engine.vault import Secret
from portal.installation import installation, now
from portal.switch_api import answers, bodies
from portal.switch_api.fields import Field, WrongError
from portal.switch_api.operation import Example, operation
from portal.switch_api.problems import Problem, wrong_fields

blueprint = Blueprint("cards", __name__, url_prefix="/api/v1", description="Cards, vouchers and rates.")

TOKEN_HEADER = "Cardtone-Card-Token"  # noqa: S105 - the header's name
KEY_HEADER = "Idempotency-Key"
_KEY = re.compile(r"[!-~]{1,255}")

_CARD = {
    "outcome": "ok",
    "serial": "10000000017",
    "status": "active",
    "balance": "5.0000",
    "available": "5.0000",
    "currency": "USD",
    "expires_at": "2027-02-19T00:00:00Z",
    "language": "en",
    "card_token": bodies.TOKEN.example,
}


@operation(
    blueprint,
    "/authenticate",
    body=bodies.AUTHENTICATE,
    answers=("Authenticated", "Refused"),
    examples=(
        Example(
            "By number and password",
            _CARD,
            {"card_number": "881234567890", "password": "48151623", "access_number": "+442079460000"},
        ),
        Example("By caller alone", _CARD, {"caller": "+14155550123"}),
        Example(
            "By token",
            {"outcome": "refused", "reason": "throttled", "retry_after": 4},
            {"card_token": bodies.TOKEN.example},
        ),
    ),
)
def authenticate(switch: SwitchIdentity, body: dict[str, Any]) -> dict[str, Any]:
    """Prove a card

    Answers its state and balance, and a card_token that stands for number and password from then on. An unknown number
    and a wrong password look the same. The first success may start the card's validity and bind its caller.
    """
    here = installation()
    answer = prove(here.db, here.vault, switch=switch, now=now(), **body)
    return answers.refused(answer) if isinstance(answer, Refusal) else answers.authenticated(answer)


@operation(
    blueprint,
    "/recharges",
    body=bodies.RECHARGE,
    answers=("Redeemed", "Refused"),
    problems=(400, 409),
    parameters=(
        {
            "in": "header",
            "name": KEY_HEADER,
            "required": True,
            "description": "A key of your own choice for this recharge; the same key with the same body counts once.",
            "example": "0b0e7f0c-4a8f-4a53-9a0e-2f8f5a1f7c11",
            "schema": {"type": "string", "pattern": f"^{_KEY.pattern}$"},
        },
    ),
    examples=(
        Example(
            "By token",
            {"outcome": "ok", "credited": "10.0000", "balance": "14.9847", "currency": "USD"},
            {
                "card_token": bodies.TOKEN.example,
                "voucher_number": "991234567890",
                "voucher_password": "31415926",
            },
        ),
        Example(
            "By number and password",
            {"outcome": "refused", "reason": "voucher_used"},
            {
                "card_number": "881234567890",
                "password": "48151623",
                "voucher_number": "991234567890",
                "voucher_password": "31415926",
            },
        ),
    ),
)
def recharge(switch: SwitchIdentity, body: dict[str, Any]) -> dict[str, Any]:
    """Pay a voucher into a card

    All that is on the voucher moves to the card, once. Repeat a request with its Idempotency-Key until it is answered;
    a refusal is not kept, so that the same key may try again.
    """
    here = installation()
    key = _idempotency_key()
    answer = redeem_voucher(here.db, here.vault, switch=switch, key=key, now=now(), **body)
    if isinstance(answer, Refusal):
        return answers.refused(
            Refusal(answer.reason, answer.retry_after_s)
        )  # a serial could be either card's
    return answers.redeemed(answer)


def _idempotency_key() -> str:
    key = request.headers.get(KEY_HEADER)
    if not key:
        raise Problem(400, "idempotency_key_missing")
    if not _KEY.fullmatch(key):
        raise Problem(400, "bad_idempotency_key")
    return key


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
            "schema": {"type": "string", "pattern": "^[!-~]{1,128}$"},
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
    if token is not None and not bodies.TOKEN.shortest <= len(token) <= bodies.TOKEN.longest:
        raise wrong_fields([(TOKEN_HEADER, "too_long" if token else "too_short")])
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
