"""Many cards at once: the first and the last are scanned, a look says what it would do and cost, then it is done."""

from __future__ import annotations

import re

from flask import abort, request, url_for
from flask.typing import ResponseReturnValue
from wtforms import HiddenField

from engine.stock.custody import Range
from engine.stock.deskviews import Ahead, look, scanned, scanned_range
from portal import arguments
from portal.forms import ChoiceField, TextField, printable
from portal.installation import db, now
from portal.reseller import words
from portal.reseller.door import desk, needs, shop
from portal.reseller.till import TillForm, do, tell, tried, typed
from portal.respond import go_to, respond

_ENDS = {"first": "from_serial", "last": "to_serial"}
_UNDOES = re.compile(r"[0-9]{1,18}(,[0-9]{1,18})?")


class RangeForm(TillForm):
    """What is done with which serials."""

    act = ChoiceField("What to do", choices=[(name, word) for name, (word, _) in words.ACTS.items()])
    from_serial = TextField("First serial", most=40)
    to_serial = TextField("Last serial", most=40, required=False)
    undoes = HiddenField(filters=[printable])
    """The documents of the press that a return takes back; empty: whatever can be returned."""

    @property
    def asked(self) -> str:
        """All that decides what is done, as one text: whether it is still what was looked at."""
        asked = (self.act, self.from_serial, self.to_serial, self.undoes)
        return "|".join(str(field.data or "") for field in asked)

    @property
    def press(self) -> list[int] | None:
        """`undoes` as documents; None where the form is of no undo."""
        if not self.undoes.data or self.act.data != "return":
            return None
        if _UNDOES.fullmatch(self.undoes.data) is None:
            abort(400)
        return [int(one) for one in self.undoes.data.split(",")]


@desk.get("/range")
@needs("stock.sell")
def range_of_cards() -> ResponseReturnValue:
    """The form, with what the address says; a look where that is all of it."""
    act = arguments.choice("do", words.ACTS, "both")
    asked = {"from_serial": typed("first"), "to_serial": typed("last"), "undoes": typed("undoes")}
    form = RangeForm(formdata=None, data={"act": act, **asked})
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
    press = form.press
    answers = tried(form, lambda: do(form.act.data, _cards(form), form.key.data, press), _ENDS)
    if answers is None:
        return _page(form)
    tell(form.act.data, answers, scanned(form.from_serial.data), scanned(form.to_serial.data))
    return go_to(url_for("reseller.till" if press else "reseller.range_of_cards"))


def _cards(form: RangeForm) -> Range:
    return scanned_range(form.from_serial.data or "", form.to_serial.data or "")


def _look(form: RangeForm) -> Ahead | None:
    press, own = form.press, shop().reseller_id
    return tried(form, lambda: look(db(), form.act.data, _cards(form), own, now(), undoes=press), _ENDS)


def _page(form: RangeForm, ahead: Ahead | None = None) -> ResponseReturnValue:
    return respond(
        "reseller/range.html",
        status=form.status if form.refused else 200,
        form=form,
        ahead=ahead,
        words=words,
    )
