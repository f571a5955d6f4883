"""`cardtone alarms`: what a person should look at."""

from __future__ import annotations

import dataclasses

import click

from cli.app import Context, with_context
from cli.tables import table
from engine import alarms
from engine.actor import CONSOLE
from engine.people import alarmdesk


@click.group("alarms")
def command() -> None:
    """Show what a person should look at, and clear it."""


@command.command("list")
@with_context
def list_them(context: Context) -> None:
    """List what is open, the gravest first."""
    found = alarms.open_alarms(context.db)
    rows = [
        [
            alarm.id,
            alarm.severity,
            alarm.kind,
            alarm.subject,
            alarm.times,
            f"{alarm.last_at:%Y-%m-%d %H:%M}",
            ", ".join(f"{name} {value}" for name, value in alarm.data.items()),
        ]
        for alarm in found
    ]
    headers = ["Id", "Severity", "Kind", "About", "Times", "Last (UTC)", "Facts"]
    context.answer(
        {"alarms": [dataclasses.asdict(alarm) for alarm in found]},
        table(headers, rows, right=["Id", "Times"]) if rows else "All is well: there is no alarm.",
    )


@command.command("clear")
@click.argument("alarm_id", type=int, metavar="ID")
@click.option("--reason", help="What was done about it, for the audit trail.")
@with_context
def clear(context: Context, alarm_id: int, reason: str | None) -> None:
    """Close an alarm; what comes back opens a new one."""
    changed = alarmdesk.clear(
        context.db, alarm_id=alarm_id, reason=reason, actor=CONSOLE, now=context.clock()
    )
    context.answer(
        {"id": alarm_id, "cleared": True, "changed": changed},
        f"Alarm {alarm_id} is cleared." if changed else f"Alarm {alarm_id} was cleared already.",
    )
