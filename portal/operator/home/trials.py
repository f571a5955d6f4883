"""A trial call: choose who pays and whom to call, watch it cost, hang up, read why."""

from __future__ import annotations

from typing import Any

from flask import request, url_for
from flask.typing import ResponseReturnValue

from engine.calls import trial
from portal.forms import ChoiceField, CommandForm, TextField, attempt
from portal.installation import db, installation, now
from portal.operator.console import actor, console, needs
from portal.respond import go_to, respond


class TrialForm(CommandForm):
    """Which card pays, and what it calls."""

    batch = ChoiceField("Card from the batch", description="Its first card that can pay is taken.")
    serial = TextField(
        "Or this very card",
        required=False,
        most=40,
        description="Its serial, where it shall be a certain one.",
        render_kw={"inputmode": "numeric", "autocomplete": "off"},
    )
    destination = TextField(
        "Number to call",
        most=40,
        description="With its country code, such as +880 1712 345678. Nobody's phone rings.",
        render_kw={"inputmode": "tel", "autocomplete": "off"},
    )
    caller = TextField(
        "Calling from",
        required=False,
        most=40,
        description="Only for cards that are bound to a phone.",
        render_kw={"inputmode": "tel", "autocomplete": "off"},
    )


@console.route("/trial", methods=["GET", "POST"])
@needs("trial.call")
def trial_new() -> ResponseReturnValue:
    """The form, and the call that it makes."""
    form, found = TrialForm(), trial.batches(db())
    form.batch.choices = [("", "none"), *((str(one.id), one.name) for one in found)]
    if request.method == "GET" and found:
        form.batch.data = str(found[0].id)
    if request.method == "POST" and form.validate():
        begun = attempt(form, lambda: _start(form))
        if begun is not None:
            return go_to(url_for("operator.trial_call", call_ref=begun.call_ref))
    status = 422 if request.method == "POST" else 200
    return respond("operator/home/trial_new.html", block="form", status=status, form=form, batches=found)


@console.get("/trial/<call_ref>")
@needs("trial.call")
def trial_call(call_ref: str) -> ResponseReturnValue:
    """The call as it stands; while it lives its figures ask for themselves each second."""
    found = trial.show(db(), call_ref, now())
    return respond("operator/home/trial.html", block="figures", call=found, form=CommandForm(formdata=None))


@console.post("/trial/<call_ref>/hang-up")
@needs("trial.call")
def trial_hang_up(call_ref: str) -> ResponseReturnValue:
    """End it, and show what it cost."""
    trial.hang_up(db(), call_ref, actor(), now())
    return go_to(url_for("operator.trial_call", call_ref=call_ref))


def _start(form: TrialForm) -> Any:
    batch_id = int(form.batch.data) if form.batch.data else None
    return trial.start(
        db(),
        installation().vault,
        serial=trial.choose(db(), batch_id, form.serial.data, now()),
        destination=form.destination.data or "",
        caller=form.caller.data,
        key=form.key.data,
        actor=actor(),
        now=now(),
    )
