"""The filters of payments and of ledger entries as forms. The reader of the address judges them, not the form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from flask_wtf import FlaskForm
from werkzeug.datastructures import MultiDict
from wtforms import Field, SelectField, StringField
from wtforms.fields.choices import SelectChoice
from wtforms.widgets import DateInput

from portal.operator.money.asked import Asked
from portal.operator.money.words import ACCOUNTS, KINDS, METHODS

AMOUNT = {"inputmode": "decimal", "maxlength": "24", "autocomplete": "off"}
TEXT = {"maxlength": "100", "autocomplete": "off"}
SERIAL = {"inputmode": "numeric", "maxlength": "20", "autocomplete": "off"}
CODE = {"maxlength": "3", "autocomplete": "off", "placeholder": "USD"}


def _choice(label: str, words: Mapping[str, str]) -> SelectField:
    choices = [SelectChoice(value, word) for value, word in (("", "Any"), *words.items())]
    return SelectField(label, choices=choices, validate_choice=False)


class FilterForm(FlaskForm):
    """What both lists can be filtered by."""

    class Meta:
        csrf = False

    serial = StringField("Card’s serial", render_kw=SERIAL)
    at_from = StringField("From", widget=DateInput())
    at_to = StringField("To", widget=DateInput())
    batch = StringField("Batch", render_kw=TEXT)
    who = StringField("Done by", render_kw=TEXT, description="A part of the name of a person or a switch.")
    amount_from = StringField("Amount from", render_kw=AMOUNT)
    amount_to = StringField("Amount to", render_kw=AMOUNT)
    currency = StringField("Currency", render_kw=CODE)
    always: ClassVar[tuple[str, ...]] = ("serial", "at_from", "at_to")

    @property
    def main(self) -> list[Field]:
        """What is always shown."""
        return [self[name] for name in self.always]

    @property
    def more(self) -> list[Field]:
        """What is folded away until it is wanted."""
        return [field for field in self if field.short_name not in self.always]

    @property
    def more_asked(self) -> bool:
        """Whether any of that is filled in, or wrong."""
        return any(field.data or field.errors for field in self.more)


class PaymentFilterForm(FilterForm):
    """The filter of payments."""

    method = _choice("Kind", METHODS)
    reseller = StringField("Reseller", render_kw=TEXT, description="Whose the card is.")
    account = StringField("Paid from account", render_kw=TEXT)
    always = ("method", "serial", "at_from", "at_to")


class LedgerFilterForm(FilterForm):
    """The filter of ledger entries."""

    kind = _choice("Kind", KINDS)
    account = StringField(
        "Other side",
        render_kw=TEXT,
        description="The name of an account, or one of: " + ", ".join(ACCOUNTS) + ".",
    )
    reference = StringField("Document", render_kw=TEXT, description="Such as payment:3, call:12, batch:7.")
    always = ("kind", "serial", "at_from", "at_to")


def form_of(kind: type[FilterForm], asked: Asked, wrong: Mapping[str, str]) -> FilterForm:
    """The form as it was sent, each mistake at its field."""
    given: MultiDict[str, Any] = MultiDict(asked.texts)
    form = kind(formdata=given)
    for name, told in wrong.items():
        form[name].errors = [told]
    return form


LABELS = {
    name: field.args[0]
    for form in (FilterForm, PaymentFilterForm, LedgerFilterForm)
    for name, field in vars(form).items()
    if hasattr(field, "field_class")
}


def words(name: str, text: str) -> str:
    """One part of a filter in words."""
    if name in ("method", "kind"):
        return {**METHODS, **KINDS}.get(text, text)
    return f"{LABELS[name]}: {text}" if not name.startswith("at_") else f"{LABELS[name]} {text}"
