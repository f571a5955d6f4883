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


@command.command("sessions")
@click.argument("login")
@click.option("--end", "ref", metavar="SESSION", help="End this one.")
@click.option("--end-all", is_flag=True, help="End all of them.")
@click.option("--reason", help="Why, for the audit trail.")
@with_context
def show_sessions(context: Context, login: str, ref: str | None, end_all: bool, reason: str | None) -> None:
    """List where somebody is logged in, or end it."""
    person = staff.named(context.db, login)
    if ref is None and not end_all:
        people.show_sessions(context, staff.REALM, person.id, person.login)
        return
    ended = staff.end_sessions(context.db, login, CONSOLE, context.clock(), ref=ref, reason=reason)
    context.answer({"login": person.login, "ended": ended}, f"{ended} ended.")


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


@totp.command("enrol")
@click.argument("login")
@with_context
def totp_enrol(context: Context, login: str) -> None:
    """Set one up with somebody who has their phone at hand; recovery codes are shown this once."""
    person = staff.named(context.db, login)
    people.enrol_second_factor(context, staff.REALM, person.id, person.login)


@totp.command("reset")
@click.argument("login")
@click.option("--reason", help="Why, for the audit trail.")
@with_context
def totp_reset(context: Context, login: str, reason: str | None) -> None:
    """Take somebody's second factor away, who lost phone and recovery codes; they have to log in again."""
    had = staff.reset_totp(context.db, context.vault, login, CONSOLE, context.clock(), reason)
    context.answer(
        {"login": login, "had": had},
        f"{login} logs in by password alone now." if had else f"{login} had no second factor.",
    )
