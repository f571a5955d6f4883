"""What a call would cost, and how long a card could talk: the same deck, rate and fees as a call would get."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from engine import house
from engine.calls.authorization import affordable
from engine.calls.decks import rate_table, version_in_force
from engine.cards import access, authentication
from engine.cards.access import Credentials, SwitchLike
from engine.db import Database
from engine.errors import InvalidInput, NotFound
from engine.names import sought
from engine.phone import parse_destination
from engine.refusal import Refusal
from engine.schema import Deck
from engine.vault import Secret, Vault


@dataclass(frozen=True, slots=True)
class Quote:
    """The rate in force for a destination. Amounts in micro-units; `affordable_seconds` where a card was shown."""

    deck: str
    currency: str
    prefix: str
    destination_name: str
    price_per_minute: int
    connect_fee: int
    first_increment: int
    increment: int
    grace: int
    affordable_seconds: int | None


def quote(
    db: Database,
    vault: Vault,
    *,
    switch: SwitchLike,
    destination: str,
    deck: str | None = None,
    token: Secret | None = None,
    now: datetime,
) -> Quote | Refusal:
    """The rate of a destination in a named deck, or in the deck of the card that a token opens.

    Returns a `Refusal` for a dead token, a destination that is none, and one without a rate. Raises `NotFound`
    ("deck_not_found") and `InvalidInput` ("deck_required").
    """
    row = None
    country = house.current(db).settings.home_country or None
    if token is not None:
        with db.connection() as conn:
            presented, row = access.read_card(
                conn,
                db,
                vault,
                access.card_queries(),
                switch=switch,
                credentials=Credentials(token=token),
                caller=None,
                access_number=None,
                now=now,
            )
        refusal = authentication.prove(db, vault, presented, row)
        if refusal is not None:
            return refusal
    elif deck is None:
        raise InvalidInput("deck_required", field="deck")
    with db.begin() as session:
        named = Deck.name == sought(deck or "")
        wanted = named if row is None else Deck.id == row.deck_id
        if deck is not None:
            wanted = wanted & named
        found_deck = session.scalar(select(Deck).where(wanted))
        if found_deck is None:
            raise NotFound("deck_not_found", deck=deck)
        version = version_in_force(session, found_deck.id, now)
    target = parse_destination(destination, country)
    if target is None:
        return Refusal("destination_invalid")
    found = rate_table(db, version).find(target.e164, now) if version is not None else None
    if found is None:
        return Refusal("destination_unknown")
    rate = found.rate
    seconds = None
    if row is not None:
        rate, seconds = affordable(rate, row, house.Access(""), house.current(db))
    return Quote(
        deck=found_deck.name,
        currency=found_deck.currency,
        prefix=found.prefix,
        destination_name=found.destination_name,
        price_per_minute=rate.price_per_minute,
        connect_fee=rate.connect_fee,
        first_increment=rate.first_increment,
        increment=rate.increment,
        grace=rate.grace,
        affordable_seconds=seconds,
    )
