"""`cardtone access-numbers`: what cardholders dial to reach us, and what that adds to the price."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from cli.app import Context, with_context
from cli.tables import table
from engine.actor import CONSOLE
from engine.calls import access_numbers
from engine.calls.access_numbers import AccessNumberView
from engine.money import format_amount, parse_amount


@click.group("access-numbers")
def command() -> None:
    """List the numbers that cardholders dial, and their surcharges."""


def _facts(change: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--per-call", metavar="AMOUNT", help="Surcharge on each answered call, such as 0.50."),
        click.option("--per-minute", metavar="AMOUNT", help="Surcharge on each minute, such as 0.02."),
        click.option("--language", metavar="TAG", help="What is spoken there, such as en or pt-BR."),
        click.option(
            "--country", metavar="CC", help="Where it is, such as GB: how numbers are dialled there."
        ),
    ):
        change = option(change)
    return change


@command.command("add")
@click.argument("number")
@click.option("--name", required=True, help="What you call it, such as Freephone London.")
@_facts
@with_context
def add(
    context: Context,
    number: str,
    name: str,
    country: str | None,
    language: str | None,
    per_minute: str | None,
    per_call: str | None,
) -> None:
    """List a number, in international digits."""
    added = access_numbers.add_access_number(
        context.db,
        number,
        name,
        CONSOLE,
        context.clock(),
        country=country,
        language=language,
        per_minute=_amount(per_minute, "per_minute") or 0,
        per_call=_amount(per_call, "per_call") or 0,
    )
    context.answer(_data(added), f"{added.number} is listed as {added.name}{_terms(added)}.")


@command.command("change")
@click.argument("number")
@click.option("--name", help="What you call it.")
@_facts
@with_context
def change(
    context: Context,
    number: str,
    name: str | None,
    country: str | None,
    language: str | None,
    per_minute: str | None,
    per_call: str | None,
) -> None:
    """Change what is given, from the next call on; --country "" takes a country away."""
    changed = access_numbers.change_access_number(
        context.db,
        number,
        CONSOLE,
        context.clock(),
        name=name,
        country=country,
        language=language,
        per_minute=_amount(per_minute, "per_minute"),
        per_call=_amount(per_call, "per_call"),
    )
    context.answer(_data(changed), f"{changed.number} is now {changed.name}{_terms(changed)}.")


@command.command("disable")
@click.argument("number")
@with_context
def disable(context: Context, number: str) -> None:
    """Stop its surcharges, country and language from the next call on."""
    disabled = access_numbers.disable_access_number(context.db, number, CONSOLE, context.clock())
    context.answer(_data(disabled), f"{disabled.number} is disabled.")


@command.command("enable")
@click.argument("number")
@with_context
def enable(context: Context, number: str) -> None:
    """Take a disabled number into use again."""
    enabled = access_numbers.enable_access_number(context.db, number, CONSOLE, context.clock())
    context.answer(_data(enabled), f"{enabled.number} is in use again.")


@command.command("list")
@with_context
def list_them(context: Context) -> None:
    """List the numbers."""
    found = access_numbers.list_access_numbers(context.db)
    headers = ["Number", "Name", "Country", "Language", "Per minute", "Per call", "State"]
    rows = [
        [
            one.number,
            one.name,
            one.country,
            one.language,
            format_amount(one.per_minute, 2),
            format_amount(one.per_call, 2),
            "in use" if one.disabled_at is None else "disabled",
        ]
        for one in found
    ]
    context.answer(
        {"access_numbers": [_data(one) for one in found]},
        table(headers, rows, right=["Per minute", "Per call"])
        if found
        else "No access number is listed yet.",
    )


def _amount(text: str | None, field: str) -> int | None:
    return None if text is None else parse_amount(text, field=field)


def _terms(view: AccessNumberView) -> str:
    terms = [
        f"in {view.country}" if view.country else "",
        f"{format_amount(view.per_minute, 2)} a minute" if view.per_minute else "",
        f"{format_amount(view.per_call, 2)} a call" if view.per_call else "",
    ]
    said = ", ".join(term for term in terms if term)
    return f": {said}" if said else ""


def _data(view: AccessNumberView) -> dict[str, Any]:
    return {
        "number": view.number,
        "name": view.name,
        "country": view.country,
        "language": view.language,
        "per_minute": format_amount(view.per_minute),
        "per_call": format_amount(view.per_call),
        "disabled": view.disabled_at is not None,
    }
