"""Log in with a card, log out, choose a language, and find help: what is open to everybody."""

from __future__ import annotations

from flask import Response, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from engine.calls import access_numbers
from engine.cards import holder as cards
from engine.cards import weblogin
from engine.refusal import Refusal
from engine.vault import Secret
from portal import sessions
from portal.cardholder import languages
from portal.cardholder.door import (
    browser,
    holder,
    keep_browser,
    logged_in,
    open_to_all,
    own_card,
    wanted_page,
)
from portal.cardholder.forms import LogInForm
from portal.cardholder.words import sentence
from portal.installation import db, installation, now
from portal.notices import said
from portal.respond import go_to, respond

_BLOCKING = ("locked", "expired", "damaged", "not_activated", "voucher_not_allowed")
"""What is told only to who had the right password, on a page of its own."""


@holder.get("/log-in")
@open_to_all
def log_in() -> ResponseReturnValue:
    """The form; whoever is logged in already goes on."""
    if logged_in():
        return go_to(wanted_page(request.args.get("next")))
    return _form(LogInForm(next=wanted_page(request.args.get("next"))))


@holder.post("/log-in")
@open_to_all
def log_in_post() -> ResponseReturnValue:
    """Try a log-in. Every failure says the same; what is wrong with a card is told once its password was right."""
    form = LogInForm()
    if not form.validate_on_submit():
        return _form(form, status=422)
    here = browser()
    outcome = weblogin.log_in_card(
        db(),
        installation().vault,
        form.number.data,
        Secret(form.password.data),
        here.address,
        here.browser,
        now(),
    )
    if isinstance(outcome, Refusal):
        return _refused(form, outcome)
    sessions.log_in(sessions.CARDHOLDER, outcome.session)
    response = keep_browser(go_to(wanted_page(form.next.data)))
    languages.keep_cards(response, outcome.language)
    return response


def _form(form: LogInForm, *, status: int = 200, refusal: str | None = None) -> Response:
    return respond("cardholder/log_in.html", status=status, form=form, refusal=refusal)


def _refused(form: LogInForm, refusal: Refusal) -> Response:
    if refusal.reason in _BLOCKING and refusal.serial is not None:
        shut = cards.why_shut(db(), refusal.serial, refusal.reason)
        return keep_browser(respond("cardholder/shut.html", status=403, shut=shut))
    status = 422 if refusal.retry_after_s is None else 429
    response = _form(form, status=status, refusal=sentence(refusal))
    if refusal.retry_after_s is not None:
        response.headers["Retry-After"] = str(refusal.retry_after_s)
    return response


@holder.post("/log-out")
def log_out() -> ResponseReturnValue:
    """End this log-in."""
    sessions.log_out()
    said(_("You are logged out."))
    return go_to(url_for("cardholder.log_in"))


@holder.post("/language")
@open_to_all
def choose_language() -> ResponseReturnValue:
    """Read these pages in another language, from now on, in this browser."""
    response = go_to(wanted_page(request.form.get("next")))
    choice = request.form.get("language", "")
    if choice in languages.LANGUAGES:
        languages.keep(response, choice)
    return response


@holder.get("/help")
@open_to_all
def help_page() -> ResponseReturnValue:
    """How to call, whom to ask, and what to tell them."""
    serial = own_card().serial if logged_in() else None
    return respond("cardholder/help.html", serial=serial, numbers=access_numbers.dialable(db()))
