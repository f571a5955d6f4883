"""How a print run is made: the handler of the work `print`. Killed, it makes the file anew, and is still one issue.

Cards are read in one snapshot, a block at a time; their passwords are in memory and in the sealed file, nowhere else.
Who ordered it must still be allowed to, the cards must still be as they were ordered, and are looked at once more: what
was damaged, used or reset since then is left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text

from engine import house, work
from engine.actor import Actor
from engine.cards.serials import serial_of
from engine.db import Database
from engine.errors import Conflict, InvalidInput
from engine.money import MICROS
from engine.people import audit, hands
from engine.people.resellerpeople import REALM
from engine.permissions import may
from engine.schema import Batch, BatchKey, PrintRun, ResellerPerson, Work
from engine.stock import conditions
from engine.stock.conditions import reason_sql
from engine.stock.custody import Range, missing_of
from engine.stock.export import private_part, put_in_place, synced_digest
from engine.stock.printing import faces, files, looks, runs, sheets
from engine.stock.printing.design import PrintCard
from engine.stock.printing.markup import price
from engine.stock.sealedfile import SealedWriter
from engine.vault import Sealer, Vault

_BLOCK = 2_000
"""Cards that are read at a time, and after which the progress is told."""
_CHANGED = re.sub(
    r"(?<!:):([a-z]+)",
    r"%(\1)s",
    reason_sql({name: condition for name, condition in runs.LEFT_OUT.items() if name != "issued"}),
)
"""Why a card that could be printed when it was ordered can't be now. That it was issued was said then."""
_FROM = """
    FROM print_run_part part JOIN card ON card.id BETWEEN part.first_id AND part.last_id
    JOIN batch ON batch.id = card.batch_id WHERE part.run_id = %(run)s
"""


@dataclass(slots=True)
class _Made:
    """What stands in the file so far: ids as ranges, and what was left out only now."""

    parts: list[list[int]] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)

    def add(self, card_id: int) -> None:
        """One more card."""
        if self.parts and self.parts[-1][1] == card_id - 1:
            self.parts[-1][1] = card_id
        else:
            self.parts.append([card_id, card_id])


def make(db: Database, vault: Vault, claimed: work.Claimed, clock: Callable[[], datetime]) -> dict[str, Any]:
    """Make the file of a run. Raises `Conflict` (print_not_theirs: also where cards of it went elsewhere,
    batch_shredded, nothing_to_print), `InvalidInput` (design_too_full, not_a_file), and `work.Stopped`."""
    run, batch, sealer = _opened(db, vault, claimed.id)
    params = claimed.params
    design = runs.design_of(params)
    look = looks.look(
        db,
        design,
        reseller_id=_wearer(db, run),
        log_in_url=params["log_in_url"],
        design_id=params["design_id"],
    )
    made = _Made()
    path = files.path_of(params["folder"], run.id)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInput("not_a_file", field="folder", path=str(path.parent)) from error
    laid = faces.lay_out(design, look, _sample(db, run, batch, design.languages[0], clock()))
    told = 0

    def report(cards: int) -> None:
        nonlocal told
        if cards - told >= _BLOCK:
            told = cards
            with db.connection() as conn:
                work.report(conn, claimed, cards, clock())

    with private_part(path) as (part, file):
        sealing = SealedWriter(vault, file)
        written = sheets.write(
            sealing,
            laid,
            _cards(db, run, batch, sealer, made, clock()),
            start_at=params["start_at"],
            offset_um=(params["offset_um"][0], params["offset_um"][1]),
            on_cards=report,
        )
        sealing.finish()
        synced_digest(file)
        if not written.cards:
            raise Conflict("nothing_to_print", why=made.left_out)
        with db.connection() as conn:
            work.report(conn, claimed, written.cards, clock())
        _record(db, run.id, claimed, made, written, sealing, clock(), lambda: put_in_place(part, path))
    return {"run": run.id, "cards": written.cards, "pages": written.pages}


def _opened(db: Database, vault: Vault, work_id: int) -> tuple[PrintRun, Batch, Sealer]:
    """The run, its batch and what opens its passwords, where it may be printed still."""
    with db.begin() as session:
        run = session.query(PrintRun).filter_by(work_id=work_id).one()
        kind, _, number = run.actor.partition(":")
        if not _may_still(session, run, kind, int(number or 0)):
            raise Conflict("print_not_theirs", name=run.actor_name)
        batch, key = session.get_one(Batch, run.batch_id), session.get_one(BatchKey, run.batch_id)
        if key.wrapped is None:
            raise Conflict("batch_shredded", name=batch.name)
        return run, batch, Sealer(vault.unwrap(key.wrapped, key.master), batch.id)


def _may_still(session: Any, run: PrintRun, kind: str, number: int) -> bool:
    """Whoever may not print any more gets no file that they ordered before; nor for cards that went elsewhere."""
    if kind == "staff":
        return hands.may_still(session, run.actor, "print_run.order")
    if kind != "reseller":
        return True
    person = session.get(ResellerPerson, number)
    if person is None or person.reseller_id != run.reseller_id or not REALM.let_in(session, person):
        return False
    if missing_of(session, Range(run.first_id, run.last_id), person.reseller_id):
        return False
    return may(Actor(kind, person.id, person.name, person.role, person.reseller_id), "print_run.order")


def _wearer(db: Database, run: PrintRun) -> int | None:
    """Whose brand the cards wear: the reseller's who has them all, else the operator's."""
    if run.reseller_id is not None:
        return run.reseller_id
    with db.begin() as session:
        found = session.scalars(
            text("SELECT DISTINCT reseller_id FROM card WHERE id BETWEEN :first AND :last LIMIT 2"),
            {"first": run.first_id, "last": run.last_id},
        ).all()
    return found[0] if len(found) == 1 else None


def _sample(db: Database, run: PrintRun, batch: Batch, language: str, now: datetime) -> PrintCard:
    """A card whose texts are as long as the longest of the run."""
    with db.raw() as conn:
        row = conn.execute(
            f"SELECT max(length(number)), array_agg(DISTINCT {conditions.FACE}), max(expires_at) {_FROM}",
            {"run": run.id},
        ).fetchone()
    digits, amounts, last = row or (12, [0], None)
    amount = max(amounts or [0], key=lambda amount: (len(price(amount, batch.currency, language)), amount))
    day = None if last is None else _last_day(last, house.refresh(db).zone)
    password = "0" * batch.password_length
    return PrintCard(
        "0" * 11, "0" * (digits or 12), password, amount or 10 * MICROS, batch.currency, day, _days(batch)
    )


def _days(batch: Batch) -> int | None:
    return batch.validity_days if batch.validity_from == "first_use" else None


def _last_day(end: datetime, zone: Any) -> Any:
    return (end - timedelta(microseconds=1)).astimezone(zone).date()


def _cards(
    db: Database, run: PrintRun, batch: Batch, sealer: Sealer, made: _Made, now: datetime
) -> Iterator[PrintCard]:
    """The cards in the order of their serials, as they are in one snapshot."""
    zone, days = house.refresh(db).zone, _days(batch)
    with db.raw() as conn, conn.cursor(name="cards") as cursor:
        cursor.itersize = _BLOCK
        cursor.execute(
            f"SELECT card.id, number, sealed, {conditions.FACE}, expires_at, {_CHANGED} {_FROM} ORDER BY card.id",
            {
                "run": run.id,
                "first": run.first_id,
                "last": run.last_id,
                "reseller": run.reseller_id,
                "now": now,
            },
        )
        for card_id, number, sealed, amount, end, reason in cursor:
            if reason is not None:
                made.left_out[reason] = made.left_out.get(reason, 0) + 1
                continue
            made.add(card_id)
            password = sealer.open(card_id, sealed).decode()
            day = None if end is None else _last_day(end, zone)
            yield PrintCard(serial_of(card_id), number, password, amount, batch.currency, day, days)


def _record(
    db: Database,
    run_id: int,
    claimed: work.Claimed,
    made: _Made,
    written: sheets.Written,
    sealing: SealedWriter,
    now: datetime,
    place: Callable[[], None],
) -> None:
    """Write down what was made, use up the consent it needed, and put the file in its place, in one transaction.

    In its place behind the lock on the batch's key: whoever shreds it waits, and finds the file to delete.
    """
    with db.begin() as session:
        run = session.get_one(PrintRun, run_id, with_for_update=True)
        # Behind this lock nobody cancels it: the last moment at which it can be, with nothing issued yet.
        job = session.get_one(Work, claimed.id, with_for_update=True)
        if job.state != "running" or job.claimed_by != claimed.claim:
            raise work.Stopped("work_lost", id=claimed.id)
        if job.cancel_requested:
            raise work.Stopped("work_cancelled", id=claimed.id)
        batch = session.get_one(Batch, run.batch_id)
        key = session.get_one(BatchKey, run.batch_id, with_for_update=True)
        if key.wrapped is None:
            raise Conflict("batch_shredded", name=batch.name)
        kind, _, number = run.actor.partition(":")
        actor = Actor(kind, int(number) if number else None, run.actor_name, reseller_id=run.reseller_id)
        if run.made_at is None:
            runs.need_consent(session, run, batch.name, actor, now, use=True)
        left_out = dict(run.left_out or {})
        for reason, count in made.left_out.items():
            left_out[reason] = left_out.get(reason, 0) + count
        run.cards, run.pages, run.left_out = written.cards, written.pages, left_out
        run.size, run.sha256, run.made_at = sealing.size, sealing.digest.digest(), now
        session.execute(text("DELETE FROM print_run_part WHERE run_id = :run"), {"run": run.id})
        session.execute(
            text("INSERT INTO print_run_part (run_id, first_id, last_id) VALUES (:run, :first, :last)"),
            [{"run": run.id, "first": first, "last": last} for first, last in made.parts],
        )
        audit.record(
            session,
            actor,
            "print_run.make",
            f"print_run:{run.id}",
            now,
            reason=run.reason,
            cards=written.cards,
            pages=written.pages,
            sha256=run.sha256.hex(),
            left_out=left_out,
        )
        session.flush()
        place()


work.HANDLERS[runs.KIND] = make
