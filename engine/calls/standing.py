"""A card as a call would meet it now, by the very rules that calls are judged by, and without a trace.

Nothing here proves a password: it is asked what would become of somebody who has the right one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from engine import house
from engine.calls.authorization import Plan, plan
from engine.cards.access import Counters, Credentials, Phone, Presented, facts_query
from engine.cards.authentication import binding_refusal, state_refusal
from engine.db import Database
from engine.phone import parse_caller
from engine.refusal import Refusal


@dataclass(frozen=True, slots=True)
class _AnySwitch:
    """A switch that may be trusted with callers; which one it is makes no difference to what is asked here."""

    id: int = 0
    name: str = ""
    trusted_callers: bool = True


@dataclass(frozen=True, slots=True)
class Standing:
    """A card and who would ask: the facts that the call path reads, at one instant."""

    presented: Presented
    row: Any

    @property
    def available(self) -> int:
        """What a new call could use, in micro-units."""
        return int(self.row.balance - self.row.held)


_READ = facts_query(
    """, (SELECT v.id FROM deck_version v WHERE v.deck_id = c.deck_id AND v.effective_from <= %(now)s
       ORDER BY v.effective_from DESC, v.id DESC LIMIT 1) AS version_id,
    c.lock_reason, b.name AS batch, (SELECT name FROM deck WHERE deck.id = c.deck_id) AS deck,
    (SELECT name FROM destination_rules r WHERE r.id = c.destination_rules_id) AS rules"""
)


def look(
    db: Database,
    card_id: int,
    now: datetime,
    *,
    caller: str | None = None,
    access_number: str | None = None,
) -> Standing | None:
    """The card for a `caller` (as presented) that called an access number; None where there is no such card."""
    rules = house.current(db)
    while True:
        access = rules.access(access_number)
        asker = Phone(_AnySwitch(), parse_caller(caller, access.country))
        presented = Presented(asker, Credentials(number=""), access, rules, now, Counters())
        with db.connection() as conn:
            row: Any = _READ.one(
                conn, {"card_id": card_id, "caller": asker.caller, "source": asker.source, "now": now}
            )
        if row is None or row.revision == rules.revision:
            return None if row is None else Standing(presented, row)
        rules = house.refresh(db)


def verdict(
    db: Database, standing: Standing, destination: str | None, *, bound: bool = True
) -> Plan | Refusal | None:
    """What would become of a call to `destination`: what it would be, or what forbids it.

    Without a destination it is an inquiry (log-in, balance, recharge), and None where that would be let through.
    `bound=False` leaves out whether this caller may, as for browsers, and where nobody said who calls.
    """
    refusal = state_refusal(standing.row, standing.presented, inquiry=destination is None)
    if refusal is None and bound:
        refusal = binding_refusal(standing.row, standing.presented)
    if refusal is not None or destination is None:
        return refusal
    return plan(db, standing.presented, standing.row, destination, one_shot=True)
