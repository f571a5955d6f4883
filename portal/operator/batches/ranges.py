"""Custody and release by ranges of serials: what is asked, a look at what it would change, then it is done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flask import request, url_for
from flask.typing import ResponseReturnValue

from engine.cards.serials import card_id_of
from engine.errors import InvalidInput
from engine.people.resellers import list_resellers
from engine.stock import custody, resale
from engine.stock.custody import Moved, Range
from engine.stock.queries import BatchPage
from portal.formats import cards
from portal.forms import ChoiceField, CommandForm, ReasonField, SwitchField, TextField, attempt
from portal.installation import db, now
from portal.notices import said
from portal.operator.batches.lists import ID, batch_or_404
from portal.operator.batches.words import left_over
from portal.operator.console import actor, console, may, needs
from portal.respond import go_to, respond


@dataclass(frozen=True, slots=True)
class Verb:
    """Something that is done to a range: its permission, and its words before, on the button and afterwards."""

    permission: str
    label: str
    button: str
    done: str
    command: Callable[..., Any] | None = None


VERBS = {
    "activate": Verb(
        "cards.activate", "Activate: they can be used", "Activate", "activated", custody.activate
    ),
    "hold_back": Verb(
        "cards.hold_back", "Hold back: nobody can use them", "Hold back", "held back", custody.hold_back
    ),
    "printed": Verb(
        "cards.printed", "Mark as printed", "Mark as printed:", "marked as printed", custody.mark_printed
    ),
    "shipped": Verb(
        "cards.shipped", "Mark as shipped", "Mark as shipped:", "marked as shipped", custody.mark_shipped
    ),
    "sold": Verb("cards.sold", "Mark as sold", "Mark as sold:", "marked as sold", custody.mark_sold),
    "assign": Verb("stock.assign", "Give to a reseller", "Give to the reseller:", "given to the reseller"),
    "unassign": Verb("stock.unassign", "Take back from resellers", "Take back", "taken back"),
}
"""In the order in which the page offers them."""


class RangeForm(CommandForm):
    """A range of serials and what is done with it."""

    do = ChoiceField("What to do", choices=[])
    from_serial = TextField("From serial", most=20)
    to_serial = TextField("To serial", most=20)
    reseller = ChoiceField("Reseller", choices=[], description="Where they are given to one.")
    transfer = SwitchField("Also take cards that another reseller has")
    reason = ReasonField(required=False)

    def cards(self) -> Range:
        """The range. Raises `InvalidInput`, naming the end that is no serial."""
        for field in (self.from_serial, self.to_serial):
            try:
                card_id_of(field.data or "")
            except InvalidInput as error:
                error.data["field"] = field.short_name  # which of the two it is
                raise
        return Range.of_serials(self.from_serial.data or "", self.to_serial.data)

    @property
    def asked(self) -> str:
        """All that decides what is done, as one text: whether it is still what was looked at."""
        fields = (self.do, self.from_serial, self.to_serial, self.reseller, self.transfer)
        return "|".join(str(field.data or "") for field in fields)


@console.get(f"/batches/{ID}/range")
@needs("cards.activate")
def range_of_cards(batch_id: int) -> ResponseReturnValue:
    """The form, with the whole batch as its range."""
    batch = batch_or_404(batch_id)
    form = _form(batch)
    form.do.data = request.args.get("do") if request.args.get("do") in VERBS else "activate"
    return _page(batch, form)


@console.post(f"/batches/{ID}/range")
@needs("cards.activate")
def range_of_cards_post(batch_id: int) -> ResponseReturnValue:
    """`step` is `look`, or `do` for what was looked at; what was changed meanwhile is looked at again."""
    batch = batch_or_404(batch_id)
    form = _form(batch)
    seen = request.form.get("step") == "do" and request.form.get("seen") == form.asked
    if not form.validate() or not seen:
        return _page(batch, form, None if form.errors else _look(form))
    moved = attempt(form, lambda: _do(form), {"first": "from_serial", "last": "to_serial"})
    if moved is None:
        return _page(batch, form)
    rest = f" Left as they were: {', '.join(left_over(dict(moved.why)))}." if moved.left else ""
    said(f"{cards(moved.changed)} {_done(form)}.{rest}", kind="good" if moved.changed else "warn")
    return go_to(url_for("operator.batch", batch_id=batch.id))


def _form(batch: BatchPage) -> RangeForm:
    form = RangeForm(data={"from_serial": batch.first_serial, "to_serial": batch.last_serial})
    form.do.choices = [(name, verb.label) for name, verb in VERBS.items() if may(verb.permission)]
    trading = [one for one in list_resellers(db()) if one.disabled_at is None]
    form.reseller.choices = [("", "None"), *((str(one.id), one.name) for one in trading)]
    return form


def _look(form: RangeForm) -> Moved | None:
    if form.do.data == "assign" and not form.reseller.data:
        form.reseller.errors = ["Choose the reseller who gets them."]
        return None
    return attempt(
        form,
        lambda: custody.look(
            db(),
            form.cards(),
            form.do.data,
            now(),
            reseller_id=int(form.reseller.data) if form.reseller.data else None,
            transfer=bool(form.transfer.data),
        ),
        {"first": "from_serial", "last": "to_serial"},
    )


def _do(form: RangeForm) -> Any:
    """The command that the form asks for, once for its key."""
    common = {"key": form.key.data, "reason": form.reason.data}
    reseller = int(form.reseller.data) if form.reseller.data else None
    verb = VERBS[form.do.data]
    if verb.command is not None:
        return verb.command(db(), form.cards(), actor(), now(), **common)
    if form.do.data == "unassign":
        return resale.unassign(db(), form.cards(), actor(), now(), reseller_id=reseller, **common)
    transfer = bool(form.transfer.data)
    return resale.assign(
        db(), form.cards(), actor(), now(), reseller_id=reseller or 0, transfer=transfer, **common
    )


def _done(form: RangeForm) -> str:
    """What is done to the cards, naming the reseller who gets them."""
    verb = VERBS.get(form.do.data or "")
    if form.do.data == "assign" and form.reseller.data:
        names = (label for value, label, *_ in form.reseller.choices if value == form.reseller.data)
        return f"given to {next(names, 'the reseller')}"
    return verb.done if verb else ""


def _page(batch: BatchPage, form: RangeForm, look: Moved | None = None) -> ResponseReturnValue:
    return respond(
        "operator/batches/range.html",
        block="form",
        status=422 if form.refused else 200,
        batch=batch,
        form=form,
        look=look,
        done=_done(form),
        working=custody.working(db(), form.cards())
        if look and look.changed and form.do.data == "assign"
        else 0,
        left=left_over(dict(look.why)) if look else [],
        verb=VERBS.get(form.do.data or ""),
    )
