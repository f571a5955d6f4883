"""The till: a serial is scanned or typed, its card is shown, and one button does what is wanted.

A keyboard scanner types a serial and sends it. Serials are public, so they may stand in an address; what changes
something is posted, once for the key of its form, and the box is empty for the next card afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from flask import abort, request, url_for
from flask.typing import ResponseReturnValue
from wtforms import HiddenField

from engine.errors import InvalidInput, NotFound
from engine.funds.accountviews import list_accounts
from engine.stock import resale
from engine.stock.custody import Range
from engine.stock.deskviews import CardAtTill, card_at_till, scanned
from engine.stock.moves import Resold
from engine.stock.stockviews import moves_of
from portal.forms import CommandForm, attempt, printable
from portal.installation import db, now
from portal.notices import said
from portal.reseller import words
from portal.reseller.door import actor, desk, needs, shop
from portal.respond import go_to, respond
from portal.speech import sentence

T = TypeVar("T")
_COMMANDS: dict[str, Any] = {
    "both": resale.activate_and_sell,
    "activate": resale.activate,
    "sell": resale.sell,
    "return": resale.give_back,
}
_LAST = 5


class TillForm(CommandForm):
    """A form of the till. `status` is what it is answered with where it is refused."""

    status = 422


class CardForm(TillForm):
    """What is done with the card that is shown."""

    serial = HiddenField(filters=[printable])
    act = HiddenField(filters=[printable])


@desk.get("")
@needs("desk.see")
def till() -> ResponseReturnValue:
    """The box for the next serial, and the card of the one that was typed."""
    return _page(CardForm(formdata=None), typed("serial"))


@desk.post("")
@needs("stock.sell")
def till_post() -> ResponseReturnValue:
    """Activate, sell or return one card."""
    form = CardForm()
    if form.act.data not in _COMMANDS:
        abort(400)
    serial = scanned(form.serial.data or "")
    answers = attempt(form, lambda: do(form.act.data, Range.of_serials(serial), form.key.data))
    if answers is None:
        return _page(form, serial, status=409)
    text, kind = words.done(form.act.data, answers, words.grouped(serial))
    said(text, kind=kind)
    undo = serial if form.act.data != "return" and kind == "good" else None
    return go_to(url_for("reseller.till", undo=undo))


def do(act: str, cards: Range, key: str) -> tuple[Resold, ...]:
    """What a till does to cards, once for the key of its form; raises as the commands of `engine.stock.resale` do."""
    answer = _COMMANDS[act](db(), cards, actor(), now(), key=key)
    return answer if isinstance(answer, tuple) else (answer,)


def tried(form: TillForm, act: Callable[[], T], fields: Mapping[str, str] | None = None) -> T | None:
    """As `attempt`, but a serial that is not of the own stock is said in the form: somebody scanned the wrong card."""
    try:
        return attempt(form, act, fields)
    except NotFound as error:
        form.refusal, form.status = sentence(error), 404
        return None


def typed(name: str) -> str:
    """A serial in the address as scanners write it: what can't be seen is dropped."""
    return (printable(request.args.get(name)) or "").strip()[:64]


def _page(form: CardForm, serial: str, status: int = 200) -> ResponseReturnValue:
    card, wrong = None, None
    if serial:
        try:
            card = card_at_till(db(), serial, shop().reseller_id, now())
        except InvalidInput as error:
            wrong, status = sentence(error), 422
        except NotFound as error:
            wrong, status = f"{words.grouped(scanned(serial))}: {sentence(error)}", 404
    return respond(
        "reseller/till.html",
        status=status,
        form=form,
        card=card,
        wrong=wrong,
        undo=_to_undo(),
        accounts=list_accounts(db(), reseller_id=shop().reseller_id),
        moves=words.at_once(moves_of(db(), shop().reseller_id, limit=2 * _LAST).moves)[:_LAST],
        words=words,
    )


def _to_undo() -> CardAtTill | None:
    """The card that was just activated or sold, while it can be returned."""
    serial = typed("undo")
    if not serial:
        return None
    try:
        card = card_at_till(db(), serial, shop().reseller_id, now())
    except (InvalidInput, NotFound):
        return None
    return card if card.can("return") else None
