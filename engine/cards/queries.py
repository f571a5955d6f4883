"""What pages and the command line show of one card. Answers are frozen, so that showing them reads nothing more.

Lists are read by key: each page begins where the last one ended, at any depth in the same time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from engine import house
from engine.cards import lines
from engine.cards.lines import PAGE, CallLine, EntryLine, LiveCall, same
from engine.cards.names import actor_names
from engine.cards.serials import card_id_of, serial_of
from engine.cards.status import grace_end, status_of
from engine.db import Database
from engine.errors import InvalidInput
from engine.schema import (
    AutoRechargeMember,
    AutoRechargeRule,
    Batch,
    Binding,
    Card,
    Deck,
    DestinationRules,
    KnownSource,
    PendingBinding,
    Replacement,
    Reseller,
    SettingsHead,
)

__all__ = [
    "PAGE",
    "BoundCaller",
    "CallLine",
    "CardPage",
    "EntryLine",
    "LiveCall",
    "Match",
    "actor_names",
    "calls_of",
    "card_page",
    "entries_of",
    "find_cards",
    "known_card",
]
_NUMBER = re.compile(r"[0-9]{1,32}", re.ASCII)


@dataclass(frozen=True, slots=True)
class BoundCaller:
    """A caller (E.164 digits) that is bound to a card; `actor`: who bound it, by a name that people know."""

    caller: str
    pinless: bool
    since: datetime
    actor: str


@dataclass(frozen=True, slots=True)
class WaitingCaller:
    """A caller that the card's holder registered; its first call binds it, where it comes before `until`."""

    caller: str
    until: datetime


@dataclass(frozen=True, slots=True)
class CardPage:
    """All that the page of a card shows. `older_calls` and `older_entries` are where the next page begins, or None.

    Of the number only its last four digits are told. `replaced_by` and `replaces` are serials; `auto_recharge` names
    the rules in force that recharge it; `known_phones` and `known_browsers` count those that were right on it before.
    """

    serial: str
    number_end: str
    number_length: int
    status: str
    batch_id: int
    batch: str
    batch_ready: bool
    kind: str
    currency: str
    denomination: int
    balance: int
    held: int
    deck_id: int | None
    deck: str | None
    reseller_id: int | None
    reseller: str | None
    rules: str
    language: str
    created_at: datetime
    released_at: datetime | None
    first_used_at: datetime | None
    expires_at: datetime | None
    grace_until: datetime | None
    validity_days: int | None
    validity_from: str
    grace_days: int
    extension_days: int | None
    locked_at: datetime | None
    locked_by: str | None
    lock_reason: str | None
    damaged_at: datetime | None
    damaged_by: str | None
    damage_reason: str | None
    printed_at: datetime | None
    shipped_at: datetime | None
    sold_at: datetime | None
    activated_at: datetime | None
    reseller_price: int | None
    concurrency: int
    live_calls: int
    binding: str
    max_bound: int
    auto_bind: bool
    pinless: bool
    bound: tuple[str, ...]
    bindings: tuple[BoundCaller, ...]
    waiting: tuple[WaitingCaller, ...]
    post_call_fee: int
    maintenance_fee: int
    maintenance_days: int | None
    next_fee_at: datetime | None
    auto_recharge: tuple[str, ...]
    known_phones: int
    known_browsers: int
    replaced_by: str | None
    replaces: str | None
    live: tuple[LiveCall, ...]
    calls: tuple[CallLine, ...]
    older_calls: tuple[datetime, int] | None
    entries: tuple[EntryLine, ...]
    older_entries: int | None

    @property
    def id(self) -> int:
        """The card's inner number, by which commands take it."""
        return card_id_of(self.serial)

    @property
    def available(self) -> int:
        """What a new call could use."""
        return self.balance - self.held

    @property
    def in_resellers_stock(self) -> bool:
        """Whether a reseller has it, not charged for it yet: only the reseller's own sale or activation does that."""
        return self.reseller_id is not None and self.reseller_price is None


@dataclass(frozen=True, slots=True)
class Match:
    """A card that typed digits lead to, by its `serial` or by its `number`."""

    serial: str
    by: str


def card_page(
    db: Database,
    serial: str,
    now: datetime,
    *,
    calls_before: tuple[datetime, int] | None = None,
    entries_before: int | None = None,
    lists: bool = True,
    live: bool = True,
) -> CardPage | None:
    """The page of a card, newest calls and entries first; None where no card has this serial.

    Without `lists` its calls and entries are left out, without `live` its live calls. Raises
    `InvalidInput("bad_serial")` where it can't be one: wrong length or check digit.
    """
    card_id = card_id_of(serial)
    known = house.current(db)
    with db.begin() as session:
        statement = (
            select(Card, Batch, Deck.name, Reseller.name, DestinationRules.name, SettingsHead.revision)
            .join(Batch, Card.batch_id == Batch.id)
            .join(DestinationRules, Card.destination_rules_id == DestinationRules.id)
            .outerjoin(Deck, Card.deck_id == Deck.id)
            .outerjoin(Reseller, Card.reseller_id == Reseller.id)
            .outerjoin(SettingsHead, SettingsHead.id == 1)
            .where(Card.id == card_id)
        )
        row = session.execute(statement).one_or_none()
        if row is None:
            return None
        card, batch, deck, reseller, rules, revision = row
        bound = list(
            session.scalars(
                select(Binding).where(Binding.card_id == card_id).order_by(Binding.created_at, Binding.caller)
            )
        )
        actors = (card.locked_by, card.damaged_by, *(one.created_by for one in bound))
        names = actor_names(session, actors)
        parts: dict[str, Any] = {
            "bound": tuple(one.caller for one in bound),
            "bindings": tuple(
                BoundCaller(one.caller, one.pinless, one.created_at, names[one.created_by]) for one in bound
            ),
            "waiting": _waiting(session, card_id, now, [one.caller for one in bound]),
            "live": lines.live_calls(session, card_id) if live else (),
            **_around(session, card_id),
            **(_lists(session, card_id, calls_before, entries_before) if lists else _NO_LISTS),
        }
    zone = (known if known.revision == revision else house.refresh(db)).zone
    return CardPage(
        serial=serial_of(card.id),
        number_end=card.number[-4:],
        number_length=len(card.number),
        status=status_of(card, now),
        batch_id=batch.id,
        batch=batch.name,
        batch_ready=batch.ready_at is not None,
        kind=batch.kind,
        denomination=batch.denomination,
        deck=deck,
        reseller=reseller,
        rules=rules,
        grace_until=grace_end(card.expires_at, batch.grace_days, zone) if card.expires_at else None,
        locked_by=names.get(card.locked_by or ""),
        damaged_by=names.get(card.damaged_by or ""),
        **same(batch, *_OF_BATCH),
        **same(card, *_OF_CARD),
        **parts,
    )


_OF_BATCH = (
    *("validity_days", "validity_from", "grace_days", "extension_days", "binding", "max_bound", "auto_bind"),
    *("pinless", "post_call_fee", "maintenance_fee", "maintenance_days", "language"),
)
_OF_CARD = (
    *("currency", "balance", "held", "concurrency", "live_calls", "deck_id", "reseller_id", "reseller_price"),
    *("created_at", "released_at", "first_used_at", "expires_at", "locked_at", "lock_reason", "damaged_at"),
    *("damage_reason", "printed_at", "shipped_at", "sold_at", "activated_at", "next_fee_at"),
)


def calls_of(
    db: Database, serial: str, before: tuple[datetime, int] | None, *, limit: int = PAGE
) -> tuple[tuple[CallLine, ...], tuple[datetime, int] | None]:
    """One page of a card's calls, and where the next begins. Raises `InvalidInput` ("bad_serial")."""
    card_id = card_id_of(serial)
    with db.begin() as session:
        return lines.calls_page(session, card_id, before, limit)


def entries_of(
    db: Database, serial: str, before: int | None, *, limit: int = PAGE
) -> tuple[tuple[EntryLine, ...], int | None]:
    """One page of a card's ledger, and where the next begins. Raises `InvalidInput` ("bad_serial")."""
    card_id = card_id_of(serial)
    with db.begin() as session:
        return lines.entries_page(session, card_id, before, limit)


def known_card(db: Database, serial: str, field: str) -> int:
    """The id of the card that somebody named by its serial in a form.

    Raises `InvalidInput` (bad_serial, card_not_found) with the form's `field`.
    """
    try:
        card_id = card_id_of(serial)
    except InvalidInput as error:
        raise InvalidInput("bad_serial", **{**error.data, "field": field}) from None
    with db.begin() as session:
        if session.scalar(select(Card.id).where(Card.id == card_id)) is None:
            raise InvalidInput("card_not_found", field=field)
    return card_id


def find_cards(db: Database, digits: str) -> tuple[Match, ...]:
    """The cards that typed digits name, as serial or as number; spaces and hyphens between them are ignored.

    Two where the digits are one card's serial and another's number.
    """
    plain = digits.replace(" ", "").replace("-", "")
    if not _NUMBER.fullmatch(plain):
        return ()
    found = []
    with db.begin() as session:
        try:
            by_serial = session.scalar(select(Card.id).where(Card.id == card_id_of(plain)))
        except InvalidInput:
            by_serial = None
        if by_serial is not None:
            found.append(Match(serial_of(by_serial), "serial"))
        by_number = session.scalar(select(Card.id).where(Card.number == plain))
        if by_number is not None and by_number != by_serial:
            found.append(Match(serial_of(by_number), "number"))
    return tuple(found)


_NO_LISTS: dict[str, Any] = {
    "calls": (),
    "older_calls": None,
    "entries": (),
    "older_entries": None,
}


def _lists(
    session: Session,
    card_id: int,
    calls_before: tuple[datetime, int] | None,
    entries_before: int | None,
) -> dict[str, Any]:
    calls, older_calls = lines.calls_page(session, card_id, calls_before)
    entries, older_entries = lines.entries_page(session, card_id, entries_before)
    return {
        "calls": calls,
        "older_calls": older_calls,
        "entries": entries,
        "older_entries": older_entries,
    }


def _waiting(session: Session, card_id: int, now: datetime, bound: list[str]) -> tuple[WaitingCaller, ...]:
    waiting = session.scalars(
        select(PendingBinding)
        .where(
            PendingBinding.card_id == card_id,
            PendingBinding.expires_at > now,
            PendingBinding.caller.not_in(bound),
        )
        .order_by(PendingBinding.created_at, PendingBinding.caller)
    )
    return tuple(WaitingCaller(one.caller, one.expires_at) for one in waiting)


def _around(session: Session, card_id: int) -> dict[str, Any]:
    """What other tables know of a card: rules that recharge it, sources known to it, what replaced it."""
    rules = session.scalars(
        select(AutoRechargeRule.name)
        .join(AutoRechargeMember, AutoRechargeMember.rule_id == AutoRechargeRule.id)
        .where(AutoRechargeMember.card_id == card_id, AutoRechargeRule.disabled_at.is_(None))
        .order_by(AutoRechargeRule.name)
    )
    kind = func.split_part(KnownSource.source, ":", 1)
    known: dict[str, int] = dict(
        session.execute(select(kind, func.count()).where(KnownSource.card_id == card_id).group_by(kind)).all()
    )
    by = session.scalar(select(Replacement.new_id).where(Replacement.old_id == card_id))
    of = session.scalar(
        select(Replacement.old_id)
        .where(Replacement.new_id == card_id)
        .order_by(Replacement.at.desc())
        .limit(1)
    )
    return {
        "auto_recharge": tuple(rules),
        "known_phones": known.get("caller", 0),
        "known_browsers": known.get("browser", 0),
        "replaced_by": None if by is None else serial_of(by),
        "replaces": None if of is None else serial_of(of),
    }
