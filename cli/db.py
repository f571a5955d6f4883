"""`cardtone db`: the database's own affairs."""

from __future__ import annotations

import click

from cli.app import Context, with_context
from engine import migrations


@click.group("db")
def command() -> None:
    """Prepare the database."""


@command.command("upgrade")
@with_context
def upgrade(context: Context) -> None:
    """Bring the database to this version."""
    migrations.upgrade(context.database_url, context.clock())
    context.answer({"migrated": True}, "The database is up to date.")
