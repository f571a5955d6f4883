"""The failed tries at a card with their inner reasons, and how its password is guarded at this moment."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select, tuple_
from sqlalchemy.orm import Session

from engine import settings
from engine.cards.access import counter_key
from engine.cards.names import actor_names
from engine.cards.serials import card_id_of
from engine.db import Database
from engine.limits import Counter
from engine.schema import Attempt, Card, FailureCounter
from engine.vault import Vault

PAGE = 25


@dataclass(frozen=True, slots=True)
class AttemptLine:
    """A try that failed. `reason` is the inner one; `source` who asked, by a name that people know.

    `caller` (E.164 digits) and `destination` (as it was dialled) where there were any; `times`: how many it stands for.
    """

    id: int
    at: datetime
    door: str
    source: str
    caller: str | None
    destination: str | None
    reason: str
    times: int


@dataclass(frozen=True, slots=True)
class Guard:
    """How wrong passwords from strangers stand: `failures` since the last right one, and what they bring.

    `wait_s`: until the next one is heard, 0 where it is heard now. After `free` each further one brings a delay that
    doubles; at `locks_at` the card is locked. A phone or browser that was right before has a count of its own.
    """

    failures: int
    failed_at: datetime | None
    wait_s: int
    free: int
    locks_at: int


def attempts_of(
    db: Database, serial: str, *, before: tuple[datetime, int] | None = None, limit: int = PAGE
) -> tuple[tuple[AttemptLine, ...], tuple[datetime, int] | None]:
    """Failed tries at a card, newest first, and where the next page begins. Raises `InvalidInput` ("bad_serial")."""
    card_id = card_id_of(serial)
    with db.begin() as session:
        found = read(session, card_id, before=before, limit=limit + 1)
    shown = found[:limit]
    return shown, (shown[-1].at, shown[-1].id) if len(found) > limit else None


def read(
    session: Session,
    card_id: int,
    *,
    before: tuple[datetime, int] | None = None,
    caller: str | None = None,
    refusals: frozenset[str] | None = None,
    limit: int,
) -> tuple[AttemptLine, ...]:
    """The same in the caller's transaction; only those of a `caller`, or with one of the reasons, where asked for."""
    wanted = select(Attempt).where(Attempt.card_id == card_id)
    if before is not None:
        wanted = wanted.where(tuple_(Attempt.at, Attempt.id) < tuple_(*before))
    if caller is not None:
        wanted = wanted.where(Attempt.caller == caller)
    if refusals is not None:
        wanted = wanted.where(Attempt.reason.in_(sorted(refusals)))
    rows = session.scalars(wanted.order_by(Attempt.at.desc(), Attempt.id.desc()).limit(limit)).all()
    names = actor_names(session, (row.source for row in rows))
    return tuple(
        AttemptLine(
            row.id,
            row.at,
            row.door,
            names[row.source].removeprefix("address:") if row.source else "",
            row.caller,
            row.destination,
            row.reason,
            row.times,
        )
        for row in rows
    )


def guard_of(db: Database, vault: Vault, serial: str, now: datetime) -> Guard | None:
    """How wrong passwords stand for a card; None where no card has this serial. Raises `InvalidInput`."""
    card_id = card_id_of(serial)
    with db.begin() as session:
        number = session.scalar(select(Card.number).where(Card.id == card_id))
        if number is None:
            return None
        rules = settings.load(session)
        counter = session.get(FailureCounter, counter_key(vault, number))
        failures = counter.failures if counter else 0
        until = counter.blocked_until if counter else None
        wait_s = Counter(failures, until).wait_s(now)
        return Guard(
            failures=failures,
            failed_at=counter.failed_at if counter else None,
            wait_s=wait_s,
            free=rules.free_failures,
            locks_at=rules.lock_failures,
        )
