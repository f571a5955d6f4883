"""Many cards at once: the first and the last are scanned, a look says what it would do and cost, then it is done."""

from __future__ import annotations

from flask import request, url_for
from flask.typing import ResponseReturnValue

from engine.stock.custody import Range
from engine.stock.deskviews import Ahead, look, scanned_range
from portal import arguments
from portal.forms import ChoiceField, TextField
from portal.installation import db, now
from portal.notices import said
from portal.reseller import words
from portal.reseller.door import desk, needs, shop
from portal.reseller.till import TillForm, do, tried, typed
from portal.respond import go_to, respond

_ENDS = {"first": "from_serial", "last": "to_serial"}


class RangeForm(TillForm):
    """What is done with which serials."""

    act = ChoiceField("What to do", choices=[(name, word) for name, (word, _) in words.ACTS.items()])
    from_serial = TextField("First serial", most=40)
    to_serial = TextField("Last serial", most=40, required=False)

    @property
    def asked(self) -> str:
        """All that decides what is done, as one text: whether it is still what was looked at."""
        return "|".join(str(field.data or "") for field in (self.act, self.from_serial, self.to_serial))


@desk.get("/range")
@needs("stock.sell")
def range_of_cards() -> ResponseReturnValue:
    """The form, with what the address says; a look where that is all of it."""
    act = arguments.choice("do", words.ACTS, "both")
    form = RangeForm(
        formdata=None, data={"act": act, "from_serial": typed("first"), "to_serial": typed("last")}
    )
    return _page(form, _look(form) if form.from_serial.data and form.to_serial.data else None)


@desk.post("/range")
@needs("stock.sell")
def range_of_cards_post() -> ResponseReturnValue:
    """`step` is `look`, or `do` for what was looked at; what was changed meanwhile is looked at again."""
    form = RangeForm()
    seen = request.form.get("step") == "do" and request.form.get("seen") == form.asked
    if not form.validate() or not form.to_serial.data:
        return _page(form)
    if not seen:
        return _page(form, _look(form))
    answers = tried(form, lambda: do(form.act.data, _cards(form), form.key.data), _ENDS)
    if answers is None:
        return _page(form)
    text, kind = words.done(form.act.data, answers)
    undo = url_for(
        "reseller.range_of_cards", do="return", first=form.from_serial.data, last=form.to_serial.data
    )
    can_undo = kind == "good" and form.act.data != "return"
    said(text, kind=kind, link=undo if can_undo else None, link_text="Undo" if can_undo else None)
    return go_to(url_for("reseller.range_of_cards"))


def _cards(form: RangeForm) -> Range:
    return scanned_range(form.from_serial.data or "", form.to_serial.data or "")


def _look(form: RangeForm) -> Ahead | None:
    return tried(form, lambda: look(db(), form.act.data, _cards(form), shop().reseller_id, now()), _ENDS)


def _page(form: RangeForm, ahead: Ahead | None = None) -> ResponseReturnValue:
    return respond(
        "reseller/range.html",
        status=form.status if form.refused else 200,
        form=form,
        ahead=ahead,
        words=words,
    )
