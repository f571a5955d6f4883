"""What people read when something is wrong: what happened in plain words, and a way on. Never a trace or a code.

The switch API is an application of its own and has its own errors.
"""

from __future__ import annotations

from typing import NamedTuple

import structlog
from flask import Flask, Response, request
from flask.typing import ResponseReturnValue
from flask_babel import lazy_gettext as _
from flask_babel.speaklater import LazyString
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import HTTPException, ServiceUnavailable, default_exceptions

from engine.errors import (
    Conflict,
    EngineError,
    EngineUnavailable,
    Forbidden,
    InvalidInput,
    NotFound,
    Refused,
    Unauthorized,
)
from portal import requestlog
from portal.cardholder.languages import is_cardholders
from portal.respond import into_notices, respond, this_address, wants_part
from portal.security import SAFE_METHODS
from portal.sessions import CARDHOLDER, DESK, RESELLER, STAFF, is_desks, known_person, looked_at
from portal.speech import sentence

RETRY_AFTER_S = 5


class Busy(ServiceUnavailable):
    """So much is being drawn that this one would wait too long; a later try succeeds."""

    def __init__(self) -> None:
        super().__init__(retry_after=RETRY_AFTER_S)


class Words(NamedTuple):
    """An error page: its heading and what to do, in the language of the page."""

    title: str | LazyString
    advice: str | LazyString


WORDS = {
    400: Words(
        _("This request could not be read"), _("Go back, load the page again and repeat what you did.")
    ),
    403: Words(_("Nothing was changed"), _("You may not do this.")),
    404: Words(
        _("There is nothing here"),
        _("The address may be mistyped, or what it led to is gone. Start again below."),
    ),
    405: Words(_("This address doesn't take that"), _("Go back and use the buttons of the page.")),
    413: Words(_("That is too large"), _("Send less at a time, or a smaller file.")),
    422: Words(_("Something in it is not right"), _("Go back, check what you filled in, and send it again.")),
    429: Words(_("Too many tries"), _("Wait a little, then try again.")),
    500: Words(
        _("Something went wrong on our side"),
        _("It has been logged. Try again; if it stays, tell whoever runs this."),
    ),
    503: Words(_("The database doesn't answer"), _("Nothing is lost. Try again in a few seconds.")),
}
FORGED = Words(
    _("Nothing was changed"),
    _(
        "The page was open for too long, or the request didn't come from it. Load the page again and repeat what you"
        " did."
    ),
)
BUSY = Words("Others are being served at this moment", "Nothing is lost. Try again in a few seconds.")
CARDHOLDERS = {
    503: Words(_("We can't be reached at this moment"), _("Nothing is lost. Try again in a few seconds.")),
}
"""What is said differently to a cardholder."""
_ENGINE_STATUS = (
    (EngineUnavailable, 503),
    (NotFound, 404),
    (InvalidInput, 422),
    (Conflict, 409),
    (Refused, 409),
    (Unauthorized, 403),
    (Forbidden, 403),
)


def init_app(app: Flask) -> None:
    """Show every error as one of our pages."""
    for code in default_exceptions:
        app.register_error_handler(code, on_http_error)
    app.register_error_handler(EngineError, on_engine_error)
    app.register_error_handler(Exception, on_crash)


def on_http_error(error: HTTPException) -> ResponseReturnValue:
    """An error that a status names."""
    if isinstance(error, CSRFError):
        return page(403, FORGED)
    status = error.code or 500
    if 300 <= status < 400:
        return error.get_response()  # a redirect is an exception too
    response = page(status, BUSY if isinstance(error, Busy) and not is_cardholders(request.path) else None)
    for name, value in error.get_headers(request.environ):
        if name in ("Allow", "Retry-After"):
            response.headers[name] = value
    return response


def on_engine_error(error: EngineError) -> ResponseReturnValue:
    """A rule of the engine that no form said more about, or an engine that cannot work now."""
    for kind, status in _ENGINE_STATUS:
        if isinstance(error, kind):
            said = isinstance(error, (Conflict, Refused, Forbidden))
            looks = isinstance(error, Forbidden) and request.method in SAFE_METHODS
            title = "You can't open this" if looks else _("Nothing was changed")
            response = page(status, Words(title, sentence(error)) if said else None)
            if status == 503:
                response.headers["Retry-After"] = str(RETRY_AFTER_S)
            return response
    return on_crash(error)


def on_crash(error: Exception) -> ResponseReturnValue:
    """A defect. What it says may hold what must not be logged: only its kind and where it was are."""
    structlog.get_logger("portal").error("crash", **requestlog.described(error))
    return page(500)


def page(status: int, words: Words | None = None) -> Response:
    """An error page, or the notice that htmx puts on top of the page that is open."""
    own = CARDHOLDERS.get(status) if is_cardholders(request.path) else None
    shown = words or own or WORDS.get(status) or (WORDS[500] if status >= 500 else WORDS[400])
    again = this_address() if status in (429, 500, 503) else None
    response = respond(
        "error.html",
        block="notice",
        status=status,
        # As text, which is escaped; lazy sentences are taken for markup.
        words=Words(str(shown.title), str(shown.advice)),
        again=again,
        shell=_shell(status, words),
        start=_pages()[2],
        reference=requestlog.reference() if status == 500 else None,
    )
    return into_notices(response) if wants_part() else response


def _shell(status: int, words: Words | None) -> str:
    """The template around an error: that of its pages, and a bare one where it could fail itself."""
    # A page that says that the database is gone must not ask it who is reading.
    if status >= 500 or words is FORGED or not _known():
        return "layout.html"
    return _pages()[1]


def _pages() -> tuple[str, str, str]:
    """Whose pages these are: the realm of their readers, the shell around them, their first page."""
    if is_cardholders(request.path):
        return CARDHOLDER, "cardholder/layout.html", "/card"
    if is_desks(request.path):
        return RESELLER, "reseller/desk.html", DESK
    return STAFF, "console.html", "/"


def _known() -> bool:
    """Whether somebody of these pages is logged in; an error page must not fail over that question."""
    try:
        person, realm = known_person(), _pages()[0]
        if person is not None and person.realm == STAFF and realm == RESELLER:
            return looked_at() is not None
        return person is not None and person.realm == realm
    except Exception:
        return False
