"""A card that its holder presents where money moves: read, proven as every door proves it, and fit for what is wanted.

Nothing is locked here: whoever moves the money locks the cards and asks `moved` whether the proof still stands.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from engine.cards import access, authentication
from engine.cards.access import Credentials, Presented, SwitchLike
from engine.cards.serials import serial_of
from engine.db import Database
from engine.funds.recharges import recharge_refusal
from engine.refusal import Refusal
from engine.vault import Vault

_FIND = access.card_queries(columns=", b.extension_days")


@dataclass(frozen=True, slots=True)
class Proven:
    """A card that was presented, as it was read, and why it won't do, if so."""

    presented: Presented
    row: Any
    refusal: Refusal | None


def holder(
    db: Database,
    vault: Vault,
    *,
    switch: SwitchLike,
    credentials: Credentials,
    caller: str | None,
    now: datetime,
) -> Proven:
    """A card whose holder asks for something: password, state (an expired one within its grace may) and binding."""
    presented, row = read(db, vault, switch=switch, credentials=credentials, caller=caller, now=now)
    refusal = (
        authentication.prove(db, vault, presented, row)
        or authentication.state_refusal(row, presented, inquiry=True)
        or authentication.binding_refusal(row, presented)
        or authentication.admit(db, presented, row)
    )
    return Proven(presented, row, refusal)


def target(
    db: Database,
    vault: Vault,
    *,
    switch: SwitchLike,
    credentials: Credentials,
    caller: str | None,
    now: datetime,
) -> Proven:
    """A card that is to get money: proven as `holder` does, and fit for a recharge."""
    found = holder(db, vault, switch=switch, credentials=credentials, caller=caller, now=now)
    # A lock that was just lifted is still in this row; the next look is without it.
    if found.refusal is None and found.row.locked_at is None:
        reason = recharge_refusal(found.row, now, found.presented.house.zone)
        if reason is not None:
            return Proven(found.presented, found.row, Refusal(reason, serial=serial_of(found.row.id)))
    return found


def read(
    db: Database,
    vault: Vault,
    *,
    switch: SwitchLike,
    credentials: Credentials,
    caller: str | None,
    now: datetime,
) -> tuple[Presented, Any]:
    """The try and what it met; see `access.read_card`."""
    with db.connection() as conn:
        return access.read_card(
            conn,
            db,
            vault,
            _FIND,
            switch=switch,
            credentials=credentials,
            caller=caller,
            access_number=None,
            now=now,
        )


def moved(locked: Any, seen: Any) -> bool:
    """Whether what the proof stood on is no longer so: password, state, validity."""
    facts = ("digest", "released_at", "damaged_at", "locked_at", "expires_at")
    return any(getattr(locked, fact) != getattr(seen, fact) for fact in facts)
