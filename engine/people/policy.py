"""Changing the rules of the house: a business setting and the audit row that tells of it."""

from __future__ import annotations

import dataclasses
from datetime import datetime
from typing import Any

from engine import settings
from engine.actor import Actor
from engine.db import Database
from engine.people import audit
from engine.permissions import command
from engine.settings import Settings


@command("setting.set")
def set_setting(db: Database, key: str, value: Any, actor: Actor, now: datetime) -> Settings:
    """Set one setting (None: back to its default) and return the settings in force; it counts from now on everywhere.

    Raises `InvalidInput` (unknown_setting, bad_setting, unknown_zone).
    """
    with db.begin() as session:
        settings.check(key, value)
        before = dataclasses.asdict(settings.load(session))[key]
        settings.put(session, key, value)
        after = settings.load(session)
        audit.record(
            session,
            actor,
            "setting.set",
            f"setting:{key}",
            now,
            before=before,
            after=dataclasses.asdict(after)[key],
        )
    return after
