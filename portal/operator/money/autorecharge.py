"""Rules of auto-recharge: who, under which balance, how much, from which account, and the cards enrolled in each."""

from __future__ import annotations

import re
from datetime import datetime

from flask import url_for
from flask.typing import ResponseReturnValue
from wtforms import TextAreaField

from engine.cards.search import CardFilter
from engine.cards.serials import card_id_of, serial_of
from engine.errors import InvalidInput, NotFound
from engine.funds import accountviews, autorules, autoviews
from engine.funds.autorules import Enrolled, RuleView
from engine.funds.autoviews import Doing
from engine.money import format_money
from engine.reports.moneyfilter import scope_of
from portal import arguments
from portal.formats import count
from portal.forms import AmountField, ChoiceField, CommandForm, ReasonField, TextField
from portal.installation import db, now, operators_zone
from portal.operator.act import Ask, act
from portal.operator.console import actor, console, needs
from portal.respond import respond

BOTH = ["GET", "POST"]
LIST = "/settings/auto-recharge"
ONE = LIST + "/<int(max=9223372036854775807):rule_id>"
KEPT = "It is kept for good. You may leave it out."
UNDER = "A card is recharged when a call or a fee takes its balance under this. One that is under it already waits."


_NAME = TextField("Name", most=100)


class _Terms(CommandForm):
    """When, how much, from where."""

    account_id = ChoiceField("Paid from", description="A funding account; its currency is the rule’s.")
    threshold = AmountField("When the balance falls under", positive=True, description=UNDER)
    amount = AmountField("Recharge it by", positive=True)
    day_limit = AmountField("At most a card and day", required=False, positive=True)
    month_limit = AmountField("At most a card and month", required=False, positive=True)


class WhoForm(CommandForm):
    """Whom a rule enrols by itself."""

    batch = TextField("All cards of batch", required=False)
    reseller = TextField(
        "All cards of reseller",
        required=False,
        description="Cards that fit are enrolled within minutes, new ones too. Leave both empty to enrol by hand.",
    )
    reason = ReasonField(required=False, description=KEPT)


class ChangeForm(_Terms):
    """What can be changed."""

    reason = WhoForm.reason


class AddForm(_Terms):
    """A new rule."""

    name = _NAME
    batch = WhoForm.batch
    reseller = WhoForm.reseller
    reason = WhoForm.reason


class CardsForm(CommandForm):
    """Which cards."""

    serials = TextAreaField(
        "Serials, one a line",
        render_kw={"rows": 5, "autocomplete": "off", "spellcheck": "false", "inputmode": "numeric"},
    )
    batch = TextField("Or all cards of batch", required=False)
    reseller = TextField("Or all cards of reseller", required=False)
    reason = ReasonField(required=False, description=KEPT)


class WhyForm(CommandForm):
    """Only why."""

    reason = ReasonField(required=False, description=KEPT)


@console.get(LIST)
@needs("money.see")
def auto_recharge() -> ResponseReturnValue:
    """The rules, those in force first, with what each did this month."""
    return respond(
        "operator/money/auto_rules.html",
        rules=autorules.list_rules(db()),
        doings=autoviews.doings(db(), _month()),
        nothing=Doing(0, 0, 0, 0),
        funded=bool(accountviews.list_accounts(db(), kind="funding")),
    )


def _month() -> datetime:
    """The first instant of this month in the operator's zone, in which a rule's month is counted."""
    local = now().astimezone(operators_zone())
    return local.replace(day=1, hour=0, minute=0, second=0, microsecond=0)


@console.get(ONE)
@needs("money.see")
def auto_rule(rule_id: int) -> ResponseReturnValue:
    """One rule and the cards enrolled in it."""
    after = arguments.key("after")
    cards, more = autoviews.members(db(), rule_id, after=after)
    return respond(
        "operator/money/auto_rule.html",
        rule=autorules.find_rule(db(), rule_id),
        doing=autoviews.doings(db(), _month()).get(rule_id, Doing(0, 0, 0, 0)),
        cards=[(serial_of(card), since) for card, since in cards],
        more=url_for("operator.auto_rule", rule_id=rule_id, after=more) if more else None,
        later_page=after is not None,
        filter=_filter_texts(rule_id),
    )


def _filter_texts(rule_id: int) -> list[str]:
    """Whom a rule enrols by itself, in words."""
    f = autorules.find_rule(db(), rule_id).card_filter
    return [] if f is None else autoviews.filter_words(db(), f)


def _accounts() -> list[tuple[str, str]]:
    found = accountviews.list_accounts(db(), kind="funding")
    return [(str(one.id), f"{one.name} ({format_money(one.balance, one.currency)})") for one in found]


def _filter(form: WhoForm | AddForm | CardsForm) -> CardFilter | None:
    texts = {"batch": form.batch.data or "", "reseller": form.reseller.data or ""}
    try:
        f = CardFilter(**scope_of(db(), texts))
    except NotFound as error:  # at its field, not as a page of its own
        raise InvalidInput(error.code, **error.data) from None
    return None if f == CardFilter() else f


@console.route(LIST + "/new", methods=BOTH)
@needs("auto_recharge.add")
def auto_add() -> ResponseReturnValue:
    """Add a rule."""
    form = AddForm()
    form.account_id.choices = _accounts()
    return act(
        form,
        lambda: autorules.add_rule(
            db(),
            name=form.name.data or "",
            threshold=form.threshold.data,
            amount=form.amount.data,
            account_id=int(form.account_id.data or 0),
            day_limit=form.day_limit.data,
            month_limit=form.month_limit.data,
            card_filter=_filter(form),
            reason=form.reason.data,
            actor=actor(),
            now=now(),
        ),
        Ask("Add an auto-recharge rule", "Add it", url_for("operator.auto_recharge")),
        done=_added,
        fields={"account": "account_id", "filter": "batch"},
    )


def _added(rule: RuleView) -> str:
    next_ = "its cards are enrolled within minutes." if rule.card_filter else "next, enrol cards on its page."
    return f"{rule.name} is in force; {next_}"


def _ask(rule: RuleView, title: str, submit: str, intro: str = "", tone: str = "") -> Ask:
    return Ask(f"{title} {rule.name}", submit, url_for("operator.auto_rule", rule_id=rule.id), intro, tone)


@console.route(ONE + "/change", methods=BOTH)
@needs("auto_recharge.change")
def auto_change(rule_id: int) -> ResponseReturnValue:
    """Other amounts, limits, account."""
    rule = autorules.find_rule(db(), rule_id)
    names = ("threshold", "amount", "day_limit", "month_limit")
    form = ChangeForm(
        data={**{name: getattr(rule, name) for name in names}, "account_id": str(rule.account_id)}
    )
    form.account_id.choices = _accounts()
    return act(
        form,
        lambda: autorules.change_rule(
            db(),
            rule_id=rule_id,
            threshold=form.threshold.data,
            amount=form.amount.data,
            account_id=int(form.account_id.data or 0),
            day_limit=form.day_limit.data,
            month_limit=form.month_limit.data,
            reason=form.reason.data,
            actor=actor(),
            now=now(),
        ),
        _ask(rule, "Change", "Save"),
        done="The rule is changed.",
        fields={"account": "account_id"},
    )


@console.route(ONE + "/who", methods=BOTH)
@needs("auto_recharge.change")
def auto_who(rule_id: int) -> ResponseReturnValue:
    """Whom it enrols by itself."""
    rule, form = autorules.find_rule(db(), rule_id), WhoForm()
    return act(
        form,
        lambda: autorules.change_rule(
            db(),
            rule_id=rule_id,
            card_filter=_filter(form),
            reason=form.reason.data,
            actor=actor(),
            now=now(),
        ),
        _ask(
            rule,
            "Whom to enrol by itself:",
            "Save",
            "Cards that are enrolled stay so until they are withdrawn.",
        ),
        done="Saved. Cards that fit are enrolled within minutes.",
        fields={"filter": "batch"},
    )


@console.route(ONE + "/disable", methods=BOTH)
@needs("auto_recharge.change")
def auto_disable(rule_id: int) -> ResponseReturnValue:
    """Let it recharge nobody."""
    return _switched(rule_id, True)


@console.route(ONE + "/enable", methods=BOTH)
@needs("auto_recharge.change")
def auto_enable(rule_id: int) -> ResponseReturnValue:
    """Let it count again."""
    return _switched(rule_id, False)


def _switched(rule_id: int, disabled: bool) -> ResponseReturnValue:
    rule, form = autorules.find_rule(db(), rule_id), WhyForm()
    word = "Disable" if disabled else "Enable"
    way, back = ("auto_enable", "Enable it again") if disabled else ("auto_disable", "Disable it again")
    return act(
        form,
        lambda: autorules.change_rule(
            db(), rule_id=rule_id, disabled=disabled, reason=form.reason.data, actor=actor(), now=now()
        ),
        _ask(rule, word, word, "Its cards stay enrolled.", "bad" if disabled else ""),
        done="The rule recharges nobody any more." if disabled else "The rule is in force again.",
        undo=(url_for(f"operator.{way}", rule_id=rule_id), back),
    )


@console.route(ONE + "/enrol", methods=BOTH)
@needs("auto_recharge.enrol")
def auto_enrol(rule_id: int) -> ResponseReturnValue:
    """Enrol cards of a list, a batch or a reseller."""
    rule, form = autorules.find_rule(db(), rule_id), CardsForm()
    return act(
        form,
        lambda: autorules.enrol(
            db(), rule_id=rule_id, card_ids=_cards(form), reason=form.reason.data, actor=actor(), now=now()
        ),
        _ask(rule, "Enrol cards in", "Enrol", f"At most {count(autorules.MOST_CARDS)} at once."),
        done=lambda made: _told(made, "enrolled", "were so already, or may not be"),
        fields={"filter": "serials", "cards": "serials"},
    )


@console.route(ONE + "/withdraw", methods=BOTH)
@needs("auto_recharge.withdraw")
def auto_withdraw(rule_id: int) -> ResponseReturnValue:
    """Take cards off."""
    rule, form = autorules.find_rule(db(), rule_id), CardsForm()
    note = (
        "It enrols the cards that fit its filter again: change whom it enrols first."
        if rule.card_filter
        else ""
    )
    return act(
        form,
        lambda: autorules.withdraw(
            db(), rule_id=rule_id, card_ids=_cards(form), reason=form.reason.data, actor=actor(), now=now()
        ),
        _ask(rule, "Take cards off", "Withdraw", note),
        done=lambda made: _told(made, "withdrawn", "were not enrolled"),
        fields={"filter": "serials", "cards": "serials"},
    )


def _cards(form: CardsForm) -> list[int]:
    listed = [text for text in re.split(r"[\s,;]+", form.serials.data or "") if text]
    if listed:
        try:
            return [card_id_of(text) for text in listed]
        except InvalidInput as error:
            raise InvalidInput(error.code, **{**error.data, "field": "serials"}) from None
    return autoviews.fitting(db(), _filter(form) or CardFilter(), now())


def _told(made: Enrolled, done: str, left: str) -> str:
    rest = f" {count(made.left)} {left}." if made.left else ""
    return f"{count(made.changed)} card{'' if made.changed == 1 else 's'} {done}.{rest}"
