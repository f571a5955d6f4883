"""Calls that were made, priced at another version or at what they cost: asked for, watched, read."""

from __future__ import annotations

import re
from typing import Any
from zoneinfo import ZoneInfo

from flask import abort, request, url_for
from flask.typing import ResponseReturnValue

from engine.calls.deckpages import DeckPage
from engine.money import format_amount
from engine.reports.replays import (
    ORDERS,
    all_lines,
    cancel_replay,
    find_replay,
    last_month,
    lines_of,
    period,
    start_replay,
)
from portal import arguments
from portal.forms import CommandForm, attempt
from portal.installation import db, now, operators_zone
from portal.operator.act import Ask, act
from portal.operator.console import actor, console, needs
from portal.operator.rates.forms import ReplayForm
from portal.operator.rates.parts import csv_file, the_deck, version_choices
from portal.respond import go_to, respond

COSTS = "costs"
_VALUE = re.compile(r"-?[0-9]{1,19}", re.ASCII)
_FIELDS = {"begins": "first", "ends": "last"}
_HEADER = (
    "Destination",
    "Calls",
    "Minutes",
    "Charged then",
    "At these rates",
    "Difference",
    "Without a rate",
)


@console.route("/rates/<int:deck_id>/replay", methods=["GET", "POST"])
@needs("deck.replay")
def replay_calls(deck_id: int) -> ResponseReturnValue:
    """Ask which calls, and at which rates; begin."""
    page, zone = the_deck(deck_id), operators_zone()
    form = ReplayForm(data=_proposed(page, zone) if request.method == "GET" else None)
    costs = [(COSTS, f"{page.buy_deck}: what the calls cost us")] if page.buy_deck else []
    form.version.choices = [*version_choices(deck_id), *costs]
    if request.method == "POST" and form.validate():
        work_id = attempt(form, lambda: _start(form, deck_id, zone), _FIELDS)
        if work_id is not None:
            return go_to(url_for("operator.replay", work_id=work_id))
    status = 422 if form.refused else 200
    return respond("operator/rates/replay_new.html", block="form", status=status, form=form, deck=page)


@console.get("/rates/replays/<int:work_id>")
@needs("money.see")
def replay(work_id: int) -> ResponseReturnValue:
    """How far a replay is, and what it found."""
    found = find_replay(db(), work_id, now())
    order = arguments.choice("order", ORDERS, "charged") or "charged"
    place = _place(order)
    lines, goes_on = (
        lines_of(db(), work_id, order=order, place=place) if found.work.state == "done" else ([], None)
    )
    return respond(
        "operator/rates/replay.html",
        block="list",
        replay=found,
        result=found.work.result or {},
        lines=lines,
        order=order,
        paged=place is not None,
        goes_on=goes_on,
    )


@console.get("/rates/replays/<int:work_id>.csv")
@needs("money.see")
def replay_file(work_id: int) -> ResponseReturnValue:
    """Every destination of a replay, as a file."""
    found = find_replay(db(), work_id, now())
    rows = (
        (
            line.destination_name,
            line.calls,
            f"{line.billed_s / 60:.1f}",
            format_amount(line.charged),
            format_amount(line.replayed),
            format_amount(line.difference),
            line.unrated,
        )
        for line in all_lines(db(), work_id)
    )
    return csv_file(f"{found.deck} replay {work_id}", _HEADER, rows)


@console.route("/rates/replays/<int:work_id>/stop", methods=["GET", "POST"])
@needs("deck.cancel_replay")
def stop_replay(work_id: int) -> ResponseReturnValue:
    """Stop a replay that goes on."""
    find_replay(db(), work_id, now())
    return act(
        CommandForm(),
        lambda: cancel_replay(db(), work_id=work_id, actor=actor(), now=now()),
        Ask(
            title="Stop this replay",
            intro="Nothing of it is kept; it can be asked for again.",
            submit="Stop",
            back=url_for("operator.replay", work_id=work_id),
        ),
        done=lambda stopped: "The replay is being stopped." if stopped else "The replay was over already.",
    )


def _proposed(page: DeckPage, zone: ZoneInfo) -> dict[str, Any]:
    """The version of the address, or the one in force; the calls of last month."""
    first, last = last_month(now(), zone)
    chosen = arguments.words("version") or str(page.in_force.id if page.in_force else "")
    return {"version": chosen, "first": first, "last": last}


def _start(form: ReplayForm, deck_id: int, zone: ZoneInfo) -> int:
    begins, ends = period(form.first.data, form.last.data, zone)
    version = None if form.version.data == COSTS else int(form.version.data)
    return start_replay(
        db(),
        deck_id=deck_id,
        version_id=version,
        begins=begins,
        ends=ends,
        actor=actor(),
        now=now(),
        key=form.key.data,
    )


def _place(order: str) -> tuple[int | str, str] | None:
    """Where the list goes on: the value and the name of the line before."""
    name, value = arguments.words("name"), arguments.words("from")
    if name is None or value is None:
        return None
    if order == "name":
        return name, name
    return (int(value), name) if _VALUE.fullmatch(value) else abort(400)
