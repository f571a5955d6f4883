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


@command.command("change")
@click.argument("login")
@click.option("--name", help="What the person is called.")
@click.option("--role", type=_ROLE, help="What the person may do.")
@with_context
def change(context: Context, login: str, name: str | None, role: str | None) -> None:
    """Change somebody's name or role; they have to log in again."""
    person = resellerpeople.change_person(context.db, login, CONSOLE, context.clock(), name=name, role=role)
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
    resellerpeople.disable_person(context.db, login, CONSOLE, context.clock(), reason)
    context.answer({"login": login, "disabled": True}, f"{login} can't log in any more.")


@command.command("enable")
@click.argument("login")
@with_context
def enable(context: Context, login: str) -> None:
    """Let somebody back in, with the password they had."""
    resellerpeople.enable_person(context.db, login, CONSOLE, context.clock())
    context.answer({"login": login, "disabled": False}, f"{login} can log in again.")


@command.command("reset-password")
@click.argument("login")
@with_context
def reset_password(context: Context, login: str) -> None:
    """Give somebody a new random password, shown this once; they have to log in again."""
    password = resellerpeople.reset_password(context.db, context.vault, login, CONSOLE, context.clock())
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
    person = resellerpeople.named(context.db, login)
    if ref is None and not end_all:
        people.show_sessions(context, resellerpeople.REALM, person.id, person.login)
        return
    ended = resellerpeople.end_sessions(context.db, login, CONSOLE, context.clock(), ref=ref, reason=reason)
    context.answer({"login": person.login, "ended": ended}, f"{ended} ended.")


@command.command("totp-enrol")
@click.argument("login")
@with_context
def totp_enrol(context: Context, login: str) -> None:
    """Set a second factor up with somebody who has their phone at hand."""
    person = resellerpeople.named(context.db, login)
    people.enrol_second_factor(context, resellerpeople.REALM, person.id, person.login)


@command.command("totp-reset")
@click.argument("login")
@click.option("--reason", help="Why, for the audit trail.")
@with_context
def totp_reset(context: Context, login: str, reason: str | None) -> None:
    """Take somebody's second factor away, who lost phone and recovery codes; they have to log in again."""
    had = resellerpeople.reset_totp(context.db, context.vault, login, CONSOLE, context.clock(), reason)
    context.answer(
        {"login": login, "had": had},
        f"{login} logs in by password alone now." if had else f"{login} had no second factor.",
    )
