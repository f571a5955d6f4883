"""The list of batches and the page of one, each with its progress while it is being made."""

from __future__ import annotations

from flask import abort, url_for
from flask.typing import ResponseReturnValue

from engine.stock.queries import batch_list, batch_page
from portal import arguments
from portal.installation import db, now
from portal.operator.console import console, needs
from portal.respond import respond


@console.get("/batches")
@needs("batches.see")
def batches() -> ResponseReturnValue:
    """Batches, newest first."""
    before = arguments.key("before")
    page = batch_list(db(), now(), before=before)
    older = url_for("operator.batches", before=page.older) if page.older else None
    return respond("operator/batches/batches.html", page=page, older=older, later_page=before is not None)


@console.get("/batches/<int(max=9223372036854775807):batch_id>")
@needs("batches.see")
def batch(batch_id: int) -> ResponseReturnValue:
    """One batch. Its block `state` is what the list and this page ask for while it is being made."""
    found = batch_page(db(), batch_id, now())
    if found is None:
        abort(404)
    return respond("operator/batches/batch.html", block="state", batch=found)
