"""What pages show of auto-recharge: what each rule did, and the cards that are enrolled in it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select, text

from engine.cards import search
from engine.cards.search import CardFilter
from engine.db import Database
from engine.errors import InvalidInput
from engine.funds.autorules import MOST_CARDS
from engine.schema import AutoRechargeMember, Batch, Card, Reseller


@dataclass(frozen=True, slots=True)
class Doing:
    """What a rule did in a time: recharges and their sum in micro-units, falls that brought none, falls that wait."""

    done: int
    amount: int
    refused: int
    waiting: int


def doings(db: Database, since: datetime) -> dict[int, Doing]:
    """What each rule did since then, by its number; rules that noted nothing are left out."""
    with db.begin() as session:
        rows = session.execute(_DOINGS, {"since": since})
        return {row.rule_id: Doing(row.done, row.amount, row.refused, row.waiting) for row in rows}


_DOINGS = text(
    """
    SELECT x.rule_id, count(x.payment_id) AS done, coalesce(sum(p.amount), 0)::bigint AS amount,
        count(*) FILTER (WHERE x.done_at IS NOT NULL AND x.payment_id IS NULL) AS refused,
        count(*) FILTER (WHERE x.done_at IS NULL) AS waiting
    FROM auto_recharge_crossing x LEFT JOIN payment p ON p.id = x.payment_id
    WHERE x.at >= :since GROUP BY x.rule_id
    """
)


def members(
    db: Database, rule_id: int, *, after: int | None = None, limit: int = 50
) -> tuple[list[tuple[int, datetime]], int | None]:
    """The cards of a rule by their ids, with since when; and behind which id more of them follow, or None."""
    found = select(AutoRechargeMember.card_id, AutoRechargeMember.since).where(
        AutoRechargeMember.rule_id == rule_id
    )
    if after is not None:
        found = found.where(AutoRechargeMember.card_id > after)
    with db.begin() as session:
        rows = session.execute(found.order_by(AutoRechargeMember.card_id).limit(limit + 1)).all()
    shown = [(row.card_id, row.since) for row in rows[:limit]]
    return shown, shown[-1][0] if len(rows) > limit else None


def fitting(db: Database, card_filter: CardFilter, now: datetime) -> list[int]:
    """The ids of all cards that fit a filter, to enrol or withdraw them. Raises `InvalidInput` (rule_for_whom; and
    too_many_cards beyond `MOST_CARDS`)."""
    if card_filter == CardFilter():
        raise InvalidInput("rule_for_whom", field="filter")
    fits = select(Card.id).where(*search.where(card_filter, now)).limit(MOST_CARDS + 1)
    with db.begin() as session:
        found = session.scalars(fits).all()
    if len(found) > MOST_CARDS:
        raise InvalidInput("too_many_cards", field="cards", high=MOST_CARDS)
    return list(found)


def filter_words(db: Database, card_filter: CardFilter) -> list[str]:
    """The batch and the reseller that a filter names, and how many other criteria it has."""
    told = []
    with db.begin() as session:
        for label, table, number in (
            ("batch", Batch, card_filter.batch_id),
            ("reseller", Reseller, card_filter.reseller_id),
        ):
            if number is not None:
                name = session.scalar(select(table.name).where(table.id == number))
                told.append(f"{label} {name}")
    others = [name for name in search.to_json(card_filter) if name not in ("batch_id", "reseller_id")]
    return [*told, *(name.replace("_", " ") for name in others)]
