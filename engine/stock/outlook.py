"""What an order would become, before it is one: its strength, its room, a name, and what is usual for a face value."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.orm import Session

from engine.actor import Actor
from engine.db import Database
from engine.errors import InvalidInput
from engine.money import format_amount
from engine.names import LONGEST, tidied
from engine.permissions import require
from engine.schema import Batch, Deck, DestinationRules, Reseller
from engine.stock import orders
from engine.stock.batches import new_batch, room_of, serials_used
from engine.stock.orders import SPARSENESS, BatchOrder

_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)
_NOT_IN_NAMES = re.compile(r"[^\w-]+")
MANY = 500
"""Names that a list of choices holds at most."""


@dataclass(frozen=True, slots=True)
class Preset:
    """What is usual for cards of a face value; `changes` are fields of an order."""

    name: str
    title: str
    told: str
    changes: Mapping[str, Any]


def _preset(name: str, title: str, told: str, **changes: Any) -> Preset:
    return Preset(name, title, told, MappingProxyType(changes))


_UNIT = 1_000_000
PRESETS = (
    _preset("tier-5", "5", "90 days, any phone", denomination=5 * _UNIT, validity_days=90),
    _preset("tier-10", "10", "120 days, any phone", denomination=10 * _UNIT, validity_days=120),
    _preset(
        "tier-20",
        "20",
        "180 days, up to three registered phones",
        denomination=20 * _UNIT,
        validity_days=180,
        binding="multi",
        max_bound=3,
    ),
    _preset(
        "tier-50",
        "50, bound",
        "a year, one registered phone, 10-digit passwords",
        denomination=50 * _UNIT,
        validity_days=365,
        binding="single",
        auto_bind=True,
        password_length=10,
    ),
    _preset(
        "bind-high",
        "Bind high-value cards",
        "one registered phone, activated at the till, 10-digit passwords",
        binding="single",
        auto_bind=True,
        password_length=10,
        release="activation",
    ),
)
"""By their denomination, as peers sell them; the last one leaves the face value as it is."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is known of an order. Where `problems` is not empty the rest is None.

    `tries`: blind tries at number and password for one hit. `space`: how many numbers there are; `used`: how many of
    them cards have already (at most, where it is not `exact`), `room`: how many they may have. `value`: count ×
    denomination in micro-units.
    """

    problems: tuple[InvalidInput, ...]
    warnings: tuple[str, ...] = ()
    tries: int | None = None
    space: int | None = None
    used: int | None = None
    exact: bool = False
    room: int | None = None
    value: int | None = None


@dataclass(frozen=True, slots=True)
class Choices:
    """What an order can name: decks with their currencies, destination rules, resellers that trade."""

    decks: tuple[tuple[str, str], ...]
    rules: tuple[str, ...]
    resellers: tuple[str, ...]


def look(db: Database, order: BatchOrder, actor: Actor, now: datetime) -> Outlook:
    """What would become of an order, and everything that is wrong with it; nothing is ordered or taken."""
    require(actor, "batch.create")
    problems = list(orders.problems(order))
    with db.begin() as session, session.no_autoflush:
        if not problems:
            try:
                new_batch(session, order, actor, now)
            except InvalidInput as problem:
                problems.append(problem)
        if problems:
            return Outlook(tuple(problems))
        space, dense = orders.space_of(order), order.range_first is not None
        room = space.size if dense else space.size // SPARSENESS
        # Counting them takes a third of a second at a million cards: only where it could matter.
        used = serials_used(session)
        exact = dense or order.count + used > room
        if exact:
            used = room_of(session, space)
    if order.count + used > room:
        field = "range_last" if dense else "number_length"
        free = max(0, room - used)
        return Outlook((InvalidInput("space_too_full", field=field, count=order.count, free=free),))
    return Outlook(
        problems=(),
        warnings=orders.warnings(order, space, used),
        tries=orders.strength(order),
        space=space.size,
        used=used,
        exact=exact,
        room=room,
        value=order.count * order.denomination,
    )


def proposed_name(
    db: Database, region: str, denomination: int | None, kind: str, now: datetime, zone: ZoneInfo
) -> str:
    """Region_Denomination_Month, such as `Dhaka_5_November`; with the year, then a number, where that is taken."""
    place = _NOT_IN_NAMES.sub("-", tidied(region)).strip("-_")[: LONGEST // 2]
    value = "" if denomination is None else format_amount(denomination, 0)
    day = now.astimezone(zone)
    words = ["Voucher" if kind == "voucher" else "", place, value, _MONTHS[day.month - 1]]
    short = "_".join(word for word in words if word)
    dated = f"{short}_{day.year}"
    with db.begin() as session:
        taken = set(session.scalars(select(Batch.name).where(Batch.name.startswith(short, autoescape=True))))
    numbered = (f"{dated}_{number}" for number in range(2, len(taken) + 3))
    return next(name for name in (short, dated, *numbered) if name not in taken)


def choices(db: Database) -> Choices:
    """What an order can name now."""
    with db.begin() as session:
        decks = session.execute(select(Deck.name, Deck.currency).order_by(Deck.name).limit(MANY)).all()
        rules = session.scalars(select(DestinationRules.name).order_by(DestinationRules.name)).all()
        resellers = session.scalars(
            select(Reseller.name).where(Reseller.disabled_at.is_(None)).order_by(Reseller.name).limit(MANY)
        ).all()
    return Choices(tuple((row.name, row.currency) for row in decks), tuple(rules), tuple(resellers))


def order_like(db: Database, batch_id: int) -> BatchOrder | None:
    """An order of more cards like those of a batch, still with its name; None where there is no such batch.

    Numbers of an explicit range are not asked for twice: the new ones get a prefix or none.
    """
    with db.begin() as session:
        batch = session.get(Batch, batch_id)
        return None if batch is None else _order_of(session, batch)


def _order_of(session: Session, batch: Batch) -> BatchOrder:
    deck = session.get(Deck, batch.deck_id) if batch.deck_id is not None else None
    reseller = session.get(Reseller, batch.reseller_id) if batch.reseller_id is not None else None
    same = (
        "name count denomination currency kind number_prefix number_length luhn password_length validity_days "
        "validity_from first_use grace_days extension_days binding auto_bind pinless concurrency post_call_fee "
        "maintenance_fee maintenance_days language release"
    )
    return BatchOrder(
        deck=deck.name if deck else None,
        reseller=reseller.name if reseller and reseller.disabled_at is None else None,
        destination_rules=session.get_one(DestinationRules, batch.destination_rules_id).name,
        max_bound=batch.max_bound if batch.binding == "multi" else 0,
        **{field: getattr(batch, field) for field in same.split()},
    )
