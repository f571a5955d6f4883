"""Who does something: every command takes an actor, and the ledger, the audit trail and the timeline keep it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Actor:
    """A person, switch or part of the system. `str(actor)` is its stable form, such as `staff:3`.

    `role` is what somebody is among the operator's staff or a reseller's people; `reseller_id` scopes the latter.
    """

    kind: str  # staff, reseller, cardholder, switch, system, console
    id: int | None = None
    name: str = ""
    role: str = ""
    reseller_id: int | None = None

    def __str__(self) -> str:
        return self.kind if self.id is None else f"{self.kind}:{self.id}"


SYSTEM = Actor("system")
"""Work that the clock or the supervisor started."""

CONSOLE = Actor("console", None, "command line")
"""Somebody at the machine's own command line."""
