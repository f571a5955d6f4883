"""What every page stands on: the installation's database and keys, and the request's one instant and zone.

The engine reads no clock; the portal hands it the time from here, so that a test can set it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from flask import Flask, current_app, g
from flask_login import current_user

from engine import house
from engine.config import Config
from engine.db import Database
from engine.vault import Vault

_EXTENSION = "cardtone"


def utc_now() -> datetime:
    """The clock of the portal."""
    return datetime.now(UTC)


@dataclass(slots=True)
class Installation:
    """One installation as a web process sees it. `clock` answers aware UTC times."""

    config: Config
    db: Database
    vault: Vault
    clock: Callable[[], datetime] = utc_now


def init_app(app: Flask, made: Installation) -> None:
    """Give an app the installation it serves."""
    app.extensions[_EXTENSION] = made


def installation() -> Installation:
    """The installation of the app that answers."""
    made: Installation = current_app.extensions[_EXTENSION]
    return made


def db() -> Database:
    """Its database."""
    return installation().db


def now() -> datetime:
    """The time of this request: one instant, however long the answer takes."""
    if "now" not in g:
        g.now = installation().clock()
    instant: datetime = g.now
    return instant


def zone() -> ZoneInfo:
    """The zone that times are shown in: the reader's own where they chose one, else the operator's."""
    if "zone" not in g:
        own = getattr(current_user, "timezone", None)
        g.zone = ZoneInfo(own) if own else operators_zone()
    found: ZoneInfo = g.zone
    return found


def operators_zone() -> ZoneInfo:
    """The zone that validity ends in and reports count days by."""
    return house.fresh(db()).zone
