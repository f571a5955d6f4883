"""A write that carries a key counts once: the same key with the same facts gets the first answer again.

A command claims its key as the first thing in its transaction and keeps its answer as the last; a racing duplicate
waits at the claim and finds the answer. A refused command undoes its claim, so that asking again asks anew.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from datetime import datetime
from typing import Any

from psycopg.types.json import Json
from sqlalchemy import text
from sqlalchemy.orm import Session

from engine.errors import Conflict, EngineUnavailable, InvalidInput

LONGEST = 255
"""Characters of a key."""


def new_key() -> str:
    """A key for a write that came without one, so that running it again after a lost link counts once, too."""
    return f"own:{secrets.token_hex(16)}"


def fingerprint(*facts: Any) -> bytes:
    """SHA-256 of what was asked. Not for secrets: those need the keyed `Vault.name` of `canonical`."""
    return hashlib.sha256(canonical(*facts).encode()).digest()


def canonical(*facts: Any) -> str:
    """One text for the facts of a request; no two lists of facts have the same."""
    return json.dumps(facts, separators=(",", ":"), sort_keys=True)


def find(session: Session, scope: str, key: str, asked: bytes) -> dict[str, Any] | None:
    """The first answer to this key, or None where it is new. Raises `Conflict` ("key_reused") for other facts."""
    row = session.execute(
        text("SELECT fingerprint, answer FROM idempotent_request WHERE scope = :scope AND key = :key"),
        {"scope": scope, "key": checked(key)},
    ).one_or_none()
    if row is None:
        return None
    if bytes(row.fingerprint) != asked:
        raise Conflict("key_reused")
    answer: dict[str, Any] = row.answer
    return answer


def claim(session: Session, scope: str, key: str, asked: bytes, now: datetime) -> dict[str, Any] | None:
    """Take the key for this transaction: None where it is ours now, else the first answer to it.

    Waits for a transaction that has the same key in hand. Raises `Conflict` ("key_reused") where the key was used for
    other facts, and `InvalidInput` ("bad_idempotency_key").
    """
    claimed = session.execute(
        text(
            "INSERT INTO idempotent_request (scope, key, fingerprint, answer, at)"
            " VALUES (:scope, :key, :asked, '{}', :now) ON CONFLICT DO NOTHING RETURNING 1"
        ),
        {"scope": scope, "key": checked(key), "asked": asked, "now": now},
    ).one_or_none()
    if claimed is not None:
        return None
    first = find(session, scope, key, asked)
    if first is None:
        raise EngineUnavailable("busy")  # forgotten between the two looks: it was very old
    return first


def keep(session: Session, scope: str, key: str, answer: dict[str, Any]) -> None:
    """Keep the answer to a claimed key. It holds plain values, never a secret."""
    session.execute(
        text("UPDATE idempotent_request SET answer = :answer WHERE scope = :scope AND key = :key"),
        {"scope": scope, "key": key, "answer": Json(answer)},
    )


def checked(key: str) -> str:
    """The key itself: 1 to 255 printable characters. Raises `InvalidInput` ("bad_idempotency_key")."""
    if not 1 <= len(key) <= LONGEST or not key.isprintable():
        raise InvalidInput("bad_idempotency_key", field="key", high=LONGEST)
    return key
