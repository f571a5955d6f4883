"""Whether this process can work: for load balancers and supervisors. Open to all, and telling nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable

import psycopg
from flask import Response, current_app
from flask_smorest import Blueprint

from engine import migrations
from engine.db import Database
from engine.errors import EngineUnavailable
from portal.installation import db
from portal.switch_api.operation import respond

EXTENSION = "cardtone_writable"
KEPT_S = 1.0

blueprint = Blueprint("health", __name__, description="For load balancers; without a key.")


def _document(name: str, well: str, ill: str) -> dict[str, object]:
    def said(status: str, description: str) -> dict[str, object]:
        schema = {"$ref": "#/components/schemas/Health"}
        content = {"application/json": {"schema": schema, "example": {"status": status}}}
        return {"description": description, "content": content}

    return {
        "operationId": name,
        "responses": {"200": said("ok", well), "503": said("unavailable", ill)},
        "security": [],
    }


@blueprint.route("/healthz")
@blueprint.doc(
    **_document("healthz", "It works.", "The database does not answer, or is not migrated to this version.")
)
def healthz() -> Response:
    """Health

    Whether the database answers and is migrated to this version.
    """
    return _told(migrations.stands_at_head)


@blueprint.route("/readyz")
@blueprint.doc(**_document("readyz", "Calls can be made.", "Calls cannot be made at the moment."))
def readyz() -> Response:
    """Readiness

    Whether calls can be made: it is healthy, and the database takes writes.
    """
    return _told(current_app.extensions[EXTENSION])


def _told(is_well: Callable[[Database], bool]) -> Response:
    return respond({"status": "ok"}) if _asked(is_well) else respond({"status": "unavailable"}, 503)


def _asked(is_well: Callable[[Database], bool]) -> bool:
    """The answer; asked for once more where only this thread's link was stale."""
    for _ in range(2):
        try:
            return is_well(db())
        except EngineUnavailable:
            db().forget_lost_links()
        except psycopg.Error:
            return False
    return False


class Writable:
    """Whether the database takes writes. Anybody may ask, so that it is tried at most once a second."""

    def __init__(self) -> None:
        self._tried_at = float("-inf")
        self._took = False

    def __call__(self, database: Database) -> bool:
        if time.monotonic() - self._tried_at >= KEPT_S:
            self._took = False  # unless the try below comes through
            self._took = migrations.stands_at_head(database) and self._try(database)
            self._tried_at = time.monotonic()
        return self._took

    @staticmethod
    def _try(database: Database) -> bool:
        """A write that changes nothing; a full disk or a standby refuses it."""
        with database.connection() as conn:
            conn.execute("UPDATE settings_head SET revision = revision WHERE id = 1")
        return True
