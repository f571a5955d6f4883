"""The end of a call: what it used, what the card pays, and what a late word about it corrects."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from psycopg import Connection
from sqlalchemy import text

from engine.actor import Actor
from engine.calls import statements as sql
from engine.calls.live import MAX_TURNS, mark_first_use, milliseconds, must_find, rate_of, settings_for
from engine.calls.rating import billed_seconds, charge, seconds_from_ms
from engine.cards.access import SwitchLike
from engine.db import Database, reruns
from engine.errors import Conflict, EngineUnavailable
from engine.funds import ledger
from engine.funds.replacements import reopen
from engine.settings import Settings


@dataclass(frozen=True, slots=True)
class Usage:
    """What a call used: whole seconds talked, seconds billed, its cost in micro-units, what was not ordinary."""

    duration_s: int
    billed_s: int
    cost: int
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ended:
    """The answer to end: what the card paid and has left, in micro-units of `currency`."""

    charged: int
    billed_seconds: int
    balance: int
    currency: str


def usage_of(call: Any, duration_ms: int, wall_ms: int, settings: Settings) -> Usage:
    """What a reported duration means: never more than the wall saw, and the grant where it was just cut late.

    Flags: `duration_capped`, `overrun` (longer than granted).
    """
    flags = []
    limit_ms = wall_ms + settings.clock_tolerance_s * 1000
    if duration_ms > limit_ms:
        flags.append("duration_capped")
        duration_ms = limit_ms
    duration_s = seconds_from_ms(duration_ms, settings.tolerance_ms)
    if duration_s > call.granted_s:
        if duration_s <= call.granted_s + settings.overrun_tolerance_s:
            duration_s = call.granted_s
        else:
            flags.append("overrun")
    rate = rate_of(call)
    return Usage(duration_s, billed_seconds(rate, duration_s), charge(rate, duration_s), tuple(flags))


@reruns
def end(
    db: Database, *, switch: SwitchLike, call_ref: str, duration_ms: int, cause: int | None, now: datetime
) -> Ended:
    """The call is over after `duration_ms` (0: never answered), with Q.850 `cause`: charge it, release the rest.

    What it cost more than its card can pay is the operator's loss, never a balance below zero. A repeated end gets the
    first answer; an end after a sweep corrects it for 24 hours. Raises `NotFound`, and `Conflict` for other facts.
    """
    for _ in range(MAX_TURNS):
        call = must_find(db, switch, call_ref, now)
        if not call.live:
            repeated = _repeated_end(db, call, duration_ms, cause, now)
            if repeated is None:
                continue  # two late ends at once, and the other was first: find its answer
            if duration_ms > 0:
                mark_first_use(db, call, now)  # in case the first message did not get that far
            return repeated
        wall_ms = milliseconds(now - call.authorized_at)
        usage = usage_of(call, duration_ms, wall_ms, settings_for(db, call.revision))
        ended = settle(db, call, usage, duration_ms=duration_ms, cause=cause, now=now)
        if ended is None:
            continue  # somebody else ended or extended it meanwhile
        if usage.duration_s > 0:
            mark_first_use(db, call, now)
        return ended
    raise EngineUnavailable("busy")


def settle(
    db: Database,
    call: Any,
    usage: Usage,
    *,
    duration_ms: int | None,
    cause: int | None,
    now: datetime,
    swept: bool = False,
    actor: Actor | None = None,
    conn: Connection[Any] | None = None,
) -> Ended | None:
    """End a live call once: hold, charge, entry and CDR in one statement. None where it is no longer as it was read.

    `swept`: nobody told of its end; it must still be overdue, with nothing heard of it since it was read. `actor`: who
    ended it, where it was not its switch; `conn`: a connection whose transaction this is to be a part of.
    """
    values = {
        "card_id": call.card_id,
        "call_id": call.id,
        "hold": call.hold,
        "now": now,
        "actor": f"switch:{call.switch_id}" if actor is None else str(actor),
        "currency": call.currency,
        # A switch may say that a call was answered only by saying how long it lasted.
        "answered_at": max(call.authorized_at, now - timedelta(seconds=usage.duration_s))
        if usage.duration_s
        else None,
        "duration_ms": duration_ms,
        "duration_s": usage.duration_s,
        "billed_s": usage.billed_s,
        "cost": usage.cost,
        "cause": cause,
    }
    with db.connection() if conn is None else nullcontext(conn) as conn:
        if usage.cost <= call.hold:
            values |= {"charged": usage.cost, "flags": list(usage.flags)}
            # Enrolled since it was read? Then the catch-up finds what this one doesn't note.
            plain = sql.END_WRITE if call.token is None else sql.END_TOKEN_WRITE
            write = sql.END_ENROLLED_WRITE if call.enrolled else plain
            if swept:
                values |= {"confirmed_s": call.confirmed_s, "was_answered_at": call.answered_at}
                write = sql.SWEEP_WRITE
            done = write.one(conn, values)
        else:
            with conn.transaction():
                # Under the card's lock what it can pay stands still.
                funds: Any = sql.READ_FUNDS.one(conn, values)
                charged = min(usage.cost, call.hold + funds.balance - funds.held)
                loss = ("overrun_loss",) if charged < usage.cost else ()
                values |= {"charged": charged, "flags": [*usage.flags, *loss]}
                write = sql.END_OVERRUN_WRITE if loss else sql.END_ENROLLED_WRITE
                done = write.one(conn, values)
    if done is None:
        return None
    return Ended(int(str(values["charged"])), usage.billed_s, done.balance_after, call.currency)


def _repeated_end(db: Database, cdr: Any, duration_ms: int, cause: int | None, now: datetime) -> Ended | None:
    if cdr.corrected_at is not None:
        if (cdr.corrected_ms, cdr.corrected_cause) != (duration_ms, cause):
            raise Conflict("call_ref_conflict")
        return Ended(cdr.corrected_charged, cdr.corrected_billed_s, cdr.corrected_balance_after, cdr.currency)
    if "swept" not in cdr.flags:
        if (cdr.duration_ms, cdr.cause) != (duration_ms, cause):
            raise Conflict("call_ref_conflict")
        return Ended(cdr.charged, cdr.billed_s, cdr.balance_after, cdr.currency)
    settings = settings_for(db, cdr.revision)
    if now - cdr.ended_at > timedelta(seconds=settings.late_end_s):
        raise Conflict("end_too_late")
    return _correct(db, cdr, duration_ms, cause, settings, now)


def _correct(
    db: Database, cdr: Any, duration_ms: int, cause: int | None, settings: Settings, now: datetime
) -> Ended | None:
    """The end that arrived after the sweep: the difference is charged as far as the card can pay, or given back."""
    # It cannot have lasted longer than until it was swept: the switch would have asked for more.
    usage = usage_of(cdr, duration_ms, milliseconds(cdr.ended_at - cdr.authorized_at), settings)
    flags = ["late_end", *usage.flags]
    actor = Actor("switch", cdr.switch_id)
    with db.begin() as session:
        ledger.lock_cards(session, cdr.card_id)
        known = session.execute(
            text("SELECT 1 FROM cdr_correction WHERE card_id = :card AND cdr_id = :id"),
            {"card": cdr.card_id, "id": cdr.id},
        ).one_or_none()
        if known is not None:
            return None
        more = usage.cost - cdr.cost
        balance, loss = _post_difference(session, cdr, more, actor, now)
        if loss:
            flags.append("overrun_loss")
        if more < 0:
            reopen(session, cdr.card_id)
        charged = cdr.charged + more - loss
        session.execute(
            text(
                "INSERT INTO cdr_correction (card_id, cdr_id, at, duration_ms, duration_s, billed_s, cause, cost,"
                " charged, balance_after, flags) VALUES (:card, :id, :now, :ms, :s, :billed, :cause, :cost,"
                " :charged, :balance, :flags)"
            ),
            {
                "card": cdr.card_id,
                "id": cdr.id,
                "now": now,
                "ms": duration_ms,
                "s": usage.duration_s,
                "billed": usage.billed_s,
                "cause": cause,
                "cost": usage.cost,
                "charged": charged,
                "balance": balance,
                "flags": flags,
            },
        )
        return Ended(charged, usage.billed_s, balance, cdr.currency)


def _post_difference(session: Any, cdr: Any, more: int, actor: Actor, now: datetime) -> tuple[int, int]:
    """Post the entries of a correction: (balance after, what the card could not pay)."""
    balance, available = session.execute(
        text("SELECT balance, balance - held FROM card WHERE id = :id"), {"id": cdr.card_id}
    ).one()
    loss = max(0, more - available)
    reference = f"call:{cdr.id}"
    if loss:
        balance = ledger.post(
            session,
            card_id=cdr.card_id,
            amount=loss,
            account=ledger.OVERRUN_LOSS,
            kind="overrun",
            reference=reference,
            actor=actor,
            now=now,
        ).balance_after
    if more:
        balance = ledger.post(
            session,
            card_id=cdr.card_id,
            amount=-more,
            account=ledger.USAGE,
            kind="correction",
            reference=reference,
            actor=actor,
            now=now,
            key=f"correction:{cdr.id}",
            borne=loss,
        ).balance_after
    return balance, loss
