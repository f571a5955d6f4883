"""Web log-ins as rows: the cookie holds a random id, the row its digest, and without the row there is no session.

One table serves the three realms (staff, reseller, cardholder). A session ends when it is closed, when it was idle too
long, or when it is too old; log-out, a lock or a password change kills it at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import CursorResult, delete, func, select
from sqlalchemy.orm import Session

from engine.db import Database, reruns
from engine.schema import WebSession
from engine.vault import Secret, new_token, token_digest


class Lifetime(NamedTuple):
    """How long a session of a realm lasts: without being used, and in all."""

    idle_s: int
    absolute_s: int


LIFETIMES = {
    "staff": Lifetime(idle_s=30 * 60, absolute_s=12 * 3600),
    "reseller": Lifetime(idle_s=30 * 60, absolute_s=12 * 3600),
    "cardholder": Lifetime(idle_s=15 * 60, absolute_s=2 * 3600),
}
SEEN_EVERY_S = 60
"""A session in use is written at most this often, so that a page view seldom writes; it is idle from its last write."""


_REF_BYTES = 8
"""How much of its digest names a session in lists: nothing can be opened with it."""


@dataclass(frozen=True, slots=True)
class SessionView:
    """A live session as lists show it; `ref` names it for ending it."""

    ref: str
    address: str | None
    created_at: datetime
    last_seen_at: datetime


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """A live session: whose it is, and since when."""

    realm: str
    subject_id: int
    address: str | None
    created_at: datetime
    last_seen_at: datetime


def open_session(db: Database, realm: str, subject_id: int, address: str | None, now: datetime) -> Secret:
    """Start a session and return its token, for the cookie. Always a new one, so that none can be planted ahead.

    Asks for no proof. People with passwords come in by `engine.people.entrance.open_session`.
    """
    with db.begin() as session:
        return add_session(session, realm, subject_id, address, now)


def add_session(session: Session, realm: str, subject_id: int, address: str | None, now: datetime) -> Secret:
    """The same in the caller's transaction, which saw to it that what was proven still holds."""
    token = new_token()
    session.add(
        WebSession(
            digest=token_digest(token),
            realm=realm,
            subject_id=subject_id,
            address=address,
            created_at=now,
            last_seen_at=now,
        )
    )
    return Secret(token)


@reruns
def find_session(db: Database, realm: str, token: Secret, now: datetime) -> SessionInfo | None:
    """The live session of a token in this realm, or None. Notes that it was seen, at most once a minute."""
    lifetime = LIFETIMES[realm]
    digest = token_digest(token.value)
    with db.connection() as conn:
        row = conn.execute(
            "SELECT subject_id, address, created_at, last_seen_at FROM web_session"
            " WHERE digest = %s AND realm = %s AND last_seen_at > %s AND created_at > %s",
            (
                digest,
                realm,
                now - timedelta(seconds=lifetime.idle_s),
                now - timedelta(seconds=lifetime.absolute_s),
            ),
        ).fetchone()
        if row is None:
            return None
        if now - row.last_seen_at >= timedelta(seconds=SEEN_EVERY_S):
            conn.execute(
                "UPDATE web_session SET last_seen_at = greatest(last_seen_at, %s) WHERE digest = %s",
                (now, digest),
            )
    return SessionInfo(realm, row.subject_id, row.address, row.created_at, row.last_seen_at)


def close_session(db: Database, realm: str, token: Secret) -> None:
    """Log out: the token is dead at once, everywhere. Closing one that is gone does nothing."""
    with db.begin() as session:
        session.execute(
            delete(WebSession).where(
                WebSession.digest == token_digest(token.value), WebSession.realm == realm
            )
        )


def close_all(session: Session, realm: str, subject_id: int) -> int:
    """End every session of somebody, in the caller's transaction; returns how many there were."""
    return _deleted(
        session.execute(
            delete(WebSession).where(WebSession.realm == realm, WebSession.subject_id == subject_id)
        )
    )


def list_sessions(db: Database, realm: str, subject_id: int, now: datetime) -> list[SessionView]:
    """Somebody's live sessions, the one used last first."""
    lifetime = LIFETIMES[realm]
    with db.begin() as session:
        rows = session.scalars(
            select(WebSession)
            .where(
                WebSession.realm == realm,
                WebSession.subject_id == subject_id,
                WebSession.last_seen_at > now - timedelta(seconds=lifetime.idle_s),
                WebSession.created_at > now - timedelta(seconds=lifetime.absolute_s),
            )
            .order_by(WebSession.last_seen_at.desc(), WebSession.created_at.desc(), WebSession.digest)
        )
        return [SessionView(_ref(row.digest), row.address, row.created_at, row.last_seen_at) for row in rows]


def ref_of(token: Secret) -> str:
    """By which name a list shows the session of this token."""
    return _ref(token_digest(token.value))


def close_by_ref(session: Session, realm: str, subject_id: int, ref: str) -> int:
    """End somebody's session that lists name `ref`, in the caller's transaction: 1, or 0 if it is gone."""
    return _deleted(
        session.execute(
            delete(WebSession).where(
                WebSession.realm == realm,
                WebSession.subject_id == subject_id,
                func.encode(func.substring(WebSession.digest, 1, _REF_BYTES), "hex") == ref,
            )
        )
    )


def close_own(
    db: Database, realm: str, subject_id: int, ref: str | None, *, kept: Secret | None = None
) -> int:
    """End one of one's own sessions (`ref`), or all but the one of the token `kept`; returns how many ended."""
    with db.begin() as session:
        if ref is not None:
            return close_by_ref(session, realm, subject_id, ref)
        return close_others(session, realm, subject_id, kept)


def close_others(session: Session, realm: str, subject_id: int, kept: Secret | None) -> int:
    """End every session of somebody but the one of the token `kept`, in the caller's transaction; returns how many."""
    others = delete(WebSession).where(WebSession.realm == realm, WebSession.subject_id == subject_id)
    if kept is not None:
        others = others.where(WebSession.digest != token_digest(kept.value))
    return _deleted(session.execute(others))


def prune(db: Database, now: datetime) -> int:
    """Delete the rows of sessions that are over by their limits; returns how many."""
    pruned = 0
    for realm, lifetime in LIFETIMES.items():
        with db.begin() as session:
            pruned += _deleted(
                session.execute(
                    delete(WebSession).where(
                        WebSession.realm == realm,
                        (WebSession.last_seen_at <= now - timedelta(seconds=lifetime.idle_s))
                        | (WebSession.created_at <= now - timedelta(seconds=lifetime.absolute_s)),
                    )
                )
            )
    return pruned


def _ref(digest: bytes) -> str:
    return digest[:_REF_BYTES].hex()


def _deleted(result: object) -> int:
    return result.rowcount if isinstance(result, CursorResult) else 0
