"""Cards over HTTP: proving one, and paying a voucher into one."""

from __future__ import annotations

import re
from typing import Any

from flask import request
from flask_smorest import Blueprint

from engine.cards.authentication import authenticate as prove
from engine.funds.vouchers import redeem_voucher
from engine.people.switches import SwitchIdentity
from engine.refusal import Refusal
from portal.installation import installation, now
from portal.switch_api import answers, bodies
from portal.switch_api.operation import Example, operation
from portal.switch_api.problems import Problem

blueprint = Blueprint("cards", __name__, url_prefix="/api/v1", description="Cards and vouchers.")

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
