"""The root command, what every command is given, and how errors are said."""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import cached_property, wraps
from importlib import import_module
from typing import Any

import click
import psycopg
from sqlalchemy.exc import DBAPIError

from engine import embedded, messages, migrations
from engine.config import SETTINGS, Config, InstallationError
from engine.db import Database
from engine.errors import ConsentNeeded, EngineError
from engine.vault import Vault

COMMANDS = {
    "up": "cli.up",
    "serve": "cli.serve",
    "db": "cli.db",
    "staff": "cli.staff",
    "resellers": "cli.resellers",
    "consents": "cli.consents",
    "audit": "cli.audit",
    "decks": "cli.decks",
    "batches": "cli.batches",
    "cards": "cli.cards",
    "bulk": "cli.bulk",
    "accounts": "cli.accounts",
    "bonus-rules": "cli.bonus_rules",
    "auto-recharge": "cli.auto_recharge",
    "calls": "cli.calls",
    "switches": "cli.switches",
    "access-numbers": "cli.access_numbers",
    "destinations": "cli.destinations",
    "settings": "cli.settings",
    "jobs": "cli.jobs",
    "alarms": "cli.alarms",
    "reports": "cli.reports",
    "verify": "cli.verify",
    "demo": "cli.demo",
}
"""Name of a command or group → the module that holds it as `command`. Loaded only when it is called."""


class Context:
    """What a command works with; each part is made when first asked for and closed at the end."""

    def __init__(self, as_json: bool = False) -> None:
        self.as_json = as_json
        self._closing = ExitStack()

    @cached_property
    def config(self) -> Config:
        """The installation settings."""
        return Config.from_env()

    @cached_property
    def database_url(self) -> str:
        """The database's URL; the embedded one runs as long as the command."""
        return self._closing.enter_context(embedded.database(self.config))

    @cached_property
    def db(self) -> Database:
        """The database, known to be migrated. Raises `InstallationError` where it is not, or there is none.

        Only `up`, `serve` and `db upgrade` begin an installation; a command from another folder must not.
        """
        if not self.config.database_url and not self.config.home.is_dir():
            raise InstallationError(
                f"There is no installation in {self.config.home}; set CARDTONE_HOME, or begin one with `cardtone up`."
            )
        require_current(self.database_url)
        db = Database(self.database_url)
        self._closing.callback(db.close)
        return db

    @cached_property
    def vault(self) -> Vault:
        """The vault with the installation's keys."""
        return Vault(self.config.load_keys())

    def clock(self) -> datetime:
        """The time now: the commands' `now`."""
        return datetime.now(UTC)

    def answer(self, data: dict[str, Any], text: str) -> None:
        """Print the result: `data` as one JSON object where --json asks for it, else `text`."""
        click.echo(json.dumps(data, default=str, ensure_ascii=False) if self.as_json else text)

    def close(self) -> None:
        """Close the database; the embedded one stops where nobody else uses it."""
        self._closing.close()


def with_context(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command a `Context` as its first argument and the option --json."""

    @click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for scripts.")
    @wraps(command)
    def run(*args: Any, as_json: bool, **kwargs: Any) -> Any:
        context = Context(as_json)
        try:
            return command(context, *args, **kwargs)
        finally:
            context.close()

    return run


def require_current(url: str) -> None:
    """Raise `InstallationError` unless the database stands at the newest migration."""
    if not migrations.is_current(url):
        raise InstallationError("The database is not migrated to this version; run `cardtone db upgrade`.")


class Root(click.Group):
    """The groups by name, imported only when they are needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = import_module(COMMANDS[name]).command
        return command

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Settings of the installation, from the environment"):
            formatter.write_dl(
                [
                    (name, f"{meaning} [{default}]" if default else meaning)
                    for name, default, meaning in SETTINGS
                ]
            )


@click.command(
    "cardtone", cls=Root, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.version_option(package_name="cardtone", message="%(package)s %(version)s")
def root() -> None:
    """Prepaid calling cards, from the first number to the last second."""


def sentence(error: BaseException) -> str:
    """What to tell the person at the keyboard about an error: one plain sentence, never a secret."""
    if isinstance(error, click.ClickException):
        return error.format_message()
    if isinstance(error, InstallationError):
        return str(error)
    if isinstance(error.orig if isinstance(error, DBAPIError) else error, psycopg.OperationalError):
        return messages.sentence("unavailable")
    if isinstance(error, EngineError):
        return messages.sentence(error)
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}." if error.filename else f"{error.strerror}."
    return (
        f"Something went wrong inside Cardtone ({type(error).__name__}); "
        "run it again with CARDTONE_LOG_LEVEL=debug to see where."
    )


def error_json(error: BaseException) -> str:
    """The same as one JSON object: `error` is a stable code, `message` the sentence, `field` what is to blame."""
    known = error if isinstance(error, EngineError) else None
    told: dict[str, Any] = {"error": known.code if known else "failed", "message": sentence(error)}
    if known and isinstance(known.data.get("field"), str):
        told["field"] = known.data["field"]
    if isinstance(known, ConsentNeeded):
        told |= known.data  # what to ask for with `cardtone consents ask`
    return json.dumps(told, ensure_ascii=False)


def confirmed(prompt: str) -> Callable[[Any], Any]:
    """Give a command the option --yes, and ask first where it is not given. The question goes to stderr."""

    def ask(ctx: click.Context, param: click.Parameter, yes: bool) -> None:
        if not yes:
            click.confirm(prompt, abort=True, err=True)

    return click.option("--yes", is_flag=True, expose_value=False, callback=ask, help="Go on without asking.")


def main(arguments: list[str] | None = None) -> None:
    """Run one command and exit: status 0, or 1 after one plain sentence on stderr."""
    # As an exception, so that what was opened is closed and an embedded database doesn't stay behind.
    signal.signal(signal.SIGTERM, _end)
    try:
        status = root.main(arguments, prog_name="cardtone", standalone_mode=False)
    except (click.Abort, KeyboardInterrupt):
        click.echo("Stopped.", err=True)
        sys.exit(130)
    except BrokenPipeError:
        # Whoever read our output has seen enough; Python's own farewell must not fail on it again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(1)
    except Exception as error:
        if os.environ.get("CARDTONE_LOG_LEVEL", "").lower() == "debug":
            traceback.print_exc()
        asked_for_json = "--json" in (sys.argv[1:] if arguments is None else arguments)
        click.echo(error_json(error) if asked_for_json else sentence(error), err=True)
        sys.exit(1)
    sys.exit(status if isinstance(status, int) else 0)


def _end(number: int, frame: object) -> None:
    sys.exit(128 + number)
