"""The self-check of the books: what the last runs found, what is open, and a run now in the background."""

from __future__ import annotations

from flask import url_for
from flask.typing import ResponseReturnValue

from engine import jobruns
from engine.people import jobdesk
from engine.reports import alarmwords
from portal.forms import CommandForm, ReasonField
from portal.installation import db, now
from portal.operator.act import Ask, act
from portal.operator.console import actor, console, needs
from portal.respond import respond

JOB = "verify"
SHOWN = 10


class RunForm(CommandForm):
    """Why it is run."""

    reason = ReasonField(required=False, description="For the audit trail. You may leave it out.")


@console.get("/money/reports/books")
@needs("money.see")
def books() -> ResponseReturnValue:
    """The last results, and every finding that is still open."""
    runs = jobruns.history(db(), JOB, SHOWN)
    over = [run for run in runs if run.state in ("done", "failed", "lost")]
    return respond(
        "operator/money/books.html",
        block="state",
        runs=runs,
        last=over[0] if over else None,
        running=next((run for run in runs if run.state in ("asked", "running")), None),
        findings=[one for one in alarmwords.open_told(db()) if one.alarm.kind == "books"],
    )


@console.route("/money/reports/books/check", methods=["GET", "POST"])
@needs("job.run")
def books_check() -> ResponseReturnValue:
    """Check them now, in the background."""
    form = RunForm()
    return act(
        form,
        lambda: jobdesk.run_now(db(), job=JOB, reason=form.reason.data, actor=actor(), now=now()),
        Ask(
            "Check the books now",
            "Check them",
            url_for("operator.books"),
            "Every balance is compared with its entries and every entry with its document. Calls go on meanwhile; "
            "a million cards take some seconds.",
        ),
        done="The check was asked for. This page shows what it finds.",
    )
