"""`cardtone auto-recharge`: rules that recharge a card when its balance falls under a threshold."""

from __future__ import annotations

from typing import Any

import click

from cli.app import Context, with_context
from cli.people import acting, own_name
from cli.tables import table
from engine.actor import CONSOLE
from engine.cards.search import CardFilter, to_json
from engine.cards.serials import card_id_of
from engine.funds import accountviews, autorules
from engine.funds.autorules import KEEP, RuleView
from engine.money import format_amount, format_money, parse_amount
from engine.stock.batches import find_batch

_NO = "none"


@click.group("auto-recharge")
def command() -> None:
    """Recharge cards whose balance falls under a threshold."""


@command.command("list")
@with_context
def list_them(context: Context) -> None:
    """List the rules, those in force first."""
    found = autorules.list_rules(context.db)
    rows = [
        [
            one.name,
            format_money(one.threshold, one.currency),
            format_amount(one.amount, 2),
            one.account,
            _limit(one.day_limit),
            _limit(one.month_limit),
            f"{one.cards:,}",
            "by filter" if one.card_filter else "by hand",
            "disabled" if one.disabled_at else "",
        ]
        for one in found
    ]
    columns = [
        "Name",
        "Under",
        "Amount",
        "Paid from",
        "Day at most",
        "Month at most",
        "Cards",
        "Enrolled",
        "",
    ]
    context.answer(
        {"rules": [_data(one) for one in found]},
        table(columns, rows, right=[*columns[1:3], *columns[4:7]])
        if rows
        else "There is no auto-recharge rule yet.",
    )


@command.command("add")
@click.argument("name")
@click.option("--under", required=True, metavar="AMOUNT", help="When the balance falls under this.")
@click.option("--amount", required=True, metavar="AMOUNT", help="How much to put on the card.")
@click.option("--account", required=True, metavar="NAME", help="The funding account that pays.")
@click.option("--day-limit", metavar="AMOUNT", help="At most so much a card and day.")
@click.option("--month-limit", metavar="AMOUNT", help="At most so much a card and month.")
@click.option("--batch", metavar="NAME", help="For all cards of a batch.")
@click.option("--reseller", metavar="NAME", help="For all cards of a reseller.")
@own_name
@with_context
def add(
    context: Context,
    name: str,
    under: str,
    amount: str,
    account: str,
    day_limit: str | None,
    month_limit: str | None,
    batch: str | None,
    reseller: str | None,
    as_me: bool,
) -> None:
    """Add a rule. Without a batch or reseller its cards are enrolled by hand."""
    added = autorules.add_rule(
        context.db,
        name=name,
        threshold=parse_amount(under, field="threshold"),
        amount=parse_amount(amount, field="amount"),
        account_id=accountviews.account_named(context.db, account).id,
        day_limit=None if day_limit is None else parse_amount(day_limit, field="day_limit"),
        month_limit=None if month_limit is None else parse_amount(month_limit, field="month_limit"),
        card_filter=_filter(context, batch, reseller),
        actor=acting(context, as_me),
        now=context.clock(),
    )
    _tell(context, added)


@command.command("change")
@click.argument("name")
@click.option("--under", metavar="AMOUNT", help="When the balance falls under this.")
@click.option("--amount", metavar="AMOUNT", help="How much to put on the card.")
@click.option("--account", metavar="NAME", help="The funding account that pays.")
@click.option("--day-limit", metavar="AMOUNT", help=f"At most so much a card and day; '{_NO}' for no limit.")
@click.option(
    "--month-limit", metavar="AMOUNT", help=f"At most so much a card and month; '{_NO}' for no limit."
)
@click.option("--disable/--enable", "disabled", default=None, help="Let it count no more, or again.")
@click.option("--reason", metavar="TEXT", help="Why; it is kept for good.")
@own_name
@with_context
def change(
    context: Context,
    name: str,
    under: str | None,
    amount: str | None,
    account: str | None,
    day_limit: str | None,
    month_limit: str | None,
    disabled: bool | None,
    reason: str | None,
    as_me: bool,
) -> None:
    """Change a rule, disable it, or let it count again; what isn't named stays."""
    changed = autorules.change_rule(
        context.db,
        rule_id=autorules.rule_named(context.db, name).id,
        threshold=None if under is None else parse_amount(under, field="threshold"),
        amount=None if amount is None else parse_amount(amount, field="amount"),
        account_id=None if account is None else accountviews.account_named(context.db, account).id,
        day_limit=_limit_or_keep(day_limit, "day_limit"),
        month_limit=_limit_or_keep(month_limit, "month_limit"),
        disabled=disabled,
        reason=reason,
        actor=acting(context, as_me),
        now=context.clock(),
    )
    _tell(context, changed)


@command.command("enrol")
@click.argument("name")
@click.argument("serials", nargs=-1, required=True)
@with_context
def enrol(context: Context, name: str, serials: tuple[str, ...]) -> None:
    """Let a rule recharge these cards from now on.

    What counts is that a call or a fee takes the balance under the threshold: a card that is under it already is
    recharged by the rule only after it was above once more. Recharge it by hand first.
    """
    done = autorules.enrol(context.db, **_asked(context, name, serials))
    _tell_cards(context, name, done, "enrolled")


@command.command("withdraw")
@click.argument("name")
@click.argument("serials", nargs=-1, required=True)
@with_context
def withdraw(context: Context, name: str, serials: tuple[str, ...]) -> None:
    """Take these cards off a rule."""
    done = autorules.withdraw(context.db, **_asked(context, name, serials))
    _tell_cards(context, name, done, "withdrawn")


def _asked(context: Context, name: str, serials: tuple[str, ...]) -> dict[str, Any]:
    return {
        "rule_id": autorules.rule_named(context.db, name).id,
        "card_ids": [card_id_of(serial) for serial in serials],
        "actor": CONSOLE,
        "now": context.clock(),
    }


def _filter(context: Context, batch: str | None, reseller: str | None) -> CardFilter | None:
    if batch is None and reseller is None:
        return None
    with context.db.begin() as session:
        batch_id = None if batch is None else find_batch(session, batch).id
    return CardFilter(
        batch_id=batch_id,
        reseller_id=None if reseller is None else accountviews.reseller_id_of(context.db, reseller),
    )


def _limit_or_keep(limit: str | None, field: str) -> Any:
    if limit is None:
        return KEEP
    return None if limit == _NO else parse_amount(limit, field=field)


def _limit(limit: int | None) -> str:
    return "" if limit is None else format_amount(limit, 2)


def _tell_cards(context: Context, name: str, done: autorules.Enrolled, verb: str) -> None:
    left = f" {done.left:,} were so already, or may not be." if done.left else ""
    many = f"{done.changed:,} card{' was' if done.changed == 1 else 's were'} {verb}"
    context.answer({"rule": name, "changed": done.changed, "left": done.left}, f"{many}: {name}.{left}")


def _tell(context: Context, rule: RuleView) -> None:
    whose = " It enrols its cards by itself." if rule.card_filter else ""
    state = (
        "is disabled"
        if rule.disabled_at
        else (
            f"puts {format_money(rule.amount, rule.currency)} from {rule.account} on a card whose balance falls "
            f"under {format_amount(rule.threshold, 2)}"
        )
    )
    context.answer(_data(rule), f"The rule {rule.name} {state}.{whose}")


def _data(rule: RuleView) -> dict[str, Any]:
    return {
        "name": rule.name,
        "currency": rule.currency,
        "under": format_amount(rule.threshold),
        "amount": format_amount(rule.amount),
        "account": rule.account,
        "day_limit": None if rule.day_limit is None else format_amount(rule.day_limit),
        "month_limit": None if rule.month_limit is None else format_amount(rule.month_limit),
        "filter": None if rule.card_filter is None else to_json(rule.card_filter),
        "cards": rule.cards,
        "disabled": rule.disabled_at is not None,
    }
