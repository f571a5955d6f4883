"""What commands about people of all realms share: second factor, sessions, and proving oneself at the keyboard."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import click

from cli.app import Context, with_context
from cli.tables import table
from engine.actor import CONSOLE, Actor
from engine.db import Database
from engine.errors import EngineError, Forbidden
from engine.people import secondfactor, sessions, staff
from engine.people.entrance import Commands, EnrolmentNeeded, I, Realm, SecondNeeded
from engine.people.staff import StaffIdentity
from engine.refusal import Refusal
from engine.vault import Secret


def show_second_factor(context: Context, realm: Realm[I], subject_id: int, login: str) -> None:
    """Say what somebody has."""
    standing = secondfactor.standing(context.db, realm, subject_id)
    text = f"{login} has no second factor."
    if standing.since is not None:
        text = f"{login} has a second factor since {standing.since:%Y-%m-%d}, and {standing.codes_left} recovery codes."
    context.answer(
        {"login": login, "since": standing.since, "recovery_codes_left": standing.codes_left}, text
    )


def enrol_second_factor(context: Context, realm: Realm[I], subject_id: int, login: str) -> None:
    """Set a second factor up with somebody who has their phone at hand."""
    begun = secondfactor.begin_enrolment(context.db, context.vault, realm, subject_id, context.clock())
    click.echo(
        f"Add this to the authenticator app of {login}:\n  {begun.secret.value}\n"
        f"or as an address:\n  {begun.uri.value}",
        err=True,
    )
    code = click.prompt("The code that the app shows", err=True)
    codes = secondfactor.confirm_enrolment(
        context.db, context.vault, realm, subject_id, code, context.clock()
    )
    context.answer(
        {"login": login, "recovery_codes": [one.value for one in codes]},
        "\n".join(
            [
                f"{login} needs a code to log in from now on. Each of these stands in for one, once:",
                *(f"  {one.value}" for one in codes),
                "They are shown this once.",
            ]
        ),
    )


def show_sessions(context: Context, realm: Realm[I], subject_id: int, login: str) -> None:
    """List somebody's live sessions."""
    live = sessions.list_sessions(context.db, realm.name, subject_id, context.clock())
    rows = [
        [
            one.ref,
            one.address or "unknown",
            f"{one.created_at:%Y-%m-%d %H:%M}",
            f"{one.last_seen_at:%Y-%m-%d %H:%M}",
        ]
        for one in live
    ]
    data: list[dict[str, Any]] = [
        {
            "ref": one.ref,
            "address": one.address,
            "created_at": one.created_at,
            "last_seen_at": one.last_seen_at,
        }
        for one in live
    ]
    context.answer(
        {"login": login, "sessions": data},
        table(["Session", "From", "Since (UTC)", "Last seen (UTC)"], rows)
        if rows
        else f"{login} is not logged in anywhere.",
    )


def log_in_commands(
    group: click.Group,
    realm: Realm[Any],
    does: Commands[Any],
    named: Callable[[Database, str], Any],
    roles: Sequence[str],
) -> None:
    """Give a group what is done about log-ins, the same for all realms; `named` finds somebody by log-in name."""

    @group.command("change")
    @click.argument("login")
    @click.option("--name", help="What the person is called.")
    @click.option("--role", type=click.Choice(roles), help="What the person may do.")
    @with_context
    def change(context: Context, login: str, name: str | None, role: str | None) -> None:
        """Change somebody's name or role; they have to log in again."""
        person = does.change(context.db, login, CONSOLE, context.clock(), name=name, role=role)
        context.answer(
            {"login": person.login, "name": person.name, "role": person.role},
            f"{person.login} is now {person.name}, {person.role}.",
        )

    @group.command("disable")
    @click.argument("login")
    @click.option("--reason", help="Why, for the audit trail.")
    @with_context
    def disable(context: Context, login: str, reason: str | None) -> None:
        """Keep somebody out, at once and everywhere."""
        does.disable(context.db, login, CONSOLE, context.clock(), reason)
        context.answer({"login": login, "disabled": True}, f"{login} can't log in any more.")

    @group.command("enable")
    @click.argument("login")
    @with_context
    def enable(context: Context, login: str) -> None:
        """Let somebody back in, with the password they had."""
        does.enable(context.db, login, CONSOLE, context.clock())
        context.answer({"login": login, "disabled": False}, f"{login} can log in again.")

    @group.command("reset-password")
    @click.argument("login")
    @with_context
    def reset_password(context: Context, login: str) -> None:
        """Give somebody a new random password, shown this once; they have to log in again."""
        password = does.reset_password(context.db, context.vault, login, CONSOLE, context.clock())
        context.answer(
            {"login": login, "password": password.value},
            f"{login} can log in with the password {password.value}\nIt is shown this once.",
        )

    @group.command("sessions")
    @click.argument("login")
    @click.option("--end", "ref", metavar="SESSION", help="End this one.")
    @click.option("--end-all", is_flag=True, help="End all of them.")
    @click.option("--reason", help="Why, for the audit trail.")
    @with_context
    def sessions_of(context: Context, login: str, ref: str | None, end_all: bool, reason: str | None) -> None:
        """List where somebody is logged in, or end it."""
        person = named(context.db, login)
        if ref is None and not end_all:
            show_sessions(context, realm, person.id, person.login)
            return
        ended = does.end_sessions(context.db, login, CONSOLE, context.clock(), ref=ref, reason=reason)
        context.answer({"login": person.login, "ended": ended}, f"{ended} ended.")


def second_factor_commands(
    group: click.Group,
    realm: Realm[Any],
    does: Commands[Any],
    named: Callable[[Database, str], Any],
    prefix: str = "",
) -> None:
    """Give a group what is done about second factors; `prefix` stands before the names of the commands."""

    @group.command(f"{prefix}enrol")
    @click.argument("login")
    @with_context
    def enrol(context: Context, login: str) -> None:
        """Set one up with somebody who has their phone at hand; recovery codes are shown this once."""
        person = named(context.db, login)
        enrol_second_factor(context, realm, person.id, person.login)

    @group.command(f"{prefix}reset")
    @click.argument("login")
    @click.option("--reason", help="Why, for the audit trail.")
    @with_context
    def reset(context: Context, login: str, reason: str | None) -> None:
        """Take somebody's second factor away, who lost phone and recovery codes; they have to log in again."""
        had = does.reset_totp(context.db, context.vault, login, CONSOLE, context.clock(), reason)
        context.answer(
            {"login": login, "had": had},
            f"{login} logs in by password alone now." if had else f"{login} had no second factor.",
        )


def proven_staff(context: Context) -> StaffIdentity:
    """Have a member of staff prove who they are: log-in, password and, where they have one, a code.

    Raises what the sentence of a refusal is made from.
    """
    login = click.prompt("Your log-in name", err=True)
    password = Secret(click.prompt("Password", hide_input=True, err=True))
    outcome = staff.log_in(context.db, context.vault, login, password, None, context.clock())
    if isinstance(outcome, EnrolmentNeeded):
        raise Forbidden("totp_required")
    if isinstance(outcome, SecondNeeded):
        code = click.prompt("Code", err=True)
        outcome = staff.prove_second(context.db, context.vault, outcome.ticket, code, None, context.clock())
    if isinstance(outcome, Refusal):
        if outcome.retry_after_s is not None:
            raise EngineError("throttled", retry_after_s=outcome.retry_after_s)
        raise EngineError("not_proven")
    return outcome


def own_name(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the option --as-me, for `acting`: what may need a second person's consent has it."""
    return click.option(
        "--as-me",
        is_flag=True,
        help="Prove who you are and do it in your own name, as what needs a second person's consent must be done.",
    )(command)


def acting(context: Context, as_me: bool) -> Actor:
    """Who does something at the command line: with --as-me whoever proves who they are, else the command line."""
    return proven_staff(context).actor if as_me else CONSOLE
