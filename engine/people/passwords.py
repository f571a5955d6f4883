"""Passwords of people (staff, resellers): Argon2id (RFC 9106), never the cards' way and never in the clear.

46 MiB, two passes, one lane: above OWASP's minimum, about 100 ms on a small server. A hash carries its own parameters,
so they can be raised here: the next right password of each person is hashed anew.
"""

from __future__ import annotations

import functools
import secrets
import unicodedata

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

from engine.errors import InvalidInput
from engine.vault import Secret

SHORTEST = 12
LONGEST = 200
"""A limit on the work that a stranger can ask for, far beyond what people type."""
_HASHER = PasswordHasher(time_cost=2, memory_cost=46 * 1024, parallelism=1, type=Type.ID)
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
"""Nothing in it is taken for something else: no i, l, o, 0, 1."""
_GROUPS = 4
_GROUP = 5


def new_password() -> Secret:
    """A random password of 99 bits in groups that can be read out, such as `k7mfp-q2wxr-9hjtd-4nbvc`."""
    groups = ("".join(secrets.choice(_ALPHABET) for _ in range(_GROUP)) for _ in range(_GROUPS))
    return Secret("-".join(groups))


def check_password(password: Secret, *words: str) -> None:
    """Refuse a password that is too short or too long (characters), or one of `words` repeated or dressed up.

    Raises `InvalidInput` (password_short, password_long, password_guessable).
    """
    text = _normal(password)
    if len(text) < SHORTEST:
        raise InvalidInput("password_short", field="password", least=SHORTEST)
    if len(text) > LONGEST:
        raise InvalidInput("password_long", field="password", most=LONGEST)
    bare = text.casefold()
    for word in words:
        bare = bare.replace(word.casefold(), "") if len(word) > 2 else bare
    if len(set(bare)) < 5:
        raise InvalidInput("password_guessable", field="password")


def hash_password(password: Secret) -> str:
    """The Argon2id hash of a password, with its salt and parameters."""
    return _HASHER.hash(_normal(password))


def verify_password(hashed: str | None, password: Secret) -> bool:
    """Whether this is the password of that hash. None (nobody has it) takes just as long and is False."""
    text = _normal(password)
    too_long = len(text) > LONGEST
    nobody = _nobody()  # always, so that the first try of a process tells nothing either
    try:
        right: bool = _HASHER.verify(hashed or nobody, "" if too_long else text)
    except (VerificationError, InvalidHashError):
        right = False
    return right and hashed is not None and not too_long


def needs_rehash(hashed: str) -> bool:
    """Whether a hash was made with other parameters than today's."""
    return _HASHER.check_needs_rehash(hashed)


@functools.cache
def _nobody() -> str:
    """The hash of a password that nobody knows."""
    return _HASHER.hash(secrets.token_bytes(32))


def _normal(password: Secret) -> str:
    """One form for texts that look the same (NFC, as RFC 8265 asks)."""
    return unicodedata.normalize("NFC", password.value)
