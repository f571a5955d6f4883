"""Apps for tests. Making one takes longer than most tests, so that a process makes one and gives it another house.

What an app knows of its house is its `Installation`: with another one it is another installation's app. Tests that
change an app itself make one of their own by `portal.create_app`.
"""

from __future__ import annotations

import functools

from flask import Flask

from engine.config import Config
from engine.db import Database
from portal import create_app, installation
from portal.switch_api import EXTENSION, health


@functools.cache
def _shared() -> list[tuple[bytes, Flask]]:
    return []


def app_of(config: Config) -> Flask:
    """An app of this installation, with a database of its own and the clock on the wall.

    The one before it, which had another database, is not to be asked any more. `config`: of a development, on keys
    that stay the same.
    """
    secret = config.load_keys().secret_key
    made = next((app for key, app in _shared() if key == secret), None)
    if made is None:
        made = create_app(config)
        _shared().append((secret, made))
        return made
    with made.app_context():
        here = installation.installation()
    here.config, here.db, here.clock = config, Database(config.database_url), installation.utc_now
    made.extensions[EXTENSION].extensions[health.EXTENSION] = health.Writable()
    return made
