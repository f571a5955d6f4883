"""Who is at the other end. A log-in is a row; the cookie holds its random name, so that a row gone is a log-in over.

Flask-Login asks `find_person` once a request. People of three realms (staff, reseller, cardholder) can be logged in;
the realm stands before the number in `get_id`, so that no two are ever taken for each other.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlencode
from zoneinfo import available_timezones

from flask import Flask, g, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_login import LoginManager, current_user
from werkzeug.wrappers import Request

from engine.actor import Actor
from engine.cards import holder
from engine.people import resellerpeople, sessions, staff
from engine.permissions import may
from engine.vault import Secret
from portal.installation import db, now
from portal.respond import go_to, this_address

STAFF, RESELLER, CARDHOLDER = "staff", "reseller", "cardholder"
DESK = "/desk"
"""Where all pages of the reseller's desk are."""
ZONE_COOKIE = "cardtone-zone"
_REALM, _TOKEN, _LOOK = "realm", "token", "look"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who is logged in."""

    realm: str
    id: int
    name: str
    role: str
    reseller_id: int | None = None
    timezone: str | None = None

    is_authenticated = True
    is_active = True
    is_anonymous = False

    def get_id(self) -> str:
        """A name that is unique over the realms, such as `staff:3`."""
        return f"{self.realm}:{self.id}"

    @property
    def actor(self) -> Actor:
        """This person as the engine's commands take them."""
        return Actor(self.realm, self.id, self.name, self.role, self.reseller_id)


def init_app(app: Flask) -> None:
    """Let Flask-Login find the person behind a request by our rows."""
    # Its context processor would ask the database for every page, the one included that says the database is gone.
    manager = LoginManager()
    manager.init_app(app, add_context_processor=False)
    manager.session_protection = None  # guards a kind of session that is not used here
    manager.request_loader(find_person)
    manager.unauthorized_handler(ask_to_log_in)
    app.jinja_env.globals["known_person"] = known_person


def find_person(_request: Request) -> Person | None:
    """The person whose log-in this request carries, if it still stands."""
    carried = _carried()
    if carried is None:
        return None
    realm, token = carried
    found = sessions.find_session(db(), realm, token, now())
    person = None if found is None else _FINDERS[realm](found.subject_id)
    if person is not None:
        g.actor_name = person.get_id()
    return person


def _find_staff(staff_id: int) -> Person | None:
    identity = staff.find_staff(db(), staff_id)
    if identity is None:
        return None
    return Person(STAFF, identity.id, identity.name, identity.role, timezone=identity.timezone)


def _find_reseller_person(person_id: int) -> Person | None:
    found = resellerpeople.find_person(db(), person_id)
    if found is None:
        return None
    return Person(RESELLER, found.id, found.name, found.role, found.reseller_id)


def _find_cardholder(card_id: int) -> Person | None:
    card = holder.read_own(db(), card_id, now())
    if card is None:
        return None
    g.own_card = card
    return Person(CARDHOLDER, card_id, card.serial, CARDHOLDER, timezone=browsers_zone())


def browsers_zone() -> str | None:
    """The time zone that this browser's clock is set to, where its cookie says so."""
    name = request.cookies.get(ZONE_COOKIE, "")
    return name if name in _known_zones() else None


@functools.cache
def _known_zones() -> frozenset[str]:
    return frozenset(available_timezones())  # looks through the folder of zones each time


_FINDERS: dict[str, Callable[[int], Person | None]] = {
    STAFF: _find_staff,
    RESELLER: _find_reseller_person,
    CARDHOLDER: _find_cardholder,
}
"""Who a session's subject is, for each realm that has pages."""


def actor() -> Actor:
    """Who is logged in, as the engine's commands take them; only where somebody is."""
    found: Actor = current_user.actor
    return found


def known_person() -> Person | None:
    """Who asks, or None."""
    return current_user._get_current_object() if current_user.is_authenticated else None


def log_in(realm: str, token: Secret) -> None:
    """Carry the session that the engine opened; whatever this browser carried before is over."""
    log_out()
    session.permanent = True
    session[_REALM] = realm
    session[_TOKEN] = token.value


def log_out() -> None:
    """End this browser's log-in: its row goes, and with it every copy of the cookie."""
    carried = _carried()
    session.clear()
    if carried is not None:
        sessions.close_session(db(), *carried)


def look_at(reseller_id: int | None) -> None:
    """Have the staff of this log-in see a reseller's desk; None: no more. It ends with the log-in."""
    session.pop(_LOOK, None)
    if reseller_id is not None:
        session[_LOOK] = reseller_id


def looked_at() -> int | None:
    """The reseller whose desk the staff of this log-in look at, as long as they may."""
    person, found = known_person(), session.get(_LOOK)
    if person is None or person.realm != STAFF or not may(person.actor, "resellers.see"):
        return None
    return found if isinstance(found, int) else None


def own_token() -> Secret | None:
    """The token of the log-in that this request carries."""
    carried = _carried()
    return None if carried is None else carried[1]


def _carried() -> tuple[str, Secret] | None:
    realm, token = session.get(_REALM), session.get(_TOKEN)
    if realm not in _FINDERS or not isinstance(token, str):
        return None
    return realm, Secret(token)


def ask_to_log_in() -> ResponseReturnValue:
    """Send somebody to the log-in, and back afterwards to the page they wanted to read."""
    wanted = this_address()
    query = f"?{urlencode({'next': wanted})}" if wanted and wanted not in ("/", DESK) else ""
    return go_to(url_for("reseller.log_in" if is_desks(request.path) else "operator.log_in") + query)


def is_desks(path: str) -> bool:
    """Whether a path belongs to the reseller's desk."""
    return f"{path}/".startswith(f"{DESK}/")
