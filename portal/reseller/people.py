"""Who works here: the owner adds people, changes them, keeps them out, and gives them new passwords."""

from __future__ import annotations

from flask import url_for
from flask.typing import ResponseReturnValue

from engine.people import resellerpeople
from engine.people.logins import LogIn, list_log_ins, log_in_page
from portal.installation import db
from portal.operator.people.acts import Desk
from portal.operator.resellers.people import CHOICES, add_somebody
from portal.reseller.door import actor, desk, needs, shop
from portal.respond import respond

BOTH = ["GET", "POST"]
PERSON = "/people/<int(max=9223372036854775807):person_id>"

PEOPLE = Desk(
    resellerpeople.REALM,
    resellerpeople.COMMANDS,
    CHOICES,
    lambda person: url_for("reseller.reseller_person", person_id=person.id),
    lambda person: url_for("reseller.reseller_person_enable", person_id=person.id),
)


@desk.get("/people")
@needs("desk.owner.see")
def people() -> ResponseReturnValue:
    """Everybody who has a log-in here."""
    found = list_log_ins(db(), resellerpeople.REALM, reseller_id=shop().reseller_id)
    return respond("reseller/people.html", people=found)


@desk.route("/people/new", methods=BOTH)
@needs("reseller_person.add")
def reseller_person_add() -> ResponseReturnValue:
    """Add somebody, with a password that is shown this once."""
    return add_somebody(shop().reseller_id, "Add somebody", url_for("reseller.people"))


@desk.get(PERSON)
@needs("desk.owner.see")
def reseller_person(person_id: int) -> ResponseReturnValue:
    """Somebody, and where they are logged in."""
    person = _found(person_id)
    return respond(
        "operator/resellers/person.html",
        person=person,
        reseller=None,
        own=actor().id == person_id,
        sessions=PEOPLE.sessions(person),
        end_of=lambda one: url_for("reseller.reseller_person_end_session", person_id=person_id, ref=one.ref),
    )


@desk.route(PERSON + "/change", methods=BOTH)
@needs("reseller_person.change")
def reseller_person_change(person_id: int) -> ResponseReturnValue:
    """Give somebody another name or role."""
    return PEOPLE.change_person(_found(person_id))


@desk.route(PERSON + "/disable", methods=BOTH)
@needs("reseller_person.disable")
def reseller_person_disable(person_id: int) -> ResponseReturnValue:
    """Keep somebody out."""
    return PEOPLE.disable_person(_found(person_id))


@desk.route(PERSON + "/enable", methods=BOTH)
@needs("reseller_person.enable")
def reseller_person_enable(person_id: int) -> ResponseReturnValue:
    """Let somebody back in."""
    return PEOPLE.enable_person(_found(person_id))


@desk.route(PERSON + "/password", methods=BOTH)
@needs("reseller_person.reset_password")
def reseller_person_password(person_id: int) -> ResponseReturnValue:
    """Give somebody a new password, shown this once."""
    return PEOPLE.reset_password(_found(person_id))


@desk.route(PERSON + "/second", methods=BOTH)
@needs("reseller_person.reset_totp")
def reseller_person_second(person_id: int) -> ResponseReturnValue:
    """Take the second factor of somebody away who lost it."""
    return PEOPLE.reset_second(_found(person_id))


@desk.route(PERSON + "/sessions/end", methods=BOTH)
@needs("reseller_person.end_sessions")
def reseller_person_end_sessions(person_id: int) -> ResponseReturnValue:
    """End all log-ins of somebody."""
    return PEOPLE.end_sessions(_found(person_id))


@desk.route(PERSON + "/sessions/<ref>/end", methods=BOTH)
@needs("reseller_person.end_sessions")
def reseller_person_end_session(person_id: int, ref: str) -> ResponseReturnValue:
    """End one log-in of somebody."""
    return PEOPLE.end_sessions(_found(person_id), ref)


def _found(person_id: int) -> LogIn:
    """Somebody of this reseller; nobody else exists here."""
    return log_in_page(db(), resellerpeople.REALM, person_id, reseller_id=shop().reseller_id)
