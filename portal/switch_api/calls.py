"""The routes of the switch API. Each parses, calls one command of the engine, and says what it answered."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

from flask import Response, g, json, request
from flask_smorest import Blueprint

from engine.calls import control
from engine.calls.quotes import Quote, quote
from engine.cards.access import Credentials
from engine.cards.authentication import authenticate
from engine.errors import NotFound, Unauthorized
from engine.funds.vouchers import redeem_voucher
from engine.money import format_amount
from engine.people.switches import SwitchIdentity, authenticate_key
from engine.refusal import Refusal
from engine.vault import Secret
from portal.installation import db, installation, now
from portal.security import client_address
from portal.switch_api import shapes
from portal.switch_api.strict import CALL_REF, StrictParser, bearer

View = TypeVar("View", bound=Callable[..., Any])


class SwitchBlueprint(Blueprint):  # type: ignore[misc]
    """A blueprint whose requests are read strictly."""

    ARGUMENTS_PARSER = StrictParser()


blueprint = SwitchBlueprint("switch_api", __name__, url_prefix="/api/v1", description="Cards and calls")

_CALL_REF = re.compile(CALL_REF)
_REF = {
    "in": "path",
    "name": "call_ref",
    "required": True,
    "description": "The switch's own name of the call.",
    "schema": {"type": "string", "pattern": CALL_REF, "minLength": 1, "maxLength": 128},
}
_PROBLEMS = {
    400: "The request can't be read.",
    401: "The key is missing, unknown or revoked.",
    404: "There is no such call, deck or address.",
    409: "The same name was used before with other facts.",
    413: "The body is too large.",
    415: "The body is not JSON.",
    422: "A field is not right.",
    503: "The engine can't work now; nothing was done.",
}


def documented(answer: type, *statuses: int) -> Callable[[View], View]:
    """Say in the OpenAPI document what a route answers, and which problems it may have besides 401 and 503."""

    def decorate(view: View) -> View:
        for status in sorted({401, 503, *statuses}):
            view = blueprint.alt_response(
                status,
                schema=shapes.ProblemShape,
                content_type="application/problem+json",
                description=_PROBLEMS[status],
            )(view)
        view = blueprint.response(200, answer)(view)
        documented: View = blueprint.doc(security=[{"switch_key": []}])(view)
        return documented

    return decorate


_BODY = (400, 413, 415, 422)


@blueprint.before_request
def identify() -> None:
    """Every request proves its switch first; nothing else of it is read before."""
    key = bearer()
    if key is None:
        raise Unauthorized("bad_key")
    g.switch = authenticate_key(db(), key, client_address())
    call_ref = (request.view_args or {}).get("call_ref")
    if call_ref is not None and not _CALL_REF.search(call_ref):
        raise NotFound("call_not_found")  # it can name no call


@blueprint.post("/authenticate")
@blueprint.arguments(shapes.AuthenticateBody)
@documented(shapes.Authenticated, *_BODY)
def post_authenticate(body: dict[str, Any]) -> Response:
    """Prove a card.

    By number and password, by token, or by the caller alone where its batch allows that.
    """
    found = authenticate(
        db(),
        installation().vault,
        switch=_switch(),
        credentials=_credentials(body),
        caller=body.get("caller"),
        access_number=body.get("access_number"),
        now=now(),
    )
    if isinstance(found, Refusal):
        return _refused(found)
    return _ok(
        serial=found.serial,
        status=found.status,
        balance=format_amount(found.balance),
        currency=found.currency,
        expires_at=_instant(found.expires_at),
        language=found.language,
        card_token=found.card_token.value,
    )


@blueprint.post("/calls")
@blueprint.arguments(shapes.AuthorizeBody)
@documented(shapes.Authorized, 409, *_BODY)
def post_calls(body: dict[str, Any]) -> Response:
    """Authorize a call.

    Holds what the granted seconds cost. Sent again with the same facts, it gets the first answer.
    """
    opened = control.authorize(
        db(),
        installation().vault,
        switch=_switch(),
        call_ref=body["call_ref"],
        credentials=_credentials(body),
        caller=body.get("caller"),
        destination=body["destination"],
        access_number=body.get("access_number"),
        one_shot=body["one_shot"],
        now=now(),
    )
    if isinstance(opened, Refusal):
        return _refused(opened)
    return _ok(
        serial=opened.serial,
        max_seconds=opened.max_seconds,
        affordable_seconds=opened.affordable_seconds,
        price_per_minute=format_amount(opened.price_per_minute),
        connect_fee=format_amount(opened.connect_fee),
        destination_name=opened.destination_name,
        balance=format_amount(opened.balance),
        currency=opened.currency,
    )


@blueprint.post("/calls/<call_ref>/answer")
@blueprint.doc(parameters=[_REF])
@blueprint.arguments(shapes.AnswerBody)
@documented(shapes.Outcome, 404, 409, *_BODY)
def post_answer(body: dict[str, Any], call_ref: str) -> Response:
    """Say that the other side picked up."""
    control.answer(db(), switch=_switch(), call_ref=call_ref, now=now(), answered_at=body.get("answered_at"))
    return _ok()


@blueprint.post("/calls/<call_ref>/progress")
@blueprint.doc(parameters=[_REF])
@blueprint.arguments(shapes.ProgressBody)
@documented(shapes.Progressed, 404, 409, *_BODY)
def post_progress(body: dict[str, Any], call_ref: str) -> Response:
    """Say that the call goes on, and ask for more."""
    going = control.progress(
        db(), switch=_switch(), call_ref=call_ref, elapsed_ms=body["elapsed_seconds"], now=now()
    )
    return _ok(
        max_seconds=going.max_seconds,
        low_balance=going.low_balance,
        remaining_seconds=going.remaining_seconds,
    )


@blueprint.post("/calls/<call_ref>/end")
@blueprint.doc(parameters=[_REF])
@blueprint.arguments(shapes.EndBody)
@documented(shapes.Ended, 404, 409, *_BODY)
def post_end(body: dict[str, Any], call_ref: str) -> Response:
    """Say that the call is over: it is charged, and the rest of the hold released."""
    ended = control.end(
        db(),
        switch=_switch(),
        call_ref=call_ref,
        duration_ms=body["duration_seconds"],
        cause=body.get("cause"),
        now=now(),
    )
    return _ok(
        charged=format_amount(ended.charged),
        billed_seconds=ended.billed_seconds,
        balance=format_amount(ended.balance),
        currency=ended.currency,
    )


@blueprint.get("/calls/<call_ref>")
@blueprint.doc(parameters=[_REF])
@documented(shapes.CallShape, 404)
def get_call(call_ref: str) -> Response:
    """Look at a call, live or ended in the last two months."""
    call = control.show(db(), switch=_switch(), call_ref=call_ref, now=now())
    return _json(
        call_ref=call.call_ref,
        state=call.state,
        serial=call.serial,
        caller=call.caller,
        destination=call.destination,
        destination_name=call.destination_name,
        authorized_at=_instant(call.authorized_at),
        answered_at=_instant(call.answered_at),
        ended_at=_instant(call.ended_at),
        one_shot=call.one_shot,
        max_seconds=call.max_seconds,
        price_per_minute=format_amount(call.price_per_minute),
        connect_fee=format_amount(call.connect_fee),
        held=format_amount(call.held),
        duration_seconds=call.duration_seconds,
        billed_seconds=call.billed_seconds,
        charged=None if call.charged is None else format_amount(call.charged),
        balance=format_amount(call.balance),
        currency=call.currency,
        cause=call.cause,
        flags=list(call.flags),
        explanation=call.explanation,
    )


@blueprint.post("/recharges")
@blueprint.arguments(shapes.RechargeHeaders, location="headers")
@blueprint.arguments(shapes.RechargeBody)
@documented(shapes.Recharged, 409, *_BODY)
def post_recharges(headers: dict[str, Any], body: dict[str, Any]) -> Response:
    """Recharge a card by a voucher, which is consumed whole.

    Under one Idempotency-Key it counts once.
    """
    redeemed = redeem_voucher(
        db(),
        installation().vault,
        switch=_switch(),
        credentials=_credentials(body),
        caller=body.get("caller"),
        voucher_number=body["voucher_number"],
        voucher_password=Secret(body["voucher_password"]),
        key=headers["idempotency_key"],
        now=now(),
    )
    if isinstance(redeemed, Refusal):
        return _refused(redeemed)
    return _ok(
        credited=format_amount(redeemed.credited),
        balance=format_amount(redeemed.balance),
        currency=redeemed.currency,
    )


@blueprint.get("/rates")
@blueprint.arguments(shapes.RatesHeaders, location="headers")
@blueprint.arguments(shapes.RatesQuery, location="query")
@documented(shapes.Quoted, 400, 404, 422)
def get_rates(headers: dict[str, Any], query: dict[str, Any]) -> Response:
    """Ask what a call would cost now, and how long a card could talk."""
    token = headers.get("card_token")
    found = quote(
        db(),
        installation().vault,
        switch=_switch(),
        destination=query["destination"],
        deck=query.get("deck"),
        token=Secret(token) if token else None,
        now=now(),
    )
    return _refused(found) if isinstance(found, Refusal) else _quoted(found)


def _quoted(found: Quote) -> Response:
    return _ok(
        deck=found.deck,
        currency=found.currency,
        prefix=found.prefix,
        destination_name=found.destination_name,
        price_per_minute=format_amount(found.price_per_minute),
        connect_fee=format_amount(found.connect_fee),
        first_increment=found.first_increment,
        increment=found.increment,
        grace_seconds=found.grace,
        affordable_seconds=found.affordable_seconds,
    )


def _switch() -> SwitchIdentity:
    switch: SwitchIdentity = g.switch
    return switch


def _credentials(body: dict[str, Any]) -> Credentials:
    token, password = body.get("card_token"), body.get("password")
    return Credentials(
        number=body.get("card_number"),
        password=Secret(password) if password is not None else None,
        token=Secret(token) if token is not None else None,
    )


def _ok(**fields: Any) -> Response:
    return _json(outcome="ok", **fields)


def _refused(refusal: Refusal) -> Response:
    if refusal.retry_after_s is None:
        return _json(outcome="refused", reason=refusal.reason)
    return _json(outcome="refused", reason=refusal.reason, retry_after=refusal.retry_after_s)


def _json(**fields: Any) -> Response:
    # Already plain values: nothing is left for a schema to do on the way out.
    return Response(json.dumps(fields), mimetype="application/json", headers={"Cache-Control": "no-store"})


def _instant(at: datetime | None) -> str | None:
    return None if at is None else at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
