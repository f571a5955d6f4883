"""A card's calls, and its recharges and fees: page by page, by days, and as files to keep."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from flask import Response, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext
from flask_wtf import FlaskForm

from engine.calls.ownlist import CallWish, OwnCall, live_now, own_calls, span_of, wish
from engine.errors import InvalidInput
from engine.funds.ownmoney import DIRECTIONS, MoneyWish, OwnEntry, own_money
from engine.money import format_amount
from portal import arguments, papers
from portal.cardholder import formats
from portal.cardholder.callwords import explained, movement
from portal.cardholder.door import holder, own_card
from portal.cardholder.papers import pdf
from portal.cardholder.words import sentence
from portal.forms import ChoiceField, DayField, TextField
from portal.installation import db, zone
from portal.respond import respond

FILE_PAGE = 500
"""Lines that are read at once for a file."""


class CallsForm(FlaskForm):
    """Which calls."""

    class Meta:
        csrf = False

    first = DayField(lazy_gettext("From"), required=False)
    last = DayField(lazy_gettext("To"), required=False)
    to = TextField(lazy_gettext("Number or country"), required=False, most=60)


class MoneyForm(FlaskForm):
    """Which movements."""

    class Meta:
        csrf = False

    first = DayField(lazy_gettext("From"), required=False)
    last = DayField(lazy_gettext("To"), required=False)
    way = ChoiceField(
        lazy_gettext("What"),
        choices=[
            ("", lazy_gettext("All")),
            ("in", lazy_gettext("Came onto the card")),
            ("out", lazy_gettext("Went from the card")),
        ],
    )


@holder.get("/calls")
def calls() -> ResponseReturnValue:
    """The calls of this card."""
    form = CallsForm(request.args)
    wanted = _wished(form, _call_wish) or CallWish()
    found = own_calls(
        db(),
        own_card().card_id,
        wanted,
        before=arguments.place("before"),
        after=arguments.place("after"),
    )
    return respond(
        "cardholder/calls.html",
        form=form,
        wanted=wanted,
        found=found,
        live=live_now(db(), own_card().card_id),
        newer=_page("calls", after=arguments.written_place(found.newer)),
        older=_page("calls", before=arguments.written_place(found.older)),
        files=_files("calls_file"),
    )


@holder.get("/money")
def money() -> ResponseReturnValue:
    """All else that came onto this card and went."""
    form = MoneyForm(request.args)
    wanted = _wished(form, _money_wish) or MoneyWish()
    found = own_money(
        db(), own_card().card_id, wanted, before=arguments.key("before"), after=arguments.key("after")
    )
    return respond(
        "cardholder/money.html",
        form=form,
        wanted=wanted,
        found=found,
        card=own_card(),
        newer=_page("money", after=found.newer),
        older=_page("money", before=found.older),
        files=_files("money_file"),
    )


@holder.get("/calls.<any(csv, pdf):kind>")
def calls_file(kind: str) -> ResponseReturnValue:
    """The same calls as a file."""
    wanted = _wished(CallsForm(request.args), _call_wish)
    if wanted is None:
        return _wrong("calls")
    heads = [_("When"), _("Number"), _("Where"), _("Talked"), _("Why"), _("Cost"), _("Balance after it")]
    if kind == "pdf":
        return pdf("calls", _("Calls"), heads, _limited(_every_call(wanted), _call_cells))
    return papers.csv("calls", [*heads, _("Currency")], map(_call_row, _every_call(wanted)))


@holder.get("/money.<any(csv, pdf):kind>")
def money_file(kind: str) -> ResponseReturnValue:
    """The same movements as a file."""
    wanted = _wished(MoneyForm(request.args), _money_wish)
    if wanted is None:
        return _wrong("money")
    heads = [_("When"), _("What"), _("Serial number"), _("Amount"), _("Balance after it")]
    currency = own_card().currency
    if kind == "pdf":
        return pdf(
            "money",
            _("Recharges and fees"),
            heads,
            _limited(_every_entry(wanted), lambda one: _entry_cells(one, currency)),
        )
    rows = (_entry_row(one, currency) for one in _every_entry(wanted))
    return papers.csv("money", [*heads, _("Currency")], rows)


# --- what is wanted ---


def _call_wish(form: Any) -> CallWish:
    return wish(_text(form.first.data), _text(form.last.data), form.to.data or "", zone())


def _money_wish(form: Any) -> MoneyWish:
    way = form.way.data if form.way.data in DIRECTIONS else None
    return MoneyWish(span_of("at", _text(form.first.data), _text(form.last.data), zone()), way)


def _text(day: Any) -> str:
    return "" if day is None else day.isoformat()


def _wished(form: FlaskForm, read: Callable[[Any], Any]) -> Any:
    """What a form asks for; None, with the error at its field, where it can't be meant."""
    if not form.validate():
        return None
    try:
        return read(form)
    except InvalidInput as error:
        form.last.errors = [*form.last.errors, sentence(error)]
        return None


def _asked() -> dict[str, str]:
    """The days and words of the address, without the place in the list."""
    names = ("first", "last", "to", "way")
    return {name: request.args[name] for name in names if request.args.get(name)}


def _page(name: str, **place: Any) -> str | None:
    return None if None in place.values() else url_for(f"cardholder.{name}", **_asked(), **place)


def _files(endpoint: str) -> dict[str, str]:
    return {kind: url_for(f"cardholder.{endpoint}", kind=kind, **_asked()) for kind in ("csv", "pdf")}


def _wrong(page: str) -> Response:
    """Back to the page, which says what is wrong with the days."""
    response = Response(status=303)
    response.location = url_for(f"cardholder.{page}", **_asked())
    return response


# --- files ---


def _every_call(wanted: CallWish) -> Iterator[OwnCall]:
    place, card_id = None, own_card().card_id
    while True:
        found = own_calls(db(), card_id, wanted, before=place, limit=FILE_PAGE)
        yield from found.calls
        place = found.older
        if place is None:
            return


def _every_entry(wanted: MoneyWish) -> Iterator[OwnEntry]:
    place, card_id = None, own_card().card_id
    while True:
        found = own_money(db(), card_id, wanted, before=place, limit=FILE_PAGE)
        yield from found.entries
        place = found.older
        if place is None:
            return


def _limited(lines: Iterator[Any], cells: Callable[[Any], list[str]]) -> list[list[str]]:
    """The lines of a PDF and one more where there are too many, which `pdf` says."""
    made = []
    for line in lines:
        made.append(cells(line))
        if len(made) > papers.MOST_LINES:
            break
    return made


def _call_cells(call: OwnCall) -> list[str]:
    return [
        formats.when(call.began_at),
        formats.in_one_piece(formats.phone(call.destination)),
        call.destination_name,
        formats.span(call.talked_s),
        " ".join(explained(call)),
        formats.money(call.charged, call.currency),
        formats.money(call.balance_after, call.currency),
    ]


def _call_row(call: OwnCall) -> list[str]:
    return [
        papers.instant(call.began_at),
        call.destination,
        call.destination_name,
        str(call.talked_s),
        " ".join(explained(call)),
        format_amount(call.charged, 2),
        format_amount(call.balance_after, 2),
        call.currency,
    ]


def _entry_cells(entry: OwnEntry, currency: str) -> list[str]:
    return [
        formats.when(entry.at),
        movement(entry),
        formats.in_one_piece(formats.grouped(entry.other or "")),
        formats.money(entry.amount, currency),
        formats.money(entry.balance_after, currency),
    ]


def _entry_row(entry: OwnEntry, currency: str) -> list[str]:
    return [
        papers.instant(entry.at),
        movement(entry),
        entry.other or "",
        format_amount(entry.amount, 2),
        format_amount(entry.balance_after, 2),
        currency,
    ]
