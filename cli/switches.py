"""`cardtone switches`: the softswitches that ask us about calls, and their keys."""

from __future__ import annotations

import shlex

import click

from cli.app import Context, with_context
from cli.tables import table
from engine.actor import CONSOLE
from engine.people import switches


@click.group("switches")
def command() -> None:
    """Give keys to switches, change and revoke them."""


@command.command("add")
@click.argument("name")
@click.option(
    "--address",
    "addresses",
    multiple=True,
    metavar="ADDRESS",
    help="Where it asks from, such as 10.0.0.7 or 10.0.0.0/8; may be repeated. Without any: from anywhere.",
)
@click.option(
    "--trusted/--untrusted",
    default=True,
    show_default=True,
    help="Whether the caller numbers it presents can be believed (PINless calls need that).",
)
@with_context
def add(context: Context, name: str, addresses: tuple[str, ...], trusted: bool) -> None:
    """Add a switch, with a key that is shown this once."""
    switch, key = switches.add_switch(
        context.db, name, CONSOLE, context.clock(), trusted_callers=trusted, addresses=addresses
    )
    context.answer(
        {"name": switch.name, "key": key.value},
        f"The switch {switch.name} has the key {key.value}\nIt is shown this once.",
    )


@command.command("change")
@click.argument("name")
@click.option(
    "--address",
    "addresses",
    multiple=True,
    metavar="ADDRESS",
    help="Where it asks from, in place of what was listed; may be repeated.",
)
@click.option("--anywhere", is_flag=True, help="Let it ask from any address.")
@click.option("--trusted/--untrusted", default=None, help="Whether its caller numbers can be believed.")
@with_context
def change(
    context: Context, name: str, addresses: tuple[str, ...], anywhere: bool, trusted: bool | None
) -> None:
    """Change where a switch asks from, or whether its callers are believed, from its next request on."""
    if anywhere and addresses:
        raise click.UsageError("Give --address or --anywhere, not both.")
    listed = addresses if addresses or anywhere else None
    switches.change_switch(
        context.db, name, CONSOLE, context.clock(), trusted_callers=trusted, addresses=listed
    )
    context.answer({"name": name}, f"The switch {name} is changed.")


@command.command("revoke")
@click.argument("name")
@click.option(
    "--key", "prefix", metavar="BEGINNING", help="Only the key that begins so, as the list shows it."
)
@with_context
def revoke(context: Context, name: str, prefix: str | None) -> None:
    """Refuse a switch, or one of its keys, from its next request on. For good."""
    if prefix is None:
        switches.revoke_switch(context.db, name, CONSOLE, context.clock())
        context.answer({"name": name, "revoked": True}, f"The switch {name} is revoked.")
    else:
        switches.revoke_key(context.db, name, prefix, CONSOLE, context.clock())
        context.answer({"name": name, "revoked_key": prefix}, f"The key {prefix}… of {name} is revoked.")


@command.command("rotate")
@click.argument("name")
@click.option("--finish", is_flag=True, help="Revoke the old key, once the switch uses the new one.")
@with_context
def rotate(context: Context, name: str, finish: bool) -> None:
    """Give a switch a second key, shown this once; the old one works until you come back with --finish."""
    if finish:
        revoked = switches.finish_rotation(context.db, name, CONSOLE, context.clock())
        said = "is revoked" if revoked else "was revoked before"
        context.answer({"name": name, "revoked_keys": revoked}, f"The old key of {name} {said}.")
        return
    key = switches.rotate_key(context.db, name, CONSOLE, context.clock())
    context.answer(
        {"name": name, "key": key.value},
        f"The switch {name} has the new key {key.value}\nIt is shown this once. The old key works until you run:"
        f" cardtone switches rotate {shlex.quote(name)} --finish",
    )


@command.command("list")
@with_context
def list_them(context: Context) -> None:
    """List the switches and the beginnings of their keys."""
    found = switches.list_switches(context.db)
    rows = [
        [
            one.name,
            "revoked" if one.revoked_at else "active",
            ", ".join(f"{key.prefix}…" for key in one.keys),
            ", ".join(one.addresses) or "anywhere",
            "believed" if one.trusted_callers else "not believed",
        ]
        for one in found
    ]
    context.answer(
        {
            "switches": [
                {
                    "name": one.name,
                    "revoked": one.revoked_at is not None,
                    "keys": [key.prefix for key in one.keys],
                    "addresses": list(one.addresses),
                    "trusted_callers": one.trusted_callers,
                }
                for one in found
            ]
        },
        table(["Name", "State", "Keys", "Asks from", "Callers"], rows) if rows else "There is no switch yet.",
    )
