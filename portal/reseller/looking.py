"""Staff who look at a desk as its people see it: the way out. The way in is on the reseller's page of the console."""

from __future__ import annotations

from flask import url_for
from flask.typing import ResponseReturnValue

from portal import sessions
from portal.reseller.door import desk, needs
from portal.respond import go_to
from portal.sessions import DESK


@desk.post("/leave")
@needs("desk.see")
def leave() -> ResponseReturnValue:
    """Back to the reseller's page of the console; for the desk's own people there is nothing to leave."""
    seen = sessions.looked_at()
    if seen is None:
        return go_to(DESK)
    sessions.look_at(None)
    return go_to(url_for("operator.reseller", reseller_id=seen))
