"""The door of the reseller's desk: whose desk it is, what each page asks of a role, and the bar of its sections.

Everything is about one reseller: `shop()`. Views are asked for with its `reseller_id`, commands with `actor()`, which
carries it; what belongs to another reseller doesn't exist (404). Routes are written without the `/desk` before them.

Staff may look at a desk as its people see it (`looking`): they read what `TO_LOOK` opens, change nothing, and are asked
for no log-in of the reseller's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from flask import Blueprint, abort, g, request
from flask.typing import ResponseReturnValue
from flask_login import current_user

from engine.actor import Actor
from engine.people import resellers
from engine.permissions import may as may_
from engine.permissions import require
from portal.errors import Words, page
from portal.installation import db
from portal.operator.console import needed, needs, permission_of
from portal.security import SAFE_METHODS
from portal.sessions import DESK, RESELLER, STAFF, ask_to_log_in, looked_at

__all__ = ["SECTIONS", "Section", "Shop", "actor", "desk", "may", "needs", "sections", "shop"]

desk = Blueprint("reseller", __name__, url_prefix=DESK)
OPEN = frozenset(
    {
        "reseller.log_in",
        "reseller.log_in_post",
        "reseller.log_in_code",
        "reseller.log_in_code_post",
        "reseller.log_in_enrol",
        "reseller.log_in_enrol_post",
    }
)
"""What may be seen without a log-in."""
FREE = frozenset({"reseller.leave", "reseller.till_look"})
"""What is posted and changes nothing of the reseller's: who only looks may do it."""
TO_LOOK = frozenset({"desk.see", "desk.owner.see"})
"""The permissions that only show something: what staff who look may open."""
ONLY_LOOKING = Words(
    "You only look at this desk",
    "Nothing was changed. What its people can do here is done by them, or by you in the console.",
)
SECTIONS = (
    ("Till", DESK),
    ("Stock", f"{DESK}/stock"),
    ("Print", f"{DESK}/print"),
    ("Sales", f"{DESK}/sales"),
    ("Credit", f"{DESK}/credit"),
    ("People", f"{DESK}/people"),
    ("Brand", f"{DESK}/brand"),
)
"""The bar. Who sees an entry is what its page asks for; one without a page is not shown."""
UNDER = {
    f"{DESK}/range": DESK,
    f"{DESK}/recharge": DESK,
    f"{DESK}/shipments": f"{DESK}/stock",
    f"{DESK}/statements": f"{DESK}/credit",
}
"""Pages with an address of their own that belong to an entry."""


@dataclass(frozen=True, slots=True)
class Shop:
    """The reseller whose desk this is. `discount_bp`: hundredths of a percent; `looking`: staff look at it."""

    reseller_id: int
    name: str
    discount_bp: int
    looking: bool


class Section(NamedTuple):
    """An entry of the bar."""

    title: str
    url: str
    current: bool


@desk.before_request
def only_its_people() -> ResponseReturnValue | None:
    """Everything but the log-in is for a reseller's people, each page for whom its permission names."""
    if request.endpoint in OPEN:
        return None
    here = _shop()
    if here is None:
        return ask_to_log_in()
    permission = needed(request.endpoint or "")
    if permission is None:
        abort(403)
    if not here.looking:
        require(actor(), permission)
    elif request.endpoint not in FREE and (request.method not in SAFE_METHODS or permission not in TO_LOOK):
        return page(403, ONLY_LOOKING)
    return None


@desk.context_processor
def names_of_the_desk() -> dict[str, object]:
    """What templates of the desk, and those that it shares with the console, find here."""
    return {"may": may, "shell": "reseller/desk.html"}


def shop() -> Shop:
    """The reseller whose desk this is; only behind the door."""
    here = _shop()
    if here is None:
        abort(404)
    return here


def actor() -> Actor:
    """Who acts at the desk, as the engine's commands take them. Who only looks has a role that may do nothing."""
    here = shop()
    if here.looking:
        return Actor("reseller", None, current_user.name, "looking", here.reseller_id)
    found: Actor = current_user.actor
    return found


def may(permission: str) -> bool:
    """Whether the reader's role allows this here: what they may not do is not offered. Who looks may only look."""
    here = _shop()
    if here is None:
        return False
    return permission in TO_LOOK if here.looking else may_(actor(), permission)


def sections() -> list[Section]:
    """What the reader may open, the one that is open marked."""
    paths = [(title, path) for title, path in SECTIONS if _may_open(path)]
    under = (section for begin, section in UNDER.items() if _inside(begin))
    here = next(under, None) or max((path for _, path in paths if _inside(path)), key=len, default=None)
    return [Section(title, path, path == here) for title, path in paths]


def _may_open(path: str) -> bool:
    permission = permission_of(path)
    return permission is not None and may(permission)


def _inside(path: str) -> bool:
    return request.path == path if path == DESK else f"{request.path}/".startswith(f"{path}/")


def _shop() -> Shop | None:
    """The reseller of who is logged in, or the one that staff look at; asked once a request."""
    if "shop" not in g:
        g.shop = _found()
    found: Shop | None = g.shop
    return found


def _found() -> Shop | None:
    if not current_user.is_authenticated:
        return None
    looking = current_user.realm == STAFF
    own = current_user.reseller_id if current_user.realm == RESELLER else None
    reseller_id = looked_at() if looking else own
    view = None if reseller_id is None else resellers.reseller_page(db(), reseller_id)
    return None if view is None else Shop(view.id, view.name, view.discount_bp, looking)
