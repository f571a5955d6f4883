"""Cards of an older system: a list is sent, looked at with its columns and problems, and taken whole or not at all."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from flask import request, url_for
from flask.typing import ResponseReturnValue

from engine import uploads
from engine.calls.decksheet import DELIMITERS
from engine.errors import InvalidInput, NotFound
from engine.house import fresh
from engine.messages import sentence
from engine.stock import imports, outlook
from engine.stock.cardfile import REQUIRED, SYNONYMS, describe
from engine.stock.imports import CardImport, state_of
from engine.stock.orders import BatchOrder
from engine.uploads import Upload
from portal.formats import cards_that
from portal.forms import ChoiceField, CommandForm, UploadField, attempt
from portal.installation import db, installation, now
from portal.notices import said
from portal.operator.batches.orderform import RulesForm
from portal.operator.console import actor, console, needs
from portal.respond import go_to, respond
from portal.security import takes_files

KIND = "cards"
UPLOAD = "/batches/import/<int(max=9223372036854775807):upload_id>"
MOST_PROBLEMS = 100
COLUMN_WORDS = {
    "number": "Card number",
    "password": "Password",
    "balance": "Balance",
    "expiry": "Last day",
    "state": "State",
    "first_used": "First used",
}
RULES = (
    ("Validity", "validity_days validity_from first_use grace_days extension_days"),
    ("Phones and calls", "binding max_bound auto_bind pinless concurrency destination_rules language"),
    ("Fees", "post_call_fee maintenance_fee maintenance_days"),
    ("Selling", "release reseller currency"),
)


class UploadForm(CommandForm):
    """A list of cards."""

    file = UploadField("The list of cards", description="CSV or XLSX, at most 20 MB.")


class ImportForm(RulesForm):
    """What the list cannot say, and which of its columns is what."""

    delimiter = ChoiceField(
        "Between the values",
        choices=[("", "Found out"), *((sign, name) for sign, name in DELIMITERS.items())],
    )

    def offer_columns(self, headers: tuple[str, ...]) -> None:
        """Fill the lists of columns with the file's."""
        for name in SYNONYMS:
            empty = "Found out" if name in REQUIRED else "None, or found out"
            self[f"column_{name}"].choices = [("", empty), *((header, header) for header in headers)]

    def mapping(self) -> dict[str, str]:
        """The columns that somebody chose."""
        return {name: str(self[f"column_{name}"].data) for name in SYNONYMS if self[f"column_{name}"].data}

    def order(self, name: str) -> BatchOrder:
        """The rules for the cards; what only the list knows is not looked at."""
        given = self.rules()
        known = {field.name for field in fields(BatchOrder)}
        rules = {key: value for key, value in given.items() if key in known}
        return BatchOrder(**{**rules, "name": given["name"] or name, "count": 1, "denomination": 0})


for _name, _label in COLUMN_WORDS.items():
    setattr(ImportForm, f"column_{_name}", ChoiceField(_label, choices=[]))


@console.get("/batches/import")
@needs("batch.import")
def import_cards() -> ResponseReturnValue:
    """The form for the list."""
    return respond("operator/batches/import.html", form=UploadForm(), columns=COLUMN_WORDS, required=REQUIRED)


@console.post("/batches/import")
@takes_files
@needs("batch.import")
def import_cards_post() -> ResponseReturnValue:
    """Keep the list sealed until it is confirmed, and go to its preview."""
    form = UploadForm()
    if not form.validate():
        return respond(
            "operator/batches/import.html", status=422, form=form, columns=COLUMN_WORDS, required=REQUIRED
        )
    place, file = installation(), form.file
    upload_id = uploads.keep(db(), place.vault, KIND, file.filename, file.content, actor(), now())
    return go_to(url_for("operator.import_preview", upload_id=upload_id))


@console.get(UPLOAD)
@needs("batch.import")
def import_preview(upload_id: int) -> ResponseReturnValue:
    """What the list holds, before anything counts."""
    upload, form = _upload(upload_id), _form()
    first = next((name for name, _ in outlook.choices(db()).decks), None)
    form.deck.data = form.deck.data or first
    return _page(upload, form, _look(upload, form))


@console.post(UPLOAD)
@needs("batch.import")
def import_preview_post(upload_id: int) -> ResponseReturnValue:
    """`step` is `look` with other columns or rules, `drop`, or `import`."""
    form = _form()
    try:
        return _became(form) or _worked(upload_id, form)
    except NotFound:
        # Confirmed twice at once, the other one may be through with the list already.
        first = _became(form)
        if first is None:
            raise
        return first


def _became(form: ImportForm) -> ResponseReturnValue | None:
    """To the batch that the list became when this form was sent before."""
    batch_id = imports.imported_before(db(), actor(), form.key.data or "-")
    return None if batch_id is None else go_to(url_for("operator.batch", batch_id=batch_id))


def _worked(upload_id: int, form: ImportForm) -> ResponseReturnValue:
    upload, step = _upload(upload_id), request.form.get("step", "look")
    if step == "drop":
        uploads.drop(db(), upload_id, actor())
        return go_to(url_for("operator.import_cards"))
    told = _look(upload, form)
    done = _imported(upload, form, told) if step == "import" else None
    if done is None:
        return _became(form) or _page(upload, form, told)
    uploads.drop(db(), upload_id, actor())
    one = done.cards == 1
    serials = (
        f"Its serial is {done.first_serial}"
        if one
        else f"Their serials are {done.first_serial} to {done.last_serial}"
    )
    said(f"{cards_that(done.cards, 'are imported')}. {serials}.")
    return go_to(url_for("operator.batch", batch_id=done.batch_id))


def _imported(upload: Upload, form: ImportForm, told: CardImport | None) -> CardImport | None:
    """Take the list, once for the form's key; None where it is refused, which the form then tells."""
    if told is not None and told.problems:
        form.refusal = sentence("card_file_refused", count=len(told.problems), filename=upload.name)
    if told is None or form.refused or not form.validate():
        return None
    return attempt(form, lambda: _import(upload, form, key=form.key.data))


def _upload(upload_id: int) -> Upload:
    return uploads.fetch(db(), installation().vault, upload_id, KIND, actor())


def _form() -> ImportForm:
    form = ImportForm()
    form.offer(outlook.choices(db()))
    form.offer_columns(())
    return form


def _name(form: ImportForm) -> str:
    if form.name.data:
        return form.name.data
    typed = request.form.get("proposed")
    zone = fresh(db()).zone
    return typed or outlook.proposed_name(db(), "Imported", None, form.kind.data or "calling", now(), zone)


def _look(upload: Upload, form: ImportForm) -> CardImport | None:
    """What would become of the list; its columns are offered, and what is wrong with the rules stands at its field."""
    told = attempt(form, lambda: _import(upload, form, dry_run=True))
    if told is not None:
        form.offer_columns(told.headers)
    return told


def _import(upload: Upload, form: ImportForm, **more: Any) -> CardImport:
    try:
        return imports.import_cards(
            db(),
            installation().vault,
            form.order(_name(form)),
            upload.data,
            upload.name,
            actor(),
            now(),
            mapping=form.mapping(),
            delimiter=form.delimiter.data,
            **more,
        )
    except InvalidInput as error:
        if error.code == "card_file_refused":
            raise InvalidInput("card_file_refused", count=error.data["count"], filename=upload.name) from None
        raise


def _page(upload: Upload, form: ImportForm, told: CardImport | None) -> ResponseReturnValue:
    problems = [describe(problem) for problem in told.problems[:MOST_PROBLEMS]] if told else []
    return respond(
        "operator/batches/importlook.html",
        status=422 if form.refused else 200,
        upload=upload,
        form=form,
        told=told,
        problems=problems,
        more=len(told.problems) - len(problems) if told else 0,
        groups=[(title, names.split()) for title, names in RULES],
        columns=COLUMN_WORDS,
        states=[(word.capitalize(), cards) for word, cards in sorted(told.states.items())] if told else [],
        state_of=state_of,
        proposed=_name(form),
    )
