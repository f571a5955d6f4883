"""The calls that go on, with what each would cost if it ended at this instant, and what all of them come to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select

from engine import house
from engine.calls.ending import usage_now
from engine.cards.serials import serial_of
from engine.db import Database
from engine.errors import NotFound
from engine.schema import Call, Card, Switch

MOST = 20_000
"""Live calls that are looked at; more than a machine can have."""


@dataclass(frozen=True, slots=True)
class RunningCall:
    """A live call: `elapsed_s` of talk (0 until it is answered), and `cost` so far; amounts in `currency`.

    Both as if it ended now. `hold` is what it reserves, `granted_s` how long it may last as granted so far.
    """

    id: int
    switch: str
    call_ref: str
    serial: str
    caller: str | None
    destination: str
    destination_name: str
    currency: str
    authorized_at: datetime
    answered_at: datetime | None
    granted_s: int
    hold: int
    elapsed_s: int
    cost: int


@dataclass(frozen=True, slots=True)
class Total:
    """Live calls in one currency: how many, how many of them answered, their cost so far, what they hold."""

    currency: str
    calls: int
    answered: int
    cost: int
    hold: int


@dataclass(frozen=True, slots=True)
class RunningPage:
    """Some live calls; `next` is where the next page begins (None at the end). The totals are of all."""

    calls: tuple[RunningCall, ...]
    next: tuple[int, int] | None
    totals: tuple[Total, ...]

    @property
    def count(self) -> int:
        """How many calls go on, as far as the filter lets them in."""
        return sum(total.calls for total in self.totals)


_ORDERS: dict[str, Callable[[RunningCall], int]] = {
    "longest": lambda call: -call.elapsed_s,
    "newest": lambda call: 0,
    "cost": lambda call: -call.cost,
    "held": lambda call: -call.hold,
}
ORDERS = tuple(_ORDERS)
"""By how long they have talked, by when they began, by what they cost so far, by what they hold."""


def running(
    db: Database,
    now: datetime,
    *,
    switch_id: int | None = None,
    order: str = "longest",
    after: tuple[int, int] | None = None,
    limit: int = 50,
) -> RunningPage:
    """A page of the live calls in an order of `ORDERS`, behind the place `after`.

    Between two pages calls go on; a place is the value and the number of the last call, as they were then.
    """
    wanted = (
        select(*_COLUMNS)
        .join(Switch, Call.switch_id == Switch.id)
        .join(Card, Call.card_id == Card.id)
        .order_by(Call.id.desc())
        .limit(MOST)
    )
    if switch_id is not None:
        wanted = wanted.where(Call.switch_id == switch_id)
    tolerance_ms = house.fresh(db).settings.tolerance_ms
    with db.begin() as session:
        calls = [_running(row, tolerance_ms, now) for row in session.execute(wanted)]
    key = _ORDERS[order]
    ranked = sorted((((key(call), -call.id), call) for call in calls), key=lambda entry: entry[0])
    behind = [entry for entry in ranked if after is None or entry[0] > after]
    shown = behind[:limit]
    return RunningPage(
        tuple(call for _, call in shown), shown[-1][0] if len(behind) > limit else None, _totals(calls)
    )


def find_running(db: Database, call_id: int, now: datetime) -> RunningCall:
    """One live call by its number. Raises `NotFound` ("call_not_found")."""
    wanted = select(*_COLUMNS).join(Switch, Call.switch_id == Switch.id).join(Card, Call.card_id == Card.id)
    with db.begin() as session:
        row = session.execute(wanted.where(Call.id == call_id)).one_or_none()
    if row is None:
        raise NotFound("call_not_found")
    return _running(row, house.fresh(db).settings.tolerance_ms, now)


_RATE = (
    *("price_per_minute", "connect_fee", "first_increment", "increment", "grace", "precision", "rounding"),
    *("confirmed_s",),
)
_SHOWN = (
    *("id", "call_ref", "caller", "destination", "destination_name", "authorized_at", "answered_at"),
    *("granted_s", "hold"),
)
_COLUMNS = (
    *(getattr(Call, name) for name in (*_SHOWN, *_RATE, "card_id")),
    Switch.name.label("switch"),
    Card.currency,
)


def _running(row: Any, tolerance_ms: int, now: datetime) -> RunningCall:
    usage = usage_now(row, tolerance_ms, now)
    return RunningCall(
        switch=row.switch,
        serial=serial_of(row.card_id),
        currency=row.currency,
        elapsed_s=usage.duration_s,
        cost=usage.cost,
        **{name: getattr(row, name) for name in _SHOWN},
    )


def _totals(calls: list[RunningCall]) -> tuple[Total, ...]:
    found = []
    for currency in sorted({call.currency for call in calls}):
        own = [call for call in calls if call.currency == currency]
        found.append(
            Total(
                currency,
                len(own),
                sum(call.answered_at is not None for call in own),
                sum(call.cost for call in own),
                sum(call.hold for call in own),
            )
        )
    return tuple(found)
