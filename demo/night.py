"""What the jobs did in the past of the demo world: the same engine functions, called with the times of those nights."""

from __future__ import annotations

from datetime import timedelta

from demo.traffic import Silent
from demo.world import DAYS, ZONE, World
from engine import alarms, jobruns
from engine.calls import control
from engine.calls.sweep import sweep
from engine.cards import expiry, tokens
from engine.funds import autorecharge, breakage, fees, replacements
from engine.people import alarmdesk, auditchain
from engine.timetable import find_job

_KEPT_DAYS = 14
"""For so many days the history of the jobs is told."""
_BY = "demo-host"


def jobs(world: World, day: int) -> None:
    """The small hours of a day."""
    at = world.at(day, 0.1)
    expiry.expire_due(world.db, at)
    fees.charge_due(world.db, at)
    found = {"breakage": {"cards": breakage.write_off_due(world.db, world.at(day, 1.2))}}
    if day % 3 == 0:
        tokens.prune(world.db, at)
    if day >= DAYS - _KEPT_DAYS:
        _history(world, day, found)


def close(world: World, day: int, silent: list[Silent]) -> None:
    """The end of a day: calls without an end are swept as they fall due, some ends come late, rules recharge."""
    for one in sorted(silent, key=lambda call: call.authorized_at):
        _sweep(world, one)
    at = world.at(day, 23.9)
    autorecharge.run_due(world.db, at)
    replacements.settle_due(world.db, at)
    auditchain.extend(world.db, at)


def _sweep(world: World, one: Silent) -> None:
    shown = control.show(world.db, switch=one.switch, call_ref=one.call_ref, now=one.authorized_at)
    due = one.authorized_at + timedelta(seconds=shown.max_seconds + 250)
    if due > world.now:
        return  # it goes on: one of those that live at the end
    swept = sweep(world.db, due)
    if not swept.seen:
        return
    with world.db.begin() as session:
        subject = f"switch:{one.switch.name}"
        alarms.raise_alarm(session, "lost_calls", subject, due, calls=swept.seen, switch_id=one.switch.id)
    if one.comes and due + timedelta(hours=2) < world.now:
        control.end(
            world.db,
            switch=one.switch,
            call_ref=one.call_ref,
            duration_ms=one.seconds * 1000,
            cause=16,
            now=due + timedelta(hours=2),
        )


def look_at_alarms(world: World) -> None:
    """The night shift has looked at what is older than a few days."""
    for alarm in alarms.open_alarms(world.db):
        if alarm.last_at < world.at(DAYS - 4):
            alarmdesk.clear(
                world.db,
                alarm_id=alarm.id,
                reason="Looked at; the carrier was told",
                actor=world.who("night"),
                now=alarm.last_at + timedelta(hours=9),
            )


def _history(world: World, day: int, found: dict[str, dict[str, int]]) -> None:
    """Rows of the timetable's daily jobs, as they would stand there."""
    results: dict[str, dict[str, int]] = {
        "partitions": {},
        **found,
        "shredding": {},
        "recount": {"quarters": 192},
        "refold": {"cards": 0},
        "pruning": {"deleted": 0},
        "verify": {"findings": 0, "locked": 0},
    }
    for name, result in results.items():
        job = find_job(name)
        hour = 0.0 if job.at is None else job.at.hour + job.at.minute / 60
        at = world.at(day, hour + 0.001)
        if at >= world.now:
            continue
        run = jobruns.claim_due(world.db, job, ZONE, at, _BY)
        if run is not None:
            jobruns.finish(world.db, run, at + timedelta(seconds=2 + len(name)), result)
