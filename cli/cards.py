"""`cardtone cards`: one card by its serial: look at it, lock it, recharge it, help its owner."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import click

from cli import cardanswers, cardmoney, cardsearch
from cli.app import Context, with_context
from cli.cardtexts import card_data, card_text, until
from cli.people import acting, own_name
from engine import house
from engine.actor import CONSOLE
from engine.cards import binding, lifecycle, queries
from engine.cards.serials import card_id_of, serial_of
from engine.errors import NotFound
from engine.funds import recharges
from engine.money import format_amount, format_money, parse_amount

_NEGATIVE = {"ignore_unknown_options": True}


@click.group("cards")
def command() -> None:
    """Look at a card and act on it, by its serial."""


def _reason(*, required: bool) -> Callable[[Any], Any]:
    return click.option("--reason", required=required, metavar="TEXT", help="Why; it is kept for good.")


def _key(change: Any) -> Any:
    return click.option(
        "--key", metavar="KEY", help="A word of your own: the same one again changes nothing twice."
    )(change)


@command.command("show")
@click.argument("serial")
@with_context
def show(context: Context, serial: str) -> None:
    """Show a card, its ledger, and its calls with their charges explained."""
    card = queries.card_page(context.db, serial, context.clock())
    if card is None:
        raise NotFound("card_not_found")
    context.answer(card_data(card), card_text(card, house.current(context.db).zone))


@command.command("lock")
@click.argument("serial")
@_reason(required=True)
@with_context
def lock(context: Context, serial: str, reason: str) -> None:
    """Lock a card until it is unlocked."""
    done = lifecycle.lock(
        context.db, card_id=card_id_of(serial), reason=reason, actor=CONSOLE, now=context.clock()
    )
    _tell(context, done, "is locked", "was locked already")


@command.command("unlock")
@click.argument("serial")
@_reason(required=False)
@with_context
def unlock(context: Context, serial: str, reason: str | None) -> None:
    """Unlock a card and forget the wrong passwords that were tried on it."""
    done = lifecycle.unlock(
        context.db,
        context.vault,
        card_id=card_id_of(serial),
        reason=reason,
        actor=CONSOLE,
        now=context.clock(),
    )
    _tell(context, done, "is unlocked", "was not locked")


@command.command("damage")
@click.argument("serial")
@_reason(required=True)
@click.option("--yes", is_flag=True, help="Don't ask.")
@with_context
def damage(context: Context, serial: str, reason: str, yes: bool) -> None:
    """Void a card for good."""
    card_id = card_id_of(serial)
    if not yes and sys.stdin.isatty():
        click.confirm(f"Void the card {serial_of(card_id)} for good?", abort=True, err=True)
    done = lifecycle.damage(context.db, card_id=card_id, reason=reason, actor=CONSOLE, now=context.clock())
    _tell(context, done, "is void, for good", "was void already")


@command.command("recharge")
@click.argument("serial")
@click.argument("amount")
@click.option("--bonus", metavar="AMOUNT", help="A gift on top; what the bonus rules give, without it.")
@_key
@_reason(required=False)
@own_name
@with_context
def recharge(
    context: Context,
    serial: str,
    amount: str,
    bonus: str | None,
    key: str | None,
    reason: str | None,
    as_me: bool,
) -> None:
    """Put money on a card, such as 5.00."""
    done = recharges.recharge(
        context.db,
        card_id=card_id_of(serial),
        amount=parse_amount(amount, field="amount"),
        bonus=None if bonus is None else parse_amount(bonus, field="bonus"),
        key=key,
        actor=acting(context, as_me),
        reason=reason,
        now=context.clock(),
    )
    gift = f" and a bonus of {format_amount(done.bonus, 2)}" if done.bonus else ""
    context.answer(
        {
            "serial": done.serial,
            "amount": format_amount(done.amount),
            "bonus": format_amount(done.bonus),
            "balance": format_amount(done.balance_now),
            "currency": done.currency,
            "expires_at": done.expires_at.isoformat() if done.expires_at else None,
            "payment": done.payment_id,
            "repeated": done.repeated,
        },
        f"{'This was done before: ' if done.repeated else ''}{format_money(done.amount, done.currency)}{gift} "
        f"on the card {done.serial}; its balance is {format_money(done.balance_now, done.currency)}.",
    )


@command.command("adjust", context_settings=_NEGATIVE)
@click.argument("serial")
@click.argument("amount")
@_key
@_reason(required=True)
@own_name
@with_context
def adjust(context: Context, serial: str, amount: str, key: str | None, reason: str, as_me: bool) -> None:
    """Correct a balance by an amount, such as -0.50 or 2.00."""
    done = recharges.adjust(
        context.db,
        card_id=card_id_of(serial),
        amount=parse_amount(amount, field="amount", allow_negative=True),
        reason=reason,
        key=key,
        actor=acting(context, as_me),
        now=context.clock(),
    )
    context.answer(
        {
            "serial": done.serial,
            "amount": format_amount(done.amount),
            "balance": format_amount(done.balance_now),
            "currency": done.currency,
            "repeated": done.repeated,
        },
        f"The balance of the card {done.serial} was corrected by {format_money(done.amount, done.currency)}"
        f"{' before' if done.repeated else ''}; it is {format_money(done.balance_now, done.currency)}.",
    )


@command.command("extend")
@click.argument("serial")
@click.option("--days", required=True, type=int, metavar="N", help="Whole days more.")
@_key
@_reason(required=False)
@with_context
def extend(context: Context, serial: str, days: int, key: str | None, reason: str | None) -> None:
    """Let a card expire later; an expired one lives again, from today on."""
    done = lifecycle.extend(
        context.db,
        card_id=card_id_of(serial),
        days=days,
        key=key,
        reason=reason,
        actor=CONSOLE,
        now=context.clock(),
    )
    context.answer(
        {"serial": done.serial, "expires_at": done.expires_at.isoformat()},
        f"The card {done.serial} is valid until {until(done.expires_at, house.current(context.db).zone)}.",
    )


@command.command("reset-password")
@click.argument("serial")
@_reason(required=False)
@with_context
def reset_password(context: Context, serial: str, reason: str | None) -> None:
    """Give a card a new random password, which is shown this once."""
    card_id = card_id_of(serial)
    password = lifecycle.reset_password(
        context.db, context.vault, card_id=card_id, reason=reason, actor=CONSOLE, now=context.clock()
    )
    context.answer(
        {"serial": serial_of(card_id), "password": password.value},
        f"The card {serial_of(card_id)} has the password {password.value}\nIt is shown this once.",
    )


@command.command("bind")
@click.argument("serial")
@click.argument("caller")
@click.option("--pinless", is_flag=True, help="The caller needs no password.")
@_reason(required=False)
@with_context
def bind(context: Context, serial: str, caller: str, pinless: bool, reason: str | None) -> None:
    """Bind a caller to a card."""
    done = binding.bind(
        context.db,
        card_id=card_id_of(serial),
        caller=caller,
        pinless=pinless,
        reason=reason,
        actor=CONSOLE,
        now=context.clock(),
    )
    _tell(context, done, "is bound to this caller", "was bound to this caller already")


@command.command("unbind")
@click.argument("serial")
@click.argument("caller")
@_reason(required=False)
@with_context
def unbind(context: Context, serial: str, caller: str, reason: str | None) -> None:
    """Take a caller off a card."""
    done = binding.unbind(
        context.db,
        card_id=card_id_of(serial),
        caller=caller,
        reason=reason,
        actor=CONSOLE,
        now=context.clock(),
    )
    _tell(context, done, "is not bound to this caller any more", "was not bound to this caller")


@command.command("concurrency")
@click.argument("serial")
@click.argument("calls", type=int)
@_reason(required=False)
@with_context
def concurrency(context: Context, serial: str, calls: int, reason: str | None) -> None:
    """Say how many calls a card may make at once."""
    done = lifecycle.set_concurrency(
        context.db,
        card_id=card_id_of(serial),
        calls=calls,
        reason=reason,
        actor=CONSOLE,
        now=context.clock(),
    )
    many = f"{calls} call{'' if calls == 1 else 's'} at once"
    _tell(context, done, f"may make {many}", f"may make {many} already")


command.add_command(cardsearch.find)
command.add_command(cardmoney.transfer)
command.add_command(cardmoney.replace)
for answer in cardanswers.COMMANDS:
    command.add_command(answer)


def _tell(context: Context, done: lifecycle.Changed, said: str, already: str) -> None:
    context.answer(
        {"serial": done.serial, "changed": done.changed},
        f"The card {done.serial} {said if done.changed else already}.",
    )
