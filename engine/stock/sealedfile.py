"""Files that nobody but this installation can read: sealed piece by piece, opened while they are sent.

Each file has a key of its own, wrapped by the master key in its head. A piece is AES-256-GCM under that key; its nonce
is its place in the file and whether it is the last, so that pieces can't change places and a cut file is noticed
(the STREAM construction of Hoang, Reyhanitabar, Rogaway and Vizár, 2015).
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from engine.vault import SealBroken, Vault

PIECE = 256 * 1024
"""Bytes of clear text in a piece; the last one may hold fewer."""
_MAGIC = b"cardtone sealed 1\n"
_TAG = 16
_WRAPPED = 40


def sealed(vault: Vault, clear: Iterable[bytes]) -> Iterator[bytes]:
    """The bytes of a sealed file for those of a clear one."""
    sealing = _Sealing(vault)
    yield sealing.head
    for some in clear:
        yield from sealing.take(some)
    yield sealing.end()


class SealedWriter(io.RawIOBase):
    """A file to write clear bytes to, which `file` gets sealed. `finish` ends it; what was never ended can't be opened.

    `digest` is the SHA-256 of the clear bytes so far, `size` how many they are.
    """

    def __init__(self, vault: Vault, file: BinaryIO) -> None:
        self._sealing, self._file = _Sealing(vault), file
        self.digest, self.size = hashlib.sha256(), 0
        file.write(self._sealing.head)

    def writable(self) -> bool:
        """That is all it is."""
        return True

    def write(self, clear: Any, /) -> int:
        """Seal some more."""
        some = bytes(clear)
        self.digest.update(some)
        self.size += len(some)
        for piece in self._sealing.take(some):
            self._file.write(piece)
        return len(some)

    def finish(self) -> None:
        """Write the end of the sealed file."""
        self._file.write(self._sealing.end())


class _Sealing:
    """The pieces of one sealed file as its clear bytes come."""

    def __init__(self, vault: Vault) -> None:
        key, wrapped, master = vault.new_data_key()
        self.head = _MAGIC + master.to_bytes(2, "big") + wrapped
        self._gcm, self._left, self._at = AESGCM(key), bytearray(), 0

    def take(self, some: bytes) -> Iterator[bytes]:
        self._left += some
        # A whole piece is kept back until something follows it: the last one must be known as the last.
        while len(self._left) > PIECE:
            yield self._gcm.encrypt(_nonce(self._at, last=False), bytes(self._left[:PIECE]), None)
            del self._left[:PIECE]
            self._at += 1

    def end(self) -> bytes:
        return self._gcm.encrypt(_nonce(self._at, last=True), bytes(self._left), None)


def opened(vault: Vault, file: BinaryIO) -> Iterator[bytes]:
    """The clear bytes of a sealed file, a piece at a time. Raises `SealBroken`, also where the file was cut."""
    head = file.read(len(_MAGIC) + 2 + _WRAPPED)
    if len(head) < len(_MAGIC) + 2 + _WRAPPED or not head.startswith(_MAGIC):
        raise SealBroken("seal_broken")
    master = int.from_bytes(head[len(_MAGIC) : len(_MAGIC) + 2], "big")
    gcm = AESGCM(vault.unwrap(head[-_WRAPPED:], master))
    piece, at = file.read(PIECE + _TAG), 0
    while True:
        following = file.read(PIECE + _TAG)
        try:
            clear = gcm.decrypt(_nonce(at, last=not following), piece, None)
        except InvalidTag:
            raise SealBroken("seal_broken") from None
        yield clear
        if not following:
            return
        piece, at = following, at + 1


def _nonce(at: int, *, last: bool) -> bytes:
    return at.to_bytes(11, "big") + bytes([last])
