"""Which cards an order is for, as it travels from page to page: never in an address what somebody ticked or listed."""

from __future__ import annotations

from urllib.parse import parse_qsl

from flask import abort
from wtforms import HiddenField, TextAreaField

from engine import house, uploads
from engine.bulk import undo
from engine.bulk.orders import Listed, read_list
from engine.cards.search import CardFilter
from engine.cards.serials import card_id_of
from engine.errors import InvalidInput, NotFound
from portal.forms import CommandForm, UploadField, printable
from portal.installation import db, installation, now
from portal.operator.console import actor
from portal.operator.search.asked import asked_by, filter_of

KIND = "bulk"
MOST_TICKED = 1_000
LONGEST_SHOWN = 100_000
"""Characters of a list that a page shows again."""
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


def _hidden() -> HiddenField:
    return HiddenField(filters=[printable])


class TargetForm(CommandForm):
    """The cards of an order: exactly one of `ticked` (serials), `every` with `query` (a search), `upload` (a list that
    was kept), `run` with `before` (what a run changed), or a list that is given now.
    """

    ticked = _hidden()
    every = _hidden()
    query = _hidden()
    upload = _hidden()
    run = _hidden()
    before = _hidden()
    list = TextAreaField("Cards, one a line", render_kw={"autocomplete": "off", "spellcheck": "false"})
    file = UploadField("Or a file of them", required=False, description="A text or CSV file, up to 20 MB.")

    @property
    def known(self) -> bool:
        """Whether it says already which cards, so that no list is asked for."""
        return bool(self.ticked.data or self.every.data or self.upload.data or self.run.data)

    @property
    def undoes(self) -> int | None:
        """The run that the order takes back."""
        return int(self.run.data) if (self.run.data or "").isdecimal() and len(self.run.data) < 19 else None

    @property
    def words(self) -> str:
        """Which cards it is for, where that is known."""
        if self.undoes:
            return f"The cards that run {self.undoes} changed, and nobody since."
        if self.every.data:
            return "All cards that your search finds."
        ticked = len([text for text in (self.ticked.data or "").split(",") if text])
        return (
            f"The {'card' if ticked == 1 else f'{ticked:,} cards'} that you ticked."
            if ticked
            else "The cards of your list."
        )

    def recall_list(self) -> None:
        """Show a list that was kept again, to be changed; one that is too long for that is asked for anew."""
        if not self.upload.data:
            return
        try:
            text = _text(self.upload.data)
        except NotFound:
            text = ""
        self.list.data, self.upload.data = text if len(text) <= LONGEST_SHOWN else None, None

    def keep_list(self) -> None:
        """Put a list that was given now where it waits for the order; mistakes are told at its field."""
        typed = (self.list.data or "").strip()
        if self.known and not typed and self.file.data is None:
            return
        if bool(typed) == (self.file.data is not None):
            self.list.errors = ["Type or paste the cards here, or choose a file: one of the two."]
            return
        data = typed.encode() if typed else self.file.content
        if data.startswith(b"PK"):
            self.file.errors = ["That is a spreadsheet. Save it as CSV, and choose that file."]
            return
        name = "list" if typed else self.file.filename
        kept = uploads.keep(db(), installation().vault, KIND, name[:100], data, actor(), now())
        self.upload.data, self.ticked.data, self.every.data = str(kept), None, None

    def targets(self, *, callers: bool = False) -> CardFilter | Listed:
        """The cards; `callers`: a list has one for each. Raises what the engine says of lists and runs."""
        if self.run.data:
            return undo.changed_cards(db(), self.undoes or 0, self.before.data or None)
        if self.upload.data:
            return _listed(self.upload.data, callers)
        if self.every.data:
            card_filter, wrong = filter_of(asked_by(parse_qsl(self.query.data or "")))
            return abort(400) if wrong else card_filter
        serials = [text for text in (self.ticked.data or "").split(",") if text]
        if not serials:
            raise InvalidInput("list_empty", field="list")
        if len(serials) > MOST_TICKED:
            raise InvalidInput("too_many_cards", field="list", high=MOST_TICKED)
        return Listed(tuple(card_id_of(text) for text in serials))


def _text(upload: str) -> str:
    if not (upload.isdecimal() and upload.isascii() and len(upload) < 19):
        abort(400)
    data = uploads.fetch(db(), installation().vault, int(upload), KIND, actor()).data
    return data.decode("utf-16" if data[:2] in _UTF16 else "utf-8-sig", "replace")


def _listed(upload: str, callers: bool) -> Listed:
    return read_list(
        _text(upload), country=house.current(db()).settings.home_country or None, callers=callers
    )
