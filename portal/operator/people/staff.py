"""Staff: who works here, what each role may do, and what an administrator does about a log-in."""

from __future__ import annotations

from flask import url_for
from flask.typing import ResponseReturnValue

from engine.people import audit, staff
from engine.people.logins import LogIn, list_log_ins, log_in_page
from engine.permissions import STAFF_ROLES
from portal.installation import db, now
from portal.operator.act import Ask, act
from portal.operator.console import actor, console, needs
from portal.operator.people.acts import Desk
from portal.operator.people.actwords import ROLES
from portal.operator.people.forms import NewPersonForm
from portal.operator.people.secrets import show_password
from portal.operator.people.words import Names, act_said, role_table
from portal.respond import respond

BOTH = ["GET", "POST"]
ONE = "/people/<int(max=9223372036854775807):staff_id>"
CHOICES = [(role, f"{ROLES[role][0]}: {ROLES[role][1]}") for role in STAFF_ROLES]

DESK = Desk(
    staff.REALM,
    staff.COMMANDS,
    CHOICES,
    lambda person: url_for("operator.staff_person", staff_id=person.id),
    lambda person: url_for("operator.staff_enable", staff_id=person.id),
)


@console.get("/people")
@needs("people.see")
def staff_list() -> ResponseReturnValue:
    """Everybody who works here, and what the roles may do."""
    return respond(
        "operator/people/staff.html",
        people=list_log_ins(db(), staff.REALM),
        roles=[(role, *ROLES[role]) for role in STAFF_ROLES],
        table=role_table(),
    )


@console.route("/people/new", methods=BOTH)
@needs("staff.add")
def staff_add() -> ResponseReturnValue:
    """Add somebody, with a password that is shown this once."""
    form = NewPersonForm(data={"role": "support"})
    form.role.choices = CHOICES
    back = url_for("operator.staff_list")
    return act(
        form,
        lambda: staff.add_staff(
            db(), form.login.data or "", form.name.data or "", form.role.data or "", None, actor(), now()
        ),
        Ask("Add somebody", "Add them", back, intro="They get a password that is shown to you once."),
        done="",
        result=lambda made: show_password(made[0].name, made[0].login, made[1], back),
    )


@console.get(ONE)
@needs("people.see")
def staff_person(staff_id: int) -> ResponseReturnValue:
    """Somebody: their log-in, where it is used, what they did lately."""
    person = _found(staff_id)
    rows = audit.search(db(), actor=f"staff:{staff_id}", limit=10).rows
    names = Names(row.subject for row in rows)
    return respond(
        "operator/people/person.html",
        person=person,
        own=actor().id == staff_id,
        sessions=DESK.sessions(person),
        end_of=lambda one: url_for("operator.staff_end_session", staff_id=staff_id, ref=one.ref),
        did=[(row, act_said(row, names)) for row in rows],
    )


@console.route(ONE + "/change", methods=BOTH)
@needs("staff.change")
def staff_change(staff_id: int) -> ResponseReturnValue:
    """Give somebody another name or role."""
    return DESK.change_person(_found(staff_id))


@console.route(ONE + "/disable", methods=BOTH)
@needs("staff.disable")
def staff_disable(staff_id: int) -> ResponseReturnValue:
    """Keep somebody out."""
    return DESK.disable_person(_found(staff_id))


@console.route(ONE + "/enable", methods=BOTH)
@needs("staff.enable")
def staff_enable(staff_id: int) -> ResponseReturnValue:
    """Let somebody back in."""
    return DESK.enable_person(_found(staff_id))


@console.route(ONE + "/password", methods=BOTH)
@needs("staff.reset_password")
def staff_password(staff_id: int) -> ResponseReturnValue:
    """Give somebody a new password, shown this once."""
    return DESK.reset_password(_found(staff_id))


@console.route(ONE + "/second", methods=BOTH)
@needs("staff.reset_totp")
def staff_second(staff_id: int) -> ResponseReturnValue:
    """Take the second factor of somebody away who lost it."""
    return DESK.reset_second(_found(staff_id))


@console.route(ONE + "/sessions/end", methods=BOTH)
@needs("staff.end_sessions")
def staff_end_sessions(staff_id: int) -> ResponseReturnValue:
    """End all log-ins of somebody."""
    return DESK.end_sessions(_found(staff_id))


@console.route(ONE + "/sessions/<ref>/end", methods=BOTH)
@needs("staff.end_sessions")
def staff_end_session(staff_id: int, ref: str) -> ResponseReturnValue:
    """End one log-in of somebody."""
    return DESK.end_sessions(_found(staff_id), ref)


def _found(staff_id: int) -> LogIn:
    return log_in_page(db(), staff.REALM, staff_id)
