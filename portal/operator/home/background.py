"""Background work: what runs, waits, ran and failed, by whom, and what came of it."""

from __future__ import annotations

from flask import url_for
from flask.typing import ResponseReturnValue

from engine.reports import worklist
from portal import arguments
from portal.installation import db, now
from portal.operator.console import console, needs
from portal.operator.home.words import WORK_KINDS, WORK_STATES
from portal.respond import respond


@console.get("/work")
@needs("jobs.see")
def background() -> ResponseReturnValue:
    """The list, newest first."""
    state = arguments.choice("state", worklist.STATES)
    kind = arguments.choice("kind", worklist.KINDS)
    before = arguments.key("before")
    page = worklist.work_list(db(), now(), state=state, kind=kind, before=before)
    asked = {"state": state, "kind": kind}
    return respond(
        "operator/home/work.html",
        block="list",
        page=page,
        asked=asked,
        kinds=WORK_KINDS,
        states=WORK_STATES,
        first=url_for("operator.background", **asked),
        older=url_for("operator.background", before=page.older, **asked) if page.older else None,
        later_page=before is not None,
    )


@console.get("/work/<int(max=9223372036854775807):work_id>")
@needs("jobs.see")
def background_one(work_id: int) -> ResponseReturnValue:
    """One row: all that is known of it, or how far it is."""
    return respond(
        "operator/home/work_one.html", block="state", line=worklist.work_line(db(), work_id, now())
    )
