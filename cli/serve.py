"""`cardtone serve`: the web server, under gunicorn. It migrates nothing and needs no jobs process."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import click
from gunicorn.app.base import BaseApplication

from cli.app import Context, require_current, with_context
from cli.web import address, override, require_free, web_options
from engine.config import Config
from portal import create_app


class Server(BaseApplication):  # type: ignore[misc]
    """gunicorn with our settings; each worker makes its own application after the fork."""

    def __init__(self, config: Config, ready: Callable[[], None]) -> None:
        self._config = config
        self._ready = ready
        super().__init__()

    def load_config(self) -> None:
        config = self._config
        settings: dict[str, Any] = {
            "bind": [address(config.bind, config.port)],
            "workers": config.workers,
            "threads": config.threads,
            "worker_class": "gthread",
            "proc_name": "cardtone",
            "control_socket_disable": True,
            "preload_app": False,
            "loglevel": config.log_level,
            # Switches keep their connections: a new one for every call would cost more than the call.
            "keepalive": 60,
            "timeout": 60,
            "graceful_timeout": 20,
            # The application judges X-Forwarded-For itself; the scheme counts from the same proxies.
            "forwarded_allow_ips": ",".join(config.trusted_proxies),
            "worker_tmp_dir": "/dev/shm" if os.access("/dev/shm", os.W_OK) else None,  # noqa: S108
            "when_ready": lambda server: self._ready(),
        }
        for name, value in settings.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        return create_app(self._config)


@click.command("serve")
@web_options
@click.option("--workers", type=click.IntRange(1, 256), help="Web processes.")
@click.option("--threads", type=click.IntRange(1, 256), help="Threads of each.")
@with_context
def command(context: Context, **options: Any) -> None:
    """Serve pages and the switch API. Calls need nothing more."""
    config = override(context.config, **options)
    require_free(config)
    config.load_keys()
    config = replace(config, database_url=context.database_url)
    require_current(config.database_url)
    url = f"http://{address(config.bind, config.port)}"
    Server(config, lambda: context.answer({"url": url}, f"Serving on {url}")).run()
