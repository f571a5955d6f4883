"""The console's blueprint: its door, which only staff pass, and the entries of its rail."""

from __future__ import annotations

from typing import NamedTuple

from flask import Blueprint, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user

from portal.sessions import STAFF, ask_to_log_in

console = Blueprint("operator", __name__)
OPEN = frozenset(
    {"operator.log_in", "operator.log_in_post", "operator.log_in_code", "operator.log_in_code_post"}
)
"""What may be seen without a log-in."""

_SECTIONS = (("Batches", "operator.batches", ("operator.batches", "operator.batch")),)


class Section(NamedTuple):
    """An entry of the rail."""

    title: str
    url: str
    current: bool


@console.before_request
def only_staff() -> ResponseReturnValue | None:
    """Everything but the log-in is for staff. A page that is added later is guarded without being asked."""
    if request.endpoint in OPEN:
        return None
    if current_user.is_authenticated and current_user.realm == STAFF:
        return None
    return ask_to_log_in()


def sections() -> list[Section]:
    """The rail's entries, the open one marked."""
    return [
        Section(title, url_for(endpoint), request.endpoint in inside) for title, endpoint, inside in _SECTIONS
    ]
