"""One's own second factor: set up, recovery codes, given up. Each is proven anew: an open page is not the person."""

from __future__ import annotations

from flask import url_for
from flask.typing import ResponseReturnValue

from engine.errors import Conflict, InvalidInput, Unauthorized
from engine.people import entrance, secondfactor, staff
from engine.vault import Secret
from portal import sessions
from portal.forms import place
from portal.installation import db, installation, now
from portal.notices import said
from portal.operator.act import Ask, act
from portal.operator.console import actor, console, needs
from portal.operator.people.forms import (
    WRONG_CODE,
    WRONG_PASSWORD,
    CodesForm,
    EnrolForm,
    ProveForm,
    RemoveForm,
    proven,
)
from portal.operator.people.secrets import show_codes, show_enrolment
from portal.respond import go_to
from portal.security import client_address

BOTH = ["GET", "POST"]


@console.route("/me/second", methods=BOTH)
@needs("me.see")
def me_second() -> ResponseReturnValue:
    """Ask for the password, then show what the authenticator app must know."""
    form = ProveForm()
    vault, me = installation().vault, actor().id or 0

    def prove() -> object:
        password = Secret(form.password.data or "")
        return entrance.enrolment_ticket(db(), vault, staff.REALM, me, password, client_address(), now())

    def show(ticket: Secret) -> ResponseReturnValue:
        begun = secondfactor.begin_proven(db(), vault, staff.REALM, ticket, now(), me)
        return _show(EnrolForm(formdata=None, ticket=ticket.value), begun)

    ask = Ask(
        "Set up a second factor",
        "Go on",
        url_for("operator.me"),
        intro="You need an authenticator app on your phone. From then on a log-in takes your password and its code.",
    )
    return act(form, lambda: proven(form.password, WRONG_PASSWORD, prove), ask, done="", result=show)


@console.post("/me/second/confirm")
@needs("me.see")
def me_second_confirm() -> ResponseReturnValue:
    """Take the first code of the app, and show the recovery codes."""
    form = EnrolForm()
    vault, me, ticket = installation().vault, actor().id or 0, Secret(form.ticket.data or "")
    try:
        if form.validate():
            try:
                codes = secondfactor.confirm_proven(
                    db(), vault, staff.REALM, ticket, form.code.data or "", now(), me
                )
                return show_codes(codes, url_for("operator.me"))
            except InvalidInput as error:
                place(form, error)
        return _show(form, secondfactor.begun(db(), vault, staff.REALM, ticket, now(), me))
    except (Unauthorized, Conflict):
        said("That took too long, or was done already. Nothing was changed just now.", kind="warn")
        return go_to(url_for("operator.me"))


@console.route("/me/second/codes", methods=BOTH)
@needs("me.see")
def me_second_codes() -> ResponseReturnValue:
    """Ten new recovery codes."""
    form = CodesForm()
    ask = Ask(
        "New recovery codes",
        "Make new ones",
        url_for("operator.me"),
        intro="The ten you have now are worth nothing afterwards.",
    )

    def renew() -> object:
        return secondfactor.new_recovery_codes(
            db(),
            installation().vault,
            staff.REALM,
            actor().id or 0,
            form.code.data or "",
            client_address(),
            now(),
        )

    return act(
        form,
        lambda: proven(form.code, WRONG_CODE, renew),
        ask,
        done="",
        result=lambda codes: show_codes(codes, url_for("operator.me")),
    )


@console.route("/me/second/remove", methods=BOTH)
@needs("me.see")
def me_second_remove() -> ResponseReturnValue:
    """Give the second factor up; one has to log in again."""
    form = RemoveForm()
    ask = Ask(
        "Remove your second factor",
        "Remove it",
        url_for("operator.me"),
        intro="Whoever knows your password can log in as you afterwards. You are logged out everywhere.",
        tone="bad",
    )

    def remove() -> object:
        return secondfactor.remove(
            db(),
            installation().vault,
            staff.REALM,
            actor().id or 0,
            Secret(form.password.data or ""),
            form.code.data or "",
            client_address(),
            now(),
        )

    return act(
        form,
        lambda: proven(form.code, "The password or the code is not right.", remove),
        ask,
        done="",
        result=lambda _: log_in_again("Your second factor is removed. Log in by your password."),
    )


def log_in_again(text: str) -> ResponseReturnValue:
    """What ended one's own log-in as well leads to the log-in."""
    sessions.log_out()
    said(text)
    return go_to(url_for("operator.log_in", next=url_for("operator.me")))


def _show(form: EnrolForm, begun: secondfactor.Enrolment) -> ResponseReturnValue:
    return show_enrolment(begun, form, url_for("operator.me_second_confirm"), url_for("operator.me"))
