"""A call while it lasts: finding it, its answer, its progress."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from engine import house
from engine.calls import statements as sql
from engine.calls.rating import Rate, charge, max_seconds, seconds_from_ms
from engine.cards.access import SwitchLike
from engine.cards.authentication import start_validity
from engine.db import Database, reruns
from engine.errors import Conflict, EngineUnavailable, InvalidInput, NotFound
from engine.settings import Settings

REPEATS_KEPT = timedelta(days=62)
"""A repeated message is answered from the CDRs of this long."""
MAX_TURNS = 8
"""How often a message is looked at again when its card or call moves under it."""
CLOCKS_DIFFER = timedelta(minutes=5)
"""A switch's clock may say that a call was answered this long before we authorized it."""


@dataclass(frozen=True, slots=True)
class Progress:
    """The answer to progress. `max_seconds` counts from the answer; `remaining_seconds` is what is left to talk."""

    max_seconds: int
    low_balance: bool
    remaining_seconds: int


def find(db: Database, switch: SwitchLike, call_ref: str, now: datetime) -> Any | None:
    """The call of a switch's call_ref: live, or ended in the last two months (`live` tells), or None."""
    asked = {"switch_id": switch.id, "call_ref": call_ref, "cdr_since": now - REPEATS_KEPT}
    with db.connection() as conn:
        # In this order, a call that ends between the two looks is seen by the second.
        return sql.FIND_LIVE.one(conn, asked) or sql.FIND_ENDED.one(conn, asked)


def must_find(db: Database, switch: SwitchLike, call_ref: str, now: datetime) -> Any:
    """The same, or `NotFound`."""
    call = find(db, switch, call_ref, now)
    if call is None:
        raise NotFound("call_not_found")
    return call


def settings_for(db: Database, revision: int) -> Settings:
    """The settings at the revision that a query just read."""
    kept = house.current(db)
    return (kept if kept.revision == revision else house.refresh(db)).settings


def rate_of(call: Any) -> Rate:
    """The rate that was fixed when the call was authorized, surcharges included."""
    return Rate(
        price_per_minute=call.price_per_minute,
        connect_fee=call.connect_fee,
        first_increment=call.first_increment,
        increment=call.increment,
        grace=call.grace,
        precision=call.precision,
        rounding=call.rounding,
    )


def milliseconds(span: timedelta) -> int:
    """A span of time in whole milliseconds, rounded down."""
    return span // timedelta(milliseconds=1)


def mark_first_use(db: Database, call: Any, now: datetime) -> None:
    """A batch may count validity from the first answered call: this was it, if the card was unused."""
    if call.first_used_at is not None:
        return
    with db.connection() as conn:
        card = sql.FIRST_USE_READ.one(conn, {"card_id": call.card_id})
    with db.begin() as session:
        start_validity(session, card, house.current(db).zone, now, f"switch:{call.switch_id}")


@reruns
def answer(
    db: Database, *, switch: SwitchLike, call_ref: str, now: datetime, answered_at: datetime | None = None
) -> None:
    """The other side picked up, at `answered_at` where the switch says when.

    The first answer counts, also where progress or end told of it sooner; another changes nothing. Raises `NotFound`,
    `Conflict` ("call_ended" for a call that ended unanswered) and `InvalidInput` ("answered_before_start").
    """
    for _ in range(MAX_TURNS):
        call = must_find(db, switch, call_ref, now)
        if answered_at is not None and answered_at < call.authorized_at - CLOCKS_DIFFER:
            raise InvalidInput("answered_before_start", field="answered_at")
        if call.answered_at is not None:
            mark_first_use(db, call, now)  # in case the first message did not get that far
            return
        if not call.live:
            raise Conflict("call_ended")
        # Clocks of switches wander; an answer can only be between the authorization and now.
        when = max(call.authorized_at, min(answered_at or now, now))
        # The grant, and the patience after it, run from the answer.
        wait = call.sweep_after - call.authorized_at
        with db.connection() as conn:
            done = sql.ANSWER_WRITE.one(
                conn,
                {
                    "card_id": call.card_id,
                    "id": call.id,
                    "answered_at": when,
                    "sweep_after": call.sweep_after if call.one_shot else when + wait,
                },
            )
        if done is not None:
            mark_first_use(db, call, now)
            return
    raise EngineUnavailable("busy")


@reruns
def progress(db: Database, *, switch: SwitchLike, call_ref: str, elapsed_ms: int, now: datetime) -> Progress:
    """The call goes on, `elapsed_ms` after its answer: grant more while the balance lasts.

    A recharge made meanwhile counts; a lock or damage lets the call run to the end of what was granted. A grant never
    shrinks, so that late and repeated messages do no harm. Raises `NotFound` and `Conflict` ("call_ended").
    """
    for _ in range(MAX_TURNS):
        call = must_find(db, switch, call_ref, now)
        if not call.live:
            raise Conflict("call_ended")
        settings = settings_for(db, call.revision)
        wall_ms = milliseconds(now - call.authorized_at) + settings.clock_tolerance_s * 1000
        elapsed_s = seconds_from_ms(min(elapsed_ms, wall_ms), settings.tolerance_ms)
        granted_s, affordable_s = _grant(call, elapsed_s, settings)
        hold = max(call.hold, charge(rate_of(call), granted_s))
        if _note_progress(db, call, settings, elapsed_s, granted_s, hold, now):
            if call.answered_at is None:
                mark_first_use(db, call, now)
            remaining_s = max(0, affordable_s - elapsed_s)
            return Progress(granted_s, remaining_s <= settings.low_balance_s, remaining_s)
    raise EngineUnavailable("busy")


def _grant(call: Any, elapsed_s: int, settings: Settings) -> tuple[int, int]:
    """What the call may last now, granted and in all: (granted seconds, affordable seconds)."""
    if call.stopped:
        return call.granted_s, call.granted_s
    usable = call.hold + call.balance - call.held
    affordable_s = max(call.granted_s, max_seconds(rate_of(call), usable, settings.call_cap_s))
    if call.one_shot:
        return affordable_s, affordable_s
    return max(call.granted_s, min(affordable_s, elapsed_s + settings.slice_s)), affordable_s


def _note_progress(
    db: Database, call: Any, settings: Settings, elapsed_s: int, granted_s: int, hold: int, now: datetime
) -> bool:
    """The guarded write of progress; False where money or call moved meanwhile."""
    answered_at = call.answered_at or max(call.authorized_at, now - timedelta(seconds=elapsed_s))
    wait_s = settings.sweep_one_shot_s if call.one_shot else settings.sweep_slice_s
    start = call.authorized_at if call.one_shot else answered_at
    with db.connection() as conn:
        write = sql.PROGRESS_WRITE if hold > call.hold else sql.PROGRESS_WRITE_FREE
        done = write.one(
            conn,
            {
                "card_id": call.card_id,
                "id": call.id,
                "old_hold": call.hold,
                "more": hold - call.hold,
                "granted_s": granted_s,
                "confirmed_s": elapsed_s,
                "answered_at": answered_at,
                "sweep_after": start + timedelta(seconds=granted_s + wait_s),
            },
        )
    return done is not None
