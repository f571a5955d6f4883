"""Staff: the people who work for the operator, and how they prove who they are.

A try to log in is counted before the password is compared (`engine.limits`), by address and by log-in name, whether
that name exists or not. Somebody who logged in from an address before has a count of their own there, so that a
stranger's tries never keep them out.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import exists, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from engine import limits
from engine.actor import Actor
from engine.db import Database, reruns
from engine.errors import Conflict, InvalidInput, NotFound
from engine.names import checked_name, sought
from engine.people import audit, sessions
from engine.people.passwords import (
    check_password,
    hash_password,
    needs_rehash,
    new_password,
    verify_password,
)
from engine.permissions import STAFF_ROLES, command
from engine.refusal import Refusal
from engine.schema import Attempt, AuditRow, Staff
from engine.vault import Secret, Vault

REALM = "staff"
FIRST_LOGIN = "admin"

# Per log-in name: five free tries, then 2 s, 4 s, … up to 15 min. The true owner is let in from where they were before.
_per_name = functools.partial(limits.take_try, free=4, first_delay_s=2, max_delay_s=900)
# Per address: ten failures, then a minute's pause; a minute without one clears them.
_per_address = functools.partial(limits.take_try, free=9, first_delay_s=60, max_delay_s=60, forget_s=60)


@dataclass(frozen=True, slots=True)
class StaffIdentity:
    """Somebody who may work here."""

    id: int
    login: str
    name: str
    role: str

    @property
    def actor(self) -> Actor:
        """This person as commands take them."""
        return Actor(REALM, self.id, self.name, self.role)


@dataclass(frozen=True, slots=True)
class StaffView:
    """Somebody as a list shows them; `disabled_at` where they may not log in."""

    id: int
    login: str
    name: str
    role: str
    created_at: datetime
    disabled_at: datetime | None


@dataclass(frozen=True, slots=True)
class _Tried:
    """One counted try: the counters it stands on, and whom it may be."""

    name_key: bytes
    address_key: bytes | None
    staff_id: int | None
    password_hash: str | None
    disabled: bool


def log_in(
    db: Database, vault: Vault, login: str, password: Secret, address: str | None, now: datetime
) -> StaffIdentity | Refusal:
    """Prove who somebody is. `address`: where they ask from, None at the machine itself.

    Returns a `Refusal`: `bad_credentials`, the same and as slow for an unknown name, a wrong password and a disabled
    person; or `throttled` with `retry_after_s`, in which case nothing was compared.
    """
    tried = _take_try(db, vault, login, address, now)
    if isinstance(tried, Refusal):
        return tried
    right = verify_password(tried.password_hash, password)
    if not right or tried.disabled:
        _keep_attempt(db, tried, right, address, now)
        return Refusal("bad_credentials")
    new_hash = hash_password(password) if needs_rehash(tried.password_hash or "") else None
    with db.begin() as session:
        # Read again: a password or a person may have gone while this one was compared.
        row = session.scalar(
            select(Staff)
            .where(
                Staff.id == tried.staff_id,
                Staff.password_hash == tried.password_hash,
                Staff.disabled_at.is_(None),
            )
            .with_for_update()
        )
        if row is None:
            return Refusal("bad_credentials")
        if new_hash is not None:
            row.password_hash = new_hash
        _clear(session, tried)
        identity = _identity(row)
        audit.record(session, identity.actor, "staff.log_in", f"staff:{row.id}", now, address=address)
    return identity


@reruns
def find_staff(db: Database, staff_id: int) -> StaffIdentity | None:
    """Somebody by id, None where they don't exist or are disabled: for each request of a session."""
    with db.connection() as conn:
        row = conn.execute(
            "SELECT id, login, name, role FROM staff WHERE id = %s AND disabled_at IS NULL", (staff_id,)
        ).fetchone()
    return None if row is None else StaffIdentity(row.id, row.login, row.name, row.role)


def list_staff(db: Database) -> list[StaffView]:
    """Everybody, disabled people too, by log-in name."""
    with db.begin() as session:
        return [
            StaffView(row.id, row.login, row.name, row.role, row.created_at, row.disabled_at)
            for row in session.scalars(select(Staff).order_by(Staff.login))
        ]


@command("staff.add")
def add_staff(
    db: Database, login: str, name: str, role: str, password: Secret | None, actor: Actor, now: datetime
) -> tuple[StaffIdentity, Secret]:
    """Add somebody and return them with their password: the given one, or a random one that is shown only now.

    Raises `InvalidInput` (bad_login, unknown_role, password_…, and those of `checked_name`), `Conflict("login_taken")`.
    """
    login, name = checked_login(login), checked_name(name)
    _check_role(role)
    password = _checked_password(password, login, name)
    hashed = hash_password(password)
    with db.begin() as session:
        identity = _insert(session, login, name, role, hashed, actor, now)
        if identity is None:
            raise Conflict("login_taken", login=login)
    return identity, password


def ensure_first(db: Database, actor: Actor, now: datetime) -> tuple[str, Secret] | None:
    """Where there is nobody yet, add `admin` and return the log-in with its random password; None otherwise.

    Where two processes start at once, one of them gets it.
    """
    with db.begin() as session:
        if session.scalar(select(exists(select(Staff.id)))):
            return None
    password = new_password()
    hashed = hash_password(password)
    with db.begin() as session:
        session.execute(text("LOCK TABLE staff IN SHARE ROW EXCLUSIVE MODE"))
        if session.scalar(select(exists(select(Staff.id)))):
            return None
        _insert(session, FIRST_LOGIN, "Administrator", "admin", hashed, actor, now)
    return FIRST_LOGIN, password


@command("staff.change")
def change_staff(
    db: Database, login: str, actor: Actor, now: datetime, *, name: str | None = None, role: str | None = None
) -> StaffIdentity:
    """Change somebody's name or role; their sessions end, so that no page goes on under the old role.

    Raises `NotFound`, `InvalidInput` (unknown_role, and those of `checked_name`), `Conflict("last_admin")`.
    """
    new_name = None if name is None else checked_name(name)
    if role is not None:
        _check_role(role)
    with db.begin() as session:
        row = _locked(session, login)
        before = {"name": row.name, "role": row.role}
        row.name = new_name or row.name
        row.role = role or row.role
        _keep_an_admin(session)
        _end_sessions(session, row)
        audit.record(
            session,
            actor,
            "staff.change",
            f"staff:{row.id}",
            now,
            before=before,
            after={"name": row.name, "role": row.role},
        )
        return _identity(row)


@command("staff.disable")
def disable_staff(db: Database, login: str, actor: Actor, now: datetime, reason: str | None = None) -> None:
    """Keep somebody out from now on: sessions end, log-ins fail. What they did keeps their name.

    Raises `NotFound`, `Conflict` (last_admin, already_disabled).
    """
    with db.begin() as session:
        row = _locked(session, login)
        if row.disabled_at is not None:
            raise Conflict("already_disabled", login=row.login)
        row.disabled_at = now
        _keep_an_admin(session)
        _end_sessions(session, row)
        audit.record(session, actor, "staff.disable", f"staff:{row.id}", now, reason=reason)


@command("staff.enable")
def enable_staff(db: Database, login: str, actor: Actor, now: datetime) -> None:
    """Let somebody back in, with the password they had. Raises `NotFound`, `Conflict("not_disabled")`."""
    with db.begin() as session:
        row = _locked(session, login)
        if row.disabled_at is None:
            raise Conflict("not_disabled", login=row.login)
        row.disabled_at = None
        audit.record(session, actor, "staff.enable", f"staff:{row.id}", now)


@command("staff.reset_password")
def reset_password(
    db: Database, vault: Vault, login: str, actor: Actor, now: datetime, password: Secret | None = None
) -> Secret:
    """Give somebody a new password (random, if none is given), end their sessions, and forget their failed tries.

    Raises `NotFound`, `InvalidInput` (password_…).
    """
    with db.begin() as session:
        found = _locked(session, login)
        login, name = found.login, found.name
    password = _checked_password(password, login, name)
    hashed = hash_password(password)
    with db.begin() as session:
        row = _locked(session, login)
        row.password_hash = hashed
        _end_sessions(session, row)
        limits.count_success(session, _name_key(vault, login))
        audit.record(session, actor, "staff.reset_password", f"staff:{row.id}", now)
    return password


def change_password(
    db: Database,
    vault: Vault,
    staff_id: int,
    old: Secret,
    new: Secret,
    address: str | None,
    now: datetime,
) -> StaffIdentity | Refusal:
    """Change one's own password, proven by the old one; every session ends, this one too.

    Returns a `Refusal` as `log_in` does. Raises `NotFound`, `InvalidInput` (password_…).
    """
    identity = find_staff(db, staff_id)
    if identity is None:
        raise NotFound("staff_not_found")
    check_password(new, identity.login, identity.name, "cardtone")
    proven = log_in(db, vault, identity.login, old, address, now)
    if isinstance(proven, Refusal):
        return proven
    hashed = hash_password(new)
    with db.begin() as session:
        row = _locked(session, identity.login)
        row.password_hash = hashed
        _end_sessions(session, row)
        audit.record(session, identity.actor, "staff.change_password", f"staff:{row.id}", now)
    return identity


def checked_login(login: str) -> str:
    """A log-in name in its one form: lower case, without spaces around it. Raises `InvalidInput("bad_login")`."""
    normal = login.strip().lower()
    if not re.fullmatch(r"[a-z0-9][a-z0-9._@+-]{0,62}", normal):
        raise InvalidInput("bad_login", field="login")
    return normal


def _take_try(db: Database, vault: Vault, login: str, address: str | None, now: datetime) -> _Tried | Refusal:
    """Count one try on its address and its name, if both are heard now; always in this order, so that none deadlock."""
    try:
        normal = checked_login(login)
    except InvalidInput:
        normal = ""
    address_key = None if address is None else vault.name("staff address", address)
    with db.begin() as session:
        row = session.scalar(select(Staff).where(Staff.login == normal))
        name_key = _name_key(vault, normal or login)
        if row is not None and address is not None and _was_here(session, row.id, address):
            name_key = _name_key(vault, normal, address)
        wait_s = 0 if address_key is None else _per_address(session, address_key, now)
        if wait_s == 0:
            wait_s = _per_name(session, name_key, now)
            if wait_s and address_key is not None:
                limits.give_back(session, address_key)
        if wait_s:
            return Refusal("throttled", retry_after_s=wait_s)
        if row is None:
            return _Tried(name_key, address_key, None, None, False)
        return _Tried(name_key, address_key, row.id, row.password_hash, row.disabled_at is not None)


def _was_here(session: Session, staff_id: int, address: str) -> bool:
    """Whether somebody logged in from this address before."""
    found = session.scalar(
        select(AuditRow.id)
        .where(
            AuditRow.subject == f"staff:{staff_id}",
            AuditRow.action == "staff.log_in",
            AuditRow.data["address"].as_string() == address,
        )
        .limit(1)
    )
    return found is not None


def _clear(session: Session, tried: _Tried) -> None:
    """A right password forgets the failures of its name; on the address only this try is taken back."""
    if tried.address_key is not None:
        limits.give_back(session, tried.address_key)
    limits.count_success(session, tried.name_key)


def _keep_attempt(db: Database, tried: _Tried, right: bool, address: str | None, now: datetime) -> None:
    """Keep a failed try for the operator's eyes. Not the name it gave: people type passwords into the wrong field."""
    reason = "disabled" if right else ("unknown_login" if tried.staff_id is None else "wrong_password")
    with db.begin() as session:
        session.add(Attempt(at=now, door="staff", source=f"address:{address or 'console'}", reason=reason))


def _name_key(vault: Vault, login: str, address: str | None = None) -> bytes:
    return vault.name("staff log-in", login if address is None else f"{login} {address}")


def _insert(
    session: Session, login: str, name: str, role: str, hashed: str, actor: Actor, now: datetime
) -> StaffIdentity | None:
    staff_id = session.scalar(
        insert(Staff)
        .values(login=login, name=name, role=role, password_hash=hashed, created_at=now)
        .on_conflict_do_nothing()
        .returning(Staff.id)
    )
    if staff_id is None:
        return None
    audit.record(session, actor, "staff.add", f"staff:{staff_id}", now, login=login, name=name, role=role)
    return StaffIdentity(staff_id, login, name, role)


def _locked(session: Session, login: str) -> Staff:
    row = session.scalar(select(Staff).where(Staff.login == sought(login).lower()).with_for_update())
    if row is None:
        raise NotFound("staff_not_found", login=login)
    return row


def _keep_an_admin(session: Session) -> None:
    """Refuse a change after which nobody could manage people. Two such changes at once take turns."""
    session.flush()
    session.execute(text("SELECT pg_advisory_xact_lock(hashtext('cardtone last admin'))"))
    # A statement of its own after the lock: it sees what the other one did.
    admins = select(func.count()).where(Staff.role == "admin", Staff.disabled_at.is_(None))
    if not session.scalar(admins):
        raise Conflict("last_admin")


def _end_sessions(session: Session, row: Staff) -> None:
    sessions.close_all(session, REALM, row.id)


def _identity(row: Staff) -> StaffIdentity:
    return StaffIdentity(row.id, row.login, row.name, row.role)


def _check_role(role: str) -> None:
    if role not in STAFF_ROLES:
        raise InvalidInput("unknown_role", field="role", value=role)


def _checked_password(password: Secret | None, login: str, name: str) -> Secret:
    if password is None:
        return new_password()
    check_password(password, login, name, "cardtone")
    return password
