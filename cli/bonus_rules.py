"""`cardtone bonus-rules`: what a recharge brings on top."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import click

from cli.app import Context, with_context
from cli.cardtexts import until, when
from cli.tables import table
from engine import house
from engine.actor import CONSOLE
from engine.cards.status import end_of_day
from engine.funds import bonus
from engine.funds.bonus import RuleView
from engine.money import format_amount, parse_amount

_DAY = click.DateTime(formats=["%Y-%m-%d"])


@click.group("bonus-rules")
def command() -> None:
    """Say what a recharge brings on top."""


@command.command("list")
@with_context
def list_them(context: Context) -> None:
    """List the rules, those in force first."""
    found, zone = bonus.list_rules(context.db), house.current(context.db).zone
    rows = [
        [
            one.name,
            _gift(one),
            f"{one.currency} {format_amount(one.least, 2)}" if one.least else "any",
            "first only" if one.first_only else "every",
            ", ".join(one.methods),
            when(one.starts_at, zone),
            until(one.ends_at, zone) if one.ends_at else "further notice",
            "disabled" if one.disabled_at else "",
        ]
        for one in found
    ]
    context.answer(
        {"rules": [_data(one) for one in found]},
        table(["Name", "Gives", "From", "Recharge", "Paid by", "Since", "Until", ""], rows)
        if rows
        else "There is no bonus rule yet.",
    )


@command.command("add")
@click.argument("name")
@click.option("--currency", required=True, metavar="CODE", help="Such as USD.")
@click.option("--percent", default="0", metavar="PERCENT", help="Of the amount, such as 10 or 12.5.")
@click.option("--fixed", default="0", metavar="AMOUNT", help="A fixed sum, with or without a percentage.")
@click.option("--least", default="0", metavar="AMOUNT", help="For recharges of at least this much.")
@click.option("--first-only", is_flag=True, help="For a card's first recharge only.")
@click.option(
    "--by",
    "methods",
    multiple=True,
    type=click.Choice(bonus.METHODS),
    help="Who recharges; say it again for another. Everybody, without it.",
)
@click.option(
    "--from", "first_day", type=_DAY, metavar="DATE", help="First day, in your zone; from now on, without it."
)
@click.option("--until", "last_day", type=_DAY, metavar="DATE", help="Last day, in your zone.")
@with_context
def add(
    context: Context,
    name: str,
    currency: str,
    percent: str,
    fixed: str,
    least: str,
    first_only: bool,
    methods: tuple[str, ...],
    first_day: datetime | None,
    last_day: datetime | None,
) -> None:
    """Add a rule. The best one counts, alone, unless whoever recharges names a bonus."""
    zone = house.current(context.db).zone
    added = bonus.add_rule(
        context.db,
        name=name,
        currency=currency,
        percent_bp=_hundredths(percent),
        fixed=parse_amount(fixed, field="fixed"),
        least=parse_amount(least, field="least"),
        first_only=first_only,
        methods=methods or bonus.METHODS,
        starts_at=None if first_day is None else end_of_day(first_day.date() - timedelta(days=1), zone),
        ends_at=None if last_day is None else end_of_day(last_day.date(), zone),
        actor=CONSOLE,
        now=context.clock(),
    )
    context.answer(_data(added), f"The rule {added.name} gives {_gift(added)}.")


@command.command("disable")
@click.argument("name")
@click.option("--reason", metavar="TEXT", help="Why; it is kept for good.")
@with_context
def disable(context: Context, name: str, reason: str | None) -> None:
    """Let a rule count no more, for good."""
    rule = bonus.rule_named(context.db, name)
    off = bonus.disable_rule(context.db, rule_id=rule.id, reason=reason, actor=CONSOLE, now=context.clock())
    context.answer(_data(off), f"The rule {off.name} counts no more.")


def _hundredths(percent: str) -> int:
    """Hundredths of a percent; finer ones are refused, as a fraction of them is by the command."""
    whole, rest = divmod(parse_amount(percent, field="percent"), 10_000)
    if rest:
        raise click.BadParameter("give a percentage with two decimals at most.", param_hint="--percent")
    return whole


def _gift(rule: RuleView) -> str:
    percent = f"{format_amount(rule.percent_bp * 10_000, 0)}%" if rule.percent_bp else ""
    fixed = f"{rule.currency} {format_amount(rule.fixed, 2)}" if rule.fixed else ""
    return " and ".join(part for part in (percent, fixed) if part)


def _data(rule: RuleView) -> dict[str, Any]:
    return {
        "name": rule.name,
        "currency": rule.currency,
        "percent": format_amount(rule.percent_bp * 10_000, 2),
        "fixed": format_amount(rule.fixed),
        "least": format_amount(rule.least),
        "first_only": rule.first_only,
        "methods": list(rule.methods),
        "starts_at": rule.starts_at.isoformat(),
        "ends_at": rule.ends_at.isoformat() if rule.ends_at else None,
        "disabled": rule.disabled_at is not None,
    }
