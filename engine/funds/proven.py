"""A card that its holder presents where money moves: read, proven as every door proves it, and fit for what is wanted.

There are two doors. Through a switch both cards are presented; at a browser one of them is the card that is logged in,
which its session proved. Nothing is locked here: whoever moves the money locks the cards and asks `moved` whether the
proof still stands.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeAlias

from engine import house
from engine.actor import Actor
from engine.cards import access, authentication
from engine.cards.access import Browser, Counters, Credentials, Presented, SwitchLike
from engine.cards.serials import serial_of
from engine.db import Database
from engine.errors import NotFound
from engine.funds.recharges import recharge_refusal
from engine.refusal import Refusal
from engine.vault import Vault

_FIND = access.card_queries(columns=", b.extension_days")
_OWN = access.facts_query(columns=", b.extension_days")


@dataclass(frozen=True, slots=True)
class OwnCard:
    """The card that is logged in at a browser, by its id."""

    card_id: int


Shown: TypeAlias = Credentials | OwnCard
"""How a card is shown at a door."""


class Door(Protocol):
    """Where cards are presented: who acts, whose idempotency keys count, and how a card is read there."""

    @property
    def actor(self) -> Actor: ...
    @property
    def caller(self) -> str | None: ...
    def read(self, db: Database, vault: Vault, shown: Shown, now: datetime) -> tuple[Presented, Any]: ...


@dataclass(frozen=True, slots=True)
class AtSwitch:
    """Cards presented through a switch, with the caller as it tells it."""

    switch: SwitchLike
    caller: str | None

    @property
    def actor(self) -> Actor:
        """The switch acts."""
        return Actor("switch", self.switch.id, self.switch.name)

    def read(self, db: Database, vault: Vault, shown: Shown, now: datetime) -> tuple[Presented, Any]:
        """The try and what it met; see `access.read_card`."""
        if isinstance(shown, OwnCard):
            raise TypeError("through a switch every card is presented")
        with db.connection() as conn:
            return access.read_card(
                conn,
                db,
                vault,
                _FIND,
                switch=self.switch,
                credentials=shown,
                caller=self.caller,
                access_number=None,
                now=now,
            )


@dataclass(frozen=True, slots=True)
class AtBrowser:
    """Cards at the browser of a cardholder: their own by its session, another one by number and password."""

    browser: Browser
    actor: Actor
    caller: str | None = None

    def read(self, db: Database, vault: Vault, shown: Shown, now: datetime) -> tuple[Presented, Any]:
        """The try and what it met; the own card as it stands. Raises `NotFound` for an own card that is none."""
        with db.connection() as conn:
            if isinstance(shown, OwnCard):
                return self._own(conn, db, shown, now)
            return access.read_card_at_browser(
                conn, db, vault, _FIND, browser=self.browser, credentials=shown, now=now
            )

    def _own(self, conn: Any, db: Database, shown: OwnCard, now: datetime) -> tuple[Presented, Any]:
        rules = house.current(db)
        asked = {"card_id": shown.card_id, "caller": None, "source": self.browser.source, "now": now}
        row = _OWN.one(conn, asked)
        if row is None:
            raise NotFound("card_not_found")
        if row.revision != rules.revision:
            rules = house.refresh(db)
        return Presented(self.browser, Credentials(), rules.access(None), rules, now, Counters()), row


@dataclass(frozen=True, slots=True)
class Proven:
    """A card that was presented, as it was read, and why it won't do, if so."""

    presented: Presented
    row: Any
    refusal: Refusal | None


def holder(db: Database, vault: Vault, door: Door, shown: Shown, now: datetime) -> Proven:
    """A card whose holder asks for something: password, state (an expired one within its grace may) and binding.

    A browser is no phone, so that binding asks nothing there.
    """
    presented, row = door.read(db, vault, shown, now)
    if isinstance(shown, OwnCard):
        return Proven(presented, row, authentication.state_refusal(row, presented, inquiry=True))
    refusal = (
        authentication.prove(db, vault, presented, row)
        or authentication.state_refusal(row, presented, inquiry=True)
        or (authentication.binding_refusal(row, presented) if presented.asker.voice else None)
        or authentication.admit(db, presented, row)
    )
    return Proven(presented, row, refusal)


def target(db: Database, vault: Vault, door: Door, shown: Shown, now: datetime) -> Proven:
    """A card that is to get money: proven as `holder` does, and fit for a recharge."""
    found = holder(db, vault, door, shown, now)
    # A lock that was just lifted is still in this row; the next look is without it.
    if found.refusal is None and found.row.locked_at is None:
        reason = recharge_refusal(found.row, now, found.presented.house.zone)
        if reason is not None:
            return Proven(found.presented, found.row, Refusal(reason, serial=serial_of(found.row.id)))
    return found


def facts_of(shown: Shown) -> list[Any]:
    """What was shown, for the keyed digest of a request: its secrets stand in it."""
    if isinstance(shown, OwnCard):
        return ["own", shown.card_id]
    secrets = (shown.password, shown.token)
    return [shown.number, *(secret.value if secret else None for secret in secrets)]


def moved(locked: Any, seen: Any) -> bool:
    """Whether what the proof stood on is no longer so: password, state, validity."""
    facts = ("digest", "released_at", "damaged_at", "locked_at", "expires_at")
    return any(getattr(locked, fact) != getattr(seen, fact) for fact in facts)
