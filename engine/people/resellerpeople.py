"""A reseller's people: its owners, who manage them, and clerks at the till.

Staff manage everybody; an owner sees and manages the people of their own reseller, and nobody else exists for them.
How they prove who they are is in `engine.people.entrance`; a disabled reseller's people are kept out with it.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from engine.actor import Actor
from engine.db import Database, reruns
from engine.errors import Conflict, InvalidInput, NotFound
from engine.names import checked_name, sought
from engine.people import audit, entrance, upkeep
from engine.people.entrance import Commands, EnrolmentNeeded, Realm, SecondNeeded, checked_login
from engine.people.passwords import hash_password
from engine.permissions import command
from engine.refusal import Refusal
from engine.schema import Reseller, ResellerPerson
from engine.vault import Secret, Vault

ROLES = ("owner", "clerk")


@dataclass(frozen=True, slots=True)
class ResellerIdentity:
    """Somebody who works for a reseller. `proof`: what they proved when they logged in, which opens a session."""

    id: int
    login: str
    name: str
    role: str
    reseller_id: int
    proof: bytes = field(default=b"", repr=False, compare=False)

    @property
    def actor(self) -> Actor:
        """This person as commands take them."""
        return Actor("reseller", self.id, self.name, self.role, self.reseller_id)


@dataclass(frozen=True, slots=True)
class ResellerPersonView:
    """Somebody as a list shows them; `disabled_at` where they may not log in."""

    id: int
    reseller_id: int
    reseller: str
    login: str
    name: str
    role: str
    created_at: datetime
    disabled_at: datetime | None


def _identity(row: ResellerPerson, proof: bytes = b"") -> ResellerIdentity:
    return ResellerIdentity(row.id, row.login, row.name, row.role, row.reseller_id, proof)


def _let_in(session: Session, row: ResellerPerson) -> bool:
    shut = select(Reseller.disabled_at).where(Reseller.id == row.reseller_id)
    return row.disabled_at is None and session.scalar(shut) is None


REALM = Realm("reseller", "reseller_person", ResellerPerson, _identity, _let_in)


def log_in(
    db: Database, vault: Vault, login: str, password: Secret, address: str | None, now: datetime
) -> ResellerIdentity | SecondNeeded | EnrolmentNeeded | Refusal:
    """Prove who somebody is (`engine.people.entrance.log_in`)."""
    return entrance.log_in(db, vault, REALM, login, password, address, now)


def prove_second(
    db: Database, vault: Vault, ticket: Secret, code: str, address: str | None, now: datetime
) -> ResellerIdentity | Refusal:
    """The second step of a log-in (`engine.people.entrance.prove_second`)."""
    return entrance.prove_second(db, vault, REALM, ticket, code, address, now)


def open_session(db: Database, identity: ResellerIdentity, address: str | None, now: datetime) -> Secret:
    """Start a session for somebody who just proved who they are (`engine.people.entrance.open_session`)."""
    return entrance.open_session(db, REALM, identity, address, now)


def change_password(
    db: Database, vault: Vault, person_id: int, old: Secret, new: Secret, address: str | None, now: datetime
) -> ResellerIdentity | Refusal:
    """Change one's own password (`engine.people.entrance.change_password`)."""
    return entrance.change_password(db, vault, REALM, person_id, old, new, address, now)


@reruns
def find_person(db: Database, person_id: int) -> ResellerIdentity | None:
    """Somebody by id, None where they don't exist, or they or their reseller are disabled: for each request."""
    with db.connection() as conn:
        row = conn.execute(
            "SELECT p.id, p.login, p.name, p.role, p.reseller_id FROM reseller_person p"
            " JOIN reseller r ON r.id = p.reseller_id"
            " WHERE p.id = %s AND p.disabled_at IS NULL AND r.disabled_at IS NULL",
            (person_id,),
        ).fetchone()
    return None if row is None else ResellerIdentity(row.id, row.login, row.name, row.role, row.reseller_id)


def named(db: Database, login: str) -> ResellerIdentity:
    """Somebody by log-in name, disabled people too. Raises `NotFound`."""
    with db.begin() as session:
        row = session.scalar(select(ResellerPerson).where(ResellerPerson.login == sought(login).lower()))
        if row is None:
            raise NotFound("reseller_person_not_found", login=login)
        return _identity(row)


def reseller_named(db: Database, name: str) -> int:
    """The key of a reseller by name. Raises `NotFound` ("reseller_not_found")."""
    with db.begin() as session:
        found = session.scalar(select(Reseller.id).where(Reseller.name == sought(name)))
    if found is None:
        raise NotFound("reseller_not_found", name=name)
    return found


def list_people(db: Database, reseller_id: int | None = None) -> list[ResellerPersonView]:
    """The people of one reseller, or of all, disabled ones too, by reseller and log-in name.

    For an owner's page the caller gives the owner's `reseller_id`.
    """
    wanted = (
        select(ResellerPerson, Reseller.name.label("reseller"))
        .join(Reseller, Reseller.id == ResellerPerson.reseller_id)
        .order_by(Reseller.name, ResellerPerson.login)
    )
    if reseller_id is not None:
        wanted = wanted.where(ResellerPerson.reseller_id == reseller_id)
    with db.begin() as session:
        return [
            ResellerPersonView(
                row.id,
                row.reseller_id,
                reseller,
                row.login,
                row.name,
                row.role,
                row.created_at,
                row.disabled_at,
            )
            for row, reseller in session.execute(wanted)
        ]


@command("reseller_person.add")
def add_person(
    db: Database,
    reseller_id: int,
    login: str,
    name: str,
    role: str,
    password: Secret | None,
    actor: Actor,
    now: datetime,
) -> tuple[ResellerIdentity, Secret]:
    """Add somebody to a reseller and return them with their password: the given one, or a random one, shown only now.

    Raises `NotFound` ("reseller_not_found", another's too for an owner), `Conflict` (reseller_disabled, login_taken),
    `InvalidInput` (bad_login, unknown_role, password_…, and those of `checked_name`).
    """
    login, name = checked_login(login), checked_name(name)
    _check_role(role)
    password = upkeep.checked_password(password, login, name)
    hashed = hash_password(password)
    with db.begin() as session:
        _open_reseller(session, actor, reseller_id)
        person_id = session.scalar(
            insert(ResellerPerson)
            .values(
                reseller_id=reseller_id,
                login=login,
                name=name,
                role=role,
                password_hash=hashed,
                created_at=now,
            )
            .on_conflict_do_nothing()
            .returning(ResellerPerson.id)
        )
        if person_id is None:
            raise Conflict("login_taken", login=login)
        audit.record(
            session,
            actor,
            "reseller_person.add",
            f"reseller_person:{person_id}",
            now,
            reseller=reseller_id,
            login=login,
            name=name,
            role=role,
        )
    return ResellerIdentity(person_id, login, name, role, reseller_id), password


@command("reseller_person.change")
def change_person(
    db: Database, login: str, actor: Actor, now: datetime, *, name: str | None = None, role: str | None = None
) -> ResellerIdentity:
    """Change somebody's name or role; their sessions end, so that no page goes on under the old role.

    Raises `NotFound`, `InvalidInput` (unknown_role, and those of `checked_name`), `Conflict("last_owner")`.
    """
    new_name = None if name is None else checked_name(name)
    if role is not None:
        _check_role(role)
    with db.begin() as session:
        row = _locked(session, actor, login)
        keep = functools.partial(_keep_an_owner, session, row, _is_owner(row))
        upkeep.rename(session, REALM, row, actor, now, name=new_name, role=role, keep=keep)
        return _identity(row)


@command("reseller_person.disable")
def disable_person(db: Database, login: str, actor: Actor, now: datetime, reason: str | None = None) -> None:
    """Keep somebody out from now on: sessions end, log-ins fail. What they did keeps their name.

    Raises `NotFound`, `Conflict` (last_owner, already_disabled).
    """
    with db.begin() as session:
        row = _locked(session, actor, login)
        keep = functools.partial(_keep_an_owner, session, row, _is_owner(row))
        upkeep.disable(session, REALM, row, actor, now, reason=reason, keep=keep)


@command("reseller_person.enable")
def enable_person(db: Database, login: str, actor: Actor, now: datetime) -> None:
    """Let somebody back in, with the password they had. Raises `NotFound`, `Conflict("not_disabled")`."""
    with db.begin() as session:
        upkeep.enable(session, REALM, _locked(session, actor, login), actor, now)


@command("reseller_person.reset_password")
def reset_password(
    db: Database, vault: Vault, login: str, actor: Actor, now: datetime, password: Secret | None = None
) -> Secret:
    """Give somebody a new password (random, if none is given), end their sessions, and forget their failed tries.

    Not one's own, which needs the old one. Raises `NotFound`, `Conflict` ("use_own_way"), `InvalidInput` (password_…).
    """
    locked = functools.partial(_locked, actor=actor, login=login)
    return upkeep.reset_password(db, vault, REALM, locked, actor, now, password)


@command("reseller_person.reset_totp")
def reset_totp(
    db: Database, vault: Vault, login: str, actor: Actor, now: datetime, reason: str | None = None
) -> bool:
    """Take somebody's second factor away, for who lost phone and recovery codes; their sessions end, and failed tries
    are forgotten. Returns whether they had one; where not, nothing happens. Not one's own, which needs a code.
    Raises `NotFound`, `Conflict` ("use_own_way").
    """
    with db.begin() as session:
        row = _locked(session, actor, login)
        return upkeep.reset_totp(session, vault, REALM, row, actor, now, reason)


@command("reseller_person.end_sessions")
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
        row = _locked(session, actor, login)
        return upkeep.end_sessions(session, REALM, row, actor, now, ref=ref, reason=reason)


COMMANDS = Commands(change_person, disable_person, enable_person, reset_password, reset_totp, end_sessions)


def _is_owner(row: ResellerPerson) -> bool:
    return row.role == "owner" and row.disabled_at is None


def _open_reseller(session: Session, actor: Actor, reseller_id: int) -> Reseller:
    """The reseller, locked, where this actor may add people to it."""
    mine = actor.kind != "reseller" or actor.reseller_id == reseller_id
    reseller = session.get(Reseller, reseller_id, with_for_update=True) if mine else None
    if reseller is None:
        raise NotFound("reseller_not_found")
    if reseller.disabled_at is not None:
        raise Conflict("reseller_disabled", name=reseller.name)
    return reseller


def _locked(session: Session, actor: Actor, login: str) -> ResellerPerson:
    """Somebody's row, locked; another reseller's people don't exist for an owner."""
    wanted = select(ResellerPerson).where(ResellerPerson.login == sought(login).lower())
    if actor.kind == "reseller":
        wanted = wanted.where(ResellerPerson.reseller_id == actor.reseller_id)
    row = session.scalar(wanted.with_for_update())
    if row is None:
        raise NotFound("reseller_person_not_found", login=login)
    return row


def _keep_an_owner(session: Session, row: ResellerPerson, was_owner: bool) -> None:
    """Refuse a change that takes a reseller its last owner. Two such changes at once take turns."""
    if not was_owner or _is_owner(row):
        return
    session.flush()
    session.get(Reseller, row.reseller_id, with_for_update=True, populate_existing=True)
    # A statement of its own after the lock: it sees what the other one did.
    owners = select(func.count()).where(
        ResellerPerson.reseller_id == row.reseller_id,
        ResellerPerson.role == "owner",
        ResellerPerson.disabled_at.is_(None),
    )
    if not session.scalar(owners):
        raise Conflict("last_owner")


def _check_role(role: str) -> None:
    if role not in ROLES:
        raise InvalidInput("unknown_role", field="role", value=role)
