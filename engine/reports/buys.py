"""What a card's balance buys: minutes to the places its holder calls, or, before the first call, that others call."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.orm import Session

from engine import house
from engine.calls.countries import country_of
from engine.calls.decks import rate_table, version_in_force
from engine.calls.prices import Price, is_barred, price_of
from engine.cards.holder import HolderCard
from engine.db import Database

MOST = 5
LOOKED_BACK = timedelta(days=90)
POPULAR_KEPT = timedelta(hours=1)
"""How long a process keeps what the callers of a deck call most."""
_POPULAR = timedelta(days=30)
_KEY = "popular destinations"


@dataclass(frozen=True, slots=True)
class Buy:
    """A destination, and what is available on the card buys there: `price.seconds`. `country`: ISO, None for none."""

    name: str
    country: str | None
    price: Price


def buys(db: Database, card: HolderCard, now: datetime) -> tuple[Buy, ...]:
    """Up to five destinations that this card called most in 90 days, with what its available balance buys there.

    A card that was never used is told of the destinations that its deck's callers call most. None are told of a card
    that can't call. Prices are without an access number's surcharge.
    """
    if card.status not in ("active", "unused") or card.available <= 0 or card.deck_id is None:
        return ()
    rules = house.fresh(db)
    with db.begin() as session:
        version = version_in_force(session, card.deck_id, now)
        if version is None:
            return ()
        called = _own(session, card.card_id, now)
        called = called or list(_popular(db, session, card.deck_id, now))
    table = rate_table(db, version)
    found: dict[str, Buy] = {}
    for number in called:
        rate = table.find(number, now)
        if rate is None or rate.destination_name in found or is_barred(rules, card, number):
            continue
        price = price_of(rules, rate.rate, card, card.available)
        if price.seconds:
            found[rate.destination_name] = Buy(rate.destination_name, country_of(number), price)
    return tuple(found.values())[:MOST]


_OWN = text(
    """
    SELECT (array_agg(destination ORDER BY ended_at DESC))[1] FROM (
        SELECT destination, destination_name, ended_at FROM cdr
        WHERE card_id = :card AND ended_at >= :since AND duration_s > 0 ORDER BY ended_at DESC, id DESC LIMIT 500
    ) AS call
    GROUP BY destination_name ORDER BY count(*) DESC, max(ended_at) DESC LIMIT 10
    """
)


def _own(session: Session, card_id: int, now: datetime) -> list[str]:
    return list(session.scalars(_OWN, {"card": card_id, "since": now - LOOKED_BACK}))


_OF_DECK = text(
    """
    SELECT (array_agg(quarter.prefix ORDER BY quarter.answered DESC))[1] FROM (
        SELECT batch_id, prefix, destination_name, answered FROM traffic_bucket
        WHERE at >= :since ORDER BY at DESC LIMIT 20000
    ) AS quarter JOIN batch ON batch.id = quarter.batch_id
    WHERE batch.deck_id = :deck
    GROUP BY quarter.destination_name HAVING sum(quarter.answered) > 0
    ORDER BY sum(quarter.answered) DESC, quarter.destination_name LIMIT 10
    """
)


def _popular(db: Database, session: Session, deck_id: int, now: datetime) -> Iterable[str]:
    kept: dict[int, tuple[datetime, list[str]]] = db.cache.setdefault(_KEY, {})
    at, found = kept.get(deck_id, (None, []))
    if at is None or not at <= now < at + POPULAR_KEPT:
        found = list(session.scalars(_OF_DECK, {"deck": deck_id, "since": now - _POPULAR}))
        kept[deck_id] = now, found
    return found
