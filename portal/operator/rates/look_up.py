"""What a number costs: the rate it has in a deck at a time, why that one, and what calls would cost."""

from __future__ import annotations

from dataclasses import dataclass

from flask import request
from flask.typing import ResponseReturnValue

from engine.calls.deckpages import deck_lines, groups_of
from engine.calls.decks import LookUp, look_up
from engine.calls.ratetable import DeckRate
from engine.calls.rating import charge, max_seconds
from engine.errors import EngineError, NotFound
from engine.messages import sentence
from portal.forms import place
from portal.installation import db, now
from portal.operator.console import console, needs
from portal.operator.rates.forms import LookUpForm
from portal.respond import respond

MINUTES = (1, 5, 10)
LONGEST_S = 100 * 3600
ALL = "all"


@dataclass(frozen=True, slots=True)
class Answer:
    """A number in one deck: the rate (None: none), what calls cost, how long the credit lasts; or why there is none."""

    deck: str
    found: LookUp | None
    rate: DeckRate | None
    costs: tuple[tuple[int, int], ...]
    lasts_s: int
    refusal: str | None = None


@console.get("/rates/look-up")
@needs("decks.see")
def rate_look_up() -> ResponseReturnValue:
    """Look a number up in a deck, or in all of them."""
    decks = deck_lines(db(), now())
    form = LookUpForm(request.args if "number" in request.args else None)
    form.deck.choices = [
        *((deck.name, f"{deck.name} ({deck.currency})") for deck in decks),
        (ALL, "All decks"),
    ]
    answers: list[Answer] = []
    if "number" in request.args and form.validate():
        names = [deck.name for deck in decks] if form.deck.data == ALL else [form.deck.data]
        answers = _answers(form, names)
    number = next((answer.found.destination for answer in answers if answer.found), None)
    return respond(
        "operator/rates/look_up.html",
        block="list",
        status=422 if form.errors else 200,
        form=form,
        decks=decks,
        answers=answers,
        number=number,
        groups=groups_of(db(), number.e164) if number else [],
        longest=LONGEST_S,
    )


def _answers(form: LookUpForm, names: list[str]) -> list[Answer]:
    answers = []
    for name in names:
        try:
            found = look_up(db(), name=name, destination=form.number.data or "", at=form.moment(now()))
        except NotFound as error:
            answers.append(Answer(name, None, None, (), 0, sentence(error)))
            continue
        except EngineError as error:
            place(form, error, {"destination": "number"})
            return []
        answers.append(_answer(found, form.credit.data or 0))
    return answers


def _answer(found: LookUp, credit: int) -> Answer:
    hit = found.found.rate
    if hit is None:
        return Answer(found.deck, found, None, (), 0)
    costs = tuple((minutes, charge(hit.rate, 60 * minutes)) for minutes in MINUTES)
    return Answer(found.deck, found, hit, costs, max_seconds(hit.rate, credit, LONGEST_S))
