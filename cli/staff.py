"""`cardtone staff`: the people who may log in."""

from __future__ import annotations

import click

from cli import people
from cli.app import Context, with_context
from cli.tables import table
from engine.actor import CONSOLE
from engine.people import staff
from engine.permissions import STAFF_ROLES

_ROLE = click.Choice(STAFF_ROLES)


@click.group("staff")
def command() -> None:
    """Say who may log in."""


@command.command("add")
@click.argument("login")
@click.option("--name", required=True, help="What the person is called.")
@click.option("--role", type=_ROLE, required=True, help="What the person may do.")
@with_context
def add(context: Context, login: str, name: str, role: str) -> None:
    """Add somebody, with a random password that is shown this once."""
    person, password = staff.add_staff(context.db, login, name, role, None, CONSOLE, context.clock())
    context.answer(
        {"login": person.login, "name": person.name, "role": person.role, "password": password.value},
        f"{person.name} can log in as {person.login} with the password {password.value}\nIt is shown this once.",
    )


@command.command("list")
@with_context
def list_them(context: Context) -> None:
    """List everybody, with those who may no longer log in."""
    people = staff.list_staff(context.db)
    rows = [
        [one.login, one.name, one.role, "active" if one.disabled_at is None else "disabled"] for one in people
    ]
    context.answer(
        {
            "staff": [
                {
                    "login": one.login,
                    "name": one.name,
                    "role": one.role,
                    "disabled": one.disabled_at is not None,
                }
                for one in people
            ]
        },
        table(["Login", "Name", "Role", "State"], rows) if rows else "There is nobody yet.",
    )


people.log_in_commands(command, staff.REALM, staff.COMMANDS, staff.named, STAFF_ROLES)


@command.group("totp")
def totp() -> None:
    """Second factors: show, set up, take away."""


@totp.command("show")
@click.argument("login")
@with_context
def totp_show(context: Context, login: str) -> None:
    """Say whether somebody has a second factor."""
    person = staff.named(context.db, login)
    people.show_second_factor(context, staff.REALM, person.id, person.login)


people.second_factor_commands(totp, staff.REALM, staff.COMMANDS, staff.named)
