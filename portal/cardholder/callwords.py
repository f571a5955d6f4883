"""A call's charge, and every other movement of a card's money, in whole sentences."""

from __future__ import annotations

from flask_babel import gettext as _

from engine.calls.ownlist import OwnCall
from engine.funds.ownmoney import OwnEntry
from portal.cardholder import formats


def explained(call: OwnCall) -> list[str]:
    """Why a call cost what it cost, from the talk to the fees."""
    if call.why == "not_answered":
        return [_("Nobody answered. It cost nothing.")]
    if call.why == "no_talk":
        return [_("You did not get to talk. It cost nothing.")]
    told = [_("You talked for %(time)s.", time=formats.span(call.talked_s))]
    if call.why == "grace":
        told.append(_("Calls of up to %(time)s are free.", time=formats.span(call.grace)))
    elif call.why == "free":
        told.append(_("This call was free."))
    else:
        told += _rounding(call) + _price(call) + _fees(call)
    if call.corrected:
        told.append(_("We corrected this charge later."))
    return told


def _rounding(call: OwnCall) -> list[str]:
    if call.billed_s == call.talked_s:
        return []
    billed = formats.span(call.billed_s)
    if call.billed_s == call.first_increment and call.billed_s > call.talked_s:
        return [_("It counts as %(billed)s, the least that is counted.", billed=billed)]
    if call.billed_s > call.talked_s:
        step = formats.span(call.increment)
        return [_("It counts as %(billed)s, because every %(step)s begun counts.", billed=billed, step=step)]
    return [_("Of this, %(billed)s count.", billed=billed)]


def _price(call: OwnCall) -> list[str]:
    if not call.price_per_minute:
        return []
    talk = call.cost - call.connect_fee - call.access_per_call - call.post_call_fee
    price = formats.money(call.price_per_minute, call.currency)
    told = [
        _("At %(price)s a minute this is %(talk)s.", price=price, talk=formats.money(talk, call.currency))
    ]
    if call.access_per_minute:
        extra = formats.money(call.access_per_minute, call.currency)
        told.append(_("Of the price, %(extra)s a minute is for the access number.", extra=extra))
    return told


def _fees(call: OwnCall) -> list[str]:
    told = []
    if call.connect_fee:
        told.append(_("The connection costs %(fee)s.", fee=formats.money(call.connect_fee, call.currency)))
    if call.access_per_call:
        fee = formats.money(call.access_per_call, call.currency)
        told.append(_("The access number costs %(fee)s a call.", fee=fee))
    if call.post_call_fee:
        fee = formats.money(call.post_call_fee, call.currency)
        told.append(_("A fee of %(fee)s is taken after each call.", fee=fee))
    if call.borne > 0:
        cost = formats.money(call.cost, call.currency)
        told.append(_("Together %(cost)s: your card had less, and you don't owe the rest.", cost=cost))
    return told


def movement(entry: OwnEntry) -> str:
    """What a movement of money was."""
    titles = {
        "opening": _("The first balance of the card"),
        "recharge": _("Recharge"),
        "online": _("Paid online"),
        "automatic": _("Automatic recharge"),
        "reseller": _("Recharge in a shop"),
        "bonus": _("Bonus"),
        "voucher": _("Voucher"),
        "transfer_in": _("From another card"),
        "transfer_out": _("To another card"),
        "replaced_in": _("From the card that this one replaces"),
        "replaced_out": _("To the card that replaces this one"),
        "fee": _("Fee for keeping the card"),
        "correction": _("Correction of a call"),
        "breakage": _("Lost when the card expired"),
        "refund": _("Payment given back"),
        "adjustment": _("Correction by us"),
        "discard": _("Taken off with the card"),
    }
    return titles.get(entry.kind) or _("Correction by us")
