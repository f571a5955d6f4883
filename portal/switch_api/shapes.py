"""The shapes of requests and answers: what is read and checked, and what the OpenAPI document says."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, fields, validate

from engine.errors import REASONS
from portal.switch_api.strict import CALL_REF, Body, Instant, Seconds, Text, WithCredentials

_TOKEN = "What authenticate gave: stands for number and password for ten idle minutes."  # noqa: S105


def money(description: str, **more: Any) -> fields.String:
    """An amount as a decimal text."""
    return fields.String(
        metadata={"description": description, "pattern": r"^-?\d+\.\d{4,6}$", "example": "1.2500"}, **more
    )


def seconds(description: str, **more: Any) -> fields.Integer:
    """Whole seconds."""
    return fields.Integer(metadata={"description": description, "minimum": 0}, **more)


class AuthenticateBody(WithCredentials):
    """Who calls."""

    card_token = Text(128, metadata={"description": _TOKEN, "writeOnly": True})


class AuthorizeBody(WithCredentials):
    """Who calls whom."""

    call_ref = Text(
        128, pattern=CALL_REF, required=True, metadata={"description": "The switch's own name of the call."}
    )
    card_token = Text(128, metadata={"description": _TOKEN, "writeOnly": True})
    destination = Text(
        64, required=True, metadata={"description": "The number they want.", "example": "8801712345678"}
    )
    one_shot = fields.Boolean(
        truthy={True},
        falsy={False},
        load_default=True,
        metadata={
            "description": "True: the switch will not ask again, and all that is affordable is granted at once."
        },
    )


class AnswerBody(Body):
    """When the other side picked up."""

    answered_at = Instant(metadata={"description": "Left out: now."})


class ProgressBody(Body):
    """How far the call is."""

    elapsed_seconds = Seconds(required=True, metadata={"description": "Since the answer."})


class EndBody(Body):
    """How long the call was."""

    duration_seconds = Seconds(required=True, metadata={"description": "Of talk; 0: not answered."})
    cause = fields.Integer(
        strict=True,
        allow_none=True,
        validate=validate.Range(0, 127),
        metadata={"description": "ITU-T Q.850 cause."},
    )


class RechargeBody(WithCredentials):
    """Which voucher, and onto which card."""

    card_token = Text(128, metadata={"description": _TOKEN, "writeOnly": True})
    voucher_number = Text(64, required=True, metadata={"description": "The voucher's number."})
    voucher_password = Text(64, required=True, metadata={"description": "Its password.", "writeOnly": True})


class RechargeHeaders(Schema):
    """The key under which a recharge counts once."""

    idempotency_key = Text(
        255, required=True, data_key="Idempotency-Key", metadata={"description": "Unique a recharge."}
    )


class RatesQuery(Body):
    """For which destination, in which deck."""

    destination = Text(64, required=True, metadata={"description": "The number, international."})
    deck = Text(100, metadata={"description": "The deck's name; left out with a card's token: the card's."})


class RatesHeaders(Schema):
    """The card to quote for."""

    card_token = Text(128, data_key="Cardtone-Card-Token", metadata={"description": _TOKEN})


class Outcome(Schema):
    """Whether it was done."""

    outcome = fields.String(required=True, validate=validate.OneOf(("ok", "refused")))


class Refusable(Outcome):
    """Whether it was done, and why not."""

    reason = fields.String(validate=validate.OneOf(REASONS), metadata={"description": "Where refused."})
    retry_after = seconds("With `throttled`: wait this long.")


class Authenticated(Refusable):
    """The card."""

    serial = fields.String()
    status = fields.String(validate=validate.OneOf(("unused", "active", "empty", "expired")))
    balance = money("What is on the card.")
    currency = fields.String(metadata={"example": "USD"})
    expires_at = fields.DateTime(allow_none=True)
    language = fields.String()
    card_token = fields.String(metadata={"description": _TOKEN})


class Authorized(Refusable):
    """The grant."""

    serial = fields.String()
    max_seconds = seconds("Cut the call here, counted from the answer, unless progress extends it.")
    affordable_seconds = seconds("What the balance pays in all: tell this to the caller.")
    price_per_minute = money("With surcharges.")
    connect_fee = money("With fees per call.")
    destination_name = fields.String()
    balance = money("What is on the card before this call.")
    currency = fields.String()


class Progressed(Outcome):
    """The grant now."""

    max_seconds = seconds("Cut the call here, counted from the answer.")
    low_balance = fields.Boolean(metadata={"description": "Play the low-balance warning now."})
    remaining_seconds = seconds("What is left to talk.")


class Ended(Outcome):
    """What the call cost."""

    charged = money("Taken from the card.")
    billed_seconds = seconds("In whole increments.")
    balance = money("What is left on the card.")
    currency = fields.String()


class Recharged(Refusable):
    """What the voucher brought."""

    credited = money("What came onto the card.")
    balance = money("What is on the card now.")
    currency = fields.String()


class Quoted(Refusable):
    """The rate in force."""

    deck = fields.String()
    currency = fields.String()
    prefix = fields.String()
    destination_name = fields.String()
    price_per_minute = money("With the card's fees where a token was given.")
    connect_fee = money("Likewise.")
    first_increment = seconds("Billed at least.")
    increment = seconds("Then in steps of this.")
    grace_seconds = seconds("Calls up to this long are free.")
    affordable_seconds = seconds("What the card's balance buys; null without a token.", allow_none=True)


class CallShape(Schema):
    """A call, live or ended."""

    call_ref = fields.String()
    state = fields.String(validate=validate.OneOf(("authorized", "answered", "ended")))
    serial = fields.String()
    caller = fields.String(allow_none=True)
    destination = fields.String()
    destination_name = fields.String()
    authorized_at = fields.DateTime()
    answered_at = fields.DateTime(allow_none=True)
    ended_at = fields.DateTime(allow_none=True)
    one_shot = fields.Boolean()
    max_seconds = seconds("Granted.")
    price_per_minute = money("With surcharges.")
    connect_fee = money("With fees per call.")
    held = money("Reserved on the card for it.")
    duration_seconds = seconds("Of talk.", allow_none=True)
    billed_seconds = seconds("In whole increments.", allow_none=True)
    charged = money("Taken from the card.", allow_none=True)
    balance = money("On the card: after the call, or now.")
    currency = fields.String()
    cause = fields.Integer(allow_none=True)
    flags = fields.List(fields.String(), metadata={"description": "What was not ordinary, such as `swept`."})
    explanation = fields.String(allow_none=True, metadata={"description": "The charge in one sentence."})


class ProblemShape(Schema):
    """An error (RFC 9457)."""

    type = fields.String(required=True)
    title = fields.String(required=True)
    status = fields.Integer(required=True)
    code = fields.String(required=True, metadata={"description": "Stable; for programs."})
    detail = fields.String(required=True)
    errors = fields.Dict(metadata={"description": "By field, where fields are to blame."})


class Health(Schema):
    """How it is."""

    status = fields.String(required=True)
