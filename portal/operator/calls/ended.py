"""The list of calls that ended, what they sum up to, and one call with its charge explained."""

from __future__ import annotations

from flask import Response, request
from flask.typing import ResponseReturnValue

from engine.calls import callsearch, reviews
from engine.calls.callsearch import CallList
from engine.calls.cdrs import find_call
from portal.installation import db
from portal.operator.calls.asked import Asked, asked_of, filter_of
from portal.operator.calls.form import form_of
from portal.operator.calls.words import LABELS, cause_words
from portal.operator.console import console, needs
from portal.respond import go_to, pushed, respond, wants_part

CALL = "<int(max=9223372036854775807):call_id>"
"""How an address names a call, behind its card's serial."""


@console.get("/calls")
@needs("calls.see")
def calls() -> ResponseReturnValue:
    """Calls that ended, newest first; all that is asked for stands in the address."""
    asked = asked_of(request.args)
    if not wants_part() and any(not value for value in request.args.values()):
        return go_to(asked.url(asked.before))  # a form sends its empty fields, too
    f, wrong = filter_of(asked)
    found = CallList(()) if wrong else callsearch.page(db(), f, before=asked.before, limit=asked.per_page)
    response = respond(
        "operator/calls/calls.html",
        block="list",
        status=422 if wrong else 200,
        asked=asked,
        form=form_of(asked, wrong),
        wrong=wrong,
        found=found,
        older=asked.url(found.older) if found.older else None,
        labels=LABELS,
        cause_words=cause_words,
    )
    return _pushed(response, asked)


@console.get("/calls/sums")
@needs("calls.see")
def call_sums() -> ResponseReturnValue:
    """What the calls of a list sum up to; the list asks for it once it is there."""
    asked = asked_of(request.args)
    f, wrong = filter_of(asked)
    found = None if wrong else callsearch.sums(db(), f)
    return respond(
        "operator/calls/sums.html",
        block="sums",
        status=422 if wrong else 200,
        asked=asked,
        sums=found,
        wrong=wrong,
    )


@console.get(f"/calls/<serial>/{CALL}")
@needs("calls.see")
def call(serial: str, call_id: int) -> ResponseReturnValue:
    """One call: why it cost what it cost, and all that is known of it."""
    row = find_call(db(), serial, call_id)
    return respond(
        "operator/calls/call.html",
        row=row,
        review=reviews.review_of(db(), serial, call_id) if row.call.flags else None,
        cause_words=cause_words,
    )


def _pushed(response: Response, asked: Asked) -> Response:
    """Have htmx show the short address of the list; that of a filter with a mistake is not kept."""
    if wants_part():
        pushed(response, asked.url(asked.before) if response.status_code == 200 else None)
    return response
