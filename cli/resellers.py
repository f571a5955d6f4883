"""`cardtone resellers`: the parties that sell cards for the operator."""

from __future__ import annotations

import click

from cli import resellerpeople


@click.group("resellers")
def command() -> None:
    """Resellers and their people."""


command.add_command(resellerpeople.command)
