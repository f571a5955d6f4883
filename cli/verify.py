"""`cardtone verify`: whether the books are right."""

from __future__ import annotations

import dataclasses
from typing import Any

import click

from cli.app import Context, with_context
from engine.reports.verify import Examination, examine


@click.command("verify")
@with_context
def command(context: Context) -> Any:
    """Check the books; says what is wrong with them, and ends with status 1 where anything is."""
    found = examine(context.db, context.clock())
    context.answer(
        {
            "right": not found.findings,
            "cards": found.cards,
            "entries": found.entries,
            "calls": found.calls,
            "findings": [dataclasses.asdict(finding) for finding in found.findings],
        },
        _text(found),
    )
    return 1 if found.findings else 0


def _text(found: Examination) -> str:
    sizes = (_many(found.cards, "card"), _many(found.entries, "entry", "entries"), _many(found.calls, "call"))
    checked = f"{', '.join(sizes)} checked."
    if not found.findings:
        return f"The books are right: {checked}"
    lines = [f"{finding.subject}: {finding.detail}" for finding in found.findings]
    return "\n".join([*lines, f"The books are wrong in {_many(len(lines), 'place')}: {checked}"])


def _many(count: int, one: str, more: str | None = None) -> str:
    return f"{count:,} {one if count == 1 else more or one + 's'}"
