"""`cardtone demo`: a world to look around in. Nothing else in Cardtone loads it."""

from __future__ import annotations

import sys
from typing import Any

import click

from cli.app import Context, with_context
from cli.tables import table
from engine import migrations
from engine.config import InstallationError, make_folder
from engine.db import Database
from engine.errors import EngineError
from engine.reports.verify import Finding
from engine.vault import Secret

_SIZES = ("small", "normal", "large")
_DOORS = {"staff": "/log-in", "reseller": "/desk/log-in"}


@click.command("demo")
@click.option(
    "--size",
    type=click.Choice(_SIZES),
    default="normal",
    show_default=True,
    help="small: seconds; normal: ninety full days; large: a million cards and calls, for benchmarks.",
)
@click.option(
    "--ask-password",
    is_flag=True,
    help="Ask for everybody's password, or read it from standard input; otherwise each gets one, shown this once.",
)
@click.option("--password", help="The same on the command line, where others on this machine may see it.")
@with_context
def command(context: Context, size: str, ask_password: bool, password: str | None) -> Any:
    """Fill an empty installation with a demo world: staff, resellers, rates, cards and ninety days of calls."""
    if ask_password and password is not None:
        raise click.UsageError("Give --ask-password or --password, not both.")
    # Loaded here, so that no other command ever does.
    from demo import large, making

    if context.config.production:
        raise InstallationError("CARDTONE_ENV is production; a demo world belongs into a place of its own.")
    make_folder(context.config.home)
    _leave_alone_what_is_used(context.database_url)
    if ask_password:
        password = _asked_password()
    context.config.load_keys()
    migrations.upgrade(context.database_url, context.clock())
    say = (lambda text: None) if context.as_json else lambda text: click.echo(text, err=True)
    more: dict[str, Any] = {"password": None if password is None else Secret(password), "say": say}
    if size == "large":
        made = large.make(context.db, context.vault, context.clock(), **more)
    else:
        files = context.config.home.resolve() / "exports"
        made = making.make(context.db, context.vault, context.clock(), files, size=size, **more)
    context.answer(_data(made), _text(made))
    if made.findings:
        raise EngineError("demo_books_wrong", count=len(made.findings))


def _leave_alone_what_is_used(url: str) -> None:
    """Before anything changes: an older installation must not even be migrated."""
    from demo.making import require_unused

    db = Database(url)
    try:
        require_unused(db)
    finally:
        db.close()


def _asked_password() -> str:
    if sys.stdin.isatty():
        asked: str = click.prompt("Everybody's password", hide_input=True, confirmation_prompt=True, err=True)
        return asked
    return sys.stdin.readline().rstrip("\r\n")


def _data(made: Any) -> dict[str, Any]:
    return {
        "logins": [
            {
                "realm": one.realm,
                "login": one.login,
                "name": one.name,
                "role": one.role,
                "password": one.password.value,
                **({"code_secret": one.code_secret.value} if one.code_secret else {}),
            }
            for one in made.logins
        ],
        "switch_keys": {name: key.value for name, key in made.switch_keys.items()},
        "counts": made.counts,
        "live_calls": made.live_calls,
        "right": not made.findings,
        "findings": [f"{finding.subject}: {finding.detail}" for finding in made.findings],
    }


def _text(made: Any) -> str:
    rows = [[_DOORS[one.realm], one.login, one.role, one.name, one.password.value] for one in made.logins]
    lines = [table(["At", "Login", "Role", "Name", "Password"], rows)]
    lines += [
        f"{one.login} is also asked for a code; tell an authenticator app {one.code_secret.value}"
        for one in made.logins
        if one.code_secret
    ]
    counts = made.counts
    lines.append(
        f"\n{counts['batch']:,} batches, {counts['card']:,} cards, {counts['cdr']:,} calls and {made.live_calls:,} "
        f"that go on, {counts['attempt']:,} refused tries, {counts['ledger_entry']:,} ledger entries."
    )
    lines.append(_verdict(made.findings))
    return "\n".join(lines)


def _verdict(findings: list[Finding]) -> str:
    if not findings:
        return "The books are right. The passwords are shown this once."
    return "\n".join(f"{finding.subject}: {finding.detail}" for finding in findings)
