"""`cardtone resellers`: the parties that sell cards for the operator, their stock and what it costs them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from cli import resellerpeople
from cli.app import Context, with_context
from cli.ranges import asked_range, range_options, result_data, result_text
from cli.tables import table
from engine.actor import CONSOLE
from engine.cards.serials import card_id_of
from engine.errors import InvalidInput
from engine.funds.accountviews import AccountView, list_accounts
from engine.money import format_amount, format_money, parse_amount
from engine.people import resellers
from engine.people.resellers import ResellerView
from engine.stock import resale
from engine.stock.moves import Resold
from engine.stock.stockviews import MoveLine, StockLine, moves_of, stock_of

_PER_BP = 10_000
"""Micro-units of a percent in a hundredth of one."""


@click.group("resellers")
def command() -> None:
    """Resellers, their people and their stock."""


command.add_command(resellerpeople.command)


@command.command("add")
@click.argument("name")
@click.option("--discount", default="0", show_default=True, help="Percent off the face value of a card.")
@click.option("--reason", help="Kept in the audit trail.")
@with_context
def add(context: Context, name: str, discount: str, reason: str | None) -> None:
    """Add a reseller."""
    one = resellers.add_reseller(
        context.db, name, CONSOLE, context.clock(), discount_bp=_discount(discount), reason=reason
    )
    context.answer(_data(one), f"{one.name} buys cards at {_percent(one)} off.")


@command.command("list")
@with_context
def list_them(context: Context) -> None:
    """List the resellers."""
    found = resellers.list_resellers(context.db)
    rows = [[one.name, _percent(one), str(one.people), _state(one)] for one in found]
    shown = table(["Reseller", "Discount", "People", "State"], rows, right=["Discount", "People"])
    context.answer(
        {"resellers": [_data(one) for one in found]}, shown if rows else "There is no reseller yet."
    )


@command.command("show")
@click.argument("name")
@with_context
def show(context: Context, name: str) -> None:
    """Show a reseller: its accounts and the stock in its hands."""
    one = resellers.find_reseller(context.db, name)
    accounts = list_accounts(context.db, reseller_id=one.id)
    stock = stock_of(context.db, one.id)
    parts = [f"{one.name}: {_state(one)}, {_percent(one)} off, {one.people} people."]
    parts.append(_accounts_text(accounts) if accounts else "It has no account.")
    parts.append(_stock_text(stock) if stock else "It has no cards.")
    data = {
        **_data(one),
        "accounts": [
            {
                "name": account.name,
                "currency": account.currency,
                "balance": format_amount(account.balance, 2),
                "credit_limit": format_amount(account.credit_limit, 2),
            }
            for account in accounts
        ],
        "stock": [_stock_data(line) for line in stock],
    }
    context.answer(data, "\n\n".join(parts))


@command.command("change")
@click.argument("name")
@click.option("--name", "new_name", help="What it is called from now on.")
@click.option("--discount", help="Percent off the face value of cards that are charged from now on.")
@click.option("--reason", help="Kept in the audit trail.")
@with_context
def change(
    context: Context, name: str, new_name: str | None, discount: str | None, reason: str | None
) -> None:
    """Change a reseller's name or discount."""
    one = resellers.find_reseller(context.db, name)
    one = resellers.change_reseller(
        context.db,
        one.id,
        CONSOLE,
        context.clock(),
        name=new_name,
        discount_bp=None if discount is None else _discount(discount),
        reason=reason,
    )
    context.answer(_data(one), f"{one.name} buys cards at {_percent(one)} off.")


@command.command("disable")
@click.argument("name")
@click.option("--reason", help="Kept in the audit trail.")
@with_context
def disable(context: Context, name: str, reason: str | None) -> None:
    """Let a reseller sell nothing more, and log its people out."""
    one = resellers.find_reseller(context.db, name)
    one = resellers.disable_reseller(context.db, one.id, CONSOLE, context.clock(), reason=reason)
    context.answer(_data(one), f"{one.name} can't sell any more.")


@command.command("enable")
@click.argument("name")
@click.option("--reason", help="Kept in the audit trail.")
@with_context
def enable(context: Context, name: str, reason: str | None) -> None:
    """Let a reseller sell again."""
    one = resellers.find_reseller(context.db, name)
    one = resellers.enable_reseller(context.db, one.id, CONSOLE, context.clock(), reason=reason)
    context.answer(_data(one), f"{one.name} can sell again.")


# --- stock ---


def _stock_command(
    verb: str, fact: str, told: str, act: Callable[..., Resold], *options: Callable[[Any], Any]
) -> None:
    """A command on a range of a reseller's stock."""

    def run(
        context: Context,
        name: str,
        first: str,
        last: str | None,
        yes: bool,
        reason: str | None,
        key: str | None,
        **more: Any,
    ) -> None:
        owner = resellers.find_reseller(context.db, name)
        cards = asked_range(context, first, last, yes)
        done = act(
            context.db, cards, CONSOLE, context.clock(), reseller_id=owner.id, key=key, reason=reason, **more
        )
        data = result_data(cards, done.changed, done.why, done.batches)
        context.answer(
            {"reseller": owner.name, **data, **_charge_data(done)},
            result_text(done.changed, fact, done.why, done.batches) + _charge_text(done),
        )

    run.__doc__ = told
    decorated: Callable[..., Any] = with_context(run)
    keyed = click.option("--key", help="A word for this request, so that asking twice counts once.")
    wanted: list[Callable[[Any], Any]] = [*options, keyed, range_options, click.argument("name")]
    for option in wanted:
        decorated = option(decorated)
    command.command(verb)(decorated)


_stock_command(
    "assign",
    "assigned",
    "Give cards to a reseller.",
    resale.assign,
    click.option("--transfer", is_flag=True, help="Also those in another reseller's stock."),
)
_stock_command("unassign", "taken back", "Take cards back from a reseller.", resale.unassign)
_stock_command("activate", "activated", "Release a reseller's cards; they are charged once.", resale.activate)
_stock_command("sell", "sold", "Note that a reseller sold cards; they are charged once.", resale.sell)
_stock_command(
    "return",
    "returned",
    "Undo sale and activation of unused cards, and give back what they cost; they wait for a new activation or sale.",
    resale.give_back,
    click.option("--to-operator", is_flag=True, help="Take them out of the reseller's stock, too."),
)


@command.command("recharge")
@click.argument("name")
@click.argument("serial")
@click.argument("amount")
@click.option("--key", help="A word for this request, so that asking twice counts once.")
@click.option("--reason", help="Kept in the audit trail.")
@with_context
def recharge(
    context: Context, name: str, serial: str, amount: str, key: str | None, reason: str | None
) -> None:
    """Put money on a card of a reseller's stock, from the reseller's account."""
    owner = resellers.find_reseller(context.db, name)
    done = resale.recharge(
        context.db,
        card_id=card_id_of(serial),
        amount=parse_amount(amount, field="amount"),
        reseller_id=owner.id,
        key=key,
        reason=reason,
        actor=CONSOLE,
        now=context.clock(),
    )
    money = {name: format_amount(getattr(done, name), 2) for name in ("amount", "bonus", "balance")}
    context.answer(
        {"serial": done.serial, **money, "currency": done.currency, "repeated": done.repeated},
        f"{done.serial} has {format_money(done.balance, done.currency)} now.",
    )


@command.command("moves")
@click.argument("name")
@with_context
def moves(context: Context, name: str) -> None:
    """List what a reseller got, activated, sold and gave back, newest first."""
    owner = resellers.find_reseller(context.db, name)
    found: list[MoveLine] = []
    page = moves_of(context.db, owner.id)
    while True:
        found.extend(page.moves)
        if page.older is None:
            break
        page = moves_of(context.db, owner.id, before=page.older)
    rows = [
        [
            f"{one.at:%Y-%m-%d %H:%M} UTC",
            one.kind,
            f"{one.cards:,}",
            one.first_serial,
            one.last_serial,
            format_money(one.amount, one.currency) if one.currency else "",
            one.reason,
        ]
        for one in found
    ]
    data = [
        {
            "id": one.id,
            "at": one.at.isoformat(),
            "kind": one.kind,
            "cards": one.cards,
            "from": one.first_serial,
            "to": one.last_serial,
            "amount": format_amount(one.amount, 2),
            "currency": one.currency,
            "by": one.actor,
            "reason": one.reason,
        }
        for one in found
    ]
    headers = ["Time", "What", "Cards", "From", "To", "Charged", "Reason"]
    shown = table(headers, rows, right=["Cards", "Charged"]) if rows else "There is nothing yet."
    context.answer({"moves": data}, shown)


# --- what is said ---


def _discount(percent: str) -> int:
    """Hundredths of a percent from a text such as 12.5."""
    micros = parse_amount(percent, field="discount")
    if micros % _PER_BP:
        raise InvalidInput("discount_out_of_range", field="discount")
    return micros // _PER_BP


def _percent(one: ResellerView) -> str:
    return f"{format_amount(one.discount_bp * _PER_BP, 0)} %"


def _state(one: ResellerView) -> str:
    return "active" if one.disabled_at is None else "disabled"


def _data(one: ResellerView) -> dict[str, Any]:
    return {
        "id": one.id,
        "name": one.name,
        "discount": format_amount(one.discount_bp * _PER_BP, 2),
        "people": one.people,
        "disabled": one.disabled_at is not None,
    }


def _accounts_text(accounts: list[AccountView]) -> str:
    rows = [
        [one.name, format_money(one.balance, one.currency), format_money(one.credit_limit, one.currency)]
        for one in accounts
    ]
    return table(["Account", "Balance", "Credit limit"], rows, right=["Balance", "Credit limit"])


def _stock_text(stock: list[StockLine]) -> str:
    headers = ["Batch", "Cards", "Held back", "Activated", "Sold", "Used", "Charged", "Serials"]
    rows = [
        [
            line.batch,
            *(f"{count:,}" for count in (line.cards, line.held_back, line.activated, line.sold, line.used)),
            format_money(line.charged, line.currency),
            f"{line.first_serial} to {line.last_serial}",
        ]
        for line in stock
    ]
    return table(headers, rows, right=headers[1:7])


def _stock_data(line: StockLine) -> dict[str, Any]:
    counts = ("cards", "held_back", "activated", "sold", "used", "first_serial", "last_serial", "currency")
    return {
        "batch": line.batch,
        **{name: getattr(line, name) for name in counts},
        "charged": format_amount(line.charged, 2),
    }


def _charge_text(done: Resold) -> str:
    if not done.amount or done.currency is None:
        return ""
    money = format_money(abs(done.amount), done.currency)
    balance = (
        "" if done.balance is None else f" Its account has {format_money(done.balance, done.currency)} now."
    )
    return f" {money} {'charged' if done.amount > 0 else 'given back'}.{balance}"


def _charge_data(done: Resold) -> dict[str, Any]:
    return {
        "charged": format_amount(done.amount, 2),
        "currency": done.currency,
        "balance": None if done.balance is None else format_amount(done.balance, 2),
        "move": done.move,
        "repeated": done.repeated,
    }
