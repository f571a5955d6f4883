"""What a bulk command would do, before anybody says yes: who is changed, who is refused and why, the money."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Text, cast, column, func, join, literal, literal_column, select, text
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.orm import Session

from engine import settings
from engine.bulk.money import VERBS, moved
from engine.bulk.orders import MONEY, BulkOrder, Listed, checked, missing_card
from engine.bulk.steps import CHANGE, NO_PROBE, SAME, bound
from engine.cards import search
from engine.cards.serials import serial_of
from engine.cards.status import status_sql
from engine.db import Database
from engine.errors import InvalidInput, NotFound
from engine.house import zone_of
from engine.names import sought
from engine.people.resellers import trading
from engine.schema import Batch, Card, Deck, DestinationRules

SAMPLE = 10
"""Cards that a preview names."""
WHICH = func.encode(
    func.sha256(
        func.convert_to(
            func.coalesce(
                func.string_agg(cast(Card.id, Text), aggregate_order_by(literal(","), Card.id)), ""
            ),
            "UTF8",
        )
    ),
    "hex",
)
"""SQL for a digest of which cards they are: of their ids, ascending and separated by commas."""


@dataclass(frozen=True, slots=True)
class SampleLine:
    """One of the cards: its balance in micro-units of `currency`."""

    serial: str
    status: str
    balance: int
    currency: str
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Preview:
    """What would come of an order now.

    `moves`: micro-units that would be moved, by currency, signed as the cards see it. `refused`: how many by code.
    `digest`: SHA-256 in hexadecimals of which cards they are.
    """

    cards: int
    statuses: Mapping[str, int] = field(default_factory=dict)
    changing: int = 0
    unchanged: int = 0
    refused: Mapping[str, int] = field(default_factory=dict)
    moves: Mapping[str, int] = field(default_factory=dict)
    sample: tuple[SampleLine, ...] = ()
    digest: str = ""

    @property
    def amount(self) -> int:
        """What would be moved in all; runs that move money have one currency."""
        return sum(self.moves.values())


def preview(db: Database, order: BulkOrder, now: datetime) -> Preview:
    """Count what `order` would do at `now`; nothing is kept or locked.

    Raises `InvalidInput` (what is wrong with the order; "bad_line", "cards_not_found" for a list with a card that
    doesn't exist; "currency_mismatch" where money would be moved in several currencies), `NotFound` (deck_not_found,
    rules_not_found, reseller_not_found) and `Conflict` ("reseller_disabled").
    """
    order = checked(order)
    with db.begin() as session:
        # In one snapshot: what is counted and what is told of it are the same cards.
        session.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
        if isinstance(order.targets, Listed):
            require_cards(session, order.targets)
        chosen = _chosen(order, now)
        found = []
        if order.verb in MONEY:
            found = list(session.scalars(_joined(select(Card.currency).distinct(), chosen), chosen.values))
        params = resolved(session, order, one_currency(order.verb, found))
        figures = _counted(session, order.verb, params, chosen, now)
        digest = session.execute(_joined(select(WHICH), chosen), chosen.values).scalar_one()
        return Preview(**figures, sample=_sample(session, chosen, now), digest=digest)


def assess(session: Session, verb: str, run_id: int, params: Mapping[str, Any], now: datetime) -> Preview:
    """The same for the frozen targets of a run, in the caller's transaction."""
    frozen = _Chosen(_FROZEN, [], {"run_id": run_id, "caller": params.get("caller")})
    return Preview(**_counted(session, verb, params, frozen, now))


def resolved(session: Session, order: BulkOrder, currency: str | None) -> dict[str, Any]:
    """The parameters with the ids that their names stand for, and the currency of what is moved."""
    params = dict(order.params)
    if order.verb == "change_deck":
        deck = session.execute(
            select(Deck.id, Deck.name, Deck.currency).where(Deck.name == sought(params["deck"]))
        ).one_or_none()
        if deck is None:
            raise NotFound("deck_not_found", deck=params["deck"][:100])
        return {"deck_id": deck.id, "deck": deck.name, "currency": deck.currency}
    if order.verb == "change_rules":
        rules = session.execute(
            select(DestinationRules.id, DestinationRules.name).where(
                DestinationRules.name == sought(params["rules"])
            )
        ).one_or_none()
        if rules is None:
            raise NotFound("rules_not_found", name=params["rules"][:100])
        return {"rules_id": rules.id, "rules": rules.name}
    if order.verb == "assign" and params["reseller_id"] is not None:
        trading(session, params["reseller_id"])
    return {**params, "currency": currency} if order.verb in MONEY else params


def require_cards(session: Session, listed: Listed) -> None:
    """Every card of a list must exist. Raises `InvalidInput` ("bad_line" with its line, or "cards_not_found")."""
    missing = session.execute(
        text(
            "SELECT at - 1, count(*) OVER () FROM unnest(CAST(:ids AS bigint[])) WITH ORDINALITY AS asked (id, at)"
            " WHERE NOT EXISTS (SELECT 1 FROM card WHERE card.id = asked.id) ORDER BY at LIMIT 1"
        ),
        {"ids": list(listed.card_ids)},
    ).one_or_none()
    if missing is not None:
        error = missing_card(listed, missing[0])
        if error.code == "cards_not_found":
            error.data["count"] = missing[1]
        raise error


def one_currency(verb: str, currencies: list[str]) -> str | None:
    """The currency of a run that moves money. Raises `InvalidInput` ("currency_mismatch") where there are several."""
    if verb not in MONEY:
        return None
    if len(currencies) > 1:
        raise InvalidInput("currency_mismatch", field="currency", text=", ".join(sorted(currencies)))
    return currencies[0] if currencies else ""


# --- the cards, and what is counted of them ---


@dataclass(frozen=True, slots=True)
class _Chosen:
    """Where an order's cards come from: SQL for `target` (id and caller), and conditions."""

    target: str
    conditions: list[Any]
    values: dict[str, Any]


_LISTED = "SELECT * FROM unnest(CAST(:ids AS bigint[]), CAST(:callers AS text[])) AS listed (id, caller)"
_FILTERED = "SELECT NULL::bigint AS id, CAST(:caller AS text) AS caller"
_FROZEN = """
    SELECT frozen.id, coalesce(frozen.caller, CAST(:caller AS text)) AS caller
    FROM bulk_chunk, unnest(card_ids, callers) AS frozen (id, caller) WHERE run_id = :run_id
"""


def _chosen(order: BulkOrder, now: datetime) -> _Chosen:
    targets, caller = order.targets, order.params.get("caller")
    if isinstance(targets, Listed):
        callers: list[Any] = list(targets.callers) or [caller] * len(targets.card_ids)
        return _Chosen(_LISTED, [], {"ids": list(targets.card_ids), "callers": callers})
    return _Chosen(_FILTERED, list(search.where(targets, now)), {"caller": caller})


def _joined(statement: Any, chosen: _Chosen) -> Any:
    target = text(chosen.target).columns(column("id"), column("caller")).subquery("target")
    filtered = chosen.target is _FILTERED
    on = literal_column("true") if filtered else Card.id == target.c.id
    cards = join(join(Card, Batch, Card.batch_id == Batch.id), target, on)
    return statement.select_from(cards).where(*chosen.conditions)


def _sample(session: Session, chosen: _Chosen, now: datetime) -> tuple[SampleLine, ...]:
    wanted = select(Card.id, status_sql(now), Card.balance, Card.currency, Card.expires_at)
    rows = session.execute(_joined(wanted, chosen).order_by(Card.id).limit(SAMPLE), chosen.values)
    return tuple(SampleLine(serial_of(row[0]), row[1], row[2], row[3], row[4]) for row in rows)


def _counted(
    session: Session, verb_name: str, params: Mapping[str, Any], chosen: _Chosen, now: datetime
) -> dict[str, Any]:
    """The figures of a preview."""
    verb, zone = VERBS.get(verb_name), zone_of(settings.load(session))
    verdict, probe = (verb.verdict, verb.probe) if verb else ("''", NO_PROBE)
    wanted = select(
        status_sql(now).label("status"),
        Card.currency,
        text(verdict),
        text(probe),
        func.count(),
        func.sum(Card.balance),
    )
    statement = _joined(wanted, chosen).group_by(text("1, 2, 3, 4, 5, 6"))
    values = {**chosen.values, **(bound(verb, params, now) if verb else {})}
    statuses: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    moves: Counter[str] = Counter()
    changing = unchanged = 0
    for status, currency, judged, at, a, _, cards, balance in session.connection().execute(statement, values):
        statuses[status] += cards
        found = verb.settle(judged, at, a, now, zone) if verb and verb.settle else judged
        if found == CHANGE:
            changing += cards
            moves[currency] += moved(verb_name, params, cards, int(balance))
        elif found == SAME:
            unchanged += cards
        else:
            refused[found] += cards
    return {
        "cards": sum(statuses.values()),
        "statuses": dict(statuses),
        "changing": changing,
        "unchanged": unchanged,
        "refused": dict(refused),
        "moves": {currency: amount for currency, amount in moves.items() if amount},
    }
