"""`cardtone calls`: the calls that go on, and one that must end."""

from __future__ import annotations

import click

from cli.app import Context, with_context
from cli.tables import table
from engine import house
from engine.actor import CONSOLE
from engine.calls import ending
from engine.money import format_amount, format_money


@click.group("calls")
def command() -> None:
    """Look at live calls, and end one."""


@command.command("live")
@with_context
def live(context: Context) -> None:
    """List the calls that go on, the longest first."""
    calls = ending.live_calls(context.db)
    zone = house.current(context.db).zone
    rows = [
        (
            call.authorized_at.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S"),
            "talking" if call.answered_at else "ringing",
            call.serial,
            call.destination_name,
            call.switch,
            call.call_ref,
        )
        for call in calls
    ]
    data = [
        {name: getattr(call, name) for name in ending.LiveCallView.__dataclass_fields__} for call in calls
    ]
    text = table((f"Began ({zone})", "State", "Card", "Destination", "Switch", "Reference"), rows)
    context.answer({"calls": data}, text if calls else "There is no live call.")


@command.command("end")
@click.argument("call_ref")
@click.option("--switch", required=True, metavar="NAME", help="The switch that asked for it.")
@click.option("--reason", required=True, metavar="TEXT", help="Why; it is kept for good.")
@with_context
def end(context: Context, call_ref: str, switch: str, reason: str) -> None:
    """End a live call now: charged from its answer on, or for nothing where it was not answered.

    Should its switch say after all how long it lasted, that corrects the charge.
    """
    ended = ending.end_call(
        context.db, switch=switch, call_ref=call_ref, reason=reason, actor=CONSOLE, now=context.clock()
    )
    context.answer(
        {
            "call_ref": call_ref,
            "charged": format_amount(ended.charged),
            "balance": format_amount(ended.balance),
            "currency": ended.currency,
            "billed_seconds": ended.billed_seconds,
        },
        f"The call has ended: {format_money(ended.charged, ended.currency)} charged,"
        f" {format_money(ended.balance, ended.currency)} left on the card.",
    )
