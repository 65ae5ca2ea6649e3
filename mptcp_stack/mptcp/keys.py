"""Keys and what is derived from them: token, IDSN, HMACs (RFC 8684 sections 3.1, 3.2 and 3.4.1).

The version decides the hash: SHA-1 in version 0 (RFC 6824), SHA-256 in 1. What is used of a digest lies in the same
places in both.
"""

import hashlib
import hmac
from typing import Final

from mptcp_stack.storage import MASK_64, expand_32, expand_64

KEY_BYTES: Final = 8
NONCE_BYTES: Final = 4

HASHES: Final = {0: hashlib.sha1, 1: hashlib.sha256}
"""By version of MPTCP."""


class Key:
    """One side's key with its token and initial data sequence number in a version of MPTCP."""

    __slots__ = ("_first", "idsn", "token", "value", "version")

    def __init__(self, value: bytes, version: int = 1) -> None:
        digest = HASHES[version](value).digest()
        self.value = value
        self.version = version
        self.token = int.from_bytes(digest[:4], "big")
        self.idsn = int.from_bytes(digest[-8:], "big")
        self._first = self.idsn + 1

    def dsn(self, position: int) -> int:
        """The data sequence number on the wire (64 bits) of a byte of this side's stream, the first of which is 0."""
        return (self._first + position) & MASK_64

    def position(self, dsn: int, is_64: bool, near: int) -> int:
        """Which byte of this side's stream a data sequence number on the wire means: the one closest to ``near``."""
        return expand_64(dsn - self._first, near) if is_64 else expand_32(dsn - self._first, near)


def join_hmac(own: Key, other: Key, own_nonce: bytes, other_nonce: bytes) -> bytes:
    """HMAC of the side with ``own`` key in an MP_JOIN handshake, 20 or 32 bytes by version (section 3.2)."""
    return hmac.digest(own.value + other.value, own_nonce + other_nonce, HASHES[own.version])


def add_addr_hmac(own: Key, other: Key, address_id: int, ip: bytes, port: int | None) -> bytes:
    """The 8 bytes by which the side with ``own`` key signs an ADD_ADDR (section 3.4.1)."""
    message = bytes([address_id]) + ip + (port or 0).to_bytes(2, "big")
    return hmac.digest(own.value + other.value, message, HASHES[own.version])[-8:]


def same(one: bytes, other: bytes) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(one, other)
