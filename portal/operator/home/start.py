"""The first page: what needs a person, then today; in an empty installation the way to the first call instead."""

from __future__ import annotations

import functools

from flask import current_app, request, url_for
from flask.typing import ResponseReturnValue

from engine.reports import home as needs_of
from engine.reports import today as figures
from portal import arguments
from portal.forms import CommandForm
from portal.installation import db, now, zone
from portal.notices import said
from portal.operator.console import actor, console, needs
from portal.respond import go_to, respond

_COOKIE, _HIDDEN, _YEAR_S = "cardtone-guide", "hidden", 365 * 24 * 3600
PARTS = ("needs", "today")


@console.get("/")
@needs("me.see")
def home() -> ResponseReturnValue:
    """The page, or the part of it that refreshes itself. Liability over many cards is summed only when asked for."""
    owed = figures.liability if arguments.flag("owed") else figures.liability_kept
    return respond(
        "operator/home/home.html",
        block=arguments.choice("part", PARTS),
        waiting=lambda: needs_of.waiting(db(), actor(), now()),
        today=functools.cache(lambda: figures.today(db(), zone(), now())),
        owed=lambda: owed(db(), now()),
        setup=needs_of.setup(db()),
        hidden=request.cookies.get(_COOKIE) == _HIDDEN,
        form=CommandForm(formdata=None),
    )


@console.get("/guide")
@needs("me.see")
def guide() -> ResponseReturnValue:
    """The way to the first call, also where it is hidden from the first page."""
    return respond(
        "operator/home/guide.html", setup=needs_of.setup(db()), hidden=False, form=CommandForm(formdata=None)
    )


@console.post("/guide/hide")
@needs("me.see")
def hide_guide() -> ResponseReturnValue:
    """Leave the guide out of the first page, in this browser."""
    response = go_to(url_for("operator.home"))
    said("The guide is hidden.", link=url_for("operator.guide"), link_text="Show it")
    response.set_cookie(
        _COOKIE,
        _HIDDEN,
        max_age=_YEAR_S,
        secure=current_app.config["SESSION_COOKIE_SECURE"],
        httponly=True,
        samesite="Lax",
    )
    return response
