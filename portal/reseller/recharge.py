"""Money onto a customer's card from the own credit: serial and amount, a look at what it brings and costs, then yes."""

from __future__ import annotations

from flask import request, url_for
from flask.typing import ResponseReturnValue

from engine.cards.serials import card_id_of
from engine.funds.recharges import Recharged
from engine.stock import resale
from engine.stock.deskviews import RechargeAhead, look_recharge, scanned
from portal.forms import AmountField, TextField
from portal.installation import db, now
from portal.notices import said
from portal.reseller import words
from portal.reseller.door import actor, desk, needs, shop
from portal.reseller.till import TillForm, tried, typed
from portal.respond import go_to, respond


class RechargeForm(TillForm):
    """Which card gets how much."""

    serial = TextField("Serial of the card", most=40)
    amount = AmountField("Amount", positive=True)

    @property
    def asked(self) -> str:
        """All that decides what is done, as one text: whether it is still what was looked at."""
        return f"{self.serial.data}|{self.amount.data}"


@desk.get("/recharge")
@needs("stock.recharge")
def recharge() -> ResponseReturnValue:
    """The form, with the card of the address."""
    return _page(RechargeForm(formdata=None, data={"serial": typed("serial")}))


@desk.post("/recharge")
@needs("stock.recharge")
def recharge_post() -> ResponseReturnValue:
    """`step` is `look`, or `do` for what was looked at."""
    form = RechargeForm()
    if not form.validate():
        return _page(form)
    if request.form.get("step") != "do" or request.form.get("seen") != form.asked:
        return _page(form, tried(form, lambda: _look(form)))
    done = tried(form, lambda: _do(form))
    if done is None:
        return _page(form)
    said(_told(done))
    return go_to(url_for("reseller.till"))


def _look(form: RechargeForm) -> RechargeAhead:
    return look_recharge(db(), scanned(form.serial.data or ""), form.amount.data, shop().reseller_id, now())


def _do(form: RechargeForm) -> Recharged:
    return resale.recharge(
        db(),
        card_id=card_id_of(scanned(form.serial.data or "")),
        amount=form.amount.data,
        key=form.key.data,
        actor=actor(),
        now=now(),
    )


def _told(done: Recharged) -> str:
    told = f"{words.money(done.amount, done.currency)} put on {words.grouped(done.serial)}"
    if done.bonus:
        told += f", and {words.money(done.bonus, done.currency)} on top"
    told += f". It has {words.money(done.balance_now, done.currency)} now."
    return f"{told} It was sent twice, and counted once." if done.repeated else told


def _page(form: RechargeForm, ahead: RechargeAhead | None = None) -> ResponseReturnValue:
    return respond(
        "reseller/recharge.html",
        status=form.status if form.refused else 200,
        form=form,
        ahead=ahead,
        words=words,
    )
