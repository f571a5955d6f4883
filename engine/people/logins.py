"""Log-ins as pages show them: who has one, since when with a second factor, and when they were last here.

The same for staff and for a reseller's people; what may be changed is in `staff`, `resellerpeople` and `secondfactor`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text

from engine.db import Database
from engine.errors import NotFound
from engine.people.entrance import Realm


@dataclass(frozen=True, slots=True)
class LogIn:
    """Somebody with a log-in. `disabled_at` where they may not use it; `reseller_id` where they work for a reseller.

    `second_since`: since when they have a second factor; `codes_left`: recovery codes that were not used;
    `last_seen_at`: when they last did something that is kept, or opened a page.
    """

    id: int
    login: str
    name: str
    role: str
    reseller_id: int | None
    timezone: str | None
    created_at: datetime
    disabled_at: datetime | None
    second_since: datetime | None
    codes_left: int
    last_seen_at: datetime | None


_OWN = {
    "staff": "NULL::bigint AS reseller_id, p.timezone",
    "reseller_person": "p.reseller_id, NULL AS timezone",
}
_READ = """
    SELECT p.id, p.login, p.name, p.role, {own}, p.created_at, p.disabled_at, t.confirmed_at AS second_since,
        (SELECT count(*) FROM recovery_code c
            WHERE c.realm = :realm AND c.subject_id = p.id AND c.used_at IS NULL) AS codes_left,
        greatest(
            (SELECT max(w.last_seen_at) FROM web_session w WHERE w.realm = :realm AND w.subject_id = p.id),
            (SELECT a.at FROM audit a WHERE a.actor = :realm || ':' || p.id ORDER BY a.id DESC LIMIT 1)
        ) AS last_seen_at
    FROM {table} p LEFT JOIN totp t ON t.realm = :realm AND t.subject_id = p.id
    WHERE (CAST(:id AS bigint) IS NULL OR p.id = :id)
        AND (CAST(:reseller_id AS bigint) IS NULL OR {reseller} = :reseller_id)
    ORDER BY p.disabled_at IS NOT NULL, p.login
"""


def list_log_ins(db: Database, realm: Realm[Any], *, reseller_id: int | None = None) -> list[LogIn]:
    """Everybody of a realm, or of one reseller: who may log in first, then by log-in name."""
    return _read(db, realm, None, reseller_id)


def log_in_page(db: Database, realm: Realm[Any], person_id: int, *, reseller_id: int | None = None) -> LogIn:
    """Somebody by id. Raises `NotFound` ("person_not_found"), also for another reseller's where one is given."""
    found = _read(db, realm, person_id, reseller_id)
    if not found:
        raise NotFound("person_not_found")
    return found[0]


def _read(db: Database, realm: Realm[Any], person_id: int | None, reseller_id: int | None) -> list[LogIn]:
    reseller = "p.reseller_id" if realm.subject == "reseller_person" else "NULL"
    statement = _READ.format(own=_OWN[realm.subject], table=realm.subject, reseller=reseller)
    given = {"realm": realm.name, "id": person_id, "reseller_id": reseller_id}
    with db.begin() as session:
        return [LogIn(**row) for row in session.execute(text(statement), given).mappings()]
