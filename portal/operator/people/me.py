"""One's own page in the console: log-in, password, second factor, time zone, and where one is logged in."""

from __future__ import annotations

from flask import url_for
from flask.typing import ResponseReturnValue

from engine.people import staff
from portal.installation import db, operators_zone
from portal.operator.act import Ask, act
from portal.operator.console import actor, console, needs
from portal.operator.people.forms import ZoneForm, zone_choices
from portal.operator.people.own import Own

BOTH = ["GET", "POST"]
OWN = Own(staff.REALM)


@console.get("/me")
@needs("me.see")
def me() -> ResponseReturnValue:
    """What I am here, and how I prove it."""
    return OWN.page("Name and role are changed by an administrator.", operators=operators_zone().key)


@console.route("/me/password", methods=BOTH)
@needs("me.see")
def me_password() -> ResponseReturnValue:
    """Change one's own password."""
    return OWN.change_password()


@console.route("/me/time-zone", methods=BOTH)
@needs("me.see")
def me_timezone() -> ResponseReturnValue:
    """Choose the zone that one's own pages show times in."""
    form = ZoneForm(data={"zone": OWN.person().timezone or ""})
    form.zone.choices = zone_choices(operators_zone().key)
    return act(
        form,
        lambda: staff.set_timezone(db(), actor().id or 0, form.zone.data),
        Ask(
            "Your time zone",
            "Save",
            url_for("operator.me"),
            intro="Times on your pages are shown in it. Days that cards end on stay the operator's.",
        ),
        done="Your time zone is changed.",
        fields={"zone": "zone"},
    )


@console.route("/me/sessions/<ref>/end", methods=BOTH)
@needs("me.see")
def me_end_session(ref: str) -> ResponseReturnValue:
    """End one of one's own log-ins."""
    return OWN.end_session(ref)


@console.route("/me/sessions/end-others", methods=BOTH)
@needs("me.see")
def me_end_others() -> ResponseReturnValue:
    """End all of one's own log-ins but this one."""
    return OWN.end_others()


@console.route("/me/second", methods=BOTH)
@needs("me.see")
def me_second() -> ResponseReturnValue:
    """Begin to set a second factor up."""
    return OWN.begin_second()


@console.post("/me/second/confirm")
@needs("me.see")
def me_second_confirm() -> ResponseReturnValue:
    """Take the first code of the app, and show the recovery codes."""
    return OWN.confirm_second()


@console.route("/me/second/codes", methods=BOTH)
@needs("me.see")
def me_second_codes() -> ResponseReturnValue:
    """Ten new recovery codes."""
    return OWN.new_codes()


@console.route("/me/second/remove", methods=BOTH)
@needs("me.see")
def me_second_remove() -> ResponseReturnValue:
    """Give the second factor up."""
    return OWN.remove_second()
