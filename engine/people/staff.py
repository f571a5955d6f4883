"""Staff: the people who work for the operator. How they prove who they are is in `engine.people.entrance`."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import exists, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from engine import settings
from engine.actor import Actor
from engine.db import Database, reruns
from engine.errors import Conflict, InvalidInput, NotFound
from engine.names import checked_name, sought
from engine.people import audit, entrance, upkeep
from engine.people.entrance import Commands, EnrolmentNeeded, Realm, SecondNeeded, checked_login
from engine.people.passwords import hash_password, new_password
from engine.permissions import STAFF_ROLES, command
from engine.refusal import Refusal
from engine.schema import Staff
from engine.vault import Secret, Vault

FIRST_LOGIN = "admin"


@dataclass(frozen=True, slots=True)
class StaffIdentity:
    """Somebody who may work here, and their own time zone, if any.

    `proof`: what they proved when they logged in, which opens a session.
    """

    id: int
    login: str
    name: str
    role: str
    proof: bytes = field(default=b"", repr=False, compare=False)
    timezone: str | None = None

    @property
    def actor(self) -> Actor:
        """This person as commands take them."""
        return Actor("staff", self.id, self.name, self.role)


def _let_in(_session: Session, row: Staff) -> bool:
    return row.disabled_at is None


def _identity(row: Staff, proof: bytes = b"") -> StaffIdentity:
    return StaffIdentity(row.id, row.login, row.name, row.role, proof, row.timezone)


REALM = Realm("staff", "staff", Staff, _identity, _let_in)


@dataclass(frozen=True, slots=True)
class StaffView:
    """Somebody as a list shows them; `disabled_at` where they may not log in."""

    id: int
    login: str
    name: str
    role: str
    created_at: datetime
    disabled_at: datetime | None


def log_in(
    db: Database, vault: Vault, login: str, password: Secret, address: str | None, now: datetime
) -> StaffIdentity | SecondNeeded | EnrolmentNeeded | Refusal:
    """Prove who somebody is (`engine.people.entrance.log_in`)."""
    return entrance.log_in(db, vault, REALM, login, password, address, now)


def prove_second(
    db: Database, vault: Vault, ticket: Secret, code: str, address: str | None, now: datetime
) -> StaffIdentity | Refusal:
    """The second step of a log-in (`engine.people.entrance.prove_second`)."""
    return entrance.prove_second(db, vault, REALM, ticket, code, address, now)


def open_session(db: Database, identity: StaffIdentity, address: str | None, now: datetime) -> Secret:
    """Start a session for somebody who just proved who they are (`engine.people.entrance.open_session`)."""
    return entrance.open_session(db, REALM, identity, address, now)


@reruns
def find_staff(db: Database, staff_id: int) -> StaffIdentity | None:
    """Somebody by id, None where they don't exist or are disabled: for each request of a session."""
    with db.connection() as conn:
        row = conn.execute(
            "SELECT id, login, name, role, timezone FROM staff WHERE id = %s AND disabled_at IS NULL",
            (staff_id,),
        ).fetchone()
    return None if row is None else _identity(row)


def named(db: Database, login: str) -> StaffIdentity:
    """Somebody by log-in name, disabled people too. Raises `NotFound`."""
    with db.begin() as session:
        row = session.scalar(select(Staff).where(Staff.login == sought(login).lower()))
        if row is None:
            raise NotFound("staff_not_found", login=login)
        return _identity(row)


def list_staff(db: Database) -> list[StaffView]:
    """Everybody, disabled people too, by log-in name."""
    with db.begin() as session:
        return [
            StaffView(row.id, row.login, row.name, row.role, row.created_at, row.disabled_at)
            for row in session.scalars(select(Staff).order_by(Staff.login))
        ]


@reruns
def set_timezone(db: Database, staff_id: int, zone: str | None) -> None:
    """Choose the zone that somebody's own pages show times in; None: the operator's.

    Whose it is, is decided by whoever calls. Raises `NotFound`, `InvalidInput` ("unknown_zone").
    """
    if zone is not None:
        settings.check("zone", zone)
    with db.begin() as session:
        row = session.get(Staff, staff_id)
        if row is None:
            raise NotFound("person_not_found")
        row.timezone = zone


@command("staff.add")
def add_staff(
    db: Database, login: str, name: str, role: str, password: Secret | None, actor: Actor, now: datetime
) -> tuple[StaffIdentity, Secret]:
    """Add somebody and return them with their password: the given one, or a random one that is shown only now.

    Raises `InvalidInput` (bad_login, unknown_role, password_…, and those of `checked_name`), `Conflict("login_taken")`.
    """
    login, name = checked_login(login), checked_name(name)
    _check_role(role)
    password = upkeep.checked_password(password, login, name)
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
        keep = functools.partial(_keep_an_admin, session)
        upkeep.rename(session, REALM, row, actor, now, name=new_name, role=role, keep=keep)
        return _identity(row)


@command("staff.disable")
def disable_staff(db: Database, login: str, actor: Actor, now: datetime, reason: str | None = None) -> None:
    """Keep somebody out from now on: sessions end, log-ins fail. What they did keeps their name.

    Raises `NotFound`, `Conflict` (last_admin, already_disabled).
    """
    with db.begin() as session:
        row = _locked(session, login)
        keep = functools.partial(_keep_an_admin, session)
        upkeep.disable(session, REALM, row, actor, now, reason=reason, keep=keep)


@command("staff.enable")
def enable_staff(db: Database, login: str, actor: Actor, now: datetime) -> None:
    """Let somebody back in, with the password they had. Raises `NotFound`, `Conflict("not_disabled")`."""
    with db.begin() as session:
        upkeep.enable(session, REALM, _locked(session, login), actor, now)


@command("staff.reset_password")
def reset_password(
    db: Database, vault: Vault, login: str, actor: Actor, now: datetime, password: Secret | None = None
) -> Secret:
    """Give somebody a new password (random, if none is given), end their sessions, and forget their failed tries.

    Not one's own, which needs the old one. Raises `NotFound`, `Conflict` ("use_own_way"), `InvalidInput` (password_…).
    """
    locked = functools.partial(_locked, login=login)
    return upkeep.reset_password(db, vault, REALM, locked, actor, now, password)


def change_password(
    db: Database,
    vault: Vault,
    staff_id: int,
    old: Secret,
    new: Secret,
    address: str | None,
    now: datetime,
) -> StaffIdentity | Refusal:
    """Change one's own password (`engine.people.entrance.change_password`)."""
    return entrance.change_password(db, vault, REALM, staff_id, old, new, address, now)


@command("staff.reset_totp")
def reset_totp(
    db: Database, vault: Vault, login: str, actor: Actor, now: datetime, reason: str | None = None
) -> bool:
    """Take somebody's second factor away, for who lost phone and recovery codes; their sessions end, and failed tries
    are forgotten. Returns whether they had one; where not, nothing happens. Not one's own, which needs a code.
    Raises `NotFound`, `Conflict` ("use_own_way").
    """
    with db.begin() as session:
        return upkeep.reset_totp(session, vault, REALM, _locked(session, login), actor, now, reason)


@command("staff.end_sessions")
def end_sessions(
    db: Database,
    login: str,
    actor: Actor,
    now: datetime,
    *,
    ref: str | None = None,
    reason: str | None = None,
) -> int:
    """End somebody's sessions, or the one that a list shows as `ref`; returns how many. Raises `NotFound`."""
    with db.begin() as session:
        row = _locked(session, login)
        return upkeep.end_sessions(session, REALM, row, actor, now, ref=ref, reason=reason)


COMMANDS = Commands(change_staff, disable_staff, enable_staff, reset_password, reset_totp, end_sessions)


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


def _check_role(role: str) -> None:
    if role not in STAFF_ROLES:
        raise InvalidInput("unknown_role", field="role", value=role)
