"""Bonus rules: what a recharge brings on top. Never changed, only disabled, so that payments stay explained."""

from __future__ import annotations

from flask import request, url_for
from flask.typing import ResponseReturnValue
from wtforms import ValidationError

from engine.funds import bonus
from engine.funds.bonus import RuleView
from engine.money import MICROS, AmountError, parse_amount
from engine.reports.currencies import currencies
from portal.forms import (
    AmountField,
    ChoiceField,
    CommandForm,
    InstantField,
    ManyField,
    ReasonField,
    SwitchField,
    TextField,
)
from portal.installation import db, now
from portal.operator.act import Ask, act
from portal.operator.console import actor, console, needs
from portal.operator.money.words import METHODS
from portal.respond import respond

RULE = "/settings/bonus/<int(max=9223372036854775807):bonus_id>"
_POINT = MICROS // 100
"""A hundredth of a percent, as `AmountField` reads percentages."""
EXAMPLE = 10 * MICROS


class AddForm(CommandForm):
    """A new rule."""

    name = TextField("Name", most=100, description="As it is told with the payment, such as Ramadan 10.")
    currency = ChoiceField("Currency")
    percent = AmountField("Percent of the amount", default=0, description="Such as 10 or 2.5.")
    fixed = AmountField("And a fixed amount", default=0)
    least = AmountField("For recharges of at least", default=0)
    methods = ManyField("Counts for", choices=list(METHODS.items()), default=list(METHODS))
    first_only = SwitchField("Only a card’s first recharge")
    starts_at = InstantField("From", required=False, description="Left empty: from now on.")
    ends_at = InstantField("Until", required=False, description="Left empty: until it is disabled.")
    reason = ReasonField(required=False, description="It is kept for good. You may leave it out.")

    def validate_percent(self, field: AmountField) -> None:
        """At most two decimals: a rule counts in hundredths of a percent."""
        if field.data is not None and field.data % _POINT:
            raise ValidationError("At most two decimals.")


class DisableForm(CommandForm):
    """Only why."""

    reason = ReasonField(required=False, description="It is kept for good. You may leave it out.")


@console.get("/settings/bonus")
@needs("money.see")
def bonus_rules() -> ResponseReturnValue:
    """The rules, and what a recharge gets by them now."""
    rules = bonus.list_rules(db())
    typed = request.args.get("amount", "").strip()[:40] or "10.00"
    amount, wrong = _amount(typed)
    used = [one.currency for one in currencies(db())]
    examples = [
        (currency, *(part for first in (False, True) for part in _gift(rules, currency, amount, first)))
        for currency in used
    ]
    return respond(
        "operator/money/bonus.html",
        block="example",
        status=422 if wrong else 200,
        rules=rules,
        typed=typed,
        amount=amount,
        wrong=wrong,
        examples=[] if wrong else examples,
        now=now(),
        methods=METHODS,
    )


def _gift(rules: list[RuleView], currency: str, amount: int, first: bool) -> tuple[int, RuleView | None]:
    return bonus.would_give(rules, currency, amount, "operator", now(), first=first)


def _amount(text: str) -> tuple[int, str | None]:
    try:
        return parse_amount(text), None
    except AmountError:
        return EXAMPLE, "Type an amount, such as 10.00."


@console.route("/settings/bonus/new", methods=["GET", "POST"])
@needs("bonus_rule.add")
def bonus_add() -> ResponseReturnValue:
    """Add a rule."""
    form = AddForm()
    form.currency.choices = [(one.currency, one.currency) for one in currencies(db())]
    return act(
        form,
        lambda: bonus.add_rule(
            db(),
            name=form.name.data or "",
            currency=form.currency.data or "",
            percent_bp=form.percent.data // _POINT,
            fixed=form.fixed.data,
            least=form.least.data,
            first_only=form.first_only.data,
            methods=form.methods.data or (),
            starts_at=form.starts_at.data,
            ends_at=form.ends_at.data,
            reason=form.reason.data,
            actor=actor(),
            now=now(),
        ),
        Ask(
            "Add a bonus rule",
            "Add it",
            url_for("operator.bonus_rules"),
            "Of several rules that hold, the one that gives the most counts, alone.",
        ),
        done=lambda made: f"{made.name} is added. Below is what a recharge gets now.",
        fields={"percent_bp": "percent"},
    )


@console.route(RULE + "/disable", methods=["GET", "POST"])
@needs("bonus_rule.disable")
def bonus_disable(bonus_id: int) -> ResponseReturnValue:
    """Let one count no more, for good."""
    rule, form = bonus.find_rule(db(), bonus_id), DisableForm()
    return act(
        form,
        lambda: bonus.disable_rule(db(), rule_id=bonus_id, reason=form.reason.data, actor=actor(), now=now()),
        Ask(
            f"Disable {rule.name}?",
            "Disable it",
            url_for("operator.bonus_rules"),
            "It counts no more, for good. What it gave stays.",
            "bad",
        ),
        done=f"{rule.name} counts no more.",
    )
