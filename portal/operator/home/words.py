"""The words of Home and Work: jobs and kinds of work by name, where things lead, how two days compare."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime

from flask import Flask, url_for
from markupsafe import Markup

from engine.jobruns import RunView
from engine.reports.alarmwords import AlarmTold
from engine.reports.today import Hour
from engine.reports.worklist import EXPORT, WorkLine
from engine.timetable import Job
from portal.formats import MINUS, MONTHS, count
from portal.installation import zone
from portal.operator.console import may

WORK_KINDS = {
    "generate": "Making cards",
    "hand_over": "File of cards",
    "print": "Print run",
    "bulk": "Many cards at once",
    "replay": "Replay of calls",
    EXPORT: "Export of a list",
}
WORK_STATES = {"open": "Waits or runs", "done": "Done", "failed": "Failed", "cancelled": "Cancelled"}
VERBS = {
    "lock": "Lock",
    "unlock": "Unlock",
    "damage": "Void",
    "activate": "Activate",
    "hold_back": "Hold back",
    "extend": "Extend validity",
    "recharge": "Recharge",
    "bind": "Bind callers",
    "unbind": "Unbind callers",
    "change_deck": "Change the rate deck",
    "set_concurrency": "Calls at a time",
    "change_rules": "Change destination rules",
    "assign": "Assign to a reseller",
    "discard": "Write off unused stock",
    "export": "Export",
}
JOB_TITLES = {
    "auto_recharge": "Auto-recharge",
    "audit_chain": "Audit chain",
    "search": "Card search",
    "replacements": "Replaced cards",
    "sweep": "Calls without an end",
    "watch": "Watch",
    "aggregates": "Figures",
    "expiry": "Expiry",
    "auto_recharge_catch_up": "Auto-recharge, missed",
    "tokens": "Card tokens",
    "failures": "Wrong passwords",
    "fees": "Maintenance fees",
    "sessions": "Log-ins",
    "print_files": "Files of printed cards",
    "partitions": "Tables of coming months",
    "expiry_catch_up": "Expiry, missed",
    "breakage": "Breakage",
    "shredding": "Shredding",
    "recount": "Figures, counted again",
    "refold": "Card search, compared",
    "pruning": "Clearing out",
    "verify": "Self-check of the books",
}
RUN_STATES = {
    "asked": ("calm", "Asked for"),
    "running": ("calm", "Running"),
    "done": ("good", "Done"),
    "failed": ("bad", "Failed"),
    "lost": ("warn", "Lost"),
}
ENOUGH = 20
"""So many of a week ago make a percentage worth saying."""
SEVERITIES = {"critical": ("bad", "Critical"), "warning": ("warn", "Warning"), "notice": ("calm", "Notice")}


def init_app(app: Flask) -> None:
    """Make the words known to the templates."""
    app.jinja_env.filters.update(
        alarm_link=alarm_link,
        calls_by_hour=calls_by_hour,
        clock=clock,
        compared=compared,
        due_when=due_when,
        job_title=job_title,
        minutes_by_hour=minutes_by_hour,
        permille=permille,
        revenue_by_day=revenue_by_day,
        run_did=run_did,
        work_acts=work_acts,
        work_link=work_link,
        work_title=work_title,
    )
    app.jinja_env.globals.update(RUN_STATES=RUN_STATES, SEVERITIES=SEVERITIES)


def job_title(name: str) -> str:
    """A job by a name that people say."""
    return JOB_TITLES.get(name, name.replace("_", " ").capitalize())


def due_when(job: Job) -> str:
    """How often a job runs: `every 5 min`, `daily at 04:10`."""
    if job.at is not None:
        return f"daily at {job.at:%H:%M}"
    seconds = job.every_s or 0
    for size, one, unit in ((3600, "hour", "h"), (60, "minute", "min")):
        if seconds % size == 0:
            return f"every {one}" if seconds == size else f"every {seconds // size} {unit}"
    return f"every {seconds} s"


def run_did(run: RunView) -> str:
    """What a run found or did: `settled 3, voided 1`; nothing of what is zero."""
    did = [
        f"{name.replace('_', ' ')} {count(value) if isinstance(value, int) else value}"
        for name, value in run.result.items()
        if value and name != "runs"
    ]
    return ", ".join(did)


def permille(thousandths: int | None) -> str:
    """A share, from thousandths: `41.5 %`; a dash where there is none."""
    return "–" if thousandths is None else f"{thousandths // 10}.{thousandths % 10} %"


def compared(now: int, before: int) -> str:
    """A count of a week ago beside that of today, with the difference where there were enough to tell one."""
    if before < ENOUGH:
        return f"{count(before)} a week ago"
    change = (200 * (now - before) + before) // (2 * before)
    sign = "+" if change > 0 else MINUS if change < 0 else "±"
    return f"{count(before)} a week ago, {sign}{count(abs(change))} %"


def clock(instant: datetime) -> str:
    """The time of day in the reader's zone: `14:02`."""
    return f"{instant.astimezone(zone()):%H:%M}"


def calls_by_hour(hours: Iterable[Hour]) -> list[tuple[str, int, int]]:
    """Points of a chart: calls of each hour, and of a week ago."""
    return [(f"{one.hour:02}:00", one.calls, one.calls_before) for one in hours]


def minutes_by_hour(hours: Iterable[Hour]) -> list[tuple[str, int, int]]:
    """The same of whole minutes; a late end may have taken more back than an hour brought."""
    return [
        (f"{one.hour:02}:00", max(0, one.seconds) // 60, max(0, one.seconds_before) // 60) for one in hours
    ]


def revenue_by_day(days: Iterable[tuple[date, int]]) -> list[tuple[str, int, None]]:
    """Points of a chart: what each day brought, in micro-units."""
    return [(f"{day.day} {MONTHS[day.month - 1]}", max(0, micros), None) for day, micros in days]


def alarm_link(alarm: AlarmTold) -> tuple[str, str] | None:
    """Where an alarm leads: an address and what stands there."""
    key = alarm.key or ""
    number = int(key) if key.isascii() and key.isdecimal() else None
    if alarm.to == "work" and number is not None:
        return url_for("operator.background_one", work_id=number), "See the work"
    if alarm.to == "job":
        return url_for("operator.job_history", job=key), "See its history"
    if alarm.to == "account" and number is not None and may("money.see"):
        return f"/money/accounts/{number}", "See the account"
    if alarm.to == "card" and number is not None:
        return url_for("operator.card", serial=key), "See the card"
    fixed = {
        "switch": ("/calls/flagged", "See the flagged calls"),
        "rule": ("/settings/auto-recharge", "See the rules"),
        "payment": ("/money/online", "See the online payments"),
        "attempts": ("/calls/refused", "See the refused tries"),
    }
    if alarm.alarm.kind == "partitions":
        return url_for("operator.job_history", job="partitions"), "See the job"
    return fixed.get(alarm.to or "")


def work_title(line: WorkLine) -> Markup:
    """What a row of work is, and about what."""
    kind = WORK_KINDS.get(line.view.kind, "Background work")
    if line.view.kind == "bulk" and line.subject is not None:
        return Markup("{}: {}").format(kind, VERBS.get(line.subject, line.subject.replace("_", " ")))
    if line.subject is None:
        return Markup("{}").format(kind)
    return Markup("{}: <bdi>{}</bdi>").format(kind, line.subject)


def work_link(line: WorkLine) -> tuple[str, str] | None:
    """Where the result of a row of work stands: an address and what it is."""
    number, kind = line.subject_id, line.view.kind
    if kind == EXPORT:
        return "/calls/exports", "The exports"
    if number is None:
        return None
    if kind == "replay":
        return url_for("operator.replay", work_id=line.view.id), "The replay"
    if kind == "bulk":
        return f"/bulk/{number}", f"Run {count(number)}"
    if kind == "print":
        return url_for("operator.print_run", run_id=number), f"Print run {count(number)}"
    if kind == "hand_over":
        return f"/batches/{number}/export", "The files of the batch"
    return url_for("operator.batch", batch_id=number), "The batch"


def work_acts(line: WorkLine) -> list[tuple[str, str]]:
    """What the reader may do with a row of work: pairs (address, word)."""
    view, number = line.view, line.subject_id
    if number is None:
        return []
    stops = {
        "generate": ("batch.stop", f"/batches/{number}/stop"),
        "bulk": ("bulk.cancel", f"/bulk/{number}/cancel"),
        "replay": ("deck.cancel_replay", f"/rates/replays/{view.id}/stop"),
    }
    again = {
        "generate": ("batch.resume", f"/batches/{number}/resume"),
        "bulk": ("bulk.resume", f"/bulk/{number}/resume"),
    }
    if not view.finished:
        offered, word = (None if view.cancel_requested else stops.get(view.kind)), "Stop"
    else:
        goes_on = view.state != "done" and not line.over
        offered, word = (again.get(view.kind) if goes_on else None), "Go on"
    return [(offered[1], word)] if offered is not None and may(offered[0]) else []
