"""Runs over many cards: all of them, one of them, its files, stopping and going on, taking it back."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from flask import Response, send_file, url_for
from flask.typing import ResponseReturnValue

from engine import work
from engine.bulk import runs, undo, views
from engine.bulk.export import KEPT, ExportFile, exported
from engine.bulk.orders import VERBS
from engine.bulk.views import RunView
from engine.errors import EngineError
from engine.messages import sentence
from engine.people.resellers import reseller_page
from portal import arguments
from portal.forms import CommandForm, ReasonField
from portal.installation import db, now
from portal.notices import said
from portal.operator.act import Ask, act
from portal.operator.bulk.words import NO_WAY_BACK, STATES, VERB_WORDS, came_of, cards_of, title_of, which
from portal.operator.console import actor, console, may, needs
from portal.respond import go_to, respond

BOTH = ["GET", "POST"]
RUN = "/bulk/<int(max=9223372036854775807):run_id>"
ON_A_PAGE = 50
NAMED = 5
"""Refused cards that the page names; the file has all of them."""
NOT_YOURS = "Only who made this file can download it."
NO_FILE = "This run made no file."
TYPES = {"csv": "text/csv", "txt": "text/tab-separated-values"}
SHEET = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


class WhyForm(CommandForm):
    """Nothing but a reason that may be given."""

    reason = ReasonField(required=False, most=500, description="It is kept in the audit trail.")


@console.get("/bulk")
@needs("cards.see")
def bulk_runs() -> ResponseReturnValue:
    """Runs, newest first; of one verb or one person."""
    people, before = views.actors(db()), arguments.key("before")
    verb, who = arguments.choice("verb", VERBS), arguments.choice("who", people)
    found = views.list_runs(db(), verb=verb, actor=who, before=before, limit=ON_A_PAGE + 1)
    older = found[ON_A_PAGE - 1].id if len(found) > ON_A_PAGE else None
    return respond(
        "operator/bulk/runs.html",
        block="list",
        runs=[(run, title_of(run)) for run in found[:ON_A_PAGE]],
        verbs=VERB_WORDS,
        mine={name: word for name, word in VERB_WORDS.items() if may(f"bulk.{name}")},
        states=STATES,
        people=people,
        verb=verb,
        who=who,
        first=url_for("operator.bulk_runs", verb=verb, who=who),
        older=url_for("operator.bulk_runs", verb=verb, who=who, before=older) if older else None,
        later_page=before is not None,
    )


@console.get(RUN)
@needs("cards.see")
def bulk_run(run_id: int) -> ResponseReturnValue:
    """A run; its block `run` is what it asks for while it goes on."""
    run = views.show(db(), run_id)
    told = [
        (number, sentence(code, name="of the card", high=1, field="amount"))
        for code, number in run.reasons.items()
    ]
    return respond(
        "operator/bulk/run.html",
        block="run",
        run=run,
        title=title_of(run),
        came_of=came_of(run),
        cards_of=cards_of,
        state=_state(run),
        waits=run.waits(now()),
        reasons=told,
        refused=views.refused(db(), run_id, limit=NAMED) if run.refused else [],
        which=which(run.filter, views.filter_names(db(), run.filter)),
        back=_way_back(run),
        file=_file(run),
        own=run.actor == str(actor()),
    )


@console.get(RUN + "/refused.csv")
@needs("cards.see")
def bulk_refused(run_id: int) -> ResponseReturnValue:
    """The refused cards as a file."""
    pieces = views.refused_csv(db(), views.show(db(), run_id).id)
    named = {"Content-Disposition": f'attachment; filename="refused-{run_id}.csv"'}
    return Response(pieces, mimetype="text/csv", headers=named)


@console.get(RUN + "/file")
@needs("bulk.export")
def bulk_file(run_id: int) -> ResponseReturnValue:
    """The file of an export, for who made it; anybody else is told so on the page of the run."""
    run, made = views.show(db(), run_id), None
    why = NOT_YOURS
    if run.actor == str(actor()):
        try:
            made = exported(db(), run_id)
        except EngineError as error:
            why = sentence(error) if run.verb == "export" else NO_FILE
    if made is None:
        said(why, kind="warn")
        return go_to(_page(run_id))
    file = send_file(
        made.path, TYPES.get(made.format, SHEET), as_attachment=True, download_name=made.path.name
    )
    file.headers["Cache-Control"] = "no-store"
    return file


@console.route(RUN + "/cancel", methods=BOTH)
@needs("bulk.cancel")
def cancel_bulk(run_id: int) -> ResponseReturnValue:
    """Stop a run; what is done stays done."""
    form, run = WhyForm(), views.show(db(), run_id)
    return act(
        form,
        lambda: (runs.cancel(db(), run_id, actor(), now(), reason=form.reason.data),),
        Ask(
            f"Stop run {run.id}?",
            "Stop it",
            _page(run_id),
            "What is done stays done. It can go on later.",
            "bad",
        ),
        done=lambda answer: "The run stops." if answer[0] else "The run was over already.",
    )


@console.route(RUN + "/resume", methods=BOTH)
@needs("bulk.resume")
def resume_bulk(run_id: int) -> ResponseReturnValue:
    """Go on with a run that was stopped or failed."""
    form, run = WhyForm(), views.show(db(), run_id)
    return act(
        form,
        lambda: runs.resume(db(), run_id, actor(), now(), reason=form.reason.data),
        Ask(
            f"Go on with run {run.id}?",
            "Go on",
            _page(run_id),
            "It goes on with the cards that it did not reach.",
        ),
        done="The run goes on.",
    )


@console.get(RUN + "/undo")
@needs("cards.see")
def undo_bulk(run_id: int) -> ResponseReturnValue:
    """What would take a run back: an order for each value that its cards had before."""
    run = views.show(db(), run_id)
    parts = undo.parts(db(), run_id)
    shown = [
        (part, _before(part), url_for(f"operator.bulk_{part.verb}", run=run_id, before=part.before))
        for part in parts
        if may(f"bulk.{part.verb}")
    ]
    return respond(
        "operator/bulk/undo.html",
        run=run,
        title=title_of(run),
        parts=shown,
        any=bool(parts),
        cards_of=cards_of,
    )


def _before(part: undo.Part) -> str:
    """What the cards of a part had before."""
    if part.verb == "assign":
        reseller = reseller_page(db(), int(part.before)) if part.before else None
        return reseller.name if reseller else "no reseller"
    return part.before or ""


def _page(run_id: int) -> str:
    return url_for("operator.bulk_run", run_id=run_id)


def _state(run: RunView) -> tuple[str, str]:
    """The tone and word of a run's state."""
    if run.work_id is not None and not run.finished:
        if run.cancel_requested:
            return "warn", "Stopping"
        if work.find_work(db(), run.work_id, now()).abandoned:
            return "warn", "Waiting for another process to go on"
    return STATES[run.state]


def _way_back(run: RunView) -> dict[str, Any]:
    """How a run is taken back: an address, or a sentence why not."""
    reverse = undo.reverse_verb(run.verb)
    if run.verb == "export" or not run.finished or not run.changed:
        return {}
    if reverse is None:
        return {"none": NO_WAY_BACK[run.verb]}
    if not may(f"bulk.{reverse}"):
        return {}
    if reverse == run.verb:
        return {"url": url_for("operator.undo_bulk", run_id=run.id), "text": "Take it back"}
    return {
        "url": url_for(f"operator.bulk_{reverse}", run=run.id),
        "text": f"Undo: {VERB_WORDS[reverse].lower()}",
    }


def _file(run: RunView) -> dict[str, Any] | None:
    """The file of an export: whether it is still there, and until when."""
    if run.verb != "export" or run.finished_at is None:
        return None
    made: ExportFile | None = None
    with suppress(EngineError):  # looked for too late: the page says so
        made = exported(db(), run.id)
    return {"made": made, "until": run.finished_at + KEPT}
