"""What is asked for each verb, and what is asked before an order counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from wtforms import Field, HiddenField, ValidationError

from engine import house
from engine.bulk import undo
from engine.bulk.orders import FINAL, FORMATS, MONEY, REASON_NEEDED, BulkOrder
from engine.bulk.runs import Expected
from engine.calls.decks import deck_list
from engine.calls.destinations import list_rules
from engine.cards.lifecycle import MOST_CALLS, MOST_DAYS
from engine.errors import InvalidInput
from engine.people.resellers import list_resellers
from engine.phone import parse_caller
from portal.formats import count
from portal.forms import (
    AmountField,
    ChoiceField,
    CommandForm,
    ReasonField,
    SwitchField,
    TextField,
    WholeField,
    printable,
)
from portal.installation import db, installation, now
from portal.operator.bulk.targets import TargetForm


class OrderForm(TargetForm):
    """An order of a verb that needs nothing but its cards; the others add fields."""

    own: tuple[str, ...] = ()
    """The fields that the verb adds, in their order."""
    listed = False
    """Whether its list has a caller for each card."""

    def offer(self) -> None:
        """Fill the lists to choose from."""

    def params(self) -> dict[str, Any]:
        """The parameters of the order."""
        return {}

    @property
    def asked(self) -> list[Field]:
        """What is to be filled in: the list where nothing says yet which cards, and the verb's own fields."""
        names = () if self.known else ("list", "file")
        return [self[name] for name in (*names, *self.own)]

    def order(self, verb: str, reason: str | None = None) -> BulkOrder:
        """The order. Raises what the engine says of its cards."""
        return BulkOrder(verb, self.targets(callers=self.listed), self.params(), reason)


class UndoForm(OrderForm):
    """An order that takes a run back: its cards and parameters are those of the run."""

    def params(self) -> dict[str, Any]:
        """What the cards had before."""
        return undo.params_of(db(), self.undoes or 0, self.before.data or None)


class _Extend(OrderForm):
    own = ("days",)
    days = WholeField("Days", least=1, most=MOST_DAYS, default=30)

    def params(self) -> dict[str, Any]:
        return {"days": self.days.data}


class _Recharge(OrderForm):
    own = ("amount", "bonus")
    amount = AmountField("Amount for each card", positive=True, description="In the currency of the cards.")
    bonus = AmountField(
        "Gift beside it", required=False, description="Kept apart in the books. You may leave it out."
    )

    def params(self) -> dict[str, Any]:
        return {"amount": self.amount.data, "bonus": self.bonus.data or 0}


class _Bind(OrderForm):
    own = ("pinless",)
    listed = True
    pinless = SwitchField("They call without number and password")

    def params(self) -> dict[str, Any]:
        return {"pinless": self.pinless.data}


class _Unbind(OrderForm):
    own = ("caller",)
    caller = TextField(
        "Phone to take off",
        required=False,
        most=30,
        render_kw={"inputmode": "tel", "autocomplete": "off"},
        description="The same for all cards. Leave it out where each line of a list has its own.",
    )

    @property
    def listed(self) -> bool:  # type: ignore[override]
        """Where no phone is given for all, each line has its own."""
        return not self.caller.data

    def params(self) -> dict[str, Any]:
        if not self.caller.data:
            return {}
        caller = parse_caller(self.caller.data, house.current(db()).settings.home_country or None)
        if caller is None:
            raise InvalidInput("bad_caller", field="caller", value=self.caller.data[:40])
        return {"caller": caller}


class _Deck(OrderForm):
    own = ("deck",)
    deck = ChoiceField("Rate deck")

    def offer(self) -> None:
        self.deck.choices = [
            ("", "Choose one"),
            *((deck.name, f"{deck.name} ({deck.currency})") for deck in deck_list(db(), now())),
        ]

    def validate_deck(self, field: Field) -> None:
        _chosen(field)

    def params(self) -> dict[str, Any]:
        return {"deck": self.deck.data}


class _Rules(OrderForm):
    own = ("rules",)
    rules = ChoiceField("Destination rules")

    def offer(self) -> None:
        self.rules.choices = [("", "Choose some"), *((rules.name, rules.name) for rules in list_rules(db()))]

    def validate_rules(self, field: Field) -> None:
        _chosen(field)

    def params(self) -> dict[str, Any]:
        return {"rules": self.rules.data}


class _Concurrency(OrderForm):
    own = ("calls",)
    calls = WholeField("Calls at a time", least=1, most=MOST_CALLS, default=1)

    def params(self) -> dict[str, Any]:
        return {"calls": self.calls.data}


class _Assign(OrderForm):
    own = ("reseller", "transfer")
    reseller = ChoiceField("To")
    transfer = SwitchField("Take them from other resellers, too")

    def offer(self) -> None:
        trading = [one for one in list_resellers(db()) if one.disabled_at is None]
        self.reseller.choices = [("", "Back to us"), *((str(one.id), one.name) for one in trading)]

    def params(self) -> dict[str, Any]:
        chosen = self.reseller.data
        return {"reseller_id": int(chosen) if chosen else None, "transfer": self.transfer.data}


class _Export(OrderForm):
    own = ("format",)
    format = ChoiceField(
        "Format",
        choices=[
            (name, label) for name, label in zip(FORMATS, ("CSV", "Text with tabs", "Excel"), strict=True)
        ],
        default=FORMATS[0],
    )

    def params(self) -> dict[str, Any]:
        return {"format": self.format.data, "folder": str(installation().config.home / "exports")}


def _chosen(field: Field) -> None:
    if not field.data:
        raise ValidationError("Choose one of the list.")


_FORMS: dict[str, Callable[..., OrderForm]] = {
    "extend": _Extend,
    "recharge": _Recharge,
    "bind": _Bind,
    "unbind": _Unbind,
    "change_deck": _Deck,
    "set_concurrency": _Concurrency,
    "change_rules": _Rules,
    "assign": _Assign,
    "export": _Export,
}


def order_form(verb: str, *, undoes: bool = False, **how: Any) -> OrderForm:
    """The form of a verb, its lists filled; `undoes`: of an order that takes a run back."""
    form = (UndoForm if undoes else _FORMS.get(verb, OrderForm))(**how)
    form.offer()
    return form


class SureForm(CommandForm):
    """The last step: why, and where money or finality is involved how many cards. `seen_*` is what was looked at."""

    seen_cards = HiddenField(filters=[printable])
    seen_amount = HiddenField(filters=[printable])
    seen_digest = HiddenField(filters=[printable])
    reason = ReasonField(
        required=False, most=500, description="It is kept with each card and in the audit trail."
    )
    count = WholeField("How many cards", least=0, most=10**9)

    @property
    def seen(self) -> Expected | None:
        """How many cards, what they move in micro-units and which they are, as it was looked at."""
        texts = (self.seen_cards.data or "", self.seen_amount.data or "")
        if not all(
            text.removeprefix("-").isdecimal() and text.isascii() and len(text) < 25 for text in texts
        ):
            return None
        return Expected(int(texts[0]), int(texts[1]), (self.seen_digest.data or "")[:64])

    def validate_count(self, field: Field) -> None:
        """It is the count that was looked at."""
        if self.seen is not None and field.data is not None and field.data != self.seen.cards:
            raise ValidationError(
                f"It is {count(self.seen.cards)} cards. Type that number, if you mean them all."
            )


def sure_form(verb: str, **how: Any) -> SureForm:
    """The last step of a verb."""
    form = SureForm(**how)
    form.reason.required = verb in REASON_NEEDED
    form.reason.flags.required = form.reason.required
    if verb not in MONEY and verb not in FINAL:
        del form.count
    return form
