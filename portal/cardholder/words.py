"""The sentences of the cardholder's pages for every code that can reach them, in the reader's language.

Each says what is so and what to do, in words for somebody who never read about calling cards. `%(name)s` is a fact of
the error.
"""

from __future__ import annotations

from typing import Any

from flask_babel import gettext as _
from flask_babel import lazy_gettext
from flask_babel.speaklater import LazyString

from engine.errors import EngineError
from engine.refusal import Refusal
from portal.cardholder import formats

SENTENCES: dict[str, LazyString] = {
    # what a card's password, state and binding refuse
    "bad_credentials": lazy_gettext(
        "This number and this password don't fit together. Check both and try again."
    ),
    "throttled": lazy_gettext("There were too many tries. Wait %(wait)s, then try again."),
    "locked": lazy_gettext("This card is locked."),
    "expired": lazy_gettext("This card has expired."),
    "damaged": lazy_gettext("This card is no longer valid."),
    "empty": lazy_gettext("There is nothing left on this card."),
    "not_activated": lazy_gettext("This card is not activated yet."),
    "caller_not_bound": lazy_gettext("This card works only from the phones that are registered for it."),
    "caller_required": lazy_gettext("This card works only from a phone that shows its number."),
    "too_many_calls": lazy_gettext("A call is going on with this card. Wait until it is over."),
    "destination_invalid": lazy_gettext(
        "This is not a number that can be called. Type it with the country code, such as +880 1712 345678."
    ),
    "destination_unknown": lazy_gettext("There is no price for this number."),
    "destination_barred": lazy_gettext("This card can't be used for this number."),
    "insufficient_balance": lazy_gettext("The balance is too low for this."),
    "voucher_used": lazy_gettext("This voucher was used before."),
    "voucher_not_allowed": lazy_gettext("This can't be used here: only a recharge voucher can."),
    "currency_mismatch": lazy_gettext("The two have different currencies, so the money can't be moved."),
    # what is wrong with what was typed
    "not_a_number": lazy_gettext("Type an amount in plain digits, such as 5.00."),
    "comma": lazy_gettext("Write the amount with a point, not a comma, such as 5.00."),
    "too_fine": lazy_gettext("This amount has too many decimals."),
    "negative": lazy_gettext("The amount can't be less than zero."),
    "too_large": lazy_gettext("This amount is too large."),
    "amount_too_small": lazy_gettext("The amount must be more than zero."),
    "amount_too_large": lazy_gettext("This amount is too large."),
    "amount_out_of_range": lazy_gettext("Choose an amount between %(low)s and %(high)s."),
    "same_card": lazy_gettext(
        "This is the card that you are logged in with. Type the number of another one."
    ),
    "too_long": lazy_gettext("That is too long."),
    "control_character": lazy_gettext("There is a character in it that can't be used. Type it again."),
    "invisible_character": lazy_gettext("There is a character in it that can't be used. Type it again."),
    # phones, short numbers, passwords
    "bad_caller": lazy_gettext(
        "This is not a telephone number. Type it with the country code, such as +880 1712 345678."
    ),
    "binding_off": lazy_gettext("This card can be used from every phone. None needs to be registered."),
    "binding_full": lazy_gettext("No more than %(high)s phones can be registered. Remove one first."),
    "phone_known": lazy_gettext("This phone is registered already."),
    "phone_not_found": lazy_gettext("This phone is not registered any more."),
    "pinless_off": lazy_gettext("This card always asks for its number and password."),
    "pinless_elsewhere": lazy_gettext("This phone calls without a password with another card already."),
    "slot_out_of_range": lazy_gettext("A short number is from %(low)s to %(high)s."),
    "password_not_digits": lazy_gettext("Type digits only."),
    "password_length": lazy_gettext("The password must have %(length)s digits."),
    "password_easy": lazy_gettext("This is too easy to guess. Choose other digits."),
    "password_same": lazy_gettext("This is your present password. Choose another one."),
    "name_too_long": lazy_gettext("That is too long."),
    "bad_date": lazy_gettext("There is no such day."),
    "range_backwards": lazy_gettext("The second day is before the first."),
    # what came between
    "key_reused": lazy_gettext("This form was sent before with other values. Load the page again."),
    "busy": lazy_gettext("Too much is going on with this card at this moment. Try again."),
    "unavailable": lazy_gettext(
        "We can't be reached at this moment. Nothing was lost. Try again in a few seconds."
    ),
    "card_not_found": lazy_gettext("There is nothing here."),
    "not_permitted": lazy_gettext("That can't be done here."),
    "nothing_said": lazy_gettext("That can't be done now."),
}
"""Code to sentence. A test holds every reason of `engine.errors.REASONS` to be among them."""


def sentence(error: EngineError | Refusal | str) -> str:
    """The sentence for an error, a refusal or a bare code; one for all where the code has none of its own."""
    code, facts = _facts(error)
    template = SENTENCES.get(code) or SENTENCES["nothing_said"]
    return str(template) % {"wait": _("a little"), "length": _length(facts), **facts}


def _facts(error: EngineError | Refusal | str) -> tuple[str, dict[str, Any]]:
    if isinstance(error, Refusal):
        seconds = error.retry_after_s
        return error.reason, {} if seconds is None else {"wait": formats.span(seconds)}
    if isinstance(error, EngineError):
        return error.code, {name: _shown(error.code, value) for name, value in error.data.items()}
    return error, {}


def _length(facts: dict[str, Any]) -> str:
    low, high = facts.get("low"), facts.get("high")
    return str(low) if low == high else _("%(low)s to %(high)s", low=low, high=high)


def _shown(code: str, value: Any) -> Any:
    if type(value) is not int:
        return value
    return formats.amount(value) if code.startswith("amount_") else formats.number(value)
