"""The forms of resellers, and how their figures are said."""

from __future__ import annotations

import re

from engine.cards.serials import card_id_of
from engine.errors import InvalidInput
from engine.stock.custody import Range
from engine.stock.moves import Resold
from portal.formats import amount, cards
from portal.forms import CommandForm, ReasonField, SwitchField, TextField
from portal.operator.batches.words import left_over

_PERCENT = re.compile(r"([0-9]{1,3})(?:\.([0-9]{1,2}))?", re.ASCII)


class PercentField(TextField):
    """A share in percent with at most two decimals; `bp` is its value in hundredths of a percent."""

    bp: int = 0

    def pre_validate(self, form: object) -> None:
        super().pre_validate(form)
        found = _PERCENT.fullmatch(self.data or "")
        if found is None or int(found[1]) * 100 + int((found[2] or "0").ljust(2, "0")) > 10_000:
            self.errors = ["Type a percentage between 0 and 100, such as 12.5."]
            return
        self.bp = int(found[1]) * 100 + int((found[2] or "0").ljust(2, "0"))


class ResellerForm(CommandForm):
    """A reseller as it is called and what it pays."""

    name = TextField("Name", most=100)
    discount = PercentField(
        "Discount in percent",
        most=6,
        description="Off the face value of a card. Cards that were charged keep their price.",
        render_kw={"inputmode": "decimal", "autocomplete": "off"},
    )
    reason = ReasonField(required=False)


class RangeForm(CommandForm):
    """A range of serials, both ends included."""

    from_serial = TextField("From serial", most=20, render_kw={"inputmode": "numeric", "autocomplete": "off"})
    to_serial = TextField("To serial", most=20, render_kw={"inputmode": "numeric", "autocomplete": "off"})
    reason = ReasonField(required=False)

    @property
    def asked(self) -> str:
        """All that decides what it does, as one text: whether it is still what was looked at."""
        return "|".join(str(field.data or "") for field in self.shown if field is not self.reason)

    def cards(self) -> Range:
        """The range. Raises `InvalidInput`, naming the end that is no serial."""
        for field in (self.from_serial, self.to_serial):
            try:
                card_id_of(field.data or "")
            except InvalidInput as error:
                error.data["field"] = field.short_name
                raise
        return Range.of_serials(self.from_serial.data or "", self.to_serial.data)


class AssignForm(RangeForm):
    """Which cards a reseller gets."""

    transfer = SwitchField("Also cards that another reseller has and that nobody bought")


class ReturnForm(RangeForm):
    """Which cards a reseller gives back."""

    to_operator = SwitchField("Take them out of its stock as well")


def percent(bp: int) -> str:
    """A discount as people say it: `12.5 %`."""
    whole, rest = divmod(bp, 100)
    return f"{whole}.{rest:02d}".rstrip("0").rstrip(".") + " %"


def moved(done: Resold, word: str) -> str:
    """What became of a range, in a sentence or three."""
    told = [f"{cards(done.changed)} {word}."]
    if done.amount and done.currency:
        verb = "Charged to its account" if done.amount > 0 else "Given back to its account"
        told.append(f"{verb}: {done.currency} {amount(abs(done.amount))}.")
    if done.left:
        told.append(f"Left as they were: {', '.join(left_over(dict(done.why)))}.")
    return " ".join(told)
