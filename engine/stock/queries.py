"""What pages and the command line show of batches. Answers are frozen, so that showing them reads nothing more."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, exists, not_, select, text
from sqlalchemy.orm import Session

from engine.cards.names import actor_names
from engine.cards.serials import serial_of
from engine.db import Database
from engine.names import sought
from engine.schema import Batch, BatchKey, Card, Deck, DestinationRules, ExportRun, Reseller, Work

PAGE = 50
MOVING = ("queued", "running", "interrupted")
"""The states of a batch that change by themselves."""


@dataclass(frozen=True, slots=True)
class BatchLine:
    """A batch in a list. `denomination` in micro-units of `currency`.

    `state`: `queued` (nobody has begun), `running`, `interrupted` (whoever worked on it is gone; another goes on),
    `failed` (`error` is the sentence why) and `stopped` (it can be discarded), `ready`, `discarded`. `generated` of
    `count` cards stand.
    """

    id: int
    name: str
    kind: str
    count: int
    generated: int
    denomination: int
    currency: str
    deck: str | None
    state: str
    seconds_left: int | None
    error: str | None
    created_at: datetime
    created_by: str

    @property
    def moving(self) -> bool:
        """Whether its state changes by itself."""
        return self.state in MOVING


@dataclass(frozen=True, slots=True)
class Handout:
    """A file of cards that was handed out: when, by whom, with passwords or not, and why once more."""

    issued_at: datetime
    actor: str
    format: str
    file: str
    cards: int
    with_passwords: bool
    reason: str | None
    template: str | None = None
    recipient: str | None = None


@dataclass(frozen=True, slots=True)
class BatchPage(BatchLine):
    """All that the page of a batch shows. `printable`: sealed passwords still exist.

    `released`: `all`, `some` or `none` of its cards may be used. `handouts`: newest first. `printed`: how many of its
    cards are on print runs that were made, the last one at `printed_at`. Fees in micro-units.
    """

    first_serial: str
    last_serial: str
    number_prefix: str
    number_length: int
    password_length: int
    validity_days: int | None
    validity_from: str
    first_use: str
    grace_days: int
    binding: str
    max_bound: int
    pinless: bool
    concurrency: int
    release: str
    reseller: str | None
    imported: bool
    ready_at: datetime | None
    printable: bool
    shred_after: datetime | None
    shredded_at: datetime | None
    shredded_by: str | None
    released: str
    handouts: tuple[Handout, ...]
    printed: int
    printed_at: datetime | None
    work_id: int | None
    range_first: str | None
    range_last: str | None
    luhn: bool
    extension_days: int | None
    auto_bind: bool
    destination_rules: str
    post_call_fee: int
    maintenance_fee: int
    maintenance_days: int | None
    language: str
    reseller_id: int | None

    @property
    def handed_out(self) -> datetime | None:
        """When a file with its passwords was handed out last."""
        return next((handout.issued_at for handout in self.handouts if handout.with_passwords), None)

    @property
    def issued(self) -> bool:
        """Whether some of its passwords left the house, in a file or on paper."""
        return self.handed_out is not None or self.printed > 0


@dataclass(frozen=True, slots=True)
class BatchList:
    """One page of batches, newest first. `older` is where the next page begins (an id), or None."""

    batches: tuple[BatchLine, ...]
    older: int | None


STATES = ("making", "stopped", "ready", "sealed", "shredded", "discarded")
"""What a list can be narrowed to: not ready yet; of these, what failed or was stopped; ready; ready with passwords
that can still be read, or that no longer can; discarded."""


def batch_list(
    db: Database,
    now: datetime,
    *,
    before: int | None = None,
    state: str | None = None,
    kind: str | None = None,
    reseller_id: int | None = None,
    name: str | None = None,
) -> BatchList:
    """Batches, newest first, older than the one with the id `before` where it is given, and as all else asks.

    `state`: one of `STATES`; `name`: a part of it, in any case. A reseller's are those with cards of its own.
    """
    statement = _batches()
    wheres: list[Any] = [] if before is None else [Batch.id < before]
    if state is not None:
        wheres.extend(_in_state(state))
    if kind is not None:
        wheres.append(Batch.kind == kind)
    if name:
        wheres.append(Batch.name.icontains(sought(name), autoescape=True))
    if reseller_id is not None:
        own = exists().where(Card.reseller_id == reseller_id, Card.id.between(Batch.first_id, Batch.last_id))
        wheres.append(own)
    with db.begin() as session:
        rows = session.execute(statement.where(*wheres).order_by(Batch.id.desc()).limit(PAGE + 1)).all()
        names = actor_names(session, (row.Batch.created_by for row in rows))
    lines = tuple(BatchLine(**_line(row, names, now)) for row in rows[:PAGE])
    return BatchList(lines, lines[-1].id if len(rows) > PAGE else None)


def _in_state(state: str) -> tuple[Any, ...]:
    readable = exists().where(BatchKey.batch_id == Batch.id, BatchKey.wrapped.is_not(None))
    unready = (Batch.ready_at.is_(None), Batch.discarded_at.is_(None))
    return {
        "making": unready,
        "stopped": (*unready, Work.state.in_(("failed", "cancelled"))),
        "ready": (Batch.ready_at.is_not(None),),
        "sealed": (Batch.ready_at.is_not(None), readable),
        "shredded": (Batch.ready_at.is_not(None), not_(readable)),
        "discarded": (Batch.discarded_at.is_not(None),),
    }[state]


def batch_page(db: Database, batch_id: int, now: datetime) -> BatchPage | None:
    """The page of a batch, or None where there is none."""
    with db.begin() as session:
        row = session.execute(_batches().where(Batch.id == batch_id)).one_or_none()
        if row is None:
            return None
        return _page(session, row, now)


def _batches() -> Select[*tuple[Any, ...]]:
    return (
        select(Batch, Work, Deck.name.label("deck"), Reseller.name.label("reseller"))
        .outerjoin(Work, Batch.work_id == Work.id)
        .outerjoin(Deck, Batch.deck_id == Deck.id)
        .outerjoin(Reseller, Batch.reseller_id == Reseller.id)
    )


def _line(row: Any, names: dict[str, str], now: datetime) -> dict[str, Any]:
    batch = row.Batch
    state = _state(batch, row.Work, now)
    return {
        "deck": row.deck,
        "state": state,
        "seconds_left": _seconds_left(batch, row.Work, now) if state == "running" else None,
        "error": _sentence(row.Work) if state == "failed" else None,
        "created_by": names[batch.created_by],
        **_same(batch, "id", "name", "kind", "count", "generated", "denomination", "currency", "created_at"),
    }


def _page(session: Session, row: Any, now: datetime) -> BatchPage:
    batch = row.Batch
    key = session.get(BatchKey, batch.id)
    runs = session.scalars(
        select(ExportRun).where(ExportRun.batch_id == batch.id).order_by(ExportRun.id.desc()).limit(PAGE)
    ).all()
    names = actor_names(
        session, (batch.created_by, key.shredded_by if key else None, *(run.actor for run in runs))
    )
    made = session.execute(_PRINTED, {"batch": batch.id}).one()
    return BatchPage(
        printed=int(made.cards),
        printed_at=made.last_at,
        released=_released(session, batch),
        handouts=tuple(
            Handout(
                actor=names[run.actor],
                file=str(run.data.get("file", "")),
                template=run.data.get("template"),
                recipient=run.data.get("recipient"),
                **_same(run, "issued_at", "format", "cards", "with_passwords", "reason"),
            )
            for run in runs
        ),
        first_serial=serial_of(batch.first_id),
        last_serial=serial_of(batch.last_id),
        reseller=row.reseller,
        printable=key is not None and key.wrapped is not None,
        shred_after=key.shred_after if key else None,
        shredded_at=key.shredded_at if key else None,
        shredded_by=names[key.shredded_by] if key and key.shredded_by else None,
        **_line(row, names, now),
        **_same(batch, "number_prefix", "number_length", "password_length", "validity_days", "validity_from"),
        **_same(
            batch, "first_use", "grace_days", "binding", "max_bound", "pinless", "concurrency", "release"
        ),
        **_same(batch, "imported", "ready_at", "work_id", "range_first", "range_last", "luhn", "reseller_id"),
        **_same(batch, "extension_days", "auto_bind", "post_call_fee", "maintenance_fee", "maintenance_days"),
        language=batch.language,
        destination_rules=session.get_one(DestinationRules, batch.destination_rules_id).name,
    )


_PRINTED = text(
    """
    WITH made AS (SELECT id, made_at FROM print_run WHERE batch_id = :batch AND made_at IS NOT NULL)
    SELECT (SELECT max(made_at) FROM made) AS last_at, coalesce(sum(upper(part) - lower(part)), 0) AS cards
    FROM (
        SELECT unnest(range_agg(int8range(first_id, last_id, '[]'))) AS part
        FROM print_run_part WHERE run_id IN (SELECT id FROM made)
    ) parts
    """
)


def _released(session: Session, batch: Batch) -> str:
    """How much of the batch may be used: `all`, `some` or `none` of it."""
    inside = Card.id.between(batch.first_id, batch.last_id)
    some = session.scalar(select(exists().where(Card.released_at.is_not(None), inside)))
    held = session.scalar(select(exists().where(Card.released_at.is_(None), inside)))
    return "all" if some and not held else "some" if some else "none"


def _state(batch: Batch, work: Work | None, now: datetime) -> str:
    if batch.discarded_at is not None:
        return "discarded"
    if batch.ready_at is not None:
        return "ready"
    if work is None or work.state == "queued":
        return "queued"
    if work.state == "running":
        return "interrupted" if work.lease_until is not None and work.lease_until <= now else "running"
    # Done without being ready is only the moment between the two.
    return {"failed": "failed", "cancelled": "stopped"}.get(work.state, "running")


def _sentence(work: Work | None) -> str | None:
    """Why work failed, without the code that stands before the sentence."""
    return work.error.partition(": ")[2] if work is not None and work.error else None


def _seconds_left(batch: Batch, work: Work | None, now: datetime) -> int | None:
    """At the pace so far, in whole seconds; None before a pace can be told."""
    if work is None or work.started_at is None or batch.generated == 0:
        return None
    spent_ms = int((now - work.started_at).total_seconds() * 1000)
    if spent_ms < 1000:
        return None
    return -(-spent_ms * (batch.count - batch.generated) // (batch.generated * 1000))


def _same(row: Any, *fields: str) -> dict[str, Any]:
    return {field: getattr(row, field) for field in fields}
