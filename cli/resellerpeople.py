"""`cardtone resellers people`: who works for a reseller and may log in at its desk."""

from __future__ import annotations

import click

from cli import people
from cli.app import Context, with_context
from cli.tables import table
from engine.actor import CONSOLE
from engine.people import resellerpeople

_ROLE = click.Choice(resellerpeople.ROLES)


@click.group("people")
def command() -> None:
    """Say who works for a reseller."""


@command.command("add")
@click.argument("reseller")
@click.argument("login")
@click.option("--name", required=True, help="What the person is called.")
@click.option("--role", type=_ROLE, required=True, help="What the person may do.")
@with_context
def add(context: Context, reseller: str, login: str, name: str, role: str) -> None:
    """Add somebody to a reseller, with a random password that is shown this once."""
    reseller_id = resellerpeople.reseller_named(context.db, reseller)
    person, password = resellerpeople.add_person(
        context.db, reseller_id, login, name, role, None, CONSOLE, context.clock()
    )
    context.answer(
        {"login": person.login, "name": person.name, "role": person.role, "password": password.value},
        f"{person.name} can log in as {person.login} with the password {password.value}\nIt is shown this once.",
    )


@command.command("list")
@click.argument("reseller", required=False)
@with_context
def list_them(context: Context, reseller: str | None) -> None:
    """List the people of one reseller, or of all."""
    reseller_id = None if reseller is None else resellerpeople.reseller_named(context.db, reseller)
    found = resellerpeople.list_people(context.db, reseller_id)
    rows = [
        [one.reseller, one.login, one.name, one.role, "active" if one.disabled_at is None else "disabled"]
        for one in found
    ]
    context.answer(
        {
            "people": [
                {
                    "reseller": one.reseller,
                    "login": one.login,
                    "name": one.name,
                    "role": one.role,
                    "disabled": one.disabled_at is not None,
                }
                for one in found
            ]
        },
        table(["Reseller", "Login", "Name", "Role", "State"], rows) if rows else "There is nobody yet.",
    )


_OF = (resellerpeople.REALM, resellerpeople.COMMANDS, resellerpeople.named)
people.log_in_commands(command, *_OF, resellerpeople.ROLES)
people.second_factor_commands(command, *_OF, prefix="totp-")
