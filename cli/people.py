"""What commands about people of all realms share: second factor, sessions, and proving oneself at the keyboard."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from cli.app import Context
from cli.tables import table
from engine.actor import CONSOLE, Actor
from engine.errors import EngineError, Forbidden
from engine.people import secondfactor, sessions, staff
from engine.people.entrance import EnrolmentNeeded, I, Realm, SecondNeeded
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
