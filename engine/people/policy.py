"""Changing the rules of the house: a business setting and the audit row that tells of it."""

from __future__ import annotations

import dataclasses
from datetime import datetime
from typing import Any

from sqlalchemy import text

from engine import settings
from engine.actor import Actor
from engine.db import Database
from engine.people import audit, consents
from engine.permissions import command
from engine.settings import Settings


@command("setting.set")
def set_setting(db: Database, key: str, value: Any, actor: Actor, now: datetime) -> Settings:
    """Set one setting (None: back to its default) and return the settings in force; it counts from now on everywhere.

    To loosen a rule that asks for a second person needs a second person itself, for these `consent_facts`; else one
    alone could do without. Raises `InvalidInput` as `settings.check` does, and `ConsentNeeded`.
    """
    settings.check(key, value)
    with db.begin() as session:
        # Whether it is loosened must be said of what is in force when it changes.
        session.execute(
            text("SELECT pg_advisory_xact_lock(hashtextextended('setting ' || :key, 0))"), {"key": key}
        )
        before = dataclasses.asdict(settings.load(session))[key]
        settings.put(session, key, value)
        after = settings.load(session)
        facts = consent_facts(before, dataclasses.asdict(after)[key])
        if _loosened(key, **facts):
            consents.need(session, actor, "setting.set", f"setting:{key}", facts, now)
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


def consent_facts(before: Any, after: Any) -> dict[str, Any]:
    """What a second person consents to where a rule about consents is loosened (subject: `setting:KEY`)."""
    return {"before": before, "after": after}


def _loosened(key: str, before: Any, after: Any) -> bool:
    if key == "consent_exports":
        return bool(before and not after)
    if key == "consent_recharge_over":
        return bool(before and (not after or after > before))
    return False
