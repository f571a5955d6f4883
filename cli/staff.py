"""`cardtone staff`: the people who may log in."""

from __future__ import annotations

import click

from cli.app import Context, with_context
from cli.tables import table
from engine.actor import CONSOLE
from engine.people import staff

_ROLE = click.Choice(staff.ROLES)


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


@command.command("change")
@click.argument("login")
@click.option("--name", help="What the person is called.")
@click.option("--role", type=_ROLE, help="What the person may do.")
@with_context
def change(context: Context, login: str, name: str | None, role: str | None) -> None:
    """Change somebody's name or role; they have to log in again."""
    person = staff.change_staff(context.db, login, CONSOLE, context.clock(), name=name, role=role)
    context.answer(
        {"login": person.login, "name": person.name, "role": person.role},
        f"{person.login} is now {person.name}, {person.role}.",
    )


@command.command("disable")
@click.argument("login")
@click.option("--reason", help="Why, for the audit trail.")
@with_context
def disable(context: Context, login: str, reason: str | None) -> None:
    """Keep somebody out, at once and everywhere."""
    staff.disable_staff(context.db, login, CONSOLE, context.clock(), reason)
    context.answer({"login": login, "disabled": True}, f"{login} can't log in any more.")


@command.command("enable")
@click.argument("login")
@with_context
def enable(context: Context, login: str) -> None:
    """Let somebody back in, with the password they had."""
    staff.enable_staff(context.db, login, CONSOLE, context.clock())
    context.answer({"login": login, "disabled": False}, f"{login} can log in again.")


@command.command("reset-password")
@click.argument("login")
@with_context
def reset_password(context: Context, login: str) -> None:
    """Give somebody a new random password, shown this once; they have to log in again."""
    password = staff.reset_password(context.db, context.vault, login, CONSOLE, context.clock())
    context.answer(
        {"login": login, "password": password.value},
        f"{login} can log in with the password {password.value}\nIt is shown this once.",
    )
