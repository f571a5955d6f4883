"""How people of a realm (staff, a reseller's people) prove who they are: password, then second factor, then a session.

A try is counted before anything is compared (`engine.limits`), by address and by log-in name, whether that name exists
or not. What counts as an address is the line behind it (`limits.line_of`). Somebody who logged in from there before has
a count of their own there, so that a stranger's tries never keep them out. A wrong one-time code counts like a wrong
password, and a right password alone clears nothing for those who have a second factor: who stole it gets no more
guesses at codes than at passwords.

Between the two steps stands a ticket: signed, short-lived, of no use but for the second step. What was proven carries
a digest of the password's hash and of the second factor as they were; a session is opened only while both still are.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, Protocol, TypeVar

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from engine import limits, settings
from engine.actor import Actor
from engine.db import Database
from engine.errors import Conflict, InvalidInput, NotFound, Unauthorized
from engine.people import audit, sessions, totp
from engine.people.passwords import check_password, hash_password, needs_rehash, verify_password
from engine.refusal import Refusal
from engine.schema import Attempt
from engine.vault import Secret, Vault

TICKET_S = 300
"""So long may somebody look for their phone."""
ENROL_S = 900
"""So long may somebody take to find an authenticator app and set it up."""
_SECOND, _ENROLMENT = "second factor", "enrolment"
"""What a ticket is for; one for the one is worth nothing for the other."""

# Per log-in name: five free tries, then 2 s, 4 s, … up to 15 min. The true owner is let in from where they were before.
_per_name = functools.partial(limits.take_try, free=4, first_delay_s=2, max_delay_s=900)
# Per address: ten failures, then a minute's pause; a minute without one clears them.
_per_address = functools.partial(limits.take_try, free=9, first_delay_s=60, max_delay_s=60, forget_s=60)


class Identity(Protocol):
    """Somebody of a realm. `proof` stands for the password and second factor that they proved."""

    @property
    def id(self) -> int: ...

    @property
    def actor(self) -> Actor: ...

    @property
    def proof(self) -> bytes: ...


I = TypeVar("I", bound=Identity)  # noqa: E741


@dataclass(frozen=True, slots=True)
class Realm(Generic[I]):
    """One kind of people: the realm of their sessions, what the audit trail calls them, and their table.

    `identity(row, proof)` makes what a log-in returns; `let_in(session, row)` says whether this person may come in.
    """

    name: str
    subject: str
    table: Any
    identity: Callable[[Any, bytes], I]
    let_in: Callable[[Session, Any], bool]


@dataclass(frozen=True, slots=True)
class Commands(Generic[I]):
    """What is done about the log-ins of a realm, each by log-in name: pages and command line offer them alike."""

    change: Callable[..., I]
    disable: Callable[..., None]
    enable: Callable[..., None]
    reset_password: Callable[..., Secret]
    reset_totp: Callable[..., bool]
    end_sessions: Callable[..., int]


@dataclass(frozen=True, slots=True)
class SecondNeeded:
    """The password was right; a code is needed, too. `ticket` is for `prove_second`, within `TICKET_S` seconds."""

    ticket: Secret


@dataclass(frozen=True, slots=True)
class EnrolmentNeeded:
    """The password was right; the house wants a second factor, and they have none.

    `ticket` is for `secondfactor.begin_proven` and `confirm_proven`, within `ENROL_S` seconds, and for nothing else.
    """

    ticket: Secret


@dataclass(frozen=True, slots=True)
class Tried:
    """One counted try: the counters it stands on, and whom it may be."""

    name_key: bytes
    address_key: bytes | None
    subject_id: int | None
    password_hash: str | None
    let_in: bool


def log_in(
    db: Database,
    vault: Vault,
    realm: Realm[I],
    login: str,
    password: Secret,
    address: str | None,
    now: datetime,
) -> I | SecondNeeded | EnrolmentNeeded | Refusal:
    """Prove who somebody is by their password. `address`: where they ask from, None at the machine itself.

    Returns `SecondNeeded` where they have a second factor, `EnrolmentNeeded` where the house wants one and they have
    none, or a `Refusal`: `bad_credentials`, the same and as slow for an unknown name, a wrong password and a disabled
    person; or `throttled` with `retry_after_s`, in which case nothing was compared.
    """
    tried = take_try(db, vault, realm, login, address, now)
    if isinstance(tried, Refusal):
        return tried
    if not is_right(db, realm, tried, password, address, now):
        return Refusal("bad_credentials")
    new_hash = hash_password(password) if needs_rehash(tried.password_hash or "") else None
    with db.begin() as session:
        row = locked_as_tried(session, realm, tried)
        if row is None:
            return Refusal("bad_credentials")
        if new_hash is not None:
            row.password_hash = new_hash
        proof = proof_of(session, realm, row)
        if totp.is_on(session, realm.name, row.id) is not None:
            give_back(session, tried)
            return SecondNeeded(_ticket(vault, _SECOND, realm, row.id, proof, now))
        _clear(session, tried)
        if settings.load(session).totp_required:
            return EnrolmentNeeded(_ticket(vault, _ENROLMENT, realm, row.id, proof, now))
        identity = realm.identity(row, proof)
        note_log_in(session, realm, identity, address, now, second=None)
    return identity


def prove_second(
    db: Database, vault: Vault, realm: Realm[I], ticket: Secret, code: str, address: str | None, now: datetime
) -> I | Refusal:
    """The second step: a code of the app or a recovery code, each of which works once.

    Returns a `Refusal` as `log_in` does; raises `Unauthorized` ("ticket_over") where the first step must be done anew.
    """
    subject_id, proof = _read_ticket(vault, _SECOND, realm, ticket, now)
    with db.begin() as session:
        row = session.get(realm.table, subject_id)
        if row is None or not hmac.compare_digest(proof_of(session, realm, row), proof):
            raise Unauthorized("ticket_over")
        login = row.login
    tried = take_try(db, vault, realm, login, address, now)
    if isinstance(tried, Refusal):
        return tried
    with db.begin() as session:
        row = locked_as_tried(session, realm, tried)
        if row is None or not hmac.compare_digest(proof_of(session, realm, row), proof):
            raise Unauthorized("ticket_over")
        used = totp.use_code(session, vault, realm.name, row.id, code, now)
        if used is None:
            note_attempt(session, realm, "wrong_code", address, now)
            return Refusal("bad_credentials")
        _clear(session, tried)
        identity = realm.identity(row, proof)
        note_log_in(session, realm, identity, address, now, second=used)
    return identity


def open_session(db: Database, realm: Realm[I], identity: I, address: str | None, now: datetime) -> Secret:
    """Start a web session for somebody who just logged in, and return its token.

    Raises `Unauthorized` ("proof_over") where their password, second factor or standing changed since they proved it:
    whoever changes those ends all sessions, and must not miss one that is about to be.
    """
    with db.begin() as session:
        row = session.get(realm.table, identity.id, with_for_update={"read": True})
        if (
            row is None
            or not realm.let_in(session, row)
            or not hmac.compare_digest(proof_of(session, realm, row), identity.proof)
        ):
            raise Unauthorized("proof_over")
        return sessions.add_session(session, realm.name, row.id, address, now)


def change_password(
    db: Database,
    vault: Vault,
    realm: Realm[I],
    subject_id: int,
    old: Secret,
    new: Secret,
    address: str | None,
    now: datetime,
) -> I | Refusal:
    """Change one's own password, proven by the old one; every session ends, this one too.

    Returns a `Refusal` as `log_in` does. Raises `NotFound` ("person_not_found"), `InvalidInput` (password_…).
    """
    with db.begin() as session:
        row = session.get(realm.table, subject_id)
        if row is None or not realm.let_in(session, row):
            raise NotFound("person_not_found")
    check_password(new, row.login, row.name, "cardtone")
    tried = take_try(db, vault, realm, row.login, address, now)
    if isinstance(tried, Refusal):
        return tried
    if not is_right(db, realm, tried, old, address, now):
        return Refusal("bad_credentials")
    hashed = hash_password(new)
    with db.begin() as session:
        row = locked_as_tried(session, realm, tried)
        if row is None:
            return Refusal("bad_credentials")
        give_back(session, tried)
        row.password_hash = hashed
        sessions.close_all(session, realm.name, row.id)
        identity = realm.identity(row, b"")
        subject = f"{realm.subject}:{row.id}"
        audit.record(session, identity.actor, f"{realm.subject}.change_password", subject, now)
    return identity


def prove_password(
    db: Database,
    vault: Vault,
    realm: Realm[I],
    subject_id: int,
    password: Secret,
    address: str | None,
    now: datetime,
) -> Refusal | None:
    """Have somebody who is logged in type their password again, before what a stolen session must not do.

    Counted as a log-in is. Returns None where it was right, else a `Refusal`. Raises `NotFound` ("person_not_found").
    """
    with db.begin() as session:
        row = session.get(realm.table, subject_id)
        if row is None or not realm.let_in(session, row):
            raise NotFound("person_not_found")
    tried = take_try(db, vault, realm, row.login, address, now)
    if isinstance(tried, Refusal):
        return tried
    if not is_right(db, realm, tried, password, address, now):
        return Refusal("bad_credentials")
    with db.begin() as session:
        give_back(session, tried)
    return None


def enrolment_ticket(
    db: Database,
    vault: Vault,
    realm: Realm[I],
    subject_id: int,
    password: Secret,
    address: str | None,
    now: datetime,
) -> Secret | Refusal:
    """`prove_password` of somebody who is logged in, answered with a ticket to enrol a second factor by.

    Raises `NotFound` ("person_not_found"), `Conflict` ("totp_on").
    """
    refusal = prove_password(db, vault, realm, subject_id, password, address, now)
    if refusal is not None:
        return refusal
    with db.begin() as session:
        row = session.get(realm.table, subject_id)
        if row is None or not realm.let_in(session, row):
            raise NotFound("person_not_found")
        if totp.is_on(session, realm.name, subject_id) is not None:
            raise Conflict("totp_on")
        return _ticket(vault, _ENROLMENT, realm, subject_id, proof_of(session, realm, row), now)


def enrolling(
    session: Session,
    vault: Vault,
    realm: Realm[I],
    ticket: Secret,
    now: datetime,
    subject_id: int | None = None,
) -> Any:
    """The locked row of whoever holds a ticket to enrol; it ends with the enrolment, which changes what it proves.

    `subject_id`: who is logged in, where somebody is; another person's ticket is none. Raises `Unauthorized`
    ("ticket_over").
    """
    holder, proof = _read_ticket(vault, _ENROLMENT, realm, ticket, now)
    row = session.get(realm.table, holder, with_for_update=True)
    if (
        row is None
        or subject_id not in (None, holder)
        or not realm.let_in(session, row)
        or not hmac.compare_digest(proof_of(session, realm, row), proof)
    ):
        raise Unauthorized("ticket_over")
    return row


def proof_of(session: Session, realm: Realm[I], row: Any) -> bytes:
    """A digest that is another one as soon as somebody's password or second factor changes."""
    since = totp.is_on(session, realm.name, row.id)
    return hashlib.sha256(f"{row.password_hash} {since and since.timestamp()}".encode()).digest()


def check_other(realm: Realm[I], actor: Actor, subject_id: int) -> None:
    """Raise `Conflict` ("use_own_way") where somebody would take their own proofs away or anew without giving them.

    An open session is not the person: whoever found it open must not make it theirs.
    """
    if actor.kind == realm.name and actor.id == subject_id:
        raise Conflict("use_own_way")


def checked_login(login: str) -> str:
    """A log-in name in its one form: lower case, without spaces around it. Raises `InvalidInput("bad_login")`."""
    normal = login.strip().lower()
    if not re.fullmatch(r"[a-z0-9][a-z0-9._@+-]{0,62}", normal):
        raise InvalidInput("bad_login", field="login")
    return normal


def take_try(
    db: Database, vault: Vault, realm: Realm[I], login: str, address: str | None, now: datetime
) -> Tried | Refusal:
    """Count one try on its address and its name, if both are heard now; always in this order, so that none deadlock."""
    try:
        normal = checked_login(login)
    except InvalidInput:
        normal = ""
    line = None if address is None else limits.line_of(address)
    address_key = None if line is None else vault.name(f"{realm.name} address", line)
    with db.begin() as session:
        row = session.scalar(select(realm.table).where(realm.table.login == normal))
        name_key = _name_key(vault, realm, normal or login)
        # Asked for a name that does not exist, too: what a refusal costs must not tell which do.
        if address is not None and _was_here(session, realm, row.id if row else 0, address):
            name_key = _name_key(vault, realm, normal, line)
        wait_s = 0 if address_key is None else _per_address(session, address_key, now)
        if wait_s:
            wait_s = max(wait_s, limits.blocked_for(session, name_key, now))
        else:
            # A try that its name refuses stays counted on the address, which would else ask without end.
            wait_s = _per_name(session, name_key, now)
        if wait_s:
            return Refusal("throttled", retry_after_s=wait_s)
        if row is None:
            return Tried(name_key, address_key, None, None, False)
        return Tried(name_key, address_key, row.id, row.password_hash, realm.let_in(session, row))


def is_right(
    db: Database, realm: Realm[I], tried: Tried, password: Secret, address: str | None, now: datetime
) -> bool:
    """Whether a counted try gave the password of somebody who may come in; a wrong one is kept.

    Not the name it gave: people type passwords into the wrong field.
    """
    right = verify_password(tried.password_hash, password)
    if right and tried.let_in:
        return True
    reason = "disabled" if right else ("unknown_login" if tried.subject_id is None else "wrong_password")
    with db.begin() as session:
        note_attempt(session, realm, reason, address, now)
    return False


def locked_as_tried(session: Session, realm: Realm[I], tried: Tried) -> Any | None:
    """The person's row, locked, if password and standing are still those of the try: either may have gone meanwhile."""
    row = session.get(realm.table, tried.subject_id, with_for_update=True) if tried.subject_id else None
    if row is None or row.password_hash != tried.password_hash or not realm.let_in(session, row):
        return None
    return row


def give_back(session: Session, tried: Tried) -> None:
    """Take back one try that was right as far as it went; earlier failures stand."""
    if tried.address_key is not None:
        limits.give_back(session, tried.address_key)
    limits.give_back(session, tried.name_key)


def note_attempt(session: Session, realm: Realm[I], reason: str, address: str | None, now: datetime) -> None:
    """Keep a failed try for the operator's eyes."""
    session.add(Attempt(at=now, door=realm.name, source=f"address:{address or 'console'}", reason=reason))


def forget_failures(session: Session, vault: Vault, realm: Realm[I], login: str) -> None:
    """Forget the failed tries for a name from where nobody was let in before."""
    limits.count_success(session, _name_key(vault, realm, login))


def _clear(session: Session, tried: Tried) -> None:
    """Whoever proved all forgets the failures of their name; on the address only this try is taken back."""
    if tried.address_key is not None:
        limits.give_back(session, tried.address_key)
    limits.count_success(session, tried.name_key)


def note_log_in(
    session: Session, realm: Realm[I], identity: I, address: str | None, now: datetime, second: str | None
) -> None:
    """Write into the audit trail that somebody logged in: from there they are let in from then on."""
    audit.record(
        session,
        identity.actor,
        f"{realm.subject}.log_in",
        f"{realm.subject}:{identity.id}",
        now,
        address=address,
        line=None if address is None else limits.line_of(address),
        second=second,
    )


# As the index ix_audit_log_in has it, so that it costs the same however often somebody logged in. Rows of before there
# were lines tell only the address.
_WAS_HERE = {
    subject: text(
        "SELECT EXISTS (SELECT 1 FROM audit"
        f" WHERE subject = :subject AND action = '{subject}.log_in'"
        " AND coalesce(data ->> 'line', data ->> 'address') IN (:line, :address))"
    )
    for subject in ("staff", "reseller_person")
}


def _was_here(session: Session, realm: Realm[I], subject_id: int, address: str) -> bool:
    """Whether somebody logged in from this line before."""
    asked = {
        "subject": f"{realm.subject}:{subject_id}",
        "line": limits.line_of(address),
        "address": address,
    }
    return bool(session.scalar(_WAS_HERE[realm.subject], asked))


def _name_key(vault: Vault, realm: Realm[I], login: str, line: str | None = None) -> bytes:
    return vault.name(f"{realm.name} log-in", login if line is None else f"{login} {line}")


def _ticket(
    vault: Vault, purpose: str, realm: Realm[I], subject_id: int, proof: bytes, now: datetime
) -> Secret:
    seconds = TICKET_S if purpose == _SECOND else ENROL_S
    ends = int((now + timedelta(seconds=seconds)).timestamp())
    body = f"{realm.name}.{subject_id}.{ends}.{proof.hex()}"
    return Secret(f"{body}.{vault.name(purpose, body).hex()}")


def _read_ticket(
    vault: Vault, purpose: str, realm: Realm[I], ticket: Secret, now: datetime
) -> tuple[int, bytes]:
    """Whose ticket this is, and what they proved. Raises `Unauthorized` ("ticket_over")."""
    if not re.fullmatch(r"[a-z]{1,20}\.[0-9]{1,19}\.[0-9]{1,12}\.[0-9a-f]{64}\.[0-9a-f]{64}", ticket.value):
        raise Unauthorized("ticket_over")
    body, _, mac = ticket.value.rpartition(".")
    name, subject_id, ends, proof = body.split(".")
    signed = hmac.compare_digest(vault.name(purpose, body).hex(), mac)
    if not signed or name != realm.name or now >= datetime.fromtimestamp(int(ends), UTC):
        raise Unauthorized("ticket_over")
    return int(subject_id), bytes.fromhex(proof)
