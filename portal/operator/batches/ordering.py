"""Ordering a batch: the form with its live outlook, a last look, the order."""

from __future__ import annotations

from typing import Any

from flask import abort, request, url_for
from flask.typing import ResponseReturnValue

from engine.house import fresh
from engine.stock import outlook as outlooks
from engine.stock.batches import order_batch
from engine.stock.orders import BatchOrder
from engine.stock.outlook import PRESETS, Outlook
from portal import arguments
from portal.forms import MISSING, attempt, place
from portal.installation import db, installation, now
from portal.notices import said
from portal.operator.batches.orderform import FIRST, GROUPS, BatchForm, in_words, label_of, values_of
from portal.operator.console import actor, console, needs
from portal.respond import go_to, respond, wants_part

WARNINGS = {
    "short_number": "Card numbers with fewer than 12 digits are easier to guess.",
    "short_password": "Passwords with fewer than 6 digits are easy to guess.",
    "dense_range": "More than one in 1,000 numbers of the range is a card, which makes them easy to guess.",
}


@console.get("/batches/new")
@needs("batch.create")
def new_batch() -> ResponseReturnValue:
    """The form: empty, like a batch that exists (`like`), or as is usual for a face value (`preset`)."""
    form, like = _form(), arguments.key("like")
    if like is not None:
        order = outlooks.order_like(db(), like)
        if order is None:
            abort(404)
        form.fill(values_of(order))
        form.region.data = order.name.partition("_")[0] if "_" in order.name else None
    elif len(form.deck.choices) == 2:
        form.deck.data = form.deck.choices[1].value  # the only one there is
    return _page(form, preset=arguments.choice("preset", [preset.name for preset in PRESETS]))


@console.post("/batches/new")
@needs("batch.create")
def new_batch_post() -> ResponseReturnValue:
    """`preset` fills in, `step` is `check` (the outlook), `look` (a last look), `change` (back) or `order`."""
    form, step, preset = _form(), request.form.get("step", "check"), request.form.get("preset")
    if preset or step == "change":
        return _page(form, preset=preset)
    order, look = _look(form)
    if order is None or look is None or step == "check":
        return _page(form, look, status=422 if form.refused else 200)
    if step != "order":
        return respond("operator/batches/look.html", form=form, order=order, **_told(form, look))
    ordered = attempt(
        form, lambda: order_batch(db(), installation().vault, order, actor(), now(), key=form.key.data)
    )
    if ordered is None:
        return _page(form, look, status=422)
    said(f"The batch is ordered. Its serials are {ordered.first_serial} to {ordered.last_serial}.")
    return go_to(url_for("operator.batch", batch_id=ordered.batch_id))


@console.post("/batches/new/outlook")
@needs("batch.create")
def batch_outlook() -> ResponseReturnValue:
    """The outlook alone, as it stands while somebody types; what is wrong is told here, not as a refusal."""
    form = _form()
    _, look = _look(form)
    if not wants_part():
        return _page(form, look, status=422 if form.refused else 200)
    return respond("operator/batches/new.html", block="outlook", form=form, whole=False, **_told(form, look))


def _form() -> BatchForm:
    form = BatchForm()
    form.offer(outlooks.choices(db()))
    return form


def _look(form: BatchForm) -> tuple[BatchOrder | None, Outlook | None]:
    """The order of a form and its outlook; what is wrong with either stands at its field, and there is no order."""
    if not form.validate():
        return None, None
    order = form.order(_proposed(form))
    look = outlooks.look(db(), order, actor(), now())
    for problem in look.problems:
        # A second order of this form is not a new one: its name is its own.
        if not (problem.code == "name_taken" and request.form.get("step") == "order"):
            place(form, problem)
    return (None, None) if form.refused else (order, look)


def _proposed(form: BatchForm) -> str:
    typed = request.form.get("proposed")
    if typed and request.form.get("step") == "order":
        return typed  # as it stood in the last look
    denomination = None if form.denomination.errors else form.denomination.data
    region, kind, zone = form.region.data or "", form.kind.data or "calling", fresh(db()).zone
    return outlooks.proposed_name(db(), region, denomination, kind, now(), zone)


def _page(
    form: BatchForm, look: Outlook | None = None, status: int = 200, preset: str | None = None
) -> ResponseReturnValue:
    applied = form.apply(preset or "")
    return respond(
        "operator/batches/new.html",
        status=status,
        form=form,
        first=FIRST,
        groups=[(title, names.split()) for title, names in GROUPS],
        presets=PRESETS,
        applied=applied,
        whole=True,
        **_told(form, look),
    )


def _told(form: BatchForm, look: Outlook | None) -> dict[str, Any]:
    """What the outlook says: the proposed name, what is missing, what is wrong, how strong it would be."""
    missing = [label_of(form, name) for name, errors in form.errors.items() if name and MISSING in errors]
    wrong = [
        (label_of(form, name), " ".join(errors))
        for name, errors in form.errors.items()
        if name and MISSING not in errors
    ]
    return {
        "proposed": _proposed(form),
        "look": look,
        "missing": missing,
        "wrong": wrong,
        "tries": in_words(look.tries) if look and look.tries else None,
        "warnings": [WARNINGS[code] for code in look.warnings] if look else [],
    }
