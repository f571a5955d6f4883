"""Printing one's own stock: what can be printed, with a design of the operator's that wears the own brand."""

from __future__ import annotations

from flask import url_for
from flask.typing import ResponseReturnValue

from engine.stock import deskstock
from engine.stock.printing import designs, runviews
from portal import arguments
from portal.installation import db, now
from portal.operator.printing import drawing, runs
from portal.operator.printing import printers as measured
from portal.operator.printing.designs import sample_of
from portal.operator.printing.ordering import Source, order_page
from portal.operator.printing.words import STATES, paper_of
from portal.reseller.door import actor, desk, needs, shop
from portal.respond import respond

BOTH = ["GET", "POST"]
_ID = "int(max=9223372036854775807)"
RUN = f"/print/runs/<{_ID}:run_id>"
PRINTER = f"/print/printers/<{_ID}:printer_id>"
DESIGN = f"/print/designs/<{_ID}:design_id>"


@desk.get("/print")
@needs("desk.see")
def print_runs() -> ResponseReturnValue:
    """What can be printed, with which designs, and what was."""
    here, before = shop(), arguments.key("before")
    page = runviews.runs(db(), actor(), now(), before=before)
    offered = designs.designs(db(), for_reseller=True)
    return respond(
        "reseller/print.html",
        stock=None if before else deskstock.stock(db(), here.reseller_id, now()),
        designs=[(view, drawing.pictured(view, here.reseller_id)) for view in offered],
        paper_of=paper_of,
        page=page,
        resellers={},
        states=STATES,
        later_page=before is not None,
        older=url_for(".print_runs", before=page.older) if page.older else None,
    )


@desk.route(f"/print/batches/<{_ID}:batch_id>", methods=BOTH)
@needs("print_run.order")
def print_order(batch_id: int) -> ResponseReturnValue:
    """Order a run of one's own cards of a batch."""
    own = shop().reseller_id
    batch = deskstock.batch_stock(db(), own, batch_id, now())
    found = deskstock.own_parts(db(), own, batch_id)
    return order_page(Source(batch.id, batch.name, (batch.denomination, batch.currency), found), actor())


@desk.get(RUN)
@needs("desk.see")
def print_run(run_id: int) -> ResponseReturnValue:
    """One run of this shop's."""
    return runs.run_page(run_id, actor())


@desk.route(RUN + "/cancel", methods=BOTH)
@needs("print_run.cancel")
def print_run_cancel(run_id: int) -> ResponseReturnValue:
    """Stop it."""
    return runs.cancel_run(run_id, actor())


@desk.post(RUN + "/download")
@needs("print_run.order")
def print_run_download(run_id: int) -> ResponseReturnValue:
    """Its file, for who ordered it."""
    return runs.download(run_id, actor())


@desk.route(RUN + "/confirm", methods=BOTH)
@needs("print_run.confirm")
def print_run_confirm(run_id: int) -> ResponseReturnValue:
    """It printed well."""
    return runs.confirm_run(run_id, actor())


@desk.get(DESIGN + "/card.png")
@needs("desk.see")
def design_picture(design_id: int) -> ResponseReturnValue:
    """The front of one card in the own brand, as a picture."""
    return drawing.card(designs.design(db(), design_id, for_reseller=True), shop().reseller_id)


@desk.get(DESIGN + "/sample.pdf")
@needs("desk.see")
def design_sample(design_id: int) -> ResponseReturnValue:
    """One sheet of cards that can't be, in the own brand."""
    return sample_of(designs.design(db(), design_id, for_reseller=True), shop().reseller_id)


@desk.get("/print/printers")
@needs("desk.see")
def printers() -> ResponseReturnValue:
    """The shop's own printers."""
    return measured.printers_page(actor(), designs.designs(db(), for_reseller=True))


@desk.route("/print/printers/new", methods=BOTH)
@needs("printer.add")
def printer_add() -> ResponseReturnValue:
    """Add one."""
    return measured.add_printer(actor())


@desk.route(PRINTER, methods=BOTH)
@needs("printer.change")
def printer(printer_id: int) -> ResponseReturnValue:
    """Give it another name or offset."""
    return measured.change_printer(printer_id, actor())


@desk.route(PRINTER + "/remove", methods=BOTH)
@needs("printer.remove")
def printer_remove(printer_id: int) -> ResponseReturnValue:
    """Forget it."""
    return measured.remove_printer(printer_id, actor())


@desk.get("/print/measure.pdf")
@needs("desk.see")
def calibration() -> ResponseReturnValue:
    """A page to measure a printer by."""
    return measured.calibration_page(actor(), for_reseller=True)
