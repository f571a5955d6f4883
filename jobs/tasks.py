"""How each job of the timetable is done. Any of these may be done twice or at once without harm.

Each looks at what is due now, not at what was missed, and returns counts of what it did: plain values, kept with its
run. It raises where something must be seen to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from engine import alarms, jobruns, limits
from engine.actor import SYSTEM
from engine.bulk import export
from engine.calls.sweep import sweep
from engine.cards import expiry, lifecycle, phones, searchcopy, tokens
from engine.cards.serials import card_id_of
from engine.db import Database
from engine.errors import Refused
from engine.funds import autorecharge, breakage, fees, replacements
from engine.migrations.partitions import PARTITIONED, ensure_partitions, month_start
from engine.people import auditchain, sessions
from engine.reports import buckets, pruning
from engine.reports.verify import Finding, examine
from engine.schema import Switch
from engine.stock import handover
from engine.stock.printing import files as print_files
from engine.stock.shredding import shred_due
from engine.timetable import JOBS

Clock = Callable[[], datetime]
Task = Callable[[Database, Clock], Mapping[str, Any]]

_SWEEP_LIMIT = 500
_LIMIT = 500
_MOST_ROUNDS = 200
"""What one run does at most of something that has no end, so that no other turn waits for ever."""
MONTHS_BEFORE_ALARM = 2


def _until_none(some: Callable[[], int]) -> int:
    """Do something by the portion until nothing is left."""
    done = 0
    for _ in range(_MOST_ROUNDS):
        portion = some()
        done += portion
        if not portion:
            break
    return done


# --- calls ---


def sweep_calls(db: Database, clock: Clock) -> dict[str, Any]:
    """End the calls whose end never came, until none is overdue; an alarm for each switch that lost some."""
    settled = voided = failed = 0
    switches: dict[int, int] = {}
    while True:
        swept = sweep(db, clock(), _SWEEP_LIMIT)
        settled, voided, failed = settled + swept.settled, voided + swept.voided, failed + swept.failed
        for switch, calls in swept.switches.items():
            switches[switch] = switches.get(switch, 0) + calls
        if swept.seen < _SWEEP_LIMIT or not swept.settled + swept.voided:
            break
    if switches:
        _alarm_for_lost_calls(db, switches, clock())
    return {"settled": settled, "voided": voided, "failed": failed}


def _alarm_for_lost_calls(db: Database, switches: Mapping[int, int], now: datetime) -> None:
    with db.begin() as session:
        found = session.execute(select(Switch.id, Switch.name).where(Switch.id.in_(switches)))
        names = {row.id: row.name for row in found}
        for switch, calls in sorted(switches.items()):
            subject = f"switch:{names.get(switch, switch)}"
            alarms.raise_alarm(session, "lost_calls", subject, now, calls=calls, switch_id=switch)


# --- what falls due on cards, and what settlements leave ---


def expire_cards(db: Database, clock: Clock) -> dict[str, Any]:
    """Tell the timelines of cards that have expired."""
    return {"cards": expiry.expire_due(db, clock())}


def expire_missed(db: Database, clock: Clock) -> dict[str, Any]:
    """Tell the timelines of expired cards that fell due behind what was told."""
    return {"cards": expiry.expire_missed(db, clock())}


def charge_fees(db: Database, clock: Clock) -> dict[str, Any]:
    """Charge the maintenance fees that have fallen due."""
    return {"cards": fees.charge_due(db, clock())}


def write_off(db: Database, clock: Clock) -> dict[str, Any]:
    """Write off what is left on cards whose grace has ended."""
    return {"cards": breakage.write_off_due(db, clock())}


def recharge_due(db: Database, clock: Clock) -> dict[str, Any]:
    """Recharge the cards that fell under the threshold of their rule."""
    return {"crossings": _until_none(lambda: autorecharge.run_due(db, clock(), _LIMIT))}


def recharge_missed(db: Database, clock: Clock) -> dict[str, Any]:
    """Enrol the cards that rules find by themselves, and note crossings that nobody noted."""
    return {"found": autorecharge.catch_up(db, clock())}


def settle_replacements(db: Database, clock: Clock) -> dict[str, Any]:
    """Move what calls have set free on replaced cards."""
    return {"cards": replacements.settle_due(db, clock())}


def fold_search(db: Database, clock: Clock) -> dict[str, Any]:
    """Fold what changed into the copy that the card search reads."""
    return {"cards": searchcopy.fold(db, clock())}


def refold_search(db: Database, clock: Clock) -> dict[str, Any]:
    """Compare that copy with every card."""
    return {"cards": searchcopy.refold(db, clock())}


def extend_chain(db: Database, clock: Clock) -> dict[str, Any]:
    """Give new audit rows their place in the chain."""
    return {"rows": auditchain.extend(db, clock())}


# --- counting and checking ---


def aggregate(db: Database, clock: Clock) -> dict[str, Any]:
    """Count the open quarter of an hour and the last ones again."""
    return {"quarters": buckets.aggregate(db, clock())}


def recount(db: Database, clock: Clock) -> dict[str, Any]:
    """Count the last two days again, for what came late, and all stock."""
    return {"quarters": buckets.recount(db, clock())}


def verify_books(db: Database, clock: Clock) -> dict[str, Any]:
    """Check the books; each finding is an alarm, and locks the card it is about when it is first found."""
    found = examine(db, clock())
    locked = sum(_breach(db, finding, clock()) for finding in found.findings)
    return {
        "findings": len(found.findings),
        "locked": locked,
        "cards": found.cards,
        "entries": found.entries,
        "calls": found.calls,
    }


def _breach(db: Database, finding: Finding, now: datetime) -> bool:
    """Set off the alarm of a finding; whether its card was locked, which happens once for each alarm."""
    about = f"{finding.code} {finding.subject}"
    with db.begin() as session:
        open_before = session.scalar(
            text("SELECT 1 FROM alarm WHERE kind = 'books' AND subject = :about AND cleared_at IS NULL"),
            {"about": about},
        )
        data = {"code": finding.code, "about": finding.subject, "detail": finding.detail}
        alarms.raise_alarm(session, "books", about, now, severity=alarms.CRITICAL, **data)
    kind, _, serial = finding.subject.partition(":")
    if open_before or kind != "card" or not serial:
        return False
    reason = f"The self-check of the books found something wrong ({finding.code})."
    try:
        return lifecycle.lock(db, card_id=card_id_of(serial), reason=reason, actor=SYSTEM, now=now).changed
    except Refused:
        return False  # voided for good already


def watch(db: Database, clock: Clock) -> dict[str, Any]:
    """An alarm for work that failed, until it is done after all; for a job that nobody could end, or that hangs."""
    now = clock()
    with db.begin() as session:
        failed = session.execute(_FAILED_WORK).all()
        for work in failed:
            data = {"work": work.kind, "error": work.error}
            alarms.raise_alarm(session, "work_failed", f"work:{work.id}", now, **data)
        lost = session.scalars(_LOST_JOBS, {"before": now - _PATIENCE, "let_go": jobruns.LET_GO}).all()
        for job in lost:
            error = "The processes that ran it ended without a word."
            alarms.raise_alarm(session, "job_failed", f"job:{job}", now, error=error)
        mended = session.scalars(_MENDED_WORK).all()
        for subject in mended:
            alarms.clear_alarm(session, "work_failed", subject, SYSTEM, now)
        hung = watch_runs(session, now)
    return {"failed": len(failed), "lost": len(lost), "hung": hung, "mended": len(mended)}


def watch_runs(session: Session, now: datetime) -> int:
    """An alarm for each run that takes longer than its job may, while it lasts; how many are new."""
    seldom = [f"job:{name}" for name, job in JOBS.items() if not job.quiet]
    for subject in session.scalars(_OVER, {"seldom": seldom}).all():
        alarms.clear_alarm(session, "job_hung", subject, SYSTEM, now)
    return sum(tell_of_hung(session, job, since, now) for job, since in jobruns.hung(session, now))


def tell_of_hung(session: Session, job: str, since: datetime, now: datetime) -> bool:
    """An alarm for a run that began at `since` and does not end; once for each, also where somebody cleared it."""
    about = {"subject": f"job:{job}", "since": since}
    if session.scalar(_TOLD, about):
        return False
    minutes = int((now - since).total_seconds()) // 60
    alarms.raise_alarm(session, "job_hung", f"job:{job}", now, since=since.isoformat(), minutes=minutes)
    return True


_FAILED_WORK = text(
    """
    SELECT id, kind, error FROM work
    WHERE state = 'failed' AND NOT EXISTS (
        SELECT 1 FROM alarm a WHERE a.kind = 'work_failed' AND a.subject = 'work:' || work.id
            AND a.last_at >= work.finished_at
    )
    ORDER BY id LIMIT 100
    """
)
_PATIENCE = timedelta(minutes=2)
_LOST_JOBS = text(
    """
    SELECT job FROM job_run run
    WHERE state = 'lost' AND finished_at <= :before AND error <> :let_go
        AND NOT EXISTS (SELECT 1 FROM job_run later WHERE later.job = run.job AND later.due_at > run.due_at)
        AND NOT EXISTS (
            SELECT 1 FROM alarm a
            WHERE a.kind = 'job_failed' AND a.subject = 'job:' || run.job AND a.last_at >= run.finished_at
        )
    """
)
_TOLD = text(
    "SELECT 1 FROM alarm WHERE kind = 'job_hung' AND subject = :subject AND last_at >= :since LIMIT 1"
)
# A frequent job's run has no row: whoever runs it clears its alarm.
_OVER = text(
    """
    SELECT subject FROM alarm a WHERE kind = 'job_hung' AND cleared_at IS NULL AND subject = ANY(:seldom)
        AND NOT EXISTS (SELECT 1 FROM job_run WHERE state = 'running' AND 'job:' || job = a.subject)
    """
)
_MENDED_WORK = text(
    """
    SELECT a.subject FROM alarm a WHERE a.kind = 'work_failed' AND a.cleared_at IS NULL
        AND NOT EXISTS (SELECT 1 FROM work WHERE state = 'failed' AND a.subject = 'work:' || work.id)
    """
)


# --- keeping house ---


def make_partitions(db: Database, clock: Clock) -> dict[str, Any]:
    """Make the tables of the coming months; an alarm where they end too soon all the same."""
    now = clock()
    try:
        with db.engine.begin() as connection:
            ensure_partitions(connection, now)
    finally:
        with db.begin() as session:
            for table in PARTITIONED:
                _alarm_for_partitions(session, table, now)
    return {}


def _alarm_for_partitions(session: Session, table: str, now: datetime) -> None:
    """Rows of a month without a table are kept all the same, but together, and are slow to find."""
    months = 0
    while (
        session.scalar(
            text("SELECT to_regclass(:name)"), {"name": f"{table}_{month_start(now, months + 1):%Y_%m}"}
        )
        is not None
    ):
        months += 1
    if months < MONTHS_BEFORE_ALARM:
        alarms.raise_alarm(session, "partitions", f"table:{table}", now, months_ahead=months)
    else:
        alarms.clear_alarm(session, "partitions", f"table:{table}", SYSTEM, now)


def shred_batches(db: Database, clock: Clock) -> dict[str, Any]:
    """Destroy the keys of batches whose passwords were to be readable only so long."""
    return {"batches": len(shred_due(db, SYSTEM, clock()))}


def prune_tokens(db: Database, clock: Clock) -> dict[str, Any]:
    """Delete card tokens that are dead, and phones that waited for their first call in vain."""
    return {
        "deleted": _until_none(lambda: tokens.prune(db, clock())),
        "phones": phones.prune(db, clock()),
    }


def prune_failures(db: Database, clock: Clock) -> dict[str, Any]:
    """Delete counters of failures that lie long ago."""

    def prune() -> int:
        with db.begin() as session:
            return limits.prune(session, clock())

    return {"deleted": _until_none(prune)}


def prune_sessions(db: Database, clock: Clock) -> dict[str, Any]:
    """Delete log-ins that are over."""
    return {"deleted": sessions.prune(db, clock())}


def prune(db: Database, clock: Clock) -> dict[str, Any]:
    """Delete what is kept only so long: failed tries, work and runs that are over, answers to repeated requests, and
    the files of exports.
    """
    # Before the rows of work that tell where files are.
    handed_over = handover.remove_old(db, clock())
    return {
        **pruning.prune(db, clock()),
        "exports": export.remove_old(db, clock()),
        "hand_overs": handed_over,
    }


def prune_print_files(db: Database, clock: Clock) -> dict[str, Any]:
    """Delete the files of print runs that waited a day."""
    return {"deleted": print_files.remove_old(db, clock())}


TASKS: dict[str, Task] = {
    "audit_chain": extend_chain,
    "auto_recharge": recharge_due,
    "auto_recharge_catch_up": recharge_missed,
    "replacements": settle_replacements,
    "search": fold_search,
    "refold": refold_search,
    "sweep": sweep_calls,
    "watch": watch,
    "aggregates": aggregate,
    "expiry": expire_cards,
    "expiry_catch_up": expire_missed,
    "fees": charge_fees,
    "breakage": write_off,
    "recount": recount,
    "verify": verify_books,
    "partitions": make_partitions,
    "shredding": shred_batches,
    "tokens": prune_tokens,
    "failures": prune_failures,
    "sessions": prune_sessions,
    "print_files": prune_print_files,
    "pruning": prune,
}
"""What does the job of each name in `engine.timetable.JOBS`."""
