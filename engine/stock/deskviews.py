"""What a reseller's till shows before anything is done: a card by its serial, and what a command would do and cost.

Nothing is locked or changed. Conditions and prices are the lines of SQL that the commands read (`engine.stock.verbs`),
so that what was shown is what is charged, unless the stock or the credit changes between them. What is another's does
not exist.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from engine import settings
from engine.cards.names import actor_names
from engine.cards.serials import card_id_of, serial_of
from engine.db import Database
from engine.errors import InvalidInput, NotFound, Refused
from engine.funds import recharges
from engine.funds.bonus import bonus_for
from engine.house import zone_of
from engine.people.resellers import trading
from engine.schema import Account, Batch, Card, CardEvent, Reseller
from engine.stock.conditions import FACE
from engine.stock.custody import Range, missing_of, require_own, require_ready
from engine.stock.deskstock import OFFERED, state_sql
from engine.stock.moves import account_of, count, currency_of
from engine.stock.resale import check_recharge
from engine.stock.verbs import PRICE, RANGE, VERBS

BOTH = "both"
ACTS: Mapping[str, tuple[str, ...]] = {
    BOTH: ("activate", "sell"),
    "activate": ("activate",),
    "sell": ("sell",),
    "return": ("return",),
}
"""What a till does to cards: each with its commands, in their order."""
_LARGE = 10
"""A recharge of more than so many times what the card was made with is said to be large: a key that stuck."""


@dataclass(frozen=True, slots=True)
class Told:
    """When a card was activated or sold, and by whom of the reseller's people, or "the operator"."""

    at: datetime
    by: str


@dataclass(frozen=True, slots=True)
class CardAtTill:
    """A card of the own stock. Amounts in micro-units of `currency`.

    `state`: one of `deskstock.STATES`; `face`: what it was made with; `price`: what it costs the reseller, or did where
    it is `charged`; `credit`: what the reseller can still spend (None: it has no account in this currency).
    `keeps_from` says for each of `ACTS` and `recharge` why it can't be done now, None where it can.
    """

    serial: str
    batch: str
    kind: str
    state: str
    face: int
    currency: str
    price: int
    charged: bool
    credit: int | None
    expires_at: datetime | None
    activated: Told | None
    sold: Told | None
    keeps_from: Mapping[str, str | None]

    def can(self, act: str) -> bool:
        """Whether it can be done now."""
        return self.keeps_from[act] is None

    @property
    def offered(self) -> tuple[str, ...]:
        """Which of `ACTS` make sense now, the likeliest first."""
        return tuple(act for act in OFFERED[self.state] if self.can(act))

    @property
    def missing(self) -> int:
        """How much credit is missing to pay for it."""
        return 0 if self.charged or self.credit is None else max(0, self.price - self.credit)


@dataclass(frozen=True, slots=True)
class Step:
    """A command of an act: cards it would change, and leave, with how many for what reason."""

    kind: str
    changed: int
    left: int
    why: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Ahead:
    """What an act would do to a range now. Amounts in micro-units of `currency`.

    `amount` is what the account would be charged (negative: given back), `face` the face value of the cards it is for,
    `credit` what can be spent before it, None where nothing is charged.
    """

    act: str
    cards: int
    steps: tuple[Step, ...]
    batches: tuple[str, ...]
    amount: int
    face: int
    currency: str
    credit: int | None

    @property
    def changed(self) -> int:
        """Cards that it would change in any way."""
        return max(step.changed for step in self.steps)

    @property
    def missing(self) -> int:
        """How much credit is missing for it: it would be refused."""
        return 0 if self.credit is None else max(0, self.amount - self.credit)

    @property
    def credit_after(self) -> int | None:
        """What could be spent after it."""
        return None if self.credit is None else self.credit - self.amount


@dataclass(frozen=True, slots=True)
class RechargeAhead:
    """What a recharge would do now, in micro-units of `currency`; `balance` is the card's after it.

    `large`: it is far more than what such a card is made with.
    """

    serial: str
    amount: int
    bonus: int
    balance: int
    currency: str
    credit: int
    large: bool

    @property
    def missing(self) -> int:
        """How much credit is missing for it: it would be refused."""
        return max(0, self.amount - self.credit)

    @property
    def credit_after(self) -> int:
        """What could be spent after it."""
        return self.credit - self.amount


def scanned(typed: str) -> str:
    """A serial as keyboard scanners and people write it, without what they put around and between the digits.

    Raises `InvalidInput` ("bad_serial").
    """
    return serial_of(card_id_of("".join(typed.split())))


def scanned_range(first: str, last: str) -> Range:
    """The same for both ends of a range. Raises `InvalidInput` (bad_serial, whose `field` is the end; range_backwards,
    range_too_long)."""
    ends = []
    for field, typed in (("first", first), ("last", last)):
        try:
            ends.append(scanned(typed))
        except InvalidInput as error:
            error.data["field"] = field
            raise
    return Range.of_serials(*ends)


def card_at_till(db: Database, serial: str, reseller_id: int, now: datetime) -> CardAtTill:
    """A card of the reseller's own stock. Raises `InvalidInput` ("bad_serial") and `NotFound` ("card_not_found")."""
    card_id = card_id_of("".join(serial.split()))
    statement = (
        select(
            Card.activated_at,
            Card.sold_at,
            Card.expires_at,
            Card.reseller_price,
            Batch.name,
            Batch.kind,
            Batch.currency,
            state_sql(now).label("state"),
        )
        .join(Batch, Batch.id == Card.batch_id)
        .where(Card.id == card_id, Card.reseller_id == reseller_id, Batch.ready_at.is_not(None))
    )
    with db.begin() as session:
        row = session.execute(statement).one_or_none()
        if row is None:
            raise NotFound("card_not_found")
        reseller = session.get_one(Reseller, reseller_id)
        price, face, keeps_from = _terms(session, card_id, reseller, now)
        return CardAtTill(
            serial=serial_of(card_id),
            batch=row.name,
            kind=row.kind,
            state=row.state,
            face=face,
            currency=row.currency,
            price=price,
            charged=row.reseller_price is not None,
            credit=_credit(session, reseller_id, row.currency),
            expires_at=row.expires_at,
            activated=_told(session, card_id, "activate", row.activated_at, reseller_id),
            sold=_told(session, card_id, "sell", row.sold_at, reseller_id),
            keeps_from=keeps_from,
        )


def look(
    db: Database,
    act: str,
    cards: Range,
    reseller_id: int,
    now: datetime,
    *,
    undoes: Sequence[int] | None = None,
    to_operator: bool = False,
) -> Ahead:
    """What one of `ACTS` would do to a range of the own stock now; `undoes`, `to_operator` as in `resale.give_back`.

    Raises as its commands do, but for the credit: what is missing is said (`missing`).
    """
    with db.begin() as session:
        reseller = trading(session, reseller_id)
        require_own(session, cards, reseller_id)
        batches = require_ready(session, cards)
        currency, values = currency_of(session, cards), _values(cards, reseller, now, undoes, to_operator)
        counted = {kind: count(session, VERBS[kind], values) for kind in ACTS[act]}
        # What the first command charges, no other charges again; what it leaves, the others leave or find charged.
        pays = counted[ACTS[act][0]]
        credit = None
        if pays.amount:
            account_of(session, reseller, currency)
            credit = _credit(session, reseller_id, currency)
        steps = tuple(
            Step(kind, one.changed, sum(one.why.values()), one.why) for kind, one in counted.items()
        )
        number = cards.last - cards.first + 1
        return Ahead(act, number, steps, batches, pays.amount, pays.face, currency, credit)


def look_recharge(db: Database, serial: str, amount: int, reseller_id: int, now: datetime) -> RechargeAhead:
    """What a recharge from the own credit would do now. Raises as `resale.recharge`, but for the credit."""
    check_recharge(amount)
    card_id = card_id_of("".join(serial.split()))
    with db.begin() as session:
        reseller = trading(session, reseller_id)
        card = recharges.read_target(session, card_id)
        if card is None or missing_of(session, Range(card_id, card_id), reseller_id):
            raise NotFound("card_not_found")
        account_of(session, reseller, card.currency)
        refusal = recharges.recharge_refusal(card, now, zone_of(settings.load(session)))
        if refusal is not None:
            raise Refused(refusal, serial=serial_of(card_id))
        gift = bonus_for(session, card, amount, "reseller", now).amount
        balance = card.balance + amount + gift
        if balance > recharges.MOST:
            raise InvalidInput("amount_too_large", field="amount", high=recharges.MOST)
        _, face, _ = _terms(session, card_id, reseller, now)
        credit = _credit(session, reseller_id, card.currency) or 0
        large = amount > _LARGE * face > 0
        return RechargeAhead(serial_of(card_id), amount, gift, balance, card.currency, credit, large)


def _values(
    cards: Range,
    reseller: Reseller,
    now: datetime,
    undoes: Sequence[int] | None = None,
    to_operator: bool = False,
) -> dict[str, Any]:
    """All that the SQL of `ACTS` asks for; what is returned at a till stays the reseller's."""
    return {
        "first": cards.first,
        "last": cards.last,
        "now": now,
        "discount": reseller.discount_bp,
        "to_operator": to_operator,
        "undoes": None if undoes is None else sorted(undoes),
    }


def _terms(
    session: Session, card_id: int, reseller: Reseller, now: datetime
) -> tuple[int, int, dict[str, str | None]]:
    """A card's price and face value, and what keeps it from each act."""
    kinds = ("activate", "sell", "return")
    whys = ", ".join(f'{VERBS[kind].why} AS "{kind}"' for kind in kinds)
    row = session.execute(
        text(f"SELECT {PRICE} AS price, {FACE} AS face, {whys} FROM card, batch WHERE {RANGE}"),
        _values(Range(card_id, card_id), reseller, now),
    ).one()
    found: dict[str, str | None] = {kind: row._mapping[kind] for kind in kinds}
    found[BOTH] = found["activate"] or found["sell"]
    target, zone = recharges.read_target(session, card_id), zone_of(settings.load(session))
    found["recharge"] = recharges.recharge_refusal(target, now, zone)
    return row.price, row.face, found


def _told(session: Session, card_id: int, kind: str, at: datetime | None, reseller_id: int) -> Told | None:
    """When a card was activated or sold, and who of this reseller's people did that; another's are not named."""
    if at is None:
        return None
    actor = session.scalar(
        select(CardEvent.actor)
        .where(
            CardEvent.card_id == card_id,
            CardEvent.kind == kind,
            CardEvent.at == at,
            CardEvent.data["reseller"].as_integer() == reseller_id,
        )
        .limit(1)
    )
    return Told(at, "the operator" if actor is None else actor_names(session, [actor], at_desk=True)[actor])


def _credit(session: Session, reseller_id: int, currency: str) -> int | None:
    return session.scalar(
        select(Account.balance + Account.credit_limit).where(
            Account.reseller_id == reseller_id, Account.currency == currency, Account.closed_at.is_(None)
        )
    )
