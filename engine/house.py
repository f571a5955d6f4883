"""What every door must know and that seldom changes: settings, access numbers, destination rules and groups.

A process keeps one `House` and its revision. The queries of the call path read the revision along with the card, so
that a change counts from the next call on, in every process, without a query of its own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from sqlalchemy import select

from engine import settings
from engine.db import Database
from engine.schema import AccessNumber, DestinationGroup, DestinationRules, SettingsHead
from engine.settings import Settings

_ACCESS_NUMBER = re.compile(r"[0-9]{3,15}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Access:
    """An access number in force: its country, language and surcharges (micro-units)."""

    number: str
    country: str | None = None
    language: str | None = None
    per_minute: int = 0
    per_call: int = 0


@dataclass(frozen=True, slots=True)
class Rules:
    """Destination rules: the groups they bar, and, where `allowed` is not None, the only ones they allow."""

    barred: frozenset[str]
    allowed: frozenset[str] | None


@dataclass(frozen=True, slots=True)
class House:
    """One revision of the rules of the house."""

    revision: int
    settings: Settings
    zone: ZoneInfo
    access_numbers: dict[str, Access]
    rules: dict[int, Rules]
    groups: dict[str, tuple[str, ...]]

    def access(self, number: str | None) -> Access:
        """The access number, or one without surcharges in the home country where it is not listed.

        What is no number at all (3 to 15 digits) becomes the nameless one.
        """
        digits = number.lstrip("+") if number else ""
        digits = digits if _ACCESS_NUMBER.fullmatch(digits) else ""
        found = self.access_numbers.get(digits)
        return found or Access(digits, self.settings.home_country or None)


def zone_of(rules: Settings) -> ZoneInfo:
    """The operator's time zone."""
    return ZoneInfo(rules.zone)


def current(db: Database) -> House:
    """The house as the process knows it: read from the database the first time."""
    kept: House | None = db.cache.get("house")
    return kept if kept is not None else refresh(db)


def fresh(db: Database) -> House:
    """The house as it is now: one small query where the process knows it already."""
    kept = current(db)
    with db.begin() as session:
        revision = session.scalar(select(SettingsHead.revision)) or 0
    return kept if kept.revision == revision else refresh(db)


def refresh(db: Database) -> House:
    """Read the house again; the process keeps it."""
    with db.begin() as session:
        # The revision first: rows read after it may be newer, and are then read once more, but never older.
        revision = session.scalar(select(SettingsHead.revision)) or 0
        rules = settings.load(session)
        house = House(
            revision=revision,
            settings=rules,
            zone=zone_of(rules),
            access_numbers={
                row.number: Access(row.number, row.country, row.language, row.per_minute, row.per_call)
                for row in session.scalars(select(AccessNumber).where(AccessNumber.disabled_at.is_(None)))
            },
            rules={
                row.id: Rules(frozenset(row.barred), None if row.allowed is None else frozenset(row.allowed))
                for row in session.scalars(select(DestinationRules))
            },
            groups={row.name: tuple(row.prefixes) for row in session.scalars(select(DestinationGroup))},
        )
    db.cache["house"] = house
    return house
