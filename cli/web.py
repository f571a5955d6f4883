"""Where the web server listens: what `cardtone up` and `cardtone serve` share."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import click

from engine.config import Config, InstallationError


def address(bind: str, port: int) -> str:
    """Host and port as they stand in a URL."""
    return f"[{bind}]:{port}" if ":" in bind else f"{bind}:{port}"


def web_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say where to listen; they win over the environment."""
    command = click.option("--bind", help="Address to listen on.")(command)
    return click.option("--port", type=click.IntRange(1, 65535), help="Port to listen on.")(command)


def override(config: Config, **options: Any) -> Config:
    """The settings with the options that were given."""
    return replace(config, **{name: value for name, value in options.items() if value is not None})


def require_free(config: Config) -> None:
    """Raise `InstallationError` where the address cannot be listened on."""
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(
            config.bind, config.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(where)
            probe.listen(1)
    except OSError as error:
        where_text = address(config.bind, config.port)
        if error.errno == errno.EADDRINUSE:
            raise InstallationError(
                f"Something else listens on {where_text}; choose another port with --port or CARDTONE_PORT."
            ) from None
        raise InstallationError(f"{where_text} cannot be listened on: {error.strerror}.") from None
