"""`cardtone destinations`: groups of prefixes, and the rules that say where cards may call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from cli.app import Context, with_context
from cli.tables import table
from engine.actor import CONSOLE
from engine.calls import destinations
from engine.calls.destinations import GroupView, RulesView
from engine.phone import GROUPS

GROUP_WORDS = f"There are {', '.join(GROUPS)}, and your own."


@click.group("destinations")
def command() -> None:
    """Say where cards may call."""


@command.group("groups")
def groups() -> None:
    """Destination groups of your own: lists of prefixes."""


@groups.command("set")
@click.argument("name")
@click.argument("prefixes", nargs=-1, required=True, metavar="PREFIX...")
@with_context
def set_group(context: Context, name: str, prefixes: tuple[str, ...]) -> None:
    """Make a group of prefixes, or give a group other ones."""
    group = destinations.set_group(context.db, name, prefixes, CONSOLE, context.clock())
    context.answer(_group(group), f"The group {group.name} holds {', '.join(group.prefixes)}.")


@groups.command("remove")
@click.argument("name")
@with_context
def remove_group(context: Context, name: str) -> None:
    """Remove a group that no rules name."""
    destinations.remove_group(context.db, name, CONSOLE, context.clock())
    context.answer({"removed": name}, f"The group {name} is removed.")


@groups.command("list")
@with_context
def list_groups(context: Context) -> None:
    """List your groups."""
    found = destinations.list_groups(context.db)
    context.answer(
        {"groups": [_group(group) for group in found], "built_in": list(GROUPS)},
        table(["Group", "Prefixes"], [[group.name, ", ".join(group.prefixes)] for group in found])
        if found
        else f"There are no groups of your own yet; built in are {', '.join(GROUPS)}.",
    )


@command.group("rules")
def rules() -> None:
    """Rules that batches and cards are given."""


def _lists(change: Callable[..., Any]) -> Callable[..., Any]:
    change = click.option(
        "--allow", multiple=True, metavar="GROUP", help="Allow only this group; repeat for more."
    )(change)
    return click.option("--bar", multiple=True, metavar="GROUP", help=f"Bar this group. {GROUP_WORDS}")(
        change
    )


@rules.command("add")
@click.argument("name")
@_lists
@with_context
def add_rules(context: Context, name: str, bar: tuple[str, ...], allow: tuple[str, ...]) -> None:
    """Add rules; without --allow all is allowed that isn't barred."""
    added = destinations.add_rules(
        context.db, name, CONSOLE, context.clock(), barred=bar, allowed=allow or None
    )
    context.answer(_rules(added), f"The rules {_said(added)}.")


@rules.command("change")
@click.argument("name")
@_lists
@with_context
def change_rules(context: Context, name: str, bar: tuple[str, ...], allow: tuple[str, ...]) -> None:
    """Give rules other groups in place of their old ones, for every card that has them."""
    changed = destinations.change_rules(
        context.db, name, CONSOLE, context.clock(), barred=bar, allowed=allow or None
    )
    context.answer(_rules(changed), f"From now on the rules {_said(changed)}.")


@rules.command("list")
@with_context
def list_rules(context: Context) -> None:
    """List the rules."""
    found = destinations.list_rules(context.db)
    rows = [[one.name, _barred(one), _allowed(one)] for one in found]
    context.answer({"rules": [_rules(one) for one in found]}, table(["Rules", "Bar", "Allow"], rows))


def _said(rules: RulesView) -> str:
    return f"{rules.name} bar {_barred(rules)} and allow {_allowed(rules)}"


def _barred(rules: RulesView) -> str:
    return ", ".join(rules.barred) or "nothing"


def _allowed(rules: RulesView) -> str:
    return "all else" if rules.allowed is None else "only " + ", ".join(rules.allowed)


def _group(group: GroupView) -> dict[str, Any]:
    return {"name": group.name, "prefixes": list(group.prefixes)}


def _rules(rules: RulesView) -> dict[str, Any]:
    allowed = None if rules.allowed is None else list(rules.allowed)
    return {"name": rules.name, "barred": list(rules.barred), "allowed": allowed}
