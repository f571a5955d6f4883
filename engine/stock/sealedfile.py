"""Files that nobody but this installation can read: sealed piece by piece, opened while they are sent.

Each file has a key of its own, wrapped by the master key in its head. A piece is AES-256-GCM under that key; its nonce
is its place in the file and whether it is the last, so that pieces can't change places and a cut file is noticed
(the STREAM construction of Hoang, Reyhanitabar, Rogaway and Vizár, 2015).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import BinaryIO

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
    key, wrapped, master = vault.new_data_key()
    yield _MAGIC + master.to_bytes(2, "big") + wrapped
    gcm, left, at = AESGCM(key), bytearray(), 0
    for some in clear:
        left += some
        # A whole piece is kept back until something follows it: the last one must be known as the last.
        while len(left) > PIECE:
            yield gcm.encrypt(_nonce(at, last=False), bytes(left[:PIECE]), None)
            del left[:PIECE]
            at += 1
    yield gcm.encrypt(_nonce(at, last=True), bytes(left), None)


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
