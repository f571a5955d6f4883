"""Who works for a reseller and may log in at its desk: added, changed, kept out, given a new password."""

from __future__ import annotations

from flask import url_for
from flask.typing import ResponseReturnValue

from engine.people import resellerpeople
from engine.people.logins import LogIn, log_in_page
from engine.people.resellerpeople import ROLES
from portal import sessions
from portal.installation import db, now
from portal.operator.act import Ask, act
from portal.operator.console import actor, console, needs
from portal.operator.people.acts import Desk
from portal.operator.people.actwords import SHOP_ROLES
from portal.operator.people.forms import NewPersonForm
from portal.operator.people.secrets import show_password
from portal.operator.resellers.page import BOTH, ONE, page_of, reseller_or_404
from portal.respond import respond

PERSON = "/resellers/people/<int(max=9223372036854775807):person_id>"
CHOICES = [(role, f"{SHOP_ROLES[role][0]}: {SHOP_ROLES[role][1]}") for role in ROLES]

DESK = Desk(
    resellerpeople.REALM,
    resellerpeople.COMMANDS,
    CHOICES,
    lambda person: url_for("operator.reseller_person", person_id=person.id),
    lambda person: url_for("operator.reseller_person_enable", person_id=person.id),
)


@console.route(ONE + "/people/new", methods=BOTH)
@needs("reseller_person.add")
def reseller_person_add(reseller_id: int) -> ResponseReturnValue:
    """Add somebody, with a password that is shown this once."""
    found = reseller_or_404(reseller_id)
    return add_somebody(reseller_id, f"Add somebody to {found.name}", page_of(reseller_id))


def add_somebody(reseller_id: int, title: str, back: str) -> ResponseReturnValue:
    """The act that gives a reseller one person more, here and at its own desk."""
    form = NewPersonForm(data={"role": "clerk"})
    form.role.choices = CHOICES
    return act(
        form,
        lambda: resellerpeople.add_person(
            db(),
            reseller_id,
            form.login.data or "",
            form.name.data or "",
            form.role.data or "",
            None,
            actor(),
            now(),
        ),
        Ask(title, "Add them", back, intro="They get a password that is shown to you once."),
        done="",
        result=lambda made: show_password(made[0].name, made[0].login, made[1], back, where=sessions.DESK),
    )


@console.get(PERSON)
@needs("resellers.see")
def reseller_person(person_id: int) -> ResponseReturnValue:
    """Somebody who works for a reseller, and where they are logged in."""
    person = _found(person_id)
    return respond(
        "operator/resellers/person.html",
        person=person,
        reseller=reseller_or_404(person.reseller_id or 0),
        own=False,
        sessions=DESK.sessions(person),
        end_of=lambda one: url_for("operator.reseller_person_end_session", person_id=person_id, ref=one.ref),
    )


@console.route(PERSON + "/change", methods=BOTH)
@needs("reseller_person.change")
def reseller_person_change(person_id: int) -> ResponseReturnValue:
    """Give somebody another name or role."""
    return DESK.change_person(_found(person_id))


@console.route(PERSON + "/disable", methods=BOTH)
@needs("reseller_person.disable")
def reseller_person_disable(person_id: int) -> ResponseReturnValue:
    """Keep somebody out."""
    return DESK.disable_person(_found(person_id))


@console.route(PERSON + "/enable", methods=BOTH)
@needs("reseller_person.enable")
def reseller_person_enable(person_id: int) -> ResponseReturnValue:
    """Let somebody back in."""
    return DESK.enable_person(_found(person_id))


@console.route(PERSON + "/password", methods=BOTH)
@needs("reseller_person.reset_password")
def reseller_person_password(person_id: int) -> ResponseReturnValue:
    """Give somebody a new password, shown this once."""
    return DESK.reset_password(_found(person_id))


@console.route(PERSON + "/second", methods=BOTH)
@needs("reseller_person.reset_totp")
def reseller_person_second(person_id: int) -> ResponseReturnValue:
    """Take the second factor of somebody away who lost it."""
    return DESK.reset_second(_found(person_id))


@console.route(PERSON + "/sessions/end", methods=BOTH)
@needs("reseller_person.end_sessions")
def reseller_person_end_sessions(person_id: int) -> ResponseReturnValue:
    """End all log-ins of somebody."""
    return DESK.end_sessions(_found(person_id))


@console.route(PERSON + "/sessions/<ref>/end", methods=BOTH)
@needs("reseller_person.end_sessions")
def reseller_person_end_session(person_id: int, ref: str) -> ResponseReturnValue:
    """End one log-in of somebody."""
    return DESK.end_sessions(_found(person_id), ref)


def _found(person_id: int) -> LogIn:
    return log_in_page(db(), resellerpeople.REALM, person_id)
