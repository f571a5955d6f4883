"""Print runs: the list, how far one is, its file for who ordered it, and whether it printed well."""

from __future__ import annotations

from flask import Response, url_for
from flask.typing import ResponseReturnValue

from engine.actor import Actor
from engine.errors import NotFound
from engine.people.resellers import list_resellers
from engine.stock.printing import files, runs, runviews
from engine.stock.printing.runs import Confirmed
from engine.stock.printing.runviews import RunView
from portal import arguments
from portal.formats import cards, cards_that
from portal.forms import CommandForm
from portal.installation import db, installation, now
from portal.notices import said
from portal.operator.act import Ask, act
from portal.operator.batches.lists import batch_or_404
from portal.operator.console import actor, console, may, needs
from portal.operator.printing import drawing
from portal.operator.printing.words import STATES, left_out
from portal.respond import attached, go_to, respond, wants_part

BOTH = ["GET", "POST"]
ONE = "/print/<int(max=9223372036854775807):run_id>"


@console.get("/print")
@needs("batches.see")
def print_runs() -> ResponseReturnValue:
    """All runs, newest first, narrowed to a batch or a reseller."""
    batch_id = arguments.key("batch")
    reseller_id = arguments.key("reseller") if arguments.words("reseller") else None
    before = arguments.key("before")
    asked = {"batch": batch_id, "reseller": reseller_id}
    page = runviews.runs(db(), actor(), now(), batch_id=batch_id, reseller_id=reseller_id, before=before)
    resellers = {one.id: one.name for one in list_resellers(db())} if may("resellers.see") else {}
    return respond(
        "operator/printing/runs.html",
        block="list",
        page=page,
        states=STATES,
        asked=asked,
        resellers=resellers,
        batch=batch_or_404(batch_id) if batch_id is not None else None,
        later_page=before is not None,
        older=url_for(".print_runs", before=page.older, **asked) if page.older else None,
    )


@console.get(ONE)
@needs("batches.see")
def print_run(run_id: int) -> ResponseReturnValue:
    """One run; the part of it that changes, alone, where that asks for itself."""
    return run_page(run_id, actor())


@console.route(ONE + "/cancel", methods=BOTH)
@needs("print_run.cancel")
def print_run_cancel(run_id: int) -> ResponseReturnValue:
    """Stop it."""
    return cancel_run(run_id, actor())


@console.post(ONE + "/download")
@needs("print_run.order")
def print_run_download(run_id: int) -> ResponseReturnValue:
    """Its file, for who ordered it."""
    return download(run_id, actor())


@console.route(ONE + "/confirm", methods=BOTH)
@needs("print_run.confirm")
def print_run_confirm(run_id: int) -> ResponseReturnValue:
    """It printed well."""
    return confirm_run(run_id, actor())


def run_page(run_id: int, who: Actor) -> ResponseReturnValue:
    """A run as its reader may see it. Raises `NotFound`."""
    run = runviews.run(db(), run_id, who, now())
    if wants_part() and run.work.finished:
        return go_to(url_for(".print_run", run_id=run_id))  # what can be done with it is another thing now
    return respond(
        "operator/printing/run.html",
        block="state",
        run=run,
        states=STATES,
        left=left_out(run.left_out),
        dead_codes=run.codes_at if run.codes_at and drawing.is_local(run.codes_at) else None,
        again=_again(run),
    )


def cancel_run(run_id: int, who: Actor) -> ResponseReturnValue:
    """The act that stops a run. Raises `NotFound`."""
    run = runviews.run(db(), run_id, who, now())
    return act(
        CommandForm(),
        lambda: runs.cancel(db(), run_id, who, now()),
        Ask(
            "Cancel this run",
            "Cancel the run",
            url_for(".print_run", run_id=run_id),
            intro=f"Nothing of its {cards(run.cards)} is printed. They can be ordered anew.",
            tone="bad",
        ),
        done=lambda stopped: "The run is cancelled." if stopped else "It was over already.",
    )


def download(run_id: int, who: Actor) -> ResponseReturnValue:
    """The PDF of a run as a file. Raises `NotFound`, also where somebody else ordered it, and `Conflict`."""
    place = installation()
    found = files.fetch(place.db, place.vault, run_id, who, place.clock)
    response = Response(found.pieces, content_type="application/pdf")
    response.content_length = found.size
    return attached(response, found.name)


def confirm_run(run_id: int, who: Actor) -> ResponseReturnValue:
    """The act that says a run printed well, for who ordered it. Raises `NotFound`."""
    run = runviews.run(db(), run_id, who, now())
    if not run.mine:
        raise NotFound("print_run_not_found")
    back = url_for(".print_run", run_id=run_id)
    return act(
        CommandForm(),
        lambda: runs.confirm(db(), run_id, who, now()),
        Ask(
            "It printed well",
            "Yes, all of it",
            back,
            intro=f"{cards_that(run.cards, 'are marked as printed')}, and the file is deleted.",
        ),
        done="",
        result=lambda done: _confirmed(done, back),
    )


def _confirmed(done: Confirmed, back: str) -> Response:
    link = url_for("operator.shred_batch", batch_id=done.batch_id) if done.may_shred else None
    rest = " All of the batch is printed now: nobody needs its passwords any more." if link else ""
    said(
        f"{cards_that(done.cards, 'are marked as printed')}. The file is deleted.{rest}",
        link=link,
        link_text="Shred the passwords",
    )
    return go_to(back)


def _again(run: RunView) -> str:
    """Where the same cards are ordered once more."""
    return url_for(".print_order", batch_id=run.batch_id, run=run.id)
