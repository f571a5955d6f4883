"""Shipments: what is on the way to whom, a new one with a look before it leaves, and its packing list."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

from flask import Response, request, url_for
from flask.typing import ResponseReturnValue
from wtforms import ValidationError

from engine.errors import InvalidInput, NotFound
from engine.people.resellers import list_resellers
from engine.stock import shipments
from engine.stock.custody import Range
from engine.stock.shipments import LONGEST_ADDRESS, LONGEST_NOTE, Packing, ShipmentView, sums_of
from portal import arguments, papers
from portal.formats import cards
from portal.forms import ChoiceField, CommandForm, ReasonField, TextField, attempt, place
from portal.installation import db, now
from portal.notices import said
from portal.operator.act import Ask, act
from portal.operator.console import actor, console, needs
from portal.operator.printing.fields import LinesField
from portal.respond import go_to, respond

T = TypeVar("T")
BOTH = ["GET", "POST"]
ONE = "/shipments/<int(max=9223372036854775807):shipment_id>"
_TO = re.compile(r"\s*(?:–|—|\bto\b|\.\.+|[,;\t])\s*|\s+-+\s+|(?<=[0-9]{11})-+(?=[0-9]{11})")
"""What people write between the two ends of a range."""


READ = "Who gets it reads it: it is on the packing list."


class ShipmentForm(CommandForm):
    """Who gets which cards, how."""

    reseller = ChoiceField("To", choices=[])
    recipient = TextField(
        "Name of somebody else", required=False, most=100, description="Only where it is no reseller."
    )
    address = LinesField("Address", render_kw={"rows": 3, "maxlength": LONGEST_ADDRESS})
    serials = LinesField(
        "Serials",
        description="A range a line, such as 10000000017 to 10000000108; or one serial.",
        render_kw={"rows": 4, "spellcheck": "false", "inputmode": "text"},
    )
    carrier = TextField("Carrier", required=False, most=100)
    tracking = TextField("Tracking number", required=False, most=100)
    note = LinesField("Note", description=READ, render_kw={"rows": 2, "maxlength": LONGEST_NOTE})

    def validate_recipient(self, field: TextField) -> None:
        """It goes to one of both."""
        if field.data and self.reseller_id is not None:
            raise ValidationError("Choose a reseller or type a name, not both.")

    @property
    def reseller_id(self) -> int | None:
        """The reseller it goes to, or None."""
        return int(self.reseller.data) if (self.reseller.data or "").isdecimal() else None

    @property
    def asked(self) -> str:
        """What a look at it shows depends on."""
        return f"{self.reseller.data or ''} {' '.join((self.serials.data or '').split())}"

    def ranges(self) -> list[Range]:
        """The ranges. Raises `InvalidInput`, telling the line that is none."""
        found = []
        for number, line in enumerate((self.serials.data or "").split("\n"), 1):
            if not line.strip():
                continue
            first, _, last = _TO.sub("\n", line.strip(), count=1).partition("\n")
            try:
                found.append(Range.of_serials(first, last or None))
            except InvalidInput as error:
                if "mistyped" in error.data or error.code != "bad_serial":
                    raise InvalidInput(error.code, **{**error.data, "field": "serials"}) from None
                raise InvalidInput(
                    "bad_range_line", field="serials", line=number, text=line.strip()[:60]
                ) from None
        return found


class ChangeForm(CommandForm):
    """What may be corrected."""

    carrier = TextField("Carrier", required=False, most=100)
    tracking = TextField("Tracking number", required=False, most=100)
    note = LinesField("Note", description=READ, render_kw={"rows": 2, "maxlength": LONGEST_NOTE})


class BackForm(CommandForm):
    """Why a shipment counts as none any more."""

    reason = ReasonField(description="It is kept with the shipment.")


@console.get("/shipments")
@needs("resellers.see")
def shipment_list() -> ResponseReturnValue:
    """All of them, or those that are on the way, or a reseller's."""
    before, reseller_id = arguments.key("before"), arguments.key("reseller")
    way = arguments.flag("way")
    page = shipments.shipments(db(), actor(), reseller_id=reseller_id, on_the_way=way, before=before)
    asked = {"reseller": reseller_id, "way": 1 if way else None}
    return respond(
        "operator/shipments/list.html",
        page=page,
        way=way,
        asked=asked,
        whose=next((one.name for one in list_resellers(db()) if one.id == reseller_id), None),
        later=before is not None,
        older=url_for(".shipment_list", before=page.older, **asked) if page.older else None,
    )


@console.route("/shipments/new", methods=BOTH)
@needs("shipment.send")
def shipment_new() -> ResponseReturnValue:
    """The form; then what would be sent; then it is."""
    form = ShipmentForm(reseller=arguments.words("reseller") or "")
    sellers = [one for one in list_resellers(db()) if one.disabled_at is None]
    form.reseller.choices = [("", "Somebody else"), *((str(one.id), one.name) for one in sellers)]
    packed: Packing | None = None
    if request.method == "POST" and form.validate():
        # What is sent is what was seen: changed since, it is shown once more.
        if request.form.get("step") == "send" and request.form.get("seen") == form.asked:
            sent = _tried(form, lambda: _send(form))
            if sent is not None:
                said(f"Shipment {sent.id} is on its way to {sent.recipient}.")
                return go_to(url_for(".shipment", shipment_id=sent.id))
        else:
            packed = _tried(
                form, lambda: shipments.packing(db(), form.ranges(), reseller_id=form.reseller_id)
            )
    status = 422 if form.refused else 200
    return respond("operator/shipments/new.html", block="form", status=status, form=form, packed=packed)


@console.get(ONE)
@needs("resellers.see")
def shipment(shipment_id: int) -> ResponseReturnValue:
    """One shipment with what is in it."""
    found, parcels = shipments.shipment(db(), shipment_id, actor())
    return respond("operator/shipments/shipment.html", shipment=found, parcels=parcels, sums=sums_of(parcels))


@console.get(ONE + "/packing-list.pdf")
@needs("resellers.see")
def packing_list(shipment_id: int) -> Response:
    """Its packing list on paper."""
    found, parcels = shipments.shipment(db(), shipment_id, actor())
    return papers.pdf(
        f"shipment-{found.id}",
        "operator/shipments/paper.html",
        shipment=found,
        parcels=parcels,
        sums=sums_of(parcels),
        **papers.letterhead(),
    )


@console.route(ONE + "/change", methods=BOTH)
@needs("shipment.change")
def shipment_change(shipment_id: int) -> ResponseReturnValue:
    """Correct carrier, tracking and note."""
    found, _ = shipments.shipment(db(), shipment_id, actor())
    form = ChangeForm(data={"carrier": found.carrier, "tracking": found.tracking, "note": found.note})
    return act(
        form,
        lambda: shipments.change(
            db(),
            shipment_id,
            actor(),
            now(),
            carrier=form.carrier.data,
            tracking=form.tracking.data,
            note=form.note.data,
        ),
        Ask(f"Shipment {shipment_id}", "Save", url_for(".shipment", shipment_id=shipment_id)),
        done="The shipment is corrected.",
    )


@console.route(ONE + "/receive", methods=BOTH)
@needs("shipment.receive")
def shipment_receive(shipment_id: int) -> ResponseReturnValue:
    """Say that it arrived."""
    found, _ = shipments.shipment(db(), shipment_id, actor())
    return act(
        CommandForm(),
        lambda: shipments.receive(db(), shipment_id, actor(), now()),
        Ask(
            f"Shipment {shipment_id} arrived",
            "It arrived",
            url_for(".shipment", shipment_id=shipment_id),
            intro=f"{found.recipient} has all of it.",
        ),
        done="The shipment is marked as arrived.",
    )


@console.route(ONE + "/take-back", methods=BOTH)
@needs("shipment.take_back")
def shipment_take_back(shipment_id: int) -> ResponseReturnValue:
    """Say that it came back, or never left."""
    found, _ = shipments.shipment(db(), shipment_id, actor())
    form = BackForm()
    return act(
        form,
        lambda: shipments.take_back(db(), shipment_id, actor(), now(), form.reason.data or ""),
        Ask(
            f"Shipment {shipment_id} came back",
            "It came back",
            url_for(".shipment", shipment_id=shipment_id),
            intro=f"Its {cards(found.cards)} don't count as shipped any more, and can be sent again."
            " Whose stock they are stays as it is.",
        ),
        done="The shipment is marked as taken back.",
    )


def _send(form: ShipmentForm) -> ShipmentView:
    return shipments.send(
        db(),
        form.ranges(),
        None if form.reseller_id is not None else form.recipient.data,
        actor(),
        now(),
        reseller_id=form.reseller_id,
        address=form.address.data,
        carrier=form.carrier.data,
        tracking=form.tracking.data,
        note=form.note.data,
        key=form.key.data,
    )


def _tried(form: ShipmentForm, do: Callable[[], T]) -> T | None:
    """As `attempt`; serials that are no cards are a mistake in the form, not a page that is missing."""
    fields = {"ranges": "serials"}
    try:
        return attempt(form, do, fields)
    except NotFound as error:
        if error.code != "cards_not_found":
            raise
        place(form, error, fields)
        return None
