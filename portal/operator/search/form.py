"""The filter of the list of cards as a form, and its parts in words."""

from __future__ import annotations

from typing import Any

from flask_wtf import FlaskForm
from werkzeug.datastructures import MultiDict
from wtforms import StringField
from wtforms.widgets import DateInput

from engine.cards.search import CUSTODY
from engine.cards.status import STATUSES
from portal.forms import ChoiceField, ManyField
from portal.operator.search.asked import COLUMNS, MANY, PER_PAGE, PERIODS, SORTS, Asked

SERIAL = {"inputmode": "numeric", "maxlength": "14", "autocomplete": "off"}
AMOUNT = {"inputmode": "decimal", "maxlength": "24", "autocomplete": "off"}
LABELS = {
    "serial": "Serial",
    "number_end": "Number ends in",
    "status": "Status",
    "balance": "Balance",
    "held": "Held for calls",
    "batch": "Batch",
    "reseller": "Reseller",
    "custody": "Stock",
    "released": "Use",
    "created": "Made",
    "first_used": "First used",
    "expires": "Valid until",
    "phone": "Phone",
    "currency": "Currency",
}
"""Columns and filters in words."""
WAYS = {
    "serial": ("lowest first", "highest first"),
    "balance": ("least first", "most first"),
}
LATER = ("earliest first", "latest first")
RELEASED = {"yes": "Can be used", "no": "Held back"}
PERIOD_WORDS = {
    "today": "Today",
    "last-7-days": "In the last 7 days",
    "last-30-days": "In the last 30 days",
    "next-7-days": "In the next 7 days",
    "next-30-days": "In the next 30 days",
}
GROUPS = (
    ("serial", "serial_from", "serial_to"),
    ("currency", "balance_from", "balance_to"),
    ("reseller", "released"),
    ("custody",),
    *((name, f"{name}_from", f"{name}_to") for name in ("created", "first_used", "expires")),
)
"""The panel's fields, row by row."""


def _choices(words: dict[str, str], none: str = "Any") -> list[tuple[str, str]]:
    return [("", none), *words.items()]


def _sorts() -> list[tuple[str, str]]:
    def label(word: str) -> str:
        order = word.removeprefix("-")
        return f"{LABELS[order]}, {WAYS.get(order, LATER)[word.startswith('-')]}"

    return [(word, label(word)) for word in SORTS]


def _period(name: str) -> ChoiceField:
    return ChoiceField(
        LABELS[name],
        choices=_choices({word: PERIOD_WORDS[word] for word in PERIODS[name]}),
    )


def _day(label: str) -> StringField:
    return StringField(label, widget=DateInput())


class FilterForm(FlaskForm):
    """All that a list can be filtered by. The reader of the address judges it, not the form."""

    class Meta:
        csrf = False

    status = ManyField("Status", choices=[(word, word.capitalize()) for word in reversed(STATUSES)])
    batch = StringField("Batch", render_kw={"maxlength": "100", "autocomplete": "off"})
    phone = StringField(
        "Phone that is bound", render_kw={"maxlength": "30", "inputmode": "tel", "autocomplete": "off"}
    )
    serial = StringField("Serial", render_kw=SERIAL)
    serial_from = StringField("Serials from", render_kw=SERIAL)
    serial_to = StringField("Serials to", render_kw=SERIAL)
    balance_from = StringField("Balance from", render_kw=AMOUNT)
    balance_to = StringField("Balance to", render_kw=AMOUNT)
    currency = StringField("Currency", render_kw={"maxlength": "3", "autocomplete": "off"})
    reseller = StringField("Reseller", render_kw={"maxlength": "100", "autocomplete": "off"})
    released = ChoiceField("Use", choices=_choices(RELEASED))
    custody = ManyField("Stock: came as far as", choices=[(word, word.capitalize()) for word in CUSTODY])
    created = _period("created")
    created_from = _day("Made from")
    created_to = _day("Made until")
    first_used = _period("first_used")
    first_used_from = _day("First used from")
    first_used_to = _day("First used until")
    expires = _period("expires")
    expires_from = _day("Valid until, from")
    expires_to = _day("Valid until, to")
    sort = ChoiceField("Order", choices=_sorts())
    columns = ManyField("Columns", choices=[(name, LABELS[name]) for name in COLUMNS])
    per_page = ChoiceField("Cards on a page", choices=[(str(n), str(n)) for n in PER_PAGE])

    @property
    def groups(self) -> list[list[Any]]:
        """The fields that stand in the panel, row by row."""
        return [[self[name] for name in names] for names in GROUPS]

    @property
    def more_asked(self) -> bool:
        """Whether any of them is filled in."""
        return any(field.data for group in self.groups for field in group)


def form_of(asked: Asked, wrong: dict[str, str]) -> FilterForm:
    """The form as it was sent, each mistake at its field."""
    given: MultiDict[str, str] = MultiDict(asked.filter_pairs())
    given["sort"], given["per_page"] = asked.sort, str(asked.per_page)
    given.setlist("columns", list(asked.columns))
    form = FilterForm(formdata=given)
    for name, told in wrong.items():
        form[name].errors = [told]
    return form


def chips(asked: Asked) -> list[tuple[str, str]]:
    """What filters the list now: each part in words, and the address without it."""
    return [(words(name, value), asked.without(name, value).url()) for name, value in asked.filter_pairs()]


def words(name: str, value: str) -> str:
    """One part of a filter in words, as it was typed."""
    plain, _, end = name.rpartition("_") if name.endswith(("_from", "_to")) else (name, "", "")
    label = LABELS[plain]
    if end:
        return f"{label} {end} {value}"
    if name in PERIODS:
        return f"{label} {PERIOD_WORDS.get(value, value).lower()}"
    if name == "released":
        return RELEASED.get(value, value)
    return f"{label}: {value}" if name not in MANY else value.capitalize()
