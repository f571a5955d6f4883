"""`cardtone cards timeline`, `why`, `spending` and `cost`: what a card's page answers. Attached to the group."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import click

from cli.app import Context, with_context
from cli.cardtexts import until, when
from engine import house
from engine.calls.answers import refusals_of
from engine.calls.costs import cost_of, cost_said
from engine.calls.spending import spending_of, spending_said
from engine.cards.attempts import guard_of
from engine.cards.timelineview import timeline
from engine.errors import NotFound
from engine.money import format_amount
from engine.telling import Fact, Phone, Run, Said, Serial, Span, Typed, Until


@click.command("timeline")
@click.argument("serial")
@with_context
def tell_timeline(context: Context, serial: str) -> None:
    """Tell what happened to a card, the newest first."""
    zone = house.current(context.db).zone
    lines = timeline(context.db, serial, limit=100).lines
    context.answer(
        [
            {
                "at": line.at.isoformat(),
                "kind": line.kind,
                "text": plain(line.said, zone),
                "by": line.actor,
                "reason": line.reason,
            }
            for line in lines
        ],
        "\n".join(
            f"{when(line.at, zone)}  {plain(line.said, zone)}"
            f"{f' ({line.actor})' if line.actor else ''}{f' Reason: {line.reason}' if line.reason else ''}"
            for line in lines
        )
        or "Nothing has happened to it.",
    )


@click.command("why")
@click.argument("serial")
@click.option("--caller", metavar="NUMBER", help="Only tries from this phone.")
@with_context
def why(context: Context, serial: str, caller: str | None) -> None:
    """Tell why a card was refused lately, and whether it still would be."""
    zone, now = house.current(context.db).zone, context.clock()
    found = refusals_of(context.db, context.vault, serial, now, caller=caller)
    guard = guard_of(context.db, context.vault, serial, now)
    if guard is None:
        raise NotFound("card_not_found")
    told = [
        f"{when(one.attempt.at, zone)}  {plain(one.then, zone)} {plain(one.now, zone)}" for one in found.tries
    ]
    if found.today is not None:
        told.append(f"No try was refused in {found.kept_days} days. {plain(found.today, zone)}")
    told.append(f"{guard.failures} wrong passwords since the last right one; {guard.locks_at} lock the card.")
    context.answer(
        {
            "tries": [
                {
                    "at": one.attempt.at.isoformat(),
                    "reason": one.attempt.reason,
                    "caller": one.attempt.caller,
                    "destination": one.attempt.destination,
                    "then": plain(one.then, zone),
                    "now": plain(one.now, zone),
                    "let_through_now": one.through,
                }
                for one in found.tries
            ],
            "wrong_passwords": guard.failures,
            "wait_seconds": guard.wait_s,
        },
        "\n".join(told),
    )


@click.command("spending")
@click.argument("serial")
@click.option("--since-recharge", is_flag=True, help="Only what came after its last recharge.")
@with_context
def spending(context: Context, serial: str, since_recharge: bool) -> None:
    """Tell where the money of a card went, the biggest causes first."""
    zone = house.current(context.db).zone
    found = spending_of(context.db, serial, since_recharge=since_recharge)
    context.answer(
        {
            "currency": found.currency,
            "had": format_amount(found.had),
            "parts": [
                {"kind": part.kind, "amount": format_amount(part.amount), "times": part.times}
                for part in found.parts
            ],
            "left": format_amount(found.left),
        },
        "\n".join(plain(line, zone) for line in spending_said(found)),
    )


@click.command("cost")
@click.argument("serial")
@click.argument("number")
@click.option("--access-number", metavar="NUMBER", help="Called through this access number.")
@with_context
def cost(context: Context, serial: str, number: str, access_number: str | None) -> None:
    """Tell what a call to NUMBER would cost now, and how long it could last."""
    zone = house.current(context.db).zone
    found = cost_of(context.db, serial, number, context.clock(), access_number=access_number)
    context.answer(
        {
            "refused": found.refused,
            "prefix": found.found.prefix if found.found else None,
            "destination_name": found.found.destination_name if found.found else None,
            "price_per_minute": format_amount(found.rate.price_per_minute) if found.rate else None,
            "connect_fee": format_amount(found.rate.connect_fee) if found.rate else None,
            "minutes": {str(minutes): format_amount(micros) for minutes, micros in found.charges},
            "max_seconds": found.lasts_s,
            "currency": found.currency,
        },
        "\n".join(plain(line, zone) for line in cost_said(found)),
    )


def plain(sentence: Said, zone: ZoneInfo) -> str:
    """A sentence of the engine as text."""

    def show(fact: Fact) -> str:
        match fact:
            case Typed(value) | Serial(value):
                return value
            case Phone(digits):
                return f"+{digits}" if digits.isdecimal() else digits
            case Run(number):
                return f"run {number}"
            case Until(instant):
                return until(instant, zone)
            case Span(seconds):
                return _spoken(seconds)
            case datetime():
                return when(fact, zone)
            case _:
                return str(fact)

    return sentence.plain(show)


def _spoken(seconds: int) -> str:
    hours, rest = divmod(seconds, 3600)
    parts: list[tuple[int, str]] = [(hours, "h"), (rest // 60, "min"), (rest % 60, "s")]
    return " ".join(f"{value} {unit}" for value, unit in parts if value) or "0 s"


COMMANDS: tuple[Any, ...] = (tell_timeline, why, spending, cost)
