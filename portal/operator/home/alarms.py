"""Alarms in sentences, with what to do about each."""

from __future__ import annotations

from flask import url_for
from flask.typing import ResponseReturnValue

from engine.people import alarmdesk
from engine.reports import alarmwords
from portal import arguments
from portal.forms import CommandForm, ReasonField
from portal.installation import db, now
from portal.operator.act import Ask, act
from portal.operator.console import actor, console, needs
from portal.respond import respond
from portal.telling import told


class ClearForm(CommandForm):
    """What was done about it."""

    reason = ReasonField("What was done", required=False, description="For the audit trail.")


@console.get("/alarms")
@needs("jobs.see")
def alarms() -> ResponseReturnValue:
    """What is open, the gravest first; or what was cleared."""
    cleared = arguments.choice("state", ("cleared",)) is not None
    before = arguments.key("before")
    return respond(
        "operator/home/alarms.html",
        block="list",
        cleared=cleared,
        open_ones=() if cleared else alarmwords.open_told(db()),
        page=alarmwords.cleared_told(db(), before) if cleared else None,
        later_page=before is not None,
    )


@console.route("/alarms/<int(max=9223372036854775807):alarm_id>/clear", methods=["GET", "POST"])
@needs("alarm.clear")
def alarm_clear(alarm_id: int) -> ResponseReturnValue:
    """Say that an alarm needs nobody any more."""
    found = alarmwords.find_told(db(), alarm_id)
    form = ClearForm()
    return act(
        form,
        lambda: alarmdesk.clear(db(), alarm_id=alarm_id, reason=form.reason.data, actor=actor(), now=now()),
        Ask(
            "Clear this alarm",
            "Clear it",
            url_for("operator.alarms"),
            intro=told(found.matter) + " If it comes back, it opens anew.",
        ),
        done=lambda changed: "The alarm is cleared." if changed else "The alarm was cleared already.",
    )
