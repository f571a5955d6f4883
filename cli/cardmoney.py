"""`cardtone cards transfer` and `cardtone cards replace`: money from one card to another. Attached to the group."""

from __future__ import annotations

import sys

import click

from cli.app import Context, with_context
from cli.cardtexts import until
from engine import house
from engine.actor import CONSOLE
from engine.cards.serials import card_id_of, serial_of
from engine.funds import replacements, transfers
from engine.money import format_amount, format_money, parse_amount


@click.command("transfer")
@click.argument("source")
@click.argument("target")
@click.option("--amount", metavar="AMOUNT", help="How much; all there is, without it.")
@click.option("--key", metavar="KEY", help="A word of your own: the same one again changes nothing twice.")
@click.option("--reason", metavar="TEXT", help="Why; it is kept for good.")
@with_context
def transfer(
    context: Context, source: str, target: str, amount: str | None, key: str | None, reason: str | None
) -> None:
    """Move money from the card SOURCE to the card TARGET."""
    done = transfers.transfer(
        context.db,
        from_id=card_id_of(source),
        to_id=card_id_of(target),
        amount=None if amount is None else parse_amount(amount, field="amount"),
        key=key,
        reason=reason,
        actor=CONSOLE,
        now=context.clock(),
    )
    moved = f"{format_money(done.amount, done.currency)} went from the card {done.from_serial} to {done.to_serial}"
    left = format_money(done.balance_now, done.currency)
    context.answer(
        {
            "from": done.from_serial,
            "to": done.to_serial,
            "amount": format_amount(done.amount),
            "from_balance": format_amount(done.balance_now),
            "currency": done.currency,
            "transfer": done.transfer_id,
            "repeated": done.repeated,
        },
        f"{'This was done before: ' if done.repeated else ''}{moved}; {left} are left on the first.",
    )


@click.command("replace")
@click.argument("old")
@click.argument("new")
@click.option("--move-callers", is_flag=True, help="Bind the old card's callers to the new one.")
@click.option("--reason", required=True, metavar="TEXT", help="Why; it is kept for good.")
@click.option("--yes", is_flag=True, help="Don't ask.")
@with_context
def replace(context: Context, old: str, new: str, move_callers: bool, reason: str, yes: bool) -> None:
    """Put the card NEW in the place of OLD, which is void from then on, with all that is on it."""
    old_id, new_id = card_id_of(old), card_id_of(new)
    if not yes and sys.stdin.isatty():
        question = f"Void the card {serial_of(old_id)} for good, and go on with {serial_of(new_id)}?"
        click.confirm(question, abort=True, err=True)
    done = replacements.replace_card(
        context.db,
        old_id=old_id,
        new_id=new_id,
        reason=reason,
        move_callers=move_callers,
        actor=CONSOLE,
        now=context.clock(),
    )
    zone = house.current(context.db).zone
    held = f" {format_money(done.held, done.currency)} are held by a call and follow when it ends."
    end = f" It is valid until {until(done.expires_at, zone)}." if done.expires_at else ""
    context.answer(
        {
            "old": done.old_serial,
            "new": done.new_serial,
            "amount": format_amount(done.amount),
            "held": format_amount(done.held),
            "balance": format_amount(done.balance_now),
            "currency": done.currency,
            "expires_at": done.expires_at.isoformat() if done.expires_at else None,
            "repeated": done.repeated,
        },
        f"{'This was done before: the' if done.repeated else 'The'} card {done.new_serial} replaces "
        f"{done.old_serial}, which is void; {format_money(done.amount, done.currency)} went over, and its balance is "
        f"{format_money(done.balance_now, done.currency)}.{held if done.held else ''}{end}",
    )
