"""Light, dark, or as the device says: a cookie of its own, set by a plain form, read when a page is made."""

from __future__ import annotations

from flask import Flask, request
from flask.typing import ResponseReturnValue

from portal.respond import go_to, inner_path, this_address

COOKIE = "cardtone-theme"
CHOICES = ("auto", "light", "dark")
_YEAR_S = 365 * 24 * 3600


def init_app(app: Flask) -> None:
    """Take the choice at `/theme`, and give templates `theme()` and `this_page()`."""
    app.jinja_env.globals.update(theme=theme, this_page=this_page, this_path=this_path)

    @app.post("/theme")
    def choose_theme() -> ResponseReturnValue:
        choice = request.form.get("theme", "")
        response = go_to(inner_path(request.form.get("next"), "/"))
        if choice in CHOICES:
            response.set_cookie(
                COOKIE,
                choice,
                max_age=_YEAR_S,
                secure=app.config["SESSION_COOKIE_SECURE"],
                httponly=True,
                samesite="Lax",
            )
        return response


def theme() -> str:
    """The reader's choice."""
    choice = request.cookies.get(COOKIE, "")
    return choice if choice in CHOICES else "auto"


def this_page() -> str:
    """The address to come back to: this page where it can be asked for again, else the start."""
    return this_address() or "/"


def this_path() -> str:
    """The address that a form of this page is sent to: its path and what stands behind the `?`."""
    return request.full_path.rstrip("?")
