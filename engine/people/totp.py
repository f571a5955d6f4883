"""The second factor: one-time codes of an authenticator app, and recovery codes for the day the phone is lost.

RFC 6238 over HMAC-SHA-1, 30 seconds, 6 digits, which is what every app expects. A code is taken one step early or late,
and once: the step is kept by a guarded UPDATE, so that of two who show the same code one is let in. Secrets are sealed
by the master key and bound to their owner; recovery codes are kept as keyed digests.

The steps here take the caller's `session` and count nothing: who guesses is stopped in `engine.people.entrance`.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, urlencode

from sqlalchemy import ColumnElement, delete, func, select, update
from sqlalchemy.orm import Session

from engine.errors import Conflict, InvalidInput
from engine.schema import RecoveryCode, Totp
from engine.vault import Secret, Vault

STEP_S = 30
DIGITS = 6
DRIFT = 1
"""Steps that a phone's clock may be early or late."""
SECRET_BYTES = 20
RECOVERY_CODES = 10
ISSUER = "Cardtone"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
"""Nothing in it is taken for something else: no i, l, o, 0, 1."""


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What an authenticator app must be told, once: the secret to type (base32), or the URI to show as a QR code."""

    secret: Secret
    uri: Secret


def hotp(secret: bytes, counter: int, digits: int = DIGITS) -> str:
    """The one-time password of a counter (RFC 4226, section 5.3)."""
    mac = hmac.digest(secret, counter.to_bytes(8, "big"), hashlib.sha1)
    at = mac[-1] & 15
    number = int.from_bytes(mac[at : at + 4], "big") & 0x7FFFFFFF
    return str(number % 10**digits).zfill(digits)


def step_at(now: datetime) -> int:
    """The time step (RFC 6238, section 4.2)."""
    return (now - _EPOCH) // timedelta(seconds=STEP_S)


def is_on(session: Session, realm: str, subject_id: int) -> datetime | None:
    """Since when somebody has a confirmed second factor, None where they have none."""
    return session.scalar(select(Totp.confirmed_at).where(Totp.realm == realm, Totp.subject_id == subject_id))


def codes_left(session: Session, realm: str, subject_id: int) -> int:
    """How many recovery codes somebody has not used yet."""
    left = select(func.count()).where(*_codes_of(realm, subject_id), RecoveryCode.used_at.is_(None))
    return session.scalar(left) or 0


def begin(
    session: Session, vault: Vault, realm: str, subject_id: int, login: str, now: datetime
) -> Enrolment:
    """Draw a secret for somebody; it counts once `confirm` saw a code of it. One begun before is thrown away.

    The caller holds the person's row. Raises `Conflict` ("totp_on") where one is in force.
    """
    row = session.get(Totp, (realm, subject_id), with_for_update=True)
    if row is not None and row.confirmed_at is not None:
        raise Conflict("totp_on")
    secret = secrets.token_bytes(SECRET_BYTES)
    sealed, master = vault.seal(secret, _bound(realm, subject_id))
    if row is None:
        session.add(Totp(realm=realm, subject_id=subject_id, sealed=sealed, master=master, created_at=now))
    else:
        row.sealed, row.master, row.created_at = sealed, master, now
    return _told(secret, login)


def begun(session: Session, vault: Vault, realm: str, subject_id: int, login: str) -> Enrolment:
    """The secret that `begin` drew, once more, while it is not confirmed.

    Raises `Conflict` (totp_on, totp_not_begun).
    """
    row = session.get(Totp, (realm, subject_id))
    if row is None:
        raise Conflict("totp_not_begun")
    if row.confirmed_at is not None:
        raise Conflict("totp_on")
    return _told(vault.unseal(row.sealed, row.master, _bound(realm, subject_id)), login)


def _told(secret: bytes, login: str) -> Enrolment:
    text = base64.b32encode(secret).decode()
    query = urlencode(
        {"secret": text, "issuer": ISSUER, "algorithm": "SHA1", "digits": DIGITS, "period": STEP_S}
    )
    return Enrolment(Secret(text), Secret(f"otpauth://totp/{quote(f'{ISSUER}:{login}')}?{query}"))


def confirm(
    session: Session, vault: Vault, realm: str, subject_id: int, code: str, now: datetime
) -> tuple[Secret, ...]:
    """Put the secret that was begun in force, proven by a code of it, and return new recovery codes.

    Raises `Conflict` (totp_on, totp_not_begun), `InvalidInput` ("totp_code").
    """
    row = session.get(Totp, (realm, subject_id), with_for_update=True)
    if row is None:
        raise Conflict("totp_not_begun")
    if row.confirmed_at is not None:
        raise Conflict("totp_on")
    step = _fitting_step(vault.unseal(row.sealed, row.master, _bound(realm, subject_id)), _plain(code), now)
    if step is None:
        raise InvalidInput("totp_code", field="code")
    row.confirmed_at, row.last_step = now, step
    return renew_codes(session, vault, realm, subject_id)


def renew_codes(session: Session, vault: Vault, realm: str, subject_id: int) -> tuple[Secret, ...]:
    """Ten new recovery codes; those before are worth nothing from now on."""
    session.execute(delete(RecoveryCode).where(*_codes_of(realm, subject_id)))
    codes = tuple(_new_code() for _ in range(RECOVERY_CODES))
    session.add_all(
        RecoveryCode(realm=realm, subject_id=subject_id, digest=_digest(vault, realm, subject_id, code.value))
        for code in codes
    )
    return codes


def use_code(
    session: Session, vault: Vault, realm: str, subject_id: int, code: str, now: datetime
) -> str | None:
    """Use up a code of the app ("totp") or a recovery code ("recovery"); None where it is neither, or was used."""
    row = session.get(Totp, (realm, subject_id))
    if row is None or row.confirmed_at is None:
        return None
    plain = _plain(code)
    step = _fitting_step(
        vault.unseal(row.sealed, row.master, _bound(realm, subject_id)), plain, now, row.last_step
    )
    if step is not None:
        taken = session.execute(
            update(Totp)
            .where(
                Totp.realm == realm,
                Totp.subject_id == subject_id,
                Totp.confirmed_at.is_not(None),
                (Totp.last_step.is_(None)) | (Totp.last_step < step),
            )
            .values(last_step=step)
            .returning(Totp.last_step)
            .execution_options(synchronize_session=False)
        )
        return "totp" if taken.one_or_none() is not None else None
    used = session.execute(
        update(RecoveryCode)
        .where(
            *_codes_of(realm, subject_id),
            RecoveryCode.digest == _digest(vault, realm, subject_id, plain),
            RecoveryCode.used_at.is_(None),
        )
        .values(used_at=now)
        .returning(RecoveryCode.used_at)
        .execution_options(synchronize_session=False)
    )
    return "recovery" if used.one_or_none() is not None else None


def wipe(session: Session, realm: str, subject_id: int) -> bool:
    """Take a second factor and its recovery codes away; whether there was one in force."""
    session.execute(delete(RecoveryCode).where(*_codes_of(realm, subject_id)))
    gone = session.execute(
        delete(Totp).where(Totp.realm == realm, Totp.subject_id == subject_id).returning(Totp.confirmed_at)
    ).one_or_none()
    return gone is not None and gone.confirmed_at is not None


def _fitting_step(secret: bytes, code: str, now: datetime, used: int | None = None) -> int | None:
    """The step after `used` whose code this is. All are compared, in constant time."""
    found = None
    for step in range(step_at(now) - DRIFT, step_at(now) + DRIFT + 1):
        same = hmac.compare_digest(hotp(secret, step).encode(), code.encode("utf-8", "surrogatepass"))
        if same and (used is None or step > used):
            found = step
    return found


def _plain(code: str) -> str:
    """What was typed, without the gaps that apps and people put in."""
    return "".join(code.split()).replace("-", "").lower()


def _new_code() -> Secret:
    groups = ("".join(secrets.choice(_ALPHABET) for _ in range(5)) for _ in range(2))
    return Secret("-".join(groups))


def _digest(vault: Vault, realm: str, subject_id: int, code: str) -> bytes:
    bare = _plain(code).encode("utf-8", "replace").decode()
    return vault.name("recovery code", f"{realm}:{subject_id}:{bare}")


def _bound(realm: str, subject_id: int) -> str:
    return f"totp:{realm}:{subject_id}"


def _codes_of(realm: str, subject_id: int) -> tuple[ColumnElement[bool], ...]:
    return RecoveryCode.realm == realm, RecoveryCode.subject_id == subject_id
