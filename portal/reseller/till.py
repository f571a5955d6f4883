"""The till: a serial is scanned or typed, its card is shown, and one button does what is wanted.

A keyboard scanner types a serial and sends it. Serials are public, so they may stand in an address; what is typed may
be a card number and is posted. What changes something is posted too, once for the key of its form, and the box is empty
for the next card afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from flask import abort, request, url_for
from flask.typing import ResponseReturnValue
from wtforms import HiddenField

from engine.errors import InvalidInput, NotFound
from engine.funds.accountviews import list_accounts
from engine.stock import resale
from engine.stock.custody import Range
from engine.stock.deskviews import card_at_till, scanned
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
    """The box for the next serial, and the card of the one in the address."""
    return _page(CardForm(formdata=None), typed("serial"))


@desk.post("/look")
@needs("desk.see")
def till_look() -> ResponseReturnValue:
    """Show the card of what was typed or scanned; what is no serial gets into no address."""
    try:
        serial = scanned(printable(request.form.get("serial")) or "")
    except InvalidInput as error:
        return _page(CardForm(formdata=None), "", status=422, wrong=sentence(error))
    return go_to(url_for("reseller.till", serial=serial))


@desk.post("")
@needs("stock.sell")
def till_post() -> ResponseReturnValue:
    """Activate, sell or return one card."""
    form = CardForm()
    if form.act.data not in _COMMANDS:
        abort(400)
    serial = scanned(form.serial.data or "")
    form.status = 409
    answers = tried(form, lambda: do(form.act.data, Range.of_serials(serial), form.key.data))
    if answers is None:
        return _page(form, serial, status=form.status)
    tell(form.act.data, answers, serial)
    return go_to(url_for("reseller.till"))


def do(act: str, cards: Range, key: str, undoes: Sequence[int] | None = None) -> tuple[Resold, ...]:
    """What a till does to cards, once for the key of its form; raises as the commands of `engine.stock.resale` do.

    `undoes`: of a return, the documents of the press that it takes back.
    """
    more = {} if undoes is None else {"undoes": undoes}
    answer = _COMMANDS[act](db(), cards, actor(), now(), key=key, **more)
    return answer if isinstance(answer, tuple) else (answer,)


def tell(act: str, answers: Sequence[Resold], first: str, last: str | None = None) -> None:
    """Say on the next page what an act did to a card or a range, and offer to take back what it charged."""
    text, kind = words.done(act, answers, words.grouped(first) if last is None else None)
    undoes = words.undoes(answers)
    link = undoes and url_for(
        "reseller.range_of_cards", do="return", first=first, last=last or first, undoes=undoes
    )
    said(text, kind=kind, link=link, link_text="Undo" if link else None)


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


def _page(form: CardForm, serial: str, status: int = 200, wrong: str | None = None) -> ResponseReturnValue:
    card = None
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
        accounts=list_accounts(db(), reseller_id=shop().reseller_id),
        moves=words.at_once(moves_of(db(), shop().reseller_id, limit=2 * _LAST).moves)[:_LAST],
        words=words,
    )
