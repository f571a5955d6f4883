"""What a card's page is asked by its three little forms, and the answers: all GET, so that an answer has an address."""

from __future__ import annotations

from dataclasses import dataclass

from flask import request

from engine.calls.answers import Refusals, refusals_of
from engine.calls.costs import Cost, cost_of, cost_said
from engine.calls.spending import Spending, part_said, spending_of, spending_said
from engine.cards.queries import CardPage
from engine.errors import EngineError
from engine.messages import sentence
from engine.telling import Said
from portal import arguments
from portal.forms import printable
from portal.installation import db, installation, now

QUESTIONS = ("refused", "spent", "cost")
PERIODS = ("life", "recharge")


@dataclass(frozen=True, slots=True)
class Asked:
    """A question with what was typed, and its answer; `error` is the sentence at the field where that can't be read."""

    question: str | None
    caller: str = ""
    number: str = ""
    access: str = ""
    period: str = "life"
    refusals: Refusals | None = None
    spending: Spending | None = None
    cost: Cost | None = None
    lines: tuple[Said, ...] = ()
    parts: tuple[tuple[Said, int], ...] = ()
    error: str | None = None


def asked(card: CardPage) -> Asked:
    """The question of this address, answered. Raises 400 for a question that there isn't."""
    question = arguments.choice("ask", QUESTIONS)
    if question is None:
        return Asked(None)
    return {"refused": _refused, "spent": _spent, "cost": _cost}[question](card)


def _typed(name: str) -> str:
    return (printable(request.args.get(name, "")) or "").strip()[:64]


def _refused(card: CardPage) -> Asked:
    caller = _typed("caller")
    try:
        found = refusals_of(db(), installation().vault, card.serial, now(), caller=caller or None)
    except EngineError as error:
        return Asked("refused", caller=caller, error=sentence(error))
    return Asked("refused", caller=caller, refusals=found)


def _spent(card: CardPage) -> Asked:
    period = arguments.choice("period", PERIODS, "life") or "life"
    found = spending_of(db(), card.serial, since_recharge=period == "recharge")
    parts = tuple((part_said(part, found), part.amount) for part in found.parts)
    return Asked("spent", period=period, spending=found, lines=spending_said(found), parts=parts)


def _cost(card: CardPage) -> Asked:
    number, access = _typed("number"), _typed("access")
    if not number:
        return Asked("cost", access=access, error="Type the number that is to be called.")
    found = cost_of(db(), card.serial, number, now(), access_number=access or None)
    return Asked("cost", number=number, access=access, cost=found, lines=cost_said(found))
