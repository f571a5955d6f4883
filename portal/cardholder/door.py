"""The door of the cardholder's pages: what is open to all, whose card the rest is about, how their browser is known.

Everything asks for a log-in but what says otherwise. Who is logged in is a card, never a person: whatever is shown or
done is looked up by that card alone.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import urlencode

from flask import Blueprint, Response, current_app, g, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user

from engine.actor import Actor
from engine.cards.access import Browser
from engine.cards.holder import HolderCard
from portal.cardholder.languages import is_cardholders
from portal.respond import go_to, inner_path, this_address
from portal.security import client_address
from portal.sessions import CARDHOLDER

V = TypeVar("V", bound=Callable[..., ResponseReturnValue])

holder = Blueprint("cardholder", __name__, url_prefix="/card")
_YEAR_S = 365 * 24 * 3600


def open_to_all(view: V) -> V:
    """Let a page be seen without a log-in. Stands beneath the route."""
    view.open_to_all = True  # type: ignore[attr-defined]
    return view


def is_open(endpoint: str) -> bool:
    """Whether a page is open to all."""
    return bool(getattr(current_app.view_functions.get(endpoint), "open_to_all", False))


@holder.before_request
def only_whose_card_it_is() -> ResponseReturnValue | None:
    """Ask for a log-in where a page is not open to all."""
    if is_open(request.endpoint or "") or logged_in():
        return None
    wanted = this_address()
    query = f"?{urlencode({'next': wanted})}" if wanted and wanted != url_for("cardholder.home") else ""
    return go_to(url_for("cardholder.log_in") + query)


def logged_in() -> bool:
    """Whether somebody is logged in with a card."""
    return bool(current_user.is_authenticated and current_user.realm == CARDHOLDER)


def own_card() -> HolderCard:
    """The card that is logged in, as it was read for this request."""
    card: HolderCard = g.own_card
    return card


def actor() -> Actor:
    """Its holder, as the engine's commands take them."""
    return Actor(CARDHOLDER, own_card().card_id, own_card().serial)


def wanted_page(target: str | None) -> str:
    """Where to go after a log-in: a cardholder's page, else home."""
    home = url_for("cardholder.home")
    path = inner_path(target, home)
    return path if is_cardholders(path.partition("?")[0]) else home


# --- the browser, which a right password makes known to its card ---


def browser() -> Browser:
    """The browser that asks, by the id in its cookie; it gets one with its first try."""
    if "browser_id" not in g:
        g.browser_id = request.cookies.get(_cookie(), "")[:64] or secrets.token_urlsafe(24)
    return Browser(client_address(), g.browser_id)


def keep_browser(response: Response) -> Response:
    """Let this browser keep its id."""
    response.set_cookie(
        _cookie(),
        browser().browser or "",
        max_age=_YEAR_S,
        secure=current_app.config["SESSION_COOKIE_SECURE"],
        httponly=True,
        samesite="Lax",
        path="/",
    )
    return response


def _cookie() -> str:
    return "__Host-cardtone-browser" if current_app.config["SESSION_COOKIE_SECURE"] else "cardtone-browser"
