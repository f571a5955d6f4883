"""The words of a card's page: its acts, its facts, its ledger's other sides, its refused tries, its answers."""

from __future__ import annotations

from typing import NamedTuple

from flask import Flask, url_for
from markupsafe import Markup, escape

from engine.cards.attempts import AttemptLine, Guard
from engine.cards.lines import EntryLine
from engine.cards.queries import CardPage
from engine.messages import sentence
from portal.formats import count, duration, money, serial, until, when
from portal.operator.console import may

ACTS = {
    "lock": ("lock_card", "Lock", ""),
    "unlock": ("unlock_card", "Unlock", ""),
    "recharge": ("recharge_card", "Recharge", ""),
    "extend": ("extend_card", "Extend", ""),
    "reset_password": ("reset_card_password", "New password", ""),
    "bind": ("bind_card", "Bind a phone", ""),
    "activate": ("activate_card", "Activate", ""),
    "reseller_activate": ("reseller_activate_card", "Activate", ""),
    "concurrency": ("set_card_concurrency", "Calls at a time", ""),
    "sold": ("sold_card", "Mark as sold", ""),
    "sell": ("sell_card", "Mark as sold", ""),
    "hold_back": ("hold_back_card", "Hold back", ""),
    "assign": ("assign_card", "Assign to a reseller", ""),
    "unassign": ("unassign_card", "Take back from its reseller", ""),
    "return": ("return_card", "Return", ""),
    "adjust": ("adjust_card", "Correct the balance", ""),
    "transfer": ("transfer_card", "Move money to another card", ""),
    "replace": ("replace_card", "Replace", "bad"),
    "damage": ("damage_card", "Void for good", "bad"),
}
"""Each act of `engine.cards.acts`: its page, its word, its tone."""

ATTEMPT_REASONS = {
    "wrong_password": "Wrong password",
    "throttled": "Too many tries before",
    "token_dead": "Token run out",
    "caller_unknown": "Phone alone isn't enough",
    "locked": "Locked",
    "expired": "Expired",
    "damaged": "Voided",
    "empty": "Balance zero",
    "not_activated": "Not activated",
    "caller_not_bound": "Phone not bound",
    "caller_required": "Phone number withheld",
    "too_many_calls": "In a call already",
    "destination_invalid": "No number to call",
    "destination_unknown": "No rate",
    "destination_barred": "Destination barred",
    "insufficient_balance": "Balance too low",
    "voucher_used": "Voucher used before",
    "voucher_not_allowed": "No voucher, or takes none",
    "currency_mismatch": "Other currency",
}
DOORS = {"http": "Switch", "web": "Web page", "agi": "Voice menu", "radius": "RADIUS"}
SPENDING = {
    "talk": "Talk time",
    "steps": "Steps of billing",
    "connect": "Connect fees",
    "access": "Surcharges of access numbers",
    "post_call": "Post-call fees",
    "rounding": "Rounding",
    "borne": "Borne by the operator",
    "earlier_calls": "Corrections of earlier calls",
    "fee": "Maintenance fees",
    "transfer": "Moved to other cards",
    "voucher": "Paid into another card",
    "adjustment": "Corrections",
    "breakage": "Written off after expiry",
    "refund": "Online payments given back",
    "discard": "Written off as unused stock",
}
ACCOUNTS = {
    "sales": "Sales",
    "usage": "Call revenue",
    "bonus": "Bonus, given by the operator",
    "transfer": "Another card",
    "adjustment": "Corrections",
    "overrun_loss": "Overrun loss of the operator",
    "fees": "Fees",
    "breakage": "Breakage",
}


class Offer(NamedTuple):
    """An act as its button shows it."""

    name: str
    url: str
    label: str
    tone: str


def init_app(app: Flask) -> None:
    """Make them known to the templates."""
    app.jinja_env.filters.update(
        attempt_head=attempt_head,
        attempt_reason=attempt_reason,
        card_fees=card_fees,
        card_validity=card_validity,
        door=door,
        guard_state=guard_state,
        known_sources=known_sources,
        other_side=other_side,
        refused_sentence=sentence,
        share=share,
        spending_kind=lambda kind: SPENDING.get(kind, kind.replace("_", " ").capitalize()),
    )
    app.jinja_env.globals["card_pages"] = card_pages


def endpoint_of(act: str) -> str:
    """The page of an act."""
    return f"operator.{ACTS[act][0]}"


def offer(act: str, card: CardPage) -> Offer:
    """The button of an act on a card."""
    _, label, tone = ACTS[act]
    return Offer(act, url_for(endpoint_of(act), serial=card.serial), label, tone)


def card_validity(card: CardPage) -> Markup:
    """Until when it is valid, or when that will be known, and what comes after."""
    days = Markup("")
    if card.validity_days is not None:
        start = "it was made" if card.validity_from == "generation" else "its first use"
        days = escape(f"{count(card.validity_days)} days from {start}")
    if card.expires_at is None:
        return days or escape("without end")
    grace = Markup("")
    if card.grace_until is not None and card.grace_until > card.expires_at:
        grace = Markup("; grace until {}").format(until(card.grace_until))
    return Markup('until {}{}<span class="under">{}</span>').format(until(card.expires_at), grace, days)


def card_fees(card: CardPage) -> Markup:
    """What it pays beside its calls, and when next."""
    fees = []
    if card.maintenance_fee and card.maintenance_days:
        every = Markup("{} every {} days").format(
            money(card.maintenance_fee, card.currency), count(card.maintenance_days)
        )
        next_one = Markup(", next {}").format(when(card.next_fee_at)) if card.next_fee_at else Markup("")
        fees.append(every + next_one)
    if card.post_call_fee:
        fees.append(Markup("{} after each call").format(money(card.post_call_fee, card.currency)))
    return Markup("; ").join(fees) if fees else escape("none")


def known_sources(card: CardPage) -> str:
    """How many phones and browsers were right on it before."""
    phones, browsers = card.known_phones, card.known_browsers
    if not phones and not browsers:
        return "no phone yet"
    told = f"{count(phones)} phone{'' if phones == 1 else 's'}"
    return told if not browsers else f"{told}, {count(browsers)} browser{'' if browsers == 1 else 's'}"


def other_side(entry: EntryLine) -> Markup:
    """Where an entry's money came from, or went."""
    way = "from" if entry.amount > 0 else "to"
    if entry.other_kind == "card" and entry.other:
        address = url_for("operator.card", serial=entry.other)
        side = Markup('card <a href="{}">{}</a>').format(address, serial(entry.other))
    elif entry.other_kind == "account" and entry.other and not may("money.see"):
        side = Markup("account <bdi>{}</bdi>").format(entry.other)
    elif entry.other_kind == "account" and entry.other:
        side = Markup('account <a href="/money/accounts/{}"><bdi>{}</bdi></a>').format(
            entry.other_id, entry.other
        )
    else:
        side = escape(ACCOUNTS.get(entry.account, entry.account).lower())
    document = Markup("")
    if entry.run_id is not None:
        document = Markup(', <a href="/bulk/{}">run {}</a>').format(entry.run_id, count(entry.run_id))
    elif entry.payment_id is not None:
        document = Markup(", payment {}").format(entry.payment_id)
    return Markup("{} {}{}").format(way, side, document)


def attempt_reason(reason: str) -> str:
    """Why a try was refused, in a word or two."""
    return ATTEMPT_REASONS.get(reason, reason.replace("_", " ").capitalize())


def door(name: str) -> str:
    """Where somebody tried."""
    return DOORS.get(name, name)


def attempt_head(attempt: AttemptLine) -> Markup:
    """When, from where, to where, and why in short."""
    caller = Markup(' from <bdi class="digits">+{}</bdi>').format(attempt.caller) if attempt.caller else ""
    number = (
        Markup(' to <bdi class="digits">{}</bdi>').format(attempt.destination) if attempt.destination else ""
    )
    return Markup("<strong>{}</strong>: {}{}{}").format(
        attempt_reason(attempt.reason), when(attempt.at), caller, number
    )


def guard_state(guard: Guard, card: CardPage) -> str:
    """How wrong passwords stand, and what the next ones bring."""
    if not guard.failures:
        return f"No wrong password since the last right one; {guard.locks_at} in a row would lock the card."
    tries = "1 wrong password" if guard.failures == 1 else f"{count(guard.failures)} wrong passwords"
    told = f"{tries} since the last right one; "
    if card.locked_at is not None:
        return f"{told}the card is locked."
    wait = (
        f"the next try is heard in {duration(guard.wait_s)}"
        if guard.wait_s
        else "the next try is heard at once"
    )
    return (
        f"{told}{wait}. After {guard.free} each further one brings a delay that doubles; "
        f"at {guard.locks_at} the card is locked. A phone that was right before has a count of its own."
    )


def share(amount: int, whole: int) -> str:
    """A part of a whole in percent."""
    if not whole:
        return ""
    tenths = (abs(amount) * 2000 + whole) // (2 * whole)
    return f"{'−' if amount < 0 else ''}{tenths // 10}.{tenths % 10} %"


def card_pages(url: str, part: str, later: bool, name: str, older: str | int | None) -> Markup:
    """Links of one part to its newest and its older lines; htmx swaps that part alone."""
    links = []
    for word, wanted, place in (("Newest", later, None), ("Older", older is not None, older)):
        if wanted:
            address = f"{url}?part={part}" + (f"&{name}={place}" if place is not None else "")
            rel = Markup('rel="next" ') if place is not None else ""
            links.append(
                Markup(
                    '<a {}href="{}#{}" hx-get="{}" hx-target="#{}" hx-swap="outerHTML">{}'
                    '<span class="hush"> of {}</span></a>'
                ).format(rel, address, part, address, part, word, part)
            )
    if not links:
        return Markup("")
    return Markup('<nav class="pages" aria-label="{}">{}</nav>').format(
        f"Pages of {part}", Markup("").join(links)
    )
