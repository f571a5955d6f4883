"""What destinations cost us: the deck that a deck buys at, and what is left of each of its rates.

A sell rate is set against the buy rate that a call to its prefix would have, and against the dearest one of all longer
buy prefixes for which it is the one that is sold.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import select

from engine.actor import Actor
from engine.calls.deckdiff import driver
from engine.calls.deckversions import version_in_force
from engine.db import Database
from engine.errors import InvalidInput, NotFound
from engine.people import audit
from engine.permissions import command
from engine.schema import Deck, DeckVersion

MOST_KEPT = 4
_KEY = "deck costs"
_SELL = "SELECT DISTINCT prefix FROM deck_rate WHERE version_id = %s"
_LEAST = "SELECT prefix, min(price_per_minute) FROM deck_rate WHERE version_id = %s GROUP BY prefix"
_BUY = """
    SELECT prefix, max(price_per_minute) FROM deck_rate
    WHERE version_id = %s AND (effective_from IS NULL OR effective_from <= %s)
      AND (effective_until IS NULL OR effective_until > %s) GROUP BY prefix
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a minute to the destinations of one sell prefix costs us, in micro-units, in the dearest hours.

    `price` is that of the prefix itself (`prefix`: the buy prefix it falls under); `most` that of the dearest longer
    buy prefix (`most_prefix`) that is sold at the same rate. Where nothing covers the prefix itself `price` is None.
    """

    price: int | None
    prefix: str | None
    most: int
    most_prefix: str


@dataclass(frozen=True, slots=True)
class Costs:
    """The costs of a version by its prefixes, at the version of the buy deck that is (or will be) in force with it."""

    buy_deck_id: int
    buy_version: int
    by_prefix: dict[str, Cost]
    under: dict[int, list[str]] = field(default_factory=dict)
    """By version, what `under_cost` found out."""

    def of(self, prefix: str) -> Cost | None:
        """The cost of a prefix; None where the buy deck has no rate for it."""
        return self.by_prefix.get(prefix)


@command("deck.set_buy_deck")
def set_buy_deck(
    db: Database, *, deck_id: int, buy_deck_id: int | None, actor: Actor, now: datetime
) -> str | None:
    """Say which deck holds what this one's destinations cost us (None: none does); answers its name.

    Margins are told against it from now on; no call is charged otherwise. Raises `NotFound("deck_not_found")`,
    `InvalidInput` (buy_deck_itself, buy_deck_currency).
    """
    with db.begin() as session:
        deck = session.scalar(select(Deck).where(Deck.id == deck_id).with_for_update(key_share=True))
        bought = None if buy_deck_id is None else session.get(Deck, buy_deck_id)
        if deck is None or (buy_deck_id is not None and bought is None):
            raise NotFound("deck_not_found")
        if bought is not None and bought.id == deck.id:
            raise InvalidInput("buy_deck_itself", field="buy_deck")
        if bought is not None and bought.currency != deck.currency:
            raise InvalidInput(
                "buy_deck_currency", field="buy_deck", currency=deck.currency, found=bought.currency
            )
        if deck.buy_deck_id == buy_deck_id:
            return None if bought is None else bought.name
        before, deck.buy_deck_id = deck.buy_deck_id, buy_deck_id
        audit.record(
            session,
            actor,
            "deck.set_buy_deck",
            f"deck:{deck.id}",
            now,
            name=deck.name,
            buy_deck=None if bought is None else bought.name,
            before=before,
        )
        return None if bought is None else bought.name


def costs_of(db: Database, version_id: int, now: datetime) -> Costs | None:
    """The costs of a version's prefixes; None where its deck names no buy deck, or that has no version in force.

    Worked out once a process and version: 100,000 rates take half a second.
    """
    with db.begin() as session:
        version = session.get_one(DeckVersion, version_id)
        buy_deck = session.get_one(Deck, version.deck_id).buy_deck_id
        if buy_deck is None:
            return None
        moment = max(now, version.effective_from)
        buy_version = version_in_force(session, buy_deck, moment)
        if buy_version is None:
            return None
        kept: OrderedDict[object, Costs] = db.cache.setdefault(_KEY, OrderedDict())
        key = (version_id, buy_version, moment.date())
        known = kept.get(key)
        if known is not None:
            return known
        link = driver(session)
        sold = {row[0] for row in link.execute(_SELL, [version_id])}
        bought = dict(link.execute(_BUY, [buy_version, moment, moment]).fetchall())
    found = kept[key] = Costs(buy_deck, buy_version, worked_out(sold, bought))
    while len(kept) > MOST_KEPT:
        kept.popitem(last=False)
    return found


def under_cost(db: Database, version_id: int, costs: Costs) -> list[str]:
    """The prefixes of a version that are, in part at least, sold for less than they cost."""
    known = costs.under.get(version_id)
    if known is None:
        with db.begin() as session:
            prices = driver(session).execute(_LEAST, [version_id]).fetchall()
        known = sorted(
            prefix
            for prefix, price in prices
            if (cost := costs.by_prefix.get(prefix)) is not None and price < cost.most
        )
        costs.under[version_id] = known
    return known


def worked_out(sold: set[str], bought: dict[str, int]) -> dict[str, Cost]:
    """The cost of each prefix that is sold, out of what is bought (prefix to price)."""
    longest: dict[str, tuple[int, str]] = {}
    for prefix, price in bought.items():
        under = _longest(sold, prefix)
        if under is not None and (under not in longest or longest[under][0] < price):
            longest[under] = price, prefix
    costs = {}
    for prefix in sold:
        own = _longest(bought.keys(), prefix)
        known = [longest[prefix]] if prefix in longest else []
        if own is not None:
            known.append((bought[own], own))
        if known:
            costs[prefix] = Cost(None if own is None else bought[own], own, *max(known))
    return costs


def _longest(prefixes: Collection[str], digits: str) -> str | None:
    """The longest of the prefixes (a set) with which the digits begin."""
    parts = (digits[:length] for length in range(len(digits), 0, -1))
    return next((part for part in parts if part in prefixes), None)
