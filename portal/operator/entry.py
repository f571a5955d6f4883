"""Log in and log out."""

from __future__ import annotations

from flask import request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user

from engine.people import staff
from engine.refusal import Refusal
from engine.vault import Secret
from portal import sessions
from portal.formats import duration
from portal.installation import db, installation, now
from portal.operator.console import console
from portal.operator.forms import LogInForm
from portal.respond import go_to, inner_path, respond
from portal.security import client_address

NO = "That log-in name and password don't fit together."
WAIT = "Too many tries. Wait {} before the next one."


@console.get("/log-in")
def log_in() -> ResponseReturnValue:
    """The form; whoever is logged in already goes on."""
    wanted = inner_path(request.args.get("next"), url_for("operator.batches"))
    if current_user.is_authenticated:
        return go_to(wanted)
    return respond("operator/log_in.html", block="form", form=LogInForm(next=wanted), refusal=None)


@console.post("/log-in")
def log_in_post() -> ResponseReturnValue:
    """Try a log-in. Every failure says the same; only being too quick is told."""
    form = LogInForm()
    if not form.validate_on_submit():
        return respond("operator/log_in.html", block="form", status=422, form=form, refusal=None)
    outcome = staff.log_in(
        db(), installation().vault, form.login.data, Secret(form.password.data), client_address(), now()
    )
    if isinstance(outcome, Refusal):
        return _refused(form, outcome)
    sessions.log_in(sessions.STAFF, outcome.id)
    return go_to(inner_path(form.next.data, url_for("operator.batches")))


def _refused(form: LogInForm, refusal: Refusal) -> ResponseReturnValue:
    seconds = refusal.retry_after_s
    text = NO if seconds is None else WAIT.format(duration(seconds))
    response = respond(
        "operator/log_in.html", block="form", status=422 if seconds is None else 429, form=form, refusal=text
    )
    if seconds is not None:
        response.headers["Retry-After"] = str(seconds)
    return response


@console.post("/log-out")
def log_out() -> ResponseReturnValue:
    """End this log-in."""
    sessions.log_out()
    return go_to(url_for("operator.log_in"))
