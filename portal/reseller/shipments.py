"""Shipments to the shop: what is on the way, what arrived."""

from __future__ import annotations

from flask import url_for
from flask.typing import ResponseReturnValue

from engine.stock import shipments
from engine.stock.shipments import sums_of
from portal import arguments
from portal.forms import CommandForm
from portal.installation import db, now
from portal.operator.act import Ask, act
from portal.reseller.door import actor, desk, needs
from portal.respond import respond

ONE = "/shipments/<int(max=9223372036854775807):shipment_id>"


@desk.get("/shipments")
@needs("desk.see")
def shipment_list() -> ResponseReturnValue:
    """All that were sent here, newest first."""
    before = arguments.key("before")
    page = shipments.shipments(db(), actor(), before=before)
    return respond(
        "reseller/shipments.html",
        page=page,
        later=before is not None,
        older=url_for(".shipment_list", before=page.older) if page.older else None,
    )


@desk.get(ONE)
@needs("desk.see")
def shipment(shipment_id: int) -> ResponseReturnValue:
    """One of them, with what is in it."""
    found, parcels = shipments.shipment(db(), shipment_id, actor())
    return respond("operator/shipments/shipment.html", shipment=found, parcels=parcels, sums=sums_of(parcels))


@desk.route(ONE + "/receive", methods=["GET", "POST"])
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
            intro=f"Count the cards first: there should be {found.cards:,}.",
        ),
        done="Thank you. The shipment is marked as arrived.",
    )
