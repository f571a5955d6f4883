"""Stripe Checkout: asks Stripe to collect what a cardholder wants to pay, and hears from it what became of it.

Only where keys are configured. Each request to Stripe carries our name of the payment as its idempotency key, and each
of its messages is believed by its signature alone. Nothing here decides about money: `engine.funds.checkouts` does.
"""

from __future__ import annotations

import json
from threading import BoundedSemaphore
from typing import Any

import stripe
import structlog
from flask import Flask, abort, current_app, request, url_for
from flask.typing import ResponseReturnValue

from engine.funds import checkouts
from engine.funds.checkouts import CheckoutView
from engine.money import MICROS
from portal.installation import db, installation, now

WHOLE = frozenset(
    ("BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF")
)
"""Currencies whose smallest unit at Stripe is one of them."""
THOUSANDTHS = frozenset(["BHD", "JOD", "KWD", "OMR", "TND"])
"""Those with three decimals, of which Stripe takes no last one but zero."""
LANGUAGES = frozenset(["en", "es", "fr", "pt", "ru", "zh"])
"""What Stripe's page speaks of ours."""
TIMEOUT_S = 6
AT_ONCE = 2
"""How many threads of a process may wait for Stripe: calls are authorized by the same ones."""
MAX_MESSAGE_BYTES = 1_000_000
_EXTENSION = "cardtone-stripe"
_WAITING = BoundedSemaphore(AT_ONCE)


class PaymentUnavailable(Exception):
    """Stripe can't be reached, or refused; the payment can be tried again."""


def init_app(app: Flask) -> None:
    """Take Stripe's messages at `/webhooks/stripe`."""
    app.add_url_rule("/webhooks/stripe", "stripe_message", take_message, methods=["POST"])
    app.jinja_env.globals["can_pay_online"] = can_pay_online


def can_pay_online() -> bool:
    """Whether this installation has Stripe's keys."""
    return bool(installation().config.stripe_secret_key)


def public_address(path: str) -> str:
    """An address of ours as the world reaches it."""
    base = installation().config.public_url or request.host_url.rstrip("/")
    return base + path


def smallest_units(micros: int, currency: str) -> int | None:
    """An amount in the units that Stripe counts a currency in; None where it has finer parts than those."""
    unit = MICROS if currency in WHOLE else MICROS // 100
    whole, rest = divmod(micros, unit)
    if rest:
        return None
    return whole * 10 if currency in THOUSANDTHS else whole


def micros_of(units: int, currency: str) -> int:
    """The same backwards."""
    if currency in WHOLE:
        return units * MICROS
    return units * (MICROS // 1000 if currency in THOUSANDTHS else MICROS // 100)


def collect(begun: CheckoutView, title: str) -> None:
    """Have Stripe open its page for a payment; what it is to be called there is `title`. Again it gets the same page.

    Raises `PaymentUnavailable`.
    """
    if begun.url is not None:
        return
    units = smallest_units(begun.amount, begun.currency)
    if units is None:
        raise ValueError("checked before it was begun")
    back = public_address(url_for("cardholder.online_payment", ref=begun.ref))
    wanted: Any = {
        "mode": "payment",
        "client_reference_id": begun.ref,
        "metadata": {"checkout": begun.ref, "serial": begun.serial},
        "payment_intent_data": {"metadata": {"checkout": begun.ref, "serial": begun.serial}},
        "line_items": [
            {
                "quantity": 1,
                "price_data": {
                    "currency": begun.currency.lower(),
                    "unit_amount": units,
                    "product_data": {"name": title},
                },
            }
        ],
        "locale": begun.language if begun.language in LANGUAGES else "auto",
        "success_url": back,
        "cancel_url": f"{back}?given_up=1",
    }
    if not _WAITING.acquire(blocking=False):
        raise PaymentUnavailable
    try:
        made = _client().v1.checkout.sessions.create(wanted, {"idempotency_key": begun.ref})
    except stripe.StripeError as error:
        _log("stripe_failed", checkout=begun.ref, kind=type(error).__name__, status=error.http_status)
        raise PaymentUnavailable from None
    finally:
        _WAITING.release()
    checkouts.opened(db(), begun.ref, made.id, made.url or "")


def _client() -> stripe.StripeClient:
    made: stripe.StripeClient | None = current_app.extensions.get(_EXTENSION)
    config = installation().config
    if made is None or made._requestor.api_key != config.stripe_secret_key:
        addresses: Any = {"api": config.stripe_api} if config.stripe_api else None
        http = stripe.RequestsClient(timeout=TIMEOUT_S)
        made = stripe.StripeClient(
            config.stripe_secret_key, base_addresses=addresses, max_network_retries=1, http_client=http
        )
        current_app.extensions[_EXTENSION] = made
    return made


# --- what Stripe tells ---


def take_message() -> ResponseReturnValue:
    """One of Stripe's messages: 200 once it counts or is none of ours, 400 where it isn't Stripe's.

    Whatever else goes wrong is an error of ours, and Stripe tells it again.
    """
    secret = installation().config.stripe_webhook_secret
    if not secret:
        abort(404)
    request.max_content_length = MAX_MESSAGE_BYTES
    body = request.get_data()
    try:
        stripe.WebhookSignature.verify_header(
            body.decode(), request.headers.get("Stripe-Signature", ""), secret, tolerance=300
        )
        told = json.loads(body)
        kind, thing = str(told["type"]), told["data"]["object"]
    except (stripe.SignatureVerificationError, ValueError, KeyError, TypeError):
        _log("stripe_message_refused")
        return {"error": "not signed by Stripe, or not readable"}, 400
    hear = _HEARD.get(kind)
    # The same account at Stripe may sell other things.
    if hear is not None and _ref(thing):
        hear(thing)
    return {"received": True}, 200


def _session_told(session: Any) -> None:
    """A page was completed. Some ways to pay take days from there on; those tell once more."""
    if session.get("payment_status") == "paid":
        currency = str(session["currency"]).upper()
        checkouts.paid(
            db(),
            _ref(session),
            provider_ref=str(session["id"]),
            amount=micros_of(int(session["amount_total"]), currency),
            currency=currency,
            now=now(),
        )


def _session_over(session: Any) -> None:
    checkouts.closed(db(), _ref(session), now())


def _charge_refunded(charge: Any) -> None:
    currency = str(charge["currency"]).upper()
    total = micros_of(int(charge["amount_refunded"]), currency)
    checkouts.refunded(db(), _ref(charge), total, currency, now())


def _ref(thing: Any) -> str:
    """Our name of the payment; empty where it isn't one of ours."""
    named = thing.get("client_reference_id") or (thing.get("metadata") or {}).get("checkout")
    return str(named or "")


_HEARD = {
    "checkout.session.completed": _session_told,
    "checkout.session.async_payment_succeeded": _session_told,
    "checkout.session.async_payment_failed": _session_over,
    "checkout.session.expired": _session_over,
    "charge.refunded": _charge_refunded,
}


def _log(event: str, **facts: Any) -> None:
    structlog.get_logger("portal").warning(event, **facts)
