"""The calls that go on, with what each costs by now, and ending one."""

from __future__ import annotations

import re

from flask import abort, request, url_for
from flask.typing import ResponseReturnValue

from engine.calls import ending
from engine.calls.running import ORDERS, find_running, running
from engine.people.switches import list_switches
from portal import arguments
from portal.formats import amount
from portal.forms import CommandForm, ReasonField
from portal.installation import db, now
from portal.operator.act import Ask, act
from portal.operator.console import actor, console, needs
from portal.respond import respond

LIVE = "<int(max=9223372036854775807):live_id>"
ORDER_WORDS = {
    "longest": "Longest talk first",
    "newest": "Newest first",
    "cost": "Dearest first",
    "held": "Most held first",
}
_AFTER = re.compile(r"(-?[0-9]{1,18})\.([0-9]{1,18})", re.ASCII)


class EndForm(CommandForm):
    """Why a call is ended."""

    reason = ReasonField()


@console.get("/calls/live")
@needs("calls.see")
def live_calls() -> ResponseReturnValue:
    """Live calls; the block asks for itself every few seconds."""
    order = arguments.choice("order", ORDERS, "longest") or "longest"
    switch_id = arguments.key("switch") if arguments.words("switch") else None
    page = running(db(), now(), switch_id=switch_id, order=order, after=_after())
    asked = {"order": order if order != "longest" else None, "switch": switch_id}
    goes_on = f"{page.next[0]}.{-page.next[1]}" if page.next else None
    return respond(
        "operator/calls/live.html",
        block="list",
        page=page,
        order=order,
        switch_id=switch_id,
        orders=ORDER_WORDS,
        switches={one.id: one.name for one in list_switches(db())},
        first=url_for("operator.live_calls", **asked),
        here=url_for("operator.live_calls", **asked, after=request.args.get("after") or None),
        older=url_for("operator.live_calls", **asked, after=goes_on) if goes_on else None,
        paged=_after() is not None,
    )


def _after() -> tuple[int, int] | None:
    text = request.args.get("after")
    if not text:
        return None
    match = _AFTER.fullmatch(text)
    if match is None:
        abort(400)
    return int(match[1]), -int(match[2])


@console.route(f"/calls/live/{LIVE}/end", methods=["GET", "POST"])
@needs("call.end")
def end_call(live_id: int) -> ResponseReturnValue:
    """End a live call at once."""
    call = find_running(db(), live_id, now())
    form = EndForm()
    return act(
        form,
        lambda: ending.end_call(
            db(),
            switch=call.switch,
            call_ref=call.call_ref,
            reason=form.reason.data,
            actor=actor(),
            now=now(),
        ),
        Ask(
            f"End the call to {call.destination_name}?",
            "End the call",
            url_for("operator.live_calls"),
            f"It is charged as if it ended now: {call.currency} {amount(call.cost)} by this moment. Its switch is not "
            "told; where it asks for more time it hears that the call has ended.",
            "bad",
        ),
        done=lambda ended: (
            f"The call has ended: {ended.currency} {amount(ended.charged)} charged, "
            f"{ended.currency} {amount(ended.balance)} left on the card."
        ),
        template="operator/calls/end.html",
        call=call,
    )
