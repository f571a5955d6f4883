"""What is shown once: a new password, the secret of an authenticator app, recovery codes. None of it is kept."""

from __future__ import annotations

from collections.abc import Sequence

import segno
from flask import request
from flask.typing import ResponseReturnValue

from engine.people.totp import Enrolment
from engine.vault import Secret
from portal.installation import installation
from portal.operator.people.forms import EnrolForm
from portal.respond import respond


def show_password(
    name: str, login: str, password: Secret, back: str, *, where: str = ""
) -> ResponseReturnValue:
    """Somebody's new password. `where`: the page on which they log in, where whoever sees this may not know it."""
    told = [("Log-in page", _address(where))] if where else []
    return respond(
        "operator/once.html",
        block="form",
        title=f"The password of {name}",
        intro="Hand it over in person or by telephone; they can change the password on their own page.",
        secrets=[*told, ("Log-in name", login), ("Password", password.value)],
        back=back,
    )


def _address(path: str) -> str:
    return (installation().config.public_url or request.host_url.rstrip("/")) + path


def show_codes(
    codes: Sequence[Secret], back: str, *, template: str = "operator/people/codes.html"
) -> ResponseReturnValue:
    """Recovery codes, to copy or print."""
    return respond(template, block="form", codes=[code.value for code in codes], back=back)


def show_enrolment(
    begun: Enrolment,
    form: EnrolForm,
    action: str,
    back: str,
    *,
    template: str = "operator/people/enrol.html",
) -> ResponseReturnValue:
    """The secret for an authenticator app, as a QR code and to type, with the field for its first code."""
    text = begun.secret.value
    return respond(
        template,
        block="form",
        status=422 if form.refused else 200,
        form=form,
        qr=qr(begun.uri),
        secret=" ".join(text[at : at + 4] for at in range(0, len(text), 4)),
        action=action,
        back=back,
    )


def qr(text: Secret) -> str:
    """A QR code as the address of an image: black on white also where the page is dark, since cameras want it so."""
    drawn = segno.make(text.value, error="m", micro=False)
    return str(drawn.svg_data_uri(scale=4, border=4, dark="#000", light="#fff"))
