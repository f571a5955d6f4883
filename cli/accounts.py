"""`cardtone accounts`: credit that recharges and stock are paid from, the operator's own and the resellers'."""

from __future__ import annotations

from typing import Any

import click

from cli.app import Context, with_context
from cli.cardtexts import when
from cli.people import acting, own_name
from cli.tables import table
from engine import house
from engine.funds import accounts, accountviews
from engine.funds.accountviews import AccountView
from engine.money import format_amount, format_money, parse_amount

_NEGATIVE = {"ignore_unknown_options": True}
_KEY = click.option(
    "--key", metavar="KEY", help="A word of your own: the same one again changes nothing twice."
)


@click.group("accounts")
def command() -> None:
    """Credit that recharges and stock are paid from."""


@command.command("list")
@click.option("--closed", is_flag=True, help="Those that were closed, too.")
@with_context
def list_them(context: Context, closed: bool) -> None:
    """List the accounts, what is in them and how far they may go below zero."""
    found = accountviews.list_accounts(context.db, closed=closed)
    rows = [
        [
            one.name,
            one.reseller or "the operator",
            one.currency,
            format_amount(one.balance, 2),
            format_amount(one.credit_limit, 2),
            format_amount(one.available, 2),
            "closed" if one.closed_at else "",
        ]
        for one in found
    ]
    columns = ["Name", "Of", "Currency", "Balance", "Credit limit", "Available", ""]
    context.answer(
        {"accounts": [account_data(one) for one in found]},
        table(columns, rows, right=columns[3:6]) if rows else "There is no account yet.",
    )


@command.command("show")
@click.argument("name")
@click.option("--before", type=int, metavar="ENTRY", help="Entries older than this one.")
@with_context
def show(context: Context, name: str, before: int | None) -> None:
    """Show an account and its entries, the newest first."""
    account = accountviews.account_named(context.db, name)
    page = accountviews.account_page(context.db, account.id, before=before)
    zone = house.current(context.db).zone
    rows = [
        [
            when(line.at, zone),
            line.kind,
            format_amount(line.amount, 2),
            format_amount(line.balance_after, 2),
            line.other,
            line.actor,
            line.reason,
        ]
        for line in page.entries
    ]
    columns = ["Time", "Kind", "Amount", "Balance", "Card", "By", "Reason"]
    entries = table(columns, rows, right=["Amount", "Balance"]) if rows else "There are no entries."
    older = f"\n(older ones: --before {page.older})" if page.older is not None else ""
    context.answer(
        {
            **account_data(account),
            "entries": [
                {
                    "id": line.id,
                    "at": line.at.isoformat(),
                    "kind": line.kind,
                    "amount": format_amount(line.amount),
                    "balance": format_amount(line.balance_after),
                    "reference": line.reference,
                    "card": line.other,
                    "by": line.actor,
                    "reason": line.reason,
                }
                for line in page.entries
            ],
            "older": page.older,
        },
        f"{_said(account)}\n\n{entries}{older}",
    )


@command.command("open")
@click.argument("name")
@click.option("--currency", required=True, metavar="CODE", help="Such as USD.")
@click.option("--reseller", metavar="NAME", help="Whose it is; without it, your own.")
@click.option("--credit-limit", default="0", metavar="AMOUNT", help="How far below zero it may go.")
@_KEY
@own_name
@with_context
def open_account(
    context: Context,
    name: str,
    currency: str,
    reseller: str | None,
    credit_limit: str,
    key: str | None,
    as_me: bool,
) -> None:
    """Open an account, with nothing in it."""
    opened = accounts.open_account(
        context.db,
        name=name,
        kind="funding" if reseller is None else "reseller",
        currency=currency,
        reseller_id=None if reseller is None else accountviews.reseller_id_of(context.db, reseller),
        credit_limit=parse_amount(credit_limit, field="credit_limit"),
        key=key,
        actor=acting(context, as_me),
        now=context.clock(),
    )
    context.answer(account_data(opened), _said(opened))


@command.command("change")
@click.argument("name")
@click.option("--rename", metavar="NAME", help="What it is called from now on.")
@click.option("--credit-limit", metavar="AMOUNT", help="How far below zero it may go.")
@click.option("--close", is_flag=True, help="Close it, for good; it must be empty.")
@click.option("--reason", metavar="TEXT", help="Why; it is kept for good.")
@own_name
@with_context
def change(
    context: Context,
    name: str,
    rename: str | None,
    credit_limit: str | None,
    close: bool,
    reason: str | None,
    as_me: bool,
) -> None:
    """Rename an account, change its credit limit, or close it."""
    changed = accounts.change_account(
        context.db,
        account_id=accountviews.account_named(context.db, name).id,
        name=rename,
        credit_limit=None if credit_limit is None else parse_amount(credit_limit, field="credit_limit"),
        close=close,
        reason=reason,
        actor=acting(context, as_me),
        now=context.clock(),
    )
    context.answer(account_data(changed), _said(changed))


@command.command("deposit")
@click.argument("name")
@click.argument("amount")
@_KEY
@click.option("--reason", metavar="TEXT", help="Where it came from; it is kept for good.")
@own_name
@with_context
def deposit(
    context: Context, name: str, amount: str, key: str | None, reason: str | None, as_me: bool
) -> None:
    """Note money that came in for an account, such as 500.00."""
    done = accounts.deposit(
        context.db,
        account_id=accountviews.account_named(context.db, name).id,
        amount=parse_amount(amount, field="amount"),
        key=key,
        reason=reason,
        actor=acting(context, as_me),
        now=context.clock(),
    )
    _tell_moved(context, done)


@command.command("adjust", context_settings=_NEGATIVE)
@click.argument("name")
@click.argument("amount")
@_KEY
@click.option("--reason", required=True, metavar="TEXT", help="Why; it is kept for good.")
@own_name
@with_context
def adjust(context: Context, name: str, amount: str, key: str | None, reason: str, as_me: bool) -> None:
    """Correct an account by an amount, such as -20.00 or 5.00."""
    done = accounts.adjust_account(
        context.db,
        account_id=accountviews.account_named(context.db, name).id,
        amount=parse_amount(amount, field="amount", allow_negative=True),
        reason=reason,
        key=key,
        actor=acting(context, as_me),
        now=context.clock(),
    )
    _tell_moved(context, done)


def _tell_moved(context: Context, done: accounts.Moved) -> None:
    moved = format_money(done.amount, done.currency)
    said = f"This was done before: {moved} for {done.name}." if done.repeated else f"{moved} for {done.name}."
    context.answer(
        {
            "name": done.name,
            "amount": format_amount(done.amount),
            "balance": format_amount(done.balance_now),
            "currency": done.currency,
            "repeated": done.repeated,
        },
        f"{said} Its balance is {format_money(done.balance_now, done.currency)}.",
    )


def _said(account: AccountView) -> str:
    limit = (
        f", and may go down to {format_money(-account.credit_limit, account.currency)}"
        if account.credit_limit
        else ""
    )
    whose = f" of {account.reseller}" if account.reseller else ""
    state = " It is closed." if account.closed_at else ""
    return f"The account {account.name}{whose} has {format_money(account.balance, account.currency)}{limit}.{state}"


def account_data(account: AccountView) -> dict[str, Any]:
    """An account for scripts."""
    return {
        "name": account.name,
        "kind": account.kind,
        "reseller": account.reseller,
        "currency": account.currency,
        "balance": format_amount(account.balance),
        "credit_limit": format_amount(account.credit_limit),
        "available": format_amount(account.available),
        "closed": account.closed_at is not None,
    }
