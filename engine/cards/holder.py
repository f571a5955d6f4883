"""A card as its holder sees it: the one query behind every page of a cardholder's session."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from engine import house
from engine.cards.serials import card_id_of, serial_of
from engine.cards.status import grace_end, status_of
from engine.db import Database, Statement, reruns

_READ = Statement(
    """
    SELECT c.id, c.currency, c.balance, c.held, c.live_calls, c.deck_id, c.destination_rules_id, c.reseller_id,
        c.created_at, c.released_at, c.first_used_at, c.expires_at, c.locked_at, c.damaged_at,
        b.id AS batch_id, b.kind, b.ready_at, b.validity_days, b.validity_from, b.first_use, b.grace_days,
        b.extension_days, b.language, b.binding, b.max_bound, b.auto_bind, b.pinless, b.password_length, b.imported,
        b.post_call_fee, b.maintenance_fee, b.maintenance_days
    FROM card c JOIN batch b ON b.id = c.batch_id WHERE c.id = %(card_id)s
    """
)


@dataclass(frozen=True, slots=True)
class HolderCard:
    """The facts of a card that its holder may know. Amounts in micro-units of `currency`, times in UTC.

    `available` is the balance without what live calls hold. `grace_until`: until when an expired card can still be
    looked at; None where it never ends. `lasts_days`: the days it lasts from its first use, where that is to come.
    """

    card_id: int
    serial: str
    status: str
    balance: int
    available: int
    held: int
    live_calls: int
    currency: str
    created_at: datetime
    first_used_at: datetime | None
    expires_at: datetime | None
    grace_until: datetime | None
    lasts_days: int | None
    extension_days: int | None
    language: str
    deck_id: int | None
    destination_rules_id: int
    reseller_id: int | None
    batch_id: int
    binding: str
    max_bound: int
    auto_bind: bool
    pinless: bool
    password_length: int
    imported: bool
    post_call_fee: int
    maintenance_fee: int
    maintenance_days: int | None

    @property
    def expired(self) -> bool:
        """Whether its validity has ended and its grace goes on."""
        return self.status == "expired"


@dataclass(frozen=True, slots=True)
class Shut:
    """Why a card can't be looked at though its password was right. `by`: who locked it (failures, holder, operator)."""

    serial: str
    reason: str
    by: str | None = None
    expired_at: datetime | None = None


@reruns
def why_shut(db: Database, serial: str, reason: str) -> Shut:
    """More about a refusal (a reason of `engine.errors.REASONS`) for who proved the card."""
    with db.connection() as conn:
        row = _SHUT.one(conn, {"card_id": card_id_of(serial)})
    if row is None:
        return Shut(serial, reason)
    by = None
    if row.locked_by is not None:
        by = {"failures": "failures", "cardholder": "holder"}.get(row.locked_by.partition(":")[0], "operator")
    return Shut(serial, reason, by, row.expires_at)


_SHUT = Statement("SELECT locked_by, expires_at FROM card WHERE id = %(card_id)s")


@reruns
def read_own(db: Database, card_id: int, now: datetime) -> HolderCard | None:
    """The card of a holder's session; None where it can't be looked at any more.

    That is so once it was locked, voided or held back, and when the grace after its expiry is over: the log-in says
    which.
    """
    with db.connection() as conn:
        row = _READ.one(conn, {"card_id": card_id})
    if row is None or row.ready_at is None or row.released_at is None or row.kind == "voucher":
        return None
    if row.locked_at is not None or row.damaged_at is not None:
        return None
    grace_until = _grace_until(db, row)
    if grace_until is not None and grace_until <= now:
        return None
    return _card(row, grace_until, now)


def _grace_until(db: Database, row: Any) -> datetime | None:
    if row.expires_at is None:
        return None
    return grace_end(row.expires_at, row.grace_days, house.current(db).zone)


def _card(row: Any, grace_until: datetime | None, now: datetime) -> HolderCard:
    waits = row.first_used_at is None and row.expires_at is None and row.validity_from == "first_use"
    return HolderCard(
        card_id=row.id,
        serial=serial_of(row.id),
        status=status_of(row, now),
        available=row.balance - row.held,
        grace_until=grace_until,
        lasts_days=row.validity_days if waits else None,
        **{name: getattr(row, name) for name in _AS_READ},
    )


_AS_READ = (
    "balance",
    "held",
    "live_calls",
    "currency",
    "created_at",
    "first_used_at",
    "expires_at",
    "extension_days",
    "language",
    "deck_id",
    "destination_rules_id",
    "reseller_id",
    "batch_id",
    "binding",
    "max_bound",
    "auto_bind",
    "pinless",
    "password_length",
    "imported",
    "post_call_fee",
    "maintenance_fee",
    "maintenance_days",
)
