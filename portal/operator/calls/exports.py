"""Full exports of lists: ordered here, made in the background, fetched by who ordered them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import abort, request, send_file, url_for
from flask.typing import ResponseReturnValue

from engine.calls import callfilter
from engine.reports import callexports, exports
from portal import arguments
from portal.forms import ChoiceField, CommandForm
from portal.installation import db, installation, now, zone
from portal.notices import said
from portal.operator.act import Ask, act
from portal.operator.calls.asked import asked_of, filter_of
from portal.operator.calls.refused import asked_tries, attempt_filter
from portal.operator.console import actor, console, needs
from portal.respond import go_to, respond

WORK = "<int(max=9223372036854775807):work_id>"
TYPES = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
FORMAT_WORDS = (("csv", "CSV, for programs and large lists"), ("xlsx", "XLSX, for a spreadsheet"))
PAGE = 25


class ExportForm(CommandForm):
    """Which kind of file."""

    format = ChoiceField("File", choices=FORMAT_WORDS, default="csv")


@console.get("/calls/exports")
@needs("calls.see")
def call_exports() -> ResponseReturnValue:
    """One's exports, newest first."""
    before = arguments.key("before")
    found = exports.listed(db(), actor(), now(), before=before, limit=PAGE + 1)
    older = url_for("operator.call_exports", before=found[PAGE - 1].work.id) if len(found) > PAGE else None
    return respond(
        "operator/calls/exports.html", exports=found[:PAGE], older=older, later_page=before is not None
    )


@console.get(f"/calls/exports/{WORK}")
@needs("calls.see")
def call_export(work_id: int) -> ResponseReturnValue:
    """How far one is: the row that the list asks for."""
    found = exports.find(db(), work_id, actor(), now())
    return respond("operator/calls/export.html", block="state", one=found)


@console.get(f"/calls/exports/{WORK}/file")
@needs("calls.see")
def call_export_file(work_id: int) -> ResponseReturnValue:
    """The file itself."""
    file = exports.file_of(db(), work_id, actor(), now())
    kind = TYPES[file.path.suffix.removeprefix(".")]
    return send_file(file.path, mimetype=kind, as_attachment=True, download_name=file.name, max_age=0)


@console.route(f"/calls/exports/{WORK}/cancel", methods=["GET", "POST"])
@needs("report.cancel")
def cancel_call_export(work_id: int) -> ResponseReturnValue:
    """Stop an export."""
    found = exports.find(db(), work_id, actor(), now())
    return act(
        CommandForm(),
        lambda: exports.cancel(db(), work_id=work_id, actor=actor(), now=now()),
        Ask(
            f"Stop the export of {found.title.lower()}?",
            "Stop it",
            url_for("operator.call_exports"),
            tone="bad",
        ),
        done=lambda stopped: "The export is stopped." if stopped else "It was over already.",
    )


@console.route("/calls/exports/calls", methods=["GET", "POST"])
@needs("report.export")
def export_calls() -> ResponseReturnValue:
    """Export the calls that the rest of the address asks for."""
    asked = asked_of(request.args)
    f, wrong = filter_of(asked)
    if wrong:
        abort(400)
    about = ", ".join(text for text, _ in asked.chips()) or "all calls"
    return order_export(callexports.CALLS.name, callfilter.to_json(f), about, asked.url())


@console.route("/calls/exports/refused", methods=["GET", "POST"])
@needs("report.export")
def export_refused() -> ResponseReturnValue:
    """Export the refused tries that the rest of the address asks for."""
    asked = asked_tries()
    given = callexports.try_json(attempt_filter(asked))
    return order_export(
        callexports.TRIES.name,
        given,
        "the period that was chosen",
        url_for("operator.refused_calls", **asked),
    )


def order_export(source: str, given: Mapping[str, Any], about: str, back: str) -> ResponseReturnValue:
    """The form that orders an export of a source's filter, for any list; `about` says in words what is in it."""
    form = ExportForm()
    title = exports.SOURCES[source].title
    return act(
        form,
        lambda: exports.order(
            db(),
            source=source,
            filter=given,
            format=form.format.data,
            folder=installation().config.home.resolve() / "exports",
            zone=zone(),
            actor=actor(),
            now=now(),
            key=form.key.data,
        ),
        Ask(
            f"Export: {title.lower()}",
            "Export",
            back,
            f"Every row of the list is written to a file: {about}.",
        ),
        done="",
        result=_begun,
    )


def _begun(work_id: int) -> ResponseReturnValue:
    said("The export has begun. Its file will wait for you here for a day.")
    return go_to(url_for("operator.call_exports"))
