"""The accounts that recharges and stock are paid from: the operator's funding accounts, resellers' credit."""

from __future__ import annotations

from flask import url_for
from flask.typing import ResponseReturnValue

from engine.funds import accounts, accountviews
from engine.funds.accounts import Moved
from engine.funds.accountviews import AccountView
from engine.money import format_money
from engine.people.resellers import list_resellers
from portal import arguments
from portal.forms import AmountField, ChoiceField, CommandForm, ReasonField, TextField
from portal.installation import db, now
from portal.operator.act import Ask, act
from portal.operator.console import actor, console, needs
from portal.operator.money.words import ACCOUNT_KINDS
from portal.respond import respond

BOTH = ["GET", "POST"]
ONE = "/money/accounts/<int(max=9223372036854775807):account_id>"
KEPT = "It is kept for good."


class OpenForm(CommandForm):
    """A new account."""

    name = TextField("Name", most=100)
    kind = ChoiceField("Kind", choices=list(ACCOUNT_KINDS.items()), default="funding")
    reseller_id = ChoiceField("Reseller", description="Whose credit it is; a funding account has none.")
    currency = TextField("Currency", most=3, render_kw={"placeholder": "USD", "autocomplete": "off"})
    credit_limit = AmountField(
        "Credit limit", default=0, description="How far it may go below zero; 0.00 means prepaid."
    )
    reason = ReasonField(required=False, description=KEPT)


class ChangeForm(CommandForm):
    """Its name and its credit."""

    name = TextField("Name", most=100)
    credit_limit = AmountField("Credit limit", description="How far it may go below zero.")
    reason = ReasonField(required=False, description=KEPT)


class DepositForm(CommandForm):
    """Money that came in."""

    amount = AmountField("Amount", positive=True)
    reason = ReasonField(required=False, description="Such as the number of the bank’s note. " + KEPT)


class AdjustForm(CommandForm):
    """A correction, up or down."""

    amount = AmountField("Correction", negative=True, description="Such as 20.00, or -5.00 to take some off.")
    reason = ReasonField(description=KEPT)


class WhyForm(CommandForm):
    """Only why."""

    reason = ReasonField(required=False, description=KEPT)


@console.get("/money/accounts")
@needs("money.see")
def account_list() -> ResponseReturnValue:
    """All accounts by name; closed ones where they are wanted."""
    closed = arguments.flag("closed")
    kind = arguments.choice("kind", tuple(ACCOUNT_KINDS))
    return respond(
        "operator/money/accounts.html",
        accounts=accountviews.list_accounts(db(), kind=kind, closed=closed),
        closed=closed,
        kind=kind,
    )


@console.get(ONE)
@needs("money.see")
def account(account_id: int) -> ResponseReturnValue:
    """One account with its entries, newest first."""
    before = arguments.key("before")
    page = accountviews.account_page(db(), account_id, before=before)
    older = url_for("operator.account", account_id=account_id, before=page.older) if page.older else None
    return respond("operator/money/account.html", page=page, older=older, later_page=before is not None)


@console.route("/money/accounts/new", methods=BOTH)
@needs("account.open")
def account_open() -> ResponseReturnValue:
    """Open an account."""
    known = [(str(one.id), one.name) for one in list_resellers(db()) if one.disabled_at is None]
    whose = arguments.words("reseller")
    of_reseller = {"reseller_id": whose, "kind": "reseller", "name": dict(known).get(whose or "")}
    form = OpenForm(data=of_reseller if whose in dict(known) else None)
    form.reseller_id.choices = [("", "None"), *known]
    return act(
        form,
        lambda: accounts.open_account(
            db(),
            name=form.name.data or "",
            kind=form.kind.data or "",
            currency=(form.currency.data or "").upper(),
            reseller_id=int(form.reseller_id.data) if form.reseller_id.data else None,
            credit_limit=form.credit_limit.data,
            key=form.key.data,
            reason=form.reason.data,
            actor=actor(),
            now=now(),
        ),
        Ask("Open an account", "Open it", url_for("operator.account_list")),
        done=lambda made: f"{made.name} is open. Next: deposit what was paid in.",
        fields={"reseller": "reseller_id"},
    )


def _ask(one: AccountView, title: str, submit: str, tone: str = "") -> Ask:
    has = f"It has {format_money(one.balance, one.currency)}"
    credit = (
        f" and a credit limit of {format_money(one.credit_limit, one.currency)}" if one.credit_limit else ""
    )
    back = url_for("operator.account", account_id=one.id)
    return Ask(f"{title} {one.name}", submit, back, f"{has}{credit}.", tone)


def _the(account_id: int) -> AccountView:
    return accountviews.account_page(db(), account_id).account


@console.route(ONE + "/change", methods=BOTH)
@needs("account.change")
def account_change(account_id: int) -> ResponseReturnValue:
    """Another name, another credit limit."""
    one = _the(account_id)
    form = ChangeForm(data={"name": one.name, "credit_limit": one.credit_limit})
    return act(
        form,
        lambda: accounts.change_account(
            db(),
            account_id=account_id,
            name=form.name.data,
            credit_limit=form.credit_limit.data,
            reason=form.reason.data,
            actor=actor(),
            now=now(),
        ),
        _ask(one, "Change", "Save"),
        done="The account is changed.",
    )


@console.route(ONE + "/close", methods=BOTH)
@needs("account.change")
def account_close(account_id: int) -> ResponseReturnValue:
    """Close it for good; it must be empty and in no use."""
    one, form = _the(account_id), WhyForm()
    return act(
        form,
        lambda: accounts.change_account(
            db(), account_id=account_id, close=True, reason=form.reason.data, actor=actor(), now=now()
        ),
        _ask(one, "Close for good:", "Close it", "bad"),
        done="The account is closed for good. Its entries stay.",
    )


@console.route(ONE + "/deposit", methods=BOTH)
@needs("account.deposit")
def account_deposit(account_id: int) -> ResponseReturnValue:
    """Money came in."""
    one, form = _the(account_id), DepositForm()
    return act(
        form,
        lambda: accounts.deposit(
            db(),
            account_id=account_id,
            amount=form.amount.data,
            key=form.key.data,
            reason=form.reason.data,
            actor=actor(),
            now=now(),
        ),
        _ask(one, "Deposit into", "Deposit"),
        done=_moved,
    )


@console.route(ONE + "/adjust", methods=BOTH)
@needs("account.adjust")
def account_adjust(account_id: int) -> ResponseReturnValue:
    """Correct it, up or down."""
    one, form = _the(account_id), AdjustForm()
    return act(
        form,
        lambda: accounts.adjust_account(
            db(),
            account_id=account_id,
            amount=form.amount.data,
            reason=form.reason.data or "",
            key=form.key.data,
            actor=actor(),
            now=now(),
        ),
        _ask(one, "Correct", "Correct it"),
        done=_moved,
    )


def _moved(done: Moved) -> str:
    before = "This was done before: " if done.repeated else ""
    way = "went into" if done.amount > 0 else "was taken off"
    return (
        f"{before}{format_money(abs(done.amount), done.currency)} {way} "
        f"{done.name}; it has {format_money(done.balance_now, done.currency)}."
    )
