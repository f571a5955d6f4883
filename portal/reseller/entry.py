"""Log in at the desk and log out; the steps are in `portal.operator.people.entering`."""

from __future__ import annotations

from flask.typing import ResponseReturnValue

from engine.people import resellerpeople
from portal.operator.people.entering import Entry
from portal.reseller.door import desk, needs
from portal.sessions import DESK

ENTRY = Entry(resellerpeople.REALM, DESK, "reseller/log_in.html", within=f"{DESK}/")


@desk.get("/log-in")
def log_in() -> ResponseReturnValue:
    """The form for log-in name and password."""
    return ENTRY.ask()


@desk.post("/log-in")
def log_in_post() -> ResponseReturnValue:
    """Try them."""
    return ENTRY.try_password()


@desk.get("/log-in/code")
def log_in_code() -> ResponseReturnValue:
    """The form for the code, the second step."""
    return ENTRY.ask_code()


@desk.post("/log-in/code")
def log_in_code_post() -> ResponseReturnValue:
    """Try a code."""
    return ENTRY.try_code()


@desk.get("/log-in/enrol")
def log_in_enrol() -> ResponseReturnValue:
    """A second factor as the last step, for who has none."""
    return ENTRY.ask_enrolment()


@desk.post("/log-in/enrol")
def log_in_enrol_post() -> ResponseReturnValue:
    """Show its secret, or take its first code."""
    return ENTRY.try_enrolment()


@desk.post("/log-out")
@needs("me.see")
def log_out() -> ResponseReturnValue:
    """End this log-in."""
    return ENTRY.leave()
