"""One's own page: log-in, password, second factor, time zone, and where one is logged in."""

from __future__ import annotations

from flask import abort, url_for
from flask.typing import ResponseReturnValue

from engine.people import sessions, staff
from engine.people.logins import log_in_page
from engine.people.sessions import SessionView
from engine.vault import Secret
from portal.forms import CommandForm
from portal.installation import db, installation, now, operators_zone
from portal.operator.act import Ask, act
from portal.operator.console import actor, console, needs
from portal.operator.people.forms import WRONG_PASSWORD, PasswordForm, ZoneForm, proven, zone_choices
from portal.operator.people.second import log_in_again
from portal.respond import respond
from portal.security import client_address
from portal.sessions import own_token

BOTH = ["GET", "POST"]


@console.get("/me")
@needs("me.see")
def me() -> ResponseReturnValue:
    """What I am here, and how I prove it."""
    token = own_token()
    return respond(
        "operator/people/me.html",
        person=log_in_page(db(), staff.REALM, actor().id or 0),
        sessions=_own(),
        end_own=lambda one: url_for("operator.me_end_session", ref=one.ref),
        this=None if token is None else sessions.ref_of(token),
        operators=operators_zone().key,
    )


@console.route("/me/password", methods=BOTH)
@needs("me.see")
def me_password() -> ResponseReturnValue:
    """Change one's own password; one has to log in again, everywhere."""
    form = PasswordForm()
    ask = Ask(
        "Change your password",
        "Change it",
        url_for("operator.me"),
        intro="You are logged out everywhere, here as well, and log in with the new one.",
    )

    def change() -> object:
        old, new = Secret(form.old.data or ""), Secret(form.password.data or "")
        me, vault = actor().id or 0, installation().vault
        return staff.change_password(db(), vault, me, old, new, client_address(), now())

    return act(
        form,
        lambda: proven(form.old, WRONG_PASSWORD, change),
        ask,
        done="",
        result=lambda _: log_in_again("Your password is changed. Log in with the new one."),
    )


@console.route("/me/time-zone", methods=BOTH)
@needs("me.see")
def me_timezone() -> ResponseReturnValue:
    """Choose the zone that one's own pages show times in."""
    form = ZoneForm(data={"zone": log_in_page(db(), staff.REALM, actor().id or 0).timezone or ""})
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
    if ref not in {one.ref for one in _own()}:
        abort(404)
    ask = Ask(
        "End this log-in",
        "End it",
        url_for("operator.me"),
        intro="Whoever uses it has to log in again.",
        tone="bad",
    )
    do = lambda: sessions.close_own(db(), staff.REALM.name, actor().id or 0, ref)  # noqa: E731
    return act(CommandForm(), do, ask, done="That log-in is over.")


@console.route("/me/sessions/end-others", methods=BOTH)
@needs("me.see")
def me_end_others() -> ResponseReturnValue:
    """End all of one's own log-ins but this one."""
    ask = Ask(
        "End your other log-ins",
        "End them",
        url_for("operator.me"),
        intro="Everywhere but here you have to log in again.",
    )
    return act(
        CommandForm(),
        lambda: sessions.close_own(db(), staff.REALM.name, actor().id or 0, None, kept=own_token()),
        ask,
        done=lambda ended: f"Ended: {ended}. You are logged in only here.",
    )


def _own() -> list[SessionView]:
    return sessions.list_sessions(db(), staff.REALM.name, actor().id or 0, now())
