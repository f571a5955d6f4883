"""What people do with their own second factor: enrol one, draw new recovery codes, give it up.

Whose it is, is decided by whoever calls: a page for the person who is logged in, the command line for somebody who
stands beside it. What takes protection away is proven anew and counted like a log-in; the same for all realms.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from engine.db import Database
from engine.errors import Conflict, NotFound
from engine.people import audit, entrance, sessions, totp
from engine.people.entrance import I, Realm
from engine.people.totp import Enrolment
from engine.refusal import Refusal
from engine.vault import Secret, Vault


@dataclass(frozen=True, slots=True)
class Standing:
    """Somebody's second factor: since when it is in force (None: it is not), and the recovery codes that are left."""

    since: datetime | None
    codes_left: int


def standing(db: Database, realm: Realm[I], subject_id: int) -> Standing:
    """What somebody has."""
    with db.begin() as session:
        return Standing(
            totp.is_on(session, realm.name, subject_id), totp.codes_left(session, realm.name, subject_id)
        )


def begin_enrolment(db: Database, vault: Vault, realm: Realm[I], subject_id: int, now: datetime) -> Enrolment:
    """Draw a secret for an authenticator app; nothing changes until `confirm_enrolment`.

    Raises `NotFound`, `Conflict` ("totp_on").
    """
    with db.begin() as session:
        login = _locked(session, realm, subject_id)[1]
        return totp.begin(session, vault, realm.name, subject_id, login, now)


def confirm_enrolment(
    db: Database, vault: Vault, realm: Realm[I], subject_id: int, code: str, now: datetime
) -> tuple[Secret, ...]:
    """Put the second factor in force, proven by a code of the app, and return ten recovery codes, shown this once.

    Raises `NotFound`, `Conflict` (totp_on, totp_not_begun), `InvalidInput` ("totp_code").
    """
    with db.begin() as session:
        identity, _ = _locked(session, realm, subject_id)
        codes = totp.confirm(session, vault, realm.name, subject_id, code, now)
        _record(session, realm, identity, "totp_on", now)
    return codes


def begin_proven(
    db: Database, vault: Vault, realm: Realm[I], ticket: Secret, now: datetime, subject_id: int | None = None
) -> Enrolment:
    """`begin_enrolment` for whoever proved their password: `ticket` of `EnrolmentNeeded` or `enrolment_ticket`.

    `subject_id`: who is logged in, where somebody is. Raises `Unauthorized` ("ticket_over").
    """
    with db.begin() as session:
        row = entrance.enrolling(session, vault, realm, ticket, now, subject_id)
        return totp.begin(session, vault, realm.name, row.id, row.login, now)


def begun(
    db: Database, vault: Vault, realm: Realm[I], ticket: Secret, now: datetime, subject_id: int | None = None
) -> Enrolment:
    """What `begin_proven` drew, once more, after a code that was mistyped.

    Raises `Unauthorized` ("ticket_over"), `Conflict` ("totp_not_begun").
    """
    with db.begin() as session:
        row = entrance.enrolling(session, vault, realm, ticket, now, subject_id)
        return totp.begun(session, vault, realm.name, row.id, row.login)


def confirm_proven(
    db: Database, vault: Vault, realm: Realm[I], ticket: Secret, code: str, now: datetime, subject_id: int
) -> tuple[Secret, ...]:
    """`confirm_enrolment` for whoever is logged in and holds a ticket; it is of no use afterwards.

    Raises `Unauthorized` ("ticket_over"), `Conflict` ("totp_not_begun"), `InvalidInput` ("totp_code").
    """
    with db.begin() as session:
        row = entrance.enrolling(session, vault, realm, ticket, now, subject_id)
        return _confirm(session, vault, realm, row, code, now)[1]


def enrol_and_enter(
    db: Database, vault: Vault, realm: Realm[I], ticket: Secret, code: str, address: str | None, now: datetime
) -> tuple[I, tuple[Secret, ...]]:
    """`confirm_proven` as the last step of a log-in: answers who it is, to open a session, and the recovery codes."""
    with db.begin() as session:
        row = entrance.enrolling(session, vault, realm, ticket, now)
        _, codes = _confirm(session, vault, realm, row, code, now)
        session.flush()
        identity = realm.identity(row, entrance.proof_of(session, realm, row))
        entrance.note_log_in(session, realm, identity, address, now, second="totp")
    return identity, codes


def _confirm(
    session: Session, vault: Vault, realm: Realm[I], row: Any, code: str, now: datetime
) -> tuple[I, tuple[Secret, ...]]:
    identity = realm.identity(row, b"")
    codes = totp.confirm(session, vault, realm.name, row.id, code, now)
    _record(session, realm, identity, "totp_on", now)
    return identity, codes


def new_recovery_codes(
    db: Database,
    vault: Vault,
    realm: Realm[I],
    subject_id: int,
    code: str,
    address: str | None,
    now: datetime,
) -> tuple[Secret, ...] | Refusal:
    """Ten new recovery codes for a code of the app (or one of the old ones); those before are worth nothing.

    Returns a `Refusal` as a log-in does. Raises `NotFound`, `Conflict` ("totp_off").
    """
    tried = entrance.take_try(db, vault, realm, _login(db, realm, subject_id), address, now)
    if isinstance(tried, Refusal):
        return tried
    with db.begin() as session:
        identity, _ = _locked(session, realm, subject_id)
        _must_be_on(session, realm, subject_id)
        if totp.use_code(session, vault, realm.name, subject_id, code, now) is None:
            entrance.note_attempt(session, realm, "wrong_code", address, now)
            return Refusal("bad_credentials")
        entrance.give_back(session, tried)
        codes = totp.renew_codes(session, vault, realm.name, subject_id)
        _record(session, realm, identity, "recovery_codes", now)
    return codes


def remove(
    db: Database,
    vault: Vault,
    realm: Realm[I],
    subject_id: int,
    password: Secret,
    code: str,
    address: str | None,
    now: datetime,
) -> Refusal | None:
    """Give one's second factor up, proven by password and code; every session ends, this one too.

    Returns a `Refusal` as a log-in does. Raises `NotFound`, `Conflict` ("totp_off").
    """
    tried = entrance.take_try(db, vault, realm, _login(db, realm, subject_id), address, now)
    if isinstance(tried, Refusal):
        return tried
    if not entrance.is_right(db, realm, tried, password, address, now):
        return Refusal("bad_credentials")
    with db.begin() as session:
        identity, _ = _locked(session, realm, subject_id)
        _must_be_on(session, realm, subject_id)
        if totp.use_code(session, vault, realm.name, subject_id, code, now) is None:
            entrance.note_attempt(session, realm, "wrong_code", address, now)
            return Refusal("bad_credentials")
        entrance.give_back(session, tried)
        totp.wipe(session, realm.name, subject_id)
        sessions.close_all(session, realm.name, subject_id)
        _record(session, realm, identity, "totp_off", now)
    return None


def _login(db: Database, realm: Realm[I], subject_id: int) -> str:
    with db.begin() as session:
        return _locked(session, realm, subject_id)[1]


def _locked(session: Session, realm: Realm[I], subject_id: int) -> tuple[I, str]:
    """Somebody who may come in, their row locked: changes to one's proofs and log-ins take turns."""
    row = session.get(realm.table, subject_id, with_for_update=True)
    if row is None or not realm.let_in(session, row):
        raise NotFound("person_not_found")
    return realm.identity(row, b""), row.login


def _must_be_on(session: Session, realm: Realm[I], subject_id: int) -> None:
    if totp.is_on(session, realm.name, subject_id) is None:
        raise Conflict("totp_off")


def _record(session: Session, realm: Realm[I], identity: I, verb: str, now: datetime) -> None:
    audit.record(session, identity.actor, f"{realm.subject}.{verb}", f"{realm.subject}:{identity.id}", now)
