"""Printers, how far each prints beside where it should, and the page to measure that by."""

from __future__ import annotations

from flask import Response, url_for
from flask.typing import ResponseReturnValue

from engine.actor import Actor
from engine.errors import InvalidInput
from engine.stock.printing import calibration as paper
from engine.stock.printing import designs
from engine.stock.printing import printers as kept
from engine.stock.printing.designs import DesignView
from engine.stock.printing.layouts import LABELS, LAYOUTS, SHEET, Layout
from engine.stock.printing.printers import MOST_OFFSET_UM, PrinterView
from portal import arguments
from portal.forms import ChoiceField, CommandForm, TextField
from portal.installation import db, now
from portal.operator.act import Ask, act
from portal.operator.console import actor, console, needs
from portal.operator.printing.designs import pdf, refused
from portal.operator.printing.fields import LengthField
from portal.operator.printing.words import way
from portal.respond import respond

BOTH = ["GET", "POST"]
ONE = "/printers/<int(max=9223372036854775807):printer_id>"
SHEETS = {layout.code: layout for layout in LAYOUTS.values() if layout.kind in (SHEET, LABELS)}
"""Paper on which cards have to meet a perforation."""


class PrinterForm(CommandForm):
    """A printer's name, and where the perforation was seen beside the line."""

    name = TextField("Name", most=100, description="As people call it, such as Office, tray 2.")
    right = LengthField("Across, in mm", most=MOST_OFFSET_UM // 1000, default=0)
    right_way = ChoiceField(
        "The perforation is", choices=[("1", "right of the line"), ("-1", "left of the line")]
    )
    down = LengthField("Down, in mm", most=MOST_OFFSET_UM // 1000, default=0)
    down_way = ChoiceField("The perforation is", choices=[("1", "below the line"), ("-1", "above the line")])

    @property
    def offset_um(self) -> tuple[int, int]:
        """How far its pages are moved, to the right and down, in micrometres."""
        across, down = int(self.right_way.data or 1), int(self.down_way.data or 1)
        return across * (self.right.data or 0), down * (self.down.data or 0)


@console.get("/printers")
@needs("batches.see")
def printers() -> ResponseReturnValue:
    """The operator's own printers."""
    return printers_page(actor(), designs.designs(db()))


@console.route("/printers/new", methods=BOTH)
@needs("printer.add")
def printer_add() -> ResponseReturnValue:
    """Add one."""
    return add_printer(actor())


@console.route(ONE, methods=BOTH)
@needs("printer.change")
def printer(printer_id: int) -> ResponseReturnValue:
    """Give it another name or offset."""
    return change_printer(printer_id, actor())


@console.route(ONE + "/remove", methods=BOTH)
@needs("printer.remove")
def printer_remove(printer_id: int) -> ResponseReturnValue:
    """Forget it."""
    return remove_printer(printer_id, actor())


@console.get("/printers/measure.pdf")
@needs("batches.see")
def calibration() -> ResponseReturnValue:
    """A page to measure a printer by."""
    return calibration_page(actor(), for_reseller=False)


def printers_page(who: Actor, offered: tuple[DesignView, ...]) -> Response:
    """The printers of who asks, and how they are measured; `offered`: designs whose sheets may be cut otherwise."""
    return respond(
        "operator/printing/printers.html",
        printers=kept.printers(db(), who.reseller_id),
        way=way,
        sheets=SHEETS,
        own_cuts=[view for view in offered if view.design.measures],
    )


def add_printer(who: Actor) -> ResponseReturnValue:
    """The act that adds one."""
    form = PrinterForm()
    return act(
        form,
        lambda: kept.add(db(), form.name.data or "", form.offset_um, who, now(), key=form.key.data),
        Ask("Add a printer", "Add", url_for(".printers"), intro=_HOW),
        done="The printer is added. Print the page once more with it: the lines should meet the perforation.",
        template="operator/printing/printer.html",
    )


def change_printer(printer_id: int, who: Actor) -> ResponseReturnValue:
    """The act that gives one another name or offset. Raises `NotFound`, also for another's."""
    view = kept.printer(db(), printer_id, who.reseller_id)
    form = PrinterForm(data=_values(view))
    return act(
        form,
        lambda: kept.change(
            db(), printer_id, who, now(), name=form.name.data or "", offset_um=form.offset_um
        ),
        Ask("Change this printer", "Save", url_for(".printers"), intro=_HOW),
        done="The printer is changed.",
        template="operator/printing/printer.html",
    )


def remove_printer(printer_id: int, who: Actor) -> ResponseReturnValue:
    """The act that forgets one. Raises `NotFound`, also for another's."""
    view = kept.printer(db(), printer_id, who.reseller_id)
    return act(
        CommandForm(),
        lambda: kept.remove(db(), printer_id, who, now()),
        Ask(
            "Remove this printer",
            "Remove it",
            url_for(".printers"),
            intro=f"The offset of “{view.name}” is forgotten.",
            tone="bad",
        ),
        done="The printer is removed.",
    )


def calibration_page(who: Actor, *, for_reseller: bool) -> Response:
    """The page for a sheet (`layout`) or for that of a design (`design`), as it is or as a `printer` is corrected."""
    design_id = arguments.key("design")
    printer_id = arguments.key("printer") if arguments.words("printer") else None
    sheet: Layout = SHEETS[arguments.choice("layout", SHEETS, "a4-10") or ""]
    if design_id is not None:
        sheet = designs.design(db(), design_id, for_reseller=for_reseller).design.paper
    offset = (0, 0)
    if printer_id is not None:
        offset = kept.printer(db(), printer_id, who.reseller_id).offset_um
    try:
        return pdf(paper.page(sheet, offset), "measure.pdf")
    except InvalidInput as error:
        return refused(error)


_HOW = "Measured with the page to measure by. With 0 in both it prints exactly where the paper says."


def _values(view: PrinterView) -> dict[str, object]:
    right, down = view.offset_um
    return {
        "name": view.name,
        "right": abs(right),
        "right_way": "-1" if right < 0 else "1",
        "down": abs(down),
        "down_way": "-1" if down < 0 else "1",
    }
