"""Prices of a deck, raised or lowered at once: what it would do, and the yes to it."""

from __future__ import annotations

from typing import Any

from flask import request, url_for
from flask.typing import ResponseReturnValue

from engine.calls.deckchange import ChangePreview, PriceChange, change_deck, preview_change
from engine.calls.deckpages import DeckPage
from engine.calls.destinations import list_groups
from engine.errors import EngineError
from portal.forms import attempt, place
from portal.installation import db, now
from portal.notices import said
from portal.operator.console import actor, console, needs
from portal.operator.rates.forms import ChangeForm, kept
from portal.operator.rates.parts import instant_text, the_deck
from portal.respond import go_to, respond

_FIELDS = {"effective_from": "day"}


@console.get("/rates/<int:deck_id>/change")
@needs("deck.change")
def change_prices(deck_id: int) -> ResponseReturnValue:
    """Ask by how much and which; show what it would do."""
    page, looked = the_deck(deck_id), "decimals" in request.args
    form = _form(request.args if looked else None)
    seen = _look(form, deck_id) if looked else None
    return _page(form, page, seen, 422 if form.errors or form.refusal else 200)


@console.post("/rates/<int:deck_id>/change")
@needs("deck.change")
def change_prices_post(deck_id: int) -> ResponseReturnValue:
    """Make the new version."""
    page, form = the_deck(deck_id), _form(request.form)
    if not form.validate() or not (form.base.data or "").isdecimal():
        return _page(form, page, None, 422)
    done = attempt(
        form,
        lambda: change_deck(
            db(),
            deck_id=deck_id,
            base_version=int(form.base.data or 0),
            change=_change(form),
            effective_from=form.begins,
            seen=form.seen.data or "",
            actor=actor(),
            now=now(),
            key=form.key.data,
        ),
        _FIELDS,
    )
    if done is None:
        return _page(form, page, _look(form, deck_id), 422)
    said(
        f"{done.changed:,} of {done.rates:,} rates have other prices from {instant_text(done.effective_from)} on.",
        link=url_for("operator.compare_versions", deck_id=deck_id, after=done.version_id),
        link_text="See the differences",
    )
    return go_to(url_for("operator.deck", deck_id=deck_id))


def _form(given: Any) -> ChangeForm:
    form = ChangeForm(given, meta=None if request.method == "POST" else {"csrf": False})
    names = [(group.name, group.name) for group in list_groups(db())]
    form.group.choices = [("", "All destinations"), *names]
    return form


def _change(form: ChangeForm) -> PriceChange:
    return PriceChange(
        percent=form.percent.data or 0,
        amount=form.amount.data or 0,
        decimals=form.decimals.data,
        fees=bool(form.fees.data),
        prefixes=form.digits,
        group=form.group.data,
        name=form.name.data,
    )


def _look(form: ChangeForm, deck_id: int) -> ChangePreview | None:
    """What it would do; None, and errors in the form, where it can't be done."""
    if not form.validate():
        return None
    try:
        seen = preview_change(
            db(), deck_id=deck_id, change=_change(form), now=now(), effective_from=form.begins
        )
    except EngineError as error:
        place(form, error, _FIELDS)
        return None
    form.base.data, form.seen.data = str(seen.version_id), seen.digest
    return seen


def _page(form: ChangeForm, page: DeckPage, seen: ChangePreview | None, status: int) -> ResponseReturnValue:
    return respond(
        "operator/rates/change.html", status=status, form=form, deck=page, seen=seen, kept=kept(form)
    )
