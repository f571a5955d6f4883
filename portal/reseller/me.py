"""One's own page at the desk: password, second factor, and where one is logged in."""

from __future__ import annotations

from flask.typing import ResponseReturnValue

from engine.people import resellerpeople
from portal.operator.people.own import Own
from portal.reseller.door import desk, needs

BOTH = ["GET", "POST"]
OWN = Own(resellerpeople.REALM)


@desk.get("/me")
@needs("me.see")
def me() -> ResponseReturnValue:
    """What I am here, and how I prove it."""
    return OWN.page("Name and role are changed by an owner of your shop, or by the operator.")


@desk.route("/me/password", methods=BOTH)
@needs("me.see")
def me_password() -> ResponseReturnValue:
    """Change one's own password."""
    return OWN.change_password()


@desk.route("/me/sessions/<ref>/end", methods=BOTH)
@needs("me.see")
def me_end_session(ref: str) -> ResponseReturnValue:
    """End one of one's own log-ins."""
    return OWN.end_session(ref)


@desk.route("/me/sessions/end-others", methods=BOTH)
@needs("me.see")
def me_end_others() -> ResponseReturnValue:
    """End all of one's own log-ins but this one."""
    return OWN.end_others()


@desk.route("/me/second", methods=BOTH)
@needs("me.see")
def me_second() -> ResponseReturnValue:
    """Begin to set a second factor up."""
    return OWN.begin_second()


@desk.post("/me/second/confirm")
@needs("me.see")
def me_second_confirm() -> ResponseReturnValue:
    """Take the first code of the app, and show the recovery codes."""
    return OWN.confirm_second()


@desk.route("/me/second/codes", methods=BOTH)
@needs("me.see")
def me_second_codes() -> ResponseReturnValue:
    """Ten new recovery codes."""
    return OWN.new_codes()


@desk.route("/me/second/remove", methods=BOTH)
@needs("me.see")
def me_second_remove() -> ResponseReturnValue:
    """Give the second factor up."""
    return OWN.remove_second()
