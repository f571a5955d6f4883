"""Log in and log out."""

from __future__ import annotations

from flask import request, session, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user

from engine.errors import Unauthorized
from engine.messages import sentence
from engine.people import staff
from engine.people.entrance import EnrolmentNeeded, SecondNeeded
from engine.people.staff import StaffIdentity
from engine.refusal import Refusal
from engine.vault import Secret
from portal import sessions
from portal.formats import duration
from portal.installation import db, installation, now
from portal.operator.console import console, needs
from portal.operator.forms import CodeForm, LogInForm
from portal.operator.people import enrolment
from portal.respond import go_to, inner_path, respond
from portal.security import client_address

_TICKET = "ticket"
"""Where the cookie keeps the first step's proof until the second is taken; it is no log-in."""
NO = "That log-in name and password don't fit together."
NO_CODE = "That code is not right, or was used before. Wait for the next one."
WAIT = "Too many tries. Wait {} before the next one."


@console.get("/log-in")
def log_in() -> ResponseReturnValue:
    """The form; whoever is logged in already goes on."""
    wanted = inner_path(request.args.get("next"), url_for("operator.home"))
    if current_user.is_authenticated:
        return go_to(wanted)
    return respond("operator/log_in.html", block="form", form=LogInForm(next=wanted), refusal=None)


@console.post("/log-in")
def log_in_post() -> ResponseReturnValue:
    """Try a log-in. Every failure says the same; only being too quick is told."""
    form = LogInForm()
    if not form.validate_on_submit():
        return respond("operator/log_in.html", block="form", status=422, form=form, refusal=None)
    wanted = inner_path(form.next.data, url_for("operator.home"))
    try:
        outcome = staff.log_in(
            db(), installation().vault, form.login.data, Secret(form.password.data), client_address(), now()
        )
        if isinstance(outcome, SecondNeeded):
            session[_TICKET] = outcome.ticket.value
            return go_to(url_for("operator.log_in_code", next=wanted))
        if isinstance(outcome, EnrolmentNeeded):
            enrolment.keep(outcome.ticket)
            return go_to(url_for("operator.log_in_enrol", next=wanted))
        if isinstance(outcome, StaffIdentity):
            return _enter(outcome, wanted)
    except Unauthorized as error:
        return respond("operator/log_in.html", block="form", status=422, form=form, refusal=sentence(error))
    return _refused("operator/log_in.html", form, outcome, NO)


@console.get("/log-in/code")
def log_in_code() -> ResponseReturnValue:
    """The form for the second step, for who took the first."""
    wanted = inner_path(request.args.get("next"), url_for("operator.home"))
    if _TICKET not in session:
        return go_to(url_for("operator.log_in", next=wanted))
    return respond("operator/log_in_code.html", block="form", form=CodeForm(next=wanted), refusal=None)


@console.post("/log-in/code")
def log_in_code_post() -> ResponseReturnValue:
    """Try a code. What took too long begins anew at the first step."""
    form = CodeForm()
    wanted = inner_path(form.next.data, url_for("operator.home"))
    if not form.validate_on_submit():
        return respond("operator/log_in_code.html", block="form", status=422, form=form, refusal=None)
    ticket = Secret(str(session.get(_TICKET, "")))
    try:
        outcome = staff.prove_second(
            db(), installation().vault, ticket, form.code.data, client_address(), now()
        )
        if isinstance(outcome, StaffIdentity):
            return _enter(outcome, wanted)
    except Unauthorized:
        session.pop(_TICKET, None)
        return go_to(url_for("operator.log_in", next=wanted))
    return _refused("operator/log_in_code.html", form, outcome, NO_CODE)


def _enter(identity: StaffIdentity, wanted: str) -> ResponseReturnValue:
    token = staff.open_session(db(), identity, client_address(), now())
    sessions.log_in(sessions.STAFF, token)
    return go_to(wanted)


def _refused(template: str, form: LogInForm | CodeForm, refusal: Refusal, no: str) -> ResponseReturnValue:
    seconds = refusal.retry_after_s
    text = no if seconds is None else WAIT.format(duration(seconds))
    response = respond(
        template, block="form", status=422 if seconds is None else 429, form=form, refusal=text
    )
    if seconds is not None:
        response.headers["Retry-After"] = str(seconds)
    return response


@console.post("/log-out")
@needs("me.see")
def log_out() -> ResponseReturnValue:
    """End this log-in."""
    sessions.log_out()
    return go_to(url_for("operator.log_in"))
