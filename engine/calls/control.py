"""Call control: a call from authorize to end, as every door (HTTP, and later AGI and RADIUS) uses it.

authorize → (answer) → progress* → end          each with the switch's own call_ref; each safe to repeat
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from engine.calls.authorization import Authorized, authorize
from engine.calls.explain import explain
from engine.calls.live import Progress, answer, must_find, progress
from engine.calls.settlement import Ended, end
from engine.cards.access import Credentials, SwitchLike
from engine.cards.serials import serial_of
from engine.db import Database

__all__ = [
    "Authorized",
    "CallView",
    "Credentials",
    "Ended",
    "Progress",
    "answer",
    "authorize",
    "end",
    "progress",
    "show",
]


@dataclass(frozen=True, slots=True)
class CallView:
    """A call as its switch may see it: live, or ended and explained. Amounts in micro-units of `currency`."""

    call_ref: str
    state: str
    serial: str
    caller: str | None
    destination: str
    destination_name: str
    authorized_at: datetime
    answered_at: datetime | None
    ended_at: datetime | None
    one_shot: bool
    max_seconds: int
    price_per_minute: int
    connect_fee: int
    held: int
    duration_seconds: int | None
    billed_seconds: int | None
    charged: int | None
    balance: int
    cause: int | None
    flags: tuple[str, ...]
    explanation: str | None
    currency: str


def show(db: Database, *, switch: SwitchLike, call_ref: str, now: datetime) -> CallView:
    """The call of a switch's call_ref; `state` is `authorized`, `answered` or `ended`. Raises `NotFound`.

    A call that was corrected by a late end shows what the correction says.
    """
    call = must_find(db, switch, call_ref, now)
    ended = not call.live
    late = ended and call.corrected_at is not None
    if ended and late:
        call = call._replace(
            duration_s=call.corrected_s,
            billed_s=call.corrected_billed_s,
            cost=call.corrected_cost,
            charged=call.corrected_charged,
            balance_after=call.corrected_balance_after,
            cause=call.corrected_cause,
            flags=[*call.flags, *call.corrected_flags],
        )
    return CallView(
        call_ref=call.call_ref,
        state="ended" if ended else "answered" if call.answered_at else "authorized",
        serial=serial_of(call.card_id),
        caller=call.caller,
        destination=call.destination,
        destination_name=call.destination_name,
        authorized_at=call.authorized_at,
        answered_at=call.answered_at,
        ended_at=call.ended_at if ended else None,
        one_shot=call.one_shot,
        max_seconds=call.granted_s,
        price_per_minute=call.price_per_minute,
        connect_fee=call.connect_fee,
        held=0 if ended else call.hold,
        duration_seconds=call.duration_s if ended else None,
        billed_seconds=call.billed_s if ended else None,
        charged=call.charged if ended else None,
        balance=call.balance_after if ended else call.balance,
        cause=call.cause if ended else None,
        flags=tuple(call.flags) if ended else (),
        explanation=explain(call) if ended else None,
        currency=call.currency,
    )
