"""The list of cards that meet a filter."""

from __future__ import annotations

from flask import Response, abort, request
from flask.typing import ResponseReturnValue

from engine.bulk.orders import VERBS
from engine.cards import searchpage
from engine.cards.search import CardFilter
from engine.cards.searchpage import CardList, Count
from engine.errors import InvalidInput
from portal import arguments
from portal.installation import db, now
from portal.operator.bulk.words import COMMON, VERB_WORDS
from portal.operator.console import console, may, needs
from portal.operator.search.asked import PAGE, Asked, asked_of, filter_of
from portal.operator.search.form import LABELS, chips, form_of
from portal.operator.search.kept import built_in, own_views
from portal.respond import go_to, pushed, respond, wants_part

SORTABLE = ("serial", "balance", "created", "first_used", "expires")


@console.get("/cards")
@needs("cards.see")
def cards() -> ResponseReturnValue:
    """Cards, page by page; all that is asked for stands in the address.

    Counting many takes longer than finding a page of them: the page asks for it afterwards (`count`).
    """
    asked = asked_of(request.args)
    if not wants_part() and any(not value for value in request.args.values()):
        return go_to(asked.url(asked.after))  # a form sends its empty fields, too
    card_filter, wrong = filter_of(asked)
    found, total = (CardList(()), None) if wrong else _found(card_filter, asked)
    counting = arguments.flag("count")
    return _pushed(
        respond(
            "operator/search/cards.html",
            block="count" if counting else "list",
            status=422 if wrong else 200,
            asked=asked,
            form=form_of(asked, wrong),
            wrong=wrong,
            found=found,
            total=total,
            chips=chips(asked),
            labels=LABELS,
            sortable=SORTABLE,
            built_in=built_in(),
            own=own_views(PAGE),
            verbs=[(verb, VERB_WORDS[verb]) for verb in VERBS if may(f"bulk.{verb}")],
            common=COMMON,
        ),
        asked,
    )


def _found(card_filter: CardFilter, asked: Asked) -> tuple[CardList, Count | None]:
    try:
        found = searchpage.page(
            db(),
            card_filter,
            now(),
            order=asked.order,
            descending=asked.descending,
            after=asked.after,
            limit=asked.per_page,
        )
    except InvalidInput:
        abort(400)  # a place that no page of ours named
    if asked.after is None and found.next is None and not found.partial:
        return found, Count(len(found.rows), "exact")
    at_once = card_filter == CardFilter(batch_id=card_filter.batch_id)
    asked_for = at_once or arguments.flag("count")
    return found, searchpage.count(db(), card_filter, now()) if asked_for else None


def _pushed(response: Response, asked: Asked) -> Response:
    """Have htmx show the short address of the list; that of a filter with a mistake is not kept."""
    if wants_part() and not arguments.flag("count"):
        good = response.status_code == 200
        pushed(response, asked.url(asked.after) if good else None)
    return response
