"""Secrets: digests of passwords, sealed copies for printing, and keyed names for what must not be written down.

A card's password is kept as HMAC-SHA-256 (RFC 2104) under a pepper that is not in the database. A sealed copy
(AES-256-GCM, NIST SP 800-38D) exists only while its batch's data key does; the data key is wrapped by the master key
(AES key wrap, RFC 3394). Peppers and master keys have versions: the highest is used for what is new.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from dataclasses import dataclass, field
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from engine.errors import EngineError

_BLOCK = 64
_INNER = bytes(x ^ 0x36 for x in range(256))
_OUTER = bytes(x ^ 0x5C for x in range(256))
NONCE_BYTES = 12


class Keys(Protocol):
    """What the vault needs: peppers and master keys by version, 32 bytes each."""

    @property
    def peppers(self) -> dict[int, bytes]: ...

    @property
    def masters(self) -> dict[int, bytes]: ...


@dataclass(frozen=True, slots=True)
class Secret:
    """A text that must not reach a log, a traceback or a page: its `repr` and `str` are masked."""

    value: str = field(repr=False)

    def __str__(self) -> str:
        return "•••"

    def __repr__(self) -> str:
        return "Secret(•••)"


class SealBroken(EngineError):
    """A sealed copy cannot be opened: other key, other card, or changed bytes."""


class Digester:
    """HMAC-SHA-256 under one key, with both key blocks hashed ahead: 1 µs a message."""

    __slots__ = ("_inner", "_outer")

    def __init__(self, key: bytes) -> None:
        if len(key) > _BLOCK:
            key = hashlib.sha256(key).digest()
        key = key.ljust(_BLOCK, b"\0")
        self._inner = hashlib.sha256(key.translate(_INNER))
        self._outer = hashlib.sha256(key.translate(_OUTER))

    def __call__(self, message: bytes) -> bytes:
        inner = self._inner.copy()
        inner.update(message)
        outer = self._outer.copy()
        outer.update(inner.digest())
        return outer.digest()


class Sealer:
    """Seals and opens passwords of one batch under its data key; the serial and batch are bound to each seal."""

    __slots__ = ("_batch", "_gcm")

    def __init__(self, data_key: bytes, batch_id: int) -> None:
        self._gcm = AESGCM(data_key)
        self._batch = batch_id.to_bytes(8, "big")

    def seal(self, card_id: int, password: bytes, nonce: bytes | None = None) -> bytes:
        """Nonce, ciphertext and tag of one password. `nonce`: 12 fresh random bytes, drawn here if not given."""
        nonce = nonce or os.urandom(NONCE_BYTES)
        return nonce + self._gcm.encrypt(nonce, password, card_id.to_bytes(8, "big") + self._batch)

    def open(self, card_id: int, sealed: bytes) -> bytes:
        """The password of a seal. Raises `SealBroken`."""
        try:
            return self._gcm.decrypt(
                sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], card_id.to_bytes(8, "big") + self._batch
            )
        except InvalidTag:
            raise SealBroken("seal_broken") from None


class Vault:
    """The installation's keys, and all that is done with them."""

    def __init__(self, keys: Keys) -> None:
        self._digesters = {version: Digester(key) for version, key in keys.peppers.items()}
        self._masters = dict(keys.masters)
        self.pepper = max(self._digesters)
        self.master = max(self._masters)
        # Of the first pepper, for good: a name must stay the same name when the pepper is rotated.
        first = keys.peppers[min(keys.peppers)]
        self._name = Digester(Digester(first)(b"cardtone names"))

    def __repr__(self) -> str:
        return "Vault(•••)"

    def digester(self, version: int | None = None) -> Digester:
        """The digester of a pepper version, the newest by default. Raises `EngineError` for one we don't have."""
        try:
            return self._digesters[self.pepper if version is None else version]
        except KeyError:
            raise EngineError("pepper_missing", version=version) from None

    def digest(self, number: str, password: str, version: int | None = None) -> bytes:
        """The 32 bytes that stand for a card's password: over number and password together."""
        return self.digester(version)(f"{number}:{password}".encode())

    def matches(self, number: str, password: str, digest: bytes, version: int) -> bool:
        """Whether this is the password, compared in constant time."""
        return hmac.compare_digest(self.digest(number, password, version), digest)

    def name(self, kind: str, text: str) -> bytes:
        """A keyed digest that stands for a name which must not be written down (a number that was tried)."""
        return self._name(f"{kind}:{text}".encode())

    def new_data_key(self) -> tuple[bytes, bytes, int]:
        """A fresh data key for a batch: the key, its wrapped form, and the master version that wrapped it."""
        key = AESGCM.generate_key(256)
        return key, aes_key_wrap(self._masters[self.master], key), self.master

    def unwrap(self, wrapped: bytes, master: int) -> bytes:
        """The data key of a wrapped one. Raises `SealBroken` where the master key is not the right one."""
        try:
            return aes_key_unwrap(self._masters[master], wrapped)
        except (KeyError, InvalidUnwrap):
            raise SealBroken("master_key_missing", version=master) from None

    def seal(self, plain: bytes, bound: str) -> tuple[bytes, int]:
        """A secret that must be read again later (a second factor's), sealed: nonce, ciphertext and tag, and the master
        version. `bound` says whose it is; moved to somebody else it does not open."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._gcm(self.master).encrypt(nonce, plain, bound.encode()), self.master

    def unseal(self, sealed: bytes, master: int, bound: str) -> bytes:
        """What was sealed. Raises `SealBroken`."""
        if master not in self._masters:
            raise SealBroken("master_key_missing", version=master)
        try:
            return self._gcm(master).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], bound.encode())
        except InvalidTag:
            raise SealBroken("seal_broken") from None

    def _gcm(self, master: int) -> AESGCM:
        # A key of its own: the master key itself only wraps other keys.
        return AESGCM(Digester(self._masters[master])(b"cardtone seals"))


def new_token(prefix: str = "") -> str:
    """A random bearer secret of 256 bits, url-safe, with a visible prefix."""
    return prefix + secrets.token_urlsafe(32)


def token_digest(token: str) -> bytes:
    """SHA-256 of a bearer secret. It has 256 random bits, so that no slow hash is needed."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
