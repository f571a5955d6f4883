"""`cardtone jobs`: what happens by the clock; what ran, what failed, and what is to run now."""

from __future__ import annotations

import dataclasses
from typing import Any

import click

from cli.app import Context, with_context
from cli.tables import table
from engine import jobruns
from engine.actor import CONSOLE
from engine.jobruns import JobLine, RunView
from engine.people import jobdesk
from engine.timetable import Job, find_job

_REASON = click.option("--reason", help="Why, for the audit trail.")


@click.group("jobs")
def command() -> None:
    """Show and steer what happens by the clock."""


@command.command("list")
@with_context
def list_them(context: Context) -> None:
    """List every job, when it runs, and how its last run ended.

    A job that runs more often than every quarter of an hour is told by its quarters.
    """
    lines = jobruns.overview(context.db, context.clock())
    rows = [[line.job.name, _when(line.job), _last(line), _began(line)] for line in lines]
    context.answer(
        {"jobs": [_line_data(line) for line in lines]}, table(["Job", "Runs", "Last", "Began (UTC)"], rows)
    )


@command.command("history")
@click.argument("name")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many runs.")
@with_context
def history(context: Context, name: str, limit: int) -> None:
    """Show the last runs of a job, newest first.

    A job that runs more often than every quarter of an hour has one line for each quarter.
    """
    job = find_job(name)
    runs = jobruns.history(context.db, name, limit)
    rows = [[_short(run.due_at), run.state, _seconds(run), run.asked_by, _told(run)] for run in runs]
    context.answer(
        {"job": name, "runs": [dataclasses.asdict(run) for run in runs]},
        f"{name}: {job.words}\n"
        + (
            table(["Due (UTC)", "State", "Seconds", "Asked by", "What it did"], rows, right=["Seconds"])
            if rows
            else "It has not run yet."
        ),
    )


@command.command("run")
@click.argument("name")
@_REASON
@with_context
def run(context: Context, name: str, reason: str | None) -> None:
    """Ask for a run now; a jobs process begins it within a second, even if the job is paused."""
    due_at = jobdesk.run_now(context.db, job=name, reason=reason, actor=CONSOLE, now=context.clock())
    context.answer(
        {"job": name, "due_at": due_at},
        f"{name} runs as soon as a jobs process is there. See how it ended: cardtone jobs history {name}",
    )


@command.command("pause")
@click.argument("name")
@_REASON
@with_context
def pause(context: Context, name: str, reason: str | None) -> None:
    """Let a job rest until it is continued."""
    changed = jobdesk.pause(context.db, job=name, reason=reason, actor=CONSOLE, now=context.clock())
    context.answer(
        {"job": name, "paused": True, "changed": changed},
        f"{name} is paused." if changed else f"{name} was paused already.",
    )


@command.command("continue")
@click.argument("name")
@_REASON
@with_context
def go_on(context: Context, name: str, reason: str | None) -> None:
    """Let a paused job run again; a turn that it missed is done once."""
    changed = jobdesk.go_on(context.db, job=name, reason=reason, actor=CONSOLE, now=context.clock())
    context.answer(
        {"job": name, "paused": False, "changed": changed},
        f"{name} runs again." if changed else f"{name} was not paused.",
    )


def _when(job: Job) -> str:
    if job.at is not None:
        return f"daily at {job.at:%H:%M}"
    seconds = job.every_s or 0
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds % size == 0:
            return f"every {seconds // size} {unit}"
    return f"every {seconds} s"


def _last(line: JobLine) -> str:
    state = "never ran" if line.last is None else line.last.state
    return f"{state} (paused)" if line.paused_at is not None else state


def _began(line: JobLine) -> str | None:
    """When its last run began; of a job that runs often, since when its runs are summed up."""
    if line.last is None or line.last.started_at is None:
        return None
    if line.last.summed:
        return f"{line.last.started_at:%Y-%m-%d %H:%M} and since"
    return _short(line.last.started_at)


def _seconds(run: RunView) -> str | None:
    return None if run.seconds is None else f"{run.seconds:.1f}"


def _told(run: RunView) -> str:
    did = ", ".join(f"{name} {value}" for name, value in run.result.items())
    return " ".join(part for part in (run.error, did) if part)


def _short(at: Any) -> str | None:
    return None if at is None else f"{at:%Y-%m-%d %H:%M:%S}"


def _line_data(line: JobLine) -> dict[str, Any]:
    return {
        "name": line.job.name,
        "words": line.job.words,
        "every_s": line.job.every_s,
        "at": None if line.job.at is None else f"{line.job.at:%H:%M}",
        "paused_at": line.paused_at,
        "paused_by": line.paused_by,
        "next_due": line.next_due,
        "last": None if line.last is None else dataclasses.asdict(line.last),
    }
