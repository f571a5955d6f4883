"""The filter of the list of calls as a form."""

from __future__ import annotations

from typing import Any

from flask_wtf import FlaskForm
from werkzeug.datastructures import MultiDict
from wtforms import StringField
from wtforms.widgets import DateTimeLocalInput

from portal.forms import ChoiceField, ManyField
from portal.operator.calls.asked import COLUMNS, PER_PAGE, Asked
from portal.operator.calls.words import CAUSES, FLAG_WORDS, LABELS, PERIOD_WORDS

DIGITS = {"inputmode": "tel", "maxlength": "24", "autocomplete": "off"}
AMOUNT = {"inputmode": "decimal", "maxlength": "24", "autocomplete": "off"}
TEXT = {"maxlength": "100", "autocomplete": "off"}
SPAN = {"maxlength": "10", "autocomplete": "off", "placeholder": "90 or 1:30"}


def _choice(label: str, words: dict[str, str]) -> ChoiceField:
    return ChoiceField(label, choices=[("", "Any"), *words.items()])


class FilterForm(FlaskForm):
    """All that the list can be filtered by. The reader of the address judges it, not the form."""

    class Meta:
        csrf = False

    ended = _choice("Ended", PERIOD_WORDS)
    destination = StringField("Destination number", render_kw=DIGITS)
    caller = StringField("Caller", render_kw=DIGITS)
    serial = StringField(
        "Card, by its serial", render_kw={"inputmode": "numeric", "maxlength": "14", "autocomplete": "off"}
    )
    ended_from = StringField("Ended from", widget=DateTimeLocalInput())
    ended_to = StringField("Ended to", widget=DateTimeLocalInput())
    prefix = StringField("Destination begins with", render_kw=DIGITS)
    name = StringField("Destination name", render_kw=TEXT)
    duration_from = StringField("Talked at least", render_kw=SPAN)
    duration_to = StringField("Talked at most", render_kw=SPAN)
    charged_from = StringField("Charged at least", render_kw=AMOUNT)
    charged_to = StringField("Charged at most", render_kw=AMOUNT)
    currency = StringField("Currency", render_kw={"maxlength": "3", "autocomplete": "off"})
    cause = _choice("Cause of the end", {str(number): f"{number} {word}" for number, word in CAUSES.items()})
    flag = _choice("Flag", FLAG_WORDS)
    batch = StringField("Batch", render_kw=TEXT)
    reseller = StringField("Reseller", render_kw=TEXT)
    switch = StringField("Switch", render_kw=TEXT)
    call_ref = StringField("Reference of its switch", render_kw={"maxlength": "200", "autocomplete": "off"})
    columns = ManyField("Columns", choices=[(name, LABELS[name]) for name in COLUMNS])
    per_page = ChoiceField("Calls on a page", choices=[(str(n), str(n)) for n in PER_PAGE])

    @property
    def more(self) -> list[Any]:
        """The fields that stand in the panel."""
        names = list(self._fields)
        return [self[name] for name in names[names.index("ended_from") : names.index("columns")]]

    @property
    def more_asked(self) -> bool:
        """Whether any of them is filled in, or wrong."""
        return any(field.data or field.errors for field in self.more)


def form_of(asked: Asked, wrong: dict[str, str]) -> FilterForm:
    """The form as it was sent, each mistake at its field."""
    given: MultiDict[str, str] = MultiDict(asked.texts)
    for name, clock in (("ended_from", "T00:00"), ("ended_to", "T23:59")):
        if len(given.get(name, "")) == 10:
            given[name] += clock  # a day by itself; a field of day and time would show nothing
    given["per_page"] = str(asked.per_page)
    given.setlist("columns", list(asked.columns))
    form = FilterForm(formdata=given)
    if form.cause.data and form.cause.data not in {choice.value for choice in form.cause.choices}:
        form.cause.choices = [*form.cause.choices, (form.cause.data, form.cause.data)]
    for name, told in wrong.items():
        form[name].errors = [told]
    return form
