"""Batches: ordering one, which leaves work for `engine.stock.generation`, and discarding one that never got ready."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from engine import work
from engine.actor import Actor
from engine.cards.serials import serial_of
from engine.db import Database
from engine.errors import Conflict, EngineError, InvalidInput, NotFound
from engine.names import tidied
from engine.people import audit
from engine.permissions import command
from engine.schema import Batch, BatchKey, Deck, DestinationRules, Reseller, Work
from engine.stock import orders
from engine.stock.numbers import Space
from engine.stock.orders import SPARSENESS, BatchOrder, callers, check, strength
from engine.stock.repeats import once
from engine.vault import Vault

__all__ = [
    "BatchOrder",
    "BatchOrdered",
    "allocate_serials",
    "discard",
    "find_batch",
    "order_batch",
    "strength",
]

GENERATE = "generate"
"""The kind of the work that makes the cards of a batch."""

_FIRST_SERIAL = 1_000_000_001
_LAST_SERIAL = 9_999_999_999


@dataclass(frozen=True, slots=True)
class BatchOrdered:
    """An accepted order: its cards will have the serials `first_serial` … `last_serial`.

    `warnings` are codes of `engine.stock.orders.warnings`.
    """

    batch_id: int
    name: str
    work_id: int
    first_serial: str
    last_serial: str
    warnings: tuple[str, ...]


@command("batch.create")
def order_batch(
    db: Database, vault: Vault, order: BatchOrder, actor: Actor, now: datetime, *, key: str | None = None
) -> BatchOrdered:
    """Accept an order: the batch, its wrapped data key, its block of serials and the work that will generate it.

    None of its cards can be used before the batch is ready. The same `key` orders once. Raises `InvalidInput` with
    `field`: what
    `engine.stock.orders.problems` finds, `name_taken`, `unknown_deck`, `deck_currency`, `unknown_rules`,
    `unknown_reseller`, `space_too_full` (one number in 1,000 at most; for an explicit range, the last free one).
    """
    space = check(order)
    with name_is_new(), db.begin() as session:
        asked = once(session, "batch.create", actor, key, now, asdict(order))
        if asked.answer is not None:
            return BatchOrdered(**{**asked.answer, "warnings": tuple(asked.answer["warnings"])})
        batch = new_batch(session, order, actor, now)
        lock_serials(session)
        taken = _check_room(session, space, order)
        batch.first_id = allocate_serials(session, order.count)
        batch.last_id = batch.first_id + order.count - 1
        session.add(batch)
        session.flush()
        add_key(session, vault, batch.id)
        batch.work_id = work.enqueue(session, GENERATE, {"batch_id": batch.id}, actor, now, total=order.count)
        audit.record(
            session,
            actor,
            "batch.create",
            f"batch:{batch.id}",
            now,
            name=batch.name,
            count=order.count,
            denomination=order.denomination,
            currency=order.currency,
        )
        ordered = BatchOrdered(
            batch.id,
            batch.name,
            batch.work_id,
            serial_of(batch.first_id),
            serial_of(batch.last_id),
            orders.warnings(order, space, taken),
        )
        asked.keep(asdict(ordered))
        return ordered


@command("batch.discard")
def discard(
    db: Database,
    name: str,
    actor: Actor,
    now: datetime,
    reason: str | None = None,
    *,
    key: str | None = None,
) -> int:
    """Give up a batch that is not ready, for good; returns how many cards of it had been made.

    They stay, since their ledger does, but are held back for ever and their sealed passwords destroyed; their numbers
    are not used again. Whoever generates it meanwhile stops. Raises `NotFound`, `Conflict` ("batch_ready",
    "batch_discarded").
    """
    with db.begin() as session:
        asked = once(session, "batch.discard", actor, key, now, name, reason)
        if asked.answer is not None:
            return int(asked.answer["generated"])
        batch = _unready(session, name)
        batch.discarded_at = now
        if batch.work_id is not None:
            work.cancel(session, batch.work_id, actor, now)
        session.execute(
            text("UPDATE card SET released_at = NULL, sealed = NULL WHERE id BETWEEN :first AND :last"),
            {"first": batch.first_id, "last": batch.last_id},
        )
        sealed = session.get_one(BatchKey, batch.id)
        if sealed.wrapped is not None:
            sealed.wrapped, sealed.shredded_at, sealed.shredded_by = None, now, str(actor)
        audit.record(
            session,
            actor,
            "batch.discard",
            f"batch:{batch.id}",
            now,
            reason=reason,
            name=batch.name,
            generated=batch.generated,
        )
        asked.keep({"generated": batch.generated})
        return batch.generated


@command("batch.stop")
def stop(db: Database, name: str, actor: Actor, now: datetime, reason: str | None = None) -> bool:
    """Let a generation end where it is, to be resumed or discarded; returns whether it was not over already.

    What runs ends with the step it is at. Raises `NotFound`, `Conflict` ("batch_ready", "batch_discarded").
    """
    with db.begin() as session:
        batch = _unready(session, name)
        row = None if batch.work_id is None else session.get(Work, batch.work_id)
        if row is None or row.cancel_requested or not work.cancel(session, row.id, actor, now):
            return False
        audit.record(
            session,
            actor,
            "batch.stop",
            f"batch:{batch.id}",
            now,
            reason=reason,
            name=batch.name,
            generated=batch.generated,
        )
        return True


@command("batch.resume")
def resume(db: Database, name: str, actor: Actor, now: datetime) -> int:
    """Let a generation that failed or was stopped go on where it was; returns the id of its work.

    One that waits or runs is left alone: it goes on by itself, after a kill once the lease of who died is over.
    Raises `NotFound`, `Conflict` ("batch_ready", "batch_discarded").
    """
    with db.begin() as session:
        batch = _unready(session, name)
        if batch.work_id is None:
            raise NotFound("work_not_found", id=0)
        with suppress(Conflict):
            work.resume(session, batch.work_id, actor, now)
            audit.record(session, actor, "batch.resume", f"batch:{batch.id}", now, name=batch.name)
        return batch.work_id


def _unready(session: Session, name: str) -> Batch:
    batch = find_batch(session, name, lock=True)
    if batch.discarded_at is not None:
        raise Conflict("batch_discarded", name=batch.name)
    if batch.ready_at is not None:
        raise Conflict("batch_ready", name=batch.name)
    return batch


def find_batch(session: Session, name: str, *, lock: bool = False) -> Batch:
    """The batch of that name. Raises `NotFound("batch_not_found")`."""
    found: Batch | None = _named(session, Batch, tidied(name), lock=lock)
    if found is None:
        raise NotFound("batch_not_found", name=name[:100])
    return found


@contextmanager
def name_is_new() -> Iterator[None]:
    """Turn the unique name's violation, where two orders race, into the refusal that the second one deserves."""
    try:
        yield
    except IntegrityError as error:
        if "uq_batch_name" in str(error.orig):
            raise InvalidInput("name_taken", field="name") from None
        raise


def lock_serials(session: Session) -> None:
    """Let one order at a time count what is free and take its serials, until its transaction ends."""
    session.execute(text("SELECT pg_advisory_xact_lock(hashtextextended('card_serial', 0))"))


def allocate_serials(session: Session, count: int) -> int:
    """The first of `count` card ids in a row. Call `lock_serials` first.

    A block is gone once it was given, even where the order is undone. Raises `EngineError("serials_used_up")`.
    """
    first: int = session.scalars(text("SELECT nextval('card_serial')")).one()
    if first + count - 1 > _LAST_SERIAL:
        raise EngineError("serials_used_up", left=_LAST_SERIAL - first + 1)
    session.execute(text("SELECT setval('card_serial', :last)"), {"last": first + count - 1})
    return first


def serials_used(session: Session) -> int:
    """How many serials were ever given out: no space can hold more cards than that, and it costs nothing to ask."""
    last, called = session.execute(text("SELECT last_value, is_called FROM card_serial")).one()
    return int(last) - _FIRST_SERIAL + int(called)


def cards_in(session: Session, space: Space) -> int:
    """How many cards have a number between the bounds of a space; by the index on numbers, about 10 a microsecond."""
    found: int = session.scalars(
        text("SELECT count(*) FROM card WHERE number BETWEEN :first AND :last AND length(number) = :length"),
        {"first": space.first, "last": space.last, "length": space.length},
    ).one()
    return found


def add_key(session: Session, vault: Vault, batch_id: int) -> bytes:
    """Give a batch its data key; returns it as it is. In the database it stands wrapped by the master key."""
    key, wrapped, master = vault.new_data_key()
    session.add(BatchKey(batch_id=batch_id, wrapped=wrapped, master=master))
    return key


def check_name(session: Session, name: str) -> None:
    """Raise `InvalidInput("name_taken")` where a batch has that name."""
    if _named(session, Batch, name) is not None:
        raise InvalidInput("name_taken", field="name")


def deck_id(session: Session, name: str | None, currency: str) -> int | None:
    """The id of the deck of that name, which must be in the cards' currency. Raises `InvalidInput`."""
    if not name:
        return None
    deck: Deck | None = _named(session, Deck, name)
    if deck is None:
        raise InvalidInput("unknown_deck", field="deck", name=name[:100])
    if deck.currency != currency:
        raise InvalidInput("deck_currency", field="deck", deck=deck.currency, currency=currency)
    return deck.id


def new_batch(session: Session, order: BatchOrder, actor: Actor, now: datetime) -> Batch:
    """The row of a checked order, still without serials. Raises `InvalidInput` where a name leads nowhere."""
    check_name(session, tidied(order.name))
    rules = _named(session, DestinationRules, order.destination_rules)
    if rules is None:
        raise InvalidInput("unknown_rules", field="destination_rules")
    reseller = _named(session, Reseller, order.reseller) if order.reseller else None
    if order.reseller and reseller is None:
        raise InvalidInput("unknown_reseller", field="reseller")
    space = orders.space_of(order)
    same = (
        "kind count denomination currency range_first range_last luhn password_length validity_days validity_from "
        "first_use grace_days extension_days binding auto_bind pinless concurrency post_call_fee maintenance_fee "
        "maintenance_days language release"
    )
    return Batch(
        name=tidied(order.name),
        deck_id=deck_id(session, order.deck, order.currency),
        number_prefix=order.number_prefix,
        number_length=space.length,
        max_bound=callers(order),
        destination_rules_id=rules.id,
        reseller_id=reseller.id if reseller else None,
        created_by=str(actor),
        created_at=now,
        **{field: getattr(order, field) for field in same.split()},
    )


def _check_room(session: Session, space: Space, order: BatchOrder) -> int:
    """Refuse an order whose numbers would stand too close; returns how many of the space are known to be taken."""
    dense = order.range_first is not None
    room = space.size if dense else space.size // SPARSENESS
    if order.count + serials_used(session) <= room:
        return 0
    taken = room_of(session, space)
    if order.count + taken > room:
        raise InvalidInput(
            "space_too_full",
            field="range_last" if dense else "number_length",
            count=order.count,
            free=max(0, room - taken),
        )
    return taken


def room_of(session: Session, space: Space) -> int:
    """How many numbers of a space cards have, or were promised by orders that are still being made."""
    return cards_in(session, space) + _promised(session, space)


def _promised(session: Session, space: Space) -> int:
    """Cards of this space that are ordered but not yet made (of orders that lie in it whole)."""
    found: int = session.scalars(
        text(
            """
            SELECT coalesce(sum(count - generated), 0)::bigint FROM batch
            WHERE ready_at IS NULL AND discarded_at IS NULL AND number_length = :length
              AND CASE WHEN range_first IS NULL
                  THEN rpad(number_prefix, :length, '0') >= :first AND rpad(number_prefix, :length, '9') <= :last
                  ELSE range_first >= :first AND range_last <= :last END
            """
        ),
        {"length": space.length, "first": space.first, "last": space.last},
    ).one()
    return found


def _named(session: Session, model: Any, name: str, *, lock: bool = False) -> Any:
    try:
        name.encode()
    except UnicodeEncodeError:
        return None
    if "\0" in name:
        return None
    query = select(model).where(model.name == name)
    return session.scalars(query.with_for_update() if lock else query).one_or_none()
