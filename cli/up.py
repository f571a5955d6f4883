"""`cardtone up`: everything on one machine: the database, the web server and the jobs, under one supervisor."""

from __future__ import annotations

import http.client
import signal
import time
from types import FrameType

import click

from cli.app import Context, with_context
from cli.supervisor import Child, end_all, python
from cli.web import address, override, require_free, web_options
from engine import migrations
from engine.actor import CONSOLE
from engine.config import Config, InstallationError, make_folder
from engine.people import staff

_WATCH_S = 0.2
_READY_WAIT_S = 60.0
_TRIES = 3


class Stop(BaseException):
    """Somebody asked us to end (Ctrl-C, SIGTERM, a closed terminal)."""


@click.command("up")
@web_options
@with_context
def command(context: Context, port: int | None, bind: str | None) -> None:
    """Prepare the database and run everything, until Ctrl-C."""
    config = override(context.config, port=port, bind=bind)
    require_free(config)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    children = [
        Child("The web server", _serve(config), config.log_dir / "web.log"),
        Child("The jobs process", python("jobs"), config.log_dir / "jobs.log"),
    ]
    try:
        _prepare(context)
        for child in children:
            child.start()
        _wait_until_ready(config, children)
        url = f"http://{address(config.bind, config.port)}"
        context.answer(
            {"url": url}, f"\nCardtone is ready: {url}\nLogs: {config.log_dir}. Ctrl-C ends everything."
        )
        while True:
            _watch(children)
    except Stop:
        click.echo("\nStopping.", err=True)
    finally:
        # From here on one more Ctrl-C must not leave anything behind.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        end_all(children)
        context.close()


def _prepare(context: Context) -> None:
    make_folder(context.config.home)
    make_folder(context.config.log_dir)
    context.config.load_keys()
    migrations.upgrade(context.database_url, context.clock())
    first = staff.ensure_first(context.db, CONSOLE, context.clock())
    # From here on the children have connections of their own.
    context.db.close()
    if first is not None:
        login, password = first
        # Only here and only now: it is stored as a digest.
        click.echo(
            f"\nLog in as {login} with the password {password.value}\nIt is shown this once.",
            err=context.as_json,
        )


def _serve(config: Config) -> list[str]:
    return python("cli", "serve", "--bind", config.bind, "--port", str(config.port))


def _wait_until_ready(config: Config, children: list[Child]) -> None:
    deadline = time.monotonic() + _READY_WAIT_S
    web = children[0]
    while not _healthy(config):
        _watch(children)
        if web.deaths >= _TRIES or time.monotonic() > deadline:
            raise InstallationError(f"The web server does not start; {web.log} says why.")


def _healthy(config: Config) -> bool:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(config.bind, config.bind)  # noqa: S104
    connection = http.client.HTTPConnection(host, config.port, timeout=5)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _watch(children: list[Child]) -> None:
    for child in children:
        told = child.watch()
        if told is not None:
            click.echo(told, err=True)
    time.sleep(_WATCH_S)


def _stop(number: int, frame: FrameType | None) -> None:
    raise Stop
