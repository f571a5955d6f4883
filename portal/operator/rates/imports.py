"""The second step of an import: how the file is read, what it would change, and the yes to it.

Looking is a GET, so that the address holds the choices; the yes is a POST of the very same choices.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

from flask import request, url_for
from flask.typing import ResponseReturnValue

from engine import uploads
from engine.calls import decks
from engine.calls.deckdiff import PrefixChange
from engine.calls.deckfile import DeckFile, describe, read_deck
from engine.calls.decks import DeckImport
from engine.calls.decksheet import DELIMITERS
from engine.errors import EngineError, NotFound
from engine.money import format_amount
from engine.uploads import Upload
from portal import arguments
from portal.forms import attempt, place
from portal.installation import db, installation, now
from portal.notices import said
from portal.operator.console import actor, console, needs
from portal.operator.rates.forms import ImportForm, kept
from portal.operator.rates.parts import csv_file, deck_choices, instant_text, the_deck
from portal.operator.rates.uploading import KIND
from portal.operator.rates.words import percent
from portal.respond import go_to, respond

_FIELDS = {"effective_from": "day"}


@console.get("/rates/import/<int:upload_id>")
@needs("deck.import")
def import_sheet(upload_id: int) -> ResponseReturnValue:
    """What a file would do, as it is read now."""
    sheet = _sheet(upload_id)
    looked = "whole" in request.args
    form = _form(request.args if looked else None)
    if not looked:
        _begin(form, sheet)
    told, file = _look(form, sheet, looked)
    return _page(form, sheet, told, file, 422 if form.errors or form.refusal else 200)


@console.post("/rates/import/<int:upload_id>")
@needs("deck.import")
def import_sheet_post(upload_id: int) -> ResponseReturnValue:
    """Import it: whole or not at all."""
    sheet = _sheet(upload_id)
    form = _form(request.form)
    told, file = _look(form, sheet, True)
    if told is not None and told.thins and not form.sure.data:
        form.sure.errors = ["Tick this, or go back and choose that the file holds only what changes."]
    if told is None or form.refused:
        return _page(form, sheet, told, file, 422)
    done = attempt(form, lambda: _import(form, sheet, key=form.key.data), _FIELDS)
    if done is None:
        return _page(form, sheet, told, file, 422)
    said(f"Imported {done.total:,} rates for {done.deck}, in force from {instant_text(done.effective_from)}.")
    return go_to(url_for("operator.deck", deck_id=done.deck_id))


@console.get("/rates/import/<int:upload_id>/<any(changes, problems):what>.csv")
@needs("deck.import")
def import_sheet_file(upload_id: int, what: str) -> ResponseReturnValue:
    """All that an import would change, or all that is wrong with its file."""
    sheet = _sheet(upload_id)
    form = _form(request.args)
    if not form.validate():
        raise NotFound("upload_gone")
    told = _import(form, sheet, dry_run=True, most=None)
    if what == "problems":
        rows = [(one.line or "", one.column, describe(one)) for one in told.file.problems]
        return csv_file(f"{sheet.name} problems", ("Line", "Column", "Problem"), rows)
    return csv_file(f"{told.deck} changes", CHANGE_HEADER, change_rows(told.comparison.changes))


CHANGE_HEADER = ("Prefix", "Destination", "Change", "Price before", "Price after", "Percent")


def change_rows(changes: Any) -> Iterator[tuple[str | None, ...]]:
    """Changes as lines of a CSV file; prices of a prefix that has several rates stand beside one another."""
    for change in changes:
        yield (
            change.prefix,
            change.name,
            change.kind,
            _prices(change, "before"),
            _prices(change, "after"),
            percent(change.percent).removesuffix("\u00a0%").replace("\u2212", "-").replace(",", "") or None,
        )


def _prices(change: PrefixChange, side: str) -> str:
    return " | ".join(format_amount(rate.price_per_minute) for rate in getattr(change, side))


def _sheet(upload_id: int) -> Upload:
    return uploads.fetch(db(), installation().vault, upload_id, KIND, actor())


def _form(given: Any) -> ImportForm:
    form = ImportForm(given, meta=None if request.method == "POST" else {"csrf": False})
    form.deck.choices = deck_choices("A new deck")
    return form


def _begin(form: ImportForm, sheet: Upload) -> None:
    """What a form proposes for a file that nobody has looked at yet."""
    deck_id = arguments.key("deck")
    form.deck.data = None if deck_id is None else str(deck_id)
    form.name.data = sheet.name.rsplit(".", 1)[0][:100]
    form.currency.data = read_deck(sheet.data, header_only=True).currency
    form.rounding.data = "half_up"
    form.whole.data = "whole"


def _look(form: ImportForm, sheet: Upload, looked: bool) -> tuple[DeckImport | None, DeckFile]:
    """What an import would do (None where the form won't do), and the file as it is read.

    The names of the columns are known once the file is read: only then can the choices of columns be checked.
    """
    chosen = form.delimiter.data
    raw = read_deck(sheet.data, delimiter=chosen if chosen in DELIMITERS else None, header_only=True)
    for field in form.columns:
        field.choices = [("", "Not used"), *((name, name) for name in dict.fromkeys(raw.headers))]
        if form.mapping is None:
            field.raw_data, field.data = None, raw.mapping.get(field.name.removeprefix("column_"))
    valid = form.validate() if looked else bool(form.currency.data or form.deck.data)
    told: DeckImport | None = None
    if valid:
        try:
            told = _import(form, sheet, dry_run=True)
        except EngineError as error:
            place(form, error, _FIELDS)
    form.read_with.data = form.delimiter.data or ""
    return told, raw if told is None else told.file


def _import(form: ImportForm, sheet: Upload, **more: Any) -> DeckImport:
    begins: date | None = form.begins
    deck = None if form.is_new else the_deck(int(form.deck.data))
    return decks.import_deck(
        db(),
        name=(form.name.data or "") if deck is None else deck.name,
        currency=(form.currency.data or "").upper() if deck is None else deck.currency,
        precision=form.precision.data if deck is None else None,
        rounding=form.rounding.data if deck is None else None,
        timezone=form.timezone.data if deck is None else None,
        data=sheet.data,
        filename=sheet.name,
        mapping=form.mapping,
        delimiter=form.delimiter.data,
        merge=form.whole.data == "part",
        effective_from=begins,
        actor=actor(),
        now=now(),
        **more,
    )


def _page(
    form: ImportForm, sheet: Upload, told: DeckImport | None, file: DeckFile, status: int
) -> ResponseReturnValue:
    return respond(
        "operator/rates/import.html",
        status=status,
        form=form,
        sheet=sheet,
        told=told,
        file=file,
        describe=describe,
        kept=kept(form, ("key", "csrf_token", "sure")),
        query={name: value for name, value in kept(form, ("key", "csrf_token", "sure")) if value},
    )
