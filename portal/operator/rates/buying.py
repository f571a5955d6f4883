"""The deck that holds what a deck's destinations cost."""

from __future__ import annotations

from flask import request, url_for
from flask.typing import ResponseReturnValue

from engine.calls.deckcosts import set_buy_deck
from portal.installation import db, now
from portal.operator.act import Ask, act
from portal.operator.console import actor, console, needs
from portal.operator.rates.forms import BuyDeckForm
from portal.operator.rates.parts import deck_choices, the_deck


@console.route("/rates/<int:deck_id>/buy-deck", methods=["GET", "POST"])
@needs("deck.set_buy_deck")
def buy_deck(deck_id: int) -> ResponseReturnValue:
    """Name the buy deck, another, or none."""
    page = the_deck(deck_id)
    form = BuyDeckForm(
        data={"buy_deck": str(page.buy_deck_id) if page.buy_deck_id else None}
        if request.method == "GET"
        else None
    )
    others = deck_choices("None", page.currency)
    form.buy_deck.choices = [(value, name) for value, name in others if value != str(deck_id)]

    def do() -> str | None:
        chosen = int(form.buy_deck.data) if form.buy_deck.data else None
        return set_buy_deck(db(), deck_id=deck_id, buy_deck_id=chosen, actor=actor(), now=now()) or ""

    return act(
        form,
        do,
        Ask(
            title="Buy deck",
            intro="Margins of this deck are told against it. No call is charged otherwise.",
            submit="Save",
            back=url_for("operator.deck", deck_id=deck_id),
        ),
        done=lambda name: (
            f"Margins are told against {name} now." if name else "The deck names no buy deck now."
        ),
    )
