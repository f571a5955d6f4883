"""Password, a lost card, and where the card is logged in."""

from __future__ import annotations

from typing import Any

from flask import Response, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext, ngettext
from wtforms.validators import ValidationError

from engine.cards import lifecycle
from engine.cards.passwords import LONGEST, SHORTEST, change_password
from engine.cards.phones import own_phones
from engine.people import sessions as log_ins
from engine.refusal import Refusal
from engine.vault import Secret
from portal import sessions
from portal.cardholder.door import actor, browser, holder, own_card
from portal.cardholder.forms import KeypadPasswordField
from portal.cardholder.words import sentence
from portal.forms import CommandForm, attempt
from portal.installation import db, installation, now
from portal.notices import said
from portal.respond import go_to, respond

_NEW = {"autocomplete": "new-password"}


class PasswordForm(CommandForm):
    """The present password, and another one twice."""

    present = KeypadPasswordField(
        lazy_gettext("Present password"), render_kw={"autocomplete": "current-password"}
    )
    chosen = KeypadPasswordField(lazy_gettext("New password"), render_kw=_NEW)
    again = KeypadPasswordField(lazy_gettext("New password once more"), render_kw=_NEW)

    def validate_again(self, field: Any) -> None:
        """Both must be the same."""
        if field.data != self.chosen.data:
            raise ValidationError(_("The two new passwords differ. Type both again."))


@holder.get("/security")
def security() -> ResponseReturnValue:
    """All of it on one page."""
    return _page(PasswordForm())


@holder.post("/security/password")
def change_password_post() -> ResponseReturnValue:
    """Change the password."""
    form = PasswordForm()
    kept: list[Refusal] = []
    card_id = own_card().card_id
    trusting = any(phone.pinless for phone in own_phones(db(), card_id, now()).phones)

    def change() -> Any:
        refusal = change_password(
            db(),
            installation().vault,
            card_id=card_id,
            present=Secret(form.present.data),
            chosen=Secret(form.chosen.data),
            browser=browser(),
            kept=sessions.own_token(),
            key=form.key.data,
            actor=actor(),
            now=now(),
        )
        kept.extend([refusal] if refusal else [])
        return True

    if not form.validate_on_submit():
        return _page(form, status=422)
    if attempt(form, change) is None:
        return _page(form, status=422)
    if not kept:
        said(
            _(
                "Your new password counts from now on, here and on the phone. Keep it in mind: we can't read it."
            )
        )
        if trusting:
            said(_("Your phones ask for the password again."))
        return go_to(url_for("cardholder.security"))
    return _refused(form, kept[0])


def _refused(form: PasswordForm, refusal: Refusal) -> Response:
    wrong = refusal.reason == "bad_credentials"
    form.refusal = _("Your present password is not right.") if wrong else sentence(refusal)
    response = _page(form, status=422 if refusal.retry_after_s is None else 429)
    if refusal.retry_after_s is not None:
        response.headers["Retry-After"] = str(refusal.retry_after_s)
    return response


@holder.post("/security/lost")
def report_lost() -> ResponseReturnValue:
    """Lock the card at once; this log-in ends, too."""
    card = own_card()
    lifecycle.lock(db(), card_id=card.card_id, reason="reported lost by its holder", actor=actor(), now=now())
    sessions.log_out()
    return respond("cardholder/lost.html", serial=card.serial)


@holder.post("/security/log-outs")
def end_log_ins() -> ResponseReturnValue:
    """End one other log-in, or all others."""
    ref = request.form.get("ref") or None
    ended = log_ins.close_own(db(), sessions.CARDHOLDER, own_card().card_id, ref, kept=sessions.own_token())
    said(
        ngettext("%(num)s other log-in was ended.", "%(num)s other log-ins were ended.", ended)
        if ended
        else _("There was nothing to end.")
    )
    return go_to(url_for("cardholder.security"))


def _page(form: PasswordForm, *, status: int = 200) -> Response:
    card, token = own_card(), sessions.own_token()
    return respond(
        "cardholder/security.html",
        status=status,
        card=card,
        form=form,
        length=(SHORTEST, LONGEST) if card.imported else (card.password_length,) * 2,
        log_ins=log_ins.list_sessions(db(), sessions.CARDHOLDER, card.card_id, now()),
        here=None if token is None else log_ins.ref_of(token),
    )
