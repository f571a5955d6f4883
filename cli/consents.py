"""`cardtone consents`: acts that wait for a second person's yes."""

from __future__ import annotations

import json
from typing import Any

import click

from cli.app import Context, with_context
from cli.people import proven_staff
from cli.tables import table, visible
from engine.errors import InvalidInput
from engine.money import format_amount
from engine.people import consents
from engine.people.consents import ConsentView


@click.group("consents")
def command() -> None:
    """See what waits for a second person, ask, and decide."""


@command.command("list")
@click.option("--all", "everything", is_flag=True, help="Also what was decided, used or expired.")
@with_context
def list_them(context: Context, everything: bool) -> None:
    """List what waits for somebody's yes or no."""
    now = context.clock()
    found = consents.list_consents(context.db, now) if everything else consents.list_open(context.db, now)
    rows = [
        [one.id, one.action, one.subject, _facts(one), one.asked_name, one.reason, one.state] for one in found
    ]
    context.answer(
        {"consents": [_data(one) for one in found]},
        table(["No.", "Act", "On", "Exactly", "Asked by", "Why", "State"], rows)
        if rows
        else "Nothing waits for a second person.",
    )


@command.command("ask")
@click.argument("action")
@click.argument("subject")
@click.option(
    "--facts",
    default="{}",
    metavar="JSON",
    help="What exactly, as the refused command told it with --json.",
)
@click.option("--reason", required=True, help="Why, for the one who decides.")
@with_context
def ask(context: Context, action: str, subject: str, facts: str, reason: str) -> None:
    """Ask for consent to one act, such as batch.export of batch:7, as a member of staff who proves who they are.

    Once somebody else agreed, do it with --as-me, as the same person.
    """
    exactly = _parsed(facts)
    person = proven_staff(context)
    number = consents.ask(
        context.db,
        action=action,
        subject=subject,
        facts=exactly,
        reason=reason,
        actor=person.actor,
        now=context.clock(),
    )
    context.answer({"id": number}, f"Asked as number {number}; somebody else decides.")


@command.command("approve")
@click.argument("number", type=int)
@click.option("--reason", help="Why, for the audit trail.")
@with_context
def approve(context: Context, number: int, reason: str | None) -> None:
    """Say yes, as a member of staff who proves who they are."""
    _decide(context, number, True, reason)


@command.command("refuse")
@click.argument("number", type=int)
@click.option("--reason", help="Why, for the audit trail.")
@with_context
def refuse(context: Context, number: int, reason: str | None) -> None:
    """Say no, as a member of staff who proves who they are."""
    _decide(context, number, False, reason)


def _decide(context: Context, number: int, approve: bool, reason: str | None) -> None:
    waiting = consents.show(context.db, number, context.clock())
    click.echo(
        visible(f"{waiting.asked_name} asks for {waiting.action} on {waiting.subject}: {_facts(waiting)}")
        + "\n"
        + visible(f"Why: {waiting.reason}"),
        err=True,
    )
    person = proven_staff(context)
    decided = consents.decide(
        context.db,
        consent_id=number,
        approve=approve,
        actor=person.actor,
        now=context.clock(),
        reason=reason,
    )
    context.answer(
        _data(decided), f"{person.name} {'agreed to' if approve else 'refused'} number {decided.id}."
    )


def _parsed(facts: str) -> dict[str, Any]:
    try:
        parsed = json.loads(facts)
    except (ValueError, RecursionError):
        parsed = None
    if not isinstance(parsed, dict):
        raise InvalidInput("bad_facts", field="facts")
    return parsed


_AMOUNTS = ("amount", "bonus", "total", "credit_limit", "threshold", "day_limit", "month_limit")


def _facts(one: ConsentView) -> str:
    return _words(one.facts)


def _words(facts: dict[str, Any]) -> str:
    """Facts as somebody reads them: amounts as decimals, what holds more facts in brackets."""
    return ", ".join(f"{key} {_word(key, value)}" for key, value in facts.items())


def _word(key: str, value: Any) -> str:
    if isinstance(value, dict):
        return f"({_words(value)})"
    if isinstance(value, list):
        return " ".join(_word(key, part) for part in value)
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "any"}[value]
    return format_amount(value, 2) if key in _AMOUNTS and isinstance(value, int) else str(value)


def _data(one: ConsentView) -> dict[str, Any]:
    return {
        "id": one.id,
        "action": one.action,
        "subject": one.subject,
        "facts": one.facts,
        "asked_by": one.asked_by,
        "asked_name": one.asked_name,
        "reason": one.reason,
        "asked_at": one.asked_at,
        "expires_at": one.expires_at,
        "decided_by": one.decided_by,
        "decided_name": one.decided_name,
        "decided_at": one.decided_at,
        "used_at": one.used_at,
        "state": one.state,
    }
