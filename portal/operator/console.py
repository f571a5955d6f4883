"""The console's blueprint: its door, what each page asks of a role, and the rail with the tabs of its sections."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar

from flask import Blueprint, abort, current_app, request
from flask.typing import ResponseReturnValue
from flask_login import current_user
from werkzeug.exceptions import HTTPException

from engine.permissions import PERMISSIONS, require
from engine.permissions import may as may_
from portal.sessions import STAFF, actor, ask_to_log_in

__all__ = ["SECTIONS", "Section", "Tab", "actor", "console", "may", "needed", "needs", "sections"]

V = TypeVar("V", bound=Callable[..., ResponseReturnValue])

console = Blueprint("operator", __name__)
OPEN = frozenset(
    {
        "operator.log_in",
        "operator.log_in_post",
        "operator.log_in_code",
        "operator.log_in_code_post",
        "operator.log_in_enrol",
        "operator.log_in_enrol_post",
    }
)
"""What may be seen without a log-in."""

SECTIONS: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    ("Home", (("Home", "/"),)),
    ("Cards", (("Search", "/cards"), ("Many at once", "/bulk"))),
    (
        "Batches",
        (
            ("Batches", "/batches"),
            ("Import cards", "/batches/import"),
            ("Export templates", "/templates"),
            ("Print runs", "/print"),
            ("Card designs", "/designs"),
            ("Printers", "/printers"),
        ),
    ),
    (
        "Rates",
        (("Rate decks", "/rates"), ("Look-up", "/rates/look-up"), ("Destination groups", "/rates/groups")),
    ),
    (
        "Calls",
        (
            ("Live", "/calls/live"),
            ("Ended", "/calls"),
            ("Refused", "/calls/refused"),
            ("Flagged", "/calls/flagged"),
            ("Exports", "/calls/exports"),
        ),
    ),
    (
        "Money",
        (
            ("Payments", "/money"),
            ("Ledger", "/money/ledger"),
            ("Accounts", "/money/accounts"),
            ("Online", "/money/online"),
            ("Reports", "/money/reports"),
        ),
    ),
    (
        "Resellers",
        (("Resellers", "/resellers"), ("Shipments", "/shipments"), ("By month", "/resellers/statements")),
    ),
    (
        "Rules",
        (
            ("Settings", "/settings"),
            ("Switches", "/settings/switches"),
            ("Access numbers", "/settings/access-numbers"),
            ("Destinations", "/settings/destinations"),
            ("Auto-recharge", "/settings/auto-recharge"),
            ("Bonus", "/settings/bonus"),
            ("Brand", "/settings/brand"),
        ),
    ),
    ("People", (("Staff", "/people"), ("Consents", "/people/consents"), ("Audit trail", "/audit"))),
    ("Work", (("Background work", "/work"), ("Timetable", "/work/timetable"), ("Alarms", "/alarms"))),
)
"""The rail: each section with its tabs. Who sees a tab is what its page asks for; it is not said twice."""


class Tab(NamedTuple):
    """A page of a section as the tab bar shows it."""

    title: str
    url: str
    current: bool


class Section(NamedTuple):
    """An entry of the rail: where it leads, and the tabs that its reader may open."""

    title: str
    url: str
    current: bool
    tabs: tuple[Tab, ...]


def needs(permission: str) -> Callable[[V], V]:
    """Say what opens a page: a permission of `engine.permissions`. Stands beneath the route of every view."""
    if permission not in PERMISSIONS:
        raise LookupError(f"nobody may {permission}: it is missing in PERMISSIONS")

    def mark(view: V) -> V:
        view.needs = permission  # type: ignore[attr-defined]
        return view

    return mark


@console.context_processor
def shell_of_the_console() -> dict[str, str]:
    """What stands around pages that the reseller's desk has, too."""
    return {"shell": "console.html"}


@console.before_request
def only_whom_it_is_for() -> ResponseReturnValue | None:
    """Everything but the log-in is for staff, each page for whom its permission names. Nothing is open by chance."""
    if request.endpoint in OPEN:
        return None
    if not (current_user.is_authenticated and current_user.realm == STAFF):
        return ask_to_log_in()
    permission = needed(request.endpoint or "")
    if permission is None:
        abort(403)
    require(actor(), permission)
    return None


def needed(endpoint: str) -> str | None:
    """The permission that a page asks for; None where it says none, which opens it to nobody."""
    return getattr(current_app.view_functions.get(endpoint), "needs", None)


def may(permission: str) -> bool:
    """Whether the reader's role allows this: what they may not do is not offered."""
    return current_user.is_authenticated and may_(actor(), permission)


def sections() -> list[Section]:
    """What the reader may open, with the open section and tab marked."""
    shown = [(title, [tab for tab in tabs if _may_open(tab[1])]) for title, tabs in SECTIONS]
    here = max((path for _, tabs in shown for _, path in tabs if _inside(path)), key=len, default=None)
    made = []
    for title, tabs in shown:
        if tabs:
            items = tuple(Tab(name, path, path == here) for name, path in tabs)
            made.append(Section(title, items[0].url, any(tab.current for tab in items), items))
    return made


def _inside(path: str) -> bool:
    return request.path == path if path == "/" else f"{request.path}/".startswith(f"{path}/")


def _may_open(path: str) -> bool:
    permission = permission_of(path)
    return permission is not None and may(permission)


def permission_of(path: str) -> str | None:
    """What the page at an address asks for; None where there is none."""
    try:
        endpoint, _ = current_app.url_map.bind("").match(path)
    except HTTPException:
        return None
    return needed(endpoint)
