"""The first step of an import: the file, which waits sealed until somebody has looked at what it would do."""

from __future__ import annotations

from flask import request, url_for
from flask.typing import ResponseReturnValue

from engine import uploads
from portal import arguments
from portal.installation import db, installation, now
from portal.operator.console import actor, console, needs
from portal.operator.rates.forms import UploadForm
from portal.respond import go_to, respond
from portal.security import takes_files

KIND = "deck"


@console.route("/rates/import", methods=["GET", "POST"])
@needs("deck.import")
@takes_files
def import_deck() -> ResponseReturnValue:
    """Ask for a rate sheet, and keep it until it is confirmed."""
    form, deck_id = UploadForm(), arguments.key("deck")
    if request.method == "POST" and form.validate():
        file = form.file
        vault = installation().vault
        upload_id = uploads.keep(db(), vault, KIND, file.filename, file.content, actor(), now())
        return go_to(url_for("operator.import_sheet", upload_id=upload_id, deck=deck_id))
    status = 422 if request.method == "POST" else 200
    return respond("operator/rates/upload.html", status=status, form=form, deck_id=deck_id)
