"""Keys and what is derived from them (RFC 8684 sections 3.1, 3.2 and 3.4.1): token, IDSN, HMACs. SHA-256, version 1."""

import hashlib
import hmac

KEY_BYTES = 8
NONCE_BYTES = 4
VERSION = 1


class Key:
    """One side's key with its token and initial data sequence number."""

    __slots__ = ("idsn", "token", "value")

    def __init__(self, value: bytes) -> None:
        digest = hashlib.sha256(value).digest()
        self.value = value
        self.token = int.from_bytes(digest[:4], "big")
        self.idsn = int.from_bytes(digest[-8:], "big")


def join_hmac(own: Key, other: Key, own_nonce: bytes, other_nonce: bytes) -> bytes:
    """HMAC of the side with ``own`` key in an MP_JOIN handshake, 32 bytes (section 3.2)."""
    return hmac.digest(own.value + other.value, own_nonce + other_nonce, "sha256")


def add_addr_hmac(own: Key, other: Key, address_id: int, ip: bytes, port: int | None) -> bytes:
    """The 8 bytes by which the side with ``own`` key signs an ADD_ADDR (section 3.4.1)."""
    message = bytes([address_id]) + ip + (port or 0).to_bytes(2, "big")
    return hmac.digest(own.value + other.value, message, "sha256")[-8:]


def same(one: bytes, other: bytes) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(one, other)
