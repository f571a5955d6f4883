"""What is printed: a range of a batch, a design, a printer, the place on the sheet; looked at before it is ordered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flask import request, url_for
from flask.typing import ResponseReturnValue

from engine.actor import Actor
from engine.cards.serials import card_id_of, serial_of
from engine.errors import InvalidInput, NotFound
from engine.stock.custody import Range
from engine.stock.printing import designs, printers, runs, runviews
from engine.stock.printing.designs import DesignView
from engine.stock.printing.runs import Outlook
from engine.stock.printing.runviews import RunView
from portal import arguments
from portal.forms import ChoiceField, CommandForm, ReasonField, SwitchField, TextField, attempt
from portal.installation import db, installation, now
from portal.notices import said
from portal.operator.batches.lists import ID, batch_or_404
from portal.operator.console import actor, console, needs
from portal.operator.printing import drawing
from portal.operator.printing.fields import PlacesField
from portal.operator.printing.words import left_out, paper_of, sheets_of
from portal.respond import go_to, respond, wants_part

AT = {"first": "from_serial", "last": "to_serial", "printer_id": "printer", "design_id": "design"}
"""Fields of the form that the engine calls otherwise."""
BEFORE = 3
"""Earlier runs that are told."""
UNDONE = ("cancelled", "failed")
"""States of runs that printed nothing."""


@dataclass(frozen=True, slots=True)
class Source:
    """Cards that can be printed: a batch, or what a reseller has of it. `value`: their face value in micro-units, and
    its currency. `ranges`: runs of serials without gaps.
    """

    batch_id: int
    name: str
    value: tuple[int, str]
    ranges: tuple[tuple[str, str], ...]


def solid(serial: str | None) -> str | None:
    """A serial without the gaps between its groups."""
    return None if serial is None else "".join(serial.split())


class PrintForm(CommandForm):
    """A print run."""

    from_serial = TextField("From serial", most=20, filters=[solid])
    to_serial = TextField("To serial", most=20, filters=[solid])
    design = ChoiceField("Design", choices=[])
    printer = ChoiceField("Printer", choices=[])
    start_at = PlacesField("Where to begin on the first sheet", choices=[], default="1")
    again = SwitchField("Print cards that were printed or handed out before once more")
    reason = ReasonField(required=False, description="Needed to print cards once more, such as: paper jam.")
    view: DesignView | None = None
    """The design that is chosen."""

    def cards(self) -> Range:
        """The range. Raises `InvalidInput`, naming the end that is no serial."""
        for field in (self.from_serial, self.to_serial):
            try:
                card_id_of(field.data or "")
            except InvalidInput as error:
                error.data["field"] = field.short_name  # which of the two it is
                raise
        return Range.of_serials(self.from_serial.data or "", self.to_serial.data)

    @property
    def asked(self) -> str:
        """All that decides what is printed, as one text: whether it is still what was looked at."""
        fields = (self.from_serial, self.to_serial, self.design, self.printer, self.start_at, self.again)
        return "|".join(str(field.data or "") for field in fields)


@console.route(f"/batches/{ID}/print", methods=["GET", "POST"])
@needs("print_run.order")
def print_order(batch_id: int) -> ResponseReturnValue:
    """Order a run of a batch: first a look, then the order."""
    batch = batch_or_404(batch_id)
    whole = ((batch.first_serial, batch.last_serial),)
    return order_page(Source(batch.id, batch.name, (batch.denomination, batch.currency), whole), actor())


def order_page(source: Source, who: Actor) -> ResponseReturnValue:
    """The form with a look at what it would print, or the order. `step` is `look`, or `do` for what was looked at."""
    form = _form(source, who)
    asked = request.method == "POST" and request.form.get("step") == "do"
    valid = form.validate() if request.method == "POST" else True
    seen = request.form.get("seen") == form.asked
    if asked and valid and seen:
        made = attempt(form, lambda: _order(form, who), AT)
        if made is not None:
            said("The file is being made.")
            return go_to(url_for(".print_run", run_id=made))
    look = attempt(form, lambda: _look(form, who), AT) if form.view and not form.errors else None
    return _page(source, form, look, who, changed=asked and look is not None and not seen)


def _form(source: Source, who: Actor) -> PrintForm:
    form = PrintForm(data=_like(who) or _first_range(source, who))
    offered = designs.designs(db(), for_reseller=who.reseller_id is not None)
    form.design.choices = [(str(view.id), view.name) for view in offered]
    own = printers.printers(db(), who.reseller_id)
    form.printer.choices = [
        ("", "Any: exactly where the paper says"),
        *((str(one.id), one.name) for one in own),
    ]
    if request.method == "GET" and form.printer.data not in {str(one.id) for one in own}:
        form.printer.data = ""
    form.view = next((view for view in offered if str(view.id) == form.design.data), None)
    if form.view is None and offered and request.method == "GET":
        form.view, form.design.data = offered[0], str(offered[0].id)
    form.start_at.of(form.view.design.paper.up if form.view else 1)
    return form


def _like(who: Actor) -> dict[str, Any] | None:
    """The values of a run that is to be printed again, or of a range of the address."""
    run_id = arguments.key("run")
    if run_id is not None:
        run = runviews.run(db(), run_id, who, now())
        like = {"design": str(run.design_id), "printer": str(run.printer_id or "")}
        return {
            **like,
            "from_serial": run.first_serial,
            "to_serial": run.last_serial,
            "start_at": "1",
            "again": True,
        }
    first, last = arguments.words("from"), arguments.words("to")
    return {"from_serial": first, "to_serial": last, "start_at": "1"} if first and last else None


def _first_range(source: Source, who: Actor) -> dict[str, Any]:
    """All cards; where those are more than a run may have, the next so many after what was printed last."""
    first, last = map(card_id_of, source.ranges[0])
    if last - first >= runs.MOST:
        found = runviews.runs(db(), who, now(), batch_id=source.batch_id).runs
        done = [card_id_of(one.last_serial) for one in found if one.state not in UNDONE]
        first = next((one + 1 for one in sorted(done, reverse=True) if first <= one < last), first)
        last = min(last, first + runs.MOST - 1)
    return {"from_serial": serial_of(first), "to_serial": serial_of(last), "start_at": "1"}


def _look(form: PrintForm, who: Actor) -> Outlook | None:
    """What the run would print; that cards are not there, or another's, is wrong in the form."""
    try:
        return runs.outlook(db(), form.cards(), who, now(), again=bool(form.again.data))
    except NotFound as error:
        raise InvalidInput(error.code, field="last", **error.data) from None


def _order(form: PrintForm, who: Actor) -> int:
    try:
        return runs.order(
            db(),
            installation().vault,
            form.cards(),
            int(form.design.data or 0),
            installation().config.home.resolve() / "exports",
            who,
            now(),
            log_in_url=drawing.log_in_url(),
            start_at=int(form.start_at.data or 1),
            printer_id=int(form.printer.data) if form.printer.data else None,
            again=bool(form.again.data),
            reason=form.reason.data,
            key=form.key.data,
        )
    except NotFound as error:
        raise InvalidInput(error.code, field="last", **error.data) from None


def _page(
    source: Source, form: PrintForm, look: Outlook | None, who: Actor, *, changed: bool
) -> ResponseReturnValue:
    view, start_at = form.view, int(form.start_at.data or 1)
    return respond(
        "operator/printing/order.html",
        block="form",
        status=422 if form.refused and request.method == "POST" else 200,
        source=source,
        form=form,
        view=view,
        picture=drawing.pictured(view, who.reseller_id, source.value) if view else None,
        dead_codes=drawing.dead_codes(view.design) if view else None,
        paper=paper_of(view.design) if view else "",
        look=look,
        changed=changed,
        alone=wants_part() or request.method == "GET",
        left=left_out(look.left_out) if look else [],
        sheets=sheets_of(look.cards, start_at, view.design.paper) if look and view else 0,
        earlier=_earlier(source, form, who)
        if (look and look.left_out.get("issued")) or form.again.data
        else (),
    )


def _earlier(source: Source, form: PrintForm, who: Actor) -> tuple[RunView, ...]:
    """Runs that printed some of these cards before, newest first."""
    found = runviews.runs(db(), who, now(), batch_id=source.batch_id).runs
    first, last = form.from_serial.data or "", form.to_serial.data or ""
    meets = (one for one in found if one.first_serial <= last and first <= one.last_serial)
    return tuple(one for one in meets if one.state not in UNDONE)[:BEFORE]
