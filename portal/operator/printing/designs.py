"""Designs of printed cards: the list, a form with a true preview beside it, a sample sheet."""

from __future__ import annotations

from flask import Response, request, url_for
from flask.typing import ResponseReturnValue

from engine.errors import InvalidInput
from engine.stock.printing import designs as kept
from engine.stock.printing import looks
from engine.stock.printing.design import Design, Look, checked, starters
from engine.stock.printing.designs import DesignView
from portal import arguments
from portal.brand import PLAIN_COLOUR
from portal.errors import Busy
from portal.forms import CommandForm, attempt, place
from portal.installation import db, now
from portal.notices import said
from portal.operator.act import Ask, act
from portal.operator.console import actor, console, needs
from portal.operator.printing import drawing
from portal.operator.printing.designform import AT, DesignForm, design_form
from portal.operator.printing.words import paper_of
from portal.respond import go_to, respond
from portal.security import takes_files

BOTH = ["GET", "POST"]
ONE = "/designs/<int(max=9223372036854775807):design_id>"


@console.get("/designs")
@needs("batches.see")
def print_designs() -> ResponseReturnValue:
    """All designs, each with a picture of a card."""
    found = kept.designs(db())
    return respond(
        "operator/printing/designs.html",
        designs=[(view, drawing.pictured(view, None)) for view in found],
        starters=list(starters()),
        paper_of=paper_of,
    )


@console.route("/designs/new", methods=BOTH)
@needs("print_design.add")
@takes_files
def print_design_add() -> ResponseReturnValue:
    """The form of a new design, which may begin as one of those that come with Cardtone."""
    offered = starters()
    like = arguments.choice("like", offered)
    form = design_form(design=offered.get(like or ""))
    if request.method == "GET" and like:
        form.name.data = like
    if request.method == "POST" and form.validate() and _keep(form, None) is not None:
        said("The design is kept.", link=url_for("operator.print_designs"), link_text="All designs")
        return go_to(url_for("operator.print_designs"))
    return _page(form, None)


@console.route(ONE, methods=BOTH)
@needs("print_design.change")
@takes_files
def print_design(design_id: int) -> ResponseReturnValue:
    """The form of one that is kept."""
    view = kept.design(db(), design_id)
    form = design_form(view)
    if request.method == "POST" and form.validate() and _keep(form, view) is not None:
        said("The design is changed. Runs that were ordered before print as they were ordered.")
        return go_to(url_for("operator.print_design", design_id=design_id))
    return _page(form, view)


@console.post("/designs/preview")
@needs("print_design.add")
@takes_files
def print_design_preview() -> ResponseReturnValue:
    """One sheet as the form says, of a design that isn't kept yet."""
    return _page(design_form(), None, block="preview")


@console.post(ONE + "/preview")
@needs("print_design.change")
@takes_files
def print_design_preview_of(design_id: int) -> ResponseReturnValue:
    """One sheet as the form says, of a design that is kept."""
    view = kept.design(db(), design_id)
    return _page(design_form(view), view, block="preview")


@console.route(ONE + "/remove", methods=BOTH)
@needs("print_design.remove")
def print_design_remove(design_id: int) -> ResponseReturnValue:
    """Forget a design."""
    view = kept.design(db(), design_id)
    return act(
        CommandForm(),
        lambda: kept.remove(db(), design_id, actor(), now()),
        Ask(
            "Remove this design",
            "Remove it",
            url_for("operator.print_designs"),
            intro=f"Nobody can order with “{view.name}” any more. Runs that were ordered print as they were.",
            tone="bad",
        ),
        done="The design is removed.",
    )


@console.get(ONE + "/card.png")
@needs("batches.see")
def design_picture(design_id: int) -> ResponseReturnValue:
    """The front of one card, as a picture."""
    return drawing.card(kept.design(db(), design_id), None)


@console.get(ONE + "/sample.pdf")
@needs("batches.see")
def design_sample(design_id: int) -> ResponseReturnValue:
    """One sheet of cards that can't be, to print and look at."""
    return sample_of(kept.design(db(), design_id), None)


def sample_of(view: DesignView, reseller_id: int | None) -> Response:
    """A sheet of samples as a file; what is wrong with the design is told instead."""
    try:
        data = drawing.sample(view.design, drawing.look_of(view, reseller_id))
    except InvalidInput as error:
        return refused(error)
    return pdf(data, f"sample-{view.id}.pdf")


def pdf(data: bytes, name: str) -> Response:
    """A PDF that browsers show in their own viewer."""
    response = Response(data, content_type="application/pdf")
    response.headers["Content-Disposition"] = f'inline; filename="{name}"'
    return response


def refused(error: InvalidInput) -> Response:
    """Why there is no such file, as a page."""
    form = CommandForm()
    place(form, error)
    return respond("operator/printing/refused.html", status=422, form=form)


def _keep(form: DesignForm, view: DesignView | None) -> DesignView | None:
    """The command that the form asks for, after a look whether everything fits on the card."""
    try:
        return attempt(form, lambda: _kept(form, view), AT)
    except Busy:
        form.refusal = (
            "Too much is being drawn at this moment. Nothing was kept yet: send it again in a few seconds."
        )
        return None


def _kept(form: DesignForm, view: DesignView | None) -> DesignView:
    design, more = form.design(), {"for_resellers": bool(form.for_resellers.data)}
    drawing.check(*_dressed(form, view))
    logo = form.logo_file.content if form.logo_file.data else None
    name = form.name.data or ""
    if view is None:
        return kept.add(db(), name, design, actor(), now(), logo=logo, key=form.key.data, **more)
    return kept.change(
        db(), view.id, actor(), now(), name=name, design=design, logo=logo, remove_logo=_removes(form), **more
    )


def _dressed(form: DesignForm, view: DesignView | None) -> tuple[Design, Look]:
    """The design of the form with what it wears. Raises `InvalidInput`."""
    design = checked(form.design())
    return design, looks.look(
        db(),
        design,
        reseller_id=None,
        log_in_url=drawing.log_in_url(),
        design_id=None if view is None or _removes(form) else view.id,
        logo=form.picture,
    )


def _removes(form: DesignForm) -> bool:
    return "remove_logo" in form and bool(form.remove_logo.data) and not form.logo_file.data


def _page(form: DesignForm, view: DesignView | None, block: str | None = None) -> ResponseReturnValue:
    """The form; with `block` "preview" also one sheet as it says, alone where only that is asked for.

    A preview asks for no name, which is on no card. A page that is opened asks for its preview once it is there.
    """
    sides = dead_codes = None
    if block == "preview":
        form.name.required = False
        if form.validate():
            sides = attempt(form, lambda: drawing.sides(*_dressed(form, view)), AT)
            dead_codes = drawing.dead_codes(form.design()) if sides else None
    return respond(
        "operator/printing/design.html",
        block=block,
        status=422 if form.refused else 200,
        form=form,
        view=view,
        sides=sides,
        dead_codes=dead_codes,
        plain_colour=PLAIN_COLOUR,
        wrong=[(field, " ".join(map(str, field.errors))) for field in form if field.errors],
        preview_url=url_for("operator.print_design_preview")
        if view is None
        else url_for("operator.print_design_preview_of", design_id=view.id),
    )
