"""The forms of the section Rates."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date, datetime
from datetime import time as time_of_day
from typing import Any

from wtforms import Field
from wtforms.fields import HiddenField
from wtforms.validators import StopValidation
from wtforms.widgets import TimeInput

from engine.calls.deckheader import SYNONYMS
from engine.calls.deckproblem import FIELD_NAMES
from engine.calls.decksheet import DELIMITERS
from engine.calls.rating import ROUNDINGS
from engine.money import format_amount
from portal.forms import (
    AmountField,
    ChoiceField,
    CommandForm,
    DayField,
    SwitchField,
    TextField,
    UploadField,
    WholeField,
)
from portal.operator.rates.words import ROUNDINGS as ROUNDING_WORDS

_TIME = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]", re.ASCII)
_FINEST = 100
"""Micro-percent that a percentage is a multiple of: four decimals."""


class PercentField(AmountField):
    """A percentage, signed: `data` in ten-thousandths of a percent."""

    def __init__(self, label: str, **more: Any) -> None:
        super().__init__(label, negative=True, **more)

    def read(self, text: str) -> int:
        micros = super().read(text.removesuffix("%").strip().removeprefix("+"))
        if micros % _FINEST:
            raise ValueError("A percentage has four decimals at most.")
        return micros // _FINEST

    def write(self, value: int) -> str:
        return format_amount(value * _FINEST, 0)


class TimeOfDayField(TextField):
    """A time of the day, `08:00`; left empty it is None."""

    widget = TimeInput()

    def pre_validate(self, form: Any) -> None:
        super().pre_validate(form)
        if not _TIME.fullmatch(self.data or ""):
            raise StopValidation("Type a time of the day, such as 08:00.")


class Beginning(CommandForm):
    """When a version takes effect: a day, and perhaps a time of it, in the deck's zone."""

    day = DayField(
        "In force from", required=False, description="A day of the deck's time zone. Left empty: from now on."
    )
    time = TimeOfDayField("Time", required=False, description="Left empty: midnight.")

    @property
    def begins(self) -> date | None:
        """What the engine takes as `effective_from`."""
        if self.day.data is None or self.time.data is None:
            found: date | None = self.day.data
            return found
        return datetime.combine(self.day.data, time_of_day.fromisoformat(self.time.data))


class UploadForm(CommandForm):
    """A rate sheet."""

    file = UploadField("Rate sheet", description="CSV or Excel (.xlsx), 20 MB at most.")


class ImportForm(Beginning):
    """How a rate sheet is to be read, and into which deck."""

    deck = ChoiceField("Deck")
    name = TextField("Name of the new deck", required=False, most=100)
    currency = TextField("Currency", required=False, most=3, description="Three letters, such as USD.")
    precision = WholeField(
        "Decimals of a charge", required=False, most=6, description="0 to 6. It can't be changed later."
    )
    rounding = ChoiceField(
        "Rounding of a charge", choices=[(name, ROUNDING_WORDS[name].capitalize()) for name in ROUNDINGS]
    )
    timezone = TextField(
        "Time zone", required=False, most=64, description="Of its days and hours, such as Europe/London."
    )
    whole = ChoiceField(
        "The file holds",
        choices=[
            ("whole", "The whole deck: what is not in it goes"),
            ("part", "Only what changes: the rest stays as it is"),
        ],
    )
    delimiter = ChoiceField(
        "Values are separated by",
        choices=[("", "What the file suggests"), *((sign, name) for sign, name in DELIMITERS.items())],
    )
    read_with = HiddenField()
    sure = SwitchField("Yes, these prefixes are meant to go")

    @property
    def is_new(self) -> bool:
        """Whether the deck is still to be made."""
        return not self.deck.data

    @property
    def columns(self) -> list[Field]:
        """The fields that say which column holds what."""
        return [field for field in self if field.name.startswith("column_")]

    @property
    def mapping(self) -> dict[str, str] | None:
        """Which column was chosen for what; None where nothing was, or the columns aren't those any more."""
        if (self.read_with.data or "") != (self.delimiter.data or ""):
            return None
        given = {field.name.removeprefix("column_"): field for field in self.columns}
        if not any(field.raw_data for field in given.values()):
            return None
        return {name: field.data or "" for name, field in given.items()}


COLUMNS = tuple(SYNONYMS)
for _name in COLUMNS:
    _label = FIELD_NAMES[_name].removeprefix("the ")
    setattr(
        ImportForm, f"column_{_name}", ChoiceField(_label[0].upper() + _label[1:], choices=[("", "Not used")])
    )


class ChangeForm(Beginning):
    """By how much prices change, and which."""

    percent = PercentField(
        "Percent", required=False, description="10 makes prices dearer by a tenth, -5 cheaper by a twentieth."
    )
    amount = AmountField(
        "Amount a minute",
        negative=True,
        required=False,
        description="Added after the percentage; -0.001 takes off.",
    )
    decimals = WholeField("Round to decimals", most=6, default=4, description="Half is rounded up.")
    fees = SwitchField("Connect fees change by the percentage, too")
    prefixes = TextField(
        "Only these prefixes",
        required=False,
        most=500,
        description="Such as 44, 49; the longer ones under them, too.",
    )
    group = ChoiceField("Only this destination group")
    name = TextField(
        "Only names with", required=False, most=100, description="A part of the destination's name."
    )
    base = HiddenField()
    seen = HiddenField()

    @property
    def digits(self) -> tuple[str, ...]:
        """The prefixes as typed, without `+` and `00`."""
        parts = re.split(r"[\s,;]+", self.prefixes.data or "")
        return tuple(dict.fromkeys(part.removeprefix("+").removeprefix("00") for part in parts if part))


class LookUpForm(CommandForm):
    """A number to look up; never a write."""

    class Meta:
        csrf = False

    key = None
    number = TextField("Number", most=64, description="As people dial it, such as +44 20 7946 0000.")
    deck = ChoiceField("Deck")
    day = DayField("On", required=False)
    time = TimeOfDayField("At", required=False)
    credit = AmountField("How long lasts", required=False, positive=True, default=5_000_000)

    def moment(self, now: datetime) -> date:
        """The time that is meant: a time without a zone is the deck's."""
        if self.day.data is None and self.time.data is None:
            return now
        clock = time_of_day.fromisoformat(self.time.data) if self.time.data else time_of_day(12)
        return datetime.combine(self.day.data or now.date(), clock)


class GroupForm(CommandForm):
    """A destination group."""

    name = TextField("Name", most=100)
    prefixes = TextField(
        "Prefixes", most=4_000, description="With their country codes, such as 1246, 1264, 1268."
    )

    @property
    def digits(self) -> list[str]:
        """The prefixes as typed."""
        return [part for part in re.split(r"[\s,;]+", self.prefixes.data or "") if part]


class BuyDeckForm(CommandForm):
    """The deck that holds what destinations cost."""

    buy_deck = ChoiceField(
        "Buy deck",
        description="A deck of the same currency with what your carriers charge. It never charges a card.",
    )


class ReplayForm(CommandForm):
    """Which calls are priced once more, and at which rates."""

    version = ChoiceField("At the rates of")
    first = DayField("Calls from")
    last = DayField("To", description="Both days included, at most a year.")


def kept(form: CommandForm, leave: Iterable[str] = ("key", "csrf_token")) -> list[tuple[str, str]]:
    """A form's values as hidden fields of another: what was looked at is what will be done."""
    values = []
    for field in form:
        if field.name in leave or isinstance(field, UploadField):
            continue
        if isinstance(field, SwitchField):
            values += [(field.name, "y")] if field.data else []
        elif isinstance(field, ChoiceField | TextField | HiddenField):
            values.append((field.name, field.data or ""))
        else:
            values.append((field.name, field._value()))
    return values
