"""The list of batches, and the page of one: its progress while it is made, then what has become of its cards."""

from __future__ import annotations

from typing import Any

from flask import abort, url_for
from flask.typing import ResponseReturnValue

from engine.people.resellers import list_resellers
from engine.stock.figures import AT_ONCE, batch_figures
from engine.stock.queries import STATES, BatchPage, batch_list, batch_page
from portal import arguments
from portal.installation import db, now
from portal.operator.console import console, may, needs
from portal.respond import go_to, respond, wants_part

ID = "<int(max=9223372036854775807):batch_id>"
"""How an address names a batch."""
STATE_WORDS = {
    "making": "Being made",
    "stopped": "Failed or stopped",
    "ready": "Ready",
    "sealed": "Passwords readable",
    "shredded": "Passwords shredded",
    "discarded": "Discarded",
}
KIND_WORDS = {"calling": "Calling cards", "voucher": "Recharge vouchers"}


@console.get("/batches")
@needs("batches.see")
def batches() -> ResponseReturnValue:
    """Batches, newest first, narrowed to a state, a kind, a reseller or a part of the name."""
    asked = {
        "state": arguments.choice("state", STATES),
        "kind": arguments.choice("kind", KIND_WORDS),
        "reseller": arguments.key("reseller") if arguments.words("reseller") else None,
        "name": arguments.words("name"),
    }
    asked = {name: value for name, value in asked.items() if value is not None}
    before = arguments.key("before")
    narrowed = {**asked, "reseller_id": asked.get("reseller")}
    narrowed.pop("reseller", None)
    page = batch_list(db(), now(), before=before, **narrowed)
    older = url_for("operator.batches", before=page.older, **asked) if page.older else None
    return respond(
        "operator/batches/batches.html",
        block="list",
        page=page,
        older=older,
        later_page=before is not None,
        asked=asked,
        **_filters(asked),
    )


def _filters(asked: dict[str, Any]) -> dict[str, Any]:
    resellers = {one.id: one.name for one in list_resellers(db())} if may("resellers.see") else {}
    words = {
        "state": STATE_WORDS.get(asked.get("state", "")),
        "kind": KIND_WORDS.get(asked.get("kind", "")),
        "reseller": resellers.get(asked.get("reseller", 0), "A reseller"),
        "name": f"Named {asked.get('name')}",
    }
    chips = [
        (
            words[name],
            url_for("operator.batches", **{other: asked[other] for other in asked if other != name}),
        )
        for name in asked
    ]
    return {"resellers": resellers, "chips": chips, "states": STATE_WORDS, "kinds": KIND_WORDS}


@console.get(f"/batches/{ID}")
@needs("batches.see")
def batch(batch_id: int) -> ResponseReturnValue:
    """One batch. Its block `state` is what the list and this page ask for while it is being made."""
    found, whole = batch_or_404(batch_id), arguments.flag("whole")
    if wants_part() and whole and not found.moving:
        return go_to(
            url_for("operator.batch", batch_id=batch_id)
        )  # what can be done with it is another thing now
    counted = (
        batch_figures(db(), batch_id, now()) if found.state == "ready" and found.count <= AT_ONCE else None
    )
    return respond(
        "operator/batches/batch.html",
        block="state",
        batch=found,
        counted=counted,
        whole=whole or not wants_part(),
    )


@console.get(f"/batches/{ID}/figures")
@needs("batches.see")
def figures(batch_id: int) -> ResponseReturnValue:
    """What has become of the cards, alone: a large batch's page asks for it once it is there."""
    found = batch_or_404(batch_id)
    counted = batch_figures(db(), batch_id, now()) if found.state == "ready" else None
    return respond("operator/batches/batch.html", block="figures", batch=found, counted=counted, whole=True)


def batch_or_404(batch_id: int) -> BatchPage:
    """The batch, or the page that says there is none."""
    found = batch_page(db(), batch_id, now())
    if found is None:
        abort(404)
    return found
