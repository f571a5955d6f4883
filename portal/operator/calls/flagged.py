"""Flagged calls: what was not ordinary, what the switch reported against what was charged, and resolving them."""

from __future__ import annotations

import re

from flask import abort, request, url_for
from flask.typing import ResponseReturnValue
from wtforms import HiddenField

from engine.calls import reviews
from engine.calls.cdrs import find_call
from engine.people.switches import list_switches
from portal import arguments
from portal.formats import count
from portal.forms import CommandForm, ReasonField
from portal.installation import db, now
from portal.operator.act import Ask, act
from portal.operator.calls.ended import CALL
from portal.operator.calls.words import FLAG_WORDS, cause_words
from portal.operator.console import actor, console, needs
from portal.respond import go_to, respond

STATE_WORDS = {"open": "Open", "resolved": "Resolved"}
_NAMED = re.compile(r"([0-9]{11})-([0-9]{1,18})", re.ASCII)


class ResolveForm(CommandForm):
    """What was found out."""

    reason = ReasonField("What you found out", description="It stays with the call, with your name.")


class ResolveManyForm(ResolveForm):
    """The same about several calls."""

    calls = HiddenField()


@console.get("/calls/flagged")
@needs("calls.see")
def flagged_calls() -> ResponseReturnValue:
    """Flagged calls: open ones, or those that were resolved."""
    state = arguments.choice("state", reviews.STATES, "open") or "open"
    flag = arguments.choice("flag", reviews.FLAGS)
    switch_id = arguments.key("switch") if arguments.words("switch") else None
    before = arguments.place("before")
    page = reviews.flagged(db(), state=state, flag=flag, switch_id=switch_id, before=before)
    asked = {"state": state if state != "open" else None, "flag": flag, "switch": switch_id}
    older = arguments.written_place(page.older)
    return respond(
        "operator/calls/flagged.html",
        block="list",
        page=page,
        state=state,
        states=STATE_WORDS,
        flag=flag,
        flags={name: FLAG_WORDS[name] for name in reviews.FLAGS},
        switch_id=switch_id,
        switches={one.id: one.name for one in list_switches(db())},
        open_count=reviews.open_count(db(), now()),
        cause_words=cause_words,
        later_page=before is not None,
        first=url_for("operator.flagged_calls", **asked),
        older=url_for("operator.flagged_calls", **asked, before=older) if older else None,
    )


@console.route(f"/calls/<serial>/{CALL}/resolve", methods=["GET", "POST"])
@needs("call.resolve")
def resolve_call(serial: str, call_id: int) -> ResponseReturnValue:
    """Resolve one flagged call."""
    row = find_call(db(), serial, call_id)
    form = ResolveForm()
    return act(
        form,
        lambda: reviews.resolve(
            db(), calls=[(serial, call_id)], reason=form.reason.data, actor=actor(), now=now()
        ),
        Ask(
            f"Resolve the call to {row.call.destination_name}",
            "Resolve",
            url_for("operator.call", serial=serial, call_id=call_id),
            "What was charged stays as it is. To give money back, correct the card's balance.",
        ),
        done=_resolved,
    )


@console.route("/calls/flagged/resolve", methods=["GET", "POST"])
@needs("call.resolve")
def resolve_calls() -> ResponseReturnValue:
    """Resolve the calls that were ticked in the list."""
    form = ResolveManyForm(data={"calls": ",".join(request.args.getlist("call"))})
    chosen = _chosen(form.calls.data or "")
    back = url_for("operator.flagged_calls")
    if not chosen and request.method == "GET":
        return go_to(back)
    return act(
        form,
        lambda: reviews.resolve(db(), calls=chosen, reason=form.reason.data, actor=actor(), now=now()),
        Ask(
            f"Resolve {count(len(chosen))} call{'' if len(chosen) == 1 else 's'}",
            "Resolve",
            back,
            "One note for all of them. What was charged stays as it is.",
        ),
        done=_resolved,
    )


def _chosen(text: str) -> list[tuple[str, int]]:
    """The calls that a form names; 400 for what no form of ours sends."""
    chosen = []
    for word in filter(None, text.split(",")):
        match = _NAMED.fullmatch(word)
        if match is None:
            abort(400)
        chosen.append((match[1], int(match[2])))
    return chosen


def _resolved(number: int) -> str:
    if number == 0:
        return "Somebody had resolved that already; their note stands."
    return "The call is resolved." if number == 1 else f"{count(number)} calls are resolved."
