"""What happens by the clock: each job in words, when it falls due, how it went; run now, pause, go on."""

from __future__ import annotations

from flask import url_for
from flask.typing import ResponseReturnValue

from engine import jobruns
from engine.people import jobdesk
from engine.reports import worklist
from engine.timetable import Job, find_job
from portal import arguments
from portal.forms import CommandForm, ReasonField
from portal.installation import db, now
from portal.operator.act import Ask, act
from portal.operator.console import actor, console, needs
from portal.operator.home.words import job_title
from portal.respond import respond

_JOB = "/work/timetable/<job>"
_PAGE = 50


class JobForm(CommandForm):
    """Why it is done."""

    reason = ReasonField(required=False, description="For the audit trail.")


@console.get("/work/timetable")
@needs("jobs.see")
def timetable() -> ResponseReturnValue:
    """Every job with its last run and its next."""
    lines = jobruns.overview(db(), now())
    names = worklist.names_of(db(), (line.paused_by for line in lines))
    return respond("operator/home/timetable.html", lines=lines, names=names)


@console.get(_JOB)
@needs("jobs.see")
def job_history(job: str) -> ResponseReturnValue:
    """The runs of a job, newest first; of a frequent one by quarters of an hour."""
    found, before = find_job(job), arguments.place("before")
    runs = jobruns.history(db(), job, _PAGE + 1, before[0] if before else None)
    older = arguments.written_place((runs[_PAGE - 1].due_at, 0)) if len(runs) > _PAGE else None
    return respond(
        "operator/home/job.html",
        block="list",
        job=found,
        line=next(line for line in jobruns.overview(db(), now()) if line.job == found),
        runs=runs[:_PAGE],
        names=worklist.names_of(db(), (run.asked_by for run in runs)),
        older=url_for("operator.job_history", job=job, before=older) if older else None,
        later_page=before is not None,
    )


@console.route(_JOB + "/run", methods=["GET", "POST"])
@needs("job.run")
def job_run(job: str) -> ResponseReturnValue:
    """Ask for a run now."""
    found, form = find_job(job), JobForm()
    return act(
        form,
        lambda: jobdesk.run_now(db(), job=job, reason=form.reason.data, actor=actor(), now=now()),
        _ask(found, "Run “{}” now", "Run it", found.words + " It begins within a second, paused or not."),
        done="It was asked to run. See below how it goes.",
    )


@console.route(_JOB + "/pause", methods=["GET", "POST"])
@needs("job.pause")
def job_pause(job: str) -> ResponseReturnValue:
    """Let its turns pass."""
    found, form = find_job(job), JobForm()
    return act(
        form,
        lambda: jobdesk.pause(db(), job=job, reason=form.reason.data, actor=actor(), now=now()),
        _ask(found, "Pause “{}”", "Pause it", "It rests until somebody lets it go on. " + found.words, "bad"),
        done="The job is paused.",
        undo=(url_for("operator.job_continue", job=job), "Let it go on"),
    )


@console.route(_JOB + "/continue", methods=["GET", "POST"])
@needs("job.continue")
def job_continue(job: str) -> ResponseReturnValue:
    """Let a paused job run again."""
    found, form = find_job(job), JobForm()
    return act(
        form,
        lambda: jobdesk.go_on(db(), job=job, reason=form.reason.data, actor=actor(), now=now()),
        _ask(found, "Let “{}” go on", "Let it go on", "What it missed is done once, at once."),
        done="The job runs again.",
    )


def _ask(job: Job, title: str, submit: str, intro: str, tone: str = "") -> Ask:
    back = url_for("operator.job_history", job=job.name)
    return Ask(title.format(job_title(job.name)), submit, back, intro=intro, tone=tone)
