"""Rate decks: imported as immutable versions, and found by the instant they are in force at.

A deck has a name, a currency, a precision, a rounding and a time zone, which stay as they were made; what changes is
its versions. The version in force is the last that took effect, so that one can be imported today for the first of
next month. Calls copy their rate when they are authorized: no import changes what has been said.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from engine.actor import Actor
from engine.calls.deckimport import DeckImport, import_deck
from engine.calls.deckversions import find_deck, instant, rate_table, version_in_force
from engine.calls.ratetable import Found
from engine.db import Database
from engine.errors import InvalidInput, NotFound
from engine.house import current
from engine.phone import Destination, parse_destination
from engine.schema import Deck, DeckVersion

__all__ = [
    "DeckImport",
    "DeckView",
    "LookUp",
    "VersionView",
    "deck_list",
    "deck_view",
    "find_deck",
    "import_deck",
    "import_sample",
    "look_up",
    "rate_table",
    "version_in_force",
]


@dataclass(frozen=True, slots=True)
class VersionView:
    """A version of a deck. `state`: `in force`, `coming` or `past`."""

    id: int
    effective_from: datetime
    source: str
    rates: int
    created_by: str
    created_at: datetime
    state: str


@dataclass(frozen=True, slots=True)
class DeckView:
    """A deck with its versions, the newest first."""

    id: int
    name: str
    currency: str
    precision: int
    rounding: str
    timezone: str
    buy_deck: str | None
    versions: tuple[VersionView, ...]

    @property
    def in_force(self) -> VersionView | None:
        """The version that new calls are rated by; None before the first takes effect."""
        return next((version for version in self.versions if version.state == "in force"), None)


@dataclass(frozen=True, slots=True)
class LookUp:
    """The rate that a number has in a deck at an instant, and which matching rates were passed over, and why."""

    deck: str
    currency: str
    timezone: str
    version_id: int
    effective_from: datetime
    destination: Destination
    found: Found


SAMPLE = Path(__file__).parents[2] / "docs" / "sample-deck.csv"
"""A small deck of plausible prices, to try things with."""


def import_sample(db: Database, *, actor: Actor, now: datetime, key: str | None = None) -> DeckImport:
    """Import the sample deck as `Sample`, in USD. Raises what `import_deck` raises, and `NotFound("sample_missing")`
    where it was not brought along."""
    if not SAMPLE.exists():
        raise NotFound("sample_missing")
    data = SAMPLE.read_bytes()
    return import_deck(
        db, name="Sample", currency="USD", data=data, filename=SAMPLE.name, actor=actor, now=now, key=key
    )


def deck_list(db: Database, now: datetime) -> list[DeckView]:
    """Every deck, by name, with its versions as they stand at `now`."""
    with db.begin() as session:
        decks = session.scalars(select(Deck).order_by(func.lower(Deck.name), Deck.id)).all()
        return [_view(session, deck, now) for deck in decks]


def deck_view(db: Database, name: str, now: datetime) -> DeckView:
    """One deck with its versions as they stand at `now`. Raises `NotFound("deck_not_found")`."""
    with db.begin() as session:
        return _view(session, find_deck(session, name), now)


def _view(session: Session, deck: Deck, now: datetime) -> DeckView:
    versions = session.scalars(
        select(DeckVersion)
        .where(DeckVersion.deck_id == deck.id)
        .order_by(DeckVersion.effective_from.desc(), DeckVersion.id.desc())
    ).all()
    in_force = next((version.id for version in versions if version.effective_from <= now), None)
    return DeckView(
        deck.id,
        deck.name,
        deck.currency,
        deck.precision,
        deck.rounding,
        deck.timezone,
        None if deck.buy_deck_id is None else session.get_one(Deck, deck.buy_deck_id).name,
        tuple(_version_view(version, in_force, now) for version in versions),
    )


def _version_view(version: DeckVersion, in_force: int | None, now: datetime) -> VersionView:
    state = "in force" if version.id == in_force else "coming" if version.effective_from > now else "past"
    return VersionView(
        version.id,
        version.effective_from,
        version.source,
        version.rates,
        version.created_by,
        version.created_at,
        state,
    )


def look_up(db: Database, *, name: str, destination: str, at: date) -> LookUp:
    """The rate of a number in a deck at `at`, as a call from the home country would get it, and why that one.

    A day means its midnight in the deck's zone, where a time without a zone is meant too.
    Raises `NotFound` (deck_not_found, deck_not_in_force), `InvalidInput("destination_invalid")`.
    """
    with db.begin() as session:
        deck = find_deck(session, name)
        moment = instant(at, ZoneInfo(deck.timezone))
        view = _view(session, deck, moment)
    target = parse_destination(destination, current(db).settings.home_country or None)
    if target is None:
        raise InvalidInput("destination_invalid", field="destination")
    version = view.in_force
    if version is None:
        raise NotFound("deck_not_in_force", deck=view.name, at=moment)
    found = rate_table(db, version.id).find_with_reason(target.e164, moment)
    return LookUp(view.name, view.currency, view.timezone, version.id, version.effective_from, target, found)
