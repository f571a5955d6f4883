"""A second factor set up as the last step of a log-in, where the house wants one and somebody has none.

Their password is proven; the cookie carries a ticket that opens nothing but this page. The log-in begins once a code of
the app was right.
"""

from __future__ import annotations

from flask import request, session, url_for
from flask.typing import ResponseReturnValue

from engine.errors import Conflict, InvalidInput, Unauthorized
from engine.people import secondfactor, staff
from engine.vault import Secret
from portal import sessions
from portal.forms import place
from portal.installation import db, installation, now
from portal.operator.console import console
from portal.operator.people.forms import EnrolForm
from portal.operator.people.secrets import show_codes, show_enrolment
from portal.respond import go_to, inner_path, respond
from portal.security import client_address

_TICKET = "enrolment"
PAGE, CODES = "operator/people/enrol_first.html", "operator/people/codes_first.html"


def keep(ticket: Secret) -> None:
    """Carry the proof of the password to this page; it is no log-in."""
    session[_TICKET] = ticket.value


@console.get("/log-in/enrol")
def log_in_enrol() -> ResponseReturnValue:
    """Say what comes; nothing is drawn before somebody asks for it."""
    wanted = inner_path(request.args.get("next"), "/")
    if _TICKET not in session:
        return go_to(url_for("operator.log_in", next=wanted))
    return respond(PAGE, block="form", form=EnrolForm(), qr=None, next=wanted)


@console.post("/log-in/enrol")
def log_in_enrol_post() -> ResponseReturnValue:
    """Show the secret, or take the first code of it and let somebody in."""
    wanted = inner_path(request.args.get("next"), "/")
    ticket = Secret(str(session.get(_TICKET, "")))
    form = EnrolForm()
    try:
        if request.form.get("step") != "confirm":
            begun = secondfactor.begin_proven(db(), installation().vault, staff.REALM, ticket, now())
            return _show(form, begun, wanted)
        if form.validate():
            try:
                return _enter(form, ticket, wanted)
            except InvalidInput as error:
                place(form, error)
        return _show(form, secondfactor.begun(db(), installation().vault, staff.REALM, ticket, now()), wanted)
    except (Unauthorized, Conflict):
        session.pop(_TICKET, None)
        return go_to(url_for("operator.log_in", next=wanted))


def _enter(form: EnrolForm, ticket: Secret, wanted: str) -> ResponseReturnValue:
    identity, codes = secondfactor.enrol_and_enter(
        db(), installation().vault, staff.REALM, ticket, form.code.data or "", client_address(), now()
    )
    sessions.log_in(sessions.STAFF, staff.open_session(db(), identity, client_address(), now()))
    return show_codes(codes, wanted, template=CODES)


def _show(form: EnrolForm, begun: secondfactor.Enrolment, wanted: str) -> ResponseReturnValue:
    action = url_for("operator.log_in_enrol_post", next=wanted)
    return show_enrolment(begun, form, action, url_for("operator.log_in"), template=PAGE)
