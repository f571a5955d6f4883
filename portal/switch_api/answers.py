"""What a switch is told: plain objects made from the engine's answers, and their JSON Schemas.

Money leaves as decimal text ("1.2500"), times as RFC 3339 in UTC, durations as seconds. A test holds the objects to
their schemas.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from engine.calls.control import Authorized, CallView, Ended, Progress
from engine.calls.quotes import Quote
from engine.cards.authentication import Authenticated
from engine.errors import REASONS
from engine.funds.vouchers import Redeemed
from engine.money import format_amount
from engine.refusal import Refusal

OK: dict[str, Any] = {"outcome": "ok"}


def instant(when: datetime | None) -> str | None:
    """RFC 3339 in UTC, such as 2026-11-20T12:00:00Z."""
    return None if when is None else when.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def refused(refusal: Refusal) -> dict[str, Any]:
    """A business refusal: an answer like others, not an error."""
    said: dict[str, Any] = {"outcome": "refused", "reason": refusal.reason}
    if refusal.retry_after_s is not None:
        said["retry_after"] = refusal.retry_after_s
    if refusal.serial is not None:
        said["serial"] = refusal.serial
    return said


def authenticated(found: Authenticated) -> dict[str, Any]:
    """A proven card."""
    return {
        "outcome": "ok",
        "serial": found.serial,
        "status": found.status,
        "balance": format_amount(found.balance),
        "available": format_amount(found.available),
        "currency": found.currency,
        "expires_at": instant(found.expires_at),
        "language": found.language,
        "card_token": found.card_token.value,
    }


def authorized(call: Authorized) -> dict[str, Any]:
    """A call that may begin."""
    return {
        "outcome": "ok",
        "call_ref": call.call_ref,
        "serial": call.serial,
        "max_seconds": call.max_seconds,
        "affordable_seconds": call.affordable_seconds,
        "price_per_minute": format_amount(call.price_per_minute),
        "connect_fee": format_amount(call.connect_fee),
        "destination_name": call.destination_name,
        "balance": format_amount(call.balance),
        "currency": call.currency,
    }


def progressed(call: Progress) -> dict[str, Any]:
    """How long a call may go on."""
    return {
        "outcome": "ok",
        "max_seconds": call.max_seconds,
        "low_balance": call.low_balance,
        "remaining_seconds": call.remaining_seconds,
    }


def ended(call: Ended) -> dict[str, Any]:
    """What a call cost."""
    return {
        "outcome": "ok",
        "charged": format_amount(call.charged),
        "billed_seconds": call.billed_seconds,
        "balance": format_amount(call.balance),
        "currency": call.currency,
    }


def shown(call: CallView) -> dict[str, Any]:
    """A call as it stands."""
    return {
        "outcome": "ok",
        "call_ref": call.call_ref,
        "state": call.state,
        "serial": call.serial,
        "caller": call.caller,
        "destination": call.destination,
        "destination_name": call.destination_name,
        "authorized_at": instant(call.authorized_at),
        "answered_at": instant(call.answered_at),
        "ended_at": instant(call.ended_at),
        "one_shot": call.one_shot,
        "max_seconds": call.max_seconds,
        "price_per_minute": format_amount(call.price_per_minute),
        "connect_fee": format_amount(call.connect_fee),
        "held": format_amount(call.held),
        "duration_seconds": call.duration_seconds,
        "billed_seconds": call.billed_seconds,
        "charged": None if call.charged is None else format_amount(call.charged),
        "balance": format_amount(call.balance),
        "cause": call.cause,
        "flags": list(call.flags),
        "explanation": call.explanation,
        "currency": call.currency,
    }


def redeemed(voucher: Redeemed) -> dict[str, Any]:
    """What a voucher brought."""
    return {
        "outcome": "ok",
        "credited": format_amount(voucher.credited),
        "balance": format_amount(voucher.balance),
        "currency": voucher.currency,
    }


def quoted(quote: Quote) -> dict[str, Any]:
    """What a call would cost."""
    return {
        "outcome": "ok",
        "deck": quote.deck,
        "currency": quote.currency,
        "prefix": quote.prefix,
        "destination_name": quote.destination_name,
        "price_per_minute": format_amount(quote.price_per_minute),
        "connect_fee": format_amount(quote.connect_fee),
        "first_increment": quote.first_increment,
        "increment": quote.increment,
        "grace_seconds": quote.grace,
        "affordable_seconds": quote.affordable_seconds,
    }


# Schemas.

_CURRENCY = {"type": "string", "pattern": "^[A-Z]{3}$", "description": "ISO 4217.", "example": "USD"}
_SERIAL = {
    "type": "string",
    "pattern": "^[0-9]{11}$",
    "description": "The card's public number, safe to show and to log.",
    "example": "10000000017",
}


def _money(description: str, example: str, **more: Any) -> dict[str, Any]:
    shape = {"type": "string", "pattern": r"^-?[0-9]+\.[0-9]{4,6}$"}
    return {**shape, "description": description, "example": example, **more}


def _seconds(description: str, example: int, **more: Any) -> dict[str, Any]:
    return {"type": "integer", "minimum": 0, "description": description, "example": example, **more}


def _text(description: str, example: Any, **more: Any) -> dict[str, Any]:
    return {"type": "string", "description": description, "example": example, **more}


def _time(description: str, **more: Any) -> dict[str, Any]:
    return {"type": "string", "format": "date-time", "description": description, **more}


def _ok(**properties: dict[str, Any]) -> dict[str, Any]:
    outcome = {"type": "string", "enum": ["ok"]}
    return {
        "type": "object",
        "properties": {"outcome": outcome, **properties},
        "required": ["outcome", *properties],
    }


_NULL = {"nullable": True}
_BALANCE = _money("What the card has, money held for calls included.", "5.0000")
_PRICE = _money("Price of a minute, surcharges included.", "0.0150")
_CONNECT_FEE = _money("What every answered call costs besides, surcharges included.", "0.0000")

SCHEMAS: dict[str, dict[str, Any]] = {
    "Refused": {
        "type": "object",
        "properties": {
            "outcome": {"type": "string", "enum": ["refused"]},
            "reason": {"type": "string", "enum": list(REASONS), "description": "Why, for your prompt."},
            "retry_after": _seconds("With throttled: wait this long before the next try.", 4),
            "serial": {**_SERIAL, "description": "The card, once its password was right."},
        },
        "required": ["outcome", "reason"],
    },
    "Done": _ok(),
    "Authenticated": _ok(
        serial=_SERIAL,
        status={
            "type": "string",
            "enum": ["unused", "active", "empty", "expired"],
            "description": "Only unused and active cards can make calls; empty and expired ones can be recharged.",
        },
        balance=_BALANCE,
        available=_money("The balance without what is held for calls.", "5.0000"),
        currency=_CURRENCY,
        expires_at=_time("When the card ends; null where it has no end yet.", **_NULL),
        language=_text("The language to speak, as BCP 47 writes it.", "en"),
        card_token=_text(
            "Opens the card in place of number and password.", "ctt_5mUu2Zt0b1JgDqk0v8cJ8m7o4i7Gf3e"
        ),
    ),
    "Authorized": _ok(
        call_ref=_text("Your name for the call.", "a3f1-1700000000.42"),
        serial=_SERIAL,
        max_seconds=_seconds(
            "Cut the call after this long from its answer, unless progress grants more.", 600
        ),
        affordable_seconds=_seconds("What the balance pays in all: say this to the caller.", 14400),
        price_per_minute=_PRICE,
        connect_fee=_CONNECT_FEE,
        destination_name=_text("Where the number is.", "Bangladesh mobile"),
        balance=_money("What the card had before this call.", "5.0000"),
        currency=_CURRENCY,
    ),
    "Progressed": _ok(
        max_seconds=_seconds(
            "Cut the call after this long from its answer, unless progress grants more.", 1140
        ),
        low_balance={"type": "boolean", "description": "Play the low-balance warning now.", "example": False},
        remaining_seconds=_seconds("What is left to talk.", 13860),
    ),
    "Ended": _ok(
        charged=_money("What the card paid for the call.", "0.0153"),
        billed_seconds=_seconds("The seconds it paid for.", 61),
        balance=_money("What the card has now.", "4.9847"),
        currency=_CURRENCY,
    ),
    "Call": _ok(
        call_ref=_text("Your name for the call.", "a3f1-1700000000.42"),
        state={"type": "string", "enum": ["authorized", "answered", "ended"]},
        serial=_SERIAL,
        caller=_text("The number that called in, in E.164 digits.", "14155550123", **_NULL),
        destination=_text("The number that was wanted, in E.164 digits.", "8801712345678"),
        destination_name=_text("Where that is.", "Bangladesh mobile"),
        authorized_at=_time("When it was authorized."),
        answered_at=_time("When it was answered.", **_NULL),
        ended_at=_time("When it ended.", **_NULL),
        one_shot={"type": "boolean", "description": "Whether all was granted at once."},
        max_seconds=_seconds("What is granted by now.", 600),
        price_per_minute=_PRICE,
        connect_fee=_CONNECT_FEE,
        held=_money("What the card reserves for it.", "0.1500"),
        duration_seconds=_seconds("How long it lasted.", 61, **_NULL),
        billed_seconds=_seconds("The seconds it paid for.", 61, **_NULL),
        charged=_money("What the card paid for it.", "0.0153", **_NULL),
        balance=_money("What the card has now, or had when the call ended.", "4.9847"),
        cause={"type": "integer", "description": "Why it ended, as you said.", "example": 16, **_NULL},
        flags={
            "type": "array",
            "items": {"type": "string"},
            "description": (
                "What was not ordinary: swept, late_end, ended_by_operator, duration_capped, overrun, overrun_loss."
            ),
        },
        explanation=_text("The charge in one sentence.", "61 s to 880 at 0.0150 a minute.", **_NULL),
        currency=_CURRENCY,
    ),
    "Redeemed": _ok(
        credited=_money("What the voucher was worth.", "10.0000"),
        balance=_money("What the card has now.", "14.9847"),
        currency=_CURRENCY,
    ),
    "Quoted": _ok(
        deck=_text("The rate deck.", "Standard"),
        currency=_CURRENCY,
        prefix=_text("The longest prefix that matched.", "880"),
        destination_name=_text("Where that is.", "Bangladesh mobile"),
        price_per_minute=_PRICE,
        connect_fee=_CONNECT_FEE,
        first_increment=_seconds("The first seconds are charged as a whole.", 1),
        increment=_seconds("After them, seconds are charged by so many.", 1),
        grace_seconds=_seconds("Calls as short as this are free.", 0),
        affordable_seconds=_seconds(
            "How long the card of the token could talk; null without a token.", 14400, **_NULL
        ),
    ),
    "Health": {
        "type": "object",
        "properties": {"status": {"type": "string", "enum": ["ok", "unavailable"]}},
        "required": ["status"],
    },
    "Problem": {
        "type": "object",
        "properties": {
            "title": _text("What the status means.", "Unprocessable Entity"),
            "status": {"type": "integer", "example": 422},
            "code": _text(
                "A stable word for programs; where fields are to blame, the first one's.", "out_of_range"
            ),
            "detail": _text("A sentence for people.", "This number is out of range."),
            "errors": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "field": _text("The field to blame.", "duration_seconds"),
                        "code": _text("What is wrong with it.", "out_of_range"),
                        "detail": _text("The same in a sentence.", "This number is out of range."),
                    },
                    "required": ["code", "detail"],
                },
            },
        },
        "required": ["title", "status", "code", "detail"],
    },
}
