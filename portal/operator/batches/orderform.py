"""The form of an order of cards: every rule a batch can have, most of them with what is usual filled in."""

from __future__ import annotations

import unicodedata
from dataclasses import asdict, fields
from typing import Any

from markupsafe import Markup

from engine.stock.orders import MAX_COUNT, MAX_DAYS, BatchOrder
from engine.stock.outlook import PRESETS, Choices, Preset
from portal.forms import MISSING, AmountField, ChoiceField, CommandForm, SwitchField, TextField, WholeField

KINDS = [("calling", "Calling cards"), ("voucher", "Recharge vouchers")]
VALIDITY_FROM = [("first_use", "the first use"), ("generation", "the day they are made")]
FIRST_USE = [("authentication", "the first right password"), ("answered_call", "the first answered call")]
BINDINGS = [
    ("none", "None: any phone"),
    ("single", "One registered phone"),
    ("multi", "Several registered phones"),
]
RELEASES = [("generation", "At once, when the batch is ready"), ("activation", "When they are activated")]
GROUPS = (
    ("Numbers and passwords", "number_length number_prefix range_first range_last luhn password_length"),
    ("Validity", "validity_days validity_from first_use grace_days extension_days"),
    ("Phones and calls", "binding max_bound auto_bind pinless concurrency destination_rules language"),
    ("Fees", "post_call_fee maintenance_fee maintenance_days"),
    ("Selling", "release reseller currency name"),
)
"""What stands behind a click: a title, and the names of fields."""
FIRST = ("kind", "region", "count", "denomination", "deck")
"""What everybody fills in."""


class NameField(TextField):
    """A name as it was typed: what cannot be seen is not dropped but refused, by the engine, with its code point."""

    def process_formdata(self, valuelist: list[Any]) -> None:
        typed = valuelist[0] if valuelist else ""
        shown = "".join(sign for sign in typed if unicodedata.category(sign) not in ("Cc", "Cs"))
        self.data = shown.strip(" ") or None


class RulesForm(CommandForm):
    """What a batch is told whether its cards are made or come from elsewhere."""

    kind = ChoiceField("Kind", choices=KINDS, default="calling")
    name = NameField(
        "Name",
        required=False,
        most=100,
        description="Left empty, it is called as proposed: region, face value, month.",
    )
    deck = ChoiceField(
        "Rate deck", description="What their calls cost, and their currency. Vouchers need none.", choices=[]
    )
    currency = TextField(
        "Currency", required=False, most=3, description="Three letters, such as USD. Empty: the deck's."
    )
    validity_days = WholeField(
        "Days of validity",
        least=1,
        most=MAX_DAYS,
        required=False,
        default=90,
        description="Empty: without end.",
    )
    validity_from = ChoiceField("Counted from", choices=VALIDITY_FROM, default="first_use")
    first_use = ChoiceField("What is the first use", choices=FIRST_USE, default="authentication")
    grace_days = WholeField(
        "Days of grace",
        most=MAX_DAYS,
        default=0,
        description="After expiry, for asking the balance and being revived; no calls.",
    )
    extension_days = WholeField(
        "Days that a recharge adds",
        least=1,
        most=MAX_DAYS,
        required=False,
        description="To an expired card. Empty: an expired card takes no recharge.",
    )
    binding = ChoiceField("Registered phones", choices=BINDINGS, default="none")
    max_bound = WholeField("How many phones", most=100, default=0, description="Where it is several.")
    auto_bind = SwitchField("The first phones register themselves", default=True)
    pinless = SwitchField("A registered phone needs no number and password")
    concurrency = WholeField("Calls at a time", least=1, most=1000, default=1)
    destination_rules = ChoiceField("Where they may call", choices=[], default="Standard")
    post_call_fee = AmountField("Fee for each answered call", default=0)
    maintenance_fee = AmountField("Maintenance fee", default=0)
    maintenance_days = WholeField(
        "Taken every … days", least=1, most=MAX_DAYS, required=False, description="After the first use."
    )
    language = TextField(
        "Language of the voice", most=20, default="en", description="Such as en, fr or pt-BR."
    )
    reseller = ChoiceField("For the reseller", choices=[])
    release = ChoiceField(
        "Can be used",
        choices=RELEASES,
        default="generation",
        description="Cards that wait for their activation are worthless to a thief.",
    )

    def offer(self, choices: Choices) -> None:
        """Fill the lists with what there is."""
        self.deck.choices = [
            ("", "None"),
            *((name, f"{name} ({currency})") for name, currency in choices.decks),
        ]
        self.destination_rules.choices = [(name, name) for name in choices.rules]
        self.reseller.choices = [("", "None, it is our stock"), *((name, name) for name in choices.resellers)]
        self._currencies = dict(choices.decks)

    def rules(self) -> dict[str, Any]:
        """What the fields say, as `BatchOrder` calls it."""
        given = {field.name: self[field.name].data for field in fields(BatchOrder) if field.name in self}
        given["currency"] = given["currency"] or self._currencies.get(given["deck"] or "", "")
        # Where it doesn't count, what stands there is nobody's intention.
        given["max_bound"] = given["max_bound"] if given["binding"] == "multi" else 0
        return given

    def validate(self, extra_validators: Any = None) -> bool:
        """What the fields say by themselves, and that a currency is known."""
        valid = bool(super().validate(extra_validators))
        if not self.deck.data and not self.currency.data:
            self.currency.errors = [MISSING]
            return False
        return valid


class BatchForm(RulesForm):
    """An order of cards that are to be made."""

    region = NameField(
        "Region", required=False, most=50, description="Where they will be sold: a part of the proposed name."
    )
    count = WholeField("Number of cards", least=1, most=MAX_COUNT)
    denomination = AmountField(
        "Face value", description="What each card begins with, in the deck's currency."
    )
    number_length = WholeField(
        "Digits of a card number",
        least=4,
        most=32,
        default=12,
        description="Prefix and check digit included.",
    )
    number_prefix = TextField("Numbers begin with", required=False, most=31)
    range_first = TextField(
        "Lowest number", required=False, most=32, description="Only where the numbers are prescribed."
    )
    range_last = TextField("Highest number", required=False, most=32)
    luhn = SwitchField("The last digit is a check digit (Luhn)")
    password_length = WholeField("Digits of a password", least=4, most=18, default=8)

    def order(self, name: str) -> BatchOrder:
        """The order; `name` where none was typed."""
        given = self.rules()
        given["name"] = given["name"] or name
        given["number_prefix"] = given["number_prefix"] or ""
        return BatchOrder(**given)

    def fill(self, values: dict[str, Any]) -> None:
        """Put values into fields, over what was typed there."""
        for name, value in values.items():
            field = self[name]
            field.data, field.raw_data, field.errors = value, None, []

    def apply(self, preset: str) -> Preset | None:
        """Fill in what is usual for a face value; None where there is no such preset."""
        found = next((one for one in PRESETS if one.name == preset), None)
        self.fill(dict(found.changes) if found else {})
        return found


def values_of(order: BatchOrder) -> dict[str, Any]:
    """An order as the values of its form, without its name."""
    return {name: value for name, value in asdict(order).items() if name != "name"}


def in_words(number: int) -> str:
    """A large number as people say it: `9 million million`."""
    millions = 0
    while number >= 1_000_000 and millions < 6:
        number, millions = number // 1_000_000, millions + 1
    return " ".join([f"{number:,}", *["million"] * millions])


def label_of(form: CommandForm, name: str) -> Markup | str:
    """What a field is called on the page."""
    return str(form[name].label.text) if name in form else name.replace("_", " ")
