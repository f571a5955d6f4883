"""What is done about somebody's log-in, as steps that the realms share: each finds and locks the row in its own way.

The commands are in `staff` and `resellerpeople`: whom an actor may reach, and who must stay, is theirs to say.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from engine.actor import Actor
from engine.db import Database
from engine.errors import Conflict
from engine.people import audit, entrance, sessions, totp
from engine.people.entrance import Realm
from engine.people.passwords import check_password, hash_password, new_password
from engine.vault import Secret, Vault


def rename(
    session: Session,
    realm: Realm[Any],
    row: Any,
    actor: Actor,
    now: datetime,
    *,
    name: str | None,
    role: str | None,
    keep: Callable[[], None],
) -> None:
    """Give somebody another name or role and end their sessions. `keep` refuses what may not be left behind."""
    before = {"name": row.name, "role": row.role}
    row.name, row.role = name or row.name, role or row.role
    keep()
    sessions.close_all(session, realm.name, row.id)
    after = {"name": row.name, "role": row.role}
    audit.record(
        session, actor, f"{realm.subject}.change", subject_of(realm, row), now, before=before, after=after
    )


def disable(
    session: Session,
    realm: Realm[Any],
    row: Any,
    actor: Actor,
    now: datetime,
    *,
    reason: str | None,
    keep: Callable[[], None],
) -> None:
    """Keep somebody out. `keep` as in `rename`. Raises `Conflict` ("already_disabled")."""
    if row.disabled_at is not None:
        raise Conflict("already_disabled", login=row.login)
    row.disabled_at = now
    keep()
    sessions.close_all(session, realm.name, row.id)
    audit.record(session, actor, f"{realm.subject}.disable", subject_of(realm, row), now, reason=reason)


def enable(session: Session, realm: Realm[Any], row: Any, actor: Actor, now: datetime) -> None:
    """Let somebody back in. Raises `Conflict` ("not_disabled")."""
    if row.disabled_at is None:
        raise Conflict("not_disabled", login=row.login)
    row.disabled_at = None
    audit.record(session, actor, f"{realm.subject}.enable", subject_of(realm, row), now)


def reset_password(
    db: Database,
    vault: Vault,
    realm: Realm[Any],
    locked: Callable[[Session], Any],
    actor: Actor,
    now: datetime,
    password: Secret | None,
) -> Secret:
    """Give somebody a new password, end their sessions, forget their failed tries.

    It is hashed between two transactions, so that no row is locked meanwhile. Raises `Conflict` ("use_own_way"),
    `InvalidInput` (password_…).
    """
    with db.begin() as session:
        found = locked(session)
        entrance.check_other(realm, actor, found.id)
        login, name = found.login, found.name
    password = checked_password(password, login, name)
    hashed = hash_password(password)
    with db.begin() as session:
        row = locked(session)
        row.password_hash = hashed
        sessions.close_all(session, realm.name, row.id)
        entrance.forget_failures(session, vault, realm, login)
        audit.record(session, actor, f"{realm.subject}.reset_password", subject_of(realm, row), now)
    return password


def reset_totp(
    session: Session,
    vault: Vault,
    realm: Realm[Any],
    row: Any,
    actor: Actor,
    now: datetime,
    reason: str | None,
) -> bool:
    """Take somebody's second factor away; whether they had one. Raises `Conflict` ("use_own_way")."""
    entrance.check_other(realm, actor, row.id)
    had = totp.wipe(session, realm.name, row.id)
    if had:
        sessions.close_all(session, realm.name, row.id)
        entrance.forget_failures(session, vault, realm, row.login)
        audit.record(
            session, actor, f"{realm.subject}.reset_totp", subject_of(realm, row), now, reason=reason
        )
    return had


def end_sessions(
    session: Session,
    realm: Realm[Any],
    row: Any,
    actor: Actor,
    now: datetime,
    *,
    ref: str | None,
    reason: str | None,
) -> int:
    """End somebody's sessions, or the one that a list shows as `ref`; how many."""
    if ref is None:
        ended = sessions.close_all(session, realm.name, row.id)
    else:
        ended = sessions.close_by_ref(session, realm.name, row.id, ref)
    if ended:
        told = {"ref": ref, "ended": ended}
        audit.record(
            session,
            actor,
            f"{realm.subject}.end_sessions",
            subject_of(realm, row),
            now,
            reason=reason,
            **told,
        )
    return ended


def checked_password(password: Secret | None, login: str, name: str) -> Secret:
    """The given password, if it is good enough, or a random one. Raises `InvalidInput` (password_…)."""
    if password is None:
        return new_password()
    check_password(password, login, name, "cardtone")
    return password


def subject_of(realm: Realm[Any], row: Any) -> str:
    """Somebody as the audit trail calls them."""
    return f"{realm.subject}:{row.id}"
