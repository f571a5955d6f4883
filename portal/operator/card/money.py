"""Acts that move money on a card: recharge, correct, move to another card."""

from __future__ import annotations

from flask import request
from flask.typing import ResponseReturnValue

from engine.cards.queries import CardPage, known_card
from engine.funds import recharges, transfers
from engine.funds.outlook import RechargeOutlook, recharge_outlook
from engine.funds.recharges import Adjusted, Recharged
from engine.funds.transfers import Transferred
from engine.money import AmountError, format_money, parse_amount
from portal.forms import AmountField, CommandForm, ReasonField, TextField
from portal.installation import db, now
from portal.operator.act import act
from portal.operator.card.shared import ask, page_of, the_card
from portal.operator.console import actor, console, needs
from portal.respond import respond

BOTH = ["GET", "POST"]


class RechargeForm(CommandForm):
    """How much, and a bonus where the rules are not to say."""

    amount = AmountField("Amount", positive=True)
    bonus = AmountField(
        "Bonus", required=False, description="Leave it empty for what the bonus rules give; 0 gives none."
    )
    reason = ReasonField(required=False, description="It is kept with the payment. You may leave it out.")


class AdjustForm(CommandForm):
    """A correction, up or down."""

    amount = AmountField(
        "Correction", negative=True, description="Such as 2.00, or -0.50 to take something off."
    )
    reason = ReasonField(description="It is kept in the ledger for good.")


class TransferForm(CommandForm):
    """To whom, and how much."""

    to = TextField(
        "Serial of the other card", most=40, render_kw={"inputmode": "numeric", "autocomplete": "off"}
    )
    amount = AmountField(
        "Amount", required=False, positive=True, description="Leave it empty to move all of it."
    )
    reason = ReasonField(required=False, description="It is kept with both cards. You may leave it out.")


@console.route("/cards/<serial>/recharge", methods=BOTH)
@needs("card.recharge")
def recharge_card(serial: str) -> ResponseReturnValue:
    """Put money on it."""
    card, form = the_card(serial), RechargeForm()
    return act(
        form,
        lambda: recharges.recharge(
            db(),
            card_id=card.id,
            amount=form.amount.data,
            bonus=form.bonus.data,
            key=form.key.data,
            reason=form.reason.data,
            actor=actor(),
            now=now(),
        ),
        ask(card, "Recharge card", "Recharge", f"In {card.currency}; it counts as sold for money."),
        done=_recharged,
        template="operator/card/recharge.html",
        card=card,
        outlook=_outlook(card, form.amount.data, form.bonus.data),
    )


@console.get("/cards/<serial>/recharge/outlook")
@needs("card.recharge")
def recharge_outlook_part(serial: str) -> ResponseReturnValue:
    """What a recharge would bring, while its amount is typed."""
    card = the_card(serial)
    outlook = _outlook(card, _typed("amount"), _typed("bonus"))
    return respond("operator/card/outlook.html", block="outlook", card=card, outlook=outlook)


def _typed(name: str) -> int | None:
    """An amount as far as it is typed; None while it is none yet."""
    try:
        return parse_amount(request.args.get(name, "")[:40])
    except AmountError:
        return None


def _outlook(card: CardPage, amount: int | None, bonus: int | None) -> RechargeOutlook | None:
    if not amount:
        return None
    return recharge_outlook(db(), card_id=card.id, amount=amount, bonus=bonus, now=now())


def _recharged(done: Recharged) -> str:
    gift = f" and a bonus of {format_money(done.bonus, done.currency)}" if done.bonus else ""
    before = "This was done before: " if done.repeated else ""
    return (
        f"{before}{format_money(done.amount, done.currency)}{gift} came onto the card; its balance is "
        f"{format_money(done.balance_now, done.currency)}."
    )


@console.route("/cards/<serial>/adjust", methods=BOTH)
@needs("card.adjust")
def adjust_card(serial: str) -> ResponseReturnValue:
    """Correct its balance, up or down."""
    card, form = the_card(serial), AdjustForm()
    return act(
        form,
        lambda: recharges.adjust(
            db(),
            card_id=card.id,
            amount=form.amount.data,
            reason=form.reason.data,
            key=form.key.data,
            actor=actor(),
            now=now(),
        ),
        ask(
            card,
            "Correct the balance of card",
            "Correct it",
            f"It has {format_money(card.balance, card.currency)}, of which "
            f"{format_money(card.available, card.currency)} are available.",
        ),
        done=_adjusted,
    )


def _adjusted(done: Adjusted) -> str:
    before = "This was done before: " if done.repeated else ""
    return (
        f"{before}the balance was corrected by {format_money(done.amount, done.currency)} and is "
        f"{format_money(done.balance_now, done.currency)}."
    )


@console.route("/cards/<serial>/transfer", methods=BOTH)
@needs("card.transfer")
def transfer_card(serial: str) -> ResponseReturnValue:
    """Move money from it to another card."""
    card, form = the_card(serial), TransferForm()
    return act(
        form,
        lambda: transfers.transfer(
            db(),
            from_id=card.id,
            to_id=known_card(db(), form.to.data, "to"),
            amount=form.amount.data,
            key=form.key.data,
            reason=form.reason.data,
            actor=actor(),
            now=now(),
        ),
        ask(
            card,
            "Move money from card",
            "Move it",
            f"It has {format_money(card.balance, card.currency)}; both cards must have the same currency.",
        ),
        done=_moved,
        undo=(page_of(form.to.data), "Open the other card") if form.to.data else None,
    )


def _moved(done: Transferred) -> str:
    before = "This was done before: " if done.repeated else ""
    return (
        f"{before}{format_money(done.amount, done.currency)} went to the card {done.to_serial}; "
        f"{format_money(done.balance_now, done.currency)} are left here."
    )
