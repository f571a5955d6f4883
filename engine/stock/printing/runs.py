"""Print runs: ordered, printed, confirmed. A card's password is issued once; again only with a reason.

A run is a range of one batch with one design, made in the background into a sealed file (`making`) that only who
ordered it can fetch (`files`). Its parts are what stands on it: the range without the cards that were left out.
An order counts as issued from the moment it is given until it is cancelled or fails, so that of two orders the second
leaves out what the first prints.

A reseller's people print their own stock only. What they could use without its ever being charged (released, not
charged) is left out, and so is what they sold, once its password was issued: that is its buyer's.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from engine import idempotency, settings, work
from engine.actor import Actor
from engine.cards.serials import serial_of
from engine.db import Database, reruns
from engine.errors import Conflict, InvalidInput, NotFound
from engine.names import checked_reason
from engine.people import audit, consents
from engine.permissions import command
from engine.schema import Batch, BatchKey, PrintRun, Work
from engine.stock import conditions
from engine.stock.conditions import reason_sql
from engine.stock.custody import Range, require_own, require_ready
from engine.stock.printing import files
from engine.stock.printing.design import Design, as_settings, from_settings
from engine.stock.printing.designs import find_design
from engine.stock.printing.printers import own_printer
from engine.vault import Vault

KIND = "print"
MOST = 100_000
"""Cards of one run."""

_ITS_BATCH = "SELECT id FROM batch WHERE first_id <= :last AND last_id >= :first"
ISSUED = f"""(card.id <@ (SELECT coalesce(range_agg(int8range(part.first_id, part.last_id, '[]')), '{{}}')
    FROM print_run run JOIN print_run_part part ON part.run_id = run.id JOIN work ON work.id = run.work_id
    WHERE run.batch_id IN ({_ITS_BATCH}) AND run.id <> :run
        AND (run.made_at IS NOT NULL OR work.state IN ('queued', 'running')))
    OR EXISTS (SELECT 1 FROM export_run file WHERE file.batch_id IN ({_ITS_BATCH}) AND file.with_passwords))"""
"""The card's password was handed out, or is about to be, by another run than `:run` or in a file. What was issued of
the batch is gathered once, not looked for with each card of `:first` to `:last`."""
LEFT_OUT = {
    "damaged": conditions.DAMAGED,
    "no_password": "card.sealed IS NULL",
    "used": conditions.USED,
    "locked": "card.locked_at IS NOT NULL",
    "expired": "card.expires_at <= :now",
    "sold": f"CAST(:reseller AS bigint) IS NOT NULL AND {conditions.SOLD} AND {ISSUED}",
    "not_charged": "CAST(:reseller AS bigint) IS NOT NULL AND card.released_at IS NOT NULL"
    " AND card.reseller_price IS NULL",
    "issued": f"NOT :again AND {ISSUED}",
}
"""Why a card of a range is not printed."""
WHY = reason_sql(LEFT_OUT)


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a run would print now: how many `cards` of a batch, and how many are left out for what reason."""

    batch_id: int
    batch: str
    cards: int
    left_out: dict[str, int]


@dataclass(frozen=True, slots=True)
class Confirmed:
    """A run that was printed well: its cards, and whether all of its batch are printed and may be shredded now."""

    cards: int
    batch_id: int
    batch: str
    may_shred: bool


def outlook(db: Database, cards: Range, actor: Actor, now: datetime, *, again: bool = False) -> Outlook:
    """What `order` would print; nothing is changed. Raises as `order`, but for `nothing_to_print`."""
    with db.begin() as session:
        batch = _one_batch(session, cards, actor)
        counts = _counted(session, cards, actor, now, again)
        return Outlook(batch.id, batch.name, counts.pop(None, 0), counts)


@command("print_run.order")
@reruns
def order(
    db: Database,
    vault: Vault,
    cards: Range,
    design_id: int,
    folder: Path,
    actor: Actor,
    now: datetime,
    *,
    log_in_url: str,
    start_at: int = 1,
    printer_id: int | None = None,
    again: bool = False,
    reason: str | None = None,
    key: str | None = None,
) -> int:
    """Leave work that prints the cards of a range into a file in `folder`; returns the run's id.

    `start_at`: the place on the first sheet, from 1. `again`, with a `reason`: also cards whose password was issued
    before. `log_in_url`: where QR codes lead. The same `key` counts once. Raises `NotFound` (cards_not_found: also
    another's for a reseller; print_design_not_found, printer_not_found), `Conflict` (batch_not_ready, batch_discarded,
    batch_shredded, nothing_to_print), `InvalidInput` (one_batch_a_run, print_too_many, start_off_the_sheet,
    reason_missing), `ConsentNeeded`.
    """
    why = checked_reason(reason, required=again)
    facts = (cards.first, cards.last, design_id, start_at, printer_id, again, why, log_in_url)
    scope, key = f"print_run.order:{actor}", key or idempotency.new_key()
    with db.begin() as session:
        first = idempotency.claim(session, scope, key, idempotency.fingerprint(*facts), now)
        if first is not None:
            return int(first["run_id"])
        batch = _one_batch(session, cards, actor, lock=True)
        row = find_design(session, design_id, for_reseller=actor.kind == "reseller")
        design = from_settings(row.settings)
        if not 1 <= start_at <= design.paper.up:
            raise InvalidInput("start_off_the_sheet", field="start_at", high=design.paper.up)
        printer = None if printer_id is None else own_printer(session, printer_id, actor.reseller_id)
        params = {
            "folder": str(folder),
            "design_id": design_id,
            "design": as_settings(design),
            "start_at": start_at,
            "printer_id": printer_id,
            "offset_um": [0, 0] if printer is None else [printer.offset_x_um, printer.offset_y_um],
            "log_in_url": log_in_url,
        }
        run = _add(session, batch, cards, row.name, params, actor, now, again=again, reason=why)
        need_consent(session, run, batch.name, actor, now, use=False)
        idempotency.keep(session, scope, key, {"run_id": run.id})
        return run.id


@command("print_run.confirm")
@reruns
def confirm(db: Database, run_id: int, actor: Actor, now: datetime) -> Confirmed:
    """The run was printed well: its cards are *printed*, and its file is deleted. Twice is as once.

    Only who ordered it says so, after downloading it: passwords that were printed may be shredded. Raises `NotFound`
    (print_run_not_found; cards_not_found: they are another reseller's by now) and `Conflict` (print_run_not_made,
    print_run_not_fetched).
    """
    with db.begin() as session:
        run = own_run(session, run_id, actor, lock=True)
        job = session.get_one(Work, run.work_id)
        # Work that was cut off after it was written down is done anew: a file that comes after its confirmation
        # would stay.
        if run.made_at is None or job.state != "done":
            raise Conflict("print_run_not_made")
        if run.confirmed_at is None:
            if not run.downloads:
                raise Conflict("print_run_not_fetched")
            if run.reseller_id is not None:
                require_own(session, Range(run.first_id, run.last_id), run.reseller_id)
            session.execute(_PRINTED, {"run": run.id, "now": now})
            run.confirmed_at, run.confirmed_by = now, str(actor)
            told: dict[str, Any] = {"cards": run.cards, "sha256": (run.sha256 or b"").hex()}
            audit.record(session, actor, "print_run.confirm", f"print_run:{run.id}", now, **told)
        batch = session.get_one(Batch, run.batch_id)
        key = session.get_one(BatchKey, run.batch_id)
        all_printed = not session.scalar(_UNPRINTED, {"batch": run.batch_id})
        may_shred = all_printed and key.wrapped is not None and actor.kind != "reseller"
        done = Confirmed(run.cards or 0, batch.id, batch.name, may_shred)
        folder = job.params["folder"]
    files.remove([files.path_of(folder, run_id)])
    return done


@command("print_run.cancel")
@reruns
def cancel(db: Database, run_id: int, actor: Actor, now: datetime) -> bool:
    """Stop a run that is not made yet; nothing of it was issued. Returns whether it was still to be stopped.

    Staff may stop any, a reseller's people their reseller's. Raises `NotFound` ("print_run_not_found").
    """
    with db.begin() as session:
        # Behind the lock its making is written down: what was made is issued, and can't be stopped any more.
        run = find_run(session, run_id, actor, lock=True)
        stopped = run.made_at is None and work.cancel(session, run.work_id, actor, now)
        if stopped:
            audit.record(session, actor, "print_run.cancel", f"print_run:{run.id}", now)
        return stopped


# --- steps that making and files share ---


def find_run(session: Session, run_id: int, actor: Actor, *, lock: bool = False) -> PrintRun:
    """A run that the actor may see: staff any, a reseller's people their reseller's. Raises `NotFound`."""
    run = session.get(PrintRun, run_id, with_for_update=lock or None)
    if run is None or (actor.kind == "reseller" and run.reseller_id != actor.reseller_id):
        raise NotFound("print_run_not_found")
    return run


def own_run(session: Session, run_id: int, actor: Actor, *, lock: bool = False) -> PrintRun:
    """A run that the actor ordered. Raises `NotFound`."""
    run = find_run(session, run_id, actor, lock=lock)
    if run.actor != str(actor):
        raise NotFound("print_run_not_found")
    return run


def need_consent(
    session: Session, run: PrintRun, batch: str, actor: Actor, now: datetime, *, use: bool
) -> None:
    """Where the house wants a second person for passwords that leave it: for staff; for resellers to print again."""
    if not settings.load(session).consent_exports or (actor.kind == "reseller" and not run.again):
        return
    facts = {
        "batch": batch,
        "first": serial_of(run.first_id),
        "last": serial_of(run.last_id),
        "design": run.design,
        "again": run.again,
    }
    consents.need(session, actor, "print_run.order", f"batch:{run.batch_id}", facts, now, use=use)


def _one_batch(session: Session, cards: Range, actor: Actor, *, lock: bool = False) -> Batch:
    """The batch of a range, which may be printed by this actor."""
    if cards.last - cards.first >= MOST:
        raise InvalidInput("print_too_many", field="last", high=MOST)
    if actor.kind == "reseller":
        require_own(session, cards, actor.reseller_id or 0)
    names = require_ready(session, cards)
    if len(names) > 1:
        raise InvalidInput("one_batch_a_run", field="last", names=", ".join(names))
    batch = session.scalars(_BATCH, {"first": cards.first, "last": cards.last}).one()
    # Orders of one batch take turns here: the second sees what the first is about to print.
    key = session.get_one(BatchKey, batch, with_for_update=lock or None)
    if key.wrapped is None:
        raise Conflict("batch_shredded", name=names[0])
    return session.get_one(Batch, batch)


def _counted(session: Session, cards: Range, actor: Actor, now: datetime, again: bool) -> dict[Any, int]:
    asked = _asked(cards, actor, now, again)
    rows = session.execute(_COUNT, asked)
    return {row.why: row.cards for row in rows}


def _asked(cards: Range, actor: Actor, now: datetime, again: bool, run: int = 0) -> dict[str, Any]:
    reseller = actor.reseller_id if actor.kind == "reseller" else None
    ends = {"first": cards.first, "last": cards.last}
    return {**ends, "now": now, "again": again, "reseller": reseller, "run": run}


def _add(
    session: Session,
    batch: Batch,
    cards: Range,
    design: str,
    params: dict[str, Any],
    actor: Actor,
    now: datetime,
    *,
    again: bool,
    reason: str | None,
) -> PrintRun:
    """The run with its parts and its work."""
    counts = _counted(session, cards, actor, now, again)
    printable = counts.pop(None, 0)
    if not printable:
        raise Conflict("nothing_to_print", why=counts)
    work_id = work.enqueue(session, KIND, params, actor, now, total=printable)
    run = PrintRun(
        work_id=work_id,
        batch_id=batch.id,
        reseller_id=actor.reseller_id if actor.kind == "reseller" else None,
        first_id=cards.first,
        last_id=cards.last,
        design=design,
        again=again,
        reason=reason,
        actor=str(actor),
        actor_name=actor.name,
        created_at=now,
        cards=printable,
        left_out=counts,
    )
    session.add(run)
    session.flush()
    session.execute(_ADD_PARTS, _asked(cards, actor, now, again, run.id))
    facts = {"batch": batch.name, "cards": printable, "left_out": counts, "design": design, "again": again}
    subject = f"print_run:{run.id}"
    audit.record(
        session, actor, "print_run.order", subject, now, reason=reason, **facts,
        first=serial_of(cards.first), last=serial_of(cards.last),
    )  # fmt: skip
    return run


_BATCH = text("SELECT id FROM batch WHERE first_id <= :last AND last_id >= :first")
_COUNT = text(
    f"SELECT {WHY} AS why, count(*) AS cards FROM card WHERE id BETWEEN :first AND :last GROUP BY 1"
)
_ADD_PARTS = text(
    f"""
    INSERT INTO print_run_part (run_id, first_id, last_id)
    SELECT :run, min(id), max(id) FROM (
        SELECT id, id - row_number() OVER (ORDER BY id) AS island
        FROM card WHERE id BETWEEN :first AND :last AND {WHY} IS NULL) printable
    GROUP BY island
    """
)
"""Neighbours are one part: what their ids and their places differ by is the same."""
_PRINTED = text(
    """
    UPDATE card SET printed_at = coalesce(printed_at, :now) FROM print_run_part part
    WHERE part.run_id = :run AND card.id BETWEEN part.first_id AND part.last_id AND card.printed_at IS NULL
    """
)
_UNPRINTED = text(
    "SELECT EXISTS (SELECT 1 FROM card JOIN batch ON batch.id = :batch"
    " WHERE card.id BETWEEN batch.first_id AND batch.last_id AND printed_at IS NULL AND damaged_at IS NULL"
    " AND sealed IS NOT NULL)"
)
"""A card whose password was reset has nothing left to print, nor to shred."""


def design_of(params: dict[str, Any]) -> Design:
    """The design of a run, as it was when it was ordered."""
    return from_settings(params["design"])
