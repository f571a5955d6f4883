"""`cardtone audit`: who did what, and whether the trail is whole."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from cli.app import Context, with_context
from cli.tables import table
from engine.actor import CONSOLE
from engine.errors import InvalidInput
from engine.people import audit, auditchain
from engine.people.audit import AuditView
from engine.people.auditchain import ChainProblem, Head, Report

_SAID = {
    "altered": "The audit row {audit_id} (link {seq}) was altered.",
    "out_of_order": "The audit row {audit_id} belongs at link {seq}; rows were put in another order.",
    "added": "The audit row {audit_id} went around the chain: it was added, or its link was taken away.",
    "head_forged": "The head was not exported by this installation, or was changed.",
    "truncated": "The chain ends before the head that was exported; from link {seq} on it is gone.",
    "head_differs": "Link {seq} is another one than when the head was exported: the chain was written anew.",
}


@click.group("audit")
def command() -> None:
    """Read the audit trail and check that nobody changed it."""


@command.command("list")
@click.option("--actor", help="Who, such as staff:3 or console.")
@click.option("--action", help="What, such as card.lock, or card. for all that begins so.")
@click.option("--subject", help="On what, such as card:10000000017.")
@click.option("--since", type=click.DateTime(), help="Not before (UTC).")
@click.option("--until", type=click.DateTime(), help="Before (UTC).")
@click.option("--before", type=int, metavar="NUMBER", help="Go on below this number.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@with_context
def list_them(
    context: Context,
    actor: str | None,
    action: str | None,
    subject: str | None,
    since: datetime | None,
    until: datetime | None,
    before: int | None,
    limit: int,
) -> None:
    """List what was done, newest first."""
    page = audit.search(
        context.db,
        actor=actor,
        action=action,
        subject=subject,
        since=since and _utc(since),
        until=until and _utc(until),
        before=before,
        limit=limit,
    )
    rows = [
        [
            row.id,
            f"{row.at:%Y-%m-%d %H:%M:%S}",
            row.actor_name or row.actor,
            row.action,
            row.subject,
            row.reason,
        ]
        for row in page.rows
    ]
    text = table(["No.", "At (UTC)", "Who", "What", "On", "Why"], rows) if rows else "There is nothing."
    if page.next is not None:
        text += f"\nMore with --before {page.next}"
    context.answer({"rows": [_data(row) for row in page.rows], "next": page.next}, text)


@command.command("head")
@click.option("--to", "path", type=click.Path(dir_okay=False, path_type=Path), help="Write it to this file.")
@with_context
def head(context: Context, path: Path | None) -> None:
    """Export the head of the chain, to be kept elsewhere: it shows later whether the trail was cut off or rewritten."""
    auditchain.extend(context.db, context.clock())
    exported = auditchain.export_head(context.db, context.vault, CONSOLE, context.clock())
    data = dataclasses.asdict(exported)
    if path is not None:
        path.write_text(json.dumps(data) + "\n", "utf-8")
    context.answer(
        data,
        json.dumps(data)
        if path is None
        else f"The head (link {exported.seq}) is in {path}. Keep it on another machine.",
    )


@command.command("verify")
@click.option(
    "--head",
    "path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file from `cardtone audit head`.",
)
@with_context
def verify(context: Context, path: Path | None) -> None:
    """Check every row of the trail against its chain, and the chain against an exported head. Status 1: a problem."""
    known = None if path is None else _read(path)
    report = auditchain.verify(context.db, context.vault, CONSOLE, context.clock(), head=known)
    lines = [_said(problem) for problem in report.problems] or [_whole(report)]
    if report.late:
        lines.append(
            f"Rows wait for their link since {report.unchained_since:%Y-%m-%d %H:%M:%S} UTC; "
            "see that the jobs run, since nothing guards these rows yet."
        )
    context.answer(
        {"ok": not report.problems and not report.late, **dataclasses.asdict(report)}, "\n".join(lines)
    )
    if report.problems:
        raise click.exceptions.Exit(1)


def _whole(report: Report) -> str:
    return (
        f"The trail is whole: {report.links} rows in the chain, {report.unchained} not in it yet.\n"
        f"Head: {report.hash or 'none'}"
    )


def _said(problem: ChainProblem) -> str:
    if problem.kind == "missing":
        return (
            f"Link {problem.seq} of the chain is missing."
            if problem.audit_id is None
            else f"The audit row {problem.audit_id} is missing."
        )
    return _SAID[problem.kind].format(audit_id=problem.audit_id, seq=problem.seq)


def _read(path: Path) -> Head:
    try:
        data = json.loads(path.read_text("utf-8"))
        head = Head(data["seq"], data["hash"], data["at"], data["signature"])
        if not (
            isinstance(head.seq, int)
            and all(isinstance(part, str) for part in (head.hash, head.at, head.signature))
        ):
            raise TypeError
    except (ValueError, KeyError, TypeError):
        raise InvalidInput("bad_head", field="head") from None
    return head


def _utc(at: datetime) -> datetime:
    return at.replace(tzinfo=UTC)


def _data(row: AuditView) -> dict[str, Any]:
    return dataclasses.asdict(row)
