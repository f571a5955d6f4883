"""Handing out a batch: a form and its preview, then a small file at once, or a large one as background work."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from flask import Response, url_for
from flask.typing import ResponseReturnValue

from engine.errors import InvalidInput, NotFound
from engine.messages import sentence
from engine.stock import export, handover, templates
from engine.stock.forms import BUILT_IN, Form
from engine.stock.queries import BatchPage
from engine.stock.templates import Preview
from portal.forms import ChoiceField, CommandForm, ReasonField, SwitchField, TextField, attempt
from portal.installation import db, installation, now
from portal.notices import said
from portal.operator.batches.lists import ID, batch_or_404
from portal.operator.batches.words import COLUMNS, FORMATS, MANGLED
from portal.operator.console import actor, console, needs
from portal.respond import attached, go_to, respond

WORK = f"/batches/{ID}/export/<int(max=9223372036854775807):work_id>"
BUILT_IN_WORDS = {
    "csv": "CSV, all columns",
    "txt": "Text with tabs, all columns",
    "xlsx": "Spreadsheet (XLSX), all columns",
}
TYPES = {"xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"}


class ExportForm(CommandForm):
    """What is handed out, in which form, to whom."""

    form = ChoiceField("Form of the file", choices=[], default="csv")
    with_passwords = SwitchField("With passwords", default=True)
    recipient = TextField(
        "Encrypt to",
        required=False,
        most=200,
        description="The age recipient of the printing house (age1…). Then only they can open the file.",
    )
    again = SwitchField("Hand the passwords out once more")
    reason = ReasonField(required=False, description="Needed where they were handed out before.")


@console.get(f"/batches/{ID}/export")
@needs("batch.export")
def export_batch(batch_id: int) -> ResponseReturnValue:
    """The form, with a preview of what it would make."""
    batch, form = batch_or_404(batch_id), _form()
    if not batch.printable:
        form.with_passwords.data = False
    return _page(batch, form)


@console.post(f"/batches/{ID}/export/preview")
@needs("batch.export")
def export_preview(batch_id: int) -> ResponseReturnValue:
    """The same with another preview; alone where only that is asked for."""
    batch, form = batch_or_404(batch_id), _form()
    return _page(batch, form, block="preview")


@console.post(f"/batches/{ID}/export")
@needs("batch.export")
def export_batch_post(batch_id: int) -> ResponseReturnValue:
    """The file, or the work that makes it."""
    batch, form = batch_or_404(batch_id), _form()
    if not form.validate():
        return _page(batch, form)
    if batch.count > handover.AT_ONCE:
        if attempt(form, lambda: _order(batch, form)) is None:
            return _page(batch, form)
        said("The file is being made. It appears here when it is ready.")
        return go_to(url_for("operator.export_batch", batch_id=batch.id))
    file = io.BytesIO()
    done = attempt(form, lambda: _export(batch, form, file))
    if done is None:
        return _page(batch, form)
    return _download(done.name, file.getvalue(), len(file.getvalue()))


@console.get(WORK)
@needs("batch.export")
def export_state(batch_id: int, work_id: int) -> ResponseReturnValue:
    """How far a file is; alone where it asks for itself."""
    batch = batch_or_404(batch_id)
    order = handover.find(db(), batch_id, work_id, actor(), now())
    return respond("operator/batches/file.html", block="file", batch=batch, order=order)


@console.post(f"{WORK}/download")
@needs("batch.export")
def export_download(batch_id: int, work_id: int) -> ResponseReturnValue:
    """The file itself, once, for who ordered it."""
    place = installation()
    found = handover.fetch(place.db, place.vault, batch_id, work_id, actor(), place.clock)
    return _download(found.name, found.pieces)


def _form() -> ExportForm:
    form = ExportForm()
    kept = [(f"t{one.id}", one.name) for one in templates.templates(db())]
    form.form.choices = [*BUILT_IN_WORDS.items(), *kept]
    return form


def _wanted(form: ExportForm) -> dict[str, Any]:
    """What the form asks for, as the engine's export calls it. Raises `NotFound` for a template that is gone."""
    chosen = form.form.data or "csv"
    if chosen not in {offered.value for offered in form.form.iter_choices()}:
        raise NotFound("template_not_found", name=chosen[:100])
    kept = None if chosen in BUILT_IN else templates.template(db(), int(chosen[1:]))
    return {
        "format": kept.form if kept else chosen,
        "template": kept.name if kept else None,
        "recipient": form.recipient.data,
        "again": bool(form.again.data and form.with_passwords.data),
        "reason": form.reason.data,
        "with_passwords": bool(form.with_passwords.data),
        "key": form.key.data,
    }


def _export(batch: BatchPage, form: ExportForm, file: io.BytesIO) -> export.Exported:
    wanted = _wanted(form)
    return export.export_batch(
        db(), installation().vault, batch.name, wanted.pop("format"), file, actor(), now(), **wanted
    )


def _order(batch: BatchPage, form: ExportForm) -> int:
    wanted = _wanted(form)
    file = export.wanted_file(wanted.pop("format"), **wanted)
    folder = installation().config.home.resolve() / "exports"
    return handover.order(db(), installation().vault, batch.name, file, folder, actor(), now())


def _download(name: str, body: Any, length: int | None = None) -> Response:
    """A file that the browser keeps and shows nowhere."""
    kind = TYPES.get(name.rpartition(".")[2], "application/octet-stream")
    response = Response(body, content_type=kind)
    if length is not None:
        response.content_length = length
    return attached(response, name)


def _page(batch: BatchPage, form: ExportForm, block: str | None = None) -> ResponseReturnValue:
    return respond(
        "operator/batches/export.html",
        block=block,
        status=422 if form.refused else 200,
        batch=batch,
        form=form,
        at_once=batch.count <= handover.AT_ONCE,
        orders=[order for order in handover.orders(db(), batch.id, actor(), now()) if not order.gone],
        **previewed(lambda: _wanted(form)["format"], batch.id),
    )


def previewed(form: Callable[[], Form | str], batch_id: int | None) -> dict[str, Any]:
    """What a preview block shows: the first lines, the warnings, or why there is none."""
    preview: Preview | None = None
    problem = ""
    try:
        asked = form()
        preview = templates.preview(db(), batch_id, BUILT_IN[asked] if isinstance(asked, str) else asked)
    except (InvalidInput, NotFound) as error:
        problem = sentence(error)
    told = [MANGLED[code] for code in preview.warnings] if preview else []
    return {"preview": preview, "told": told, "problem": problem, "columns": COLUMNS, "formats": FORMATS}
